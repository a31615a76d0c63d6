//! The verbs of a script, and what each expects.

use std::time::Duration;

use tenure::api::Span;

use super::stage::Stage;
use super::{deeds, people, show};

/// What may stand in a script.
pub(crate) const HELP: &str = "\
One verb a line; lines that begin with # are prose. The first verb may set the world up; else it has two machines, a master and
one server. Machines have 4 cpus, 4096 MiB and the ports 31000-31099, and are in the racks r0 and r1 by turns.

  world machines=3 servers=2     servers=0: one process, with the master and the agent of one machine within

People:
  apply APP {SPEC}               server-side apply of an App of this spec: YAML, on one line
  set APP {SPEC}                 changes only what is named
  scale APP N | restart APP      as the commands of those names
  undo APP                       back to the revision before
  delete APP | delete TASK
  secret NAME {KEY: VALUE}
  confirm MACHINE                the end of the orphans that it asks about

Time:
  tick TIME                      30s, 5m, 1h30m
  wait APP ready|gone            as long as it takes

What is:
  show apps|tasks|endpoints|revisions|events [APP]
  show running                   what runs on the machines, whoever owns it
  show calls                     what was asked of the master since this was asked last
  agents                         the machines as their objects tell of them
  why APP                        its conditions

What goes wrong:
  crash SERVER [at SEAM]         kill -9, now or at its next passage of the seam; it is started again. `tenure` is who leads
  stop SERVER | start SERVER     kill -9, and nobody starts it again; now somebody does
  pause SERVER | resume SERVER   SIGSTOP and SIGCONT
  cut SERVER from store|master   ends by resume
  break SERVER                   its stream from the master, and it is told
  depose                         the leader's key is deleted by hand
  fail MACHINE | return MACHINE  its agent is away, tasks run on; it is back
  reboot MACHINE                 its tasks are gone, its agent is back in 10 s
  destroy MACHINE                it is gone for good, with its tasks
  drain MACHINE | deactivate MACHINE | reactivate MACHINE | gone MACHINE      as an operator tells the master
  maintain MACHINE in TIME       the operator plans to take it away for an hour; `maintain nothing`: and gives up all such plans
  down MACHINE | up MACHINE      takes it away; gives it back
  rescind                        every offer
  fail master for TIME | fail store down|full|stalled | heal store
  kill TASK | lose TASK          somebody ends what runs; its container vanishes
  forget TASK                    its document is removed from the store by hand

The first word of an App's `cmd` decides what becomes of its tasks: `crash` fails after a second, `exit` ends well after ten,
`refuse` does not start, `refuse-on 0` does not on machine-0, `slow` needs 40 s to start, `hang` never does, `warm` is ready after
30 s, `checked` is healthy, `sicken` only for 30 s, `outlast` ends only when the grace of a kill is over; anything else runs.
";

/// The world that a script begins with: servers, machines, and whether the line says nothing else.
pub(super) fn world(line: &str) -> Result<(usize, usize, bool), String> {
    let (mut servers, mut machines) = (1, 2);
    let mut words = line.split_whitespace();
    if words.next() != Some("world") {
        return Ok((servers, machines, false));
    }
    for word in words {
        let parts = word.split_once('=').and_then(|(name, count)| Some((name, count.parse::<usize>().ok()?)));
        match parts {
            Some(("servers", count @ 0..=5)) => servers = count,
            Some(("machines", count @ 1..=9)) => machines = count,
            _ => return Err(format!("{word:?} is neither servers=0…5 nor machines=1…9")),
        }
    }
    if servers == 0 && machines != 1 {
        return Err("servers=0 is one process on one machine: machines=1".to_owned());
    }
    Ok((servers, machines, true))
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let span =
        text.parse::<Span>().map_err(|error| format!("{text:?} is no time such as 30s or 5m: {error}"))?;
    Ok(span.duration())
}

/// Plays one verb; returns what it answers, and what happened meanwhile.
pub(super) async fn play(stage: &mut Stage, line: &str) -> Result<Vec<String>, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut printed = match words.as_slice() {
        ["world", ..] => return Err("the world is there already: `world` is the first verb".to_owned()),
        ["help"] => HELP.lines().map(str::to_owned).collect(),
        ["tick", span] => {
            let span = duration(span)?;
            stage.world.run_for(span).await;
            Vec::new()
        }
        ["wait", app, what @ ("ready" | "gone")] => {
            people::wait(stage, app, what).await?;
            Vec::new()
        }
        ["agents"] => show::agents(stage),
        ["show", "calls"] => show::calls(stage),
        ["show", what] => show::show(stage, what, None)?,
        ["show", what, app] => show::show(stage, what, Some(app))?,
        ["why", app] => show::why(stage, app)?,
        _ => match people::act(stage, line, &words).await? {
            Some(answer) => answer,
            None => {
                deeds::act(stage, &words).await?;
                Vec::new()
            }
        },
    };
    printed.extend(stage.story().await?);
    Ok(printed)
}

/// What is wrong with a line that no verb takes.
pub(super) fn not_understood(words: &[&str]) -> String {
    let verb = words.first().copied().unwrap_or_default();
    let usage: Vec<&str> = HELP
        .lines()
        .filter(|line| line.starts_with("  "))
        .flat_map(|line| line.split('|'))
        .map(|part| part.split("   ").next().unwrap_or_default().trim())
        .filter(|part| part.split(' ').next() == Some(verb))
        .collect();
    match usage.as_slice() {
        [] => format!("there is no verb {verb:?}: `help` tells them"),
        usage => format!("{:?} is not understood: {}", words.join(" "), usage.join(", or ")),
    }
}
