//! The `tenure` binary: parses the command line and calls one function.

use std::process::ExitCode;

use clap::Parser as _;
use tenure::cli::{self, Cli, Command};
use tenure::{executor, serve};

/// Documents come as many small pieces: with the system's allocator a rollout costs more than twice as much (`hack/bench cluster`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A shim becomes a session of its own before there is any other thread, and knows no flags.
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|verb| verb == "shim") {
        return executor::process::shim::run(args);
    }
    let cli = Cli::parse();
    match cli.command {
        Command::Server(args) => serve::run(*args),
        Command::Mesos(args) => serve::run_mesos(args),
        Command::Verb(verb) => cli::run(&cli.target, &verb),
    }
}
