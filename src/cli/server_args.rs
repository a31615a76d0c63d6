//! The settings of `tenure server`: flags, `TENURE_…` in the environment, and the TOML file of `--config`, in this order
//! of precedence; then the defaults.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context as _, bail};
use clap::Args;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_with::DeserializeFromStr;

use crate::api::{Bytes, Cpus, Span, role};

/// The least time for a launch to be confirmed in.
const LEAST_SILENCE: Span = Span::from_secs(60);

/// The settings as given; absent ones are looked up elsewhere.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ServerArgs {
    /// A TOML file with the names of these flags as keys
    #[arg(long, env = "TENURE_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// The folder for everything that is kept [default: /var/lib/tenure as root, else the XDG data folder]
    #[arg(long, env = "TENURE_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The name of this installation [default: tenure]
    #[arg(long, env = "TENURE_NAME")]
    pub name: Option<String>,
    /// Where the Kubernetes API and the UI listen, with TLS [default: 127.0.0.1:7443]
    #[arg(long, env = "TENURE_LISTEN", value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Authorities (PEM) whose client certificates are believed: the common name is the user, the organizations are the groups
    #[arg(long, env = "TENURE_CLIENT_CA_FILE", value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// Where the Marathon API listens, or `off` [default: 127.0.0.1:8080]
    #[arg(long, env = "TENURE_MARATHON_LISTEN", value_name = "ADDR|off")]
    pub marathon_listen: Option<Listen>,
    /// Where DNS listens, or `off` [default: off]
    #[arg(long, env = "TENURE_DNS_LISTEN", value_name = "ADDR|off")]
    pub dns_listen: Option<Listen>,
    /// Where agents fetch executor and artifacts, or `off` [default: on when --mesos is not embedded]
    #[arg(long, env = "TENURE_ARTIFACT_LISTEN", value_name = "ADDR|off")]
    pub artifact_listen: Option<Listen>,
    /// The URL that agents fetch the executor at, where a name or a balancer leads to whichever of several servers runs: a new leader then
    /// leaves their caches as they are, and launches under way to another server [default: http:// and this server's --address]
    #[arg(long, env = "TENURE_ARTIFACT_URL", value_name = "URL")]
    pub artifact_url: Option<ArtifactUrl>,
    /// The address that agents reach this server at, and that Endpoints of this machine publish [default: of the default route]
    #[arg(long, env = "TENURE_ADDRESS", value_name = "HOST")]
    pub address: Option<String>,
    /// Where documents are stored [default: embedded]
    #[arg(long, env = "TENURE_STORE", value_name = "embedded|etcd[s]://HOST:PORT,…")]
    pub store: Option<StoreTarget>,
    /// A TOML file with the keys user and password, or ca, cert and key (PEM files), for etcd
    #[arg(long, env = "TENURE_STORE_AUTH_FILE", value_name = "FILE")]
    pub store_auth_file: Option<PathBuf>,
    /// The cluster [default: embedded, with this machine as its agent]
    #[arg(long, env = "TENURE_MESOS", value_name = "embedded|http[s]://HOST:PORT,…|zk://…")]
    pub mesos: Option<MesosTarget>,
    /// The Mesos roles to take resources for, several as a list or by giving it again; Apps that name none are in the first one
    /// [default: *]
    #[arg(long, env = "TENURE_MESOS_ROLE", value_name = "ROLE,…", value_delimiter = ',', value_parser = mesos_role)]
    #[serde(default, deserialize_with = "one_or_several")]
    pub mesos_role: Vec<String>,
    /// Has Mesos also offer what it lends until it wants it back, for Apps that ask for it with spec.revocable
    #[arg(long, env = "TENURE_MESOS_REVOCABLE")]
    #[serde(default)]
    pub mesos_revocable: bool,
    /// How messages to and from the Mesos master are written; JSON can be read by people and is twice as long [default: protobuf]
    #[arg(long, env = "TENURE_MESOS_ENCODING", value_name = "protobuf|json")]
    pub mesos_encoding: Option<MesosEncoding>,
    /// A file with `principal:secret` for Mesos, readable by its owner alone
    #[arg(long, env = "TENURE_MESOS_AUTH_FILE", value_name = "FILE")]
    pub mesos_auth_file: Option<PathBuf>,
    /// The id of a framework that Mesos has removed: a new one is registered in its place, and all Apps are started again
    #[arg(long, env = "TENURE_MESOS_REGISTER_ANEW", value_name = "FRAMEWORK-ID")]
    pub mesos_register_anew: Option<String>,
    /// The authority (PEM) that signed the masters' certificates, for --mesos https://…; with zk://… it says that the masters speak TLS
    #[arg(long, env = "TENURE_MESOS_CA_FILE", value_name = "FILE")]
    pub mesos_ca_file: Option<PathBuf>,
    /// The certificate (PEM) to show to masters and agents that ask for one, with --mesos-key
    #[arg(long, env = "TENURE_MESOS_CERT", value_name = "FILE")]
    pub mesos_cert: Option<PathBuf>,
    /// The key (PEM) of --mesos-cert, readable by its owner alone
    #[arg(long, env = "TENURE_MESOS_KEY", value_name = "FILE")]
    pub mesos_key: Option<PathBuf>,
    /// Where Mesos agents have tenure-executor from, which runs the tasks: `artifact`, fetched from --artifact-listen; a URI that they
    /// fetch; a path on each of them; or `off`, to run tasks by what Mesos brings along [default: artifact]
    #[arg(long, env = "TENURE_MESOS_EXECUTOR", value_name = "artifact|URI|PATH|off")]
    pub mesos_executor: Option<ExecutorOrigin>,
    /// Whether each task has an executor of its own, or all tasks on an agent one: fewer processes, and all tasks on the agent end when
    /// that one does [default: task]
    #[arg(long, env = "TENURE_MESOS_EXECUTOR_PER", value_name = "task|agent")]
    pub mesos_executor_per: Option<ExecutorPer>,
    /// After how long without a word about a task's launch the cluster is asked, at least 1m; if it does not know of it, or has nothing
    /// to say for 11 minutes, the task is replaced [default: 5m]
    #[arg(long, env = "TENURE_TASK_LAUNCH_CONFIRM_TIMEOUT", value_name = "TIME")]
    pub task_launch_confirm_timeout: Option<Span>,
    /// How long a task may take to run once it has a place, files and images that are fetched included, at least
    /// --task-launch-confirm-timeout; then it is replaced [default: 1h]
    #[arg(long, env = "TENURE_TASK_LAUNCH_TIMEOUT", value_name = "TIME")]
    pub task_launch_timeout: Option<Span>,
    /// What the embedded agent offers, such as `cpus:4;mem:4096;disk:10240;ports:[31000-32000]` [default: this machine's]
    #[arg(long, env = "TENURE_AGENT_RESOURCES", value_name = "RESOURCES")]
    pub agent_resources: Option<AgentResources>,
    /// The attributes of the embedded agent, such as `rack:r1;zone:a`
    #[arg(long, env = "TENURE_AGENT_ATTRIBUTES", value_name = "ATTRIBUTES")]
    pub agent_attributes: Option<AgentAttributes>,
}

