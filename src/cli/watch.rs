//! Following objects: list, then watch from there, through lost connections and forgotten resource versions.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use kube::core::Status;
use serde::Deserialize as _;
use serde_json::Value;

use super::connection::{Connection, Lines, RequestError, with_query};

/// The pause before a lost connection is tried again.
const RECONNECT: Duration = Duration::from_millis(500);

/// A change that a watch tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The object is new or different now.
    Applied(Value),
    /// The object is gone; its last state.
    Deleted(Value),
}

/// What is followed: a path of objects and which of them.
#[derive(Clone, Debug)]
pub struct Query {
    /// The path of the list.
    pub path: String,
    /// Only objects with these labels.
    pub label_selector: Option<String>,
    /// Only objects with these fields.
    pub field_selector: Option<String>,
    /// The form to ask for.
    pub accept: &'static str,
}

impl Query {
    /// The object of this name under a path.
    #[must_use]
    pub fn named(path: String, name: &str) -> Self {
        Self {
            path,
            label_selector: None,
            field_selector: Some(format!("metadata.name={name}")),
            accept: "application/json",
        }
    }

    /// The path with its selectors, for a list.
    #[must_use]
    pub fn list_path(&self) -> String {
        with_query(
            &self.path,
            &[
                ("labelSelector", self.label_selector.as_deref()),
                ("fieldSelector", self.field_selector.as_deref()),
            ],
        )
    }

    fn watch_path(&self, version: &str) -> String {
        with_query(
            &self.path,
            &[
                ("watch", Some("true")),
                ("resourceVersion", Some(version)),
                ("allowWatchBookmarks", Some("true")),
                ("labelSelector", self.label_selector.as_deref()),
                ("fieldSelector", self.field_selector.as_deref()),
            ],
        )
    }
}

/// The changes of what a query means, from a resource version on.
pub struct Watch {
    connection: Connection,
    query: Query,
    version: String,
    lines: Option<Lines>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Watch").field("query", &self.query).finish_non_exhaustive()
    }
}

impl Watch {
    /// Begins behind this resource version, that of a list.
    #[must_use]
    pub fn from(connection: &Connection, query: Query, version: &str) -> Self {
        Self { connection: connection.clone(), query, version: version.to_owned(), lines: None }
    }

    /// The next change. A lost connection is made anew as often as needed; the caller sets the limit.
    ///
    /// # Errors
    ///
    /// If the server refuses: above all 410, when changes since our version were forgotten and a list is needed.
    pub async fn next(&mut self) -> Result<Event, RequestError> {
        loop {
            let Some(lines) = &mut self.lines else {
                self.reconnect().await?;
                continue;
            };
            match lines.next().await {
                Some(Ok(line)) => {
                    if let Some(event) = self.read(&line)? {
                        return Ok(event);
                    }
                }
                // The end of a watch is ordinary: servers limit their length.
                Some(Err(_)) | None => self.lines = None,
            }
        }
    }

    async fn reconnect(&mut self) -> Result<(), RequestError> {
        match self.connection.lines(&self.query.watch_path(&self.version), self.query.accept).await {
            Ok(lines) => self.lines = Some(lines),
            Err(RequestError::Unreachable { .. }) => tokio::time::sleep(RECONNECT).await,
            Err(refused) => return Err(refused),
        }
        Ok(())
    }

    fn read(&mut self, line: &str) -> Result<Option<Event>, RequestError> {
        let mut event: Value = serde_json::from_str(line).map_err(RequestError::Malformed)?;
        let object = event["object"].take();
        if event["type"] == "ERROR" {
            self.lines = None;
            let status = Status::deserialize(object).map_err(RequestError::Malformed)?;
            return Err(RequestError::Refused(Box::new(status)));
        }
        if let Some(version) = version_of(&object) {
            self.version = version.to_owned();
        }
        Ok(match event["type"].as_str() {
            Some("ADDED" | "MODIFIED") => Some(Event::Applied(object)),
            Some("DELETED") => Some(Event::Deleted(object)),
            _ => None,
        })
    }
}

/// The resource version of an object, or of the row of a Table.
fn version_of(object: &Value) -> Option<&str> {
    let of_row = || object["rows"][0]["object"]["metadata"]["resourceVersion"].as_str();
    object["metadata"]["resourceVersion"].as_str().filter(|version| !version.is_empty()).or_else(of_row)
}

/// The present objects of a query, kept current.
#[derive(Debug)]
pub struct Objects {
    connection: Connection,
    query: Query,
    watch: Watch,
    items: BTreeMap<(String, String), Value>,
}

impl Objects {
    /// Lists them.
    ///
    /// # Errors
    ///
    /// If the server does not answer or refuses.
    pub async fn list(connection: &Connection, query: Query) -> Result<Self, RequestError> {
        let (items, version) = listed(connection, &query).await?;
        let watch = Watch::from(connection, query.clone(), &version);
        Ok(Self { connection: connection.clone(), query, watch, items })
    }

    /// The objects by namespace and name.
    pub fn iter(&self) -> impl Iterator<Item = &Value> {
        self.items.values()
    }

    /// Waits until something changes.
    ///
    /// # Errors
    ///
    /// If the server refuses the query.
    pub async fn changed(&mut self) -> Result<(), RequestError> {
        match self.watch.next().await {
            Ok(Event::Applied(object)) => {
                self.items.insert(key(&object), object);
            }
            Ok(Event::Deleted(object)) => {
                self.items.remove(&key(&object));
            }
            Err(error) if error.is_expired() => {
                let (items, version) = listed(&self.connection, &self.query).await?;
                self.items = items;
                self.watch = Watch::from(&self.connection, self.query.clone(), &version);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

async fn listed(
    connection: &Connection,
    query: &Query,
) -> Result<(BTreeMap<(String, String), Value>, String), RequestError> {
    let mut list = connection.get_as(&query.list_path(), query.accept).await?;
    let version = list["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
    let items = match list["items"].take() {
        Value::Array(items) => items,
        _ => Vec::new(),
    };
    Ok((items.into_iter().map(|item| (key(&item), item)).collect(), version))
}

fn key(object: &Value) -> (String, String) {
    let field = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
    (field("namespace"), field("name"))
}
