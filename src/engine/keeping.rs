//! Rolling a volume back to a snapshot that stays.
//!
//! The volume is filled from its own snapshot (see [`super::fill`]): its device leads to a clone, which from then on shows the snapshot's
//! content, and writes to the volume's data as any writer does, so that the snapshot and its siblings keep theirs. What nobody wrote
//! to since the cut need not be copied: the clone is told so before the volume leads to it, while nothing goes through it. Had somebody
//! written to the volume between the look at the snapshot's store and the moment of the switch, what is told would not be true: so
//! the switch goes on only if the store holds no more than was seen.

use super::Engine;
use super::fill::{self, region, written};
use super::mark::Mark;
use super::operation::{Change, Mode, Report};
use super::rollback::{Rollback, Sides, decided_by};
use super::room::Overwritten;
use super::session::Session;
use super::view::VolumeView;
use crate::error::{Error, Kind, Result};
use crate::units::ChunkSize;

impl Engine {
    /// Rolls a volume back to a snapshot, which stays. The volume shows its content when this returns, and is filled with it behind.
    pub fn roll_back(&self, rollback: &Rollback, mode: Mode) -> Result<Report<VolumeView>> {
        self.rolled_back(rollback, mode, |session| session.filling_back(rollback))
    }
}

impl Session<'_> {
    fn filling_back(&self, rollback: &Rollback) -> Result<Change> {
        if !self.kernel().supports("clone")? {
            let cause = "the kernel has no device-mapper target \"clone\"";
            return Err(Error::new(Kind::Internal, cause).hint(
                "load its module with `modprobe dm-clone`, or give --merge: the snapshot is consumed then, as with lvm2",
            ));
        }
        let Sides { snapshot, store, origin, table } = self.rollback_target(rollback)?;
        let mut change = Change::default();
        // The kernel cuts writes to the volume's data by the smallest chunk of the snapshots that there were when the device for them
        // was resumed, which is before this one begins (Linux 6.1).
        let chunk = ChunkSize::new(table.chunk_size.bytes())?;
        let kept = self.undo(rollback, origin, chunk, &mut change)?;
        let length = self.size_at_cut(&snapshot);
        let region = region(length);
        let written =
            Overwritten { origin: &origin.name, ranges: written(length, region, &table), merged: None };
        let kept = self.make_room(&kept, &written, &mut change)?;
        let map = self.map_for(&kept, &origin.name, &snapshot, &[], Mark::RollingBack, &mut change)?;
        decided_by(rollback, map.id, &mut change);
        change.intent.extend(fill::begin_rollback(origin, map, store.id, region));
        change.touched.extend([origin.name.clone(), store.name.clone()]);
        change.forced.extend(rollback.force.then(|| store.name.clone()));
        Ok(change)
    }
}
