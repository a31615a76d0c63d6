//! What becomes of tasks while the world is faulty: decided when they start.

use std::time::Duration;

use tenure::mesos::embedded::simulated::Fate;
use tenure::mesos::wire::TaskInfo;

use super::profile::Fault;
use super::sim::Sim;

/// By then everything that a fate holds has happened.
pub(crate) const LATEST: Duration = Duration::from_secs(100);

/// The first word of a command says whether a task is checked.
pub(crate) fn fate(sim: &Sim, info: &TaskInfo) -> Fate {
    let command = info.command.as_ref().and_then(|it| it.value.as_deref()).unwrap_or_default();
    let checked = command.starts_with("checked");
    // Far beyond the end of every run.
    let healthy = || Fate::BecomeUnhealthy { after: Duration::from_secs(100_000_000) };
    let well = || if checked { healthy() } else { Fate::RunForever };
    let id = &info.task_id;
    sim.act("task started");
    sim.log(format_args!("{id} starts"));
    if sim.strikes_in(Fault::ImageMissing, 80) {
        sim.strike(Fault::ImageMissing, format_args!("{id}"));
        return Fate::FailToStart { message: "no such image".to_owned() };
    }
    if sim.strikes_in(Fault::TaskHangs, 60) {
        sim.strike(Fault::TaskHangs, format_args!("{id}"));
        return Fate::Hang;
    }
    if sim.strikes_in(Fault::TaskFails, 120) {
        let after = sim.millis(0, 90_000);
        sim.strike(Fault::TaskFails, format_args!("{id} after {after:?}"));
        return Fate::Exit { code: 1, after };
    }
    if checked && sim.strikes_in(Fault::HealthFlaps, 200) {
        let every = sim.millis(1_000, 60_000);
        sim.strike(Fault::HealthFlaps, format_args!("{id} every {every:?}"));
        return Fate::Flap { every };
    }
    if sim.strikes_in(Fault::ImageSlow, 150) {
        let after = sim.millis(1_000, 100_000);
        sim.strike(Fault::ImageSlow, format_args!("{id} by {after:?}"));
        return Fate::Slowly { after, then: Box::new(well()) };
    }
    well()
}
