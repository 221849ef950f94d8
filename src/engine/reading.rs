//! Reading a snapshot's store, while the volume is in use or while nothing of it is active.
//!
//! A store is read while the volume is in use, and nothing has to stand still for it: outside a merge the kernel only appends to it, and has
//! written an exception before the write that causes it reaches the origin. What is read past the page cache is a beginning of the
//! list, which covers every write that was over when the command began, be an area torn by a write in flight: what is not yet written of
//! it is zero, which ends the list. That the snapshot is valid is asked again behind it. The group's lock is held, shared with other readers, so
//! that nobody merges or removes the store meanwhile.

use std::sync::Arc;
use std::time::Duration;

use super::blank::is_unused_store;
use super::naming::Layer;
use super::session::Session;
use crate::block::{Access, Device};
use crate::cow::store::{Store, Table};
use crate::dm::{DmName, Status};
use crate::error::{Error, Kind, Result};
use crate::lvm::Snapshot;
use crate::lvm::span::Span;
use crate::units::Sectors;

/// A copy of a chunk takes milliseconds.
const PAUSE: Duration = Duration::from_millis(5);
/// So often the newer of two stores is read again before it counts as one that never comes to rest.
const READINGS: usize = 50;

/// A store as it was read.
pub(super) struct Reading {
    pub(super) table: Table,
    /// The exceptions that the kernel had begun before are in it.
    pub(super) is_complete: bool,
}

impl Session<'_> {
    /// Reads a store until everything is in it that the kernel had begun when this was called.
    pub(super) fn complete_reading(&self, snapshot: &Snapshot, is_active: bool) -> Result<Reading> {
        let begun = if is_active { Some(self.used(snapshot)?) } else { None };
        for _ in 0..READINGS {
            let reading = self.reading(snapshot, is_active)?;
            let used = reading.table.used().sectors(reading.table.chunk_size);
            if begun.is_none_or(|begun| used >= begun) {
                return Ok(reading);
            }
            std::thread::sleep(PAUSE);
        }
        self.reading(snapshot, is_active).map(|reading| Reading { is_complete: false, ..reading })
    }

    pub(super) fn reading(&self, snapshot: &Snapshot, is_active: bool) -> Result<Reading> {
        let vg = self.vg();
        let store = vg.find_lv(&snapshot.store)?;
        let length = Some(self.size_at_cut(snapshot));
        let table = if is_active {
            let cow = self.naming().name(&store.name, Layer::Cow)?;
            let table = Store::open(self.opened(&cow)?.as_ref())?.table(length)?;
            // A store that became invalid meanwhile says nothing of later writes.
            self.used(snapshot)?;
            table
        } else if is_unused_store(&self.open, store)? {
            Table { chunk_size: snapshot.chunk_size, exceptions: Vec::new() }
        } else {
            let span = Span::new(&self.open, &format!("{}/{}", vg.name, store.name), &store.segments)?;
            Store::open(&span)?.table(length)?
        };
        Ok(Reading { table, is_complete: true })
    }

    pub(super) fn opened(&self, name: &DmName) -> Result<Arc<dyn Device>> {
        let path = self.engine.dev().join("mapper").join(name.as_str());
        self.engine.world.devices.open(&path, Access::Read)
    }

    /// What the kernel has given out of an active snapshot's store; an error if the store tracks its origin no more.
    fn used(&self, snapshot: &Snapshot) -> Result<Sectors> {
        let name: DmName = self.naming().name(&snapshot.store, Layer::Top)?;
        match self.kernel().status(&name)?.first() {
            Some(Status::Store { used, merging: false, .. }) => Ok(*used),
            status => {
                let word = status.map_or_else(|| "nothing".to_owned(), ToString::to_string);
                let vg = &self.vg().name;
                let cause = format!("the kernel says \"{word}\" of {vg}/{}", snapshot.store);
                Err(Error::new(Kind::Refused, cause).hint("its store says no more what changed"))
            }
        }
    }
}
