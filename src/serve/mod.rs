//! Wires the rooms into a running server; only main uses it.
//!
//! ```text
//! data folder ─▶ store ─▶ cache ─▶ registry ─▶ front door ─▶ kubeconfig: ready
//!                                     │
//!     launcher ─▶ embedded agent, master ─▶ leader's loops          or: Apache Mesos ─▶ leader's loops
//! ```

mod cluster;
mod documents;
mod elf;
mod exec;
mod executor;
mod installation;
mod keyed;
mod leader;
mod logs;
mod machine;
mod mesos;
mod offers;
mod sealing;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use prometheus_client::metrics::info::Info;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::cli::ServerArgs;
use crate::cli::server_args::{Listen, ServerConfig, StoreTarget};
use crate::controllers::{Census, Contact, Ends, Offers};
use crate::env::{Env, watch};
use crate::registry::{Cache, Prefix, Registry, Scheme};
use crate::runtime::{Election, LEADER_TTL};
use crate::server::{
    Audit, Authority, ClientAuthority, Kubeconfig, LiveOffers, PeerKeys, ReadyCheck, ReadyMetrics,
    RequestMetrics, Server, ServerCertificate, SigningKeys, Token,
};
use cluster::{Inside, Scene, Way};
use documents::{Documents, Hall};
use installation::Installation;
use leader::WhoLeads;
pub use mesos::run_mesos;
use offers::HeldOffers;
use sealing::Sealing;

/// What the secrets of peers are derived for.
const PEERS: &str = "servers among each other";
/// What is logged where `TENURE_LOG` says nothing. The library that asks ZooKeeper tells of each session of each attempt; what
/// came of it is told once, by who asked.
const LOG: &str = "info,zookeeper_client=error";
/// How long the end may take before whatever still runs is cut off.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(15);

/// Runs the server until SIGTERM or SIGINT.
#[must_use]
pub fn run(args: ServerArgs) -> ExitCode {
    exit_code(args.resolve().and_then(|config| runtime()?.block_on(serve(config))))
}

