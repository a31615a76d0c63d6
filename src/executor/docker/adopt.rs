//! After a restart: which of the tasks that were launched still have their containers, by one list for all of them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};

use super::engine::EngineError;
use super::events;
use super::spec::TASK_ID_LABEL;
use super::task::{Containers, end_of};
use crate::executor::run::End;
use crate::mesos::wire::TaskId;

/// A container of this owner, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub name: String,
    pub id: String,
    pub state: FoundState,
}

/// What it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundState {
    Running {
        address: Option<IpAddr>,
    },
    Ended(End),
    /// Made by a launch that was cut short; launching the task again starts it.
    Created,
}

/// All containers of this owner, by task.
///
/// # Errors
/// When dockerd is away: then nothing is known, and nothing may be concluded.
pub async fn find(containers: &Containers) -> Result<BTreeMap<TaskId, Found>, EngineError> {
    let (label, value) = containers.owner.filter();
    let listed = containers.engine.list(label, value).await?;
    let mut found = BTreeMap::new();
    for summary in listed {
        if let Some((id, one)) = read(containers, &summary).await? {
            found.insert(id, one);
        }
    }
    Ok(found)
}

async fn read(
    containers: &Containers,
    summary: &ContainerSummary,
) -> Result<Option<(TaskId, Found)>, EngineError> {
    let task = summary.labels.as_ref().and_then(|labels| labels.get(TASK_ID_LABEL));
    let (Some(task), Some(name)) = (task, events::container_name(summary)) else { return Ok(None) };
    let state = match summary.state {
        Some(ContainerSummaryStateEnum::CREATED) => FoundState::Created,
        Some(ContainerSummaryStateEnum::EXITED | ContainerSummaryStateEnum::DEAD) => {
            match containers.engine.inspect(name).await {
                Ok(found) => end_of(found.state.as_ref()).map_or(FoundState::Created, FoundState::Ended),
                Err(error) if error.is_not_found() => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        _ => FoundState::Running { address: address(summary) },
    };
    let id = summary.id.clone().unwrap_or_default();
    Ok(Some((TaskId::new(task.clone()), Found { name: name.to_owned(), id, state })))
}

fn address(summary: &ContainerSummary) -> Option<IpAddr> {
    let networks = summary.network_settings.as_ref()?.networks.as_ref()?;
    networks.values().find_map(|network| network.ip_address.as_ref()?.parse().ok())
}
