//! The instants at which a power cut is worth a look.

use std::ops::Range;

use crate::log::Entry;

/// Everything before `entries` is on the disk, and of the `volatile` entries behind it a part.
#[derive(Clone, Copy)]
pub struct Instant {
    pub kind: Kind,
    pub entries: usize,
    volatile: usize,
}

#[derive(Clone, Copy)]
pub enum Kind {
    Mark,
    Flush,
    Forced,
    Between,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Mark => "mark",
            Self::Flush => "flush",
            Self::Forced => "forced",
            Self::Between => "between",
        }
    }
}

impl Instant {
    pub fn unsafe_entries(&self) -> Range<usize> {
        self.entries..self.entries + self.volatile
    }
}

/// All of them in order. Plain writes stand in the log right before the flush that makes them safe: where they begin there are
/// `between` instants.
pub fn all(entries: &[Entry], between: usize, from: Option<&str>) -> Vec<Instant> {
    let first = from.and_then(|from| {
        entries.iter().position(|entry| entry.mark().is_some_and(|mark| mark.starts_with(from)))
    });
    let mut instants = Vec::new();
    for at in first.unwrap_or(0)..entries.len() {
        let volatile = entries[at..].iter().take_while(|entry| entry.volatile()).count();
        if volatile > 0 && (at == 0 || !entries[at - 1].volatile()) {
            let instant = Instant { kind: Kind::Between, entries: at, volatile };
            instants.extend(std::iter::repeat_n(instant, between));
        }
        let kind = match &entries[at] {
            entry if entry.mark().is_some() => Kind::Mark,
            entry if entry.flush => Kind::Flush,
            entry if entry.forced => Kind::Forced,
            _ => continue,
        };
        instants.push(Instant { kind, entries: at + 1, volatile: 0 });
    }
    instants
}

/// So many of them, drawn by lot, in their order.
pub fn drawn(all: &[Instant], most: usize, lot: &mut fastrand::Rng) -> Vec<Instant> {
    let mut numbers = lot.choose_multiple(0..all.len(), most);
    numbers.sort_unstable();
    numbers.into_iter().map(|number| all[number]).collect()
}
