use proptest::prelude::*;

use super::*;

const GIB: Rate = Rate(1 << 30);

fn pace(extension: u64) -> Pace {
    Pace { fastest: GIB, extension: Duration::from_millis(extension) }
}

/// A store of so many MiB, of which so many are used, that filled by so many in the last 100 ms.
fn gauge(total: u64, used: u64, filled: u64) -> Gauge {
    let sample =
        |ms, used| Sample { at: Duration::from_millis(ms), used: Bytes::mib(used), total: Bytes::mib(total) };
    let mut gauge = Gauge::new(sample(0, used - filled));
    gauge.note(sample(100, used));
    gauge
}

#[test]
fn stores_grow_when_their_room_does_not_outlast_an_extension_at_their_rate() {
    let covering = Bytes::gib(100);
    // Total, used, filled in 100 ms; the size that is wanted. At rest the reserve is 28 MiB: 2 × 14 ms of 1 GiB/s.
    let cases = [
        (64, 0, 0, None),
        (64, 35, 0, None),
        (64, 40, 0, Some(40..=100)),
        (16, 1, 0, Some(50..=60)),
        (1024, 500, 50, None),
        (1024, 1000, 1, Some(1050..=1060)),
        (64, 50, 50, Some(570..=600)),
        (4096, 4070, 100, Some(5100..=5130)),
    ];
    for (total, used, filled, size) in cases {
        let wanted = wanted(&gauge(total, used, filled), covering, &pace(10)).map(|size| size.get() >> 20);
        let is_right = match (&size, wanted) {
            (Some(range), Some(wanted)) => range.contains(&wanted),
            (None, None) => true,
            _ => false,
        };
        assert!(is_right, "{total} MiB, {used} used, {filled} in 100 ms: {wanted:?} and not {size:?}");
    }
}

#[test]
fn a_store_that_can_hold_everything_is_large_enough_and_none_becomes_larger() {
    assert_eq!(wanted(&gauge(64, 64, 30), Bytes::mib(64), &pace(10)), None);
    assert_eq!(wanted(&gauge(60, 60, 30), Bytes::mib(64), &pace(10)), Some(Bytes::mib(64)));
}

#[test]
fn a_tick_is_as_long_as_the_least_room_allows() {
    let ms = |room| tick(Bytes::mib(room), &pace(10)).as_millis();
    assert_eq!((ms(0), ms(1), ms(64), ms(1024), ms(1 << 20)), (1, 1, 7, 125, 1000));
}

#[test]
fn what_is_slow_or_fast_is_remembered() {
    let mut pace = pace(10);
    pace.took(Duration::from_millis(100));
    pace.took(Duration::from_millis(5));
    assert_eq!(pace.extension, Duration::from_millis(90));
    pace.wrote(Rate(1));
    pace.wrote(Rate(2 << 30));
    assert_eq!(pace.fastest, Rate(2 << 30));
}

/// A store, its monitor and a writer, millisecond by millisecond.
struct World {
    pace: Pace,
    covering: Bytes,
    used: Bytes,
    total: Bytes,
    written: Bytes,
    gauge: Gauge,
    seen: Bytes,
    /// When the counters are read next, or the store's new size is in force.
    next: u64,
    growing: Option<Bytes>,
    looks: u32,
}

impl World {
    fn new(total: Bytes, covering: Bytes, pace: Pace) -> Self {
        let gauge = Gauge::new(Sample { at: Duration::ZERO, used: Bytes::ZERO, total });
        let (used, written, seen) = (Bytes::ZERO, Bytes::ZERO, Bytes::ZERO);
        Self { pace, covering, used, total, written, gauge, seen, next: 0, growing: None, looks: 0 }
    }

    /// The monitor's turn at this millisecond, if it has one. `takes` is what its next extension takes.
    fn monitor(&mut self, now: u64, takes: Duration) {
        if now < self.next {
            return;
        }
        if let Some(total) = self.growing.take() {
            self.total = total;
            self.gauge.grown(total);
        }
        if self.written - self.seen >= unseen(self.gauge.last().room()) {
            self.looks += 1;
            self.seen = self.written;
            self.gauge.note(Sample { at: Duration::from_millis(now), used: self.used, total: self.total });
        }
        self.growing = wanted(&self.gauge, self.covering, &self.pace);
        let next = match self.growing {
            Some(_) => takes,
            None => tick(self.gauge.last().room(), &self.pace),
        };
        self.next = now + u64::try_from(next.as_millis()).unwrap().max(1);
    }

    /// False if the store is full.
    fn write(&mut self, bytes: Bytes) -> bool {
        self.written += bytes;
        self.used = Bytes(self.used.get() + bytes.get()).min(self.covering);
        self.used <= self.total
    }
}

proptest! {
    /// Whatever it does in between, whatever the extensions take of the time that they may, and however small the store was when it
    /// was met.
    #[test]
    fn a_writer_no_faster_than_the_disk_never_fills_a_store_while_there_is_space(
        bursts in prop::collection::vec((0_u64..=100, 1_u64..400), 1..20),
        takes in prop::collection::vec(0_u64..=100, 8),
        longest in 1_u64..200,
        store in 1_u64..200,
    ) {
        let pace = pace(longest);
        let mut world = World::new(Bytes::mib(store), Bytes::gib(200), pace);
        // It has met the store before the writer comes.
        let mut now = 0;
        while now < 2 * longest + 10 {
            world.monitor(now, Duration::from_millis(longest));
            now += 1;
        }
        let mut takes = takes.iter().cycle().map(|percent| Duration::from_millis(longest * percent / 100));
        for (percent, milliseconds) in bursts {
            for _ in 0..milliseconds {
                let wrote = GIB.over(Duration::from_millis(1)).get() * percent / 100;
                prop_assert!(world.write(Bytes(wrote)), "full at {now} ms");
                world.monitor(now, takes.next().unwrap());
                now += 1;
            }
        }
    }

    /// A store is not looked at while nothing is written, however long.
    #[test]
    fn a_store_at_rest_costs_no_looks(store in 1_u64..1000) {
        let mut world = World::new(Bytes::mib(store), Bytes::gib(200), pace(10));
        (0..50).for_each(|now| world.monitor(now, Duration::from_millis(10)));
        let looks = world.looks;
        (50..5000).for_each(|now| world.monitor(now, Duration::from_millis(10)));
        prop_assert_eq!(world.looks, looks);
    }
}
