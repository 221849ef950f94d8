//! Which extents of which physical volume nobody uses.

use super::model::{Area, SegmentKind, Vg};
use super::name::Uuid;
use crate::units::{Bytes, Extents};

/// A run of extents on one physical volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Run {
    /// Its first extent.
    pub start: Extents,
    /// How many.
    pub length: Extents,
}

impl Run {
    /// The extent behind it.
    pub fn end(self) -> Extents {
        self.start + self.length
    }
}

/// The free runs of each physical volume, in the order of [`Vg::pvs`]; ordered, apart from each other, not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreeMap {
    /// By the physical volume's index.
    pub pvs: Vec<Vec<Run>>,
}

impl FreeMap {
    /// What is free in a volume group.
    pub fn of(vg: &Vg) -> Self {
        let used = used_runs(vg);
        let free = vg.pvs.iter().zip(used).map(|(pv, used)| gaps(pv.pe_count, &used));
        Self { pvs: free.collect() }
    }

    /// How much is free on all of them.
    pub fn total(&self) -> Extents {
        self.pvs.iter().flatten().map(|run| run.length).sum()
    }

    /// How much is free on one.
    pub fn on(&self, pv: usize) -> Extents {
        self.pvs.get(pv).into_iter().flatten().map(|run| run.length).sum()
    }
}

impl Vg {
    /// The extents that no volume uses, on whichever physical volume.
    pub fn free_extents(&self) -> Extents {
        FreeMap::of(self).total()
    }

    /// The extents of one physical volume that no volume uses.
    pub fn free_on(&self, id: &Uuid) -> Extents {
        let place = self.pvs.iter().position(|pv| pv.id == *id);
        place.map_or(Extents::ZERO, |pv| FreeMap::of(self).on(pv))
    }

    /// The size of the free extents.
    pub fn free(&self) -> Bytes {
        self.free_extents().sectors(self.extent_size).bytes()
    }
}

/// The runs that segments use on each physical volume, ordered. They overlap if the volume group is damaged.
pub fn used_runs(vg: &Vg) -> Vec<Vec<Run>> {
    let mut used = vec![Vec::new(); vg.pvs.len()];
    for segment in vg.lvs.iter().flat_map(|lv| &lv.segments) {
        let areas = match &segment.kind {
            SegmentKind::Striped { areas, .. } | SegmentKind::Other { areas, .. } => areas,
            SegmentKind::Snapshot { .. } => continue,
        };
        let length = segment.area_length();
        for area in areas {
            if let Area::Pv { pv, start } = area
                && let Some(runs) = used.get_mut(*pv)
                && !length.is_zero()
            {
                runs.push(Run { start: *start, length });
            }
        }
    }
    for runs in &mut used {
        runs.sort_unstable();
    }
    used
}

fn gaps(count: Extents, used: &[Run]) -> Vec<Run> {
    let mut gaps = Vec::new();
    let mut end = Extents::ZERO;
    let behind = Run { start: count, length: Extents::ZERO };
    for run in used.iter().copied().chain([behind]) {
        if run.start > end {
            gaps.push(Run { start: end, length: run.start - end });
        }
        end = end.max(run.end());
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(start: u64, length: u64) -> Run {
        Run { start: Extents(start), length: Extents(length) }
    }

    #[test]
    fn what_is_not_used_is_free() {
        assert_eq!(gaps(Extents(10), &[]), [run(0, 10)]);
        assert_eq!(gaps(Extents(10), &[run(0, 10)]), []);
        assert_eq!(gaps(Extents(10), &[run(2, 3), run(5, 1), run(8, 1)]), [run(0, 2), run(6, 2), run(9, 1)]);
        assert_eq!(gaps(Extents(0), &[]), []);
    }

    #[test]
    fn overlapping_use_is_counted_once() {
        assert_eq!(gaps(Extents(10), &[run(0, 8), run(2, 2), run(7, 2)]), [run(9, 1)]);
    }
}
