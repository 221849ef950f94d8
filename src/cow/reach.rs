//! What a rollback does to the snapshots of its volume: how many copies a store must take.
//!
//! For each chunk of what is written to the origin that a snapshot has no copy of yet, it makes a copy first. Pure.

#![deny(clippy::indexing_slicing)]

use super::diff::{Range, Ranges};
use super::store::Table;
use crate::units::{Chunks, Sectors};

/// How many chunks a snapshot of this length copies while all of `written` is written to its origin.
pub fn copies(written: &Ranges, snapshot: &Table, length: Sectors) -> Chunks {
    let chunk = snapshot.chunk_size;
    let each = chunk.get().max(1);
    // A chunk that begins within it counts whole.
    let end = Sectors(length.get().div_ceil(each).saturating_mul(each));
    let reached = written.until(end).in_pieces(chunk);
    let all = reached.total().get() / each;
    let is_reached = |old: Chunks| {
        let start = old.sectors(chunk);
        reached.meets(Range { start, end: start + chunk })
    };
    let known = snapshot.exceptions.iter().filter(|exception| is_reached(exception.old));
    Chunks(all.saturating_sub(known.count() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cow::store::Exception;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn table(chunk: u64, olds: &BTreeSet<u64>) -> Table {
        let exception = |(new, old): (usize, &u64)| Exception { old: Chunks(*old), new: Chunks(new as u64) };
        let exceptions = olds.iter().enumerate().map(exception).collect();
        Table { chunk_size: Sectors(chunk), exceptions }
    }

    proptest! {
        #[test]
        fn every_chunk_that_is_overwritten_and_not_known_yet_is_copied_once(
            merged in prop::collection::btree_set(0_u64..60, 0..40),
            known in prop::collection::btree_set(0_u64..60, 0..40),
            (own, other) in (0_u32..4, 0_u32..4),
            length in 1_u64..600,
        ) {
            let (own, other) = (8 << own, 8 << other);
            let sectors = merged.iter().flat_map(|chunk| chunk * own..(chunk + 1) * own);
            let touched: BTreeSet<u64> =
                sectors.map(|sector| sector / other).filter(|chunk| chunk * other < length).collect();
            let wanted = touched.difference(&known).count() as u64;
            let written = Ranges::of(&table(own, &merged), Sectors(u64::MAX));
            let found = copies(&written, &table(other, &known), Sectors(length));
            prop_assert_eq!(found, Chunks(wanted));
        }
    }
}
