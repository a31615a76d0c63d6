//! Scripts of verbs, played in the simulated world: `tests/scenarios` (where what they print is committed) and `hack/play`.
//!
//! ```text
//! script ─line▶ Player ─verb▶ Stage (the world of `seeded`, nothing failing by itself)
//! transcript ◀─ what the verb answers, then what happened meanwhile ◀─ Narrator ◀─ commits of the store
//! ```
//!
//! A line that begins with `$ ` is a verb; those with `#` and empty ones are prose; all others are what the verb before
//! them printed. No times are printed, and names are short ones: a transcript changes when behaviour does.

mod deeds;
mod names;
mod narrator;
mod people;
mod show;
mod stage;
mod verbs;

use std::fmt;

use tokio::runtime::Runtime;

use self::stage::Stage;
pub(crate) use self::verbs::HELP;
use crate::seeded::panics;

/// A world, and the script of it that was played so far.
pub(crate) struct Player {
    runtime: Runtime,
    /// Absent before the first verb.
    stage: Option<Stage>,
}

impl fmt::Debug for Player {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Player").finish_non_exhaustive()
    }
}

impl Player {
    pub(crate) fn new() -> Player {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime can be made");
        panics::forget();
        Player { runtime, stage: None }
    }

    /// Plays one verb; returns what it prints.
    ///
    /// # Errors
    /// What is wrong with the verb, or what must never happen and did.
    pub(crate) fn verb(&mut self, line: &str) -> Result<Vec<String>, String> {
        let answer = self.runtime.block_on(async {
            if self.stage.is_none() {
                let (servers, machines, is_all) = verbs::world(line)?;
                self.stage = Some(Stage::set(servers, machines).await);
                if is_all {
                    return Ok(Vec::new());
                }
            }
            let stage = self.stage.as_mut().ok_or("there is no world")?;
            verbs::play(stage, line).await
        });
        match panics::take().into_iter().next() {
            Some(panic) => Err(format!("a server panicked: {panic}")),
            None => answer,
        }
    }
}

/// Plays a whole script; returns it with what its verbs print now.
///
/// # Errors
/// The number of the line that cannot be played, and why.
pub(crate) fn play(script: &str) -> Result<String, String> {
    let mut player = Player::new();
    let mut transcript = String::new();
    for (number, line) in script.lines().enumerate() {
        if let Some(verb) = line.strip_prefix("$ ") {
            let printed = player.verb(verb).map_err(|error| format!("line {}: {error}", number + 1))?;
            for line in std::iter::once(line.to_owned()).chain(printed) {
                transcript += &format!("{line}\n");
            }
        } else if line.is_empty() || line.starts_with('#') {
            transcript += &format!("{line}\n");
        }
    }
    Ok(transcript)
}
