//! The stores that a keeper watches: those that may be full one day.

use std::time::Duration;

use super::board::Short;
use super::gauge::{Gauge, Sample};
use super::policy::Store;
use crate::cow::size::covering;
use crate::dm::{DmUuid, Status};
use crate::engine::Engine;
use crate::engine::view::{SnapshotState, SnapshotView};
use crate::error::{Kind, Result};
use crate::lvm::{LvName, Uuid};
use crate::units::{Bytes, Chunks};

/// A store that may be full one day.
pub(super) struct Watched {
    pub name: LvName,
    pub uuid: String,
    /// Known by its uuid: a rename that was cut leaves it under its old name.
    pub device: DmUuid,
    pub gauge: Gauge,
    covering: Bytes,
    in_flight: Bytes,
    /// What had been written to the disks when it was looked at; nothing if it is to be looked at.
    pub seen: Option<Bytes>,
    /// It should have grown, and did not.
    pub short: Option<Short>,
}

impl Watched {
    /// As the policy sees it.
    pub fn store(&self) -> Store<'_> {
        Store { gauge: &self.gauge, covering: self.covering, in_flight: self.in_flight }
    }

    /// False if it has been made large enough to hold everything.
    pub fn can_be_full(&self) -> bool {
        self.gauge.last().total < self.covering
    }

    /// True if too much may have gone unseen, by what was written to the disks so far, if somebody counts.
    pub fn is_due(&self, written: Option<Bytes>) -> bool {
        let (Some(seen), Some(written)) = (self.seen, written) else { return true };
        let unseen = since(seen, written);
        !unseen.is_zero() && unseen >= self.store().unseen()
    }
}

/// What a list says of a snapshot's store.
pub(super) enum Listed {
    Watched(Watched),
    /// It cannot be full, or is no store of a snapshot any more.
    Unwatched,
    /// Its status would wait for whoever has suspended it.
    Suspended,
}

/// With what was known of it; `look` looks at a store that nothing is known of, whose size the kernel alone says: the metadata is ahead of
/// it where somebody died while the store grew. `copies` is how many chunks the kernel copies at once at most.
pub(super) fn listed(
    vg: Uuid,
    view: &SnapshotView,
    before: Option<Watched>,
    copies: Chunks,
    at: Duration,
    look: impl FnOnce(&DmUuid) -> Result<Seen>,
) -> Result<Listed> {
    if view.merging || view.used_bytes.is_none() && view.state != SnapshotState::Active {
        return Ok(Listed::Unwatched);
    }
    let lv: Uuid = view.uuid.parse()?;
    let device = DmUuid::for_volume(vg.compact(), lv.compact(), None)?;
    let (gauge, short) = match before {
        Some(before) => (before.gauge, before.short),
        None => match look(&device)? {
            Seen::Usage(used, total) => (Gauge::new(Sample { at, used, total }), None),
            Seen::Suspended => return Ok(Listed::Suspended),
            Seen::Changed => return Ok(Listed::Unwatched),
        },
    };
    let chunk = view.chunk_bytes.sectors_ceil();
    let covering = covering(view.size_bytes.sectors_ceil(), chunk).bytes();
    let in_flight = copies.sectors(chunk).bytes();
    let (name, uuid) = (view.name.parse()?, view.uuid.clone());
    // Whatever was written since its status was read is not counted: it is looked at once more, after the counters.
    let store = Watched { name, uuid, device, gauge, covering, in_flight, seen: None, short };
    Ok(if store.can_be_full() { Listed::Watched(store) } else { Listed::Unwatched })
}

/// What a look at a store shows.
pub(super) enum Seen {
    /// In use, and all of it.
    Usage(Bytes, Bytes),
    /// Its status would wait for whoever has suspended it.
    Suspended,
    /// It is not what it was: gone, lost, or being merged.
    Changed,
}

