//! The peer: the Docker socket used directly, `parallel` requests at once.

use std::time::Duration;

use anyhow::Result;
use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
};
use futures::{TryStreamExt, stream};
use tokio::time::Instant;

use crate::server::IMAGE;

/// The engine, and the containers that this run makes.
pub(crate) struct Raw {
    docker: Docker,
}

impl Raw {
    pub(crate) fn connect() -> Result<Raw> {
        Ok(Raw { docker: Docker::connect_with_defaults()? })
    }

    pub(crate) fn names(&self, count: usize) -> Vec<String> {
        let run = std::process::id();
        (0..count).map(|n| format!("tenure-bench-raw-{run}-{n}")).collect()
    }

    /// Time until all of them run.
    pub(crate) async fn launch(&self, names: &[String], network: &str, parallel: usize) -> Result<Duration> {
        let began = Instant::now();
        self.each(names, parallel, |name| self.create_and_start(name, network)).await?;
        Ok(began.elapsed())
    }

    /// Time to stop (grace 0), remove, create and start each of them.
    pub(crate) async fn recreate(
        &self,
        names: &[String],
        network: &str,
        parallel: usize,
    ) -> Result<Duration> {
        let began = Instant::now();
        self.each(names, parallel, |name| async move {
            let now = StopContainerOptionsBuilder::new().t(0).build();
            self.docker.stop_container(name, Some(now)).await?;
            self.docker.remove_container(name, None).await?;
            self.create_and_start(name, network).await
        })
        .await?;
        Ok(began.elapsed())
    }

    pub(crate) async fn remove(&self, names: &[String]) -> Result<()> {
        self.each(names, crate::PARALLEL, |name| async move {
            let force = RemoveContainerOptionsBuilder::new().force(true).build();
            Ok(self.docker.remove_container(name, Some(force)).await?)
        })
        .await
    }

    async fn create_and_start(&self, name: &str, network: &str) -> Result<()> {
        let body = ContainerCreateBody {
            image: Some(IMAGE.to_owned()),
            cmd: Some(vec!["sleep".to_owned(), "100000".to_owned()]),
            host_config: Some(HostConfig { network_mode: Some(network.to_owned()), ..Default::default() }),
            ..Default::default()
        };
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        self.docker.create_container(Some(options), body).await?;
        Ok(self.docker.start_container(name, None).await?)
    }

    async fn each<'n, F>(
        &self,
        names: &'n [String],
        parallel: usize,
        act: impl Fn(&'n str) -> F,
    ) -> Result<()>
    where
        F: Future<Output = Result<()>>,
    {
        stream::iter(names.iter().map(|name| Ok(act(name))))
            .try_for_each_concurrent(parallel, |work| work)
            .await
    }
}
