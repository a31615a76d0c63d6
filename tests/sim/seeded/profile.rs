//! What may go wrong in a run, and how often.

use std::fmt;

/// One way in which the world misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    // Servers.
    CrashAtPoll,
    CrashAtSeam,
    Pause,
    PauseInCall,
    PauseInSubscribe,
    ClockJumps,
    LeaderKeyTaken,
    // Between a server and the master.
    CallLost,
    CallAnswerLost,
    CallDelayed,
    CallRepeated,
    UpdateLost,
    UpdateDelayed,
    UpdateRepeated,
    StreamCut,
    MasterPartition,
    // Between the master and an agent.
    LinkLoses,
    LinkSlow,
    LinkRepeats,
    // Between a server and the store.
    StoreRefuses,
    StoreAnswerLost,
    StoreSlow,
    StorePartition,
    // The store.
    StoreDown,
    StoreFull,
    Compaction,
    WatchRepeats,
    WatchSkips,
    WatchLate,
    WatchEnds,
    WatchStalls,
    Interference,
    // The cluster.
    AgentRestart,
    AgentCutOff,
    AllCutOff,
    AgentReboot,
    AgentGone,
    MasterFailover,
    Maintenance,
    // What runs.
    TaskFails,
    TaskHangs,
    TaskKilledByHand,
    TaskVanishes,
    ReportRepeated,
    ReportLate,
    HealthFlaps,
    ImageMissing,
    ImageSlow,
}

impl Fault {
    /// Every class, in the order in which they came: a seed that failed is kept with the classes that there were.
    pub(crate) const ALL: [Fault; 48] = [
        Fault::CrashAtPoll,
        Fault::CrashAtSeam,
        Fault::Pause,
        Fault::LeaderKeyTaken,
        Fault::CallLost,
        Fault::CallAnswerLost,
        Fault::CallDelayed,
        Fault::CallRepeated,
        Fault::UpdateLost,
        Fault::UpdateDelayed,
        Fault::UpdateRepeated,
        Fault::StreamCut,
        Fault::MasterPartition,
        Fault::StoreRefuses,
        Fault::StoreAnswerLost,
        Fault::StoreSlow,
        Fault::StorePartition,
        Fault::StoreDown,
        Fault::StoreFull,
        Fault::Compaction,
        Fault::WatchRepeats,
        Fault::WatchSkips,
        Fault::WatchLate,
        Fault::WatchEnds,
        Fault::WatchStalls,
        Fault::Interference,
        Fault::AgentRestart,
        Fault::AgentCutOff,
        Fault::AgentReboot,
        Fault::AgentGone,
        Fault::MasterFailover,
        Fault::TaskFails,
        Fault::TaskHangs,
        Fault::TaskKilledByHand,
        Fault::TaskVanishes,
        Fault::ReportRepeated,
        Fault::ReportLate,
        Fault::HealthFlaps,
        Fault::ImageMissing,
        Fault::ImageSlow,
        Fault::ClockJumps,
        Fault::LinkLoses,
        Fault::LinkSlow,
        Fault::LinkRepeats,
        Fault::PauseInCall,
        Fault::AllCutOff,
        Fault::Maintenance,
        Fault::PauseInSubscribe,
    ];

