//! What a merge does to a sibling: how many copies the sibling's store must take.
//!
//! A merge writes to the origin whatever the merged snapshot's exceptions cover. For each chunk of it that another snapshot has no copy
//! of yet, that one makes a copy first. Pure.

#![deny(clippy::indexing_slicing)]

use super::store::Table;
use crate::units::{Chunks, Sectors};

/// A run of a sibling's chunks, its end not included.
type Run = std::ops::Range<u64>;

/// How many chunks a sibling copies while `merged` is merged into the origin of both; `length` is the sibling's.
pub fn copies(merged: &Table, sibling: &Table, length: Sectors) -> Chunks {
    let end = length.get().div_ceil(sibling.chunk_size.get().max(1));
    let runs = runs(merged, sibling.chunk_size, end);
    let all: u64 = runs.iter().map(|run| run.end - run.start).sum();
    let is_within = |chunk: u64| {
        let behind = runs.partition_point(|run| run.end <= chunk);
        runs.get(behind).is_some_and(|run| run.contains(&chunk))
    };
    let known = sibling.exceptions.iter().filter(|exception| is_within(exception.old.get()));
    Chunks(all.saturating_sub(known.count() as u64))
}

/// What the exceptions cover, in chunks of another size, in order and without overlaps.
fn runs(merged: &Table, chunk: Sectors, end: u64) -> Vec<Run> {
    let (own, other) = (merged.chunk_size.get(), chunk.get().max(1));
    let mut covered: Vec<u64> = merged.exceptions.iter().map(|exception| exception.old.get()).collect();
    covered.sort_unstable();
    let mut runs: Vec<Run> = Vec::new();
    for old in covered {
        let start = old.saturating_mul(own);
        let run = (start / other).min(end)..(start.saturating_add(own)).div_ceil(other).min(end);
        match runs.last_mut() {
            Some(last) if run.start <= last.end => last.end = last.end.max(run.end),
            _ => runs.push(run),
        }
    }
    runs
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
            let found = copies(&table(own, &merged), &table(other, &known), Sectors(length));
            prop_assert_eq!(found, Chunks(wanted));
        }
    }
}
