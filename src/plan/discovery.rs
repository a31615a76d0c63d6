//! Where each port of an App is reached now.
//!
//! Running Tasks that were not told to end are published: as ready when they are healthy, ready and reachable, else as
//! not ready. When cutting off agents would leave a port without any ready address, those that were ready last stay:
//! an address that may work is better than none. Addresses stay in the slice they are in, so a change rewrites one
//! slice of at most 250; new ones fill the first slice with room.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use crate::api::endpoints::MAX_ADDRESSES;
use crate::api::{
    API_VERSION, Address, App, EndpointPort, Endpoints, EndpointsSpec, ObjectMeta, Phase, Port, Task,
    Template, labels, names,
};

/// What a plan for one App may look at.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a> {
    /// The App.
    pub app: &'a App,
    /// Templates of the App's Revisions, by the Revision's name.
    pub templates: &'a BTreeMap<String, &'a Template>,
    /// Its Tasks.
    pub tasks: &'a [Arc<Task>],
    /// Its Endpoints as they stand.
    pub previous: &'a [Arc<Endpoints>],
}

/// All slices that the App should have, complete, in order of ports. Those that stand and are not among them are to be
/// removed. A port without addresses keeps one empty slice; an App that is being deleted has none.
#[must_use]
pub fn endpoints(snapshot: &Snapshot<'_>) -> Vec<Endpoints> {
    if snapshot.app.metadata.deletion_timestamp.is_some() {
        return Vec::new();
    }
    let ports = &snapshot.app.spec.template.ports;
    (0..).zip(ports).flat_map(|(index, port)| slices_of_port(snapshot, index, port)).collect()
}

fn slices_of_port(snapshot: &Snapshot<'_>, index: u32, port: &Port) -> Vec<Endpoints> {
    let app = snapshot.app.metadata.name.as_deref().unwrap_or_default();
    let port = EndpointPort {
        name: port.name.clone(),
        index,
        protocol: port.protocol,
        service_port: port.service_port,
    };
    let before = previous_slices(snapshot, app, &port);
    let wanted = wanted_addresses(snapshot, &port, &before);
    let slices = assign(wanted, &before);
    (0..)
        .zip(slices)
        .filter(|(slice, it)| *slice == 0 || !it.is_empty())
        .map(|(slice, addresses)| {
            let (ready, not_ready): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|it| it.ready);
            let plain = |all: Vec<Published>| all.into_iter().map(|it| it.address).collect();
            let spec = EndpointsSpec {
                app: app.into(),
                port: port.clone(),
                ready: plain(ready),
                not_ready: plain(not_ready),
            };
            Endpoints { metadata: owned(snapshot.app, &names::endpoints_name(app, &port, slice)), spec }
        })
        .collect()
}

/// The slices of one port that stand, by their number. A gap is an empty slice.
fn previous_slices<'a>(
    snapshot: &Snapshot<'a>,
    app: &str,
    port: &EndpointPort,
) -> Vec<Option<&'a EndpointsSpec>> {
    let by_name: BTreeMap<_, _> =
        snapshot.previous.iter().filter_map(|it| Some((it.metadata.name.as_deref()?, &it.spec))).collect();
    let same_port = snapshot.previous.iter().filter(|it| it.spec.port.index == port.index).count();
    let mut slices: Vec<_> = (0..snapshot.previous.len().max(same_port))
        .map(|slice| by_name.get(names::endpoints_name(app, port, slice).as_str()).copied())
        .collect();
    while slices.last() == Some(&None) {
        slices.pop();
    }
    slices
}

/// One address, and whether it may get requests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Published {
    address: Address,
    ready: bool,
}

fn wanted_addresses(
    snapshot: &Snapshot<'_>,
    port: &EndpointPort,
    before: &[Option<&EndpointsSpec>],
) -> Vec<Published> {
    let mut wanted = Vec::new();
    let mut cut_off = Vec::new();
    for task in snapshot.tasks.iter().filter(|it| is_published(it)) {
        let Some(template) = snapshot.templates.get(&task.spec.revision) else { continue };
        let Some(address) = address_of(task, template, port) else { continue };
        let (serves, reachable) = serves(task, template);
        if serves && !reachable {
            cut_off.push(wanted.len());
        }
        wanted.push(Published { address, ready: serves && reachable });
    }
    if !wanted.iter().any(|it| it.ready) {
        let was_ready = |address: &Address| before.iter().flatten().any(|it| it.ready.contains(address));
        for index in cut_off {
            wanted[index].ready = was_ready(&wanted[index].address);
        }
    }
    wanted
}

