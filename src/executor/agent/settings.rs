//! What an agent tells its executor in the environment.

use std::path::PathBuf;
use std::time::Duration;

use super::link::Place;
use crate::executor::launcher::Serves;
use crate::executor::life;
use crate::mesos::wire::{AGENT_HOST, ExecutorId, FrameworkId, INSTALLATION, SHARED_EXECUTOR};

/// What Mesos's agents use where they say nothing.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(15 * 60);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// The agent sends what waits for a new executor at once.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// A look costs dockerd one list of this installation's containers, of whichever executor of the machine it is.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
const SWEEP_LEAST: Duration = Duration::from_millis(100);

/// What this executor is, and how its agent wants it to behave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) framework_id: FrameworkId,
    pub(super) executor_id: ExecutorId,
    /// Where the agent is.
    pub(super) place: Place,
    /// How connections to its address are secured; absent where they are not.
    pub(super) tls: Option<TlsSettings>,
    /// Proves to the agent who calls.
    pub(super) token: Option<String>,
    /// The sandbox as this process sees it.
    pub(super) sandbox: PathBuf,
    /// The sandbox as the machine, and so its Docker engine, sees it.
    pub(super) host_sandbox: PathBuf,
    /// How long to go on without an agent, and for how long one that is back takes its executors back; absent where the framework wants
    /// no checkpoints: then everything ends with the agent.
    pub(super) recovery: Option<Recovery>,
    /// After SHUTDOWN the agent ends this process by force in this time.
    pub(super) shutdown_grace: Duration,
    /// How long to stay, subscribed, without a task (`TENURE_EXECUTOR_IDLE_MAX`).
    pub(super) idle_max: Duration,
    /// Where executors show that they live (`TENURE_EXECUTOR_LOCKS`).
    pub(super) locks: PathBuf,
    /// How often containers of dead executors are looked for (`TENURE_EXECUTOR_SWEEP`); absent where they are not, which is asked for
    /// by 0.
    pub(super) sweep_every: Option<Duration>,
    /// Whose tasks these are; on every container.
    pub(super) installation: String,
    pub(super) serves: Serves,
    /// dockerd's address.
    pub(super) docker_host: Option<String>,
}

/// The agent may be restarted while tasks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Recovery {
    pub(super) timeout: Duration,
    pub(super) backoff_max: Duration,
}

/// TLS as the variables of libprocess want it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TlsSettings {
    /// Who must have signed the agent's certificate; absent where any will do.
    pub(super) authorities: Option<Authorities>,
    /// What is shown to an agent that asks who calls.
    pub(super) own: Option<Own>,
    /// The agent's host name, as the scheduler knows it.
    pub(super) host: Option<String>,
}

/// Where the authorities' certificates are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authorities {
    pub(super) file: Option<PathBuf>,
    pub(super) folder: Option<PathBuf>,
}

