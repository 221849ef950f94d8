//! How fast a store fills: what is known of it from a few looks. Pure.

use std::fmt;
use std::time::Duration;

use crate::units::Bytes;

/// Bytes a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Rate(pub u64);

impl Rate {
    /// What is written at this rate in this time.
    pub fn over(self, time: Duration) -> Bytes {
        let bytes = u128::from(self.0) * time.as_nanos() / 1_000_000_000;
        Bytes(u64::try_from(bytes).unwrap_or(u64::MAX))
    }

    /// How long so much takes; for ever at no rate.
    pub fn time_for(self, bytes: Bytes) -> Duration {
        if self.0 == 0 {
            return Duration::MAX;
        }
        let nanoseconds = u128::from(bytes.get()) * 1_000_000_000 / u128::from(self.0);
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }

    /// The rate at which so much is written in this time.
    pub fn of(bytes: Bytes, time: Duration) -> Self {
        let each_second = u128::from(bytes.get()) * 1_000_000_000 / time.as_nanos().max(1);
        Self(u64::try_from(each_second).unwrap_or(u64::MAX))
    }

    /// This part of it.
    pub(super) fn times(self, part: f64) -> Self {
        // A rate loses digits here that it never had.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        Self((self.0 as f64 * part) as u64)
    }

    /// What is left of a rate that nobody keeps up: half of it after each [`HALF_LIFE`].
    fn after(self, time: Duration) -> Self {
        self.times(0.5_f64.powf(time.as_secs_f64() / HALF_LIFE.as_secs_f64()))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", Bytes(self.0))
    }
}

/// How fast a burst is forgotten: writers pause between two of them.
const HALF_LIFE: Duration = Duration::from_secs(1);

/// Rates below are no rates: a store would take longer than anybody waits.
const LEAST: Rate = Rate(64);

/// What a look has shown of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// When, on a clock that only goes on.
    pub at: Duration,
    /// In use, exception areas and header included.
    pub used: Bytes,
    /// All of it.
    pub total: Bytes,
}

impl Sample {
    /// What is left.
    pub fn room(&self) -> Bytes {
        self.total.checked_sub(self.used).unwrap_or(Bytes::ZERO)
    }
}

/// A store that is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gauge {
    last: Sample,
    /// As of the last look.
    rate: Rate,
}

impl Gauge {
    /// A store that was looked at once.
    pub fn new(first: Sample) -> Self {
        Self { last: first, rate: Rate::default() }
    }

    /// Takes in another look.
    pub fn note(&mut self, sample: Sample) {
        let time = sample.at.saturating_sub(self.last.at);
        // A merge empties a store.
        let filled = sample.used.checked_sub(self.last.used).unwrap_or(Bytes::ZERO);
        if !time.is_zero() {
            self.rate = Rate::of(filled, time).max(self.rate.after(time));
        }
        self.last = sample;
    }

    /// What the last look has shown.
    pub fn last(&self) -> &Sample {
        &self.last
    }

    /// The store is larger now; how full it is stays to be seen.
    pub fn grown(&mut self, total: Bytes) {
        self.last.total = self.last.total.max(total);
    }

    /// How fast it fills: the fastest of late, fading.
    pub fn rate(&self, now: Duration) -> Rate {
        let rate = self.rate.after(now.saturating_sub(self.last.at));
        if rate < LEAST { Rate::default() } else { rate }
    }

    /// Until it is full, if it goes on so.
    pub fn until_full(&self, now: Duration) -> Option<Duration> {
        let rate = self.rate(now);
        (rate > Rate::default()).then(|| rate.time_for(self.last.room()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(ms: u64, used: u64) -> Sample {
        Sample { at: Duration::from_millis(ms), used: Bytes::mib(used), total: Bytes::mib(64) }
    }

    #[test]
    fn a_rate_is_what_the_last_looks_say_and_fades_when_nothing_more_comes() {
        let mut gauge = Gauge::new(sample(0, 1));
        assert_eq!(gauge.until_full(Duration::ZERO), None);
        gauge.note(sample(500, 9));
        let at = Duration::from_millis;
        assert_eq!(gauge.rate(at(500)), Rate(16 << 20));
        assert_eq!(gauge.until_full(at(500)), Some(Rate(16 << 20).time_for(Bytes::mib(55))));
        assert_eq!(gauge.rate(at(1500)), Rate(8 << 20));
        gauge.note(sample(1500, 9));
        assert_eq!(gauge.rate(at(1500)), Rate(8 << 20));
        gauge.note(sample(1600, 10));
        assert_eq!(gauge.rate(at(1600)), Rate(10 << 20), "a faster look outweighs what fades");
        assert_eq!(gauge.until_full(at(60_000)), None);
    }

    #[test]
    fn a_store_that_a_merge_empties_has_no_rate() {
        let mut gauge = Gauge::new(sample(0, 60));
        gauge.note(sample(100, 10));
        assert_eq!(gauge.rate(Duration::from_millis(100)), Rate::default());
        assert_eq!(gauge.last().room(), Bytes::mib(54));
    }

    #[test]
    fn rates_do_not_overflow() {
        assert_eq!(Rate(u64::MAX).over(Duration::from_secs(9)), Bytes(u64::MAX));
        assert_eq!(Rate(0).time_for(Bytes(1)), Duration::MAX);
        assert_eq!(Rate::of(Bytes(7), Duration::ZERO), Rate(7_000_000_000));
        assert_eq!(Rate(1500).to_string(), "1.46 KiB/s");
    }
}
