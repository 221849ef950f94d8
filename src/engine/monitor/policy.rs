//! When a store is looked at and by how much it grows, such that it is never full. Pure.
//!
//! The kernel tells of a full store and never of a filling one, so somebody has to look. Looking at every store every few milliseconds
//! would cost too much; but how much is written to the disks below it stands in one counter for each disk. A chunk is in use when its
//! copy begins, and in the counter when it has ended, and the kernel copies a limited number of chunks of a store at once: so between
//! two looks a store fills by no more than was written meanwhile, and what may be in flight. What may be in flight is taken off its
//! room; what is left is sure. The counters are read at every tick, and a store is looked at when so much has been written that an
//! eighth of its sure room may be gone. A tick is so short that the fastest disk writes no more than another eighth meanwhile; while the
//! counters stand still it is longer, up to half of the sure room. A store grows when its sure room is less than twice of what the
//! fastest disk writes in an extension and a tick at rest.

use std::time::Duration;

use super::gauge::{Gauge, Rate, Sample};
use crate::units::Bytes;

/// The shortest time between two looks.
pub const SHORTEST: Duration = Duration::from_millis(1);

/// The longest while something is written.
pub const LONGEST: Duration = Duration::from_secs(1);

/// The same while nothing is. Shorter than [`AT_REST`] is no tick then, for it would cost too much for what there is to win.
pub const LONGEST_AT_REST: Duration = Duration::from_secs(10);

/// A store is kept with room for so long a tick while nothing is written.
const AT_REST: Duration = Duration::from_millis(25);

/// Of the room of a store, what may go unseen while nobody looks at it, and what may while nobody reads the counters.
const UNSEEN: u64 = 8;

/// So often is its room what is written at the present rate while it grows, before it does.
const MARGIN: u64 = 4;

/// What a store that has grown takes in at the present rate before it grows again.
const LASTS: Duration = Duration::from_secs(1);

/// What an extension is taken for before one was seen.
const EXTENSION: Duration = Duration::from_millis(10);

/// What is longer says nothing of the next one: a disk that did not answer.
const LONGEST_EXTENSION: Duration = Duration::from_secs(1);

/// Stores in which nothing is written are not kept with room for slower ones.
const LONGEST_AHEAD: Duration = Duration::from_millis(100);

/// After this time half of what was out of the ordinary is forgotten.
const HALF_LIFE: Duration = Duration::from_secs(60);

/// Of the free space of a group, what all its stores together may have ahead of their need is one part in so many. A store that grows
/// for that takes half as much again.
const AHEAD: u64 = 4;

/// What is known of the host that a store has to keep up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// No writer is faster, from one moment to the next, as far as somebody has said.
    said: Rate,
    /// The same, as the disks have shown.
    fastest: Rate,
    /// An extension takes so long, from the lock to the kernel's use of it.
    extension: Duration,
    /// So late does the processor come to whoever waits for it.
    late: Duration,
    /// When the three were so.
    at: Duration,
    /// What a store may have of the group's free space ahead of its need.
    ahead: Bytes,
}

impl Pace {
    /// That of a host of which nothing else is known.
    pub fn new(fastest: Rate) -> Self {
        let (late, at, ahead) = (Duration::ZERO, Duration::ZERO, Bytes(u64::MAX));
        Self { said: fastest, fastest, extension: EXTENSION, late, at, ahead }
    }

    /// Learns what an extension took.
    pub fn took(&mut self, extension: Duration, now: Duration) {
        self.fade(now);
        self.extension = self.extension.max(extension.min(LONGEST_EXTENSION));
    }

    /// Learns what the disks did.
    pub fn wrote(&mut self, rate: Rate, now: Duration) {
        self.fade(now);
        self.fastest = self.fastest.max(rate);
    }

    /// Learns how late a turn came.
    pub fn woke(&mut self, late: Duration, now: Duration) {
        self.fade(now);
        self.late = self.late.max(late.min(LONGEST_AHEAD));
    }

    /// Learns what so many stores have to share.
    pub fn shares(&mut self, free: Bytes, stores: usize) {
        self.ahead = Bytes(free.get() / AHEAD / (stores as u64).max(1));
    }

    /// What is slow or fast now is remembered for some time.
    fn fade(&mut self, now: Duration) {
        let left = 0.5_f64.powf(now.saturating_sub(self.at).as_secs_f64() / HALF_LIFE.as_secs_f64());
        self.fastest = self.said.max(self.fastest.times(left));
        self.extension = EXTENSION.max(self.extension.mul_f64(left));
        self.late = self.late.mul_f64(left);
        self.at = now;
    }

    /// From the need of an extension to its use.
    fn unready(&self) -> Duration {
        self.extension + self.late
    }

    /// The sure room that a store needs in which nothing is written: a burst may begin at any time.
    fn reserve(&self) -> Bytes {
        let burst = self.fastest.over(self.unready().min(LONGEST_AHEAD) + AT_REST);
        Bytes(burst.get().saturating_mul(2))
    }
}

/// A store, as it was seen last.
#[derive(Debug, Clone, Copy)]
pub struct Store<'g> {
    /// How it fills.
    pub gauge: &'g Gauge,
    /// The size that can hold everything.
    pub covering: Bytes,
    /// What the kernel may be copying into it at once.
    pub in_flight: Bytes,
}

impl Store<'_> {
    /// What is left of it, whatever is in flight.
    pub fn sure(&self) -> Bytes {
        self.gauge.last().room() - self.in_flight
    }

    /// So much may be written to the disks before it is looked at.
    pub fn unseen(&self) -> Bytes {
        unseen(self.sure())
    }

    /// The size that it needs now; nothing if it is large enough.
    pub fn wanted(&self, pace: &Pace) -> Option<Bytes> {
        let Sample { at, used, total } = *self.gauge.last();
        if total >= self.covering {
            return None;
        }
        let rate = self.gauge.rate(at);
        let soon = rate.over(LASTS);
        // What fills it now takes what there is; what may begin one day only a share.
        let margin = rate.over(pace.unready() + SHORTEST).get().saturating_mul(MARGIN);
        let filling = Bytes(margin) + self.in_flight.min(soon);
        let ahead = (pace.reserve() + self.in_flight).min(pace.ahead);
        let least = filling.max(ahead);
        if self.gauge.last().room() >= least {
            return None;
        }
        let more = pace.reserve().min(Bytes(pace.ahead.get() / 2)).max(soon);
        Some((used + least + more).min(self.covering))
    }
}

/// Until the counters are read again; `sure` is the least sure room of all stores.
pub fn tick(sure: Bytes, is_quiet: bool, pace: &Pace) -> Duration {
    let busy = pace.fastest.time_for(unseen(sure)).clamp(SHORTEST, LONGEST);
    if !is_quiet {
        return busy;
    }
    let half = pace.fastest.time_for(Bytes(sure.get() / 2)).saturating_sub(pace.unready());
    half.clamp(AT_REST, LONGEST_AT_REST)
}

fn unseen(sure: Bytes) -> Bytes {
    Bytes(sure.get() / UNSEEN)
}

#[cfg(test)]
mod tests;
