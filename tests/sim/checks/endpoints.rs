//! Before a Task is told to end it has left Endpoints in a committed write.

use tenure::api::Endpoints;
use tenure::mesos::wire::scheduler::Call;

use super::kinds::resource;
use super::{Blur, Check, Scene, typed};

pub(super) struct LeftEndpoints {
    pub(super) blur: Blur,
}

impl Check for LeftEndpoints {
    fn called(&mut self, server: &str, call: &Call, scene: &Scene, broken: &mut Vec<String>) {
        let Some(kill) = call.kill.as_ref().filter(|_| !self.blur.is_on()) else { return };
        let docs = scene.objects.list(&resource("endpoints"), None);
        for doc in docs {
            let Some(endpoints) = typed::<Endpoints>(doc) else { continue };
            let addresses = endpoints.spec.ready.iter().chain(&endpoints.spec.not_ready);
            for address in addresses {
                let prefix = format!("{}.{}.", doc.key().namespace, address.task);
                if kill.task_id.value.starts_with(&prefix) {
                    broken.push(format!(
                        "{server} ends {}, which {} still names",
                        address.task,
                        doc.key().name
                    ));
                }
            }
        }
    }
}
