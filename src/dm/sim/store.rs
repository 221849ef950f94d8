//! A persistent COW store: where its exceptions stand on the COW device, and what they say (Linux 6.1, `dm-snap-persistent.c`).
//!
//! Chunk 0 is the header; area `a` of exceptions is chunk `1 + (n + 1) * a`, with `n` exceptions of 16 bytes and followed
//! by their `n` data chunks. The first exception with new chunk 0 ends the store. Pure: what has to be written comes back as
//! a list, in order.

use std::collections::BTreeMap;

use crate::dm::Status;
use crate::units::{Bytes, Sectors};

pub const MAGIC: u32 = 0x7041_6e53;
/// What the kernel takes for chunk size 0 in a table.
const DEFAULT_CHUNK: Sectors = Sectors(32);
/// Bytes of one exception.
const EXCEPTION: u64 = 16;

/// Bytes to be written to the COW device.
pub type Write = (Bytes, Vec<u8>);

/// The header's four words, or a fresh one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub magic: u32,
    pub valid: bool,
    pub version: u32,
    pub chunk: Sectors,
}

impl Header {
    pub const LENGTH: usize = 16;

    pub fn unpack(bytes: &[u8; Self::LENGTH]) -> Self {
        let word = |index: usize| {
            let mut word = [0; 4];
            word.copy_from_slice(&bytes[index * 4..index * 4 + 4]);
            u32::from_le_bytes(word)
        };
        Self { magic: word(0), valid: word(1) != 0, version: word(2), chunk: Sectors(word(3).into()) }
    }

    pub fn pack(self) -> Vec<u8> {
        let chunk = u32::try_from(self.chunk.get()).unwrap_or(u32::MAX);
        [self.magic, self.valid.into(), self.version, chunk]
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect()
    }
}

/// The exceptions of a store, by the chunk of the origin and in the order in which they were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    pub chunk: Sectors,
    by_old: BTreeMap<u64, u64>,
    order: Vec<(u64, u64)>,
    /// The area that is being filled, and how far.
    area: u64,
    committed: u64,
    next_free: u64,
}

impl Store {
    /// An empty store and the writes that make it: the header chunk and the first area.
    pub fn make(chunk: Sectors) -> (Self, Vec<Write>) {
        let chunk = if chunk.is_zero() { DEFAULT_CHUNK } else { chunk };
        let store = Self::empty(chunk);
        let mut header = Header { magic: MAGIC, valid: true, version: 1, chunk }.pack();
        header.resize(store.chunk_length(), 0);
        let area = vec![0; store.chunk_length()];
        let writes = vec![(Bytes::ZERO, header), (store.position(1), area)];
        (store, writes)
    }

    /// A store of which no exception is known yet; see [`Store::take_area`].
    pub fn empty(chunk: Sectors) -> Self {
        Self { chunk, by_old: BTreeMap::new(), order: Vec::new(), area: 0, committed: 0, next_free: 2 }
    }

    /// Where the area that is to be read next stands.
    pub fn area_position(&self) -> Bytes {
        self.position(self.area_chunk(self.area))
    }

    /// Takes over the exceptions of an area. Answers whether there may be more in the next.
    pub fn take_area(&mut self, bytes: &[u8]) -> bool {
        for (index, entry) in bytes.chunks_exact(16).enumerate() {
            let word = |at: usize| {
                let mut word = [0; 8];
                word.copy_from_slice(&entry[at..at + 8]);
                u64::from_le_bytes(word)
            };
            let (old, new) = (word(0), word(8));
            if new == 0 {
                self.committed = index as u64;
                self.skip_area();
                return false;
            }
            self.by_old.insert(old, new);
            self.order.push((old, new));
            self.next_free = self.next_free.max(new.saturating_add(1));
        }
        self.area += 1;
        self.committed = 0;
        true
    }

    /// Bytes of one chunk.
    pub fn chunk_length(&self) -> usize {
        usize::try_from(self.chunk.bytes().get()).unwrap_or(usize::MAX)
    }

    /// Where a chunk of the COW device begins.
    pub fn position(&self, chunk: u64) -> Bytes {
        Bytes(chunk.saturating_mul(self.chunk.bytes().get()))
    }

    /// The chunk that holds the snapshot's content of a chunk of the origin.
    pub fn exception(&self, old: u64) -> Option<u64> {
        self.by_old.get(&old).copied()
    }

    /// The exceptions in the order in which they were made.
    pub fn exceptions(&self) -> &[(u64, u64)] {
        &self.order
    }

