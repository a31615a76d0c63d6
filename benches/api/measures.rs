//! The measures, in order: each alternates between the store and the API.

use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::Method;
use serde_json::Value;
use tokio::time::Instant;

use crate::options::Options;
use crate::raw::Raw;
use crate::report::{Pairs, alone, percentile};
use crate::served::{Served, get, send};
use crate::watches::Watches;

/// Lists in parallel, as issue trackers and controllers of a whole cluster ask for them at once.
const LISTS: usize = 64;
const UPDATES: usize = 50;

/// Both sides.
pub(crate) struct Measures<'a> {
    pub(crate) options: &'a Options,
    pub(crate) server: &'a mut Served,
    pub(crate) raw: &'a mut Raw,
}

fn name(n: usize) -> String {
    format!("bench-{n:06}")
}

fn key(n: usize) -> String {
    format!("/bench/objects/{}", name(n))
}

/// What makes an object about a kilobyte.
fn text(n: usize) -> String {
    format!("{n:06} ").repeat(100)
}

impl Measures<'_> {
    pub(crate) async fn print(&mut self) -> Result<()> {
        let before = self.server.memory("VmRSS:")?;
        self.fill().await?;
        if self.options.others > 0 {
            let each = (self.server.memory("VmRSS:")? - before) * 1_024.0 / self.options.others as f64;
            alone("memory of an object", each, "KiB");
        }
        self.creates().await?;
        self.gets().await?;
        self.updates().await?;
        self.lists().await?;
        self.many_lists().await?;
        self.propagation().await?;
        self.idle_watches().await?;
        self.cold_start().await
    }

    /// A share of the objects for each round.
    fn rounds(&self) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
        let (objects, rounds) = (self.options.objects, self.options.rounds);
        (0..rounds).map(move |round| objects * round / rounds..objects * (round + 1) / rounds)
    }

    /// The objects that only stand beside.
    async fn fill(&self) -> Result<()> {
        let server = &*self.server;
        each(0..self.options.others, self.options.clients, async |n| {
            send(&server.client, Method::POST, &server.others, &server.other(&name(n), &text(n))).await?;
            self.raw.create(&format!("/bench/others/{}", name(n)), &document(server, n)).await?;
            Ok(())
        })
        .await?;
        Ok(())
    }

    async fn creates(&self) -> Result<()> {
        let (server, raw, clients) = (&*self.server, &*self.raw, self.options.clients);
        let mut pairs = Pairs::default();
        for numbers in self.rounds() {
            let stored = rate(numbers.clone(), clients, async |n| {
                raw.create(&key(n), &document(server, n)).await?;
                Ok(())
            });
            let stored = stored.await?;
            let served = rate(numbers, clients, async |n| {
                send(&server.client, Method::POST, &server.objects, &server.object(&name(n), &text(n)))
                    .await?;
                Ok(())
            });
            pairs.add(served.await?, stored);
        }
        pairs.print(&format!("create, {clients} clients"), "/s");
        Ok(())
    }

    async fn gets(&self) -> Result<()> {
        let (server, raw, clients) = (&*self.server, &*self.raw, self.options.clients);
        let mut pairs = Pairs::default();
        for numbers in self.rounds() {
            let stored = rate(numbers.clone(), clients, async |n| raw.get(&key(n)).await.map(drop)).await?;
            let served = rate(numbers, clients, async |n| {
                get(&server.client, &format!("{}/{}", server.objects, name(n))).await.map(drop)
            });
            pairs.add(served.await?, stored);
        }
        pairs.print(&format!("get, {clients} clients"), "/s");
        Ok(())
    }

    /// Read, change, write back what was read: what a controller does.
    async fn updates(&self) -> Result<()> {
        let (server, raw, clients) = (&*self.server, &*self.raw, self.options.clients);
        let mut pairs = Pairs::default();
        for numbers in self.rounds() {
            let stored = rate(numbers.clone(), clients, async |n| {
                raw.update(&key(n), &document(server, n + 1)).await.map(drop)
            });
            let stored = stored.await?;
            let served = rate(numbers, clients, async |n| {
                let path = format!("{}/{}", server.objects, name(n));
                let mut object: Value = serde_json::from_str(&get(&server.client, &path).await?)?;
                object["metadata"]["annotations"]["bench"] = n.to_string().into();
                send(&server.client, Method::PUT, &path, &object).await.map(drop)
            });
            pairs.add(served.await?, stored);
        }
        pairs.print(&format!("get and update, {clients} clients"), "/s");
        Ok(())
    }

    async fn lists(&self) -> Result<()> {
        let mut pairs = Pairs::default();
        for _ in 0..self.options.rounds {
            let began = Instant::now();
            ensure!(self.raw.list("/bench/objects/").await? == self.options.objects, "documents are missing");
            let stored = began.elapsed();
            let began = Instant::now();
            let list = get(&self.server.client, &self.server.objects).await?;
            pairs.add(began.elapsed().as_secs_f64() * 1_000.0, stored.as_secs_f64() * 1_000.0);
            ensure!(list.len() > self.options.objects * 500, "the list is short: {} bytes", list.len());
        }
        pairs.print(&format!("list of {}", self.options.objects), "ms");
        Ok(())
    }

    async fn many_lists(&self) -> Result<()> {
        let (server, raw, clients) = (&*self.server, &*self.raw, self.options.clients);
        let began = Instant::now();
        each(0..LISTS, clients, async |_| raw.list("/bench/objects/").await.map(drop)).await?;
        let stored = began.elapsed().as_secs_f64();
        let before = server.memory("VmRSS:")?;
        server.forget_peak()?;
        let began = Instant::now();
        each(0..LISTS, clients, async |_| get(&server.client, &server.objects).await.map(drop)).await?;
        let mut pairs = Pairs::default();
        pairs.add(began.elapsed().as_secs_f64(), stored);
        pairs.print(&format!("{LISTS} lists, {clients} clients"), "s");
        alone("  memory before", before, "MiB");
        alone("  and at its peak", server.memory("VmHWM:")?, "MiB");
        Ok(())
    }

    async fn propagation(&self) -> Result<()> {
        for &watchers in &self.options.watchers {
            let mut stored =
                self.raw.propagation(&key(0), &document(self.server, 0), (watchers, UPDATES)).await?;
            let mut watches = Watches::open(self.server, &name(0), watchers).await?;
            let mut served = watches.propagation(self.server, &name(0), UPDATES).await?;
            for percent in [50, 99] {
                let mut pairs = Pairs::default();
                pairs.add(percentile(&mut served, percent), percentile(&mut stored, percent));
                pairs.print(&format!("event at {watchers} watchers, p{percent}"), "ms");
            }
        }
        Ok(())
    }

    async fn idle_watches(&self) -> Result<()> {
        let count = self.options.watchers.iter().copied().max().unwrap_or(1);
        let before = self.server.memory("VmRSS:")?;
        let watches = Watches::open(self.server, &name(1), count).await?;
        let each = (self.server.memory("VmRSS:")? - before) * 1_024.0 / count as f64;
        alone(&format!("memory of 1 of {count} watches"), each, "KiB");
        drop(watches);
        Ok(())
    }

    async fn cold_start(&mut self) -> Result<()> {
        let mut pairs = Pairs::default();
        for _ in 0..self.options.rounds.min(3) {
            let stored = self.raw.reopened().await?;
            pairs.add(self.server.restarted().await?.as_secs_f64(), stored.as_secs_f64());
        }
        pairs.print("cold start", "s");
        Ok(())
    }
}

/// About what the server stores of the object of this number.
fn document(server: &Served, n: usize) -> Bytes {
    let mut object = server.object(&name(n), &text(n));
    object["metadata"]["uid"] = "00000000-0000-4000-8000-000000000000".into();
    object["metadata"]["managedFields"] = "x".repeat(300).into();
    object.to_string().into()
}

/// Runs `act` for each number, by so many at once; how long each took.
async fn each(
    numbers: std::ops::Range<usize>,
    clients: usize,
    act: impl AsyncFn(usize) -> Result<()>,
) -> Result<Vec<Duration>> {
    let act = &act;
    stream::iter(numbers)
        .map(|n| async move {
            let began = Instant::now();
            act(n).await?;
            anyhow::Ok(began.elapsed())
        })
        .buffer_unordered(clients)
        .try_collect()
        .await
}

/// As [`each`]: how many a second.
async fn rate(
    numbers: std::ops::Range<usize>,
    clients: usize,
    act: impl AsyncFn(usize) -> Result<()>,
) -> Result<f64> {
    let (count, began) = (numbers.len(), Instant::now());
    each(numbers, clients, act).await?;
    Ok(count as f64 / began.elapsed().as_secs_f64())
}
