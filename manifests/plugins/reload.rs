//! A plugin with kube-rs: Apps with the label `reload: "yes"` are restarted when a Secret of their environment changes.
#![allow(clippy::print_stderr, reason = "it has no other log")]
use futures::{StreamExt, future::try_join_all};
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::{Controller, WatchStreamExt, controller::Action, watcher, watcher::Config};
use kube::{Api, Client, Error, ResourceExt, api::Patch, api::PatchParams};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tenure::api::App;

async fn reload(app: Arc<App>, client: Arc<Client>) -> Result<Action, Error> {
    let namespace = app.namespace().unwrap_or_default();
    let secrets = Api::<Secret>::namespaced(client.as_ref().clone(), &namespace);
    let named = app.spec.template.env.iter().filter_map(|variable| variable.value_from.as_ref());
    let found = try_join_all(named.map(|from| secrets.get_metadata_opt(&from.secret_key_ref.name))).await?;
    let seen = found.iter().flatten().filter_map(ResourceExt::resource_version).collect::<Vec<_>>().join(" ");
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
    let secrets = watcher(Api::<Secret>::all(client.clone()), Config::default()).default_backoff();
    Controller::new(Api::<App>::all(client.clone()), Config::default().labels("reload=yes"))
        .reconcile_all_on(secrets.touched_objects().map(drop))
        .run(reload, |_, _, _| Action::requeue(Duration::from_secs(10)), Arc::new(client))
        .for_each(async |done| done.map_or_else(|error| eprintln!("{error}"), drop))
        .await;
}

#[tokio::main]
async fn main() {
    run(Client::try_default().await.expect("a kubeconfig")).await;
}
