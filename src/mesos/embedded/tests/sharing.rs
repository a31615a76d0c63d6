//! Several frameworks on one cluster: who is offered what, and that nobody touches what is another's.

use std::collections::BTreeSet;

use super::*;
use crate::mesos::embedded::fleet::Fleet;
use crate::mesos::embedded::master;
use crate::mesos::wire::framework::{MinAllocatableResources, OfferFilters, ResourceQuantities};
use crate::mesos::wire::resource::Scalar;

/// A master without agents.
fn master() -> Server {
    let env = Env::simulated("server", 1, Timestamp::UNIX_EPOCH);
    Server { master: master::start(&env, MasterConfig::default(), BTreeSet::new()), env }
}

/// So many agents of 4 cpus register, one after the other.
fn agents(server: &Server, number: usize) -> Fleet {
    let info = |number| AgentInfo {
        hostname: format!("agent{number}"),
        resources: parse_resources("cpus:4;mem:4096").unwrap(),
        ..AgentInfo::default()
    };
    Fleet::start(&server.env, &server.master, (1..=number).map(info))
}

async fn in_roles(server: &Server, roles: &[&str]) -> Framework {
    let roles = roles.iter().map(|role| (*role).to_owned()).collect();
    Framework::subscribe_as(server, FrameworkInfo { roles, ..framework_info(None) }).await
}

/// All that is offered within a minute, in which nothing is given back.
async fn offered(framework: &mut Framework) -> Vec<Offer> {
    let mut offers = Vec::new();
    while let Ok(event) = tokio::time::timeout(Duration::from_secs(60), framework.next()).await {
        offers.extend(event.unwrap().offers.unwrap_or_default().offers);
    }
    offers
}

fn role_of(offer: &Offer) -> &str {
    offer.allocation_info.as_ref().unwrap().role()
}

#[tokio::test(start_paused = true)]
async fn frameworks_of_a_role_get_the_same_and_a_role_gets_what_it_weighs() {
    let server = master();
    server.master.update_weights([("web".to_owned(), 3.0)].into()).await.unwrap();
    let mut web = in_roles(&server, &["web"]).await;
    let (mut one, mut other) = (in_roles(&server, &["db"]).await, in_roles(&server, &["db"]).await);
    let _fleet = agents(&server, 16);
    let count = async |framework: &mut Framework| offered(framework).await.len();
    assert_eq!((count(&mut web).await, count(&mut one).await, count(&mut other).await), (12, 2, 2));

    // Whoever weighs anew takes everything back, and it is shared out anew.
    server.master.update_weights([("web".to_owned(), 1.0)].into()).await.unwrap();
    let shares = (count(&mut web).await, count(&mut one).await, count(&mut other).await);
    assert_eq!(shares, (8, 4, 4));
    for (role, weight) in [("web", 0.0), ("web", f64::NAN), ("a//b", 1.0)] {
        let error = server.master.update_weights([(role.to_owned(), weight)].into()).await.unwrap_err();
        assert!(error.message.contains(role), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_tasks_hold_counts_so_that_the_poorer_framework_is_next() {
    let server = master();
    let mut rich = in_roles(&server, &["web"]).await;
    let _first = agents(&server, 1);
    let offers = rich.offers().await;
    rich.accept(&offers, vec![task("large", &offers[0], "cpus:4;mem:4096")]).await;
    assert_eq!(rich.status().await.state(), TaskState::Running);
    let mut poor = in_roles(&server, &["web"]).await;
    let _more = agents(&server, 3);
    assert_eq!((offered(&mut poor).await.len(), offered(&mut rich).await.len()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn what_one_framework_declines_the_other_is_offered() {
    let server = master();
    let (mut one, mut other) = (in_roles(&server, &["web"]).await, in_roles(&server, &["web"]).await);
    let _fleet = agents(&server, 1);
    let offer = one.offers().await.remove(0).id;
    one.decline(&offer, 3600.0).await;
    let offer = other.offers().await.remove(0).id;
    other.call(Call { suppress: Some(Roles::default()), ..of(CallType::Suppress) }).await;
    other.decline(&offer, 0.0).await;
    assert!(one.hears_nothing_for(Duration::from_secs(3000)).await, "its own filter lasts");
    one.offers().await;
}

#[tokio::test(start_paused = true)]
async fn a_framework_that_wants_more_than_there_is_leaves_it_to_the_other() {
    let server = master();
    let least = Scalar { value: 8.0 };
    let quantities = ResourceQuantities { quantities: [("cpus".to_owned(), least)].into() };
    let minimum = MinAllocatableResources { quantities: vec![quantities] };
    let filters = OfferFilters { min_allocatable_resources: Some(minimum) };
    let info = FrameworkInfo { offer_filters: [("web".to_owned(), filters)].into(), ..framework_info(None) };
    let mut picky = Framework::subscribe_as(&server, info).await;
    let mut other = in_roles(&server, &["web"]).await;
    let _fleet = agents(&server, 2);
    assert_eq!((offered(&mut picky).await.len(), offered(&mut other).await.len()), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_framework_of_two_roles_is_offered_agents_in_both_and_suppresses_one() {
    let server = master();
    let mut framework = in_roles(&server, &["web", "db"]).await;
    let _fleet = agents(&server, 4);
    let offers = offered(&mut framework).await;
    let of_role = |role| offers.iter().filter(|offer| role_of(offer) == role).count();
    assert_eq!((of_role("web"), of_role("db")), (2, 2));
    let roles = Roles { roles: vec!["web".to_owned()] };
    framework.call(Call { suppress: Some(roles), ..of(CallType::Suppress) }).await;
    for offer in &offers {
        framework.decline(&offer.id, 0.0).await;
    }
    let again = offered(&mut framework).await;
    assert!(again.len() == 4 && again.iter().all(|offer| role_of(offer) == "db"), "{again:?}");
}

#[tokio::test(start_paused = true)]
async fn calls_of_one_framework_do_not_reach_the_tasks_of_another() {
    let server = master();
    let mut owner = in_roles(&server, &["web"]).await;
    let _fleet = agents(&server, 1);
    let running = owner.run("t").await;
    let agent = running.agent_id.clone().unwrap();
    let rest = owner.offers().await;
    let mut stranger = in_roles(&server, &["web"]).await;
    stranger.kill("t", Some(&agent)).await;
    let status = stranger.status().await;
    assert_eq!(brief(&status), (TaskState::Gone, Source::Master, Reason::Reconciliation, false));
    stranger.reconcile(&[("t", None)]).await;
    assert_eq!(stranger.status().await.state(), TaskState::Unknown);
    stranger.acknowledge(&running).await;
    stranger.accept(&rest, vec![task("theirs", &rest[0], "cpus:1")]).await;
    let dropped = stranger.status().await;
    assert_eq!(brief(&dropped), (TaskState::Dropped, Source::Master, Reason::InvalidOffers, false));
    // A task of the same name would be taken for it there.
    owner.decline(&rest[0].id, 3600.0).await;
    let offers = stranger.offers().await;
    stranger.accept(&offers, vec![task("t", &offers[0], "cpus:1")]).await;
    let refused = stranger.status().await;
    assert_eq!(brief(&refused), (TaskState::Error, Source::Master, Reason::TaskInvalid, false));
    assert!(refused.message().contains(&owner.id.value), "{refused:?}");
    stranger.call(of(CallType::Teardown)).await;
    owner.reconcile(&[("t", None)]).await;
    let status = owner.status().await;
    assert_eq!(brief(&status), (TaskState::Running, Source::Master, Reason::Reconciliation, false));
}