/// A certificate with its chain, and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// What of the environment cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SettingsError {
    #[error("{name} is not in the environment: this program is started by a Mesos agent")]
    Missing { name: &'static str },
    #[error("{name}={value}: wanted {allowed}")]
    Bad { name: &'static str, value: String, allowed: &'static str },
    #[error("{name} is set, and neither LIBPROCESS_SSL_CA_FILE nor LIBPROCESS_SSL_CA_DIR names an authority")]
    NoAuthority { name: &'static str },
    #[error("{given} is set, and {missing} is not: both are needed")]
    Half { given: &'static str, missing: &'static str },
}

impl Settings {
    /// Reads the environment through `variable`.
    ///
    /// # Errors
    /// Names the variable.
    pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Settings, SettingsError> {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        let needed = |name: &'static str| given(name).ok_or(SettingsError::Missing { name });
        let span = |name: &'static str, default: Duration| match given(name) {
            None => Ok(default),
            Some(value) => duration(&value).ok_or(SettingsError::Bad {
                name,
                value,
                allowed: "a number and a unit, such as 2secs or 15mins",
            }),
        };
        let sweep = span("TENURE_EXECUTOR_SWEEP", SWEEP_EVERY)?;
        let sandbox = PathBuf::from(needed("MESOS_SANDBOX")?);
        let recovery = Recovery {
            timeout: span("MESOS_RECOVERY_TIMEOUT", RECOVERY_TIMEOUT)?,
            backoff_max: span("MESOS_SUBSCRIPTION_BACKOFF_MAX", BACKOFF_MAX)?,
        };
        Ok(Settings {
            framework_id: FrameworkId::new(needed("MESOS_FRAMEWORK_ID")?),
            executor_id: ExecutorId::new(needed("MESOS_EXECUTOR_ID")?),
            tls: tls(&given)?,
            place: place(&given)?,
            token: given("MESOS_EXECUTOR_AUTHENTICATION_TOKEN"),
            host_sandbox: given("MESOS_DIRECTORY").map_or_else(|| sandbox.clone(), PathBuf::from),
            sandbox,
            recovery: (given("MESOS_CHECKPOINT").as_deref() == Some("1")).then_some(recovery),
            shutdown_grace: span("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", SHUTDOWN_GRACE)?,
            idle_max: span("TENURE_EXECUTOR_IDLE_MAX", IDLE_MAX)?,
            locks: PathBuf::from(given("TENURE_EXECUTOR_LOCKS").unwrap_or_else(|| life::FOLDER.to_owned())),
            sweep_every: (!sweep.is_zero()).then_some(sweep.max(SWEEP_LEAST)),
            installation: needed(INSTALLATION)?,
            serves: given(SHARED_EXECUTOR).map_or(Serves::OneTask, |_| Serves::ManyTasks),
            docker_host: given("DOCKER_HOST"),
        })
    }
}

/// The agent's socket if it has one for its executors, else its address.
fn place(given: &impl Fn(&str) -> Option<String>) -> Result<Place, SettingsError> {
    if let Some(path) = given("MESOS_DOMAIN_SOCKET") {
        return Ok(Place::Socket(PathBuf::from(path)));
    }
    let name = "MESOS_AGENT_ENDPOINT";
    let value = given(name).ok_or(SettingsError::Missing { name })?;
    let port = value.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    match port.and_then(|(_, port)| port.parse::<u16>().ok()) {
        Some(port) if port != 0 => Ok(Place::Address(value)),
        _ => Err(SettingsError::Bad { name, value, allowed: "HOST:PORT" }),
    }
}

/// The names that this had before Mesos 1.10 count, too; who asks others for certificates looks at theirs.
const VERIFY: [&str; 4] = [
    "LIBPROCESS_SSL_VERIFY_SERVER_CERT",
    "LIBPROCESS_SSL_VERIFY_CERT",
    "LIBPROCESS_SSL_REQUIRE_CLIENT_CERT",
    "LIBPROCESS_SSL_REQUIRE_CERT",
];

/// How an agent's address is secured; its socket needs nothing.
fn tls(given: &impl Fn(&str) -> Option<String>) -> Result<Option<TlsSettings>, SettingsError> {
    let is_set = |name: &'static str| match given(name).as_deref() {
        None | Some("0" | "false") => Ok(false),
        Some("1" | "true") => Ok(true),
        Some(value) => {
            Err(SettingsError::Bad { name, value: value.to_owned(), allowed: "true, 1, false or 0" })
        }
    };
    if given("MESOS_DOMAIN_SOCKET").is_some() || !is_set("LIBPROCESS_SSL_ENABLED")? {
        return Ok(None);
    }
    let path = |name: &str| given(name).map(PathBuf::from);
    let mut verifies = None;
    for name in VERIFY {
        verifies = verifies.or(is_set(name)?.then_some(name));
    }
    let (file, folder) = (path("LIBPROCESS_SSL_CA_FILE"), path("LIBPROCESS_SSL_CA_DIR"));
    let authorities = match verifies {
        None => None,
        Some(name) if file.is_none() && folder.is_none() => return Err(SettingsError::NoAuthority { name }),
        Some(_) => Some(Authorities { file, folder }),
    };
    let (certificate, key) = ("LIBPROCESS_SSL_CERT_FILE", "LIBPROCESS_SSL_KEY_FILE");
    let own = match (path(certificate), path(key)) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some(Own { certificate, key }),
        (Some(_), None) => return Err(SettingsError::Half { given: certificate, missing: key }),
        (None, Some(_)) => return Err(SettingsError::Half { given: key, missing: certificate }),
    };
    Ok(Some(TlsSettings { authorities, own, host: given(AGENT_HOST) }))
}

