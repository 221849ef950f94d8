//! Random plans over a few names.

use std::fmt;

use dmsnap::units::Sectors;

/// Each place of the disk is this large.
pub const PLACE: Sectors = Sectors(512);
/// The places that are used.
pub const PLACES: u64 = 4;
/// The devices that there may be; a plan numbers them.
pub const NAMES: [&str; 7] = ["real", "cow1", "cow2", "org", "s1", "s2", "x"];

#[derive(Clone, Debug)]
pub enum Shape {
    Linear(u64, Sectors),
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
    Create(usize),
    Load(usize, Shape, bool),
    Clear(usize),
    Suspend(usize),
    Resume(usize),
    Remove(usize),
    Rename(usize, usize),
    Write(usize, u64, u8),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |index: &usize| NAMES[*index];
        match self {
            Self::Create(at) => write!(f, "create {}", name(at)),
            Self::Load(at, shape, read_only) => write!(f, "load {} {shape:?} {read_only}", name(at)),
            Self::Clear(at) => write!(f, "clear {}", name(at)),
            Self::Suspend(at) => write!(f, "suspend {}", name(at)),
            Self::Resume(at) => write!(f, "resume {}", name(at)),
            Self::Remove(at) => write!(f, "remove {}", name(at)),
            Self::Rename(at, to) => write!(f, "rename {} to {}", name(at), name(to)),
            Self::Write(at, chunk, byte) => write!(f, "write {byte} to chunk {chunk} of {}", name(at)),
        }
    }
}

/// splitmix64: a seed names a plan.
pub struct Random(pub u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
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
            (0, _) => Shape::Linear(0, PLACE),
            (1, _) => Shape::Linear(1, PLACE),
            // A small store, to see it overflow.
            (2, _) => Shape::Linear(2, Sectors(96)),
            (3, 0) => Shape::Linear(0, PLACE),
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
        match self.below(32) {
            0..=1 => Change::Create(name),
            2..=7 => Change::Load(name, self.shape(name), self.below(16) == 0),
            8 => Change::Clear(name),
            9..=13 => Change::Suspend(name),
            14..=21 => Change::Resume(name),
            22 => Change::Remove(name),
            23 => Change::Rename(name, self.index(NAMES.len())),
            _ => Change::Write(name, self.below(20), u8::try_from(1 + self.below(250)).unwrap_or(1)),
        }
    }

    /// What chance would seldom put together: the ways of snapshots and merges, right and wrong.
    fn idiom(&mut self) -> Vec<Change> {
        let cow = 1 + self.index(2);
        let (org, source) = (3, cow + 3);
        let merge = Change::Load(org, Shape::Merge(0, cow, 8), false);
        let snapshot = Change::Load(source, Shape::Snapshot(0, cow, 8), false);
        let origin = Change::Load(org, Shape::Origin(0), false);
        let write = |at| Change::Write(at, 5, 77);
        match self.below(8) {
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
                Change::Create(source),
                snapshot,
                Change::Suspend(org),
                Change::Resume(source),
                Change::Resume(org),
                write(org),
            ],
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
    let mut plan: Vec<_> = (0..6).map(Change::Create).collect();
    let live = |at, shape| [Change::Load(at, shape, false), Change::Resume(at)];
    plan.extend(live(0, Shape::Linear(0, PLACE)));
    plan.extend(live(1, Shape::Linear(1, PLACE)));
    plan.extend(live(2, Shape::Linear(2, Sectors(96))));
    plan.extend(live(4, Shape::Snapshot(0, 1, 8)));
    plan.extend(live(5, Shape::Snapshot(0, 2, 8)));
    plan.extend(live(3, Shape::Origin(0)));
    plan
}
