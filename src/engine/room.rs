//! Room in the stores of a merged snapshot's siblings: what the merge overwrites they copy first, and the kernel gives up one whose store
//! is full then, without a word (Linux 6.1).

use super::operation::Change;
use super::session::Session;
use super::store::lengthened;
use crate::cow::reach::copies;
use crate::cow::size::{covering, with_more};
use crate::cow::store::Table;
use crate::dm::Status;
use crate::error::{Error, Result};
use crate::lvm::{Edit, Lv, Snapshot, Vg};
use crate::units::{ChunkSize, Extents, Sectors};

/// A snapshot that is to be merged.
pub(super) struct Merged<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) table: &'a Table,
}

/// A sibling whose store is too small.
struct Short<'a> {
    store: &'a Lv,
    /// The size that is needed, and one that leaves as much free as there is now.
    least: Extents,
    good: Extents,
}

impl Session<'_> {
    /// Adds to the change what makes every sibling's store large enough for the merge; `vg` is the group as the change leaves it so far.
    pub(super) fn make_room(&self, vg: &Vg, merged: &Merged<'_>, change: &mut Change) -> Result<()> {
        let mut vg = vg.clone();
        let siblings: Vec<_> = self.vg().snapshots_of(&merged.snapshot.origin).collect();
        for sibling in siblings.into_iter().filter(|one| one.store != merged.snapshot.store) {
            let Some(short) = self.short(merged, sibling)? else { continue };
            let longer = self.growth(&vg, &short, change)?;
            vg = vg.apply(&change.enlarge(&sibling.store, longer))?;
        }
        Ok(())
    }

    /// What a sibling's store lacks; nothing if it is large enough, or the sibling is lost already.
    fn short<'s>(&'s self, merged: &Merged<'_>, sibling: &'s Snapshot) -> Result<Option<Short<'s>>> {
        let extent = self.vg().extent_size;
        let store = self.vg().find_lv(&sibling.store)?;
        if matches!(self.status_of(store)?, Some(Status::Invalid)) {
            return Ok(None);
        }
        let unknown = |error: Error| {
            let name = format!("{}/{}", self.vg().name, sibling.store);
            let cause =
                format!("the merge may overflow the snapshot {name} of the same volume: {}", error.message());
            Error::new(error.kind(), cause)
                .hint(format!("`dmsnap snapshot remove {name}` if it is not needed"))
        };
        let Some(table) = self.exceptions(sibling).map_err(unknown)? else { return Ok(None) };
        let copies = copies(merged.table, &table, sibling.length.sectors(extent));
        let (has, least) = (store.extents().sectors(extent), with_more(&table, copies));
        let most = most(sibling.length.sectors(extent), table.chunk_size);
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
                "the merge would overflow the snapshot {name} of the same volume: its store has {has} and needs {needs}, {}",
                error.message()
            );
            Error::new(error.kind(), cause)
                .hint(format!("add a device with `dmsnap vg extend {} DEV`, or remove {name}", vg.name))
        })?;
        change.notes.push(format!("the store of {name} is extended, for what the merge overwrites"));
        Ok(longer)
    }
}

/// The size that no snapshot of this length can overflow.
fn most(length: Sectors, chunk: Sectors) -> Sectors {
    ChunkSize::new(chunk.bytes()).map_or(Sectors(u64::MAX), |chunk| covering(length, chunk))
}
