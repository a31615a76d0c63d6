//! Copies what a container writes into rotated files, for as long as it runs.

use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;

use super::{LogLimits, LogQuery, RotatingFile, Stream, read_container};
use crate::env::{Env, Spawned};
use crate::executor::docker::{Engine, container_name};
use crate::mesos::wire::TaskId;

/// How long the rest of the output may take after the end: dockerd hands it over at once, if it can.
const REST_MAX: Duration = Duration::from_secs(10);

/// The copying of one container's output.
#[derive(Debug)]
pub struct Capture {
    streams: Vec<Spawned<()>>,
}

impl Capture {
    /// Copies the output of the task's container to `stdout` and `stderr` in `folder`.
    #[must_use]
    pub fn begin(env: &Env, engine: &Engine, task: &TaskId, folder: &Path, limits: LogLimits) -> Capture {
        let begin = |stream: Stream| {
            let query = LogQuery { stream, tail_lines: None, follow: true };
            let name = container_name(task);
            let output = read_container(env.clone(), engine.clone(), name, task.clone(), query);
            env.spawn("capture", copy(output, folder.join(stream.name()), limits))
        };
        Capture { streams: [Stream::Stdout, Stream::Stderr].map(begin).into() }
    }

    /// Returns when all of it is copied; what dockerd does not hand over in time is not.
    pub async fn finish(self) {
        let aborts: Vec<_> = self.streams.iter().map(Spawned::abort_handle).collect();
        let rest = join_all(self.streams.into_iter().map(Spawned::join));
        if tokio::time::timeout(REST_MAX, rest).await.is_err() {
            tracing::warn!("the rest of the output is lost: dockerd does not hand it over");
            aborts.iter().for_each(tokio::task::AbortHandle::abort);
        }
    }
}

/// When the disk is full the output is dropped, not the task.
async fn copy(mut output: super::Output, path: std::path::PathBuf, limits: LogLimits) {
    let mut file = match RotatingFile::open(&path, limits) {
        Ok(file) => file,
        Err(error) => return tracing::error!(path = %path.display(), %error, "output is not kept"),
    };
    let mut complained = false;
    while let Some(chunk) = output.next().await {
        match chunk.map(|chunk| file.write(&chunk)) {
            Ok(Ok(())) => complained = false,
            Ok(Err(error)) if !complained => {
                complained = true;
                tracing::error!(path = %path.display(), %error, "output is lost");
            }
            Ok(Err(_)) => {}
            Err(error) => {
                return tracing::error!(path = %path.display(), %error, "output is not kept any more");
            }
        }
    }
}
