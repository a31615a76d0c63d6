//! The `tenure` binary: parses the command line and calls one function.

use std::process::ExitCode;

use clap::Parser as _;
use tenure::cli::{self, Cli, Command};
use tenure::{executor, serve};

/// Documents come as many small pieces: with the system's allocator a rollout costs more than twice as much (`hack/bench cluster`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A shim becomes a session of its own before there is any other thread, and knows no flags; so does what gets a terminal.
    let mut args = std::env::args_os().skip(1);
    match args.next() {
        Some(verb) if verb == "shim" => return executor::process::shim::run(args),
        Some(verb) if verb == "terminal" => return executor::exec::terminal::run(args),
        _ => {}
    }
    let cli = Cli::parse();
    match cli.command {
        Command::Server(args) => serve::run(*args),
        Command::Mesos(args) => serve::run_mesos(*args),
        Command::Verb(verb) => cli::run(&cli.target, &verb),
    }
}