/// The settings that a server runs with.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerConfig {
    /// The folder for everything that is kept.
    pub data_dir: PathBuf,
    /// The name of this installation: a part of its keys in the store.
    pub name: String,
    /// Where the Kubernetes API listens.
    pub listen: SocketAddr,
    /// Who signs the certificates that clients may show.
    pub client_ca_file: Option<PathBuf>,
    /// Where the Marathon API listens.
    pub marathon_listen: Listen,
    /// Where DNS listens.
    pub dns_listen: Listen,
    /// Where artifacts are served; `None` leaves it to the kind of cluster.
    pub artifact_listen: Option<Listen>,
    /// Where agents fetch the executor; `None` means this server.
    pub artifact_url: Option<ArtifactUrl>,
    /// The address to be reached at; `None` means that of the default route.
    pub address: Option<String>,
    /// Where documents are stored.
    pub store: StoreTarget,
    /// Credentials for etcd.
    pub store_auth_file: Option<PathBuf>,
    /// The cluster.
    pub mesos: MesosTarget,
    /// The Mesos roles, at least one; the first one is that of Apps that name none.
    pub mesos_roles: Vec<String>,
    /// Whether revocable resources are wanted.
    pub mesos_revocable: bool,
    /// Credentials for Mesos.
    pub mesos_auth_file: Option<PathBuf>,
    /// The removed framework in whose place a new one shall be registered.
    pub mesos_register_anew: Option<String>,
    /// Who signed the masters' certificates.
    pub mesos_ca_file: Option<PathBuf>,
    /// The certificate to show to masters and agents.
    pub mesos_cert: Option<PathBuf>,
    /// Its key.
    pub mesos_key: Option<PathBuf>,
    /// Where Mesos agents have the executor from; `None` means the default.
    pub mesos_executor: Option<ExecutorOrigin>,
    /// How messages to and from the Mesos master are written; `None` means the default.
    pub mesos_encoding: Option<MesosEncoding>,
    /// Which tasks have an executor in common; `None` means the default.
    pub mesos_executor_per: Option<ExecutorPer>,
    /// After how long the cluster is asked about a silent launch; `None` means the default.
    pub task_launch_confirm_timeout: Option<Span>,
    /// How long a launch may take; `None` means the default.
    pub task_launch_timeout: Option<Span>,
    /// What the embedded agent offers; `None` means what the machine has.
    pub agent_resources: Option<AgentResources>,
    /// The attributes of the embedded agent.
    pub agent_attributes: AgentAttributes,
}

