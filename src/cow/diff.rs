//! Which parts of a volume changed, from what exception stores say, and which of them differ.
//!
//! The kernel has written an exception before the write that causes it reaches the origin, and only a merge takes one away. So a chunk
//! without an exception holds what it held at the cut. A write to the snapshot itself makes an exception too, and nothing tells
//! the two apart.
//!
//! Of two snapshots of one origin, the older store has an exception for whatever was written to the origin between the cuts, and for
//! what was written since. Exceptions stand in the order in which they were made, and all writes were over when the newer one was cut:
//! those from before it come first. Whatever made one behind that met the newer snapshot too. So if the last one of the older store
//! concerns nothing in the newer one, none was made since, and the older store is exactly what was written between the cuts.

use super::store::Table;
use crate::block::Device;
use crate::error::Result;
use crate::units::{Bytes, Sectors};

/// This much is read at a time.
const READ: Sectors = Bytes::mib(1).sectors_ceil();

/// A run of sectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    /// Its first sector.
    pub start: Sectors,
    /// The first one behind it.
    pub end: Sectors,
}

/// Sectors of a volume: runs in order, none empty, none touching the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges(Vec<Range>);

impl Range {
    /// How many sectors it has.
    pub fn length(self) -> Sectors {
        self.end - self.start
    }

    /// Without what lies behind `end`.
    fn until(self, end: Sectors) -> Self {
        Self { start: self.start, end: self.end.min(end) }
    }
}

impl Ranges {
    /// The chunks of the origin that have an exception; the last chunk of a volume of this size may be a part of one.
    pub fn of(table: &Table, size: Sectors) -> Self {
        let chunk = |old| Range { start: old, end: old + table.chunk_size };
        let olds = table.exceptions.iter().map(|exception| exception.old.sectors(table.chunk_size));
        Self::joined(olds.map(|old| chunk(old).until(size)).collect())
    }

    /// With another run.
    #[must_use]
    pub fn with(self, range: Range) -> Self {
        let Self(mut ranges) = self;
        ranges.push(range);
        Self::joined(ranges)
    }

    /// What is in either.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        let Self(mut ranges) = self;
        ranges.extend_from_slice(&other.0);
        Self::joined(ranges)
    }

    /// The pieces of this size, counted from the beginning of the volume, of which a part is in it.
    #[must_use]
    pub fn in_pieces(&self, piece: Sectors) -> Self {
        let piece = piece.get().max(1);
        let whole = |range: Range| Range {
            start: Sectors(range.start.get() / piece * piece),
            end: Sectors(range.end.get().div_ceil(piece).saturating_mul(piece)),
        };
        Self::joined(self.iter().map(whole).collect())
    }

    /// What of it lies before `end`.
    #[must_use]
    pub fn until(&self, end: Sectors) -> Self {
        Self::joined(self.iter().map(|range| range.until(end)).collect())
    }

    /// What of a volume of this size is not in it.
    #[must_use]
    pub fn others(&self, end: Sectors) -> Self {
        let starts = std::iter::once(Sectors::ZERO).chain(self.iter().map(|range| range.end));
        let ends = self.iter().map(|range| range.start).chain([end]);
        Self::joined(starts.zip(ends).map(|(start, until)| Range { start, end: until }.until(end)).collect())
    }

    /// The runs in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Range> + '_ {
        self.0.iter().copied()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many sectors there are in all.
    pub fn total(&self) -> Sectors {
        self.iter().map(Range::length).sum()
    }

    /// True if a part of `range` is in it.
    pub fn meets(&self, range: Range) -> bool {
        let behind = self.0.partition_point(|own| own.end <= range.start);
        self.0.get(behind).is_some_and(|own| own.start < range.end)
    }

    /// Of these the pieces, of this size, in which two devices differ; what only one of them has does.
    pub fn differing(&self, one: &dyn Device, other: &dyn Device, piece: Sectors) -> Result<Self> {
        let end = one.size().min(other.size()).sectors_floor();
        let read = piece.max(READ);
        let mut buffers = [one, other].map(|device| (device, Vec::new()));
        let mut found = Vec::new();
        for range in self.iter() {
            found.push(Range { start: range.start.max(end), end: range.end });
            let mut at = range.start;
            while at < range.end.min(end) {
                let part = Range { start: at, end: at + read }.until(range.end.min(end));
                for (device, buffer) in &mut buffers {
                    buffer.resize(usize::try_from(part.length().bytes().get()).unwrap_or(usize::MAX), 0);
                    device.read_at(part.start.bytes(), buffer)?;
                }
                let [(_, one), (_, other)] = &buffers;
                found.extend(unequal(part, one, other, piece));
                at = part.end;
            }
        }
        Ok(Self::joined(found))
    }

    fn joined(mut ranges: Vec<Range>) -> Self {
        ranges.sort_unstable();
        ranges.retain(|range| range.start < range.end);
        ranges.dedup_by(|next, last| {
            let joins = next.start <= last.end;
            if joins {
                last.end = last.end.max(next.end);
            }
            joins
        });
        Self(ranges)
    }
}