#[allow(clippy::print_stderr, reason = "main's last words, before or after there is a log")]
fn exit_code(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    let filter = tracing_subscriber::EnvFilter::try_from_env("TENURE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(LOG));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("failed to start the runtime")
}

async fn serve(config: ServerConfig) -> Result<()> {
    let env = Env::system().context("no randomness to be had")?;
    crash_where_told(&env)?;
    warn_of_what_is_not_built(&config);
    // What is wrong with it is told before anything is made.
    let way = Way::of(&config)?;
    std::fs::create_dir_all(&config.data_dir)
        .with_context(|| format!("failed to create {}", config.data_dir.display()))?;

    let sealing = Sealing::load(&env, &config.data_dir)?;
    let documents = Documents::open(&env, &config, &sealing).await?;
    let store = documents.store.clone();
    let listener = listen(config.listen)?;
    let host = host_of(&config, &listener).await?;
    warn_if_out_of_reach(&config, &host);
    let certificate = certificate(&env, &config, &host)?;
    let hall = Hall { env: &env, listener: &listener, certificate: &certificate };
    let prefix = Prefix::new(&config.name);
    let installation = hall.wait(|| Installation::open(&env, &*store, &prefix)).await?;
    hall.wait(|| sealing.settle(&documents.sealed, &prefix)).await?;
    let cache = Cache::start(&env, store.clone(), &prefix);
    let scheme = Scheme::ours().context("the kinds of this build are damaged")?;
    let registry = Registry::new(&env, store.clone(), cache.clone(), &prefix, scheme);
    cache.listed().await;
    registry.follow_definitions();
    hall.wait(|| installation::seed(&registry)).await?;

    let keys = PeerKeys::new(&sealing.keys.derived(PEERS));
    let who = Arc::new(WhoLeads { store: store.clone(), key: prefix.leader(), keys: keys.clone() });
    let scene = Scene {
        env: &env,
        config: &config,
        installation: &installation,
        registry: &registry,
        leader: &who,
        certificate: &certificate,
    };
    let (leader, inside) = way.lead(&scene, &store).await?;
    let election = Election {
        env: env.clone(),
        store: store.clone(),
        key: prefix.leader(),
        holder: format!("{} (pid {})", leader.host, std::process::id()),
        door: door_at(&host, listener.local_addr().context("no address")?.port(), &certificate)?,
        ttl: LEADER_TTL,
        rivals: config.store != StoreTarget::Embedded,
    };
    let listener = TcpListener::from_std(listener).context("failed to listen")?;
    let address = listener.local_addr().context("no address")?;
    env.spawn("room", documents.probe_room(&env, prefix.meta("room")));
    let full = documents.full.clone();
    let held = HeldOffers { offers: leader.offers.clone(), leader: who };
    let cluster = Cluster {
        inside,
        offers: Arc::new(held),
        contact: leader.contact.clone(),
        ends: leader.ends.clone(),
        census: leader.census.clone(),
        held: leader.offers.clone(),
    };
    let door = front_door(&env, &config, &registry, &installation, &sealing, cluster, (certificate, full))?;
    let (server, kubeconfig) = door.at(address);

    let stop = CancellationToken::new();
    let told = env.spawn("signals", stop_on_signal(stop.clone(), "tasks run on"));
    let stopped = stop.clone();
    let front = env.spawn("front-door", async move { server.run(listener, stopped).await });
    kubeconfig.write(&config.data_dir.join("kubeconfig"))?;
    tracing::info!(%address, data = %config.data_dir.display(), installation = installation.uid, "ready");

    let led = leader.run(&election, stop.clone()).await;
    stop.cancel();
    tokio::time::timeout(SHUTDOWN_PATIENCE, front.join())
        .await
        .context("the front door did not close in time")?
        .context("the front door crashed")?
        .context("the front door failed")?;
    told.abort();
    documents.close().await?;
    led.context("nobody leads any more")
}

/// The kill tests end this process at a named write seam: `TENURE_CRASH_AT=bound:2` at its second passage.
fn crash_where_told(env: &Env) -> Result<()> {
    let Ok(place) = std::env::var("TENURE_CRASH_AT") else { return Ok(()) };
    if !cfg!(debug_assertions) {
        bail!("TENURE_CRASH_AT is for the tests: this build does not honour it");
    }
    let (seam, nth) = place.split_once(':').unwrap_or((&place, "1"));
    env.crash_at_seam(seam, nth.parse().context("TENURE_CRASH_AT must be SEAM or SEAM:NUMBER")?);
    Ok(())
}

/// Every flag is parsed from the start; one that asks for something that is not built yet says so.
fn warn_of_what_is_not_built(config: &ServerConfig) {
    let unbuilt = [
        ("--marathon-listen", Some(config.marathon_listen), "the Marathon API"),
        ("--dns-listen", Some(config.dns_listen), "the DNS server"),
    ];
    for (flag, listen, what) in unbuilt {
        if let Some(Listen::At(address)) = listen {
            tracing::warn!("{flag} {address}: {what} is not built yet, nothing listens there");
        }
    }
}

/// Listens, for whoever comes first: the waiting front door or the real one.
fn listen(address: SocketAddr) -> Result<std::net::TcpListener> {
    let bound = std::net::TcpListener::bind(address);
    let listener = bound.with_context(|| format!("failed to listen at {address}"))?;
    listener.set_nonblocking(true).context("failed to listen")?;
    Ok(listener)
}

/// The name or address at which others reach what listens there.
async fn host_of(config: &ServerConfig, listener: &std::net::TcpListener) -> Result<String> {
    let address = listener.local_addr().context("no address")?;
    Ok(match (&config.address, address.ip()) {
        (_, ip) if !ip.is_unspecified() => ip.to_string(),
        (Some(address), _) => address.clone(),
        (None, _) => machine::address_of_default_route().await,
    })
}

/// Servers that share the store ask the leader about what only it knows.
fn warn_if_out_of_reach(config: &ServerConfig, host: &str) {
    if config.store != StoreTarget::Embedded && host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()) {
        tracing::warn!(
            %host,
            "servers of this installation on other machines cannot ask this one about what the leader holds: --listen names an address of this machine alone"
        );
    }
}

/// How other servers reach this one, as they find it in the leader's key.
fn door_at(host: &str, port: u16, certificate: &ServerCertificate) -> Result<serde_json::Value> {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let authority = certificate.authority_pem().to_owned();
    serde_json::to_value(leader::Door { url: format!("https://{host}:{port}"), authority }).context("no door")
}

fn certificate(env: &Env, config: &ServerConfig, host: &str) -> Result<Arc<ServerCertificate>> {
    let tls: &Path = &config.data_dir.join("tls");
    let names: Vec<String> =
        config.address.iter().cloned().chain([machine::hostname()?, host.to_owned()]).collect();
    let certificate = ServerCertificate::new(env.clone(), Authority::load_or_create(tls)?, &names)?;
    let Some(file) = &config.client_ca_file else { return Ok(Arc::new(certificate)) };
    let place = || format!("--client-ca-file {}", file.display());
    let clients = ClientAuthority::from_pem(&std::fs::read(file).with_context(place)?).with_context(place)?;
    Ok(Arc::new(certificate.believing(clients)))
}

