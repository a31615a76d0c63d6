//! Masters with TLS: believed if the configured authority has signed, and never otherwise.

use super::*;
use crate::mesos::wire::scheduler::Subscribe;
use rcgen::{CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// An authority, PEM, and the settings of a server whose certificate for the loopback address it has signed.
fn authority() -> (String, Arc<ServerConfig>) {
    let (pem, issuer, _) = root();
    let (chain, own) = signed(&issuer, "127.0.0.1");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.serialize_der())))
        .unwrap();
    (pem, Arc::new(config))
}

/// An authority: PEM, who signs with it, and its certificate.
fn root() -> (String, Issuer<'static, KeyPair>, CertificateDer<'static>) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let own = params.self_signed(&key).unwrap();
    (own.pem(), Issuer::new(params, key), own.der().clone())
}

/// A certificate for `name`, and its key.
fn signed(issuer: &Issuer<'_, KeyPair>, name: &str) -> (Vec<CertificateDer<'static>>, KeyPair) {
    let own = KeyPair::generate().unwrap();
    let signed = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&own, issuer).unwrap();
    (vec![signed.der().clone()], own)
}

#[tokio::test]
async fn a_master_is_believed_by_its_certificate_alone() {
    let env = Env::system().unwrap();
    let (master, _fleet) = cluster(&env);
    let (pem, tls) = authority();
    let (other, _) = authority();
    let secured = Process::leading(&env, &master, |front| front.with_tls(tls)).await;
    let plain = Process::leading(&env, &master, |front| front).await;
    let ask = async |address: SocketAddr, scheme: &str, pem: Option<&str>| {
        let url = format!("{scheme}://{address}").parse().unwrap();
        let trust = pem.map(|pem| Trust::of_pem(pem.as_bytes()).unwrap());
        let connection = HttpConnection::new(&env, HttpConfig { trust, ..HttpConfig::new(vec![url]) });
        let framework_info = Remembered::default().framework().await.unwrap();
        let call = Call::subscribe(Subscribe { framework_info, ..Subscribe::default() });
        connection.subscribe(call, &|| true).await.map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(ask(secured.address, "https", Some(&pem)).await, Ok(()));
    for (address, scheme, pem, words) in [
        (secured.address, "https", Some(other.as_str()), "TLS failed: invalid peer certificate"),
        (secured.address, "https", None, "no authority is configured"),
        (plain.address, "https", Some(pem.as_str()), "is this port without TLS"),
        (secured.address, "http", Some(pem.as_str()), "http://127.0.0.1"),
    ] {
        let error = ask(address, scheme, pem).await.unwrap_err();
        assert!(error.contains(words), "{scheme}: {error}");
    }
}

/// As with LIBPROCESS_SSL_REQUIRE_CERT.
#[tokio::test]
async fn a_master_that_asks_for_a_certificate_gets_the_configured_one() {
    let env = Env::system().unwrap();
    let (master, _fleet) = cluster(&env);
    let (pem, issuer, authority) = root();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority).unwrap();
    let provider = Arc::new(ring::default_provider());
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let (chain, own) = signed(&issuer, "127.0.0.1");
    let verifier = verifier.build().unwrap();
    let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
    let [new, old] = versions.map(|version| {
        let config = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_client_cert_verifier(verifier.clone())
            .with_single_cert(
                chain.clone(),
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.serialize_der())),
            );
        Arc::new(config.unwrap())
    });
    let new = Process::leading(&env, &master, |front| front.with_tls(new)).await;
    let old = Process::leading(&env, &master, |front| front.with_tls(old)).await;
    let ask = async |secured: &Process, trust: Trust| {
        let url = format!("https://{}", secured.address).parse().unwrap();
        let config = HttpConfig { trust: Some(trust), ..HttpConfig::new(vec![url]) };
        let connection = HttpConnection::new(&env, config);
        let framework_info = Remembered::default().framework().await.unwrap();
        let call = Call::subscribe(Subscribe { framework_info, ..Subscribe::default() });
        connection.subscribe(call, &|| true).await.map(drop).map_err(|error| error.to_string())
    };
    let showing = |issuer: &Issuer<'_, KeyPair>| {
        let own = KeyPair::generate().unwrap();
        let shown =
            CertificateParams::new(vec!["tenure".to_owned()]).unwrap().signed_by(&own, issuer).unwrap();
        Trust::showing(pem.as_bytes(), shown.pem().as_bytes(), own.serialize_pem().as_bytes()).unwrap()
    };
    let (_, stranger, _) = root();
    for secured in [&new, &old] {
        assert_eq!(ask(secured, showing(&issuer)).await, Ok(()));
        ask(secured, showing(&stranger)).await.unwrap_err();
        let nothing = ask(secured, Trust::of_pem(pem.as_bytes()).unwrap()).await.unwrap_err();
        assert!(
            nothing.contains("a client certificate is asked for (--mesos-cert and --mesos-key)"),
            "{nothing}"
        );
    }
}
