use proptest::prelude::*;

use super::*;

const GIB: Rate = Rate(1 << 30);

/// An extension takes so many milliseconds.
fn pace(extension: u64) -> Pace {
    Pace { extension: Duration::from_millis(extension), ..Pace::new(GIB) }
}

fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A store of so many MiB, of which so many are used, that filled by so many in the last 100 ms.
fn gauge(total: u64, used: u64, filled: u64) -> Gauge {
    let sample = |ms, used| Sample { at: at(ms), used: Bytes::mib(used), total: Bytes::mib(total) };
    let mut gauge = Gauge::new(sample(0, used - filled));
    gauge.note(sample(100, used));
    gauge
}

fn store(gauge: &Gauge, in_flight: u64) -> Store<'_> {
    Store { gauge, covering: Bytes::gib(100), in_flight: Bytes::mib(in_flight) }
}

#[test]
fn stores_grow_when_their_room_does_not_outlast_an_extension_at_their_rate() {
    // Total, used, filled in 100 ms, in flight; the size that is wanted. At rest the reserve is 70 MiB: 2 × 35 ms of 1 GiB/s.
    let cases = [
        (128, 0, 0, 0, None),
        (128, 50, 0, 0, None),
        (128, 60, 0, 0, Some(190..=210)),
        (16, 1, 0, 0, Some(130..=150)),
        (128, 50, 0, 8, Some(190..=210)),
        (256, 50, 0, 128, None),
        (64, 0, 0, 128, Some(260..=280)),
        (1024, 500, 50, 0, None),
        (1024, 1000, 1, 0, Some(1130..=1150)),
        (64, 50, 50, 0, Some(610..=640)),
        (4096, 4070, 100, 0, Some(5130..=5150)),
    ];
    for (total, used, filled, in_flight, size) in cases {
        let gauge = gauge(total, used, filled);
        let wanted = store(&gauge, in_flight).wanted(&pace(10)).map(|size| size.get() >> 20);
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
    let wanted = |gauge: &Gauge| Store { covering: Bytes::mib(64), ..store(gauge, 8) }.wanted(&pace(10));
    assert_eq!(wanted(&gauge(64, 64, 30)), None);
    assert_eq!(wanted(&gauge(60, 60, 30)), Some(Bytes::mib(64)));
}

#[test]
fn a_tick_is_as_long_as_the_least_room_allows_and_longer_at_rest() {
    let ms = |room, is_quiet| tick(Bytes::mib(room), is_quiet, &pace(10)).as_millis();
    let rooms = [0, 1, 64, 1024, 1 << 20];
    assert_eq!(rooms.map(|room| ms(room, false)), [1, 1, 7, 125, 1000]);
    assert_eq!(rooms.map(|room| ms(room, true)), [25, 25, 25, 490, 10_000]);
}

#[test]
fn what_is_slow_or_fast_is_remembered_and_forgotten_with_time() {
    let mut pace = Pace::new(GIB);
    pace.took(at(100), at(0));
    pace.took(at(5), at(0));
    pace.wrote(Rate(1), at(0));
    pace.wrote(Rate(4 << 30), at(0));
    assert_eq!((pace.extension, pace.fastest), (at(100), Rate(4 << 30)));
    pace.woke(at(1), at(60_000));
    assert_eq!((pace.extension, pace.fastest), (at(50), Rate(2 << 30)));
    pace.woke(Duration::ZERO, at(3_600_000));
    assert_eq!((pace.extension, pace.fastest), (EXTENSION, GIB));
    assert!(pace.late < at(1));
}

#[test]
fn one_slow_extension_does_not_make_stores_at_rest_large() {
    let mut pace = Pace::new(GIB);
    pace.took(Duration::from_secs(20), at(0));
    let gauge = gauge(64, 1, 0);
    let wanted = store(&gauge, 16).wanted(&pace).unwrap();
    assert!(wanted < Bytes::mib(600), "{wanted}");
}

#[test]
fn stores_at_rest_leave_most_of_the_free_space_to_those_that_fill() {
    let free = Bytes::gib(2);
    let (mut left, mut pace) = (free, pace(10));
    let mut gauges = vec![gauge(16, 1, 0); 20];
    for _ in 0..10 {
        pace.shares(left, gauges.len());
        for gauge in &mut gauges {
            if let Some(size) = store(gauge, 128).wanted(&pace) {
                left = left - (size - gauge.last().total);
                gauge.grown(size);
            }
        }
    }
    assert!(left > Bytes(free.get() / 2), "{left} of {free}");
    // One that fills takes all the same what it needs.
    let full = gauge(64, 60, 50);
    assert!(store(&full, 128).wanted(&pace).unwrap() > Bytes::mib(600));
}

/// A store, its monitor and a writer, millisecond by millisecond.
struct World {
    pace: Pace,
    covering: Bytes,
    used: Bytes,
    total: Bytes,
    /// What the kernel may be copying at once: in use, and not written yet.
    in_flight: Bytes,
    /// What the disks have counted.
    written: Bytes,
    before: Option<Bytes>,
    gauge: Gauge,
    seen: Bytes,
    /// When the counters are read next, or the store's new size is in force.
    next: u64,
    growing: Option<Bytes>,
    turns: u32,
    looks: u32,
}

impl World {
    fn new(total: Bytes, covering: Bytes, in_flight: Bytes, pace: Pace) -> Self {
        let gauge = Gauge::new(Sample { at: Duration::ZERO, used: Bytes::ZERO, total });
        let (used, written, seen) = (Bytes::ZERO, Bytes::ZERO, Bytes::ZERO);
        let (next, growing, before, turns, looks) = (0, None, None, 0, 0);
        Self {
            pace,
            covering,
            used,
            total,
            in_flight,
            written,
            before,
            gauge,
            seen,
            next,
            growing,
            turns,
            looks,
        }
    }

    /// The monitor's turn at this millisecond, if it has one. `takes` is what its next extension takes.
    fn monitor(&mut self, now: u64, takes: Duration) {
        if now < self.next {
            return;
        }
        self.turns += 1;
        if let Some(total) = self.growing.take() {
            self.total = total;
            self.gauge.grown(total);
        }
        let is_quiet = self.before.replace(self.written) == Some(self.written);
        let unseen = self.written - self.seen;
        if !unseen.is_zero() && unseen >= self.store().unseen() {
            self.looks += 1;
            self.seen = self.written;
            self.gauge.note(Sample { at: at(now), used: self.used, total: self.total });
        }
        self.growing = self.store().wanted(&self.pace);
        let next = match self.growing {
            Some(_) => takes,
            None => tick(self.store().sure(), is_quiet, &self.pace),
        };
        self.next = now + u64::try_from(next.as_millis()).unwrap().max(1);
    }

    fn store(&self) -> Store<'_> {
        Store { gauge: &self.gauge, covering: self.covering, in_flight: self.in_flight }
    }

    /// The disks have written so much of what is asked of them without end; false if the store is full.
    fn write(&mut self, bytes: Bytes) -> bool {
        self.written += bytes;
        self.used = self.used.max(self.written + self.in_flight).min(self.covering);
        self.used <= self.total
    }

    /// Nothing more is asked: what is in flight is written.
    fn pause(&mut self, bytes: Bytes) {
        self.written = (self.written + bytes).min(self.used);
    }
}

