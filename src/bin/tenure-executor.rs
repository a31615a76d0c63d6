//! The `tenure-executor` binary: what Mesos agents run beside each task.

use std::process::ExitCode;

use tenure::executor;
use tenure::executor::docker::guard;

fn main() -> ExitCode {
    // A shim becomes a session of its own before there is any other thread, and so does what gets a terminal.
    let mut args = std::env::args_os().skip(1);
    match args.next() {
        None => executor::agent::run(),
        Some(verb) if verb == "shim" => executor::process::shim::run(args),
        Some(verb) if verb == "terminal" => executor::exec::terminal::run(args),
        Some(verb) if verb == guard::BEGIN => guard::begin_apart(args),
        Some(verb) if verb == guard::GUARD => guard::run(args),
        Some(_) => executor::agent::usage(),
    }
}