/// Looks at the store of a snapshot's device.
pub(super) fn usage(engine: &Engine, device: &DmUuid) -> Result<Seen> {
    let kernel = engine.world.kernel.as_ref();
    let name = match kernel.find(device)? {
        Some(info) if info.suspended => return Ok(Seen::Suspended),
        Some(info) if info.live => info.name,
        _ => return Ok(Seen::Changed),
    };
    match kernel.status(&name).map(|status| status.into_iter().next()) {
        Ok(Some(Status::Store { used, total, merging: false, .. })) => {
            Ok(Seen::Usage(used.bytes(), total.bytes()))
        }
        Ok(_) => Ok(Seen::Changed),
        Err(error) if error.kind() == Kind::NotFound => Ok(Seen::Changed),
        Err(error) => Err(error),
    }
}

/// What was written between two readings of the counters, which wrap.
pub(super) fn since(before: Bytes, now: Bytes) -> Bytes {
    Bytes(now.get().wrapping_sub(before.get()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "abcdef-0123-4567-89ab-cdef-0123-456789";

    fn view(chunk: Bytes, used: Option<Bytes>) -> SnapshotView {
        SnapshotView {
            vg: "vg0".into(),
            name: "s".into(),
            uuid: UUID.into(),
            origin: "db".into(),
            size_bytes: Bytes::gib(1),
            cow_size_bytes: Bytes::mib(64),
            used_bytes: used,
            metadata_bytes: None,
            used_percent: None,
            chunk_bytes: chunk,
            state: SnapshotState::Active,
            read_only: false,
            created_at: None,
            merging: false,
            invalid: false,
            progress_percent: None,
            eta_full_seconds: None,
            in_use_by: Vec::new(),
            tags: Vec::new(),
            device: None,
        }
    }

    /// What a list makes of it, if the kernel says this of a store of 64 MiB.
    fn list(view: &SnapshotView, before: Option<Watched>) -> Listed {
        let look = |_: &DmUuid| {
            Ok(view.used_bytes.map_or(Seen::Suspended, |used| Seen::Usage(used, Bytes::mib(64))))
        };
        listed(UUID.parse().unwrap(), view, before, Chunks(2048), Duration::ZERO, look).unwrap()
    }

    fn watched(view: &SnapshotView, before: Option<Watched>) -> Option<Watched> {
        match list(view, before) {
            Listed::Watched(store) => Some(store),
            Listed::Unwatched | Listed::Suspended => None,
        }
    }

    #[test]
    fn a_store_whose_header_has_a_chunk_that_nobody_may_ask_for_is_watched() {
        for chunk in [Bytes::kib(2), Bytes::mib(1)] {
            let store = watched(&view(chunk, Some(Bytes::mib(2))), None).unwrap();
            assert_eq!(store.store().in_flight, Bytes(2048 * chunk.get()));
            assert!(store.store().covering > Bytes::gib(1));
        }
    }

    /// Its status is older than the counters.
    #[test]
    fn what_was_listed_is_looked_at_whatever_was_written() {
        let mut store = watched(&view(Bytes::kib(64), Some(Bytes::mib(2))), None).unwrap();
        assert!(store.is_due(Some(Bytes::mib(7))));
        store.seen = Some(Bytes::mib(7));
        assert!(!store.is_due(Some(Bytes::mib(7))) && store.is_due(None));
        let again = watched(&view(Bytes::kib(64), Some(Bytes::mib(3))), Some(store)).unwrap();
        assert!(again.is_due(Some(Bytes::mib(7))));
        assert_eq!(again.gauge.last().used, Bytes::mib(2), "the look that follows finds how fast it fills");
    }

    #[test]
    fn a_store_that_is_suspended_stays_known() {
        let (seen, silent) = (view(Bytes::kib(64), Some(Bytes::mib(2))), view(Bytes::kib(64), None));
        let known = watched(&seen, None);
        assert!(watched(&silent, known).is_some());
        assert!(matches!(list(&silent, None), Listed::Suspended));
        let gone = SnapshotView { state: SnapshotState::Inactive, ..silent };
        assert!(watched(&gone, watched(&seen, None)).is_none());
    }
}