impl ServerArgs {
    /// Adds the file of `--config` and the defaults.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, is not TOML, or has an unknown key or a malformed value; or if there is no home
    /// folder for the default data folder.
    pub fn resolve(self) -> anyhow::Result<ServerConfig> {
        let file = match &self.config {
            Some(path) => Self::read(path)?,
            None => Self::default(),
        };
        let data_dir = match self.data_dir.or(file.data_dir) {
            Some(folder) => folder,
            None => default_data_dir().context("there is no home folder: --data-dir is needed")?,
        };
        let confirmed = self.task_launch_confirm_timeout.or(file.task_launch_confirm_timeout);
        // What was launched a moment ago may not have reached the master, which would call it unknown.
        if confirmed.is_some_and(|it| it < LEAST_SILENCE) {
            bail!("--task-launch-confirm-timeout must be at least {LEAST_SILENCE}");
        }
        Ok(ServerConfig {
            data_dir,
            name: self.name.or(file.name).unwrap_or_else(|| "tenure".to_owned()),
            listen: self.listen.or(file.listen).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 7443))),
            client_ca_file: self.client_ca_file.or(file.client_ca_file),
            marathon_listen: self
                .marathon_listen
                .or(file.marathon_listen)
                .unwrap_or_else(|| Listen::At(SocketAddr::from(([127, 0, 0, 1], 8080)))),
            dns_listen: self.dns_listen.or(file.dns_listen).unwrap_or(Listen::Off),
            artifact_listen: self.artifact_listen.or(file.artifact_listen),
            artifact_url: self.artifact_url.or(file.artifact_url),
            address: self.address.or(file.address),
            store: self.store.or(file.store).unwrap_or(StoreTarget::Embedded),
            store_auth_file: self.store_auth_file.or(file.store_auth_file),
            mesos: self.mesos.or(file.mesos).unwrap_or(MesosTarget::Embedded),
            mesos_roles: mesos_roles(self.mesos_role, file.mesos_role)?,
            mesos_revocable: self.mesos_revocable || file.mesos_revocable,
            mesos_auth_file: self.mesos_auth_file.or(file.mesos_auth_file),
            mesos_register_anew: self.mesos_register_anew.or(file.mesos_register_anew),
            mesos_ca_file: self.mesos_ca_file.or(file.mesos_ca_file),
            mesos_cert: self.mesos_cert.or(file.mesos_cert),
            mesos_key: self.mesos_key.or(file.mesos_key),
            mesos_executor: self.mesos_executor.or(file.mesos_executor),
            mesos_encoding: self.mesos_encoding.or(file.mesos_encoding),
            mesos_executor_per: self.mesos_executor_per.or(file.mesos_executor_per),
            task_launch_confirm_timeout: confirmed,
            task_launch_timeout: self.task_launch_timeout.or(file.task_launch_timeout),
            agent_resources: self.agent_resources.or(file.agent_resources),
            agent_attributes: self.agent_attributes.or(file.agent_attributes).unwrap_or_default(),
        })
    }

    fn read(path: &std::path::Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
        toml::from_str(&text)
            .with_context(|| format!("{} is not a configuration of the server", path.display()))
    }
}

