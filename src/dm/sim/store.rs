//! A COW store as the kernel finds or makes it when a snapshot table is loaded (Linux 6.1, `dm-snap-persistent.c`).

use super::State;
use super::map::Extent;
use crate::block::mem::MemDevices;
use crate::block::{DevNo, Device};
use crate::dm::Status;
use crate::error::Result;
use crate::units::{Bytes, Sectors};

const MAGIC: u32 = 0x7041_6e53;
/// What the kernel takes for chunk size 0 in a table.
const DEFAULT_CHUNK: Sectors = Sectors(32);

/// How full a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Store {
    pub chunk: Sectors,
    pub total: Sectors,
    pub used: Sectors,
    pub metadata: Sectors,
}

impl Store {
    pub fn status(&self, merging: bool) -> Status {
        Status::Store { used: self.used, total: self.total, metadata: self.metadata, merging }
    }
}

impl State {
    /// Reads the store's header, or makes a new store where there is none. The header's chunk size wins over the table's.
    /// Answers the store and whether it is valid.
    pub fn open_store(
        &mut self,
        disks: &MemDevices,
        cow: DevNo,
        chunk: Sectors,
    ) -> std::result::Result<(Store, bool), String> {
        let total = self.nodes.size(disks, cow).unwrap_or(Sectors::ZERO);
        let io = |error: crate::error::Error| format!("failed to read snapshot metadata: {error}");
        let header = self.read_header(disks, cow).map_err(io)?;
        let [magic, valid, version, header_chunk] = header;
        let (chunk, valid) = match magic {
            0 => {
                let chunk = if chunk.is_zero() { DEFAULT_CHUNK } else { chunk };
                self.make_store(disks, cow, chunk).map_err(io)?;
                (chunk, true)
            }
            MAGIC if version == 1 => (Sectors(header_chunk.into()), valid != 0),
            _ => return Err("ENXIO: the store does not begin with zeroes or a header".to_owned()),
        };
        // The header and one area of exceptions.
        let metadata = Sectors(chunk.get().saturating_mul(2));
        Ok((Store { chunk, total, used: metadata, metadata }, valid))
    }

    fn read_header(&self, disks: &MemDevices, cow: DevNo) -> Result<[u32; 4]> {
        let mut bytes = [0; 16];
        for Extent { device, offset, at, length } in self.extents(disks, cow, Bytes::ZERO, 16)? {
            if let Some(disk) = disks.by_number(device) {
                disk.read_at(offset, &mut bytes[at..at + length])?;
            }
        }
        let word = |index: usize| {
            let mut word = [0; 4];
            word.copy_from_slice(&bytes[index * 4..index * 4 + 4]);
            u32::from_le_bytes(word)
        };
        Ok([word(0), word(1), word(2), word(3)])
    }

    fn make_store(&self, disks: &MemDevices, cow: DevNo, chunk: Sectors) -> Result<()> {
        let size = usize::try_from(chunk.bytes().get()).unwrap_or(usize::MAX).min(1 << 24);
        let mut chunks = vec![0; size * 2];
        let header = [MAGIC, 1, 1, u32::try_from(chunk.get()).unwrap_or(u32::MAX)];
        for (word, place) in header.iter().zip(chunks.chunks_exact_mut(4)) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        for Extent { device, offset, at, length } in self.extents(disks, cow, Bytes::ZERO, chunks.len())? {
            if let Some(disk) = disks.by_number(device) {
                disk.write_at(offset, &chunks[at..at + length])?;
            }
        }
        Ok(())
    }
}
