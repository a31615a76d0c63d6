//! A plugin with kube-rs: Apps with the label `reload: "yes"` are restarted when a Secret of their environment changes.
#![allow(clippy::print_stderr, reason = "it has no other log")]
use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::{Controller, controller::Action, reflector::ObjectRef, watcher::Config};
use kube::{Client, Error, ResourceExt};
use serde_json::json;
use tenure::api::App;

async fn reload(app: Arc<App>, client: Arc<Client>) -> Result<Action, Error> {
    let (namespace, mut seen) = (app.namespace().unwrap_or_default(), String::new());
    for from in app.spec.template.env.iter().filter_map(|variable| variable.value_from.as_ref()) {
        let secrets = Api::<Secret>::namespaced(client.as_ref().clone(), &namespace);
        let secret = secrets.get_metadata_opt(&from.secret_key_ref.name).await?.unwrap_or_default();
        seen += &format!("{}@{} ", secret.name_any(), secret.resource_version().unwrap_or_default());
    }
    let before = app.annotations().get("reload/secrets");
    if before != Some(&seen) {
        let spec = before.map_or(json!({}), |_| json!({"restartedAt": seen})); // Another text is another Revision.
        let wanted = json!({"apiVersion": "tenure.dev/v1", "kind": "App", "spec": spec,
            "metadata": {"annotations": {"reload/secrets": seen}}});
        let apps = Api::<App>::namespaced(client.as_ref().clone(), &namespace);
        apps.patch(&app.name_any(), &PatchParams::apply("reload").force(), &Patch::Apply(wanted)).await?;
    }
    Ok(Action::await_change())
}

pub async fn run(client: Client) {
    let apps = Controller::new(Api::<App>::all(client.clone()), Config::default().labels("reload=yes"));
    let known = apps.store();
    let all = move |_: Secret| known.state().into_iter().map(|app| ObjectRef::from_obj(app.as_ref()));
    apps.watches(Api::<Secret>::all(client.clone()), Config::default(), all)
        .run(reload, |_, _, _| Action::requeue(Duration::from_secs(10)), Arc::new(client))
        .for_each(async |done| done.map_or_else(|error| eprintln!("{error}"), drop))
        .await;
}

#[tokio::main]
async fn main() {
    run(Client::try_default().await.expect("a kubeconfig")).await;
}
