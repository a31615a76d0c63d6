//! Plays scripts in the simulated world of `tests/sim`: `hack/play`.
#![allow(clippy::unwrap_used, reason = "a failing simulation ends by a panic")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is what it is for")]
#![allow(dead_code, unused_imports, reason = "the modules are those of tests/sim, which uses all of them")]

#[path = "../../tests/sim/apps.rs"]
mod apps;
#[path = "../../tests/sim/checks/mod.rs"]
mod checks;
#[path = "../../tests/sim/play/mod.rs"]
mod play;
#[path = "../../tests/sim/seeded/mod.rs"]
mod seeded;

use std::io::BufRead as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::play::{HELP, Player, play};

/// Plays a script of verbs in a simulated world, at once: a file of `tests/scenarios`, whose transcript is printed as it is told
/// now, or the verbs that are typed. Ends with 1 when a verb of a file cannot be played, or something happens that never must.
#[derive(Debug, Parser)]
#[command(name = "hack/play", after_help = HELP)]
struct Args {
    /// The script; without one, verbs are read from the standard input, one per line.
    script: Option<PathBuf>,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match &args.script {
        Some(file) => {
            match std::fs::read_to_string(file).map_err(|error| error.to_string()).and_then(|it| play(&it)) {
                Ok(transcript) => {
                    print!("{transcript}");
                    ExitCode::SUCCESS
                }
                Err(error) => {
                    eprintln!("error: {}: {error}", file.display());
                    ExitCode::FAILURE
                }
            }
        }
        None => converse(),
    }
}

/// Plays what is typed. A verb that is not understood changes nothing.
fn converse() -> ExitCode {
    let mut player = Player::new();
    for line in std::io::stdin().lock().lines() {
        let line = match line {
            Ok(line) => line,
            Err(error) => {
                eprintln!("error: failed to read the standard input: {error}");
                return ExitCode::FAILURE;
            }
        };
        let verb = line.trim().trim_start_matches("$ ");
        if verb.is_empty() || verb.starts_with('#') {
            continue;
        }
        match player.verb(verb) {
            Ok(printed) => printed.iter().for_each(|line| println!("{line}")),
            Err(error) => eprintln!("error: {error}"),
        }
    }
    ExitCode::SUCCESS
}
