//! What goes on behind operations: the kernel copies by itself, and a commit ends it.
//!
//! A command that begins such work returns at once, and whoever changes the group next ends what is done by then
//! ([`super::recover`]): so one look and one empty change are all that driving it takes. The monitor does both.

use super::view::{SnapshotState, SnapshotView, VolumeView};
use super::{Engine, Mode};
use crate::error::Result;
use crate::lvm::VgName;

/// The kernel is through with a volume.
const FULL: f64 = 100.0;

/// What the kernel works on in a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Behind {
    /// Something is merged or filled.
    pub goes_on: bool,
    /// Something waits to be ended.
    pub is_done: bool,
}

impl Behind {
    /// By what is shown of a group's snapshots, and of its volumes that are being filled.
    pub fn of(snapshots: &[SnapshotView], filling: &[VolumeView]) -> Self {
        let is_full = |volume: &VolumeView| volume.progress_percent.is_some_and(|percent| percent >= FULL);
        Self {
            goes_on: snapshots.iter().any(|snapshot| snapshot.merging) || !filling.is_empty(),
            is_done: snapshots.iter().any(is_merged) || filling.iter().any(is_full),
        }
    }
}

/// The kernel counts the header and the areas to the last (Linux 6.1).
fn is_merged(snapshot: &SnapshotView) -> bool {
    snapshot.state == SnapshotState::Merging
        && snapshot.used_bytes.is_some()
        && snapshot.used_bytes == snapshot.metadata_bytes
}

impl Engine {
    /// Ends what is done behind, and puts right what is unfinished.
    pub(super) fn end_behind(&self, vg: &VgName, mode: Mode) -> Result<()> {
        let ended = self.finish_merges(vg, mode);
        ended.map(drop).map_err(|error| error.doing(format!("end what is done in volume group {vg}")))
    }
}
