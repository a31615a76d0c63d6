//! Watches of the API: how soon every one of many has an event, and what one costs that has nothing to tell.

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::io::{AsyncBufRead, AsyncBufReadExt as _};
use futures::stream::{self, BoxStream, SelectAll};
use futures::{StreamExt as _, TryStreamExt as _};
use http::{Method, Request};
use kube::Client;
use serde_json::Value;
use tokio::time::Instant;

use crate::served::{Served, get, send};

/// Watches on one connection: the server takes a hundred.
const OF_A_CLIENT: usize = 50;

/// One more watch. Those of the measure before may still count as this user's for a moment.
async fn opened(client: &Client, path: &str) -> Result<impl AsyncBufRead + use<>> {
    loop {
        match client.request_stream(Request::get(path).body(Vec::new())?).await {
            Err(kube::Error::Api(status)) if status.code == 429 => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            other => return Ok(other?),
        }
    }
}

/// Open watches, merged.
pub(crate) struct Watches {
    events: SelectAll<BoxStream<'static, std::io::Result<String>>>,
    count: usize,
    /// Their connections.
    _clients: Vec<Client>,
}

impl Watches {
    /// Opens `count` watches of the object `name`, from now on.
    pub(crate) async fn open(server: &Served, name: &str, count: usize) -> Result<Watches> {
        // From the present on: the object itself may be older than the history that is kept.
        let list: Value =
            serde_json::from_str(&get(&server.client, &format!("{}?limit=1", server.objects)).await?)?;
        let version = list["metadata"]["resourceVersion"].as_str().context("no version")?;
        let path = format!(
            "{}?watch=true&resourceVersion={version}&fieldSelector=metadata.name={name}",
            server.objects
        );
        let (mut clients, mut all) = (Vec::new(), Vec::new());
        for at in 0..count {
            if at % OF_A_CLIENT == 0 {
                clients.push(server.another()?);
            }
            let client = clients.last().context("no client")?;
            let lines = opened(client, &path).await?.lines();
            all.push(lines.into_stream().boxed());
        }
        Ok(Watches { events: stream::select_all(all), count, _clients: clients })
    }

    /// How long each takes to see each of `updates` changes.
    pub(crate) async fn propagation(
        &mut self,
        server: &Served,
        name: &str,
        updates: usize,
    ) -> Result<Vec<Duration>> {
        let path = format!("{}/{name}", server.objects);
        let mut times = Vec::new();
        for update in 0..updates {
            let mut object: Value = serde_json::from_str(&get(&server.client, &path).await?)?;
            // Different from what any measure before wrote: nobody is told of what changes nothing.
            object["metadata"]["annotations"]["bench"] = format!("{} watch {update}", self.count).into();
            let began = Instant::now();
            let seen = async {
                for _ in 0..self.count {
                    self.events.next().await.context("a watch ended")??;
                    times.push(began.elapsed());
                }
                anyhow::Ok(())
            };
            tokio::try_join!(send(&server.client, Method::PUT, &path, &object), seen)?;
        }
        Ok(times)
    }
}
