//! ACCEPT and DECLINE: offers are spent or given back.

use tokio::time::Instant;

use super::state::{Master, Timer};
use super::validation;
use crate::mesos::embedded::allocator::refuse_for;
use crate::mesos::embedded::bundle::Bundle;
use crate::mesos::embedded::protocol::ToAgent;
use crate::mesos::wire::offer::Filters;
use crate::mesos::wire::scheduler::{Accept, Decline, Event, UpdateOperationStatus};
use crate::mesos::wire::status::OperationStatus;
use crate::mesos::wire::{
    AgentId, EventType, FrameworkId, FrameworkInfo, OfferId, Operation, OperationState, OperationType,
    Reason, TaskId, TaskInfo, TaskState, TaskStatus,
};

/// What an ACCEPT may spend: all its offers together.
#[derive(Debug)]
struct Pool {
    agent: AgentId,
    role: String,
    resources: Bundle,
}

impl Master {
    /// DECLINE. Offers that are gone are passed over; the owner is not looked at, as in Mesos.
    pub(super) fn decline(&mut self, decline: Decline) {
        for offer_id in &decline.offer_ids {
            if let Some(offer) = self.end_offer(offer_id) {
                if let Some(framework) = self.frameworks.get_mut(&offer.framework) {
                    framework.counts.offers_declined += 1;
                }
                let rest = offer.resources.unallocated();
                self.refuse(&offer.framework, &offer.role, &offer.agent, rest, decline.filters);
            }
        }
    }

