//! The planted bugs: one line each in `src`, in force only in a build with `--cfg tenure_planted` and when chosen. They show
//! that the checks of `tests/sim` catch what they are for: `hack/sim --planted` tells of each after how many seeds it is found.

/// One planted bug.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plant {
    pub(crate) name: &'static str,
    /// The file below `src` in which it stands, once.
    pub(crate) place: &'static str,
    /// The check that should see it, or one of these.
    pub(crate) check: &'static str,
    /// What it breaks.
    pub(crate) breaks: &'static str,
    /// What brings it to light, or what happened to Marathon by its like: classes of faults and issues, in words.
    pub(crate) covers: &'static str,
}

/// The incidents of Marathon that can happen here, by their issues: one that they were learnt from stands for each class. Those that
/// cannot: resources that stay reserved (#4137; nothing is reserved), one node of 1 MB for all Apps (each has a key of its own, and
/// what is too large is refused when it is written), failover that grows with deployments (`hack/bench cluster` measures it), and
/// answers that show less than was accepted (MARATHON-8566; people here do not read what they wrote: `tests/kube` does).
pub(crate) const INCIDENTS: [&str; 14] = [
    "#1553",         // a leader that was deposed ends live tasks
    "#953",          // who does not lead acts
    "#1032",         // running tasks are forgotten after an election
    "#1043",         // no leader after trouble with the store
    "#3798",         // a check of the election blocks for ever
    "#3783",         // an update ends all instances
    "#4085",         // a failover forgets what was under way
    "#3142",         // ghosts: tasks that only the store knows
    "#616",          // orphans: tasks that only the cluster knows
    "#1652",         // both hold an update up
    "DCOS-54927",    // two updates interfere: too many tasks
    "DCOS-51375",    // a cancelled update leaks instances
    "MARATHON-8422", // instances that came back are not seen to
    "MARATHON-8625", // going back is stuck
];

