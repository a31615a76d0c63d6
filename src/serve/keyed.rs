//! The way to Apache Mesos, with the files that it takes keys from: they are read again whenever it is used, so that a corrected
//! one helps without a restart.

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use async_trait::async_trait;

use crate::cli::server_args::{MesosTarget, ServerConfig};
use crate::env::Env;
use crate::mesos::connection::{Connection, ConnectionError, MayAct, Subscription};
use crate::mesos::http::{AgentFiles, Credentials, HttpConfig, HttpConnection, Trust};
use crate::mesos::wire::scheduler::Call;

/// Where the keys are.
#[derive(Debug, Clone)]
pub(super) struct KeyFiles {
    credentials: Option<PathBuf>,
    authority: Option<PathBuf>,
    /// A certificate to show, and its key.
    client: Option<(PathBuf, PathBuf)>,
}

/// What stands in those files.
#[derive(Debug, Clone, PartialEq)]
struct Keys {
    credentials: Option<Credentials>,
    authority_pem: Option<Vec<u8>>,
    client: Option<ClientPem>,
}

/// A certificate to show, and its key.
#[derive(Clone, PartialEq)]
struct ClientPem {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl fmt::Debug for ClientPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientPem")
    }
}

/// The way to a cluster.
#[derive(Debug)]
pub(super) struct KeyedWay {
    env: Env,
    /// Everything but the keys.
    plain: HttpConfig,
    files: KeyFiles,
    current: Mutex<Current>,
}

/// The way with the keys that were read last.
#[derive(Debug, Clone)]
struct Current {
    keys: Keys,
    connection: HttpConnection,
    agents: AgentFiles,
}

impl KeyFiles {
    /// The files that `config` names.
    ///
    /// # Errors
    /// When they do not go together with the masters.
    pub(super) fn of(config: &ServerConfig) -> Result<KeyFiles> {
        let is_tls = match &config.mesos {
            MesosTarget::Embedded => false,
            MesosTarget::Http(masters) => masters.iter().any(|url| url.starts_with("https://")),
            // ZooKeeper does not tell: whose authority is named has them.
            MesosTarget::Zk(_) => config.mesos_ca_file.is_some(),
        };
        match (&config.mesos_ca_file, is_tls) {
            (None, true) => {
                bail!("--mesos https://… needs --mesos-ca-file: whose certificates are to be believed")
            }
            (Some(_), false) => {
                bail!("--mesos-ca-file is for masters with TLS: --mesos names http:// ones")
            }
            (None, false) | (Some(_), true) => {}
        }
        let client = match (&config.mesos_cert, &config.mesos_key) {
            (Some(_), Some(_)) if !is_tls => {
                bail!("--mesos-cert is for masters with TLS: --mesos names http:// ones")
            }
            (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                bail!("--mesos-cert and --mesos-key go together: a certificate and its key")
            }
        };
        Ok(KeyFiles {
            credentials: config.mesos_auth_file.clone(),
            authority: config.mesos_ca_file.clone(),
            client,
        })
    }

    /// Whether they can be used on the way that `plain` describes.
    ///
    /// # Errors
    /// When they hold nothing usable.
    pub(super) fn check(&self, plain: &HttpConfig) -> Result<()> {
        self.applied(plain, &self.read()?).map(drop)
    }

    fn read(&self) -> Result<Keys> {
        let pem = |file: &PathBuf| {
            std::fs::read(file).with_context(|| format!("--mesos-ca-file {}", file.display()))
        };
        Ok(Keys {
            credentials: self.credentials.as_deref().map(credentials).transpose()?,
            authority_pem: self.authority.as_ref().map(pem).transpose()?,
            client: self.client.as_ref().map(|(certificate, key)| client(certificate, key)).transpose()?,
        })
    }

    /// `plain` with `keys`.
    fn applied(&self, plain: &HttpConfig, keys: &Keys) -> Result<HttpConfig> {
        let trust = |pem: &Vec<u8>| {
            let file = self.authority.as_deref().unwrap_or(Path::new("")).display();
            let trust = Trust::of_pem(pem).with_context(|| format!("--mesos-ca-file {file}"))?;
            let (Some(it), Some((certificate, key))) = (&keys.client, &self.client) else { return Ok(trust) };
            let place = || format!("--mesos-cert {} --mesos-key {}", certificate.display(), key.display());
            Trust::showing(pem, &it.certificate, &it.key).with_context(place)
        };
        let trust = keys.authority_pem.as_ref().map(trust).transpose()?;
        Ok(HttpConfig { credentials: keys.credentials.clone(), trust, ..plain.clone() })
    }
}

/// Refuses a file that others can read; `place` names it.
fn private(file: &Path, place: impl Fn() -> String) -> Result<()> {
    let mode = std::fs::metadata(file).with_context(&place)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        bail!("{}: is readable by others (mode {mode:03o}); credentials want mode 600", place());
    }
    Ok(())
}

fn client(certificate: &Path, key: &Path) -> Result<ClientPem> {
    let place = || format!("--mesos-key {}", key.display());
    private(key, place)?;
    let shown = std::fs::read(certificate);
    Ok(ClientPem {
        certificate: shown.with_context(|| format!("--mesos-cert {}", certificate.display()))?,
        key: std::fs::read(key).with_context(place)?,
    })
}

fn credentials(file: &Path) -> Result<Credentials> {
    let place = || format!("--mesos-auth-file {}", file.display());
    private(file, place)?;
    let text = std::fs::read_to_string(file).with_context(place)?;
    Credentials::parse(&text).with_context(place)
}

