//! What is said to have changed, against a comparison of every byte.

use std::path::Path;
use std::sync::Arc;

use crate::lab::{Lab, MODE, cut, growth, lab_with_volume, lv, snap, vg, volume};
use crate::snapshots::Telling;
use crate::tally::{is_long, seed};
use dmsnap::block::mem::mixed;
use dmsnap::block::{Access, Devices};
use dmsnap::dm::sim::SimKernel;
use dmsnap::dm::{DmName, Freeze, Kernel, Status};
use dmsnap::engine::diff::{Comparison, Difference, RangeView};
use dmsnap::engine::snapshot::NewSnapshots;
use dmsnap::error::{Error, Kind, Result};
use dmsnap::lvm::Edit;
use dmsnap::units::{Bytes, ChunkSize, Sectors, Size};

fn compared(lab: &Lab, snapshot: &str, since: Option<&str>) -> Result<Difference> {
    lab.engine().differences(&wanted(snapshot, since), MODE)
}

fn wanted(snapshot: &str, since: Option<&str>) -> Comparison {
    Comparison { vg: vg(), snapshot: lv(snapshot), since: since.map(lv), content: false }
}

fn compared_by_content(lab: &Lab, snapshot: &str, since: Option<&str>) -> Result<Difference> {
    lab.engine().differences(&Comparison { content: true, ..wanted(snapshot, since) }, MODE)
}

fn ranges(difference: &Difference) -> Vec<(u64, u64)> {
    let pair = |range: &RangeView| (range.offset_bytes.get(), range.length_bytes.get());
    difference.ranges.iter().map(pair).collect()
}

fn content(lab: &Lab, name: &str) -> Vec<u8> {
    let device = lab.devices.open(&Path::new("/dev/mapper").join(lab.top(name)), Access::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(device.size().get()).unwrap()];
    device.read_at(Bytes::ZERO, &mut bytes).unwrap();
    bytes
}

fn read_only(origin: &str, name: &str) -> NewSnapshots {
    NewSnapshots { read_only: true, ..cut(&[(origin, name)]) }
}

const SECTOR: usize = 512;

/// A snapshot, and what the oracle knows of it.
struct Known {
    name: String,
    at_cut: Vec<u8>,
    /// How many writes the origin had had.
    writes: usize,
    writable: bool,
    /// The sectors of it that were written to.
    own: Vec<usize>,
}

/// Somebody who does things at random and remembers all of it.
struct Oracle {
    lab: Lab,
    seed: u64,
    /// The sectors of the origin that were written to, in order.
    writes: Vec<usize>,
    snapshots: Vec<Known>,
    made: usize,
    exact: usize,
    inexact: usize,
}

impl Oracle {
    fn new(seed: u64) -> Self {
        let lab = Lab::new();
        lab.engine().create_volume(&volume("db", 2), MODE).unwrap();
        Self { lab, seed, writes: Vec::new(), snapshots: Vec::new(), made: 0, exact: 0, inexact: 0 }
    }

    fn draw(&mut self, below: usize) -> usize {
        self.seed = mixed(self.seed);
        usize::try_from(self.seed >> 16).unwrap() % below
    }

    /// Writes a few sectors somewhere, and says which.
    fn write(&mut self, name: &str) -> Vec<usize> {
        let device = Path::new("/dev/mapper").join(self.lab.top(name));
        let device = self.lab.devices.open(&device, Access::Write).unwrap();
        let sectors = usize::try_from(device.size().get()).unwrap() / SECTOR;
        let first = self.draw(sectors);
        let count = (self.draw(24) + 1).min(sectors - first);
        let byte = u8::try_from(self.draw(256)).unwrap();
        device.write_at(Bytes((first * SECTOR) as u64), &vec![byte; count * SECTOR]).unwrap();
        (first..first + count).collect()
    }

    fn take(&mut self) {
        let name = format!("s{}", self.made);
        self.made += 1;
        let (writable, shift) = (self.draw(3) == 0, self.draw(8));
        let chunk = ChunkSize::new(Bytes::kib(4 << shift)).unwrap();
        let new = NewSnapshots { read_only: !writable, chunk, ..cut(&[("db", &name)]) };
        self.lab.engine().create_snapshots(&new, MODE).unwrap();
        let (at_cut, writes) = (content(&self.lab, "db"), self.writes.len());
        self.snapshots.push(Known { name, at_cut, writes, writable, own: Vec::new() });
    }

