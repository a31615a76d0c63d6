//! What Mesos lends until it wants it back: Apps that ask for it take that alone, others none of it.

use std::sync::Arc;

use serde_json::{Value, json};
use tenure::api::{Agent, Bytes, Cpus, Revocable};
use tenure::registry::Resource;

use crate::apps::app;
use crate::sharing::pass;
use crate::world::World;

/// An App of so many instances that want a cpu each.
fn wants_a_cpu(name: &str, instances: u32, revocable: &Value) -> Value {
    let mut app = app(name, instances, "serve 1");
    app["spec"]["resources"] = json!({"cpus": 1, "memory": "64Mi"});
    app["spec"]["revocable"] = revocable.clone();
    app
}

/// Each of two machines has four cpus and lends two more.
#[tokio::test(start_paused = true)]
async fn apps_that_ask_for_it_take_what_is_lent_and_leave_the_rest_to_others() {
    let mut world = World::new(2, 97).await;
    let cluster = world.start_cluster().await;
    let _server = world.start_borrowing(Arc::new(cluster.master.clone()));
    world.create(wants_a_cpu("web", 8, &json!([]))).await;
    world.create(wants_a_cpu("batch", 4, &json!(["cpus"]))).await;
    world.until_ready("web").await;
    world.until_ready("batch").await;
    let lent = |app: &str| {
        let tasks = world.live(app);
        let bindings = tasks.iter().filter_map(|it| it.spec.binding.clone());
        bindings.map(|it| (it.resources.cpus, it.revocable)).collect::<Vec<_>>()
    };
    assert_eq!(lent("web"), vec![(Cpus::from_millis(1000), vec![]); 8]);
    assert_eq!(lent("batch"), vec![(Cpus::from_millis(1000), vec![Revocable::Cpus]); 4]);

    // Neither is given the other's, and no machine is thought to be larger for what it lends.
    world.edit("web", json!({"spec": {"instances": 9}})).await;
    world.edit("batch", json!({"spec": {"instances": 5}})).await;
    world.until("both wait", |world| world.is("web", "Waiting") && world.is("batch", "Waiting")).await;
    pass(1800).await;
    assert_eq!((world.live("web").len(), world.live("batch").len()), (9, 5));
    for (app, lacks) in [("web", " waits: cpus: wants 1, "), ("batch", " waits: revocable cpus: wants 1, ")] {
        let told = world.condition(app, "Waiting").unwrap();
        assert!(told.contains(lacks), "{told}");
    }
    let snapshot = world.snapshot();
    let agents = snapshot.list(&Resource::new("tenure.dev", "agents"), None);
    let totals = agents.map(|doc| doc.typed::<Agent>().unwrap().status.clone().unwrap().totals);
    let totals: Vec<_> = totals.map(|it| (it.cpus, it.memory)).collect();
    assert_eq!(totals, [(Cpus::from_millis(4000), Bytes::from_mebibytes(4096)); 2]);
}

#[tokio::test(start_paused = true)]
async fn an_app_that_asks_for_what_is_lent_waits_for_a_server_that_takes_it() {
    let mut world = World::new(1, 98).await;
    let cluster = world.start_cluster().await;
    let server = world.start_sharing(Arc::new(cluster.master.clone()));
    world.create(wants_a_cpu("batch", 1, &json!(["cpus", "memory"]))).await;
    world.until("it waits", |world| world.is("batch", "Waiting")).await;
    assert_eq!(
        world.condition("batch", "Waiting").unwrap(),
        "1 task waits: spec.revocable: this installation takes nothing that Mesos lends (tenure server --mesos-revocable)"
    );
    server.env.crash();
    let _server = world.start_borrowing(Arc::new(cluster.master.clone()));
    world.until_ready("batch").await;
}
