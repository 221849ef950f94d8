//! What disks may hold after a power cut.
//!
//! A disk with a write cache promises only that what was written before a finished flush is stable. Of the writes since then any
//! may be there or not, in any order, and one may be there in part: a sector of 512 bytes is old or new, never
//! mixed. All combinations are tried while there are few writes in flight, the telling ones and a random sample (the same in each
//! run) otherwise.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};

use super::{Event, MemDevices, Record};
use crate::block::DevNo;
use crate::units::{Bytes, SECTOR_BYTES};

/// Up to this many unflushed writes every subset is tried.
const EVERY_SUBSET_UP_TO: usize = 6;
/// So many random subsets beyond that.
const RANDOM_SUBSETS: u64 = 48;
/// A write of up to this many sectors is torn at each of them, a longer one at the first, middle and last.
const EVERY_TEAR_UP_TO: u64 = 8;

/// Disks as a power cut may leave them.
#[derive(Debug)]
pub struct Remains {
    /// Which writes are there, for the message of a failed test.
    pub words: String,
    /// The disks, as they are found after the restart.
    pub devices: MemDevices,
}

/// How much of one unflushed write is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Part {
    Whole,
    /// Only so many of its first sectors.
    Head(u64),
    /// All but so many of its first sectors.
    Tail(u64),
}

/// The unflushed writes that are on disk, by their place among the unflushed, in the order in which they got there.
type Outcome = Vec<(usize, Part)>;

impl MemDevices {
    /// The contents that the disks may have if power fails when `done` events of the log have happened. Nothing is
    /// known of the order among devices: each is flushed on its own.
    pub fn images_after_cut(&self, done: usize) -> Vec<Remains> {
        self.remains(done, outcomes)
    }

    /// So many of these contents: with nothing unflushed and with all of it, with one of two, and others as `seed` picks them.
    pub fn some_images_after_cut(&self, done: usize, count: usize, seed: u64) -> Vec<Remains> {
        self.remains(done, |loose, number| {
            let mut all = outcomes(loose, number);
            let is_whole = |outcome: &Outcome| outcome.iter().all(|(_, part)| *part == Part::Whole);
            let class = |outcome: &Outcome| match outcome.len() {
                _ if !is_whole(outcome) => 2,
                kept if kept == 0 || kept == loose.len() => 0,
                _ if loose.len() <= 2 => 1,
                _ => 2,
            };
            all.sort_by_cached_key(|outcome| (class(outcome), mixed(seed ^ mixed(hash(outcome)))));
            all.truncate(count);
            all
        })
    }

    fn remains(&self, done: usize, outcomes: impl Fn(&[&Record], u64) -> Vec<Outcome>) -> Vec<Remains> {
        let records = self.log().records();
        let past = &records[..done.min(records.len())];
        let (stable, loose) = split(past);
        outcomes(&loose, done as u64)
            .into_iter()
            .map(|outcome| Remains {
                words: words(done, &loose, &outcome),
                devices: self.reborn(&replay(&stable, &loose, &outcome)),
            })
            .collect()
    }
}

fn hash(outcome: &Outcome) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    outcome.hash(&mut hasher);
    hasher.finish()
}

/// Writes that a later flush of their device made stable, and those that none did.
fn split(past: &[Record]) -> (Vec<&Record>, Vec<&Record>) {
    let mut flushed = HashSet::<DevNo>::new();
    let (mut stable, mut loose) = (Vec::new(), Vec::new());
    for record in past.iter().rev() {
        if record.event == Event::Flush {
            flushed.insert(record.device);
        } else if flushed.contains(&record.device) {
            stable.push(record);
        } else {
            loose.push(record);
        }
    }
    stable.reverse();
    loose.reverse();
    (stable, loose)
}

fn outcomes(loose: &[&Record], seed: u64) -> Vec<Outcome> {
    let mut all = subsets(loose.len(), seed);
    let reversed: Outcome = (0..loose.len()).rev().map(|index| (index, Part::Whole)).collect();
    all.push(reversed);
    all.extend(tears(loose));
    let mut seen = HashSet::new();
    all.retain(|outcome| seen.insert(outcome.clone()));
    all
}

