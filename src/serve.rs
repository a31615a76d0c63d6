//! Wires the rooms into a running server; only main uses it.

use std::process::ExitCode;

use crate::cli::ServerArgs;

/// Runs the server until it is told to stop.
#[allow(clippy::print_stderr, reason = "main's last words, before or after there is a log")]
#[must_use]
pub fn run(args: ServerArgs) -> ExitCode {
    let outcome = args.resolve().and_then(|config| {
        anyhow::bail!("this build cannot run a server in {} yet: it is not wired", config.data_dir.display())
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err::<(), anyhow::Error>(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
