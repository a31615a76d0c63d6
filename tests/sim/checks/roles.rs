//! What a task takes was offered to the role of its App: Mesos would let it take what was offered to another role of the framework.

use tenure::api::{Revision, Template};
use tenure::mesos::wire::TaskInfo;
use tenure::mesos::wire::scheduler::Call;
use tenure::registry::{Key, Snapshot};

use super::kinds::{resource, task, typed};
use super::{Check, Scene};
use crate::seeded::ROLES;

pub(super) struct OwnRole;

impl Check for OwnRole {
    fn called(&mut self, server: &str, call: &Call, scene: &Scene, broken: &mut Vec<String>) {
        let operations = call.accept.iter().flat_map(|it| &it.operations);
        for info in operations.filter_map(|it| it.launch.as_ref()).flat_map(|it| &it.task_infos) {
            // A Task whose document was deleted meanwhile says nothing.
            let Some(template) = template(info, &scene.objects) else { continue };
            let wanted = template.role.unwrap_or_else(|| ROLES[0].to_owned());
            for resource in &info.resources {
                let role = resource.allocation_info.as_ref().and_then(|it| it.role.as_deref());
                if role != Some(wanted.as_str()) {
                    let name = &resource.name;
                    broken.push(format!(
                        "{server} gives {} of the role {wanted} {name} offered to {role:?}",
                        info.task_id
                    ));
                }
            }
        }
    }
}

/// What a task is an instance of.
pub(super) fn template(info: &TaskInfo, objects: &Snapshot) -> Option<Template> {
    let labels = &info.labels.as_ref()?.labels;
    let label = |key: &str| labels.iter().find(|it| it.key == key)?.value.as_deref();
    let namespace = label(tenure::api::labels::NAMESPACE)?;
    let task = task(objects, namespace, label(tenure::api::labels::TASK)?)?;
    let revision = objects.get(&Key::new(&resource("revisions"), namespace, &task.spec.revision))?;
    Some(typed::<Revision>(revision)?.spec.template.clone())
}
