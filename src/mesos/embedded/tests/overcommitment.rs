//! Whatever frameworks do, no resource is offered or used twice.
//!
//! The master itself checks after every event that free, offered and used add up on every agent; here two frameworks do
//! their worst, and what they hold at the end is added up from outside.

use proptest::prelude::*;

use super::*;

/// One thing that a framework may do.
#[derive(Debug, Clone)]
enum Deed {
    /// Accepts all that it holds, for tasks of so many thousandths of a cpu, on these ports.
    Accept {
        cpus: Vec<u32>,
        port: u64,
    },
    /// Accepts an offer that it has spent already.
    AcceptAgain,
    Decline {
        refuse: f64,
    },
    /// Kills the oldest task that it knows.
    Kill,
    /// Its stream breaks, and it comes back.
    Resubscribe,
    Revive,
    Wait {
        seconds: u64,
    },
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => (proptest::collection::vec(0_u32..3000, 1..4), 30_990_u64..31_110)
            .prop_map(|(cpus, port)| Deed::Accept { cpus, port }),
        1 => Just(Deed::AcceptAgain),
        2 => (0_u32..20).prop_map(|seconds| Deed::Decline { refuse: f64::from(seconds) }),
        2 => Just(Deed::Kill),
        1 => Just(Deed::Resubscribe),
        1 => Just(Deed::Revive),
        3 => (1_u64..30).prop_map(|seconds| Deed::Wait { seconds }),
    ]
}

/// A framework that acknowledges everything and keeps count.
struct Busy {
    framework: Framework,
    name: char,
    held: Vec<Offer>,
    spent: Vec<Offer>,
    alive: Vec<String>,
    launched: usize,
}

impl Busy {
    async fn new(server: &Server, name: char) -> Busy {
        let framework = Framework::subscribe(server, None).await;
        Busy { framework, name, held: Vec::new(), spent: Vec::new(), alive: Vec::new(), launched: 0 }
    }

    async fn does(&mut self, deed: Deed, server: &Server) {
        match deed {
            Deed::Accept { cpus, port } => {
                let offers = std::mem::take(&mut self.held);
                let Some(first) = offers.first() else { return };
                let tasks = cpus.iter().map(|thousandths| {
                    self.launched += 1;
                    let cpus = f64::from(*thousandths) / 1000.0;
                    let id = format!("{}{}", self.name, self.launched);
                    task(&id, first, &format!("cpus:{cpus};mem:1;ports:[{port}-{port}]"))
                });
                let tasks: Vec<TaskInfo> = tasks.collect();
                self.alive.extend(tasks.iter().map(|task| task.name.clone()));
                self.framework.accept(&offers, tasks).await;
                self.spent = offers;
            }
            Deed::AcceptAgain => {
                let Some(offer) = self.spent.first() else { return };
                let task = task("again", offer, "cpus:1");
                self.framework.accept(std::slice::from_ref(offer), vec![task]).await;
            }
            Deed::Decline { refuse } => {
                for offer in std::mem::take(&mut self.held) {
                    self.framework.decline(&offer.id, refuse).await;
                }
            }
            Deed::Kill => {
                if let Some(id) = self.alive.first().cloned() {
                    self.framework.kill(&id, None).await;
                }
            }
            Deed::Resubscribe => {
                self.held.clear();
                let id = self.framework.id.clone();
                self.framework = Framework::subscribe(server, Some(&id)).await;
            }
            Deed::Revive => {
                self.framework.call(Call { revive: Some(Roles::default()), ..of(CallType::Revive) }).await;
            }
            Deed::Wait { seconds } => self.listen(Duration::from_secs(seconds)).await,
        }
    }

    /// Takes in what comes, for so long.
    async fn listen(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while let Ok(event) = tokio::time::timeout_at(until, self.framework.next()).await {
            let event = event.expect("the stream goes on");
            if let Some(offers) = event.offers {
                self.held.extend(offers.offers);
            }
            if let Some(rescind) = event.rescind {
                self.held.retain(|offer| offer.id != rescind.offer_id);
            }
            if let Some(update) = event.update {
                let status = update.status;
                if status.uuid.is_some() {
                    self.framework.acknowledge(&status).await;
                }
                if status.state().is_terminal() {
                    self.alive.retain(|id| *id != status.task_id.value);
                }
            }
        }
    }

    /// Thousandths of a cpu in the offers that it holds.
    fn held_cpus(&self) -> f64 {
        self.held.iter().map(cpus).sum()
    }
}

/// What all living tasks were promised.
fn used_cpus(machine: &Machine) -> f64 {
    machine.descriptions().iter().map(|task| task.resources[0].scalar.map_or(0.0, |s| s.value)).sum()
}

fn ports_in_use(machine: &Machine) -> Vec<u64> {
    let ports = |task: TaskInfo| {
        let ranges = task.resources.into_iter().find(|r| r.name == "ports")?.ranges?;
        ranges.range.first().map(|range| range.begin)
    };
    machine.descriptions().into_iter().filter_map(ports).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_ever_promised_twice(deeds in proptest::collection::vec((any::<bool>(), deed()), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut world = World::new(Machine::reliable());
            let server = world.start().await;
            let (mut a, mut b) = (Busy::new(&server, 'a').await, Busy::new(&server, 'b').await);
            for (first, deed) in deeds {
                if first { a.does(deed, &server).await } else { b.does(deed, &server).await }
            }
            a.listen(Duration::from_secs(2)).await;
            b.listen(Duration::from_secs(2)).await;
            let total = used_cpus(&world.machine) + a.held_cpus() + b.held_cpus();
            assert!(total <= 4.0 + 1e-9, "{total} cpus of 4");
            let mut ports = ports_in_use(&world.machine);
            let count = ports.len();
            ports.sort_unstable();
            ports.dedup();
            assert_eq!(ports.len(), count, "a port is used twice: {ports:?}");
            assert!(!server.env.is_crashed());
        });
    }
}
