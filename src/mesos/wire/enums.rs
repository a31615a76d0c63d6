//! The enums of the interface, by number (protobuf) and by name (JSON).
//!
//! `Unrecognised` stands first in each, so that a getter answers it for what is absent or unknown; it is never sent.

use super::json::WireEnum;

macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $number:literal => $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
        #[repr(i32)]
        pub enum $name {
            Unrecognised = -1,
            $($variant = $number),*
        }

        impl $name {
            /// The form in which a message holds it.
            #[must_use]
            pub fn wire(self) -> Option<i32> {
                (self != $name::Unrecognised).then_some(self as i32)
            }

            /// Mesos's name of it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $name::Unrecognised => "",
                    $($name::$variant => $text),*
                }
            }
        }

        impl WireEnum for $name {
            const NAMES: &'static [(&'static str, i32)] = &[$(($text, $number)),*];
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

wire_enum!(
    /// Where a task stands.
    TaskState {
        Starting = 0 => "TASK_STARTING",
        Running = 1 => "TASK_RUNNING",
        Finished = 2 => "TASK_FINISHED",
        Failed = 3 => "TASK_FAILED",
        Killed = 4 => "TASK_KILLED",
        Lost = 5 => "TASK_LOST",
        Staging = 6 => "TASK_STAGING",
        Error = 7 => "TASK_ERROR",
        Killing = 8 => "TASK_KILLING",
        Dropped = 9 => "TASK_DROPPED",
        Unreachable = 10 => "TASK_UNREACHABLE",
        Gone = 11 => "TASK_GONE",
        GoneByOperator = 12 => "TASK_GONE_BY_OPERATOR",
        Unknown = 13 => "TASK_UNKNOWN",
    }
);

impl TaskState {
    /// Whether no later state is expected. `Unreachable` and `Unknown` are not terminal: such a task may come back.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        use TaskState::{
            Dropped, Error, Failed, Finished, Gone, GoneByOperator, Killed, Killing, Lost, Running, Staging,
            Starting, Unknown, Unreachable, Unrecognised,
        };
        match self {
            Finished | Failed | Killed | Lost | Error | Dropped | Gone | GoneByOperator => true,
            Unrecognised | Starting | Running | Staging | Killing | Unreachable | Unknown => false,
        }
    }
}

wire_enum!(
    /// Who made a task status.
    Source { Master = 0 => "SOURCE_MASTER", Agent = 1 => "SOURCE_AGENT", Executor = 2 => "SOURCE_EXECUTOR" }
);

wire_enum!(
    /// Why a task is in its state.
    Reason {
        CommandExecutorFailed = 0 => "REASON_COMMAND_EXECUTOR_FAILED",
        ExecutorTerminated = 1 => "REASON_EXECUTOR_TERMINATED",
        ExecutorUnregistered = 2 => "REASON_EXECUTOR_UNREGISTERED",
        FrameworkRemoved = 3 => "REASON_FRAMEWORK_REMOVED",
        GcError = 4 => "REASON_GC_ERROR",
        InvalidFrameworkId = 5 => "REASON_INVALID_FRAMEWORKID",
        InvalidOffers = 6 => "REASON_INVALID_OFFERS",
        MasterDisconnected = 7 => "REASON_MASTER_DISCONNECTED",
        ContainerLimitationMemory = 8 => "REASON_CONTAINER_LIMITATION_MEMORY",
        Reconciliation = 9 => "REASON_RECONCILIATION",
        AgentDisconnected = 10 => "REASON_AGENT_DISCONNECTED",
        AgentRemoved = 11 => "REASON_AGENT_REMOVED",
        AgentRestarted = 12 => "REASON_AGENT_RESTARTED",
        AgentUnknown = 13 => "REASON_AGENT_UNKNOWN",
        TaskInvalid = 14 => "REASON_TASK_INVALID",
        TaskUnauthorized = 15 => "REASON_TASK_UNAUTHORIZED",
        TaskUnknown = 16 => "REASON_TASK_UNKNOWN",
        ContainerPreempted = 17 => "REASON_CONTAINER_PREEMPTED",
        ResourcesUnknown = 18 => "REASON_RESOURCES_UNKNOWN",
        ContainerLimitation = 19 => "REASON_CONTAINER_LIMITATION",
        ContainerLimitationDisk = 20 => "REASON_CONTAINER_LIMITATION_DISK",
        ContainerLaunchFailed = 21 => "REASON_CONTAINER_LAUNCH_FAILED",
        ContainerUpdateFailed = 22 => "REASON_CONTAINER_UPDATE_FAILED",
        ExecutorRegistrationTimeout = 23 => "REASON_EXECUTOR_REGISTRATION_TIMEOUT",
        ExecutorReregistrationTimeout = 24 => "REASON_EXECUTOR_REREGISTRATION_TIMEOUT",
        TaskGroupInvalid = 25 => "REASON_TASK_GROUP_INVALID",
        TaskGroupUnauthorized = 26 => "REASON_TASK_GROUP_UNAUTHORIZED",
        IoSwitchboardExited = 27 => "REASON_IO_SWITCHBOARD_EXITED",
        TaskCheckStatusUpdated = 28 => "REASON_TASK_CHECK_STATUS_UPDATED",
        TaskHealthCheckStatusUpdated = 29 => "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED",
        TaskKilledDuringLaunch = 30 => "REASON_TASK_KILLED_DURING_LAUNCH",
        AgentRemovedByOperator = 31 => "REASON_AGENT_REMOVED_BY_OPERATOR",
        AgentReregistered = 32 => "REASON_AGENT_REREGISTERED",
        MaxCompletionTimeReached = 33 => "REASON_MAX_COMPLETION_TIME_REACHED",
        AgentDraining = 34 => "REASON_AGENT_DRAINING",
    }
);

