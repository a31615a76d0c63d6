//! What a task takes is lent where its App asks for that, and nowhere else.

use tenure::api::Revocable;
use tenure::mesos::wire::scheduler::Call;

use super::roles::template;
use super::{Check, Scene};

pub(super) struct OnlyLentWhereAsked;

impl Check for OnlyLentWhereAsked {
    fn called(&mut self, server: &str, call: &Call, scene: &Scene, broken: &mut Vec<String>) {
        let operations = call.accept.iter().flat_map(|it| &it.operations);
        for info in operations.filter_map(|it| it.launch.as_ref()).flat_map(|it| &it.task_infos) {
            let Some(template) = template(info, &scene.objects) else { continue };
            for resource in &info.resources {
                let name = resource.name.as_str();
                let is_asked_for = template.revocable.iter().any(|it| match it {
                    Revocable::Cpus => name == "cpus",
                    Revocable::Memory => name == "mem",
                });
                let is_lent = resource.revocable.is_some();
                if is_lent != is_asked_for {
                    broken.push(format!(
                        "{server} gives {} {name}: lent {is_lent}, asked for as lent {is_asked_for}",
                        info.task_id
                    ));
                }
            }
        }
    }
}
