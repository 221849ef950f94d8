//! Snapshots of many volumes, one after the other and at once, by one process that shares one engine, as the agent does.
//!
//! ```text
//! crowd LETTER COUNT VG...     so many in each of these groups
//! ```
//!
//! Makes the volumes, named by that letter, then the snapshots in each way, which it removes again. A line for each: how long it took,
//! commits for each snapshot, how long a volume's I/O waited in the middle and at most, and how many times the throughput of the first
//! line that is.

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

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// It waits for its turn.
const MODE: Mode = Mode { dry_run: false, no_wait: false };

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [letter, count, vgs @ ..] = words.as_slice() else {
        return Err("see the beginning of tests/tools/crowd/main.rs".into());
    };
    let vgs = vgs.iter().map(|vg| vg.parse()).collect::<Result<Vec<VgName>, _>>()?;
    let crowd = Crowd { engine: engine(), letter: letter.clone(), count: count.parse()?, vgs };
    crowd.each(&crowd.everything(1), |vg, number| crowd.volume(vg, number))?;
    let one = crowd.measure("one at a time", None, &[crowd.everything(1).concat()])?;
    if crowd.vgs.len() > 1 {
        crowd.measure("one at a time in each group", Some(one), &crowd.everything(crowd.count))?;
    }
    crowd.measure("all at once", Some(one), &crowd.everything(1))?;
    Ok(())
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
            size: Size::Absolute(Bytes::mib(2)),
            stripes: 1,
            stripe_size: None,
            on: Vec::new(),
            tags: Vec::new(),
            policy: None,
        };
        self.engine.create_volume(&new, MODE)?;
        Ok(())
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
    fn measure(&self, what: &str, first: Option<Duration>, lists: &[Vec<Place<'_>>]) -> Outcome<Duration> {
        let (before, began) = (self.seqnos()?, Instant::now());
        let mut frozen = self.each(lists, |vg, number| self.snapshot(vg, number))?;
        let elapsed = began.elapsed();
        frozen.sort();
        let middle = frozen.get(frozen.len() / 2).copied().unwrap_or_default();
        let longest = frozen.last().copied().unwrap_or_default();
        let snapshots = f64::from(u32::try_from(frozen.len())?);
        let commits = f64::from(u32::try_from(self.seqnos()? - before)?) / snapshots;
        let throughput = first.unwrap_or(elapsed).as_secs_f64() / elapsed.as_secs_f64();
        println!(
            "{snapshots:>4} snapshots, {} groups, {what:<27} {:>7} ms {commits:>6.3} commits each, \
             frozen {:>5.2} ms, at most {:>6.2} ms {throughput:>6.1}x",
            self.vgs.len(),
            elapsed.as_millis(),
            middle.as_secs_f64() * 1e3,
            longest.as_secs_f64() * 1e3,
        );
        self.each(&self.everything(1), |vg, number| {
            Ok(self.engine.remove_snapshots(vg, &[self.name("s", number)?], MODE).map(drop)?)
        })?;
        Ok(elapsed)
    }
}