/// A duration as Mesos spells it: `2secs`, `1.5mins`.
fn duration(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let seconds = match &text[unit..] {
        "ns" => 1e-9,
        "us" => 1e-6,
        "ms" => 1e-3,
        "secs" => 1.0,
        "mins" => 60.0,
        "hrs" => 3600.0,
        "days" => 86_400.0,
        "weeks" => 604_800.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(text[..unit].parse::<f64>().ok()? * seconds).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// As a real agent gave it (recording 27), with what Tenure adds.
    fn recorded() -> BTreeMap<&'static str, &'static str> {
        [
            ("LIBPROCESS_IP", "127.0.0.16"),
            ("LIBPROCESS_PORT", "0"),
            ("MESOS_AGENT_ENDPOINT", "127.0.0.16:5051"),
            ("MESOS_CHECKPOINT", "1"),
            ("MESOS_DIRECTORY", "/var/lib/mesos/runs/3aab6780"),
            ("MESOS_EXECUTOR_ID", "ex1"),
            ("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", "3secs"),
            ("MESOS_FRAMEWORK_ID", "1f273792-0000"),
            ("MESOS_HTTP_COMMAND_EXECUTOR", "0"),
            ("MESOS_RECOVERY_TIMEOUT", "15mins"),
            ("MESOS_SANDBOX", "/mnt/mesos/sandbox"),
            ("MESOS_SUBSCRIPTION_BACKOFF_MAX", "2secs"),
            ("TENURE_INSTALLATION", "u-1"),
        ]
        .into()
    }

    fn with(name: &'static str, value: &'static str) -> Result<Settings, SettingsError> {
        with_all(&[(name, value)])
    }

    fn with_all(given: &[(&'static str, &'static str)]) -> Result<Settings, SettingsError> {
        let mut variables = recorded();
        variables.extend(given.iter().copied());
        Settings::read(|name| variables.get(name).map(|value| (*value).to_owned()))
    }

    #[test]
    fn the_environment_of_a_real_agent_is_understood() {
        let settings = with("X", "").unwrap();
        assert_eq!(settings.place, Place::Address("127.0.0.16:5051".to_owned()));
        assert_eq!(settings.shutdown_grace, Duration::from_secs(3));
        let recovery = Recovery { timeout: Duration::from_secs(900), backoff_max: Duration::from_secs(2) };
        assert_eq!(settings.recovery, Some(recovery));
        assert_eq!(settings.host_sandbox, PathBuf::from("/var/lib/mesos/runs/3aab6780"));
        assert_eq!((settings.token, settings.docker_host, settings.serves), (None, None, Serves::OneTask));
        assert_eq!(with(SHARED_EXECUTOR, "1").unwrap().serves, Serves::ManyTasks);

        assert_eq!(with("MESOS_CHECKPOINT", "0").unwrap().recovery, None);
        let sweeps =
            ["", "10mins", "1us", "0secs"].map(|it| with("TENURE_EXECUTOR_SWEEP", it).unwrap().sweep_every);
        let seconds = sweeps.map(|every| every.map(|it| it.as_secs_f64()));
        assert_eq!(seconds, [Some(60.0), Some(600.0), Some(0.1), None]);
        let socket = with("MESOS_DOMAIN_SOCKET", "/run/agent.sock").unwrap();
        assert_eq!(socket.place, Place::Socket("/run/agent.sock".into()));
    }

    #[test]
    fn what_is_missing_or_malformed_is_named() {
        let rows = [
            ("MESOS_EXECUTOR_ID", "", "MESOS_EXECUTOR_ID is not in the environment"),
            ("TENURE_INSTALLATION", "", "TENURE_INSTALLATION is not in the environment"),
            ("MESOS_AGENT_ENDPOINT", "agent", "MESOS_AGENT_ENDPOINT=agent: wanted HOST:PORT"),
            ("MESOS_AGENT_ENDPOINT", "agent:0", "MESOS_AGENT_ENDPOINT=agent:0: wanted HOST:PORT"),
            ("MESOS_RECOVERY_TIMEOUT", "15", "MESOS_RECOVERY_TIMEOUT=15: wanted a number and a unit"),
            ("MESOS_RECOVERY_TIMEOUT", "-1secs", "MESOS_RECOVERY_TIMEOUT=-1secs: wanted a number"),
            ("LIBPROCESS_SSL_ENABLED", "yes", "LIBPROCESS_SSL_ENABLED=yes: wanted true, 1, false or 0"),
        ];
        for (name, value, words) in rows {
            let error = with(name, value).unwrap_err().to_string();
            assert!(error.starts_with(words), "{name}={value}: {error}");
        }
    }

    #[test]
    fn tls_is_as_the_variables_of_libprocess_want_it() {
        let tls = |more: &[(&'static str, &'static str)]| {
            with_all(&[&[("LIBPROCESS_SSL_ENABLED", "1")], more].concat()).map(|settings| settings.tls)
        };
        assert_eq!(with("LIBPROCESS_SSL_ENABLED", "false").unwrap().tls, None);
        let unverified = TlsSettings { authorities: None, own: None, host: None };
        assert_eq!(tls(&[]), Ok(Some(unverified.clone())), "as Mesos: no certificate is looked at");
        assert_eq!(tls(&[("LIBPROCESS_SSL_CA_FILE", "/ca.pem")]), Ok(Some(unverified)));
        assert_eq!(tls(&[("MESOS_DOMAIN_SOCKET", "/run/agent.sock")]), Ok(None));

        let authorities = Some(Authorities { file: Some("/ca.pem".into()), folder: None });
        for name in VERIFY {
            let given = tls(&[(name, "true"), ("LIBPROCESS_SSL_CA_FILE", "/ca.pem"), (AGENT_HOST, "m7")]);
            let wanted =
                TlsSettings { authorities: authorities.clone(), own: None, host: Some("m7".to_owned()) };
            assert_eq!(given, Ok(Some(wanted)), "{name}");
            assert_eq!(tls(&[(name, "1")]), Err(SettingsError::NoAuthority { name }));
        }
        let (certificate, key) = ("LIBPROCESS_SSL_CERT_FILE", "LIBPROCESS_SSL_KEY_FILE");
        let own = Own { certificate: "/c.pem".into(), key: "/k.pem".into() };
        let given = tls(&[(certificate, "/c.pem"), (key, "/k.pem")]).unwrap().unwrap();
        assert_eq!(given.own, Some(own));
        assert_eq!(
            tls(&[(certificate, "/c.pem")]),
            Err(SettingsError::Half { given: certificate, missing: key })
        );
    }

    #[test]
    fn durations_have_mesos_units_and_fractions() {
        let rows = [("2.5secs", 2_500), ("15mins", 900_000), ("0ns", 0), ("1.5hrs", 5_400_000)];
        for (text, millis) in rows {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "secs", "5 secs", "5s", "1e999secs"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