    fn step(&mut self) {
        match self.draw(20) {
            0..2 if self.snapshots.len() < 4 => self.take(),
            2 if self.snapshots.len() > 2 => {
                let place = self.draw(self.snapshots.len());
                let gone = self.snapshots.remove(place);
                self.lab.engine().remove_snapshots(&vg(), &[lv(&gone.name)], MODE).unwrap();
            }
            3 if self.made < 5 => drop(self.lab.engine().extend_volume(&growth("+1M"), MODE).unwrap()),
            4..8 if self.snapshots.iter().any(|known| known.writable) => {
                let place = self.snapshots.iter().position(|known| known.writable).unwrap();
                let name = self.snapshots[place].name.clone();
                let written = self.write(&name);
                self.snapshots[place].own.extend(written);
            }
            _ => {
                let written = self.write("db");
                self.writes.extend(written);
            }
        }
    }

    /// Every snapshot with the volume, and each two of them; and all of that while nothing is active.
    fn judge(&mut self) {
        let now = content(&self.lab, "db");
        let mut all = Vec::new();
        for place in 0..self.snapshots.len() {
            all.push(self.judge_cut(place, &now));
            all.extend((0..place).map(|older| self.judge_pair(older, place)).collect::<Vec<_>>());
        }
        for difference in &all {
            *(if difference.exact { &mut self.exact } else { &mut self.inexact }) += 1;
        }
        self.lab.engine().deactivate(&vg(), &[lv("db")], MODE).unwrap();
        for difference in all {
            let idle = compared(&self.lab, &difference.snapshot, difference.since.as_deref());
            assert_eq!(idle.unwrap(), difference, "not active");
        }
        self.lab.engine().activate(&vg(), &[lv("db")], MODE).unwrap();
    }

    fn judge_cut(&self, place: usize, now: &[u8]) -> Difference {
        let known = &self.snapshots[place];
        let difference = compared(&self.lab, &known.name, None).unwrap();
        assert_eq!(difference.size_bytes.get(), now.len() as u64);
        assert_eq!(difference.exact, !known.writable);
        let written = &self.writes[known.writes..];
        covers(&difference, &known.at_cut, now);
        covers(&difference, &known.at_cut, &content(&self.lab, &known.name));
        let of_the_cut = known.at_cut.len();
        is_no_more(&difference, of_the_cut, &[written, &known.own]);
        difference
    }

    fn judge_pair(&self, older: usize, newer: usize) -> Difference {
        let [older, newer] = [&self.snapshots[older], &self.snapshots[newer]];
        let difference = compared(&self.lab, &newer.name, Some(&older.name)).unwrap();
        covers(&difference, &older.at_cut, &newer.at_cut);
        let shown = [older, newer].map(|known| content(&self.lab, &known.name));
        covers(&difference, &shown[0], &shown[1]);
        let differing = compared_by_content(&self.lab, &newer.name, Some(&older.name)).unwrap();
        assert!(differing.exact);
        assert_eq!(ranges(&differing), unequal(&shown[0], &shown[1], differing.chunk_bytes.get()));
        let between = &self.writes[older.writes..newer.writes];
        let rest = &self.writes[newer.writes..];
        let of_the_cut = older.at_cut.len();
        if difference.exact {
            assert!(!older.writable && !newer.writable);
            is_no_more(&difference, of_the_cut, &[between]);
        } else {
            assert!(older.writable || newer.writable || !rest.is_empty(), "nothing to be in doubt of");
            is_no_more(&difference, of_the_cut, &[between, rest, &older.own, &newer.own]);
        }
        difference
    }
}

/// Every byte that differs is in a range, and what only one of them has.
fn covers(difference: &Difference, one: &[u8], other: &[u8]) {
    let (shorter, longer) = (one.len().min(other.len()), one.len().max(other.len()));
    let sectors = (0..longer).step_by(SECTOR);
    let differs = |at: &usize| *at >= shorter || one[*at..*at + SECTOR] != other[*at..*at + SECTOR];
    for at in sectors.filter(differs) {
        let at = at as u64;
        let is_in = ranges(difference).iter().any(|(start, length)| (*start..start + length).contains(&at));
        assert!(is_in, "byte {at} differs and is in no range: {difference:#?}");
    }
}