/// A role as it is called.
fn mesos_role(name: &str) -> Result<String, String> {
    match role::check(name) {
        Ok(()) => Ok(name.to_owned()),
        Err(error) => Err(format!("{error}; must be `*`, or a name such as `web` or `web/blue`")),
    }
}

/// The roles of the flags, else those of the file, else `*`.
fn mesos_roles(flags: Vec<String>, file: Vec<String>) -> anyhow::Result<Vec<String>> {
    let given = if flags.is_empty() { file } else { flags };
    let mut roles: Vec<String> = Vec::new();
    for name in given {
        if roles.contains(&name) {
            bail!("--mesos-role names {name:?} twice");
        }
        roles.push(name);
    }
    Ok(if roles.is_empty() { vec!["*".to_owned()] } else { roles })
}

/// In the file: `mesos-role = "web,batch"` or `["web", "batch"]`.
fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Roles {
        Text(String),
        List(Vec<String>),
    }
    let names = match Roles::deserialize(deserializer)? {
        Roles::Text(text) => text.split(',').map(str::to_owned).collect(),
        Roles::List(names) => names,
    };
    names.iter().map(|name| mesos_role(name)).collect::<Result<_, _>>().map_err(D::Error::custom)
}

/// `/var/lib/tenure` as root, else `tenure` in the XDG data folder.
#[must_use]
pub fn default_data_dir() -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Some(PathBuf::from("/var/lib/tenure"));
    }
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")))?;
    Some(data.join("tenure"))
}

/// A listener's address, or that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DeserializeFromStr)]
pub enum Listen {
    /// No listener.
    Off,
    /// A listener at this address.
    At(SocketAddr),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.parse().map(Self::At).map_err(|_| "must be an address such as 127.0.0.1:8080, or off".to_owned())
    }
}

/// Where documents are stored.
#[derive(Clone, Debug, PartialEq, Eq, DeserializeFromStr)]
pub enum StoreTarget {
    /// In the data folder.
    Embedded,
    /// In etcd: the whole URL, `etcds` for TLS.
    Etcd(String),
}

impl FromStr for StoreTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "must be embedded or etcd://HOST:PORT,HOST:PORT,… (etcds:// for TLS)".to_owned();
        match text.split_once("://") {
            None if text == "embedded" => Ok(Self::Embedded),
            Some(("etcd" | "etcds", hosts)) => {
                host_ports(hosts).map(|_| Self::Etcd(text.to_owned())).ok_or_else(expected)
            }
            _ => Err(expected()),
        }
    }
}

/// The cluster.
#[derive(Clone, Debug, PartialEq, Eq, DeserializeFromStr)]
pub enum MesosTarget {
    /// The master in this process, with this machine as its agent.
    Embedded,
    /// Masters at these URLs, one of which leads.
    Http(Vec<String>),
    /// The leading master as ZooKeeper tells it: the whole URL.
    Zk(String),
}

impl FromStr for MesosTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            "must be embedded, http://HOST:PORT,HOST:PORT,… (https:// for TLS) or zk://HOST:PORT,…/PATH"
                .to_owned()
        };
        if text == "embedded" {
            return Ok(Self::Embedded);
        }
        if let Some(rest) = text.strip_prefix("zk://") {
            let hosts = rest.split_once('/').map_or(rest, |(hosts, _)| hosts);
            let hosts = hosts.rsplit_once('@').map_or(hosts, |(_, hosts)| hosts);
            return host_ports(hosts).map(|_| Self::Zk(text.to_owned())).ok_or_else(expected);
        }
        // The scheme may be said once or before each host.
        let Some((scheme @ ("http" | "https"), rest)) = text.split_once("://") else {
            return Err(expected());
        };
        let hosts: Vec<&str> =
            rest.split(',').map(|host| host.trim_start_matches(&format!("{scheme}://"))).collect();
        let hosts = host_ports(&hosts.join(",")).ok_or_else(expected)?;
        Ok(Self::Http(hosts.into_iter().map(|host| format!("{scheme}://{host}")).collect()))
    }
}