/// The pieces of a part in which its two contents differ.
fn unequal(part: Range, one: &[u8], other: &[u8], piece: Sectors) -> impl Iterator<Item = Range> {
    let length = usize::try_from(piece.bytes().get()).unwrap_or(usize::MAX);
    let pairs = one.chunks(length).zip(other.chunks(length)).zip(0..);
    pairs.filter(|((one, other), _)| one != other).map(move |(_, number)| {
        let start = part.start + Sectors(piece.get() * number);
        Range { start, end: start + piece }.until(part.end)
    })
}

/// True if every exception of the older store was made before the newer snapshot was cut. The older store must have been read first, and
/// neither snapshot been written to.
pub fn is_all_before(older: &Table, newer: &Table) -> bool {
    let Some(last) = older.exceptions.last() else { return true };
    let start = last.old.sectors(older.chunk_size);
    let newer = Ranges::of(newer, Sectors(u64::MAX));
    !newer.meets(Range { start, end: start + older.chunk_size })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::DevNo;
    use crate::block::mem::MemDevice;
    use crate::cow::store::Exception;
    use crate::units::Chunks;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn table(chunk: u64, olds: &[u64]) -> Table {
        let exception = |(new, old): (u64, &u64)| Exception { old: Chunks(*old), new: Chunks(new) };
        Table { chunk_size: Sectors(chunk), exceptions: (2..).zip(olds).map(exception).collect() }
    }

    fn runs(ranges: &Ranges) -> Vec<(u64, u64)> {
        ranges.iter().map(|range| (range.start.get(), range.end.get())).collect()
    }

    fn range(start: u64, end: u64) -> Range {
        Range { start: Sectors(start), end: Sectors(end) }
    }

    #[test]
    fn chunks_that_touch_are_one_range_and_the_volumes_end_is_the_last_ones() {
        let ranges = Ranges::of(&table(8, &[9, 3, 0, 4]), Sectors(75));
        assert_eq!(runs(&ranges), [(0, 8), (24, 40), (72, 75)]);
        assert_eq!(ranges.total(), Sectors(27));
        assert_eq!(runs(&ranges.with(range(75, 80))), [(0, 8), (24, 40), (72, 80)]);
        assert_eq!(runs(&Ranges::of(&table(8, &[1]), Sectors(8))), []);
    }

    #[test]
    fn the_last_exception_of_the_older_store_says_whether_one_was_made_since_the_newer_cut() {
        let before = |older: &[u64], newer: &[u64]| is_all_before(&table(8, older), &table(8, newer));
        assert!(before(&[], &[]) && before(&[], &[4]));
        assert!(before(&[1, 2], &[]) && before(&[2, 1], &[2]));
        assert!(!before(&[1, 2], &[2]) && !before(&[2], &[9, 2]));
        // Chunks of different sizes meet in a part.
        assert!(!is_all_before(&table(16, &[1]), &table(8, &[3])));
        assert!(is_all_before(&table(16, &[1]), &table(8, &[1, 4])));
        assert!(!is_all_before(&table(8, &[3]), &table(16, &[1])));
    }

    /// More than is read at once, of devices of different sizes.
    #[test]
    fn the_pieces_that_differ_are_found_and_what_only_one_has() {
        let device = |size| MemDevice::new("/dev/s", DevNo { major: 240, minor: 0 }, size);
        let (one, other) = (device(Bytes::mib(4)), device(Bytes::mib(5)));
        other.poke(Bytes::kib(7), &[1]);
        other.poke(Bytes::kib(64), &[1]);
        other.poke(Bytes::kib(3 << 10), &[1; 8192]);
        let asked = Ranges::default().with(range(0, 100)).with(range(2048, 8192)).with(range(8192, 10_240));
        let differing = asked.differing(&one, &other, Sectors(8)).unwrap();
        assert_eq!(runs(&differing), [(8, 16), (6144, 6160), (8192, 10_240)]);
        let parts = Ranges::default().with(range(0, 12)).differing(&one, &other, Sectors(8)).unwrap();
        assert_eq!(runs(&parts), []);
    }

    proptest! {
        #[test]
        fn ranges_are_the_sectors_that_they_are_made_of(
            one in proptest::collection::vec((0_u64..100, 0_u64..20), 0..20),
            other in proptest::collection::vec((0_u64..100, 0_u64..20), 0..20),
            asked in (0_u64..120, 1_u64..10),
        ) {
            let made = |runs: &[(u64, u64)]| {
                runs.iter().fold(Ranges::default(), |ranges, (at, length)| ranges.with(range(*at, at + length)))
            };
            let sectors = |runs: &[(u64, u64)]| -> BTreeSet<u64> {
                runs.iter().flat_map(|(at, length)| *at..at + length).collect()
            };
            let (ranges, wanted) = (made(&one).and(&made(&other)), &sectors(&one) | &sectors(&other));
            let found: Vec<u64> = runs(&ranges).iter().flat_map(|(start, end)| *start..*end).collect();
            prop_assert_eq!(found, wanted.iter().copied().collect::<Vec<_>>());
            prop_assert!(runs(&ranges).windows(2).all(|pair| pair[0].1 < pair[1].0));
            let met = wanted.range(asked.0..asked.0 + asked.1).next().is_some();
            prop_assert_eq!(ranges.meets(range(asked.0, asked.0 + asked.1)), met);
            prop_assert_eq!(ranges.total(), Sectors(wanted.len() as u64));
        }

        #[test]
        fn regions_cover_what_they_are_made_of_and_the_others_are_the_rest(
            written in proptest::collection::vec((0_u64..100, 1_u64..20), 0..10),
            size in 1_u64..130,
            shift in 0_u32..5,
        ) {
            let made = written.iter().fold(Ranges::default(), |all, (at, length)| all.with(range(*at, at + length)));
            let (region, end) = (1 << shift, Sectors(size));
            let sectors = |ranges: &Ranges| -> BTreeSet<u64> {
                ranges.iter().flat_map(|range| range.start.get()..range.end.get()).collect()
            };
            let touched: BTreeSet<u64> = sectors(&made).into_iter().map(|sector| sector / region).collect();
            let wanted: BTreeSet<u64> = (0..size).filter(|sector| touched.contains(&(sector / region))).collect();
            let regions = made.in_pieces(Sectors(region)).until(end);
            prop_assert_eq!(sectors(&regions), wanted.clone());
            let rest: BTreeSet<u64> = (0..size).filter(|sector| !wanted.contains(sector)).collect();
            prop_assert_eq!(sectors(&regions.others(end)), rest);
        }

        /// One writer, two cuts, chunks of either size: what is called exact is.
        #[test]
        fn what_counts_as_made_before_the_newer_cut_was(
            before in proptest::collection::vec(0_u64..64, 0..12),
            after in proptest::collection::vec(0_u64..64, 0..12),
            shifts in (0_u32..3, 0_u32..3),
        ) {
            let exceptions = |writes: &[u64], shift: u32| {
                let mut olds = Vec::new();
                for old in writes.iter().map(|sector| sector >> shift) {
                    if !olds.contains(&old) {
                        olds.push(old);
                    }
                }
                olds
            };
            let all = [before.clone(), after.clone()].concat();
            let older = exceptions(&all, shifts.0);
            let newer = table(1 << shifts.1, &exceptions(&after, shifts.1));
            let is_exact = older == exceptions(&before, shifts.0);
            let said = is_all_before(&table(1 << shifts.0, &older), &newer);
            prop_assert!(!said || is_exact);
            // Nothing but what was written again makes it uncertain.
            prop_assert!(said || !after.is_empty());
        }
    }
}
