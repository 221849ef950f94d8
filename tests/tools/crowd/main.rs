//! Snapshots of many volumes, one after the other and at once, by one process that shares one engine, as the agent does.
//!
//! ```text
//! crowd [--mounted] [--strict] LETTER COUNT VG...     so many in each of these groups
//! ```
//!
//! Makes the volumes, named by that letter, then the snapshots in each way, which it removes again. A line for each: how long it took,
//! commits for each snapshot, how long a volume's I/O waited in the middle and at most, and how many times the throughput of the first
//! line that is. With `--mounted` each volume has a file system with somebody who writes to it, and the line ends with the longest that one of
//! these writes took. With `--strict` it fails if what is done at once is not worth it.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use dmsnap::block::sysfs::SysDevices;
use dmsnap::dm::control::Control;
use dmsnap::dm::nodes::Nodes;
use dmsnap::engine::snapshot::NewSnapshots;
use dmsnap::engine::volume::NewVolume;
use dmsnap::engine::{Engine, Host, Mode, World};
use dmsnap::lvm::{Locks, LvName, Settings, VgName};
use dmsnap::units::{Bytes, ChunkSize, Size};

mod busy;

use busy::Writers;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// It waits for its turn.
const MODE: Mode = Mode { dry_run: false, no_wait: false };

/// What is done at once has so many times the throughput at least, so many commits a snapshot at most, and freezes no volume so many times
/// longer than alone.
const LIMITS: (f64, f64, u32) = (10.0, 0.1, 2);

fn main() -> Outcome<()> {
    let (options, words): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|word| word.starts_with("--"));
    let is_asked = |option: &str| options.iter().any(|word| word == option);
    let (is_mounted, is_strict) = (is_asked("--mounted"), is_asked("--strict"));
    let [letter, count, vgs @ ..] = words.as_slice() else {
        return Err("see the beginning of tests/tools/crowd/main.rs".into());
    };
    let vgs = vgs.iter().map(|vg| vg.parse()).collect::<Result<Vec<VgName>, _>>()?;
    let crowd = Crowd { engine: engine(), letter: letter.clone(), count: count.parse()?, vgs, is_mounted };
    crowd.each(&crowd.everything(1), |vg, number| crowd.volume(vg, number))?;
    let one = crowd.measure("one at a time", None, &[crowd.everything(1).concat()])?;
    if crowd.vgs.len() > 1 {
        crowd.measure("one at a time in each group", Some(&one), &crowd.everything(crowd.count))?;
    }
    let all = crowd.measure("all at once", Some(&one), &crowd.everything(1))?;
    if is_strict { all.check(&one) } else { Ok(()) }
}

/// What making every snapshot in one way came to.
struct Measured {
    elapsed: Duration,
    /// For each snapshot.
    commits: f64,
    longest_freeze: Duration,
}

impl Measured {
    fn throughput(&self, one: &Self) -> f64 {
        one.elapsed.as_secs_f64() / self.elapsed.as_secs_f64()
    }

    /// An error if it is beyond the limits.
    fn check(&self, one: &Self) -> Outcome<()> {
        let (throughput, commits, freeze) = LIMITS;
        let checks = [
            (self.throughput(one) >= throughput, format!("less than {throughput} times the throughput")),
            (self.commits <= commits, format!("more than {commits} commits a snapshot")),
            (
                self.longest_freeze <= one.longest_freeze * freeze,
                format!("a volume is frozen for {:?}, alone {:?}", self.longest_freeze, one.longest_freeze),
            ),
        ];
        let broken: Vec<_> = checks.into_iter().filter(|(holds, _)| !holds).map(|(_, words)| words).collect();
        if broken.is_empty() { Ok(()) } else { Err(broken.join("; ").into()) }
    }
}

fn engine() -> Engine {
    Engine::new(World {
        kernel: Arc::new(Control::new(Nodes::default())),
        devices: Arc::new(SysDevices::default()),
        locks: Locks::new("/run/lock/lvm"),
        clock: SystemTime::now,
        random: |buffer| getrandom(buffer).expect("Linux has had it since 3.17"),
        host: Host { name: "guest".into(), system: "Linux guest".into() },
        owner: dmsnap::lvm::Host::default(),
        lvm2: Settings::of_nothing(Path::new("")),
    })
}

fn getrandom(buffer: &mut [u8]) -> std::io::Result<()> {
    use std::io::Read;
    std::fs::File::open("/dev/urandom")?.read_exact(buffer)
}

/// A volume of a group.
type Place<'c> = (&'c VgName, usize);

struct Crowd {
    engine: Engine,
    letter: String,
    count: usize,
    vgs: Vec<VgName>,
    is_mounted: bool,
}