    /// A free chunk of a store of this size, or none if it is full.
    pub fn allocate(&mut self, total: Sectors) -> Option<u64> {
        let end = Sectors(self.next_free.checked_add(1)?.checked_mul(self.chunk.get())?);
        if end > total {
            return None;
        }
        let new = self.next_free;
        self.next_free += 1;
        self.skip_area();
        Some(new)
    }

    /// Records an exception. A full area is followed by a zeroed one, which is written first.
    pub fn commit(&mut self, old: u64, new: u64) -> Vec<Write> {
        self.by_old.insert(old, new);
        self.order.push((old, new));
        self.committed += 1;
        let area = (self.area_position(), self.area_bytes());
        if self.committed < self.per_area() {
            return vec![area];
        }
        self.area += 1;
        self.committed = 0;
        vec![(self.area_position(), self.area_bytes()), area]
    }

    /// Takes the last exception back, as a merge does.
    pub fn uncommit(&mut self) -> Option<Write> {
        let (old, _) = self.order.pop()?;
        self.by_old.remove(&old);
        if self.committed == 0 {
            self.area = self.area.checked_sub(1)?;
            self.committed = self.per_area();
        }
        self.committed -= 1;
        self.next_free = self.area_chunk(self.area) + self.committed + 1;
        Some((self.area_position(), self.area_bytes()))
    }

    pub fn status(&self, total: Sectors, merging: bool) -> Status {
        let sectors = |chunks: u64| Sectors(chunks.saturating_mul(self.chunk.get()));
        Status::Store { used: sectors(self.next_free), total, metadata: sectors(self.area + 2), merging }
    }

    fn per_area(&self) -> u64 {
        self.chunk.bytes().get() / EXCEPTION
    }

    fn area_chunk(&self, area: u64) -> u64 {
        1 + (self.per_area() + 1).saturating_mul(area)
    }

    /// The area that is being filled; it is always written whole.
    fn area_bytes(&self) -> Vec<u8> {
        let count = usize::try_from(self.committed).unwrap_or(0);
        let last = self.order.len().saturating_sub(count);
        let entries = self.order.get(last..).unwrap_or_default();
        let mut bytes: Vec<u8> =
            entries.iter().flat_map(|(old, new)| [old.to_le_bytes(), new.to_le_bytes()].concat()).collect();
        bytes.resize(self.chunk_length(), 0);
        bytes
    }

    /// Data does not go where an area stands.
    fn skip_area(&mut self) {
        if self.next_free % (self.per_area() + 1) == 1 {
            self.next_free += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A COW device of plain bytes.
    fn written(cow: &mut Vec<u8>, writes: Vec<Write>) {
        for (at, bytes) in writes {
            let at = usize::try_from(at.get()).unwrap();
            cow.resize(cow.len().max(at + bytes.len()), 0);
            cow[at..at + bytes.len()].copy_from_slice(&bytes);
        }
    }

    fn read(cow: &[u8], chunk: Sectors) -> Store {
        let mut store = Store::empty(chunk);
        loop {
            let at = usize::try_from(store.area_position().get()).unwrap();
            if !store.take_area(&cow[at..at + store.chunk_length()]) {
                return store;
            }
        }
    }

    #[test]
    fn a_new_store_uses_its_header_and_first_area() {
        let (store, _) = Store::make(Sectors(8));
        let total = Sectors(1000);
        assert_eq!(store.status(total, false).to_string(), "16/1000 16");
    }

    #[test]
    fn what_is_committed_is_read_back_across_areas() {
        // Chunks of 512 bytes: an area holds 32 exceptions.
        let chunk = Sectors(1);
        let (mut store, writes) = Store::make(chunk);
        let mut cow = Vec::new();
        written(&mut cow, writes);
        for old in 0..100 {
            let new = store.allocate(Sectors(1 << 20)).unwrap();
            assert_ne!(new % 33, 1, "data where an area stands");
            written(&mut cow, store.commit(old * 7, new));
            assert_eq!(read(&cow, chunk), store, "after {old}");
        }
        assert_eq!(store.status(Sectors(1 << 20), false).to_string(), "105/1048576 5");
        for left in (0..100).rev() {
            written(&mut cow, vec![store.uncommit().unwrap()]);
            assert_eq!(read(&cow, chunk).exceptions(), store.exceptions());
            assert_eq!(store.exceptions().len(), left);
        }
        assert_eq!(store.status(Sectors(1 << 20), true).to_string(), "2/1048576 2");
        assert_eq!(store.uncommit(), None);
    }

    #[test]
    fn a_full_store_has_no_chunk_left() {
        let (mut store, _) = Store::make(Sectors(8));
        assert_eq!(store.allocate(Sectors(23)), None);
        assert_eq!(store.allocate(Sectors(24)), Some(2));
        assert_eq!(store.allocate(Sectors(24)), None);
    }
}
