//! Two servers of one installation on one cluster.

use std::collections::BTreeSet;

use tenure::api::Task;

use super::{Cluster, as_reported, running, server, talker};
use crate::failover::{leads, signal};
use crate::harness::Server;
use crate::mesos::names;
use crate::replicas::second;

/// Has `server` scale `web`; all tasks must be there still, and nothing runs beside them.
async fn scaled((server, cluster): (&Server, &Cluster), instances: u32) {
    let before = names(server).await;
    server.apply("web", talker(instances, "one")).await;
    settled((server, cluster), instances, &before).await;
}

async fn settled((server, cluster): (&Server, &Cluster), instances: u32, before: &BTreeSet<String>) {
    running(server, instances).await;
    let after = names(server).await;
    assert!(after.is_superset(before), "{before:?} became {after:?}");
    as_reported(server, cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_goes_on_with_every_task_when_the_leader_is_killed_or_stands_still() {
    let (cluster, mut first, etcd) = server("cluster-standby").await;
    leads(&first, 1).await;
    let (store, masters) = (etcd.url(), cluster.masters());
    let flags = [&["--store", &store, "--mesos", &masters], &cluster.flags()[..]].concat();
    let second = second(&first, "cluster-standby", &flags).await;
    scaled((&first, &cluster), 3).await;
    let before = names(&first).await;
    // In the middle of launches.
    first.apply("web", talker(8, "one")).await;
    first.kill9();
    leads(&second, 1).await;
    settled((&second, &cluster), 8, &before).await;

    first.up(&[]).await;
    signal(&second, "-STOP");
    leads(&first, 2).await;
    scaled((&first, &cluster), 9).await;
    signal(&second, "-CONT");
    second.logged("leadership lost").await;
    scaled((&first, &cluster), 10).await;
    first.remove("web").await;
    first.none_left::<Task>().await;
    as_reported(&first, &cluster).await;
}