wire_enum!(
    /// The kind of a resource's or attribute's value.
    ValueType { Scalar = 0 => "SCALAR", Ranges = 1 => "RANGES", Set = 2 => "SET", Text = 3 => "TEXT" }
);

wire_enum!(
    /// How a resource came to be reserved.
    ReservationType { Static = 1 => "STATIC", Dynamic = 2 => "DYNAMIC" }
);

wire_enum!(
    /// Where a disk resource comes from.
    DiskSourceType {
        Unknown = 0 => "UNKNOWN", Path = 1 => "PATH", Mount = 2 => "MOUNT", Block = 3 => "BLOCK", Raw = 4 => "RAW",
    }
);

wire_enum!(
    /// The kind of an operation in an ACCEPT.
    OperationType {
        Unknown = 0 => "UNKNOWN",
        Launch = 1 => "LAUNCH",
        Reserve = 2 => "RESERVE",
        Unreserve = 3 => "UNRESERVE",
        Create = 4 => "CREATE",
        Destroy = 5 => "DESTROY",
        LaunchGroup = 6 => "LAUNCH_GROUP",
        GrowVolume = 11 => "GROW_VOLUME",
        ShrinkVolume = 12 => "SHRINK_VOLUME",
        CreateDisk = 13 => "CREATE_DISK",
        DestroyDisk = 14 => "DESTROY_DISK",
    }
);

wire_enum!(
    /// Where an operation on resources stands.
    OperationState {
        Unsupported = 0 => "OPERATION_UNSUPPORTED",
        Pending = 1 => "OPERATION_PENDING",
        Finished = 2 => "OPERATION_FINISHED",
        Failed = 3 => "OPERATION_FAILED",
        Error = 4 => "OPERATION_ERROR",
        Dropped = 5 => "OPERATION_DROPPED",
        Unreachable = 6 => "OPERATION_UNREACHABLE",
        GoneByOperator = 7 => "OPERATION_GONE_BY_OPERATOR",
        Recovering = 8 => "OPERATION_RECOVERING",
        Unknown = 9 => "OPERATION_UNKNOWN",
    }
);

wire_enum!(
    /// What a framework says that it can deal with.
    Capability {
        Unknown = 0 => "UNKNOWN",
        RevocableResources = 1 => "REVOCABLE_RESOURCES",
        TaskKillingState = 2 => "TASK_KILLING_STATE",
        GpuResources = 3 => "GPU_RESOURCES",
        SharedResources = 4 => "SHARED_RESOURCES",
        PartitionAware = 5 => "PARTITION_AWARE",
        MultiRole = 6 => "MULTI_ROLE",
        ReservationRefinement = 7 => "RESERVATION_REFINEMENT",
        RegionAware = 8 => "REGION_AWARE",
    }
);

wire_enum!(
    /// What a master says that it can do.
    MasterCapabilityType {
        Unknown = 0 => "UNKNOWN",
        AgentUpdate = 1 => "AGENT_UPDATE",
        AgentDraining = 2 => "AGENT_DRAINING",
        QuotaV2 = 3 => "QUOTA_V2",
    }
);

wire_enum!(
    /// Who runs a container: the Docker daemon or Mesos's own containerizer.
    ContainerType { Docker = 1 => "DOCKER", Mesos = 2 => "MESOS" }
);

wire_enum!(
    /// The network of a Docker container; `User` is one that Docker knows by name.
    DockerNetwork { Host = 1 => "HOST", Bridge = 2 => "BRIDGE", None = 3 => "NONE", User = 4 => "USER" }
);

wire_enum!(
    /// The kind of a container image.
    ImageType { Appc = 1 => "APPC", Docker = 2 => "DOCKER" }
);

wire_enum!(
    /// Whether a volume can be written.
    VolumeMode { Rw = 1 => "RW", Ro = 2 => "RO" }
);

