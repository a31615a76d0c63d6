//! The API by itself: create, get, list and watch propagation of 10,000 Apps that want no instance.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use kube::api::{ListParams, PostParams, WatchEvent, WatchParams};
use tenure::api::App;
use tokio::time::Instant;

use crate::server::Server;

const APPS: usize = 10_000;
const CLIENTS: usize = 16;

pub(crate) async fn print(server: &Server) -> Result<()> {
    let began = Instant::now();
    let creates = each(0..APPS, async |n| {
        server.apps.create(&PostParams::default(), &app(server, n)).await?;
        Ok(())
    })
    .await?;
    let seconds = began.elapsed().as_secs_f64();
    line("create", creates);
    println!("{:<18} {:>8.0} /s with {CLIENTS} clients", "create", APPS as f64 / seconds);

    let gets = each(0..APPS, async |n| {
        server.apps.get(&name(n)).await?;
        Ok(())
    });
    line("get", gets.await?);
    let mut lists = Vec::new();
    for _ in 0..20 {
        let began = Instant::now();
        let listed = server.apps.list(&ListParams::default()).await?.items.len();
        anyhow::ensure!(listed >= APPS, "listed {listed} of {APPS}");
        lists.push(began.elapsed());
    }
    line("list 10,000", lists);
    line("watch", propagation(server).await?);
    for n in 0..APPS / 500 {
        // In pages, so that no request outlives its limit.
        let params = ListParams::default().labels(&format!("page=p{n}"));
        server.apps.delete_collection(&Default::default(), &params).await?;
    }
    Ok(())
}

/// From sending a create until a watcher has its event.
async fn propagation(server: &Server) -> Result<Vec<Duration>> {
    let version = server.apps.list(&ListParams::default().limit(1)).await?.metadata.resource_version;
    let params = WatchParams::default().labels("page=watched");
    let mut events = server.apps.watch(&params, &version.context("no version")?).await?.boxed();
    let mut seen = Vec::new();
    for n in 0..500 {
        let mut app = app(server, APPS + n);
        app.metadata.labels = Some([("page".to_owned(), "watched".to_owned())].into());
        let began = Instant::now();
        server.apps.create(&PostParams::default(), &app).await?;
        loop {
            match events.try_next().await?.context("the watch ended")? {
                WatchEvent::Added(seen) if seen.metadata.name == app.metadata.name => break,
                WatchEvent::Error(status) => bail!("watch: {}", status.message),
                _ => {}
            }
        }
        seen.push(began.elapsed());
    }
    let watched = ListParams::default().labels("page=watched");
    server.apps.delete_collection(&Default::default(), &watched).await?;
    Ok(seen)
}

fn app(server: &Server, n: usize) -> App {
    let mut app = server.app(&name(n), "host", 1);
    app.spec.instances = 0;
    app.spec.update = Default::default();
    app.metadata.labels = Some([("page".to_owned(), format!("p{}", n / 500))].into());
    app
}

fn name(n: usize) -> String {
    format!("bench-{n:05}")
}

/// Runs `act` for each number from [`CLIENTS`] clients at once; how long each took.
async fn each(
    numbers: std::ops::Range<usize>,
    act: impl AsyncFn(usize) -> Result<()>,
) -> Result<Vec<Duration>> {
    let act = &act;
    stream::iter(numbers)
        .map(|n| async move {
            let began = Instant::now();
            act(n).await?;
            anyhow::Ok(began.elapsed())
        })
        .buffer_unordered(CLIENTS)
        .try_collect()
        .await
}

fn line(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1_000.0;
    println!("{what:<18} p50 {:>8.2} ms   p99 {:>8.2} ms   ({} calls)", at(50), at(99), times.len());
}
