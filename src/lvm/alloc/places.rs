//! The free runs that may be used, in an order that stays when one of them gets shorter.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::Place;
use crate::lvm::free::Run;
use crate::units::Extents;
use crate::work::step;

/// Free runs by physical volume, the largest of each first; of equals, the first on disk.
pub(super) struct Places(BTreeMap<usize, BTreeSet<(Reverse<Extents>, Extents)>>);

impl FromIterator<Place> for Places {
    fn from_iter<I: IntoIterator<Item = Place>>(places: I) -> Self {
        let mut all = Self(BTreeMap::new());
        places.into_iter().for_each(|place| all.insert(place));
        all
    }
}

impl Places {
    /// Takes in a run, unless it is empty.
    fn insert(&mut self, Place { pv, run }: Place) {
        step();
        if !run.length.is_zero() {
            self.0.entry(pv).or_default().insert((Reverse(run.length), run.start));
        }
    }

    fn remove(&mut self, Place { pv, run }: Place) {
        step();
        if let Some(runs) = self.0.get_mut(&pv) {
            runs.remove(&(Reverse(run.length), run.start));
        }
    }

    /// The runs of one physical volume, largest first.
    pub fn on(&self, pv: usize) -> impl Iterator<Item = Place> {
        let runs = self.0.get(&pv).into_iter().flatten();
        runs.map(move |&(Reverse(length), start)| {
            step();
            Place { pv, run: Run { start, length } }
        })
    }

    /// So many of each physical volume, the largest of all of them first.
    pub fn largest(&self, of_each: usize) -> Vec<Place> {
        let mut places: Vec<_> = self.0.keys().flat_map(|pv| self.on(*pv).take(of_each)).collect();
        places.sort_by_key(|place| place.rank());
        places
    }

    /// The run that begins there.
    pub fn at(&self, pv: usize, start: Extents) -> Option<Place> {
        self.on(pv).find(|place| place.run.start == start)
    }

    /// Takes the beginning of a run away.
    pub fn shorten(&mut self, Place { pv, run }: Place, by: Extents) {
        self.remove(Place { pv, run });
        self.insert(Place { pv, run: Run { start: run.start + by, length: run.length - by } });
    }

    /// Halves the largest run until there are so many, or none can be halved: stripes may then lie side by side.
    pub fn split_until(&mut self, count: usize) {
        while self.0.values().map(BTreeSet::len).sum::<usize>() < count {
            let largest = self.largest(1).first().copied();
            let Some(Place { pv, run }) = largest.filter(|one| one.run.length > Extents(1)) else { return };
            let half = Extents(run.length.get() / 2);
            let middle = run.length - half;
            self.shorten(Place { pv, run }, middle);
            self.insert(Place { pv, run: Run { start: run.start, length: middle } });
        }
    }

    /// So many physical volumes, those with the most room.
    pub fn roomiest(&self, count: usize) -> Vec<usize> {
        let room = |pv: &usize| -> Extents { self.on(*pv).map(|place| place.run.length).sum() };
        let mut pvs: Vec<_> = self.0.keys().map(|pv| (Reverse(room(pv)), *pv)).collect();
        pvs.sort_unstable();
        pvs.into_iter().take(count).map(|(_, pv)| pv).collect()
    }
}