    /// ACCEPT.
    pub(super) fn accept(&mut self, framework_id: &FrameworkId, accept: Accept) {
        let mut pool = match self.pool(framework_id, &accept.offer_ids) {
            Ok(pool) => pool,
            Err(message) => return self.refuse_accept(framework_id, &accept, &message),
        };
        for operation in accept.operations {
            match operation.r#type() {
                OperationType::Launch => self.launch(framework_id, &mut pool, operation),
                OperationType::LaunchGroup => self.refuse_group(framework_id, &pool, operation),
                OperationType::Unknown | OperationType::Unrecognised => {
                    tracing::warn!("operation of unknown type skipped");
                }
                OperationType::Reserve
                | OperationType::Unreserve
                | OperationType::Create
                | OperationType::Destroy
                | OperationType::GrowVolume
                | OperationType::ShrinkVolume
                | OperationType::CreateDisk
                | OperationType::DestroyDisk => self.refuse_operation(framework_id, &operation),
            }
        }
        let rest = pool.resources.unallocated();
        self.refuse(framework_id, &pool.role, &pool.agent, rest, accept.filters);
    }

    /// Ends the offers and adds them up, if they may be spent together.
    fn pool(&mut self, framework_id: &FrameworkId, offer_ids: &[OfferId]) -> Result<Pool, String> {
        self.check_offers(framework_id, offer_ids)?;
        let mut pool: Option<Pool> = None;
        for offer_id in offer_ids {
            let Some(offer) = self.end_offer(offer_id) else { continue };
            if let Some(framework) = self.frameworks.get_mut(framework_id) {
                framework.counts.offers_accepted += 1;
            }
            match &mut pool {
                Some(pool) => pool.resources.add(&offer.resources),
                None => {
                    pool = Some(Pool { agent: offer.agent, role: offer.role, resources: offer.resources });
                }
            }
        }
        pool.ok_or_else(|| "No offers specified".to_owned())
    }

    fn check_offers(&self, framework_id: &FrameworkId, offer_ids: &[OfferId]) -> Result<(), String> {
        let mut first = None;
        for (index, id) in offer_ids.iter().enumerate() {
            if offer_ids[..index].contains(id) {
                return Err(format!("Duplicate offer {id} in offer list"));
            }
            let offer = self.offers.get(id).filter(|offer| offer.framework == *framework_id);
            let offer = offer.ok_or_else(|| format!("Offer {id} is no longer valid"))?;
            let first = first.get_or_insert(offer);
            if offer.agent != first.agent {
                return Err(format!(
                    "Aggregated offers must belong to one single agent. Offer {id} uses agent {} and agent {}",
                    offer.agent, first.agent
                ));
            }
            if offer.role != first.role {
                return Err(format!(
                    "Aggregated offers must be allocated to the same role. Offer {id} uses role '{} \
                     but another is using role '{}",
                    offer.role, first.role
                ));
            }
        }
        Ok(())
    }

    /// The offers may not be spent: those that live go back without a filter, and every task is told.
    fn refuse_accept(&mut self, framework_id: &FrameworkId, accept: &Accept, message: &str) {
        for offer_id in &accept.offer_ids {
            if self.offers.get(offer_id).is_some_and(|offer| offer.framework == *framework_id) {
                self.end_offer(offer_id);
            }
        }
        let message = format!("Task launched with invalid offers: {message}");
        for task in accept.operations.iter().flat_map(tasks) {
            let dropped = (TaskState::Dropped, Reason::InvalidOffers, message.as_str());
            let status = self.own_status(framework_id, &task.task_id, Some(&task.agent_id), dropped);
            self.count_end(framework_id, status.state());
            self.tell_status(framework_id, status);
        }
    }

    fn launch(&mut self, framework_id: &FrameworkId, pool: &mut Pool, operation: Operation) {
        let tasks = operation.launch.unwrap_or_default().task_infos;
        let tasks: Vec<TaskInfo> = tasks.into_iter().map(|task| allocate_to(task, &pool.role)).collect();
        // One malformed resource spoils the whole operation.
        let malformed = tasks.iter().find_map(|task| Bundle::of(&task.resources).err());
        let spoilt = match malformed {
            _ if operation.id.is_some() => {
                Some("The `id` field cannot be set on LAUNCH operations".to_owned())
            }
            Some(error) => Some(error.to_string()),
            None => None,
        };
        for task in tasks {
            let result = match &spoilt {
                Some(message) => Err(message.clone()),
                None => self.hold_for_task(framework_id, pool, &task),
            };
            match result {
                Ok(starts_executor) => self.send_launch(framework_id, &pool.agent, task, starts_executor),
                Err(message) => {
                    self.count_end(framework_id, TaskState::Error);
                    let error = (TaskState::Error, Reason::TaskInvalid, message.as_str());
                    let status = self.own_status(framework_id, &task.task_id, Some(&task.agent_id), error);
                    self.tell_status(framework_id, status);
                }
            }
        }
    }

    fn send_launch(
        &mut self,
        framework_id: &FrameworkId,
        agent_id: &AgentId,
        task: TaskInfo,
        starts_executor: bool,
    ) {
        let info = self.frameworks.get(framework_id).map(|framework| &framework.info);
        let checkpoint = info.is_some_and(FrameworkInfo::checkpoint);
        let told = self.agents.get(agent_id).is_some_and(|agent| agent.tells_executors);
        let id = Some(framework_id.clone());
        let starts_executor = info
            .filter(|_| starts_executor && told)
            .map(|info| Box::new(FrameworkInfo { id, ..info.clone() }));
        let (framework_id, task) = (framework_id.clone(), Box::new(task));
        self.tell_agent(agent_id, ToAgent::Launch { framework_id, task, checkpoint, starts_executor });
    }

    /// Enters a task that may be launched, with what it takes of the pool; whether its executor begins with it.
    fn hold_for_task(
        &mut self,
        framework_id: &FrameworkId,
        pool: &mut Pool,
        task: &TaskInfo,
    ) -> Result<bool, String> {
        validation::task(task, &pool.agent, framework_id)?;
        let key = (framework_id.clone(), task.task_id.clone());
        if self.tasks.contains_key(&key) || self.unreachable_tasks.contains(&key) {
            return Err(format!("Task has duplicate ID: {}", task.task_id));
        }
        self.check_namesake(&key, &pool.agent)?;
        let own = Bundle::of(&task.resources).map_err(|error| error.to_string())?;
        let mut wanted = self.executor_needs(&pool.agent, framework_id, task.executor.as_ref())?;
        wanted.add(&own);
        if let Some(name) = wanted.mixed() {
            return Err(format!(
                "Task and its executor mix revocable and non-revocable resources: Cannot use both revocable and \
                 non-revocable '{name}' at the same time"
            ));
        }
        if wanted.is_empty() && task.resources.is_empty() {
            return Err("Task uses no resources".to_owned());
        }
        if !pool.resources.take(&wanted) {
            return Err(format!(
                "Total resources {wanted} required by task and its executor is more than available {}",
                pool.resources
            ));
        }
        let staging = TaskStatus {
            agent_id: Some(pool.agent.clone()),
            ..TaskStatus::of(task.task_id.clone(), TaskState::Staging)
        };
        let starts_executor =
            self.enter_task(&key, (&pool.agent, &pool.role), task, Some(own.unallocated()), staging);
        self.remember(&key, task);
        self.show_task(&key);
        Ok(starts_executor)
    }

    /// An agent here tells tasks apart by their ids alone.
    fn check_namesake(&self, (own, task_id): &(FrameworkId, TaskId), agent: &AgentId) -> Result<(), String> {
        let Some(agent) = self.agents.get(agent) else { return Ok(()) };
        let others = self.frameworks.keys().filter(|framework| *framework != own);
        let mut namesakes =
            others.map(|it| (it.clone(), task_id.clone())).filter(|it| agent.tasks.contains(it));
        match namesakes.next() {
            Some((framework, _)) => Err(format!(
                "Task has duplicate ID: {task_id}, which a task of framework {framework} on the same agent has; agents \
                 embedded in Tenure tell tasks apart by their ids"
            )),
            None => Ok(()),
        }
    }

    fn refuse_group(&mut self, framework_id: &FrameworkId, pool: &Pool, operation: Operation) {
        let message = "this master is embedded in Tenure and launches no task groups: use LAUNCH";
        for task in tasks(&operation) {
            self.count_end(framework_id, TaskState::Error);
            let error = (TaskState::Error, Reason::TaskGroupInvalid, message);
            let status = self.own_status(framework_id, &task.task_id, Some(&pool.agent), error);
            self.tell_status(framework_id, status);
        }
    }

    /// Reservations and volumes are not built here.
    fn refuse_operation(&mut self, framework_id: &FrameworkId, operation: &Operation) {
        let message = format!("this master is embedded in Tenure and does not do {}", operation.r#type());
        tracing::warn!(message, "operation dropped");
        let Some(id) = &operation.id else { return };
        let status = OperationStatus {
            operation_id: Some(id.clone()),
            state: OperationState::Error.wire(),
            message: Some(message),
            ..OperationStatus::default()
        };
        let update_operation_status = Some(UpdateOperationStatus { status });
        let event = Event { update_operation_status, ..Event::of(EventType::UpdateOperationStatus) };
        self.tell(framework_id, event);
    }

    /// Remembers that the framework does not want `rest` for a while. A wish shorter than the allocation interval lasts
    /// as long as one.
    fn refuse(
        &mut self,
        framework_id: &FrameworkId,
        role: &str,
        agent: &AgentId,
        rest: Bundle,
        filters: Option<Filters>,
    ) {
        let refuse = refuse_for(filters);
        if refuse.is_zero() || rest.is_empty() {
            return;
        }
        let until = Instant::now() + refuse.max(self.config.allocation_interval);
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        framework.filters.refuse(role, agent, rest, until);
        self.plan(until, Timer::FilterExpired);
    }
}

/// All tasks of an operation.
fn tasks(operation: &Operation) -> impl Iterator<Item = &TaskInfo> {
    let single = operation.launch.iter().flat_map(|launch| &launch.task_infos);
    let groups = operation.launch_group.iter().filter_map(|group| group.task_group.as_ref());
    single.chain(groups.flat_map(|group| &group.tasks))
}

/// Fills in the role of allocation where a task leaves it out.
fn allocate_to(mut task: TaskInfo, role: &str) -> TaskInfo {
    let of_executor = task.executor.iter_mut().flat_map(|executor| &mut executor.resources);
    for resource in task.resources.iter_mut().chain(of_executor) {
        let info = resource.allocation_info.get_or_insert_default();
        info.role.get_or_insert_with(|| role.to_owned());
    }
    task
}
