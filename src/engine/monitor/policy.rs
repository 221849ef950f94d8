//! When a store is looked at and by how much it grows, such that it is never full. Pure.
//!
//! The kernel tells of a full store and never of a filling one, so somebody has to look. Looking at every store every few milliseconds
//! would cost too much; but no store fills by more than is written to the disks that it lies on, and how much that is stands in one counter
//! for each disk. So the counters are read at every tick, and a store is looked at when so much has been written that an eighth of its
//! room may be gone. A tick is so short that the fastest disk writes no more than another eighth meanwhile. Both together leave three
//! quarters of the room that there was; and a store grows when its room is less than twice of what is written while it grows.

use std::time::Duration;

use super::gauge::{Gauge, Rate, Sample};
use crate::units::Bytes;

/// The shortest time between two looks.
pub const SHORTEST: Duration = Duration::from_millis(1);

/// The longest.
pub const LONGEST: Duration = Duration::from_secs(1);

/// Of the room of a store, what may go unseen while nobody looks at it, and what may while nobody reads the counters.
const UNSEEN: u64 = 8;

/// So often is its room what is written at the present rate while it grows, before it does.
const MARGIN: u64 = 4;

/// What a store that has grown takes in at the present rate before it grows again.
const LASTS: Duration = Duration::from_secs(1);

/// What is known of the host that a store has to keep up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// No writer is faster, from one moment to the next.
    pub fastest: Rate,
    /// An extension takes so long, from the look that asks for it to the kernel's use of it.
    pub extension: Duration,
}

impl Pace {
    /// Learns what an extension took. A slow one is remembered for some time.
    pub fn took(&mut self, extension: Duration) {
        self.extension = extension.max(self.extension.mul_f64(0.9));
    }

    /// Learns what the disks did.
    pub fn wrote(&mut self, rate: Rate) {
        self.fastest = self.fastest.max(rate);
    }

    /// The room that a store needs in which nothing is written: a burst may begin at any time.
    pub fn reserve(&self) -> Bytes {
        let unready = self.extension.saturating_add(UNSEEN_AT_REST);
        Bytes(self.fastest.over(unready).get().saturating_mul(2))
    }
}

/// What a tick may take beside an extension, for the reserve. With it the tick at the least room is no shorter than [`SHORTEST`].
const UNSEEN_AT_REST: Duration = SHORTEST.saturating_mul(4);

/// Until the counters are read again; `room` is the least of all stores'.
pub fn tick(room: Bytes, pace: &Pace) -> Duration {
    pace.fastest.time_for(unseen(room)).clamp(SHORTEST, LONGEST)
}

/// So much may be written to the disks before a store with this room is looked at.
pub fn unseen(room: Bytes) -> Bytes {
    Bytes(room.get() / UNSEEN)
}

/// The size that a store needs now; nothing if it is large enough. `covering` is what can hold everything.
pub fn wanted(gauge: &Gauge, covering: Bytes, pace: &Pace) -> Option<Bytes> {
    let Sample { at, used, total } = *gauge.last();
    if total >= covering {
        return None;
    }
    let rate = gauge.rate(at);
    let margin = Bytes(rate.over(pace.extension + SHORTEST).get().saturating_mul(MARGIN));
    let least = margin.max(pace.reserve());
    if gauge.last().room() >= least {
        return None;
    }
    let more = least.get().saturating_add(least.max(rate.over(LASTS)).get());
    Some(Bytes(used.get().saturating_add(more)).min(covering))
}

#[cfg(test)]
mod tests;