/// Where Mesos agents have the executor from.
#[derive(Clone, Debug, Default, PartialEq, Eq, DeserializeFromStr)]
pub enum ExecutorOrigin {
    /// From this server, which has it beside its own program.
    #[default]
    Artifact,
    /// From this URI.
    Uri(String),
    /// They have it at this path.
    Path(String),
    /// From nowhere: what Mesos brings along runs the tasks.
    Off,
}

/// How messages to and from the Mesos master are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, DeserializeFromStr)]
pub enum MesosEncoding {
    #[default]
    Protobuf,
    Json,
}

impl FromStr for MesosEncoding {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "protobuf" => Ok(Self::Protobuf),
            "json" => Ok(Self::Json),
            _ => Err("must be protobuf or json".to_owned()),
        }
    }
}

/// Which tasks have an executor in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, DeserializeFromStr)]
pub enum ExecutorPer {
    /// Each has its own.
    #[default]
    Task,
    /// Those of one agent.
    Agent,
}

impl FromStr for ExecutorPer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "task" => Ok(Self::Task),
            "agent" => Ok(Self::Agent),
            _ => Err("must be task or agent".to_owned()),
        }
    }
}

impl FromStr for ExecutorOrigin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "artifact" => Ok(Self::Artifact),
            "off" => Ok(Self::Off),
            path if path.starts_with('/') && !path.ends_with('/') => Ok(Self::Path(path.to_owned())),
            uri if uri
                .split_once("://")
                .is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty()) =>
            {
                Ok(Self::Uri(uri.to_owned()))
            }
            _ => Err("must be artifact, off, a URI such as http://repo/tenure-executor, or an absolute path"
                .to_owned()),
        }
    }
}

/// Where agents fetch the executor; its path is added.
#[derive(Clone, Debug, PartialEq, Eq, DeserializeFromStr)]
pub struct ArtifactUrl(pub String);

impl FromStr for ArtifactUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Agents would take anything else for a path of theirs.
        let usable = text.parse::<http::Uri>().is_ok_and(|uri| {
            let fetched = matches!(uri.scheme_str(), Some("http" | "https"));
            fetched && uri.host().is_some_and(|host| !host.is_empty()) && uri.query().is_none()
        });
        let expected = || "must be http://HOST:PORT or https://HOST:PORT, perhaps with a path".to_owned();
        usable.then(|| Self(text.to_owned())).ok_or_else(expected)
    }
}

fn host_ports(list: &str) -> Option<Vec<String>> {
    list.split(',')
        .map(|entry| {
            let (host, port) = entry.trim_end_matches('/').rsplit_once(':')?;
            let port: u16 = port.parse().ok()?;
            (!host.is_empty() && !host.contains('/')).then(|| format!("{host}:{port}"))
        })
        .collect()
}

/// What the embedded agent offers, in the notation of `mesos-agent --resources`. Absent parts are the machine's.
#[derive(Clone, Debug, Default, PartialEq, Eq, DeserializeFromStr)]
pub struct AgentResources {
    /// Processors.
    pub cpus: Option<Cpus>,
    /// Memory.
    pub memory: Option<Bytes>,
    /// Disk.
    pub disk: Option<Bytes>,
    /// Graphics processors.
    pub gpus: Option<u32>,
    /// Processors that are lent, beside the others.
    pub lent_cpus: Option<Cpus>,
    /// Memory that is lent, beside the other.
    pub lent_memory: Option<Bytes>,
    /// Inclusive ranges of host ports.
    pub ports: Option<Vec<(u16, u16)>>,
}

