//! The eight scenarios: what is there before, and the act that is perturbed.

use serde_json::{Value, json};

/// A scenario: `before` is done undisturbed and settles; `act` is what is perturbed, to its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) servers: usize,
    /// What the App is created with, and the operator of its constraint on host names, if any. How many tasks each machine
    /// has is then determined, and compared.
    pub(crate) instances: u32,
    pub(crate) apart: Option<(&'static str, Option<&'static str>)>,
    /// Whether servers are there before; otherwise they start with the act.
    pub(crate) served: bool,
    pub(crate) before: &'static [Deed],
    pub(crate) act: &'static [Deed],
}

/// Something that people or misfortune do.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Deed {
    CreateApp,
    Scale(u32),
    /// A new command, and so a new Revision.
    Roll(&'static str),
    DeleteApp,
    /// Waits until the store knows so many Revisions that a Task was launched for.
    Launched(usize),
    LoseMachine(usize),
    CrashLeader,
}

/// Every scenario has these machines.
pub(crate) const MACHINES: usize = 3;

const UNIQUE: Option<(&str, Option<&str>)> = Some(("UNIQUE", None));

pub(crate) const ALL: [Scenario; 8] = [
    Scenario {
        name: "create",
        servers: 1,
        instances: 3,
        apart: UNIQUE,
        served: false,
        before: &[],
        act: &[Deed::CreateApp],
    },
    Scenario {
        name: "scale-up",
        servers: 1,
        instances: 2,
        apart: Some(("MAX_PER", Some("2"))),
        served: true,
        before: &[Deed::CreateApp],
        act: &[Deed::Scale(6)],
    },
    Scenario {
        name: "scale-down",
        servers: 1,
        instances: 5,
        apart: None,
        served: true,
        before: &[Deed::CreateApp],
        act: &[Deed::Scale(2)],
    },
    Scenario {
        name: "roll",
        servers: 1,
        instances: 3,
        apart: UNIQUE,
        served: true,
        before: &[Deed::CreateApp],
        act: &[Deed::Roll("checked 2")],
    },
    Scenario {
        name: "roll-redirected",
        servers: 1,
        instances: 3,
        apart: UNIQUE,
        served: true,
        before: &[Deed::CreateApp],
        act: &[Deed::Roll("checked 2"), Deed::Launched(2), Deed::Roll("checked 3")],
    },
    Scenario {
        name: "agent-lost",
        servers: 1,
        instances: 3,
        apart: None,
        served: true,
        before: &[Deed::CreateApp],
        act: &[Deed::LoseMachine(1)],
    },
    Scenario {
        name: "failover",
        servers: 2,
        instances: 3,
        apart: UNIQUE,
        served: true,
        before: &[Deed::CreateApp],
        act: &[Deed::Roll("checked 2"), Deed::Launched(2), Deed::CrashLeader],
    },
    Scenario {
        name: "delete",
        servers: 1,
        instances: 3,
        apart: UNIQUE,
        served: true,
        before: &[Deed::CreateApp],
        act: &[Deed::DeleteApp],
    },
];

impl Scenario {
    /// The scenario of this name; for an unknown one, the names that there are.
    pub(crate) fn named(name: &str) -> Result<&'static Scenario, String> {
        let names = || ALL.map(|it| it.name).join(", ");
        ALL.iter().find(|it| it.name == name).ok_or_else(|| format!("{name:?} is none of: {}", names()))
    }

    /// The App as it is created.
    pub(crate) fn app(&self) -> Value {
        let constraints = self.apart.map(|(operator, value)| {
            let mut constraint = json!({"attribute": "hostname", "operator": operator});
            if let Some(value) = value {
                constraint["value"] = json!(value);
            }
            constraint
        });
        json!({
            "apiVersion": "tenure.dev/v1",
            "kind": "App",
            "metadata": {"namespace": "shop", "name": "web"},
            "spec": {
                "instances": self.instances,
                "cmd": "checked 1",
                "ports": [{"name": "http"}],
                "healthChecks": [{"tcp": {"port": "http"}}],
                "constraints": constraints.into_iter().collect::<Vec<_>>(),
                "update": {"minimumHealthCapacity": 1.0, "maximumOverCapacity": 0.34},
                "unreachable": {"inactiveAfter": "0s", "expungeAfter": "90s"},
                "kill": {"gracePeriod": "1s"},
            },
        })
    }
}