/// The pieces that differ, those that touch as one.
fn unequal(one: &[u8], other: &[u8], piece: u64) -> Vec<(u64, u64)> {
    let end = one.len().max(other.len()) as u64;
    let bounds = |bytes: &[u8], at: u64| {
        let bound = |at: u64| usize::try_from(at).unwrap().min(bytes.len());
        bound(at)..bound(at + piece)
    };
    let mut found: Vec<(u64, u64)> = Vec::new();
    for at in (0..end).step_by(usize::try_from(piece).unwrap()) {
        if one[bounds(one, at)] == other[bounds(other, at)] {
            continue;
        }
        let length = piece.min(end - at);
        match found.last_mut() {
            Some((start, before)) if *start + *before == at => *before += length,
            _ => found.push((at, length)),
        }
    }
    found
}

/// Each piece of a range was written to.
fn is_no_more(difference: &Difference, end: usize, written: &[&[usize]]) {
    let chunk = difference.chunk_bytes.get();
    let changed: u64 = ranges(difference).iter().map(|(_, length)| length).sum();
    assert_eq!(changed, difference.changed_bytes.get());
    for (start, length) in ranges(difference) {
        let pieces = start / chunk..(start + length).div_ceil(chunk);
        for piece in pieces.map(|piece| piece * chunk..(piece + 1) * chunk) {
            let is_written = written.iter().copied().flatten().any(|sector| {
                let at = (*sector * SECTOR) as u64;
                piece.contains(&at)
            });
            assert!(is_written || piece.end > end as u64, "{piece:?} was not written to: {difference:#?}");
        }
    }
}

#[test]
fn what_differs_is_said_to_have_changed_and_nothing_that_was_not_written_to() {
    let mut number = seed();
    let (mut exact, mut inexact) = (0, 0);
    for _ in 0..if is_long() { 1000 } else { 15 } {
        number = mixed(number);
        let mut oracle = Oracle::new(number);
        oracle.take();
        for _ in 0..4 {
            (0..8).for_each(|_| oracle.step());
            oracle.judge();
        }
        exact += oracle.exact;
        inexact += oracle.inexact;
    }
    assert!(exact > 50 && inexact > 50, "{exact} exact, {inexact} not, seed {}", seed());
}

/// Read-only ones, of the first of which everything is known when the second is taken.
#[test]
fn two_snapshots_are_compared_exactly_until_something_new_is_written() {
    let lab = lab_with_volume();
    lab.engine().create_snapshots(&read_only("db", "old"), MODE).unwrap();
    lab.write("vg--0-db", 128 << 10, 2);
    lab.engine().create_snapshots(&read_only("db", "new"), MODE).unwrap();
    let between = |wanted| {
        let difference = compared(&lab, "new", Some("old")).unwrap();
        assert_eq!((difference.exact, difference.notes.is_empty()), (wanted, wanted), "{difference:?}");
        ranges(&difference)
    };
    assert_eq!(between(true), [(128 << 10, 64 << 10)]);
    // The old one has this chunk already.
    lab.write("vg--0-db", 132 << 10, 3);
    assert_eq!(between(false), [(128 << 10, 64 << 10)]);
    lab.write("vg--0-db", 0, 3);
    assert_eq!(between(false), [(0, 64 << 10), (128 << 10, 64 << 10)]);
    let differing = compared_by_content(&lab, "new", Some("old")).unwrap();
    assert!(differing.exact && differing.notes.is_empty(), "{differing:?}");
    assert_eq!(ranges(&differing), [(128 << 10, 64 << 10)]);
}

#[test]
fn what_a_volume_has_gained_is_new_whoever_compares() {
    let lab = lab_with_volume();
    lab.engine().create_snapshots(&read_only("db", "old"), MODE).unwrap();
    lab.engine().extend_volume(&growth("+2M"), MODE).unwrap();
    lab.engine().create_snapshots(&read_only("db", "new"), MODE).unwrap();
    lab.engine().extend_volume(&growth("+1M"), MODE).unwrap();
    let found = |since: Option<&str>, name| {
        let difference = compared(&lab, name, since).unwrap();
        assert!(difference.exact && difference.notes.len() == 1, "{difference:?}");
        ranges(&difference)
    };
    assert_eq!(found(None, "old"), [(8 << 20, 3 << 20)]);
    assert_eq!(found(None, "new"), [(10 << 20, 1 << 20)]);
    assert_eq!(found(Some("old"), "new"), [(8 << 20, 2 << 20)]);
}

