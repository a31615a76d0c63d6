//! The installation's own certificate authority, and the server certificate that clients check against it.
//!
//! The authority (`ca.crt`, `ca.key`, mode 0600) is made once and kept: every kubeconfig carries it. The server's
//! certificate is never written: it is issued at start for the addresses of that start, and again at the first
//! handshake of the last thirty days of its life, so it can neither go stale nor expire under a running server.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};

use super::files::{self, FileError};
use crate::env::Env;

/// HTTP/2, as the handshake names it.
pub(super) const H2: &[u8] = b"h2";
/// How long a server certificate is valid, and how long before its end it is replaced.
const VALID_DAYS: i64 = 365;
const RENEW_DAYS: i64 = 30;

/// The authority or a certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(
        "{path} is there without its key {key}: restore the key, or remove {path} and replace every kubeconfig"
    )]
    KeyMissing { path: String, key: String },
    #[error("failed to make a certificate")]
    Certificate(#[source] rcgen::Error),
    #[error("failed to set up TLS")]
    Setup(#[source] rustls::Error),
    #[error("the authorities of client certificates cannot be used: {0}")]
    Clients(String),
}

/// The certificate authority of one installation.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    /// The authority kept in `folder`, made there first when there is none.
    ///
    /// # Errors
    /// When the files cannot be read or written, or only the certificate is left of a pair.
    pub fn load_or_create(folder: &Path) -> Result<Authority, TlsError> {
        let (path, key_path) = (folder.join("ca.crt"), folder.join("ca.key"));
        let pem = files::read_private(&path)?;
        let key = match files::read_private(&key_path)? {
            Some(key) => KeyPair::from_pem(&key).map_err(TlsError::Certificate)?,
            None if pem.is_some() => {
                let (path, key) = (path.display().to_string(), key_path.display().to_string());
                return Err(TlsError::KeyMissing { path, key });
            }
            None => {
                let key = KeyPair::generate().map_err(TlsError::Certificate)?;
                files::write_private(&key_path, key.serialize_pem().as_bytes())?;
                key
            }
        };
        let params = authority_params();
        let pem = match pem {
            Some(pem) => pem,
            None => {
                let pem = params.self_signed(&key).map_err(TlsError::Certificate)?.pem();
                files::write_private(&path, pem.as_bytes())?;
                pem
            }
        };
        Ok(Authority { issuer: Issuer::new(params, key), pem })
    }

    /// The certificate that clients trust, PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    fn issue(&self, names: &[String], now: Timestamp) -> Result<CertifiedKey, TlsError> {
        let key = KeyPair::generate().map_err(TlsError::Certificate)?;
        let mut params = CertificateParams::new(names.to_vec()).map_err(TlsError::Certificate)?;
        params.distinguished_name.push(DnType::CommonName, "tenure");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        // A day of grace for clients whose clock is behind.
        let (year, month, day) = day_after(now, -1);
        params.not_before = rcgen::date_time_ymd(year, month, day);
        let (year, month, day) = day_after(now, VALID_DAYS);
        params.not_after = rcgen::date_time_ymd(year, month, day);
        let certificate = params.signed_by(&key, &self.issuer).map_err(TlsError::Certificate)?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let signer = ring::sign::any_supported_type(&der).map_err(TlsError::Setup)?;
        Ok(CertifiedKey::new(vec![certificate.der().clone()], signer))
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority")
    }
}

/// Equal for every start: an issuer must have the name that the stored certificate has.
fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "tenure-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    // RFC 5280, 4.1.2.5: no well-defined expiry. Every kubeconfig would have to be replaced with it.
    params.not_after = rcgen::date_time_ymd(9999, 12, 31);
    params
}

/// Year, month and day of the UTC day `days` after `now`.
fn day_after(now: Timestamp, days: i64) -> (i32, u8, u8) {
    let today = now.to_zoned(TimeZone::UTC).date();
    let day = today.saturating_add(days.days());
    (day.year().into(), day.month().unsigned_abs(), day.day().unsigned_abs())
}

/// Whose certificates are believed when clients show them instead of a token.
#[derive(Debug, Clone)]
pub struct ClientAuthority(Arc<dyn ClientCertVerifier>);

impl ClientAuthority {
    /// The authorities in `pem`. A client need not show a certificate; one that shows an expired one, or one of another
    /// authority, gets no connection, and the alert of TLS tells it why.
    ///
    /// # Errors
    /// When there is no certificate in it, or one that cannot be an authority.
    pub fn from_pem(pem: &[u8]) -> Result<ClientAuthority, TlsError> {
        let unusable = |error: &dyn fmt::Display| TlsError::Clients(error.to_string());
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| unusable(&error))?;
            roots.add(certificate).map_err(|error| unusable(&error))?;
        }
        if roots.is_empty() {
            return Err(TlsError::Clients("there is no certificate in PEM form".to_owned()));
        }
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = verifier.allow_unauthenticated().build().map_err(|error| unusable(&error))?;
        Ok(ClientAuthority(verifier))
    }
}

