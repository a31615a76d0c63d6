//! Names that scripts and other tools rely on: labels, annotations and finalizers of ours.

/// Begins the names of all of them.
pub const PREFIX: &str = "tenure.dev/";
/// Uid of the installation, on every container and Mesos task. Nothing without our own is ever touched.
pub const INSTALLATION: &str = "tenure.dev/installation";
/// Namespace of the Task, on every container and Mesos task.
pub const NAMESPACE: &str = "tenure.dev/namespace";
/// Name of the App, on its Revisions, Tasks and Endpoints, and on every container and Mesos task.
pub const APP: &str = "tenure.dev/app";
/// Name of the Task, on every container and Mesos task.
pub const TASK: &str = "tenure.dev/task";
/// Hash of the Revision, on Revisions and Tasks, and on every container and Mesos task.
pub const REVISION: &str = "tenure.dev/revision";
/// Finalizer: holds an App until its last Task is gone.
pub const TASKS_FINALIZER: &str = "tenure.dev/tasks";
/// Finalizer: holds a Task until the cluster says that it is gone.
pub const CLUSTER_FINALIZER: &str = "tenure.dev/cluster";
/// Annotation on an Agent: the digest of the orphans whose end a person confirms.
pub const CONFIRM_ORPHANS: &str = "tenure.dev/confirm-orphans";
/// Annotation on an App: why its template changed, shown by `rollout history`.
pub const CHANGE_CAUSE: &str = "tenure.dev/change-cause";