impl FromStr for AgentResources {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut resources = Self::default();
        for entry in text.split(';').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (name, value) =
                entry.split_once(':').ok_or_else(|| format!("{entry:?} must be NAME:VALUE"))?;
            let named = |error: &dyn std::fmt::Display| format!("{name}: {error}");
            let mebibytes = || format!("{value}Mi").parse::<Bytes>().map_err(|error| named(&error));
            match name.trim() {
                "cpus" => resources.cpus = Some(value.parse::<Cpus>().map_err(|error| named(&error))?),
                "mem" => resources.memory = Some(mebibytes()?),
                "cpus{REV}" => {
                    resources.lent_cpus = Some(value.parse::<Cpus>().map_err(|error| named(&error))?);
                }
                "mem{REV}" => resources.lent_memory = Some(mebibytes()?),
                "disk" => resources.disk = Some(mebibytes()?),
                "gpus" => resources.gpus = Some(value.parse::<u32>().map_err(|error| named(&error))?),
                "ports" => resources.ports = Some(port_ranges(value).ok_or_else(|| named(&PORTS_EXPECTED))?),
                other => {
                    return Err(format!(
                        "unknown resource {other:?}: known are cpus, mem, disk, gpus and ports, \
                         and cpus{{REV}} and mem{{REV}}, which are lent"
                    ));
                }
            }
        }
        Ok(resources)
    }
}

const PORTS_EXPECTED: &str = "must be ranges such as [31000-32000,33000-33100]";

fn port_ranges(text: &str) -> Option<Vec<(u16, u16)>> {
    let inner = text.trim().strip_prefix('[')?.strip_suffix(']')?;
    inner
        .split(',')
        .map(|range| {
            let (begin, end) = range.trim().split_once('-')?;
            let (begin, end) = (begin.trim().parse::<u16>().ok()?, end.trim().parse::<u16>().ok()?);
            (begin > 0 && begin <= end).then_some((begin, end))
        })
        .collect()
}

/// The attributes of the embedded agent, in the notation of `mesos-agent --attributes`, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, DeserializeFromStr)]
pub struct AgentAttributes(pub Vec<(String, String)>);