impl KeyedWay {
    /// The way that `plain` describes, with the keys in `files`. Nothing is connected yet.
    ///
    /// # Errors
    /// When the files hold nothing usable.
    pub(super) fn open(env: &Env, plain: HttpConfig, files: KeyFiles) -> Result<KeyedWay> {
        let current = Current::new(env, &plain, &files, files.read()?)?;
        Ok(KeyedWay { env: env.clone(), plain, files, current: Mutex::new(current) })
    }

    /// Who we are to the masters, if they ask.
    pub(super) fn principal(&self) -> Option<String> {
        self.last().keys.principal().map(str::to_owned)
    }

    /// The way to the agents' files.
    pub(super) fn agents(&self) -> AgentFiles {
        self.fresh()
            .unwrap_or_else(|error| {
                tracing::warn!(error = format!("{error:#}"), "keys not read again: those of before are used");
                self.last()
            })
            .agents
    }

    /// Whether agents are spoken to with TLS: then their names must be those of their certificates.
    pub(super) fn has_tls(&self) -> bool {
        self.last().agents.has_tls()
    }

    fn last(&self) -> Current {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The way with the keys as they are now.
    fn fresh(&self) -> Result<Current> {
        let keys = self.files.read()?;
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.keys != keys {
            if current.keys.principal() != keys.principal() {
                bail!("--mesos-auth-file names another principal than when this server started: restart it");
            }
            *current = Current::new(&self.env, &self.plain, &self.files, keys)?;
            tracing::info!("the files with the keys to Mesos have changed and were read again");
        }
        Ok(current.clone())
    }
}

impl Keys {
    fn principal(&self) -> Option<&str> {
        self.credentials.as_ref().map(Credentials::principal)
    }
}

impl Current {
    fn new(env: &Env, plain: &HttpConfig, files: &KeyFiles, keys: Keys) -> Result<Current> {
        let config = files.applied(plain, &keys)?;
        let agents = AgentFiles::new(env, &config);
        Ok(Current { keys, connection: HttpConnection::new(env, config), agents })
    }
}

#[async_trait]
impl Connection for KeyedWay {
    async fn subscribe(&self, call: Call, may_act: MayAct<'_>) -> Result<Subscription, ConnectionError> {
        let way = self.fresh().map_err(|error| ConnectionError::NotSent { message: format!("{error:#}") })?;
        way.connection.subscribe(call, may_act).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(file: &Path, text: &str) {
        std::fs::write(file, text).unwrap();
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    #[tokio::test]
    async fn keys_are_read_again_and_only_the_principal_must_stay() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("auth");
        write(&file, "rec:guessed");
        let files = KeyFiles { credentials: Some(file.clone()), authority: None, client: None };
        let plain = HttpConfig::new(vec!["http://127.0.0.1:1".parse().unwrap()]);
        let env = Env::system().unwrap();
        let way = KeyedWay::open(&env, plain, files).unwrap();
        let secret = |way: Current| way.keys.credentials;
        write(&file, "rec:s3cret");
        assert_eq!(secret(way.fresh().unwrap()), Some(Credentials::parse("rec:s3cret").unwrap()));
        for (text, words) in [("other:s3cret", "another principal"), ("rec", "must be one line")] {
            write(&file, text);
            let told = format!("{:#}", way.fresh().unwrap_err());
            assert!(told.contains("--mesos-auth-file") && told.contains(words), "{told}");
        }
        assert_eq!(secret(way.last()), Some(Credentials::parse("rec:s3cret").unwrap()));
        std::fs::remove_file(&file).unwrap();
        assert!(format!("{:#}", way.fresh().unwrap_err()).contains("No such file"));
    }

    /// A certificate and its key, PEM; and an authority's.
    fn pair() -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let signed =
            rcgen::CertificateParams::new(vec!["tenure".to_owned()]).unwrap().self_signed(&key).unwrap();
        (signed.pem(), key.serialize_pem())
    }

    #[tokio::test]
    async fn a_certificate_to_show_is_read_again_with_its_key_which_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let [authority, certificate, key] = ["ca", "cert", "key"].map(|name| folder.path().join(name));
        let ((shown, its_key), (_, other_key)) = (pair(), pair());
        write(&authority, &shown);
        write(&certificate, &shown);
        write(&key, &its_key);
        let files = KeyFiles {
            credentials: None,
            authority: Some(authority),
            client: Some((certificate.clone(), key.clone())),
        };
        let plain = HttpConfig::new(vec!["https://127.0.0.1:1".parse().unwrap()]);
        let env = Env::system().unwrap();
        let way = KeyedWay::open(&env, plain, files).unwrap();
        for (text, words) in [(other_key.as_str(), "with its key"), ("none", "holds no private key")] {
            write(&key, text);
            let told = format!("{:#}", way.fresh().unwrap_err());
            assert!(told.contains("--mesos-key") && told.contains(words), "{told}");
        }
        write(&key, &its_key);
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        let told = format!("{:#}", way.fresh().unwrap_err());
        assert!(told.contains("--mesos-key") && told.contains("readable by others"), "{told}");
        write(&key, &its_key);
        write(&certificate, "nothing");
        let told = format!("{:#}", way.fresh().unwrap_err());
        assert!(told.contains("--mesos-cert") && told.contains("holds no certificate"), "{told}");
        write(&certificate, &shown);
        way.fresh().unwrap();
    }
}
