//! Random plans over a few names.

use std::fmt;

use dmsnap::block::mem::mixed;
use dmsnap::units::Sectors;

/// Each place of the disk is this large, and devices that have grown are.
pub const PLACE: Sectors = Sectors(512);
/// So large are devices otherwise.
pub const LENGTH: Sectors = Sectors(384);
/// A small store, to see it overflow, and one that has grown.
pub const SMALL: [Sectors; 2] = [Sectors(96), Sectors(160)];
/// The places that are used.
pub const PLACES: u64 = 4;
/// The devices that there may be; a plan numbers them.
pub const NAMES: [&str; 7] = ["real", "cow1", "cow2", "org", "s1", "s2", "x"];

#[derive(Clone, Debug)]
pub enum Shape {
    Linear(u64),
    Small(u64),
    Far,
    Striped,
    Origin(usize),
    Snapshot(usize, usize, u64),
    Merge(usize, usize, u64),
    Zero,
    Error,
}

#[derive(Clone, Debug)]
pub enum Change {
    /// With the uuid that belongs to the second.
    Create(usize, usize),
    /// Read-only or not, grown or not.
    Load(usize, Shape, bool, bool),
    Clear(usize),
    Suspend(usize),
    Resume(usize),
    Remove(usize),
    Rename(usize, usize),
    /// Somebody opens it, until he closes it.
    Hold(usize),
    Release(usize),
    Write(usize, u64, u8),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |index: &usize| NAMES[*index];
        match self {
            Self::Create(at, uuid) => write!(f, "create {} with the uuid of {}", name(at), name(uuid)),
            Self::Load(at, shape, read_only, grown) => {
                write!(f, "load {} {shape:?} read-only {read_only} grown {grown}", name(at))
            }
            Self::Clear(at) => write!(f, "clear {}", name(at)),
            Self::Suspend(at) => write!(f, "suspend {}", name(at)),
            Self::Resume(at) => write!(f, "resume {}", name(at)),
            Self::Remove(at) => write!(f, "remove {}", name(at)),
            Self::Rename(at, to) => write!(f, "rename {} to {}", name(at), name(to)),
            Self::Hold(at) => write!(f, "open {}", name(at)),
            Self::Release(at) => write!(f, "close {}", name(at)),
            Self::Write(at, chunk, byte) => write!(f, "write {byte} to chunk {chunk} of {}", name(at)),
        }
    }
}