impl FromStr for AgentAttributes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pair = |entry: &str| match entry.trim().split_once(':') {
            Some((name, value)) if !name.is_empty() && !value.is_empty() => {
                Ok((name.to_owned(), value.to_owned()))
            }
            _ => Err(format!("{entry:?} must be NAME:VALUE")),
        };
        text.split(';').filter(|entry| !entry.trim().is_empty()).map(pair).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn args(line: &[&str]) -> Result<ServerArgs, String> {
        let line = ["tenure", "server"].iter().chain(line);
        match Cli::try_parse_from(line).map_err(|error| error.to_string())?.command {
            Command::Server(args) => Ok(*args),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tenure.toml");
        std::fs::write(
            &path,
            "name = \"file\"\nlisten = \"127.0.0.1:1\"\nstore = \"etcd://a:2379,b:2379\"\nmarathon-listen = \"off\"\n",
        )
        .unwrap();
        let config =
            args(&["--config", path.to_str().unwrap(), "--name", "flag", "--data-dir", "/d"]).unwrap();
        let config = config.resolve().unwrap();
        assert_eq!(config.name, "flag");
        assert_eq!(config.listen, "127.0.0.1:1".parse().unwrap());
        assert_eq!(config.store, StoreTarget::Etcd("etcd://a:2379,b:2379".into()));
        assert_eq!((config.marathon_listen, config.dns_listen), (Listen::Off, Listen::Off));
        assert_eq!((config.mesos, config.mesos_roles), (MesosTarget::Embedded, vec!["*".to_owned()]));
    }

    #[test]
    fn roles_are_a_list_or_given_again_and_those_of_the_flags_win() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tenure.toml");
        let resolve = |file: &str, flags: &[&str]| {
            std::fs::write(&path, file).unwrap();
            let line = [&["--data-dir", "/d", "--config", path.to_str().unwrap()], flags].concat();
            args(&line).unwrap().resolve().map(|it| it.mesos_roles).map_err(|it| format!("{it:#}"))
        };
        assert_eq!(
            resolve("", &["--mesos-role", "web,db/main", "--mesos-role", "*"]).unwrap(),
            ["web", "db/main", "*"]
        );
        assert_eq!(resolve("mesos-role = \"web,db\"", &[]).unwrap(), ["web", "db"]);
        assert_eq!(resolve("mesos-role = [\"web\", \"db\"]", &["--mesos-role", "a"]).unwrap(), ["a"]);
        let error = resolve("", &["--mesos-role", "web,db,web"]).unwrap_err();
        assert_eq!(error, "--mesos-role names \"web\" twice");
        let error = resolve("mesos-role = \"web/\"", &[]).unwrap_err();
        assert!(error.contains("mesos-role") && error.contains("cannot end with a slash"), "{error}");
    }

    #[test]
    fn revocable_resources_are_wanted_by_the_flag_or_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tenure.toml");
        let wanted = |file: &str, flags: &[&str]| {
            std::fs::write(&path, file).unwrap();
            let line = [&["--data-dir", "/d", "--config", path.to_str().unwrap()], flags].concat();
            args(&line).unwrap().resolve().unwrap().mesos_revocable
        };
        assert!(!wanted("", &[]));
        assert!(wanted("", &["--mesos-revocable"]));
        assert!(wanted("mesos-revocable = true", &[]));
    }

    #[test]
    fn an_unknown_key_of_the_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tenure.toml");
        std::fs::write(&path, "lisen = \"127.0.0.1:1\"\n").unwrap();
        let error = args(&["--config", path.to_str().unwrap()]).unwrap().resolve().unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("unknown field `lisen`") && text.contains("`listen`"), "{text}");
    }

    #[test]
    fn malformed_values_say_what_is_allowed() {
        for (flag, value, words) in [
            ("--store", "zk://a:1", "must be embedded or etcd://"),
            ("--mesos", "http://", "must be embedded, http://"),
            ("--mesos", "http://m1", "'http://m1'"),
            ("--mesos", "http://m1:5050,https://m2:5050", "must be embedded, http://"),
            ("--marathon-listen", "8080", "must be an address such as 127.0.0.1:8080, or off"),
            ("--artifact-url", "tenure.example.org:7480", "must be http://HOST:PORT"),
            ("--artifact-url", "ftp://tenure.example.org", "must be http://HOST:PORT"),
            ("--artifact-url", "http://", "must be http://HOST:PORT"),
            ("--artifact-url", "http://tenure/?a=b", "must be http://HOST:PORT"),
            ("--agent-resources", "ram:4", "unknown resource \"ram\""),
            ("--agent-resources", "ports:[9-1]", "must be ranges such as [31000-32000"),
            ("--agent-resources", "cpus:x", "cpus: must be an amount of cpus"),
            ("--agent-attributes", "rack", "must be NAME:VALUE"),
            ("--mesos-role", "web,a b", "'a b'"),
            ("--mesos-role", "web,/db", "cannot start with a slash; must be `*`, or a name such as `web`"),
        ] {
            let error = args(&[flag, value]).unwrap_err();
            assert!(error.contains(words), "{flag} {value}: {error}");
        }
    }

    #[test]
    fn resources_and_clusters_are_read_as_mesos_writes_them() {
        let resources: AgentResources =
            "cpus:4;mem:4096;disk:10240;ports:[31000-32000, 33000-33001]".parse().unwrap();
        assert_eq!(resources.cpus, Some(Cpus::from_millis(4000)));
        assert_eq!(resources.memory, Some(Bytes::from_mebibytes(4096)));
        assert_eq!(resources.ports, Some(vec![(31000, 32000), (33000, 33001)]));
        let both = MesosTarget::Http(vec!["http://a:5050".into(), "http://b:5050".into()]);
        for url in ["http://tenure.example.org:7480", "https://[::1]:7480/behind/"] {
            assert_eq!(url.parse(), Ok(ArtifactUrl(url.to_owned())));
        }
        assert_eq!("http://a:5050,b:5050".parse(), Ok(both.clone()));
        assert_eq!("http://a:5050,http://b:5050".parse(), Ok(both));
        assert!("zk://a:2181,b:2181/mesos".parse::<MesosTarget>().is_ok());
    }
}
