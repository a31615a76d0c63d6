//! The kinds work with kube-rs as they are, as a plugin author would use them.

use kube::core::{NamespaceResourceScope, ObjectList, Resource, ResourceExt as _};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use tenure::api::{Agent, App, Endpoints, Revision, Task};

/// Compiles only if the kind is what `Api` wants.
fn api<K>(client: Client) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + DeserializeOwned
        + Clone
        + std::fmt::Debug,
{
    Api::namespaced(client, "shop")
}

#[test]
fn kinds_are_known_to_kube_rs() {
    let _apps: fn(Client) -> Api<App> = api;
    let _tasks: fn(Client) -> Api<Task> = api;
    let _revisions: fn(Client) -> Api<Revision> = api;
    let _endpoints: fn(Client) -> Api<Endpoints> = api;
    let _agents: fn(Client) -> Api<Agent> = Api::all;
    assert_eq!(App::url_path(&(), Some("shop")), "/apis/tenure.dev/v1/namespaces/shop/apps");
    assert_eq!(Agent::url_path(&(), None), "/apis/tenure.dev/v1/agents");
}

#[test]
fn a_kind_round_trips_through_a_list_with_its_type_in_front() {
    let text = r#"{"apiVersion":"tenure.dev/v1","kind":"AppList","metadata":{"resourceVersion":"7"},"items":[
        {"apiVersion":"tenure.dev/v1","kind":"App","metadata":{"name":"web"},"spec":{"cmd":"true"}}]}"#;
    let list: ObjectList<App> = serde_json::from_str(text).unwrap();
    assert_eq!(list.items[0].name_any(), "web");
    let text = serde_json::to_string(&list.items[0]).unwrap();
    assert!(
        text.starts_with(r#"{"apiVersion":"tenure.dev/v1","kind":"App","metadata":{"name":"web"},"spec":{"#),
        "{text}"
    );
    assert!(!text.contains("status"), "{text}");
}