/// The server's certificate: valid at every handshake.
pub struct ServerCertificate {
    env: Env,
    authority: Authority,
    names: Vec<String>,
    clients: Option<ClientAuthority>,
    /// Held only while a certificate is picked or, once a year, made; never across an await.
    current: Mutex<Current>,
}

struct Current {
    key: Arc<CertifiedKey>,
    renew_at: Timestamp,
}

impl ServerCertificate {
    /// Issues the certificate for `localhost`, this machine's name, the loopback addresses and `names` (addresses or
    /// DNS names).
    ///
    /// # Errors
    /// When a name is neither an address nor a DNS name.
    pub fn new(env: Env, authority: Authority, names: &[String]) -> Result<ServerCertificate, TlsError> {
        let mut all: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
        all.extend(host_name());
        all.extend(names.iter().cloned());
        all.sort();
        all.dedup();
        let current = Current::issue(&authority, &all, env.now())?;
        Ok(ServerCertificate { env, authority, names: all, clients: None, current: Mutex::new(current) })
    }

    /// The same, for a server that believes the certificates of `clients`.
    #[must_use]
    pub fn believing(mut self, clients: ClientAuthority) -> ServerCertificate {
        self.clients = Some(clients);
        self
    }

    /// The authority's certificate, PEM: what clients must trust.
    #[must_use]
    pub fn authority_pem(&self) -> &str {
        self.authority.pem()
    }

    /// TLS 1.2 and 1.3 with this certificate; HTTP/2 before HTTP/1.1.
    ///
    /// # Errors
    /// When the crypto provider refuses, which a test would have shown.
    pub fn config(self: Arc<Self>) -> Result<Arc<ServerConfig>, TlsError> {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?;
        let builder = match &self.clients {
            Some(clients) => builder.with_client_cert_verifier(clients.0.clone()),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(self);
        config.alpn_protocols = vec![H2.to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn at(&self, now: Timestamp) -> Arc<CertifiedKey> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if now >= current.renew_at {
            match Current::issue(&self.authority, &self.names, now) {
                Ok(fresh) => *current = fresh,
                // The old one is still valid for weeks, and the next handshake tries again.
                Err(error) => tracing::warn!(%error, "failed to renew the server certificate"),
            }
        }
        current.key.clone()
    }
}

impl Current {
    fn issue(authority: &Authority, names: &[String], now: Timestamp) -> Result<Current, TlsError> {
        let key = Arc::new(authority.issue(names, now)?);
        let hours = (VALID_DAYS - RENEW_DAYS) * 24;
        Ok(Current { key, renew_at: now.checked_add(hours.hours()).unwrap_or(Timestamp::MAX) })
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.at(self.env.now()))
    }
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCertificate").field("names", &self.names).finish_non_exhaustive()
    }
}

fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(folder: &Path) -> ServerCertificate {
        let env = Env::simulated("tls", 1, Timestamp::UNIX_EPOCH);
        ServerCertificate::new(env, Authority::load_or_create(folder).unwrap(), &["10.0.0.7".to_owned()])
            .unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_authority_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let first = certificate(folder.path());
        assert_eq!(first.authority_pem(), certificate(folder.path()).authority_pem());
        assert!(first.authority_pem().starts_with("-----BEGIN CERTIFICATE-----"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_is_replaced_in_the_last_month_of_its_life() {
        let folder = tempfile::tempdir().unwrap();
        let certificate = certificate(folder.path());
        let at = |days: i64| certificate.at(Timestamp::UNIX_EPOCH + (days * 24).hours()).cert[0].clone();
        let first = at(0);
        assert_eq!(at(334), first);
        assert_ne!(at(335), first);
        assert_eq!(at(336), at(335));
    }

    #[test]
    fn what_is_no_authority_of_clients_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::load_or_create(folder.path()).unwrap();
        assert!(ClientAuthority::from_pem(authority.pem().as_bytes()).is_ok());
        for pem in ["", "tenure", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let error = ClientAuthority::from_pem(pem.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("the authorities of client certificates cannot be used: "), "{error}");
        }
    }

    #[test]
    fn an_authority_without_its_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        Authority::load_or_create(folder.path()).unwrap();
        std::fs::remove_file(folder.path().join("ca.key")).unwrap();
        let error = Authority::load_or_create(folder.path()).unwrap_err().to_string();
        assert!(error.contains("restore the key"), "{error}");
    }
}
