//! Room in the stores of a volume's snapshots for a rollback: what it overwrites they copy first, and the kernel gives up one whose store
//! is full then, without a word (Linux 6.1).

use super::operation::Change;
use super::session::Session;
use super::store::lengthened;
use crate::cow::diff::Ranges;
use crate::cow::reach::copies;
use crate::cow::size::{covering, with_more};
use crate::dm::Status;
use crate::error::{Error, Result};
use crate::lvm::{Edit, Lv, LvName, Snapshot, Vg};
use crate::units::{ChunkSize, Extents, Sectors};

/// What a rollback writes to a volume.
pub(super) struct Overwritten<'a> {
    pub(super) origin: &'a LvName,
    pub(super) ranges: Ranges,
    /// The snapshot that is merged, and copies nothing any more; none if it stays.
    pub(super) merged: Option<&'a LvName>,
}

/// A snapshot whose store is too small.
struct Short<'a> {
    store: &'a Lv,
    /// The size that is needed, and one that leaves as much free as there is now.
    least: Extents,
    good: Extents,
}

impl Session<'_> {
    /// Adds to the change what makes every snapshot's store large enough; the group with it. `vg` is the group as the change leaves it
    /// so far.
    pub(super) fn make_room(&self, vg: &Vg, written: &Overwritten<'_>, change: &mut Change) -> Result<Vg> {
        let mut vg = vg.clone();
        let snapshots = self.vg().snapshots_of(written.origin);
        for snapshot in snapshots.filter(|one| written.merged != Some(&one.store)) {
            let Some(short) = self.short(&written.ranges, snapshot)? else { continue };
            let longer = self.growth(&vg, &short, change)?;
            vg = vg.apply(&change.enlarge(&snapshot.store, longer))?;
        }
        Ok(vg)
    }

    /// What a snapshot's store lacks; nothing if it is large enough, or the snapshot is lost already.
    fn short<'s>(&'s self, written: &Ranges, snapshot: &'s Snapshot) -> Result<Option<Short<'s>>> {
        let extent = self.vg().extent_size;
        let store = self.vg().find_lv(&snapshot.store)?;
        if matches!(self.status_of(store)?, Some(Status::Invalid)) {
            return Ok(None);
        }
        let unknown = |error: Error| {
            let name = format!("{}/{}", self.vg().name, snapshot.store);
            let cause = format!(
                "the rollback may overflow the snapshot {name} of the same volume: {}",
                error.message()
            );
            Error::new(error.kind(), cause)
                .hint(format!("`dmsnap snapshot remove {name}` if it is not needed"))
        };
        let Some(table) = self.exceptions(snapshot).map_err(unknown)? else { return Ok(None) };
        let copies = copies(written, &table, snapshot.length.sectors(extent));
        let (has, least) = (store.extents().sectors(extent), with_more(&table, copies));
        let most = most(snapshot.length.sectors(extent), table.chunk_size);
        if copies.is_zero() || least.min(most) <= has {
            return Ok(None);
        }
        let free = has.checked_sub(table.used().sectors(table.chunk_size)).unwrap_or_default();
        let extents = |size: Sectors| size.min(most).extents_ceil(extent);
        Ok(Some(Short { store, least: extents(least), good: extents(least + free) }))
    }

    fn growth(&self, vg: &Vg, short: &Short<'_>, change: &mut Change) -> Result<Edit> {
        let store = short.store;
        let to = |size: Extents| {
            let more = size.checked_sub(store.extents()).unwrap_or_default();
            lengthened(vg, store, &self.longer(vg, store, more), &mut Vec::new())
        };
        let name = format!("{}/{}", vg.name, store.name);
        let longer = to(short.good).or_else(|_| to(short.least)).map_err(|error| {
            let bytes = |extents: Extents| extents.sectors(vg.extent_size).bytes();
            let (has, needs) = (bytes(store.extents()), bytes(short.least));
            let cause = format!(
                "the rollback would overflow the snapshot {name} of the same volume: its store has {has} and needs {needs}, {}",
                error.message()
            );
            Error::new(error.kind(), cause)
                .hint(format!("add a device with `dmsnap vg extend {} DEV`, or remove {name}", vg.name))
        })?;
        change.notes.push(format!("the store of {name} is extended, for what the rollback overwrites"));
        Ok(longer)
    }
}

/// The size that no snapshot of this length can overflow.
fn most(length: Sectors, chunk: Sectors) -> Sectors {
    ChunkSize::new(chunk.bytes()).map_or(Sectors(u64::MAX), |chunk| covering(length, chunk))
}