fn refused(outcome: Result<Difference>, kind: Kind, words: &str) {
    let error: Error = outcome.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    let said = format!("{error} {:?}", error.chain());
    assert!(said.contains(words), "{said} says nothing of {words:?}");
}

#[test]
fn what_cannot_be_compared_is_refused_in_words() {
    let lab = lab_with_volume();
    lab.engine().create_volume(&volume("wal", 4), MODE).unwrap();
    snap(&lab, "a");
    snap(&lab, "b");
    lab.engine().create_snapshots(&cut(&[("wal", "w")]), MODE).unwrap();
    lab.engine().create_snapshots(&cut(&[("wal", "x")]), MODE).unwrap();
    refused(compared(&lab, "db", None), Kind::Usage, "is no snapshot");
    refused(compared(&lab, "none", None), Kind::NotFound, "no volume none");
    refused(compared(&lab, "a", Some("b")), Kind::Usage, "was not taken before");
    refused(compared(&lab, "a", Some("a")), Kind::Usage, "was not taken before");
    refused(compared(&lab, "a", Some("w")), Kind::Usage, "snapshots of one volume");
    refused(compared_by_content(&lab, "a", None), Kind::Usage, "take another snapshot");
    lab.engine().deactivate(&vg(), &[lv("db")], MODE).unwrap();
    refused(compared_by_content(&lab, "b", Some("a")), Kind::InUse, "is not active");
    lab.lvm2_commits(&[Edit::SetMerging { store: lv("w"), merging: true }]);
    refused(compared(&lab, "w", None), Kind::InUse, "is being merged");
    // The volume shows what is in no store but that one.
    refused(compared(&lab, "x", None), Kind::InUse, "w is being merged into vg-0/wal");
}

/// Its store tells of nothing that was written later.
#[test]
fn a_snapshot_that_is_lost_is_not_compared() {
    let lab = lab_with_volume();
    let small = NewSnapshots { size: Some(Size::Absolute(Bytes::mib(1))), ..cut(&[("db", "s")]) };
    lab.engine().create_snapshots(&small, MODE).unwrap();
    snap(&lab, "t");
    (0..30).for_each(|place| lab.write("vg--0-db", place << 16, 9));
    for since in [None, Some("s")] {
        refused(compared(&lab, if since.is_some() { "t" } else { "s" }, since), Kind::Refused, "nvalid");
    }
    assert!(compared(&lab, "t", None).is_ok());
    lab.engine().deactivate(&vg(), &[lv("db")], MODE).unwrap();
    refused(compared(&lab, "s", None), Kind::Refused, "is invalid");
}

/// The kernel has begun a copy when the newer store is read, and never ends it.
#[test]
fn what_is_under_way_all_the_time_leaves_a_doubt() {
    let lab = lab_with_volume();
    lab.engine().create_snapshots(&read_only("db", "old"), MODE).unwrap();
    lab.engine().create_snapshots(&read_only("db", "new"), MODE).unwrap();
    assert!(compared(&lab, "new", Some("old")).unwrap().exact);
    let ahead = |kernel: &SimKernel, name: &DmName| {
        let mut told = kernel.status(name)?;
        if let Some(Status::Store { used, .. }) = told.first_mut() {
            *used += Sectors(1);
        }
        Ok(told)
    };
    let kernel = Telling(lab.kernel.clone(), Box::new(ahead));
    let engine = lab.engine_on(Arc::new(kernel), Arc::new(lab.devices.clone()));
    let difference = engine.differences(&wanted("new", Some("old")), MODE).unwrap();
    assert!(!difference.exact && difference.ranges.is_empty(), "{difference:?}");
}

/// Writes that a table of somebody else lets by leave no exception.
#[test]
fn a_volume_whose_devices_are_not_what_the_metadata_says_is_not_compared() {
    let lab = lab_with_volume();
    snap(&lab, "s");
    let top = DmName::new("vg--0-s").unwrap();
    lab.kernel.suspend(&top, Freeze::Io).unwrap();
    refused(compared(&lab, "s", None), Kind::Refused, "dmsnap check");
    lab.engine().repair(&vg(), MODE).unwrap();
    assert!(compared(&lab, "s", None).is_ok());
    lab.kernel.set_status(&top, &Status::Overflow);
    refused(compared(&lab, "s", None), Kind::Refused, "Overflow");
}
