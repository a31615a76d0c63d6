//! Where a master is: scheme, host, port, and the path of its scheduler API.

use std::fmt;
use std::str::FromStr;

/// The path of the scheduler API where nobody said otherwise.
const PATH: &str = "/api/v1/scheduler";

/// The way to one master's scheduler API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterUrl {
    /// Whether with TLS. A redirect does not change it: its scheme is not told, and never to be weakened.
    pub(super) tls: bool,
    /// Without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) path: String,
}

/// A text that does not say where a master is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no master: must be http://HOST:PORT, or https://HOST:PORT for TLS")]
pub struct UrlError {
    /// The text.
    pub text: String,
}

impl FromStr for MasterUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<MasterUrl, UrlError> {
        let error = || UrlError { text: text.to_owned() };
        let (tls, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            _ => return Err(error()),
        };
        let (host, port) = authority(rest.strip_suffix('/').unwrap_or(rest)).ok_or_else(error)?;
        Ok(MasterUrl { tls, host, port, path: PATH.to_owned() })
    }
}

/// `HOST:PORT`, with an IPv6 address in brackets.
fn authority(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port: u16 = port.parse().ok().filter(|port| *port != 0)?;
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').filter(|it| it.parse::<std::net::Ipv6Addr>().is_ok())?,
        None => host,
    };
    let is_name = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    (is_name || host.contains("::") || host.parse::<std::net::Ipv6Addr>().is_ok())
        .then(|| (host.to_owned(), port))
}

impl MasterUrl {
    /// Where a `Location` leads from here. Mesos leaves the scheme out and names the process: `//HOST:PORT/master/api/v1/scheduler`.
    ///
    /// # Errors
    /// Tells what is wrong with it.
    pub(super) fn follow(&self, location: &str) -> Result<MasterUrl, String> {
        let refuse = |why: &str| Err(format!("redirects to {location:?}, which {why}"));
        let own = if self.tls { "https" } else { "http" };
        let rest = match location.split_once("//") {
            Some(("", rest)) => rest,
            Some((scheme, rest)) if scheme.strip_suffix(':') == Some(own) => rest,
            Some(_) => return refuse("has another scheme"),
            None => return refuse("names no host"),
        };
        let (host_port, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let Some((host, port)) = authority(host_port) else { return refuse("names no HOST:PORT") };
        let path = if path.len() > 1 { path.to_owned() } else { PATH.to_owned() };
        if http::uri::PathAndQuery::try_from(path.as_str()).is_err() {
            return refuse("has no such path");
        }
        Ok(MasterUrl { tls: self.tls, host, port, path })
    }

    /// `HOST:PORT`, as the `Host` header wants it.
    pub(super) fn authority(&self) -> String {
        let (host, port) = (&self.host, self.port);
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl fmt::Display for MasterUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> MasterUrl {
        text.parse().unwrap()
    }

    #[test]
    fn hosts_names_and_addresses_are_masters_and_nothing_else() {
        for text in
            ["http://m1:5050", "https://10.0.0.1:5050", "http://[::1]:5050", "http://m_1.example.org:1"]
        {
            assert_eq!(url(text).to_string(), text);
        }
        assert_eq!(url("http://m1:5050/").to_string(), "http://m1:5050");
        for text in [
            "m1:5050",
            "ftp://m1:5050",
            "http://m1",
            "http://:5050",
            "http://m1:0",
            "http://m1:x",
            "http://a/b:5050",
            "http://[x]:5050",
            "http://",
        ] {
            let error = text.parse::<MasterUrl>().unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")) && error.contains("http://HOST:PORT"), "{error}");
        }
    }

    #[test]
    fn a_redirect_keeps_the_scheme_and_may_name_the_process() {
        let here = url("https://m1:5050");
        let there = here.follow("//10.0.0.2:5050/master/api/v1/scheduler").unwrap();
        assert_eq!(
            (there.to_string().as_str(), there.path.as_str()),
            ("https://10.0.0.2:5050", "/master/api/v1/scheduler")
        );
        assert_eq!(here.follow("//m2:5050").unwrap().path, PATH);
        assert_eq!(here.follow("https://[::1]:1/x").unwrap().to_string(), "https://[::1]:1");
        for location in ["http://m2:5050/x", "/master/api/v1/scheduler", "//m2/x", "//m2:5050/a b", ""] {
            let error = here.follow(location).unwrap_err();
            assert!(error.contains(&format!("{location:?}")), "{error}");
        }
    }
}