wire_enum!(
    /// Where a volume comes from.
    VolumeSourceType {
        Unknown = 0 => "UNKNOWN",
        DockerVolume = 1 => "DOCKER_VOLUME",
        SandboxPath = 2 => "SANDBOX_PATH",
        Secret = 3 => "SECRET",
        HostPath = 4 => "HOST_PATH",
        CsiVolume = 5 => "CSI_VOLUME",
    }
);

wire_enum!(
    /// Which directory a sandbox path starts from.
    SandboxPathType { Unknown = 0 => "UNKNOWN", Current = 1 => "SELF", Parent = 2 => "PARENT" }
);

wire_enum!(
    /// The family of an IP address.
    IpProtocol { IpV4 = 1 => "IPv4", IpV6 = 2 => "IPv6" }
);

wire_enum!(
    /// How a health check or a check looks at its task.
    CheckType { Unknown = 0 => "UNKNOWN", Command = 1 => "COMMAND", Http = 2 => "HTTP", Tcp = 3 => "TCP" }
);

wire_enum!(
    /// Who may discover a task.
    Visibility { Framework = 0 => "FRAMEWORK", Cluster = 1 => "CLUSTER", External = 2 => "EXTERNAL" }
);

wire_enum!(
    /// Whether the agent's built-in executor or the framework's own runs the tasks.
    ExecutorType { Unknown = 0 => "UNKNOWN", Default = 1 => "DEFAULT", Custom = 2 => "CUSTOM" }
);

wire_enum!(
    /// Whether an environment variable stands in plain text.
    VariableType { Unknown = 0 => "UNKNOWN", Value = 1 => "VALUE", Secret = 2 => "SECRET" }
);

wire_enum!(
    /// Whether a secret is named or given.
    SecretType { Unknown = 0 => "UNKNOWN", Reference = 1 => "REFERENCE", Value = 2 => "VALUE" }
);

wire_enum!(
    /// What an offer constraint looks at beside the attributes.
    PseudoAttribute { Unknown = 0 => "UNKNOWN", Hostname = 1 => "HOSTNAME", Region = 2 => "REGION", Zone = 3 => "ZONE" }
);

wire_enum!(
    /// The kind of a scheduler's call. The numbers are not the tags of the fields beside it.
    CallType {
        Unknown = 0 => "UNKNOWN",
        Subscribe = 1 => "SUBSCRIBE",
        Teardown = 2 => "TEARDOWN",
        Accept = 3 => "ACCEPT",
        Decline = 4 => "DECLINE",
        Revive = 5 => "REVIVE",
        Kill = 6 => "KILL",
        Shutdown = 7 => "SHUTDOWN",
        Acknowledge = 8 => "ACKNOWLEDGE",
        Reconcile = 9 => "RECONCILE",
        Message = 10 => "MESSAGE",
        Request = 11 => "REQUEST",
        Suppress = 12 => "SUPPRESS",
        AcceptInverseOffers = 13 => "ACCEPT_INVERSE_OFFERS",
        DeclineInverseOffers = 14 => "DECLINE_INVERSE_OFFERS",
        AcknowledgeOperationStatus = 15 => "ACKNOWLEDGE_OPERATION_STATUS",
        ReconcileOperations = 16 => "RECONCILE_OPERATIONS",
        UpdateFramework = 17 => "UPDATE_FRAMEWORK",
    }
);

wire_enum!(
    /// The kind of an event to a scheduler.
    EventType {
        Unknown = 0 => "UNKNOWN",
        Subscribed = 1 => "SUBSCRIBED",
        Offers = 2 => "OFFERS",
        Rescind = 3 => "RESCIND",
        Update = 4 => "UPDATE",
        Message = 5 => "MESSAGE",
        Failure = 6 => "FAILURE",
        Error = 7 => "ERROR",
        Heartbeat = 8 => "HEARTBEAT",
        InverseOffers = 9 => "INVERSE_OFFERS",
        RescindInverseOffer = 10 => "RESCIND_INVERSE_OFFER",
        UpdateOperationStatus = 11 => "UPDATE_OPERATION_STATUS",
    }
);

wire_enum!(
    /// The kind of an executor's call.
    ExecutorCallType {
        Unknown = 0 => "UNKNOWN",
        Subscribe = 1 => "SUBSCRIBE",
        Update = 2 => "UPDATE",
        Message = 3 => "MESSAGE",
        Heartbeat = 4 => "HEARTBEAT",
    }
);

wire_enum!(
    /// The kind of an event to an executor.
    ExecutorEventType {
        Unknown = 0 => "UNKNOWN",
        Subscribed = 1 => "SUBSCRIBED",
        Launch = 2 => "LAUNCH",
        Kill = 3 => "KILL",
        Acknowledged = 4 => "ACKNOWLEDGED",
        Message = 5 => "MESSAGE",
        Error = 6 => "ERROR",
        Shutdown = 7 => "SHUTDOWN",
        LaunchGroup = 8 => "LAUNCH_GROUP",
        Heartbeat = 9 => "HEARTBEAT",
    }
);