impl Crowd {
    /// Every volume, so many for each thread.
    fn everything(&self, for_each: usize) -> Vec<Vec<Place<'_>>> {
        let places = self.vgs.iter().flat_map(|vg| (0..self.count).map(move |number| (vg, number)));
        places.collect::<Vec<_>>().chunks(for_each).map(<[_]>::to_vec).collect()
    }

    /// Does it to all, a thread for each list.
    fn each<T: Send>(
        &self,
        lists: &[Vec<Place<'_>>],
        act: impl Fn(&VgName, usize) -> Outcome<T> + Sync,
    ) -> Outcome<Vec<T>> {
        let all = |list: &[Place<'_>]| list.iter().map(|(vg, number)| act(vg, *number)).collect();
        let done: Vec<Outcome<Vec<T>>> = thread::scope(|scope| {
            let threads: Vec<_> = lists.iter().map(|list| scope.spawn(|| all(list))).collect();
            let join = |thread: thread::ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|_| Err("a thread has panicked".into()))
            };
            threads.into_iter().map(join).collect()
        });
        Ok(done.into_iter().collect::<Outcome<Vec<_>>>()?.into_iter().flatten().collect())
    }

    fn name(&self, suffix: &str, number: usize) -> Outcome<LvName> {
        Ok(format!("{}{suffix}{number}", self.letter).parse()?)
    }

    fn volume(&self, vg: &VgName, number: usize) -> Outcome<()> {
        let new = NewVolume {
            vg: vg.clone(),
            name: self.name("", number)?,
            // So large that a file system has a journal.
            size: Size::Absolute(Bytes::mib(if self.is_mounted { 4 } else { 2 })),
            stripes: 1,
            stripe_size: None,
            on: Vec::new(),
            tags: Vec::new(),
            policy: None,
        };
        self.engine.create_volume(&new, MODE)?;
        if self.is_mounted { busy::mount(vg, &self.name("", number)?) } else { Ok(()) }
    }

    /// The time that the volume's I/O waited.
    fn snapshot(&self, vg: &VgName, number: usize) -> Outcome<Duration> {
        let new = NewSnapshots {
            vg: vg.clone(),
            cuts: vec![(self.name("", number)?, self.name("s", number)?)],
            size: None,
            chunk: ChunkSize::DEFAULT,
            read_only: false,
            tags: Vec::new(),
            on: Vec::new(),
        };
        let report = self.engine.create_snapshots(&new, MODE)?;
        Ok(report.frozen.unwrap_or_default())
    }

    fn seqnos(&self) -> Outcome<u64> {
        let groups = self.engine.vgs(None)?;
        Ok(groups.iter().map(|vg| vg.seqno).sum())
    }

    /// Makes every snapshot, and removes it; the time that making them took.
    fn measure(&self, what: &str, first: Option<&Measured>, lists: &[Vec<Place<'_>>]) -> Outcome<Measured> {
        let writers = if self.is_mounted { Some(self.writers()?) } else { None };
        let (before, began) = (self.seqnos()?, Instant::now());
        let mut frozen = self.each(lists, |vg, number| self.snapshot(vg, number))?;
        let elapsed = began.elapsed();
        let stall = writers.map(Writers::end).transpose()?;
        frozen.sort();
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        let middle = frozen.get(frozen.len() / 2).copied().unwrap_or_default();
        let longest_freeze = frozen.last().copied().unwrap_or_default();
        let snapshots = f64::from(u32::try_from(frozen.len())?);
        let commits = f64::from(u32::try_from(self.seqnos()? - before)?) / snapshots;
        let measured = Measured { elapsed, commits, longest_freeze };
        println!(
            "{snapshots:>4} snapshots, {} groups, {what:<27} {:>7} ms {commits:>6.3} commits each, \
             frozen {:>5.2} ms, at most {:>6.2} ms {:>6.1}x{}",
            self.vgs.len(),
            elapsed.as_millis(),
            milliseconds(middle),
            milliseconds(longest_freeze),
            measured.throughput(first.unwrap_or(&measured)),
            stall.map_or_else(String::new, |stall| format!(", a write {:>6.1} ms", milliseconds(stall))),
        );
        self.each(&self.everything(1), |vg, number| {
            Ok(self.engine.remove_snapshots(vg, &[self.name("s", number)?], MODE).map(drop)?)
        })?;
        Ok(measured)
    }

    fn writers(&self) -> Outcome<Writers> {
        let volumes = self.everything(1).concat().into_iter();
        let paths = volumes.map(|(vg, number)| Ok(busy::mount_point(vg, &self.name("", number)?)));
        Writers::begin(&paths.collect::<Outcome<Vec<_>>>()?)
    }
}
