//! What the keepers know, for whoever shows it: written when they learn it, read at any time.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::gauge::Gauge;
use crate::engine::view::{SnapshotView, VolumeView};
use crate::lvm::VgName;
use crate::units::Bytes;

/// What is known of a snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// As it was listed last.
    pub view: SnapshotView,
    /// How it fills; nothing of one that cannot be full, or that the kernel tells nothing of.
    pub gauge: Option<Gauge>,
    /// It should have grown, and did not.
    pub short: Option<Short>,
}

/// Why a store does not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Short {
    /// Its group has no space.
    NoSpace,
    /// Its group may not be changed.
    Refused,
    /// Something else went wrong; the log says what.
    Failed,
}

impl Short {
    /// As metrics say it.
    pub fn word(self) -> &'static str {
        match self {
            Self::NoSpace => "no_space",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl Figures {
    /// How large its store is.
    pub fn store(&self) -> Bytes {
        self.gauge.as_ref().map_or(self.view.cow_size_bytes, |gauge| gauge.last().total)
    }

    /// How full its store is.
    pub fn used(&self) -> Option<Bytes> {
        self.gauge.as_ref().map_or(self.view.used_bytes, |gauge| Some(gauge.last().used))
    }
}

/// What is known of a volume group.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Group {
    /// All of it.
    pub size: Bytes,
    /// What is free of it.
    pub free: Bytes,
    /// Its snapshots, by uuid.
    pub snapshots: BTreeMap<String, Figures>,
    /// Its volumes that are being filled.
    pub filling: Vec<VolumeView>,
    /// How often a store was made larger.
    pub extensions: u64,
    /// How often one should have been, and was not.
    pub failures: u64,
    /// How long the last extension took.
    pub extension: Option<Duration>,
    /// Since when stores are to grow and somebody else has the group's lock.
    pub locked_out: Option<Duration>,
    /// Since when a volume has been seen suspended.
    pub suspended: Option<Duration>,
}

/// What is known of all groups. Its clock begins with it.
#[derive(Debug)]
pub struct Board {
    groups: Mutex<BTreeMap<VgName, Group>>,
    began: Instant,
}

impl Default for Board {
    fn default() -> Self {
        Self { groups: Mutex::default(), began: Instant::now() }
    }
}

impl Board {
    /// The time of its samples.
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// What is known now.
    pub fn groups(&self) -> BTreeMap<VgName, Group> {
        self.lock().clone()
    }

    /// Changes what is known of a group.
    pub(super) fn note(&self, vg: &VgName, change: impl FnOnce(&mut Group)) {
        change(self.lock().entry(vg.clone()).or_default());
    }

    pub(super) fn note_gauge(&self, vg: &VgName, uuid: &str, gauge: &Gauge) {
        self.note(vg, |group| {
            if let Some(figures) = group.snapshots.get_mut(uuid) {
                figures.gauge = Some(gauge.clone());
            }
        });
    }

    pub(super) fn note_locked_out(&self, vg: &VgName, since: Option<Duration>) {
        self.note(vg, |group| group.locked_out = since);
    }

    pub(super) fn note_suspended(&self, vg: &VgName, since: Option<Duration>) {
        self.note(vg, |group| group.suspended = since);
    }

    /// Forgets a group.
    pub(super) fn forget(&self, vg: &VgName) {
        self.lock().remove(vg);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<VgName, Group>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
