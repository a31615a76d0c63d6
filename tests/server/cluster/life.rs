//! The life of an App, and what it outlives.

use kube::api::DeleteParams;
use tenure::api::{App, Task};

use super::{Part, as_reported, running, server, talker};
use crate::harness::is_converged;
use crate::mesos::{log_of, names};

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_launched_scaled_rolled_out_repaired_and_removed() {
    let (cluster, server, _etcd) = server("cluster-life").await;
    server.apply("web", talker(1, "one")).await;
    running(&server, 1).await;
    let task = server.tasks("web").await.remove(0);
    let mut said = String::new();
    while said.is_empty() {
        // STARTING comes before the first word.
        said = server.client().request_text(log_of(&task, "stream=stdout&tailLines=1")).await.unwrap();
    }
    assert_eq!(said, "said one\n");
    server.apply("web", talker(4, "one")).await;
    running(&server, 4).await;
    let before = names(&server).await;
    as_reported(&server, &cluster).await;

    server.apply("web", talker(4, "two")).await;
    server.until::<App>("web", "rolling", |app| app.status.as_ref().is_some_and(|it| it.launched > 4)).await;
    running(&server, 4).await;
    let after = names(&server).await;
    assert!(after.is_disjoint(&before), "{before:?} became {after:?}");
    as_reported(&server, &cluster).await;

    let victim = after.first().unwrap();
    server.api::<Task>().delete(victim, &DeleteParams::default()).await.unwrap();
    server.gone::<Task>(victim).await;
    running(&server, 4).await;
    server.apply("web", talker(2, "two")).await;
    running(&server, 2).await;
    as_reported(&server, &cluster).await;
    server.remove("web").await;
    server.none_left::<Task>().await;
    as_reported(&server, &cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_outlive_the_server_that_is_killed_the_store_that_is_away_and_the_master() {
    let (mut cluster, mut server, mut etcd) = server("cluster-kill").await;
    server.apply("web", talker(3, "one")).await;
    running(&server, 3).await;
    let before = names(&server).await;
    server.kill9();
    server.up(&[]).await;
    server.apply("web", talker(4, "one")).await;
    running(&server, 4).await;
    let after = names(&server).await;
    assert!(after.is_superset(&before), "{before:?} became {after:?}");

    // Without a store nobody leads; the tasks go on.
    etcd.kill();
    server.until_not_ready().await;
    etcd.resume().await;
    server.until::<App>("web", "seen again", is_converged).await;
    as_reported(&server, &cluster).await;
    assert_eq!(names(&server).await, after);

    cluster.kill9(Part::Master, "");
    cluster.start(Part::Master, "").await;
    server.apply("web", talker(5, "one")).await;
    running(&server, 5).await;
    let last = names(&server).await;
    assert!(last.is_superset(&after), "{after:?} became {last:?}");
    as_reported(&server, &cluster).await;
    server.remove("web").await;
    server.none_left::<Task>().await;
}
