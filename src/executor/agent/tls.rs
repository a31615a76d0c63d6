//! TLS towards the agent (and the server for whom a command is run), as Mesos's own `LIBPROCESS_SSL_*` variables say: whether it must prove who it is, by whose word, and what
//! this side shows of itself.
//!
//! The chain is judged as Mesos judges it. Of the names in the certificate one must be the address that was dialled or the agent's
//! host name, which the scheduler has from the master: Mesos's executors ask reverse DNS for it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WantsClientCert, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::settings::{Authorities, TlsSettings};

/// How connections to the agent are secured.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    config: Arc<ClientConfig>,
}

/// What the variables name cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error("failed to read {path}, which {variable} names: {source}")]
    Read { variable: &'static str, path: PathBuf, source: io::Error },
    #[error("{path}, which {variable} names, is no PEM: {source}")]
    Pem { variable: &'static str, path: PathBuf, source: pem::Error },
    #[error("{path}, which {variable} names, holds no certificate")]
    Empty { variable: &'static str, path: PathBuf },
    #[error(
        "failed to use the certificate and the key of LIBPROCESS_SSL_CERT_FILE and LIBPROCESS_SSL_KEY_FILE: {0}"
    )]
    Own(rustls::Error),
    #[error("failed to set up TLS: {0}")]
    Setup(rustls::Error),
}

impl Tls {
    /// Reads the files that `settings` name.
    ///
    /// # Errors
    /// Names the variable and the file.
    pub(super) fn load(settings: &TlsSettings) -> Result<Tls, TlsError> {
        let host = settings.host.clone().and_then(|host| ServerName::try_from(host).ok());
        let config = config(settings.authorities.as_ref().map(roots).transpose()?, host)?;
        let config = match &settings.own {
            None => config.with_no_client_auth(),
            Some(own) => {
                let chain = certificates("LIBPROCESS_SSL_CERT_FILE", &own.certificate)?;
                config.with_client_auth_cert(chain, key(&own.key)?).map_err(TlsError::Own)?
            }
        };
        Ok(Tls { config: Arc::new(config) })
    }

    /// Believes whom this authority, PEM, has signed.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn of_authority(pem: &str) -> Result<Tls, TlsError> {
        let mut roots = RootCertStore::empty();
        let found: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok).collect();
        roots.add_parsable_certificates(found);
        Ok(Tls { config: Arc::new(config(Some(roots), None)?.with_no_client_auth()) })
    }

    /// Secures a connection to `host`.
    pub(super) async fn secure(&self, host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        TlsConnector::from(self.config.clone()).connect(name, stream).await
    }
}

/// Who must have signed; anybody if nobody is named. A name that is known besides that of the address counts, too.
fn config(
    roots: Option<RootCertStore>,
    host: Option<ServerName<'static>>,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, TlsError> {
    let provider = ring::default_provider();
    let verifier = Verifier { roots, host, algorithms: provider.signature_verification_algorithms };
    let builder =
        ClientConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(TlsError::Setup)?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)))
}

fn certificates(variable: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let path = path.to_owned();
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(source) => return Err(TlsError::Read { variable, path, source }),
    };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if found.is_empty() => Err(TlsError::Empty { variable, path }),
        Ok(found) => Ok(found),
        Err(source) => Err(TlsError::Pem { variable, path, source }),
    }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let (variable, path) = ("LIBPROCESS_SSL_KEY_FILE", path.to_owned());
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(source) => return Err(TlsError::Read { variable, path, source }),
    };
    PrivateKeyDer::from_pem_slice(&text).map_err(|source| TlsError::Pem { variable, path, source })
}

/// The authorities of a file, and of a folder those that are in its files: other files may stand there, too.
fn roots(authorities: &Authorities) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = &authorities.file {
        roots.add_parsable_certificates(certificates("LIBPROCESS_SSL_CA_FILE", file)?);
    }
    if let Some(folder) = &authorities.folder {
        let unread =
            |source| TlsError::Read { variable: "LIBPROCESS_SSL_CA_DIR", path: folder.clone(), source };
        for entry in std::fs::read_dir(folder).map_err(unread)? {
            let path = entry.map_err(unread)?.path();
            if path.is_file() {
                roots.add_parsable_certificates(
                    certificates("LIBPROCESS_SSL_CA_DIR", &path).unwrap_or_default(),
                );
            }
        }
    }
    if roots.is_empty() {
        let (variable, path) = match authorities {
            Authorities { folder: Some(folder), .. } => ("LIBPROCESS_SSL_CA_DIR", folder.clone()),
            Authorities { file, .. } => ("LIBPROCESS_SSL_CA_FILE", file.clone().unwrap_or_default()),
        };
        return Err(TlsError::Empty { variable, path });
    }
    Ok(roots)
}

/// Judges the agent's certificate.
#[derive(Debug)]
struct Verifier {
    /// Who is believed; absent where any certificate will do.
    roots: Option<RootCertStore>,
    /// The agent's host name.
    host: Option<ServerName<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        address: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(roots) = &self.roots else { return Ok(ServerCertVerified::assertion()) };
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)?;
        let is_named = |name: &ServerName<'_>| verify_server_name(&certificate, name);
        match (is_named(address), &self.host) {
            (Err(_), Some(host)) => is_named(host)?,
            (judged, _) => judged?,
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// What went wrong with TLS, for people, where `error` comes from it. An agent that does not believe our certificate says so only
/// after the handshake.
pub(super) fn explain(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let tls = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(tls) = tls.or_else(|| error.downcast_ref()) {
            return Some(meaning(tls));
        }
        next = error.source();
    }
    None
}

fn meaning(error: &rustls::Error) -> String {
    let hint = match error {
        rustls::Error::InvalidCertificate(_) => {
            "; it must be signed by an authority of LIBPROCESS_SSL_CA_FILE or LIBPROCESS_SSL_CA_DIR and name the agent's \
             host or address"
        }
        rustls::Error::AlertReceived(
            AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion,
        ) => {
            "; the ciphers that Mesos allows by default are none of ours: set \
             LIBPROCESS_SSL_CIPHERS=ECDHE-RSA-AES256-GCM-SHA384 or LIBPROCESS_SSL_ENABLE_TLS_V1_3=true at the agents"
        }
        rustls::Error::AlertReceived(_) => "; does it believe the certificate of LIBPROCESS_SSL_CERT_FILE?",
        rustls::Error::InvalidMessage(_) => "; does the agent speak TLS?",
        _ => "",
    };
    format!("{error}{hint}")
}
