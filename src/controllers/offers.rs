//! The offers that this process holds, while it leads: for whoever wants to look at them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use tokio::sync::{mpsc, oneshot};

use super::agents::object_name;
use super::{placement, questions};
use crate::api::{Held, ObjectMeta, Offer, OfferStatus, Time, Totals};
use crate::mesos::leases::{Lease, Leases};
use crate::mesos::wire::AgentId;
use crate::plan::ObjectName;

/// What is known of the offers. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Offers {
    /// None while another process leads, or nobody.
    shared: Arc<Mutex<Option<Book>>>,
}

#[derive(Debug)]
struct Book {
    leases: Leases,
    /// To the loop that knows what they are for, once it listens.
    asks: Option<mpsc::Sender<Ask>>,
}

/// A question what offers are held for.
pub(super) type Ask = oneshot::Sender<Wanted>;

/// Why offers are held, and for whom: the first role is that of offers which tell none.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) of_roles: Vec<OfRole>,
}

/// Why offers to one role are held, and for whom.
#[derive(Debug)]
pub(super) struct OfRole {
    pub(super) role: Arc<str>,
    pub(super) held: Held,
    /// By the agent's id in Mesos: Apps, a few of them.
    pub(super) apps: BTreeMap<AgentId, BTreeSet<ObjectName>>,
}

/// Nobody told in time what the offers are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("placement is busy and does not tell for whom offers are held: ask again")]
pub struct Busy;

/// The most Apps that an offer names.
pub(super) const APPS: usize = 10;
/// Questions that may wait for the loop.
const ASKS: usize = 16;
/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

impl Offers {
    /// All live offers, in the order of their ids; nothing if this process does not lead.
    ///
    /// # Errors
    /// [`Busy`], when it does not tell in seconds what they are for.
    pub async fn live(&self) -> Result<Option<Vec<Offer>>, Busy> {
        let Some(asks) = self.book().as_ref().map(|book| book.asks.clone()) else { return Ok(None) };
        let wanted = match asks {
            Some(asks) => wanted(&asks).await?,
            // The term has just begun.
            None => Wanted::default(),
        };
        let Some(leases) = self.book().as_ref().map(|book| book.leases.snapshot()) else { return Ok(None) };
        Ok(Some(leases.values().map(|lease| shown(lease, &wanted)).collect()))
    }

    /// This process leads, and holds `leases`.
    pub(super) fn lead(&self, leases: Leases) {
        *self.book() = Some(Book { leases, asks: None });
    }

    /// From now on it is asked here what they are for.
    pub(super) fn answering(&self) -> mpsc::Receiver<Ask> {
        let (asks, asked) = mpsc::channel(ASKS);
        if let Some(book) = &mut *self.book() {
            book.asks = Some(asks);
        }
        asked
    }

    /// This process does not lead any more.
    pub(super) fn standby(&self) {
        *self.book() = None;
    }

    fn book(&self) -> MutexGuard<'_, Option<Book>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the offers are for, by the loop that knows it.
async fn wanted(asks: &mpsc::Sender<Ask>) -> Result<Wanted, Busy> {
    let (ask, answer) = oneshot::channel();
    asks.try_send(ask).map_err(|_| Busy)?;
    tokio::time::timeout(PATIENCE, answer).await.map_err(|_| Busy)?.map_err(|_| Busy)
}

impl Collector for Offers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let held = self.book().as_ref().map_or(0, |book| book.leases.snapshot().len());
        let help = "Offers that this process holds";
        let held = ConstGauge::new(i64::try_from(held).unwrap_or(i64::MAX));
        held.encode(encoder.encode_descriptor("tenure_mesos_offers_held", help, None, MetricType::Gauge)?)
    }
}

fn shown(lease: &Lease, wanted: &Wanted) -> Offer {
    let offer = &lease.offer;
    let role = offer.allocation_info.as_ref().and_then(|it| it.role.clone());
    let is_meant = |it: &&OfRole| role.as_deref().is_none_or(|role| *it.role == *role);
    let wanted = wanted.of_roles.iter().find(is_meant);
    let apps = wanted.and_then(|it| it.apps.get(&offer.agent_id)).into_iter().flatten();
    let scalars = placement::scalars(&offer.resources);
    let crate::api::Resources { cpus, memory, disk, gpus } = placement::to_api(&scalars);
    let ports = placement::ports(&offer.resources);
    let ports = ports.ranges().iter().map(|it| format!("{}-{}", it.begin, it.end)).collect();
    Offer {
        metadata: ObjectMeta {
            name: Some(object_name(&offer.id.value)),
            uid: Some(offer.id.value.clone()),
            creation_timestamp: Some(Time(lease.received_at)),
            ..ObjectMeta::default()
        },
        status: Some(OfferStatus {
            offer_id: offer.id.value.clone(),
            agent_id: offer.agent_id.value.clone(),
            hostname: offer.hostname.clone(),
            role,
            resources: Totals { cpus, memory, disk, gpus, ports },
            revocable: placement::lent(&scalars),
            held: wanted.map(|it| it.held).unwrap_or_default(),
            apps: apps.map(ToString::to_string).collect(),
            maintenance: offer.unavailability.as_ref().and_then(questions::maintenance),
        }),
    }
}