fn subsets(count: usize, seed: u64) -> Vec<Outcome> {
    let chosen = |wanted: &dyn Fn(usize) -> bool| -> Outcome {
        (0..count).filter(|index| wanted(*index)).map(|index| (index, Part::Whole)).collect()
    };
    if count <= EVERY_SUBSET_UP_TO {
        return (0..1_u64 << count).map(|mask| chosen(&|index| mask >> index & 1 == 1)).collect();
    }
    let mut all: Vec<Outcome> = (0..=count).map(|length| chosen(&|index| index < length)).collect();
    all.extend((0..count).map(|lost| chosen(&|index| index != lost)));
    all.extend((0..count).map(|kept| chosen(&|index| index == kept)));
    all.extend(
        (0..RANDOM_SUBSETS).map(|n| chosen(&|index| mixed(seed << 32 | n << 16 | index as u64) & 1 == 1)),
    );
    all
}

/// Each write torn, once with everything else written and once with only what came before it.
fn tears(loose: &[&Record]) -> Vec<Outcome> {
    let mut all = Vec::new();
    for (torn, record) in loose.iter().enumerate() {
        for part in parts(sectors(&record.event)) {
            let others = |range: std::ops::Range<usize>| range.map(|index| (index, Part::Whole));
            let before: Outcome = others(0..torn).chain([(torn, part)]).collect();
            let both: Outcome = before.iter().copied().chain(others(torn + 1..loose.len())).collect();
            all.extend([before, both]);
        }
    }
    all
}

fn parts(sectors: u64) -> Vec<Part> {
    let at: Vec<u64> = match sectors {
        0 | 1 => Vec::new(),
        2..=EVERY_TEAR_UP_TO => (1..sectors).collect(),
        _ => vec![1, sectors / 2, sectors - 1],
    };
    at.into_iter().flat_map(|at| [Part::Head(at), Part::Tail(at)]).collect()
}

/// The sectors of the device that an event touches.
fn sectors(event: &Event) -> u64 {
    let (offset, length) = event.range();
    (offset + length).sectors_ceil().get() - offset.sectors_floor().get()
}

/// A different bit pattern for each input (splitmix64): a sample that is the same in each run.
pub fn mixed(input: u64) -> u64 {
    let mut z = input.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The events that lead from the log's beginning to an outcome.
fn replay(stable: &[&Record], loose: &[&Record], outcome: &Outcome) -> Vec<Record> {
    let kept = outcome.iter().filter_map(|(index, part)| {
        let record = loose.get(*index)?;
        Some(Record { device: record.device, event: torn(&record.event, *part) })
    });
    stable.iter().copied().cloned().chain(kept).collect()
}

/// The part of an event that reached the disk.
fn torn(event: &Event, part: Part) -> Event {
    let (offset, length) = event.range();
    // Sectors are the device's: an event that begins inside one has that sector as its first.
    let boundary = |count: u64| {
        let at = (offset.sectors_floor().get() + count).saturating_mul(SECTOR_BYTES);
        Bytes(at).checked_sub(offset).unwrap_or(Bytes::ZERO).min(length)
    };
    match part {
        Part::Whole => event.clone(),
        Part::Head(count) => slice(event, Bytes::ZERO, boundary(count)),
        Part::Tail(count) => slice(event, boundary(count), length),
    }
}

fn slice(event: &Event, from: Bytes, to: Bytes) -> Event {
    match event {
        Event::Write { offset, data } => {
            let index = |bytes: Bytes| usize::try_from(bytes.get()).unwrap_or(data.len()).min(data.len());
            Event::Write { offset: *offset + from, data: data[index(from)..index(to)].into() }
        }
        Event::Zero { offset, .. } => Event::Zero { offset: *offset + from, length: to - from },
        Event::Flush => Event::Flush,
    }
}

fn words(done: usize, loose: &[&Record], outcome: &Outcome) -> String {
    let kept: Vec<String> = outcome
        .iter()
        .filter_map(|(index, part)| {
            let record = loose.get(*index)?;
            let how = match part {
                Part::Whole => String::new(),
                Part::Head(count) => format!(" (only the first {count} sectors)"),
                Part::Tail(count) => format!(" (without the first {count} sectors)"),
            };
            Some(format!("{} {:?}{how}", record.device, record.event))
        })
        .collect();
    let unflushed = loose.len();
    format!("cut after {done} events, of {unflushed} unflushed writes on disk: [{}]", kept.join(", "))
}
