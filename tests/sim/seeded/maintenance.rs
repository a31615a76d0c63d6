//! An operator plans to take a machine away, and then either thinks better of it or takes it away and brings it back.

use std::time::Duration;

use tenure::env::Env;
use tenure::mesos::embedded::master::{MachineId, MasterHandle, Window};
use tenure::mesos::wire::TimeInfo;
use tenure::mesos::wire::offer::Unavailability;
use tokio::time::Instant;

use super::cluster::{Cluster, agent_info};
use super::profile::Fault;

/// So soon that every server leaves the machine at once, whatever its clock says.
const FROM_MS: (u64, u64) = (300_000, 600_000);
const LASTS: Duration = Duration::from_secs(4 * 3600);

/// One machine of the schedule.
pub(super) struct Maintained {
    index: usize,
    window: Window,
    is_down: bool,
    /// When the operator does the next thing.
    until: Instant,
}

/// Where an agent is.
pub(super) fn address(index: usize) -> String {
    format!("10.0.0.{}", index + 1)
}

impl Cluster {
    /// The operator plans the maintenance of a machine, unless there is one.
    pub(crate) async fn plan_maintenance(&mut self) {
        let sim = self.sim().clone();
        let (Some(master), Some(index), None) = (self.leader(), self.present(), &self.maintained) else {
            return;
        };
        let from = sim.env().now() + sim.millis(FROM_MS.0, FROM_MS.1);
        let nanoseconds = i64::try_from(from.as_nanosecond()).expect("a simulation takes no centuries");
        let unavailability =
            Unavailability { start: Some(TimeInfo { nanoseconds }), duration: Some(LASTS.into()) };
        let machine = MachineId { hostname: agent_info(index).hostname, ip: address(index) };
        let window = Window { machines: vec![machine], unavailability };
        let until = Instant::now() + sim.millis(5_000, 200_000);
        sim.strike(Fault::Maintenance, format_args!("{index}"));
        let maintained = Maintained { index, window, is_down: false, until };
        self.tell(&master, &maintained).await;
        self.maintained = Some(maintained);
    }

    /// What has to happen by now happens.
    pub(super) async fn go_on_with_maintenance(&mut self) {
        let Some(mut maintained) = self.maintained.take_if(|it| it.until <= Instant::now()) else { return };
        let Some(master) = self.leader() else {
            maintained.until = Instant::now() + Duration::from_secs(1);
            self.maintained = Some(maintained);
            return;
        };
        let sim = self.sim().clone();
        let (index, machines) = (maintained.index, maintained.window.machines.clone());
        let is_taken = sim.is_faulty() && !self.hosts[index].gone && sim.between(0, 2) == 0;
        if maintained.is_down {
            sim.log(format_args!("the operator brings {index} back"));
            master.stop_maintenance(machines).await.expect("it is down");
            self.hosts[index].back_at = Some(Instant::now() + sim.millis(10, 5_000));
        } else if is_taken {
            sim.log(format_args!("the operator takes {index} away"));
            master.start_maintenance(machines).await.expect("it is in the schedule");
            let host = &mut self.hosts[index];
            host.agent.take().iter().for_each(Env::crash);
            host.machine.lose_all();
            host.back_at = None;
            let until = Instant::now() + sim.millis(5_000, 120_000);
            self.maintained = Some(Maintained { is_down: true, until, ..maintained });
        } else {
            sim.log(format_args!("the operator leaves {index} where it is"));
            master.update_maintenance_schedule(Vec::new()).await.expect("an empty schedule is one");
        }
    }

    /// A new master reads in its registry what was planned.
    pub(super) async fn remember_maintenance(&self, master: &MasterHandle) {
        if let Some(maintained) = &self.maintained {
            self.tell(master, maintained).await;
        }
    }

    async fn tell(&self, master: &MasterHandle, maintained: &Maintained) {
        let window = maintained.window.clone();
        let machines = window.machines.clone();
        master.update_maintenance_schedule(vec![window]).await.expect("the window is well-formed");
        if maintained.is_down {
            master.start_maintenance(machines).await.expect("it is in the schedule");
        }
    }

    /// The operator gives up what is planned, and brings back what is away.
    pub(super) fn end_maintenance(&mut self, soon: Instant) {
        if let Some(maintained) = &mut self.maintained {
            maintained.until = maintained.until.min(soon);
        }
    }
}
