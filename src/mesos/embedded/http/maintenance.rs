//! Maintenance as operators speak of it: calls of the operator API, and the endpoints of before.

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::reply::{self, Reply, bad};
use super::scheduler::expect_post;
use super::{Front, operator, read};
use crate::mesos::embedded::master::{Answered, MachineId, MaintenanceView, MasterHandle, Window};
use crate::mesos::wire::json as mesos_json;
use crate::mesos::wire::offer::Unavailability;

/// A call of the operator API about maintenance; none for any other.
pub(super) async fn call(master: &MasterHandle, call: &Value) -> Option<Result<Reply, Box<Reply>>> {
    let kind = call["type"].as_str()?;
    Some(match kind {
        "GET_MAINTENANCE_SCHEDULE" => view(master).await.map(|view| {
            reply::json(&json!({"type": kind, "get_maintenance_schedule": {"schedule": schedule(&view)}}))
        }),
        "GET_MAINTENANCE_STATUS" => view(master).await.map(|view| {
            reply::json(&json!({"type": kind, "get_maintenance_status": {"status": status(&view)}}))
        }),
        "UPDATE_MAINTENANCE_SCHEDULE" => {
            update(master, &call["update_maintenance_schedule"]["schedule"]).await
        }
        "START_MAINTENANCE" => down(master, &call["start_maintenance"]["machines"]).await,
        "STOP_MAINTENANCE" => up(master, &call["stop_maintenance"]["machines"]).await,
        _ => return None,
    })
}

impl Front {
    /// `/maintenance/schedule`, `/maintenance/status`, `/machine/down`, `/machine/up`.
    pub(super) async fn maintenance(&self, request: Request<Incoming>, path: &str) -> Reply {
        self.maintain(request, path).await.unwrap_or_else(|reply| *reply)
    }

    async fn maintain(&self, request: Request<Incoming>, path: &str) -> Result<Reply, Box<Reply>> {
        let reads = request.method() == Method::GET;
        let realm = if reads { operator::READ_ONLY } else { operator::READ_WRITE };
        self.authenticate(request.headers(), realm)?;
        let master = self.leading(&request)?;
        match path {
            "/maintenance/schedule" if reads => {
                return view(&master).await.map(|view| reply::json(&schedule(&view)));
            }
            "/maintenance/status" if reads => {
                return view(&master).await.map(|view| reply::json(&status(&view)));
            }
            _ => expect_post(request.method())?,
        }
        let (head, body) = request.into_parts();
        let body = read::body(&head.headers, body).await?;
        let tree = read::tree(&body).map_err(|why| bad(&format!("Failed to parse body into JSON: {why}")))?;
        match path {
            "/maintenance/schedule" => update(&master, &tree).await,
            "/machine/down" => down(&master, &tree).await,
            "/machine/up" => up(&master, &tree).await,
            _ => Err(Box::new(reply::text(StatusCode::NOT_FOUND, "404 Not Found."))),
        }
    }
}

async fn view(master: &MasterHandle) -> Result<MaintenanceView, Box<Reply>> {
    master.maintenance().await.ok_or_else(operator::recovering)
}

async fn update(master: &MasterHandle, tree: &Value) -> Result<Reply, Box<Reply>> {
    let windows = tree["windows"].as_array().map_or(&[][..], Vec::as_slice);
    let windows = windows.iter().map(window).collect::<Result<_, _>>()?;
    done(master.update_maintenance_schedule(windows).await)
}

async fn down(master: &MasterHandle, tree: &Value) -> Result<Reply, Box<Reply>> {
    done(master.start_maintenance(machines(tree)?).await)
}

async fn up(master: &MasterHandle, tree: &Value) -> Result<Reply, Box<Reply>> {
    done(master.stop_maintenance(machines(tree)?).await)
}

fn done(result: Result<(), crate::mesos::embedded::master::OperatorError>) -> Result<Reply, Box<Reply>> {
    match result {
        Ok(()) => Ok(reply::empty(StatusCode::OK)),
        Err(error) => Err(bad(&error.message)),
    }
}

fn window(tree: &Value) -> Result<Window, Box<Reply>> {
    let unavailability: Unavailability = mesos_json::from_value(tree["unavailability"].clone())
        .map_err(|error| bad(&format!("Failed to parse unavailability: {error}")))?;
    Ok(Window { machines: machines(&tree["machine_ids"])?, unavailability })
}

fn machines(tree: &Value) -> Result<Vec<MachineId>, Box<Reply>> {
    let list = tree.as_array().ok_or_else(|| bad("Expecting a list of machines"))?;
    let machine = |tree: &Value| MachineId {
        hostname: tree["hostname"].as_str().unwrap_or_default().to_lowercase(),
        ip: tree["ip"].as_str().unwrap_or_default().to_owned(),
    };
    if list.is_empty() {
        Err(bad("List of machines is empty"))
    } else {
        Ok(list.iter().map(machine).collect())
    }
}

fn schedule(view: &MaintenanceView) -> Value {
    let window = |window: &Window| {
        let machines: Vec<Value> = window.machines.iter().map(named).collect();
        let unavailability = mesos_json::to_value(&window.unavailability).unwrap_or_default();
        json!({"machine_ids": machines, "unavailability": unavailability})
    };
    if view.windows.is_empty() {
        return json!({});
    }
    json!({"windows": view.windows.iter().map(window).collect::<Vec<_>>()})
}

fn status(view: &MaintenanceView) -> Value {
    let answer = |it: &Answered| {
        let nanoseconds = i64::try_from(it.at.as_nanosecond()).unwrap_or(i64::MAX);
        json!({
            "status": if it.accepted { "ACCEPT" } else { "DECLINE" }, "framework_id": {"value": it.framework.value},
            "timestamp": {"nanoseconds": nanoseconds},
        })
    };
    let draining = |(machine, answers): &(MachineId, Vec<Answered>)| {
        let mut status = json!({"id": named(machine)});
        if !answers.is_empty() {
            status["statuses"] = answers.iter().map(answer).collect();
        }
        status
    };
    let mut status = json!({});
    if !view.draining.is_empty() {
        status["draining_machines"] = view.draining.iter().map(draining).collect();
    }
    if !view.down.is_empty() {
        status["down_machines"] = view.down.iter().map(named).collect();
    }
    status
}

fn named(machine: &MachineId) -> Value {
    json!({"hostname": machine.hostname, "ip": machine.ip})
}
