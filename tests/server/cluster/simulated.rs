//! A simulated cluster whose parts can be ended by themselves: a master, and two agents that join it, which run the executors of tasks.

use std::collections::BTreeMap;
use std::path::Path;

use tempfile::TempDir;

use super::Part;
use crate::dockerd::Dockerd;
use crate::harness::port_block;
use crate::mesos::Mesos;

/// The names of the agents; each has one host, which is this and a 1.
const AGENTS: [&str; 2] = ["left", "right"];

/// How many ports an agent offers: those of two agents of one machine must differ.
const PORTS: u16 = 50;

pub(super) struct Simulated {
    /// By host; they end before the master does.
    agents: BTreeMap<String, Mesos>,
    master: Mesos,
    _work: TempDir,
}

impl Simulated {
    pub(super) async fn start(dockerd: &Dockerd) -> Simulated {
        let work = tempfile::tempdir().unwrap();
        let folder = |name: &str| work.path().join(name).to_str().unwrap().to_owned();
        let own = folder("master");
        let flags = ["--agents", "0", "--work-dir", &own, "--agent-ping-timeout", "10s"];
        let master = Mesos::start(&flags).await;
        let first = port_block();
        let mut agents = BTreeMap::new();
        for (name, first) in AGENTS.into_iter().zip([first, first + PORTS]) {
            let ports = format!("ports:[{first}-{}]", first + PORTS - 1);
            let agent = start_agent(&master, name, Path::new(&folder(name)), &ports, dockerd).await;
            agents.insert(format!("{name}1"), agent);
        }
        Simulated { agents, master, _work: work }
    }

    pub(super) fn url(&self) -> String {
        self.master.url()
    }

    fn part(&mut self, part: Part, host: &str) -> &mut Mesos {
        match part {
            Part::Master => &mut self.master,
            Part::Agent => self.agents.get_mut(host).unwrap(),
        }
    }

    pub(super) fn kill9(&mut self, part: Part, host: &str) {
        self.part(part, host).kill9();
    }

    pub(super) async fn up(&mut self, part: Part, host: &str) {
        self.part(part, host).up().await;
    }
}

async fn start_agent(master: &Mesos, name: &str, work: &Path, ports: &str, dockerd: &Dockerd) -> Mesos {
    let flags = ["--agents", "1", "--agent-name", name, "--work-dir", work.to_str().unwrap()];
    // A machine that is loaded is no reason to give executors up; where a test ends with them they end soon after.
    let patient = ["--executor-reregistration-timeout", "15s", "--recovery-timeout", "2m"];
    let flags = [&flags[..], &patient, &["--agent-resources", ports]].concat();
    master.joined_by(&flags, &[("DOCKER_HOST", dockerd.host())]).await
}