/// A seed names a plan.
pub struct Random(pub u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = mixed(self.0);
        self.0 % end
    }

    fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).unwrap_or(0)
    }

    fn shape(&mut self, name: usize) -> Shape {
        let chunk = 8 << self.below(2);
        let cow = 1 + self.index(2);
        // Mostly what a name stands for, sometimes anything.
        let pick = if self.below(8) == 0 { 6 } else { name };
        match (pick, self.below(4)) {
            (0, _) => Shape::Linear(0),
            (1, _) => Shape::Linear(1),
            (2, _) => Shape::Small(2),
            (3, 0) => Shape::Linear(0),
            (3, 1 | 2) => Shape::Origin(0),
            (3, _) => Shape::Merge(0, cow, chunk),
            (4, 0) => Shape::Error,
            (4, _) => Shape::Snapshot(0, 1, chunk),
            (5, 0) => Shape::Snapshot(0, 1, chunk),
            (5, _) => Shape::Snapshot(0, 2, chunk),
            (_, 0) => Shape::Far,
            (_, 1) => Shape::Striped,
            (_, 2) => [Shape::Zero, Shape::Merge(0, cow, chunk), Shape::Origin(name)][self.index(3)].clone(),
            (_, _) => Shape::Snapshot(0, cow, chunk),
        }
    }

    fn change(&mut self) -> Change {
        let name = self.index(NAMES.len());
        match self.below(34) {
            0..=1 => Change::Create(name, if self.below(8) == 0 { self.index(NAMES.len()) } else { name }),
            2..=7 => Change::Load(name, self.shape(name), self.below(16) == 0, self.below(6) == 0),
            8 => Change::Clear(name),
            9..=13 => Change::Suspend(name),
            14..=21 => Change::Resume(name),
            22 => Change::Remove(name),
            23 => Change::Rename(name, self.index(NAMES.len())),
            24 => Change::Hold(name),
            25 => Change::Release(name),
            // Sometimes beyond the end of what has not grown.
            26 => Change::Write(name, self.below(64), 99),
            _ => Change::Write(name, self.below(20), u8::try_from(1 + self.below(250)).unwrap_or(1)),
        }
    }

    /// What chance would seldom put together: the ways of snapshots and merges, right and wrong.
    fn idiom(&mut self) -> Vec<Change> {
        let cow = 1 + self.index(2);
        let (org, source) = (3, cow + 3);
        let merge = Change::Load(org, Shape::Merge(0, cow, 8), false, false);
        let snapshot = Change::Load(source, Shape::Snapshot(0, cow, 8), false, false);
        let origin = Change::Load(org, Shape::Origin(0), false, false);
        let write = |at| Change::Write(at, 5, 77);
        let again = |at, shape, grown| [Change::Load(at, shape, false, grown), Change::Resume(at)];
        match self.below(11) {
            0 | 1 => vec![
                write(org),
                merge,
                Change::Suspend(org),
                Change::Suspend(source),
                Change::Resume(org),
                write(org),
            ],
            2 => vec![merge, Change::Suspend(org), Change::Remove(source), Change::Resume(org)],
            3 => vec![merge, Change::Suspend(org), Change::Resume(org)],
            4 => vec![snapshot, Change::Resume(source), write(source)],
            5 => vec![origin, Change::Resume(org), write(org)],
            6 => vec![
                Change::Remove(source),
                Change::Create(source, source),
                snapshot,
                Change::Suspend(org),
                Change::Resume(source),
                Change::Resume(org),
                write(org),
            ],
            7 => {
                // The origin grows under its snapshots, which do not.
                let mut grows = vec![Change::Suspend(org)];
                grows.extend(again(0, Shape::Linear(0), true));
                grows.extend(again(org, Shape::Origin(0), true));
                grows.push(Change::Write(org, 60, 44));
                grows
            }
            8 => {
                // A full store grows, before or after it overflows.
                let mut grows: Vec<_> = (0..6).map(|chunk| Change::Write(org, chunk, 55)).collect();
                grows.extend(again(2, Shape::Small(2), true));
                grows.extend((6..12).map(|chunk| Change::Write(org, chunk, 55)));
                grows
            }
            9 => {
                // A resume that fails has swapped: the right table is loaded and resumed.
                let mut fails = again(org, Shape::Far, false).to_vec();
                fails.extend(again(org, Shape::Origin(0), false));
                fails.push(write(org));
                fails
            }
            _ => (0..12).map(|chunk| Change::Write(org, chunk, 33)).collect(),
        }
    }

    pub fn plan(&mut self) -> Vec<Change> {
        let mut plan = if self.below(5) == 0 { Vec::new() } else { base() };
        for _ in 0..5 + self.below(25) {
            if self.below(4) == 0 { plan.extend(self.idiom()) } else { plan.push(self.change()) }
        }
        plan
    }
}

/// An origin with two snapshots.
pub fn base() -> Vec<Change> {
    let mut plan: Vec<_> = (0..6).map(|at| Change::Create(at, at)).collect();
    let live = |at, shape| [Change::Load(at, shape, false, false), Change::Resume(at)];
    plan.extend(live(0, Shape::Linear(0)));
    plan.extend(live(1, Shape::Linear(1)));
    plan.extend(live(2, Shape::Small(2)));
    plan.extend(live(4, Shape::Snapshot(0, 1, 8)));
    plan.extend(live(5, Shape::Snapshot(0, 2, 8)));
    plan.extend(live(3, Shape::Origin(0)));
    plan
}