fn is_published(task: &Task) -> bool {
    let is_stopping = task.spec.stop.is_some() || task.metadata.deletion_timestamp.is_some();
    task.phase() == Phase::Running && (!is_stopping || planted!("stopping-stays-published"))
}

/// Whether the Task would get requests if it can be reached, and whether it can.
fn serves(task: &Task, template: &Template) -> (bool, bool) {
    let Some(status) = &task.status else { return (false, false) };
    let healthy = if template.health_checks.is_empty() {
        status.healthy != Some(false)
    } else {
        status.healthy == Some(true)
    };
    (healthy && status.ready, status.reachable)
}

/// Where a Task is reached at a port of the App. A Task of another Revision may have the port elsewhere in its list.
fn address_of(task: &Task, template: &Template, port: &EndpointPort) -> Option<Address> {
    let index = match &port.name {
        Some(_) => template.ports.iter().position(|it| it.name == port.name)?,
        None => usize::try_from(port.index).ok().filter(|it| *it < template.ports.len())?,
    };
    let binding = task.spec.binding.as_ref()?;
    let name = task.metadata.name.clone().unwrap_or_default();
    match binding.ports.get(index).copied().unwrap_or(0) {
        0 => Some(Address {
            address: task.status.as_ref()?.container_ip.clone()?,
            port: template.ports.get(index)?.fixed_container_port()?,
            task: name,
            host: Some(binding.host.clone()),
        }),
        host_port => Some(Address { address: binding.host.clone(), port: host_port, task: name, host: None }),
    }
}

/// Spreads addresses over slices, each where it was.
fn assign(wanted: Vec<Published>, before: &[Option<&EndpointsSpec>]) -> Vec<Vec<Published>> {
    let mut places = BTreeMap::new();
    for (slice, spec) in before.iter().enumerate() {
        let Some(spec) = spec else { continue };
        for address in spec.ready.iter().chain(&spec.not_ready) {
            places.entry(address.clone()).or_insert(slice);
        }
    }
    let mut slices = vec![Vec::new(); before.len().max(1)];
    let mut homeless = Vec::new();
    for published in wanted {
        match places.get(&published.address) {
            Some(&slice) if slices[slice].len() < MAX_ADDRESSES => slices[slice].push(published),
            _ => homeless.push(published),
        }
    }
    homeless.sort();
    let mut open = 0;
    for published in homeless {
        while slices.get(open).is_some_and(|it| it.len() >= MAX_ADDRESSES) {
            open += 1;
        }
        if open == slices.len() {
            slices.push(Vec::new());
        }
        slices[open].push(published);
    }
    for slice in &mut slices {
        slice.sort();
    }
    slices
}