proptest! {
    /// Whatever it does in between, whatever the extensions take of the time that they may, however much is in flight, and however small
    /// the store was when it was met.
    #[test]
    fn a_writer_no_faster_than_the_disk_never_fills_a_store_while_there_is_space(
        bursts in prop::collection::vec((0_u64..=100, 1_u64..400), 1..20),
        takes in prop::collection::vec(0_u64..=100, 8),
        longest in 10_u64..100,
        store in 1_u64..200,
        in_flight in 0_u64..1024,
    ) {
        let pace = pace(longest);
        let mut world = World::new(Bytes::mib(store), Bytes::gib(200), Bytes::mib(in_flight), pace);
        // It has met the store before the writer comes.
        let mut now = 0;
        while now < 2 * longest + 10 {
            world.monitor(now, at(longest));
            now += 1;
        }
        let mut takes = takes.iter().cycle().map(|percent| at(longest * percent / 100));
        for (percent, milliseconds) in bursts {
            for _ in 0..milliseconds {
                let wrote = Bytes(GIB.over(at(1)).get() * percent / 100);
                if percent < 10 {
                    world.pause(wrote);
                } else {
                    prop_assert!(world.write(wrote), "full at {now} ms");
                }
                world.monitor(now, takes.next().unwrap());
                now += 1;
            }
        }
    }

    /// A store is not looked at while nothing is written, however long, and the counters seldom.
    #[test]
    fn a_store_at_rest_costs_no_looks_and_few_turns(store in 1_u64..1000) {
        let mut world = World::new(Bytes::mib(store), Bytes::gib(200), Bytes::mib(16), pace(10));
        (0..50).for_each(|now| world.monitor(now, at(10)));
        let (looks, turns) = (world.looks, world.turns);
        (50..10_050).for_each(|now| world.monitor(now, at(10)));
        prop_assert_eq!(world.looks, looks);
        prop_assert!(world.turns - turns <= 400, "{} turns in 10 s", world.turns - turns);
    }
}
