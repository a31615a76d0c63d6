//! The offers that this process holds, while it leads: for whoever wants to look at them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::agents::object_name;
use super::{placement, questions};
use crate::api::{Held, ObjectMeta, Offer, OfferStatus, Time, Totals};
use crate::mesos::leases::{Lease, Leases};
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
    wanted: Wanted,
}

/// Why offers are held, and for whom.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) held: Held,
    /// Apps, a few of them.
    pub(super) apps: Vec<ObjectName>,
}

/// The most Apps that an offer names.
pub(super) const APPS: usize = 10;

impl Offers {
    /// All live offers, in the order of their ids; none if this process does not lead.
    #[must_use]
    pub fn live(&self) -> Option<Vec<Offer>> {
        let book = self.book();
        let Book { leases, wanted } = book.as_ref()?;
        let leases = leases.snapshot();
        Some(leases.values().map(|lease| shown(lease, wanted)).collect())
    }

    /// This process leads, and holds `leases`.
    pub(super) fn lead(&self, leases: Leases) {
        *self.book() = Some(Book { leases, wanted: Wanted::default() });
    }

    /// Why they are held from now on.
    pub(super) fn want(&self, wanted: Wanted) {
        if let Some(book) = &mut *self.book() {
            book.wanted = wanted;
        }
    }

    /// This process does not lead any more.
    pub(super) fn standby(&self) {
        *self.book() = None;
    }

    fn book(&self) -> MutexGuard<'_, Option<Book>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shown(lease: &Lease, wanted: &Wanted) -> Offer {
    let offer = &lease.offer;
    let crate::api::Resources { cpus, memory, disk, gpus } =
        placement::to_api(&placement::scalars(&offer.resources));
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
            role: offer.allocation_info.as_ref().and_then(|it| it.role.clone()),
            resources: Totals { cpus, memory, disk, gpus, ports },
            held: wanted.held,
            apps: wanted.apps.iter().map(ToString::to_string).collect(),
            maintenance: offer.unavailability.as_ref().and_then(questions::maintenance),
        }),
    }
}