/// All of the front door but its address.
struct Door {
    env: Env,
    registry: Arc<Registry>,
    installation: String,
    token: Token,
    signing: SigningKeys,
    peers: PeerKeys,
    audit: Audit,
    certificate: Arc<ServerCertificate>,
    full: watch::Receiver<Option<String>>,
    cluster: Cluster,
}

/// What the front door asks of the cluster.
struct Cluster {
    inside: Inside,
    offers: Arc<dyn LiveOffers>,
    contact: Contact,
    ends: Ends,
    census: Census,
    held: Offers,
}

fn front_door(
    env: &Env,
    config: &ServerConfig,
    registry: &Arc<Registry>,
    installation: &Installation,
    sealing: &Sealing,
    cluster: Cluster,
    (certificate, full): (Arc<ServerCertificate>, watch::Receiver<Option<String>>),
) -> Result<Door> {
    Ok(Door {
        env: env.clone(),
        registry: registry.clone(),
        installation: installation.uid.clone(),
        token: Token::load_or_create(&config.data_dir.join("token"), env)?,
        signing: SigningKeys::new(&sealing.keys.derived("tokens of service accounts")),
        peers: PeerKeys::new(&sealing.keys.derived(PEERS)),
        audit: Audit::open(env, &config.data_dir.join("audit")).context("failed to open the audit log")?,
        certificate,
        full,
        cluster,
    })
}

/// What the kubeconfig will say.
struct Entrance {
    url: String,
    authority_pem: String,
    token: Token,
}

impl Entrance {
    fn write(&self, path: &Path) -> Result<()> {
        let Entrance { url, authority_pem, token } = self;
        Ok(Kubeconfig { server: url, authority_pem, token }.write(path)?)
    }
}

impl Door {
    /// The server, and how to enter it at `address`.
    fn at(self, address: SocketAddr) -> (Server, Entrance) {
        let Door { env, registry, installation, token, signing, peers, audit, .. } = self;
        let Door { certificate, full, cluster, .. } = self;
        let Cluster { inside: Inside { logs, exec }, offers, contact, ends, census, held } = cluster;
        // Nobody connects to an unspecified address.
        let url = match address.ip().is_unspecified() {
            true => format!("https://127.0.0.1:{}", address.port()),
            false => format!("https://{address}"),
        };
        let authority_pem = certificate.authority_pem().to_owned();
        let entrance = Entrance { url, authority_pem, token: token.clone() };
        let mut metrics = prometheus_client::registry::Registry::default();
        let requests = RequestMetrics::register(&mut metrics);
        let build =
            vec![("version", env!("CARGO_PKG_VERSION").to_owned()), ("installation", installation.clone())];
        metrics.register("tenure_build", "This build and its installation", Info::new(build));
        let cache = registry.cache().clone();
        let store = ReadyCheck::new("store", move || match cache.health() {
            health if health.is_ready() => full.borrow().clone().map_or(Ok(()), Err),
            health => Err(health.trouble.map_or("not read yet".to_owned(), |trouble| trouble.error)),
        });
        let asked = contact.clone();
        let mesos = ReadyCheck::advisory("mesos", move || match asked.trouble() {
            Some(trouble) => Err(trouble.to_string()),
            None => Ok(()),
        });
        metrics.register_collector(Box::new(contact));
        metrics.register_collector(Box::new(ends));
        metrics.register_collector(Box::new(census));
        metrics.register_collector(Box::new(held));
        let ready: Arc<[ReadyCheck]> = [store, mesos].into();
        metrics.register_collector(Box::new(ReadyMetrics::of(ready.clone())));
        let metrics = Arc::new(metrics);
        let server = Server {
            env,
            registry,
            installation,
            token,
            signing,
            peers,
            audit,
            certificate,
            logs,
            exec,
            offers,
            ready,
            requests,
            metrics,
        };
        (server, entrance)
    }
}

async fn stop_on_signal(stop: CancellationToken, then: &str) {
    let signals =
        signal(SignalKind::terminate()).and_then(|term| Ok((term, signal(SignalKind::interrupt())?)));
    let (mut term, mut interrupt) = match signals {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!(%error, "failed to listen to signals: only kill -9 ends this process");
            return;
        }
    };
    let name = tokio::select! {
        biased;
        _ = term.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::info!("{name}: stopping; {then}");
    stop.cancel();
}