    /// Which part of the world it is a fault of.
    fn area(self) -> Area {
        use Fault::{
            AgentCutOff, AgentGone, AgentReboot, AgentRestart, AllCutOff, CallAnswerLost, CallDelayed,
            CallLost, CallRepeated, ClockJumps, Compaction, CrashAtPoll, CrashAtSeam, HealthFlaps,
            ImageMissing, ImageSlow, Interference, LeaderKeyTaken, LinkLoses, LinkRepeats, LinkSlow,
            Maintenance, MasterFailover, MasterPartition, Pause, PauseInCall, PauseInSubscribe, ReportLate,
            ReportRepeated, StoreAnswerLost, StoreDown, StoreFull, StorePartition, StoreRefuses, StoreSlow,
            StreamCut, TaskFails, TaskHangs, TaskKilledByHand, TaskVanishes, UpdateDelayed, UpdateLost,
            UpdateRepeated, WatchEnds, WatchLate, WatchRepeats, WatchSkips, WatchStalls,
        };
        match self {
            CrashAtPoll | CrashAtSeam | Pause | PauseInCall | PauseInSubscribe | ClockJumps
            | LeaderKeyTaken => Area::Servers,
            CallLost | CallAnswerLost | CallDelayed | CallRepeated | UpdateLost | UpdateDelayed
            | UpdateRepeated | StreamCut | MasterPartition | LinkLoses | LinkSlow | LinkRepeats => {
                Area::Network
            }
            StoreRefuses | StoreAnswerLost | StoreSlow | StorePartition | StoreDown | StoreFull
            | Compaction | WatchRepeats | WatchSkips | WatchLate | WatchEnds | WatchStalls | Interference => {
                Area::Store
            }
            AgentRestart | AgentCutOff | AllCutOff | AgentReboot | AgentGone | MasterFailover
            | Maintenance => Area::Cluster,
            TaskFails | TaskHangs | TaskKilledByHand | TaskVanishes | ReportRepeated | ReportLate
            | HealthFlaps | ImageMissing | ImageSlow => Area::Tasks,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Area {
    Servers,
    Network,
    Store,
    Cluster,
    Tasks,
}

/// How a run goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) name: &'static str,
    /// Servers beside the master and its agents; none for one server with master and agent within.
    pub(crate) replicas: usize,
    pub(crate) machines: usize,
    /// Chance that a class is switched on, in percent (swarm testing: a world in which everything fails at once hides what
    /// a few faults together show).
    on: u64,
    /// The same for the classes of the profile's own area.
    own: Option<(Area, u64)>,
    /// The mean time between two faults that strike, in milliseconds.
    pub(crate) pause_ms: u64,
    /// Chance per message or request, in thousandths.
    pub(crate) per_mille: u64,
    /// How many classes there are, the first of [`Fault::ALL`].
    pub(crate) classes: usize,
    /// How many Mesos roles the framework is in, the first of [`ROLES`].
    pub(crate) roles: usize,
}

/// The Mesos roles of a framework; the first one is that of Apps that name none.
pub(crate) const ROLES: [&str; 2] = ["tenure", "batch"];
const CLASSES: usize = Fault::ALL.len();
/// Those of a quiet world. None is on, but each draws a chance, and transcripts are to stay as they are.
const TRANSCRIBED: usize = 46;

const PROFILES: [Profile; 7] = [
    Profile {
        name: "mixed",
        replicas: 2,
        machines: 3,
        on: 40,
        own: None,
        pause_ms: 12_000,
        per_mille: 30,
        classes: CLASSES,
        roles: 1,
    },
    Profile {
        name: "single",
        replicas: 0,
        machines: 1,
        on: 40,
        own: None,
        pause_ms: 12_000,
        per_mille: 30,
        classes: CLASSES,
        roles: 1,
    },
    Profile {
        name: "servers",
        replicas: 2,
        machines: 2,
        on: 15,
        own: Some((Area::Servers, 80)),
        pause_ms: 6_000,
        per_mille: 20,
        classes: CLASSES,
        roles: 1,
    },
    Profile {
        name: "network",
        replicas: 1,
        machines: 3,
        on: 15,
        own: Some((Area::Network, 70)),
        pause_ms: 10_000,
        per_mille: 60,
        classes: CLASSES,
        roles: 1,
    },
    Profile {
        name: "store",
        replicas: 2,
        machines: 2,
        on: 15,
        own: Some((Area::Store, 60)),
        pause_ms: 8_000,
        per_mille: 60,
        classes: CLASSES,
        roles: 1,
    },
    Profile {
        name: "cluster",
        replicas: 1,
        machines: 4,
        on: 15,
        own: Some((Area::Cluster, 80)),
        pause_ms: 15_000,
        per_mille: 30,
        classes: CLASSES,
        roles: 1,
    },
    Profile {
        name: "calm",
        replicas: 2,
        machines: 2,
        on: 0,
        own: None,
        pause_ms: 60_000,
        per_mille: 0,
        classes: CLASSES,
        roles: 1,
    },
];

impl Profile {
    /// The same with the first of [`Fault::ALL`] only, those that there were when a seed failed, and one role.
    pub(crate) fn with_classes(self, classes: usize) -> Profile {
        Profile { classes, roles: 1, ..self }
    }

    /// A world in which nothing goes wrong by itself.
    pub(crate) fn quiet(replicas: usize, machines: usize) -> Profile {
        Profile {
            name: "quiet",
            replicas,
            machines,
            on: 0,
            own: None,
            pause_ms: 60_000,
            per_mille: 0,
            classes: TRANSCRIBED,
            roles: 1,
        }
    }

    /// The profile of this name; for an unknown one, the names that there are.
    pub(crate) fn named(name: &str) -> Result<Profile, String> {
        let names = PROFILES.map(|it| it.name).join(", ");
        let found = PROFILES.into_iter().find(|it| it.name == name);
        found.ok_or_else(|| format!("--profile {name:?} is none of: all, {names}"))
    }

    /// The profile that a seed gets when none is asked for.
    pub(crate) fn of_seed(seed: u64) -> Profile {
        let last = PROFILES.len() - 1;
        PROFILES[usize::try_from(seed).unwrap_or(0) % last].drawn(seed)
    }

    /// The same with what a seed decides whatever the profile: every third round of profiles has two roles.
    pub(crate) fn drawn(self, seed: u64) -> Profile {
        let round = usize::try_from(seed).unwrap_or(0) / (PROFILES.len() - 1);
        Profile { roles: if round % 3 == 1 { 2 } else { 1 }, ..self }
    }

    /// The roles of the framework.
    pub(crate) fn role_names(&self) -> Vec<String> {
        ROLES[..self.roles].iter().map(ToString::to_string).collect()
    }

    /// Chance in percent that `fault` is switched on in a run.
    pub(crate) fn chance(&self, fault: Fault) -> u64 {
        let without_effect = match fault {
            // One machine that is gone for good, or a master that dies without its server, leave nothing to converge to.
            Fault::AgentGone => self.machines < 3,
            // Nobody can move anywhere.
            Fault::Maintenance => self.replicas == 0 || self.machines < 2,
            Fault::AgentRestart
            | Fault::AgentCutOff
            | Fault::AllCutOff
            | Fault::AgentReboot
            | Fault::MasterFailover
            | Fault::LinkLoses
            | Fault::LinkSlow
            | Fault::LinkRepeats
            | Fault::ReportLate
            | Fault::ReportRepeated => self.replicas == 0,
            _ => false,
        };
        match self.own {
            _ if without_effect => 0,
            Some((area, own)) if area == fault.area() => own,
            _ => self.on,
        }
    }
}
