//! Where etcd is and who we are to it: `--store etcd://a:2379,b:2379` and `--store-auth-file`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcd_client::{Certificate, Identity, TlsOptions};
use serde::Deserialize;

const TIMEOUT: Duration = Duration::from_secs(5);
const PORT: u16 = 2379;

/// How to reach etcd. Its `Debug` shows no credentials.
#[derive(Clone)]
pub struct EtcdConfig {
    /// URLs with scheme and port.
    pub(super) endpoints: Vec<String>,
    pub(super) user: Option<(String, String)>,
    pub(super) tls: Option<TlsOptions>,
    /// How long any request may take.
    pub timeout: Duration,
}

/// A store URL or auth file that says nothing usable.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("store {url:?}: {problem}; want etcd://HOST:PORT[,HOST:PORT…], or etcds://… for TLS")]
    Url { url: String, problem: String },
    #[error("failed to read {path}", path = .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} is readable by others (mode {mode:03o}); credentials want mode 600", path = .path.display())]
    Exposed { path: PathBuf, mode: u32 },
    #[error("failed to parse {path}", path = .path.display())]
    Parse {
        path: PathBuf,
        #[source]
        source: toml::de::Error,
    },
    #[error("{path}: {problem}", path = .path.display())]
    Incomplete { path: PathBuf, problem: &'static str },
}

/// The auth file, as TOML. Paths in it are relative to its folder.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AuthFile {
    user: Option<String>,
    password: Option<String>,
    /// PEM of the authority that signed etcd's certificate; the system's own are not used.
    ca: Option<PathBuf>,
    /// PEM of our certificate and its key, when etcd wants one.
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl EtcdConfig {
    /// The cluster at `url` (`etcd://a:2379,b:2379`, `etcds://` for TLS), with the credentials in `auth_file`.
    ///
    /// # Errors
    /// [`ConfigError`], which names the URL or the file.
    pub fn new(url: &str, auth_file: Option<&Path>) -> Result<EtcdConfig, ConfigError> {
        let (is_tls, hosts) = match url.split_once("://") {
            Some(("etcd", hosts)) => (false, hosts),
            Some(("etcds", hosts)) => (true, hosts),
            _ => return Err(bad_url(url, "the scheme is neither etcd nor etcds")),
        };
        let (auth, folder) = match auth_file {
            Some(path) => (read_auth(path)?, path.parent().unwrap_or(Path::new(""))),
            None => (AuthFile::default(), Path::new("")),
        };
        let AuthFile { user, password, ca, cert, key } = auth;
        let incomplete =
            |problem| ConfigError::Incomplete { path: auth_file.unwrap_or(folder).to_owned(), problem };
        let user = match (user, password) {
            (Some(user), Some(password)) => Some((user, password)),
            (None, None) => None,
            _ => return Err(incomplete("user and password come together")),
        };
        if !is_tls && (ca.is_some() || cert.is_some() || key.is_some()) {
            return Err(incomplete("ca, cert and key need a store URL that begins with etcds://"));
        }
        let mut tls = TlsOptions::new();
        if let Some(ca) = ca {
            tls = tls.ca_certificate(Certificate::from_pem(read(&folder.join(ca))?));
        }
        tls = match (cert, key) {
            (Some(cert), Some(key)) => {
                tls.identity(Identity::from_pem(read(&folder.join(cert))?, read(&folder.join(key))?))
            }
            (None, None) => tls,
            _ => return Err(incomplete("cert and key come together")),
        };
        let endpoints = endpoints(url, hosts, if is_tls { "https" } else { "http" })?;
        Ok(EtcdConfig { endpoints, user, tls: is_tls.then_some(tls), timeout: TIMEOUT })
    }
}

impl fmt::Debug for EtcdConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.as_ref().map(|(user, _)| user);
        f.debug_struct("EtcdConfig")
            .field("endpoints", &self.endpoints)
            .field("user", &user)
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

fn endpoints(url: &str, hosts: &str, scheme: &str) -> Result<Vec<String>, ConfigError> {
    let endpoint = |host: &str| {
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let address = if has_port { host.to_owned() } else { format!("{host}:{PORT}") };
        match format!("{scheme}://{address}").parse::<http::Uri>() {
            Ok(uri) if !host.is_empty() && matches!(uri.path(), "" | "/") && !host.contains('@') => {
                Ok(format!("{scheme}://{address}"))
            }
            _ => Err(bad_url(url, &format!("{host:?} is no HOST:PORT"))),
        }
    };
    hosts.trim_end_matches('/').split(',').map(endpoint).collect()
}

fn bad_url(url: &str, problem: &str) -> ConfigError {
    ConfigError::Url { url: url.to_owned(), problem: problem.to_owned() }
}

fn read_auth(path: &Path) -> Result<AuthFile, ConfigError> {
    use std::os::unix::fs::PermissionsExt;
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(ConfigError::Exposed { path: path.to_owned(), mode });
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    toml::from_str(&text).map_err(|source| ConfigError::Parse { path: path.to_owned(), source })
}

fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_url_names_one_or_several_endpoints() {
        for (url, expected) in [
            ("etcd://a", vec!["http://a:2379"]),
            ("etcd://127.0.0.1:1,b:2/", vec!["http://127.0.0.1:1", "http://b:2"]),
            ("etcds://a:2379,b", vec!["https://a:2379", "https://b:2379"]),
        ] {
            assert_eq!(EtcdConfig::new(url, None).unwrap().endpoints, expected);
        }
    }

    #[test]
    fn a_url_that_is_none_is_told() {
        for url in ["etcd://", "http://a:2379", "a:2379", "etcd://a,,b", "etcd://u@a:1", "etcd://a/x"] {
            let error = EtcdConfig::new(url, None).unwrap_err().to_string();
            assert!(error.contains(url) && error.contains("want etcd://"), "{error}");
        }
    }

    #[test]
    fn an_auth_file_is_complete_private_and_known_to_the_last_field() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("auth.toml");
        let config = |url: &str, text: &str, mode: u32| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            EtcdConfig::new(url, Some(&path))
        };
        let good = config("etcd://a", "user = 'u'\npassword = 'secret'", 0o600).unwrap();
        assert!(!format!("{good:?}").contains("secret"));
        for (url, text, mode, problem) in [
            ("etcd://a", "user = 'u'\npassword = 'p'", 0o644, "mode 644"),
            ("etcd://a", "user = 'u'", 0o600, "come together"),
            ("etcd://a", "ca = 'ca.pem'", 0o600, "etcds://"),
            ("etcds://a", "ca = 'none.pem'", 0o600, "none.pem"),
            ("etcds://a", "cert = 'c'", 0o600, "come together"),
            ("etcd://a", "pasword = 'p'", 0o600, "failed to parse"),
        ] {
            let error = config(url, text, mode).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}
