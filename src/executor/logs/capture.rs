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

/// The files that a container's output is to be copied to.
#[derive(Debug)]
pub struct OutputFiles {
    files: Vec<(Stream, RotatingFile)>,
}

impl OutputFiles {
    /// `stdout` and `stderr` in `folder`. To be opened before there is a container that could put something else there. One that cannot
    /// be opened is left out, with a line in the log: a full disk ends the output, not the task.
    #[must_use]
    pub fn open(folder: &Path, limits: LogLimits) -> OutputFiles {
        let open = |stream: Stream| {
            let path = folder.join(stream.name());
            let opened = RotatingFile::open(&path, limits);
            let told = opened
                .inspect_err(|error| tracing::error!(path = %path.display(), %error, "output is not kept"));
            Some((stream, told.ok()?))
        };
        OutputFiles { files: [Stream::Stdout, Stream::Stderr].into_iter().filter_map(open).collect() }
    }
}

/// The copying of one container's output.
#[derive(Debug)]
pub struct Capture {
    streams: Vec<Spawned<()>>,
}

impl Capture {
    /// Copies the output of the task's container.
    #[must_use]
    pub fn begin(env: &Env, engine: &Engine, task: &TaskId, into: OutputFiles) -> Capture {
        let begin = |(stream, file)| {
            let query = LogQuery { stream, tail_lines: None, follow: true };
            let name = container_name(task);
            let output = read_container(env.clone(), engine.clone(), name, task.clone(), query);
            env.spawn("capture", copy(output, stream, file))
        };
        Capture { streams: into.files.into_iter().map(begin).collect() }
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

/// When the disk is full the output is dropped, not the task. Where dockerd gives none (a log driver that cannot be read) `stderr` says
/// so, which is where people look.
async fn copy(mut output: super::Output, stream: Stream, mut file: RotatingFile) {
    let mut complained = false;
    while let Some(chunk) = output.next().await {
        match chunk.map(|chunk| file.write(&chunk)) {
            Ok(Ok(())) => complained = false,
            Ok(Err(error)) if !complained => {
                complained = true;
                tracing::error!(stream = stream.name(), %error, "output is lost");
            }
            Ok(Err(_)) => {}
            Err(error) => {
                tracing::error!(stream = stream.name(), %error, "output is not kept any more");
                if stream == Stream::Stderr {
                    let words = format!("tenure-executor: from here on no output is kept: {error}\n");
                    let _full = file.write(words.as_bytes());
                }
                return;
            }
        }
    }
}
