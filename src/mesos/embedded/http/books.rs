//! `/state`, `/slaves`, `/frameworks`, `/tasks`, `/roles` and `/weights`: what an operator reads of a cluster, and the one
//! thing of it that is written here.

use std::collections::BTreeMap;

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::reply::{self, Reply, bad};
use super::{Front, files, operator, read, tasks, v0};
use crate::mesos::embedded::master::{Books, Extent, MasterHandle, TaskEntry};
use crate::mesos::wire::TaskStatus;

/// How many tasks are told when nobody says otherwise.
const TASKS: usize = 100;

impl Front {
    pub(super) async fn books(&self, request: Request<Incoming>, path: &str) -> Reply {
        let told = match (path, request.method()) {
            ("/weights", &Method::PUT) => self.write_weights(request).await,
            ("/quota", method) if method != Method::GET => self.leading(&request).map(|_| {
                let text = "quotas are not built in this embedded master: give roles weights (PUT /weights)";
                reply::text(StatusCode::NOT_IMPLEMENTED, text)
            }),
            _ => self.read_books(&request, path).await,
        };
        told.unwrap_or_else(|reply| *reply)
    }

    async fn read_books(&self, request: &Request<Incoming>, path: &str) -> Result<Reply, Box<Reply>> {
        self.authenticate(request.headers(), operator::READ_ONLY)?;
        let master = self.leading(request)?;
        let extent = match path {
            "/slaves" => Extent::Agents,
            "/roles" => Extent::Roles,
            "/weights" | "/quota" => Extent::Head,
            _ => Extent::All,
        };
        let books = master.books(extent).await.ok_or_else(operator::recovering)?;
        let query = files::query(request.uri().query().unwrap_or_default());
        let asked = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        Ok(reply::json(&match path {
            "/state" => v0::state(&books),
            "/state-summary" => v0::summary(&books),
            "/slaves" => v0::agents(&books, asked("slave_id")),
            "/frameworks" => v0::all_frameworks(&books, asked("framework_id")),
            "/roles" => v0::roles(&books),
            "/weights" => v0::weights(&books),
            // None is set.
            "/quota" => json!({}),
            _ => tasks(&books, asked),
        }))
    }

    async fn write_weights(&self, request: Request<Incoming>) -> Result<Reply, Box<Reply>> {
        self.authenticate(request.headers(), operator::READ_WRITE)?;
        let master = self.leading(&request)?;
        let (head, body) = request.into_parts();
        let body = read::body(&head.headers, body).await?;
        let tree =
            read::tree(&body).map_err(|why| bad(&format!("Failed to parse update weights JSON: {why}")))?;
        update_weights(&master, &tree).await
    }
}

/// UPDATE_WEIGHTS with `[{"role": …, "weight": …}]`.
pub(super) async fn update_weights(master: &MasterHandle, infos: &Value) -> Result<Reply, Box<Reply>> {
    let entries = infos.as_array().ok_or_else(|| bad("Expecting a list of weights"))?;
    let weight = |info: &Value| {
        let (role, weight) = (info["role"].as_str(), info["weight"].as_f64());
        let text = || format!("Failed to parse weight {info}: expecting 'role' and a number in 'weight'");
        Ok((role.ok_or_else(|| bad(&text()))?.to_owned(), weight.ok_or_else(|| bad(&text()))?))
    };
    let weights = entries.iter().map(weight).collect::<Result<BTreeMap<_, _>, Box<Reply>>>()?;
    master.update_weights(weights).await.map_err(|error| bad(&error.message))?;
    Ok(reply::empty(StatusCode::OK))
}

/// Some of the tasks: `limit` of them after the first `offset`, only those of one id or framework if so asked; the one that was heard
/// of last is first, unless the `order` is `asc`. A number that is none counts as not given.
fn tasks<'a>(books: &Books, asked: impl Fn(&str) -> Option<&'a str>) -> Value {
    let number = |name: &str| asked(name).and_then(|it| it.parse::<usize>().ok());
    let is_asked = |entry: &&TaskEntry| {
        asked("task_id").is_none_or(|id| id == entry.id.value)
            && asked("framework_id").is_none_or(|id| id == entry.framework.value)
    };
    let all = books.tasks.iter().chain(&books.unreachable_tasks).chain(&books.completed_tasks);
    let mut found: Vec<&TaskEntry> = all.filter(is_asked).collect();
    let first_heard = |entry: &TaskEntry| entry.statuses.first().map_or(f64::INFINITY, TaskStatus::timestamp);
    found.sort_by(|a, b| first_heard(a).total_cmp(&first_heard(b)));
    if asked("order") != Some("asc") {
        found.reverse();
    }
    let told = found.into_iter().skip(number("offset").unwrap_or(0)).take(number("limit").unwrap_or(TASKS));
    json!({"tasks": told.map(tasks::flat).collect::<Vec<_>>()})
}
