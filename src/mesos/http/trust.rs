//! TLS towards masters and agents: whose certificates are believed, and which one is shown to them.
//!
//! A trap: the ciphers that Mesos allows by default (AES128-SHA, AES256-SHA, RC4-SHA, DHE-*-SHA, TLS 1.2) hold none that
//! rustls speaks. The masters need `LIBPROCESS_SSL_ENABLE_TLS_V1_3=true`, or an ECDHE suite with GCM in
//! `LIBPROCESS_SSL_CIPHERS`.

use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{AlertDescription, ClientConfig, ConfigBuilder, RootCertStore};

/// The authorities that sign masters' certificates, and the certificate that masters may ask for.
#[derive(Debug, Clone)]
pub struct Trust {
    pub(super) config: Arc<ClientConfig>,
}

/// PEM text that names no authority.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Not PEM.
    #[error("failed to parse PEM")]
    Pem(#[source] rustls::pki_types::pem::Error),
    /// PEM, but no certificate.
    #[error("holds no certificate: must be the PEM of the authority that signed the masters' certificates")]
    Empty,
    /// A certificate that cannot be an authority.
    #[error("failed to use a certificate of it")]
    Certificate(#[source] rustls::Error),
    /// PEM, but no certificate to show.
    #[error(
        "holds no certificate: must be the PEM of the one to show, with those between it and its authority behind it"
    )]
    NoCertificate,
    /// PEM without a private key.
    #[error("holds no private key (PEM: PKCS #8, PKCS #1 or SEC 1)")]
    NoKey(#[source] rustls::pki_types::pem::Error),
    /// A certificate that cannot be shown with this key.
    #[error("failed to use the certificate with its key")]
    Pair(#[source] rustls::Error),
    /// The library of TLS does not work.
    #[error("failed to set up TLS")]
    Setup(#[source] rustls::Error),
}

impl Trust {
    /// Believes only what the authorities in `pem` have signed, and shows no certificate.
    ///
    /// # Errors
    /// When it names none.
    pub fn of_pem(pem: &[u8]) -> Result<Trust, TrustError> {
        let builder = Self::believing(pem)?;
        Ok(Trust { config: Arc::new(builder.with_no_client_auth()) })
    }

    /// Believes only what the authorities in `pem` have signed, and shows `certificate` (PEM, its chain behind it) where one is asked
    /// for, which `key` (PEM) belongs to.
    ///
    /// # Errors
    /// When `pem` names no authority, or `certificate` and `key` are not a pair.
    pub fn showing(pem: &[u8], certificate: &[u8], key: &[u8]) -> Result<Trust, TrustError> {
        let builder = Self::believing(pem)?;
        let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(TrustError::Pem)?;
        if chain.is_empty() {
            return Err(TrustError::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(TrustError::NoKey)?;
        let config = builder.with_client_auth_cert(chain, key).map_err(TrustError::Pair)?;
        Ok(Trust { config: Arc::new(config) })
    }

    fn believing(pem: &[u8]) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, TrustError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            roots.add(certificate.map_err(TrustError::Pem)?).map_err(TrustError::Certificate)?;
        }
        if roots.is_empty() {
            return Err(TrustError::Empty);
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TrustError::Setup)?;
        Ok(builder.with_root_certificates(roots))
    }
}

const CERTIFICATE_REQUIRED: &str = "a client certificate is asked for (--mesos-cert and --mesos-key)";

/// What a failed handshake means, for people.
pub(super) fn explain(error: &std::io::Error) -> String {
    let tls = error.get_ref().and_then(|source| source.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::AlertReceived(AlertDescription::HandshakeFailure)) => format!(
            "{error}: the ciphers that Mesos allows by default are none of ours; set \
             LIBPROCESS_SSL_CIPHERS=ECDHE-RSA-AES256-GCM-SHA384 or LIBPROCESS_SSL_ENABLE_TLS_V1_3=true at the masters; \
             or a client certificate is asked for (--mesos-cert and --mesos-key)"
        ),
        Some(rustls::Error::AlertReceived(AlertDescription::CertificateRequired)) => {
            format!("{error}: {CERTIFICATE_REQUIRED}")
        }
        Some(rustls::Error::InvalidMessage(_)) => format!("{error}: is this port without TLS (http://)?"),
        _ => error.to_string(),
    }
}

/// What more there is to be said for people of an error on a connection that was secured: with TLS 1.3 whether our certificate is taken
/// is heard after the handshake only.
pub(super) fn hint(error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    let tls = error.downcast_ref::<std::io::Error>()?.get_ref()?.downcast_ref::<rustls::Error>()?;
    let is_asked_for = matches!(tls, rustls::Error::AlertReceived(AlertDescription::CertificateRequired));
    is_asked_for.then_some(CERTIFICATE_REQUIRED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_authority_is_refused() {
        assert!(matches!(Trust::of_pem(b""), Err(TrustError::Empty)));
        assert!(matches!(Trust::of_pem(b"rec:secret"), Err(TrustError::Empty)));
        let cut = b"-----BEGIN CERTIFICATE-----\nMIIB\n";
        assert!(matches!(Trust::of_pem(cut), Err(TrustError::Pem(_))));
        let empty = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        assert!(matches!(Trust::of_pem(empty), Err(TrustError::Certificate(_))));
    }

    #[test]
    fn a_handshake_without_common_ciphers_names_the_setting_of_mesos() {
        let alert = rustls::Error::AlertReceived(AlertDescription::HandshakeFailure);
        let text = explain(&std::io::Error::other(alert));
        assert!(text.contains("LIBPROCESS_SSL_ENABLE_TLS_V1_3"), "{text}");
    }
}