/// All of them, by place.
pub(crate) const PLANTS: [Plant; 67] = [
    Plant {
        name: "capacity-forgets-the-stopping",
        place: "plan/deployment/instance.rs",
        check: "Capacity",
        breaks: "a Task that was told to end and has not does not count as live",
        covers: "DCOS-54927",
    },
    Plant {
        name: "cut-off-counts-as-serving",
        place: "plan/deployment/instance.rs",
        check: "MinimumHealth",
        breaks: "instances on agents that are cut off count as serving",
        covers: "AgentCutOff",
    },
    Plant {
        name: "unchecked-counts-as-healthy",
        place: "plan/deployment/instance.rs",
        check: "MinimumHealth",
        breaks: "an instance serves before its health checks have said anything",
        covers: "#3783",
    },
    Plant {
        name: "failed-keeps-its-slot",
        place: "plan/deployment/instance.rs",
        check: "Convergence",
        breaks: "a failed instance is not replaced",
        covers: "TaskFails TaskKilledByHand TaskVanishes ImageMissing",
    },
    Plant {
        name: "minimum-is-one-less",
        place: "plan/deployment/bounds.rs",
        check: "MinimumHealth",
        breaks: "one instance less than the minimum must serve",
        covers: "#3783",
    },
    Plant {
        name: "capacity-is-one-more",
        place: "plan/deployment/bounds.rs",
        check: "Capacity",
        breaks: "one instance more than the maximum may live",
        covers: "DCOS-54927",
    },
    Plant {
        name: "third-in-a-slot",
        place: "plan/deployment/rollout.rs",
        check: "Slots",
        breaks: "a slot with two live Tasks gets a third one",
        covers: "DCOS-54927",
    },
    Plant {
        name: "twins-stay",
        place: "plan/deployment/rollout.rs",
        check: "Convergence",
        breaks: "an instance that came back stays beside the one that took its place",
        covers: "AgentCutOff MARATHON-8422 AllCutOff",
    },
    Plant {
        name: "nobody-is-held",
        place: "controllers/deployment.rs",
        check: "MinimumHealth",
        breaks: "one that a plan counts on may cease to serve, or come back, before the plan is committed",
        covers: "StoreSlow",
    },
    Plant {
        name: "one-too-many-stops",
        place: "plan/deployment/rollout.rs",
        check: "MinimumHealth",
        breaks: "an update stops one instance that must serve",
        covers: "#3783",
    },
    Plant {
        name: "delay-is-thousands-fold",
        place: "plan/deployment/backoff.rs",
        check: "Convergence",
        breaks: "the delay after a failure is thousands of times too long",
        covers: "TaskFails",
    },
    Plant {
        name: "bound-ahead-is-of-no-wave",
        place: "plan/deployment/backoff.rs",
        check: "Standstill",
        breaks: "a Task that a clock ahead of ours has bound fails anew at every look",
        covers: "ClockJumps",
    },
    Plant {
        name: "names-are-used-again",
        place: "plan/deployment/mod.rs",
        check: "Convergence",
        breaks: "the number that names are made of does not grow",
        covers: "CrashAtSeam",
    },
    Plant {
        name: "stop-is-explained-anew",
        place: "plan/deployment/mod.rs",
        check: "StopsHaveReasons",
        breaks: "the reason of a stop is replaced by another one",
        covers: "",
    },
    Plant {
        name: "deletion-leaves-old-revisions",
        place: "plan/deployment/mod.rs",
        check: "Convergence",
        breaks: "instances of old revisions outlive the deletion of their App",
        covers: "DCOS-51375",
    },
    Plant {
        name: "rollback-makes-its-revision-anew",
        place: "plan/deployment/revision.rs",
        check: "Convergence",
        breaks: "going back to an earlier template makes a Revision that is there already",
        covers: "MARATHON-8625",
    },
    Plant {
        name: "never-expunged",
        place: "plan/health.rs",
        check: "Standstill",
        breaks: "instances on agents that are gone are never forgotten, but looked at again and again at the time when they should be",
        covers: "AgentGone",
    },
    Plant {
        name: "launch-is-never-overdue",
        place: "plan/health.rs",
        check: "Convergence",
        breaks: "a launch that hangs is waited for without end",
        covers: "TaskHangs ImageSlow",
    },
    Plant {
        name: "unhealthy-is-kept",
        place: "plan/health.rs",
        check: "Convergence Quiet",
        breaks: "what its checks call broken runs on",
        covers: "HealthFlaps",
    },
    Plant {
        name: "end-is-not-final",
        place: "plan/status.rs",
        check: "EndsAreFinal",
        breaks: "what is reported after the end counts",
        covers: "AgentCutOff UpdateDelayed",
    },
    Plant {
        name: "starting-counts-as-running",
        place: "plan/status.rs",
        check: "StatusIsReal",
        breaks: "a task that starts is said to run",
        covers: "ImageSlow",
    },
    Plant {
        name: "stopping-counts-as-ended",
        place: "plan/status.rs",
        check: "StatusIsReal",
        breaks: "a task that was told to end is said to have ended",
        covers: "#1032",
    },
    Plant {
        name: "back-but-not-reachable",
        place: "plan/status.rs",
        check: "Convergence",
        breaks: "a task whose agent came back stays cut off",
        covers: "AgentCutOff MARATHON-8422",
    },
    Plant {
        name: "ended-while-published",
        place: "plan/teardown.rs",
        check: "LeftEndpoints",
        breaks: "a Task is told to end while Endpoints name it",
        covers: "",
    },
    Plant {
        name: "kill-is-not-repeated",
        place: "plan/teardown.rs",
        check: "Convergence",
        breaks: "a KILL that got lost is not sent again",
        covers: "CallLost AgentRestart LinkLoses",
    },
    Plant {
        name: "released-before-its-end",
        place: "plan/teardown.rs",
        check: "NoneIsForgotten",
        breaks: "a Task that was told to end is forgotten at once",
        covers: "#1032",
    },
    Plant {
        name: "stopping-stays-published",
        place: "plan/discovery.rs",
        check: "Convergence",
        breaks: "a Task that shall end stays in Endpoints",
        covers: "",
    },
    Plant {
        name: "dependants-stay",
        place: "plan/gc.rs",
        check: "Convergence",
        breaks: "what a deleted App owned stays",
        covers: "",
    },
    Plant {
        name: "one-more-per-value",
        place: "plan/placement/constraint.rs",
        check: "Constraints",
        breaks: "UNIQUE and MAX_PER let one more in",
        covers: "",
    },
    Plant {
        name: "offers-of-any-role",
        place: "controllers/placement/market.rs",
        check: "OwnRole",
        breaks: "offers are used for Apps of the first role, whichever role they were made to",
        covers: "",
    },
    Plant {
        name: "lent-to-those-who-did-not-ask",
        place: "controllers/placement/convert.rs",
        check: "OnlyLentWhereAsked",
        breaks: "tasks are given what Mesos lends although their Apps did not ask for it",
        covers: "",
    },
    Plant {
        name: "unlike-takes-all",
        place: "plan/placement/constraint.rs",
        check: "Constraints",
        breaks: "UNLIKE refuses nothing",
        covers: "",
    },
    Plant {
        name: "pass-forgets-its-own-places",
        place: "plan/placement/walk/mod.rs",
        check: "Constraints",
        breaks: "Tasks placed together do not see each other",
        covers: "",
    },
    Plant {
        name: "suppressed-for-ever",
        place: "plan/placement/demand.rs",
        check: "Convergence",
        breaks: "offers that were suppressed are never asked for again",
        covers: "",
    },
    Plant {
        name: "acknowledged-before-stored",
        place: "controllers/status.rs",
        check: "Acknowledgements",
        breaks: "an update that could not be stored is acknowledged",
        covers: "StoreDown StoreFull StoreRefuses StoreAnswerLost StorePartition",
    },
    Plant {
        name: "never-acknowledges",
        place: "controllers/status.rs",
        check: "Convergence",
        breaks: "no update is ever acknowledged",
        covers: "",
    },
    Plant {
        name: "each-update-is-a-write",
        place: "controllers/status.rs",
        check: "Convergence",
        breaks: "two updates about one Task in a batch are two writes of one object",
        covers: "UpdateRepeated LinkRepeats",
    },
    Plant {
        name: "orphans-run-on",
        place: "controllers/orphans.rs",
        check: "Convergence",
        breaks: "what nobody owns is not ended",
        covers: "#3142",
    },
    Plant {
        name: "never-reconciles",
        place: "controllers/reconcile.rs",
        check: "Convergence",
        breaks: "the cluster is never asked what became of tasks",
        covers: "UpdateLost #616",
    },
    Plant {
        name: "own-tasks-are-not-asked-about",
        place: "controllers/reconcile.rs",
        check: "Convergence",
        breaks: "only what the master knows by itself is reconciled",
        covers: "#3142",
    },
    Plant {
        name: "unknown-tasks-are-not-asked-about",
        place: "controllers/reconcile.rs",
        check: "Convergence",
        breaks: "only what the store knows is reconciled",
        covers: "#1652",
    },
    Plant {
        name: "launched-again-when-nobody-knows",
        place: "controllers/placement/launch.rs",
        check: "StatusIsReal",
        breaks: "a Task waits again although its ACCEPT may have arrived",
        covers: "CallAnswerLost CallLost",
    },
    Plant {
        name: "seen-before-its-revision-waits",
        place: "controllers/placement/market.rs",
        check: "Convergence",
        breaks: "a Task that the view shows before its Revision waits for good",
        covers: "WatchLate",
    },
    Plant {
        name: "launched-without-its-binding",
        place: "controllers/placement/launch.rs",
        check: "Deposed",
        breaks: "a Task is launched whose binding was not stored",
        covers: "Interference",
    },
    Plant {
        name: "spent-offer-stays-leased",
        place: "mesos/leases.rs",
        check: "Offers",
        breaks: "an accepted offer can be accepted again",
        covers: "CallDelayed",
    },
    Plant {
        name: "late-news-is-no-news",
        place: "controllers/updates.rs",
        check: "Acknowledgements",
        breaks: "an update that was on its way for more than five seconds says nothing new",
        covers: "LinkSlow",
    },
    Plant {
        name: "late-calls-are-sent",
        place: "mesos/session/caller.rs",
        check: "Deposed",
        breaks: "a call that has waited until the term was over is sent",
        covers: "Pause PauseInCall",
    },
    Plant {
        name: "late-subscribe-is-sent",
        place: "mesos/session/lifecycle.rs",
        check: "Deposed",
        breaks: "a SUBSCRIBE that has waited until the term was over is sent",
        covers: "PauseInSubscribe",
    },
    Plant {
        name: "offers-outlive-their-stream",
        place: "mesos/session/lifecycle.rs",
        check: "Offers",
        breaks: "offers of a stream that broke are accepted on the next one",
        covers: "StreamCut MasterPartition",
    },
    Plant {
        name: "returned-tasks-hold-nothing",
        place: "mesos/embedded/master/agents.rs",
        check: "Ports",
        breaks: "a new master offers what running tasks hold",
        covers: "MasterFailover",
    },
    Plant {
        name: "written-without-the-term",
        place: "registry/write/commit.rs",
        check: "Deposed",
        breaks: "a transaction is not guarded by the leader key of its term",
        covers: "LeaderKeyTaken #1553",
    },
    Plant {
        name: "written-over-newer-versions",
        place: "registry/write/commit.rs",
        check: "Writers",
        breaks: "a write is not guarded by the version that it was decided on",
        covers: "Interference StoreSlow DCOS-54927",
    },
    Plant {
        name: "old-events-are-applied",
        place: "registry/cache/log.rs",
        check: "MinimumHealth Convergence",
        breaks: "events that a watch repeats take the view back in time",
        covers: "WatchRepeats",
    },
    Plant {
        name: "lost-events-stay-lost",
        place: "registry/cache/log.rs",
        check: "Convergence",
        breaks: "a comparison with the store mends nothing",
        covers: "WatchSkips WatchLate WatchStalls",
    },
    Plant {
        name: "compacted-watch-is-tried-again",
        place: "registry/cache/feed.rs",
        check: "Convergence",
        breaks: "a watch whose history is compacted is tried for ever",
        covers: "Compaction",
    },
    Plant {
        name: "candidate-gives-up",
        place: "runtime/leadership.rs",
        check: "Convergence",
        breaks: "after trouble with the store nobody stands again",
        covers: "StoreRefuses StoreDown #1043",
    },
    Plant {
        name: "candidate-believes-the-watch-alone",
        place: "runtime/leadership.rs",
        check: "Convergence",
        breaks: "a candidate waits for the watch alone to say that the office is vacant",
        covers: "WatchSkips #3798",
    },
    Plant {
        name: "successor-waits-for-changes",
        place: "runtime/reconcile.rs",
        check: "Convergence",
        breaks: "a new leader looks only at what changes",
        covers: "CrashAtPoll CrashAtSeam #4085",
    },
    Plant {
        name: "deposed-leader-goes-on",
        place: "controllers/leader.rs",
        check: "Convergence",
        breaks: "the loops of a term that is over go on",
        covers: "Pause #953",
    },
    Plant {
        name: "missing-is-taken-for-running",
        place: "mesos/embedded/agent/mod.rs",
        check: "Convergence",
        breaks: "an agent that starts again takes what is not there for running",
        covers: "AgentReboot",
    },
    Plant {
        name: "report-after-the-end-counts",
        place: "mesos/embedded/agent/reactions.rs",
        check: "Advances",
        breaks: "an agent passes on what is reported of a task that has ended",
        covers: "ReportRepeated",
    },
    Plant {
        name: "late-report-takes-a-kill-back",
        place: "mesos/embedded/agent/reactions.rs",
        check: "Advances",
        breaks: "an agent says that a task runs after it has said that it is being ended",
        covers: "ReportLate",
    },
    Plant {
        name: "any-acknowledgement-counts",
        place: "mesos/embedded/agent/reactions.rs",
        check: "Convergence",
        breaks: "what acknowledges one update acknowledges the next one, too, before it is sent",
        covers: "CallRepeated",
    },
    Plant {
        name: "ended-watch-is-not-opened-again",
        place: "registry/cache/feed.rs",
        check: "Convergence",
        breaks: "a watch that ended leaves the view as it is",
        covers: "WatchEnds",
    },
    Plant {
        name: "ended-is-told-to-end",
        place: "plan/teardown.rs",
        check: "Quiet Convergence",
        breaks: "a Task that has ended is told to end, again and again",
        covers: "",
    },
    Plant {
        name: "no-word-for-unreachable",
        place: "controllers/updates.rs",
        check: "Panics",
        breaks: "a state of tasks that was not thought of ends the loop",
        covers: "AgentCutOff",
    },
    Plant {
        name: "machines-are-never-left",
        place: "plan/maintenance.rs",
        check: "Maintenance",
        breaks: "a machine that is about to be taken away gets new Tasks",
        covers: "Maintenance",
    },
];
