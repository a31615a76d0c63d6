//! Agents with TLS: believed if they prove who they are, by the word of the authority that the environment names.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::version::{TLS12, TLS13};
use tenure::env::Env;
use tenure::executor::exec::frames::{End, Frame, read};
use tenure::mesos::wire::{ExecOrder, ExecutorData, TaskId, TaskState};
use tenure::server::{self, AgentDoor, Lines, ServerCertificate};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::agent::Agent;
use super::authority::{Authority, agent_tls};
use super::{POLITE, line};

/// An agent whose executor is to verify it, by the word of `authority`.
async fn verified(authority: &Authority) -> Agent {
    let agent = Agent::start("e1").await;
    let ca = agent.sandbox.path().join("ca.pem");
    authority.write(&ca);
    agent
        .with("LIBPROCESS_SSL_ENABLED", "1")
        .with("LIBPROCESS_SSL_VERIFY_SERVER_CERT", "true")
        .with("LIBPROCESS_SSL_CA_FILE", ca.to_str().unwrap())
}

async fn runs_a_task(agent: &Agent) {
    let mut executor = agent.executor();
    agent.subscription(1).await;
    agent.launch(line("t.1", "exit 0"));
    agent.update_of(TaskState::Finished).await;
    assert!(executor.ended().await.success());
}

/// Ends at once, with these words where people look for them, and without asking again and again.
async fn is_given_up(agent: &Agent, words: &str) {
    assert_eq!(agent.executor().ended().await.code(), Some(1));
    let told = agent.output("stderr");
    assert!(told.contains("TLS with the agent fails") && told.contains(words), "wanted {words:?}: {told}");
    assert_eq!(agent.connections(), 1, "{told}");
}

#[tokio::test]
async fn an_agent_is_believed_by_its_address_or_by_the_host_name_that_the_scheduler_knows() {
    let authority = Authority::new("ours");
    let by_address = agent_tls(&authority.sign("127.0.0.1"), None, &[&TLS13]);
    runs_a_task(&verified(&authority).await.secured(by_address)).await;
    let by_name = agent_tls(&authority.sign("m7.example.org"), None, &[&TLS12]);
    let agent = verified(&authority).await.secured(by_name).with("TENURE_AGENT_HOST", "m7.example.org");
    runs_a_task(&agent).await;
}

#[tokio::test]
async fn the_authorities_of_a_folder_count_and_other_files_in_it_do_no_harm() {
    let authority = Authority::new("ours");
    let tls = agent_tls(&authority.sign("127.0.0.1"), None, &[&TLS13]);
    let folder = tempfile::tempdir().unwrap();
    Authority::new("other").write(&folder.path().join("other.pem"));
    authority.write(&folder.path().join("9d66eef0.0"));
    std::fs::write(folder.path().join("README"), "authorities").unwrap();
    let agent = Agent::start("e1").await.secured(tls).with("LIBPROCESS_SSL_ENABLED", "true");
    runs_a_task(
        &agent
            .with("LIBPROCESS_SSL_VERIFY_CERT", "1")
            .with("LIBPROCESS_SSL_CA_DIR", folder.path().to_str().unwrap()),
    )
    .await;
}

#[tokio::test]
async fn an_agent_that_does_not_prove_who_it_is_is_told_and_not_asked_again() {
    let (authority, other) = (Authority::new("ours"), Authority::new("other"));
    let stranger = agent_tls(&other.sign("127.0.0.1"), None, &[&TLS13]);
    is_given_up(&verified(&authority).await.secured(stranger), "invalid peer certificate: UnknownIssuer")
        .await;
    let elsewhere = agent_tls(&authority.sign("m8.example.org"), None, &[&TLS13]);
    let agent = verified(&authority).await.secured(elsewhere).with("TENURE_AGENT_HOST", "m7.example.org");
    is_given_up(&agent, "m7.example.org").await;
    is_given_up(&verified(&authority).await, "does the agent speak TLS?").await;
}

#[tokio::test]
async fn without_verification_any_certificate_will_do_as_it_does_in_mesos() {
    let tls = agent_tls(&Authority::new("other").sign("m8.example.org"), None, &[&TLS13]);
    runs_a_task(&Agent::start("e1").await.secured(tls).with("LIBPROCESS_SSL_ENABLED", "1")).await;
}

