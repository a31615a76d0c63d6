//! The `tenure` binary: parses the command line and calls one function.

use std::process::ExitCode;

use clap::Parser as _;
use tenure::cli::{self, Cli, Command};
use tenure::serve;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        Command::Server(args) => serve::run(*args),
        Command::Verb(verb) => cli::run(&cli.target, verb),
    }
}
