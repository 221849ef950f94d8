//! What goes on behind operations: the kernel copies by itself, and a commit ends it.
//!
//! A command that begins such work returns at once, and whoever changes the group next ends what is done by then
//! ([`super::recover`]): so one look and one empty change are all that driving it takes. The monitor does both.

use super::list::Select;
use super::view::{SnapshotState, SnapshotView};
use super::{Engine, Mode};
use crate::error::Result;
use crate::lvm::VgName;

/// What the kernel does with a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// It merges a snapshot into its origin.
    Merge,
}

/// Work that goes on, or waits to be ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Behind {
    /// The volume that it will end with: the snapshot that is merged.
    pub name: String,
    /// What is done.
    pub work: Work,
    /// The kernel is through with it.
    pub is_done: bool,
}

impl Engine {
    /// What goes on behind in a group.
    pub fn behind(&self, vg: &VgName) -> Result<Vec<Behind>> {
        let views = self.snapshots(&Select { vg: Some(vg.clone()), names: Vec::new() })?;
        Ok(views.iter().filter_map(of).collect())
    }

    /// Ends what is done behind, and puts right what is unfinished.
    pub fn end_behind(&self, vg: &VgName, mode: Mode) -> Result<()> {
        let ended = self.finish_merges(vg, mode);
        ended.map(drop).map_err(|error| error.doing(format!("end what is done in volume group {vg}")))
    }
}

/// What goes on behind a snapshot.
pub(super) fn of(view: &SnapshotView) -> Option<Behind> {
    let is_merged = view.merging && view.state == SnapshotState::Merging;
    // The kernel counts the header and the areas to the last (Linux 6.1).
    let is_done = is_merged && view.used_bytes.is_some() && view.used_bytes == view.metadata_bytes;
    let name = view.name.clone();
    view.merging.then_some(Behind { name, work: Work::Merge, is_done })
}