#[tokio::test]
async fn an_agent_that_asks_who_calls_is_shown_the_executors_certificate() {
    let (agents, callers) = (Authority::new("agents"), Authority::new("callers"));
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    for versions in [[&TLS13], [&TLS12]] {
        let tls = agent_tls(&agents.sign("127.0.0.1"), Some(&callers), &versions);
        let nobody = verified(&agents).await.secured(tls.clone());
        is_given_up(&nobody, "LIBPROCESS_SSL_CERT_FILE").await;
        for (signer, is_believed) in [(&agents, false), (&callers, true)] {
            let own = signer.sign("m7.example.org");
            std::fs::write(file("own.pem"), own.certificate).unwrap();
            std::fs::write(file("own.key"), own.key).unwrap();
            let agent = verified(&agents).await.secured(tls.clone());
            let agent = agent
                .with("LIBPROCESS_SSL_CERT_FILE", &file("own.pem"))
                .with("LIBPROCESS_SSL_KEY_FILE", &file("own.key"));
            match is_believed {
                true => runs_a_task(&agent).await,
                false => is_given_up(&agent, "LIBPROCESS_SSL_CERT_FILE").await,
            }
        }
    }
}

#[tokio::test]
async fn a_task_runs_on_while_an_agent_is_back_with_a_certificate_that_is_not_believed() {
    let (authority, other) = (Authority::new("ours"), Authority::new("other"));
    let good = agent_tls(&authority.sign("127.0.0.1"), None, &[&TLS13]);
    let mut agent = verified(&authority).await.secured(good.clone());
    let mut executor = agent.executor();
    agent.subscription(1).await;
    agent.launch(line("t.1", POLITE));
    agent.update_of(TaskState::Running).await;
    agent.kill().await;
    agent = agent.secured(agent_tls(&other.sign("127.0.0.1"), None, &[&TLS13]));
    agent.listen().await;
    agent.was_not_believed().await;
    agent.kill().await;
    agent = agent.secured(good);
    agent.listen().await;
    agent.subscription(2).await;
    agent.kill_task("t.1", None);
    agent.update_of(TaskState::Killed).await;
    assert!(executor.ended().await.success());
    assert!(
        agent.output("executor.log").contains("TLS with the agent fails"),
        "{}",
        agent.output("executor.log")
    );
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named_with_its_variable() {
    let agent = Agent::start("e1").await.with("LIBPROCESS_SSL_ENABLED", "1");
    let agent =
        agent.with("LIBPROCESS_SSL_REQUIRE_CLIENT_CERT", "1").with("LIBPROCESS_SSL_CA_FILE", "/none/ca.pem");
    assert_eq!(agent.executor().ended().await.code(), Some(1));
    let told = agent.output("stderr");
    assert!(told.contains("failed to read /none/ca.pem, which LIBPROCESS_SSL_CA_FILE names"), "{told}");
}

/// A door of a server whose authority is kept in `folder`.
async fn door(env: &Env, folder: &Path) -> (String, Lines, String) {
    let authority = server::Authority::load_or_create(folder).unwrap();
    let certificate = Arc::new(ServerCertificate::new(env.clone(), authority, &[]).unwrap());
    let (pem, tls) = (certificate.authority_pem().to_owned(), certificate.config().unwrap());
    let lines = Lines::default();
    let door = AgentDoor { artifact: None, lines: lines.clone(), tls: Some(tls) };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    env.spawn("door", door.serve(env.clone(), listener, CancellationToken::new()));
    (address, lines, pem)
}

#[tokio::test]
async fn the_line_of_a_command_is_secured_by_the_authority_that_the_order_names_and_by_no_other() {
    let env = Env::system().unwrap();
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (server, lines, pem) = door(&env, folder.path()).await;
    let (_, _, stranger) = door(&env, other.path()).await;
    let agent = Agent::start("e1").await;
    let mut executor = agent.executor();
    agent.subscription(1).await;
    agent.launch(line("t.1", POLITE));
    agent.update_of(TaskState::Running).await;
    let order = |authority: String, token: &str| {
        let (task, argv) = (TaskId::new("t.1"), vec!["true".to_owned()]);
        let (server, token) = (server.clone(), token.to_owned());
        let order = ExecOrder {
            task,
            argv,
            terminal: false,
            stdin: false,
            server,
            token,
            authority: Some(authority),
        };
        agent.message(ExecutorData::Exec(order).encode());
    };
    let expected = lines.expect(&env);
    order(pem, expected.token());
    let mut line = expected.line().await.unwrap();
    let read = read(&mut line, &mut Vec::new()).await;
    assert!(matches!(read, Ok(Some(Frame::End(End::ExitCode(0))))), "{read:?}");

    let expected = lines.expect(&env);
    order(stranger, expected.token());
    while !agent.output("executor.log").contains("TLS failed: invalid peer certificate") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    agent.kill_task("t.1", None);
    agent.update_of(TaskState::Killed).await;
    assert!(executor.ended().await.success());
}
