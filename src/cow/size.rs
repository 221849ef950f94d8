//! How large a COW store must be. Pure.
//!
//! A persistent store (version 1) holds a header chunk, then areas: one chunk of 16-byte exceptions followed by as many
//! data chunks as it describes. An area that is exactly full is followed by an empty one, so the metadata of `n`
//! exceptions takes `n / per_area + 1` chunks (drivers/md/dm-snap-persistent.c, Linux 6.1). A store that holds one
//! exception for every chunk of its origin can never overflow, whoever writes.

use super::store::Table;
use crate::units::{ChunkSize, Chunks, Sectors};

/// Bytes of one exception on disk: old chunk and new chunk.
const EXCEPTION_BYTES: u64 = 16;

/// A store with less room cannot hold a single exception.
const LEAST_CHUNKS: Chunks = Chunks(3);

/// The sectors of a store that can take a copy of every chunk of an origin of this size. The chunk may be any that a store's header has,
/// not only those that a person may ask for.
pub fn covering(origin: Sectors, chunk: impl Into<Sectors>) -> Sectors {
    let chunk = chunk.into().max(Sectors(1));
    let data = origin.get().div_ceil(chunk.get());
    let per_area = chunk.bytes().get() / EXCEPTION_BYTES;
    let areas = data / per_area + 1;
    Chunks(1 + areas + data).sectors(chunk)
}

/// The sectors of the smallest store there is.
pub fn least(chunk: ChunkSize) -> Sectors {
    LEAST_CHUNKS.sectors(chunk.sectors())
}

/// The sectors of a store that can take so many copies more than it has.
pub fn with_more(table: &Table, copies: Chunks) -> Sectors {
    let chunk = table.chunk_size;
    let per_area = (chunk.bytes().get() / EXCEPTION_BYTES).max(1);
    // An area may be begun in the middle, and one that is filled is followed by another.
    let areas = copies.get() / per_area + 2;
    Chunks(table.used().get().saturating_add(copies.get()).saturating_add(areas)).sectors(chunk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cow::store::Exception;
    use crate::units::Bytes;
    use proptest::prelude::*;

    fn chunk(kib: u64) -> ChunkSize {
        ChunkSize::new(Bytes::kib(kib)).unwrap()
    }

    /// The kernel's own bookkeeping: where the n-th exception's data goes, as `next_free` advances.
    fn chunks_used_by(exceptions: u64, chunk: ChunkSize) -> u64 {
        let per_area = chunk.sectors().bytes().get() / EXCEPTION_BYTES;
        let mut next_free = 2;
        for _ in 0..exceptions {
            next_free += 1;
            if next_free % (per_area + 1) == 1 {
                next_free += 1;
            }
        }
        next_free
    }

    #[test]
    fn a_covering_store_is_what_lvm2_calls_the_maximum() {
        // lvcreate says "Reducing COW size ... 68.00 MiB" for 64 MiB, 4 KiB chunks, 4 MiB extents (2.03.16).
        let size = covering(Bytes::mib(64).sectors_ceil(), chunk(4));
        assert_eq!(size, Sectors(131_600));
        assert_eq!(size.extents_ceil(Bytes::mib(4).sectors_ceil()).get(), 17);
    }

    proptest! {
        #[test]
        fn the_kernel_finds_room_for_every_chunk_of_the_origin(sectors in 1_u64..4_000_000, shift in 0_u32..8) {
            let chunk = chunk(4 << shift);
            let exceptions = sectors.div_ceil(chunk.sectors().get());
            let have = covering(Sectors(sectors), chunk).get() / chunk.sectors().get();
            // The last exception's chunk must exist: next_free before it was taken, plus one.
            let last = chunks_used_by(exceptions - 1, chunk);
            prop_assert!(last < have, "{last} of {have}");
        }

        #[test]
        fn the_kernel_finds_room_for_so_many_copies_more(have in 0_u64..3_000, more in 1_u64..3_000, shift in 0_u32..3) {
            let chunk = chunk(4 << shift);
            let exceptions = (0..have)
                .map(|number| Exception { old: Chunks(number), new: Chunks(chunks_used_by(number, chunk)) })
                .collect();
            let table = Table { chunk_size: chunk.sectors(), exceptions };
            prop_assert_eq!(table.used(), Chunks(chunks_used_by(have, chunk)));
            let room = with_more(&table, Chunks(more)).get() / chunk.sectors().get();
            let last = chunks_used_by(have + more - 1, chunk);
            prop_assert!(last < room, "{last} of {room}");
        }
    }
}