fn owned(app: &App, name: &str) -> ObjectMeta {
    let app_name = app.metadata.name.clone().unwrap_or_default();
    ObjectMeta {
        name: Some(name.into()),
        namespace: app.metadata.namespace.clone(),
        labels: Some(BTreeMap::from([(labels::APP.to_owned(), app_name.clone())])),
        owner_references: Some(vec![OwnerReference {
            api_version: API_VERSION.into(),
            kind: "App".into(),
            name: app_name,
            uid: app.metadata.uid.clone().unwrap_or_default(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }]),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::api::{AppSpec, Binding, Container, HealthCheck, Resources, Stop, TaskSpec, TaskStatus};
    use crate::plan::micro_time;

    fn app() -> App {
        let ports = vec![Port { name: Some("http".into()), container_port: Some(80), ..Port::default() }];
        let health_checks = vec![HealthCheck::default()];
        let template = Template { ports, health_checks, ..Template::default() };
        App::new("web", AppSpec { template, ..AppSpec::default() })
    }

    /// A Task of the first Revision that runs, is ready and healthy.
    fn task(number: u16) -> Task {
        let binding = Binding {
            agent_id: "agent-1".into(),
            host: format!("node-{}", number % 5),
            offer_id: "offer-1".into(),
            resources: Resources::default(),
            revocable: Vec::new(),
            ports: vec![31_000 + number],
            bound_at: micro_time(Timestamp::UNIX_EPOCH),
            mesos_task_id: "id".into(),
            executor_id: None,
        };
        let status =
            TaskStatus { phase: Phase::Running, healthy: Some(true), ready: true, ..TaskStatus::default() };
        let spec = TaskSpec { revision: "web-1".into(), binding: Some(binding), ..TaskSpec::default() };
        Task { status: Some(status), ..Task::new(&format!("task-{number}"), spec) }
    }

    fn with(mut task: Task, change: impl FnOnce(&mut TaskStatus)) -> Task {
        change(task.status.as_mut().unwrap());
        task
    }

    fn plan(app: &App, tasks: &[Task], previous: &[Endpoints]) -> Vec<Endpoints> {
        let templates = BTreeMap::from([("web-1".to_owned(), &app.spec.template)]);
        let tasks: Vec<_> = tasks.iter().cloned().map(Arc::new).collect();
        let previous: Vec<_> = previous.iter().cloned().map(Arc::new).collect();
        endpoints(&Snapshot { app, templates: &templates, tasks: &tasks, previous: &previous })
    }

    /// `ready | not ready` of one slice, by task.
    fn show(slice: &Endpoints) -> String {
        let names = |all: &[Address]| all.iter().map(|it| it.task.clone()).collect::<Vec<_>>().join(" ");
        format!("{} | {}", names(&slice.spec.ready), names(&slice.spec.not_ready))
    }

    #[test]
    fn a_task_is_published_as_what_it_is() {
        let stop = Stop { reason: "x".into(), message: String::new(), at: micro_time(Timestamp::UNIX_EPOCH) };
        let mut stopped = task(0);
        stopped.spec.stop = Some(stop);
        let rows = [
            ("serves", task(0), "task-0 | "),
            ("starts", with(task(0), |it| it.phase = Phase::Launching), " | "),
            ("not checked yet", with(task(0), |it| it.healthy = None), " | task-0"),
            ("unhealthy", with(task(0), |it| it.healthy = Some(false)), " | task-0"),
            ("not ready", with(task(0), |it| it.ready = false), " | task-0"),
            ("cut off, never published", with(task(0), |it| it.reachable = false), " | task-0"),
            ("ended", with(task(0), |it| it.phase = Phase::Failed), " | "),
            ("stopped", stopped, " | "),
        ];
        for (name, task, expected) in rows {
            let slices = plan(&app(), &[task], &[]);
            assert_eq!(slices.iter().map(show).collect::<Vec<_>>(), [expected], "{name}");
        }
    }

    #[test]
    fn the_last_addresses_of_cut_off_agents_stay() {
        let before = plan(&app(), &[task(1), task(2)], &[]);
        let cut_off = |number| with(task(number), |it| it.reachable = false);
        let one = plan(&app(), &[cut_off(1), task(2)], &before);
        assert_eq!(show(&one[0]), "task-2 | task-1");
        let both = plan(&app(), &[cut_off(1), cut_off(2)], &one);
        assert_eq!(show(&both[0]), "task-2 | task-1", "only what was ready last stays");
        assert_eq!(plan(&app(), &[cut_off(1), cut_off(2)], &both), both);
        let back = plan(&app(), &[task(1), cut_off(2)], &both);
        assert_eq!(show(&back[0]), "task-1 | task-2");
    }

    #[test]
    fn a_change_touches_one_slice() {
        let tasks: Vec<_> = (0..600).map(task).collect();
        let before = plan(&app(), &tasks, &[]);
        let names: Vec<_> = before.iter().filter_map(|it| it.metadata.name.clone()).collect();
        assert_eq!(names, ["web.http", "web.http.1", "web.http.2"]);
        assert_eq!(before.iter().map(|it| it.spec.ready.len()).collect::<Vec<_>>(), [250, 250, 100]);
        let gone = before[1].spec.ready[7].task.clone();
        let mut changed: Vec<_> =
            tasks.into_iter().filter(|it| it.metadata.name != Some(gone.clone())).collect();
        changed.push(task(999));
        let after = plan(&app(), &changed, &before);
        let touched: Vec<_> = (0..3).filter(|&slice| after[slice] != before[slice]).collect();
        assert_eq!(touched, [1]);
        assert!(show(&after[1]).contains("task-999"));
    }

    #[test]
    fn a_port_without_a_host_port_is_reached_at_the_container() {
        let mut app = app();
        app.spec.template.container =
            Some(Container { network_name: "overlay".into(), ..Container::of_image("web:1") });
        let mut task = with(task(0), |it| it.container_ip = Some("10.1.2.3".into()));
        task.spec.binding.as_mut().unwrap().ports = vec![0];
        let address = plan(&app, &[task], &[])[0].spec.ready[0].clone();
        assert_eq!((address.address.as_str(), address.port), ("10.1.2.3", 80));
        assert_eq!(address.host.as_deref(), Some("node-0"));
    }

    #[test]
    fn a_deleted_app_has_no_endpoints() {
        let mut app = app();
        app.metadata.deletion_timestamp = Some(crate::api::Time(Timestamp::UNIX_EPOCH));
        assert_eq!(plan(&app, &[task(0)], &[]), []);
    }
}
