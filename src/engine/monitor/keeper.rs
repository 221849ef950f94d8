//! The keeper of one volume group: looks at its stores when it is time, and makes those larger that need it, all in one commit.
//!
//! A turn is what it does between two waits. Time comes in as an argument, so that turns can be tried without waiting.

use std::collections::BTreeMap;
use std::time::Duration;

use super::AT_LEAST_EVERY;
use super::board::{Board, Figures};
use super::foresight::{Foresight, RENEWED};
use super::gauge::{Gauge, Rate, Sample};
use super::policy::{self, Pace};
use crate::block::Meter;
use crate::cow::size::covering;
use crate::dm::{DmUuid, Status};
use crate::engine::behind::Behind;
use crate::engine::list::GroupSeen;
use crate::engine::view::SnapshotView;
use crate::engine::{Engine, Mode, Report};
use crate::error::{Kind, Result};
use crate::lvm::{LvName, Uuid, VgName};
use crate::units::{Bytes, ChunkSize};

/// What an extension is taken for before one was seen.
const EXTENSION: Duration = Duration::from_millis(10);

/// The disks' speed is taken over no shorter time: their counters go up by whole requests.
const WINDOW: Duration = Duration::from_millis(200);

/// How long nothing is tried again that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Keeps the stores of one volume group from being full.
pub struct Keeper<'e> {
    engine: &'e Engine,
    vg: VgName,
    board: &'e Board,
    pace: Pace,
    /// The last turn has made a store larger.
    has_grown: bool,
    /// Of the disks that the group lies on; none if not all of them have one.
    meters: Option<Vec<Box<dyn Meter>>>,
    stores: Vec<Watched>,
    /// What was written to the disks, and when they said so, at the beginning of the window.
    window: Option<(Duration, Bytes)>,
    /// When everything was read the last time; nothing if it has to be.
    read: Option<Duration>,
    foretold: Option<Duration>,
    is_foretelling: bool,
    /// Nothing that failed is tried before.
    again: Duration,
    /// The kernel works on something behind.
    is_behind: bool,
    /// A store that nothing is known of could not be asked.
    is_unseen: bool,
}

/// A store that may be full one day.
struct Watched {
    name: LvName,
    uuid: String,
    /// Known by its uuid: a rename that was cut leaves it under its old name.
    device: DmUuid,
    covering: Bytes,
    gauge: Gauge,
    /// What had been written to the disks when it was looked at.
    seen: Bytes,
    is_short: bool,
}

impl<'e> Keeper<'e> {
    /// One that knows nothing of its group yet.
    pub fn new(engine: &'e Engine, vg: VgName, fastest: Rate, board: &'e Board) -> Self {
        Self {
            engine,
            vg,
            board,
            pace: Pace { fastest, extension: EXTENSION },
            has_grown: false,
            meters: None,
            stores: Vec::new(),
            window: None,
            read: None,
            foretold: None,
            is_foretelling: false,
            again: Duration::ZERO,
            is_behind: false,
            is_unseen: false,
        }
    }

    /// Something in the group may be new: the next turn reads it.
    pub fn hear(&mut self) {
        self.read = None;
        self.again = Duration::ZERO;
    }

    /// Does what is to be done now, and says how long nothing has to be; nothing if the group is gone.
    pub fn turn(&mut self, now: Duration) -> Result<Option<Duration>> {
        let is_due = self.read.is_none_or(|read| now.saturating_sub(read) >= self.reading_again());
        if is_due && !self.renew(now)? {
            self.board.forget(&self.vg);
            return Ok(None);
        }
        let written = self.written()?;
        self.measure(now, written);
        self.look(now, written)?;
        self.extend(now);
        self.foretell(now);
        let least = self.stores.iter().filter(|store| !store.is_short).map(|store| store.gauge.last().room());
        Ok(Some(least.min().map_or(policy::LONGEST, |room| policy::tick(room, &self.pace))))
    }

    /// The first turns, until every store has the room that it needs: how long growing takes here is not known before one has grown.
    pub fn begin(&mut self, clock: impl Fn() -> Duration) -> Result<Option<Duration>> {
        let mut turn = self.turn(clock());
        while self.has_grown && matches!(turn, Ok(Some(_))) {
            turn = self.turn(clock());
        }
        turn
    }

    /// Merges and fills move without telling, and so does a device that goes on.
    fn reading_again(&self) -> Duration {
        if self.is_behind || self.is_unseen { PAUSE } else { AT_LEAST_EVERY }
    }

    /// Reads the group; false if it is gone. What is known of its stores stays known.
    fn renew(&mut self, now: Duration) -> Result<bool> {
        let Some(group) = self.engine.group_seen(&self.vg)? else { return Ok(false) };
        self.read = Some(now);
        let devices = &self.engine.world.devices;
        self.meters = group
            .disks
            .iter()
            .map(|disk| devices.meter(*disk).transpose())
            .collect::<Option<Result<_>>>()
            .transpose()?;
        let written = self.written()?.unwrap_or(Bytes::ZERO);
        let mut known: BTreeMap<_, _> =
            std::mem::take(&mut self.stores).into_iter().map(|store| (store.uuid.clone(), store)).collect();
        self.is_unseen = false;
        for view in &group.snapshots {
            let before = known.remove(&view.uuid);
            if before.is_some() && view.invalid {
                tracing::error!("snapshot {}/{} is lost: its store was full", view.vg, view.name);
            }
            let device = device_of(group.id, view)?;
            let usage = usage(self.engine, &device)?;
            self.is_unseen |= matches!(usage, Seen::Suspended) && before.is_none();
            self.stores.extend(watched(view, device, &usage, before, now, written)?);
        }
        self.window = None;
        self.publish_all(&group);
        self.end_behind(Behind::of(&group.snapshots, &group.filling), now);
        Ok(true)
    }

    /// What was written to the disks so far; nothing if nobody counts.
    fn written(&self) -> Result<Option<Bytes>> {
        let Some(meters) = &self.meters else { return Ok(None) };
        let mut all = Bytes::ZERO;
        for meter in meters {
            all = Bytes(all.get().wrapping_add(meter.written()?.get()));
        }
        Ok(Some(all))
    }

    /// Learns how fast the disks are.
    fn measure(&mut self, now: Duration, written: Option<Bytes>) {
        let Some(written) = written else { return };
        let (from, before) = *self.window.get_or_insert((now, written));
        let time = now.saturating_sub(from);
        if time >= WINDOW {
            self.pace.wrote(Rate::of(since(before, written), time));
            self.window = Some((now, written));
        }
    }

    /// Looks at the stores of which too much may have gone unseen.
    fn look(&mut self, now: Duration, written: Option<Bytes>) -> Result<()> {
        let mut is_news = false;
        for store in &mut self.stores {
            let is_due = match written {
                Some(written) => {
                    let unseen = since(store.seen, written);
                    !unseen.is_zero() && unseen >= policy::unseen(store.gauge.last().room())
                }
                None => true,
            };
            if !is_due {
                continue;
            }
            match usage(self.engine, &store.device)? {
                Seen::Usage(used, total) => {
                    store.gauge.note(Sample { at: now, used, total });
                    store.seen = written.unwrap_or(Bytes::ZERO);
                    let gauge = store.gauge.clone();
                    self.board.note(&self.vg, |group| {
                        if let Some(figures) = group.snapshots.get_mut(&store.uuid) {
                            figures.gauge = Some(gauge);
                        }
                    });
                }
                // Its status would wait for whoever has suspended it.
                Seen::Suspended => {}
                Seen::Changed => is_news = true,
            }
        }
        if is_news {
            self.read = None;
        }
        Ok(())
    }

    /// Makes those stores larger that need it, the most urgent first.
    fn extend(&mut self, now: Duration) {
        let needs = |store: &Watched| {
            let size = policy::wanted(&store.gauge, store.covering, &self.pace)?;
            (!store.is_short || now >= self.again)
                .then(|| (store.gauge.until_full(now), store.name.clone(), size))
        };
        let mut wanted: Vec<_> = self.stores.iter().filter_map(needs).collect();
        self.has_grown = false;
        if wanted.is_empty() {
            return;
        }
        wanted.sort_by_key(|(left, ..)| left.unwrap_or(Duration::MAX));
        let wanted: Vec<_> = wanted.into_iter().map(|(_, name, size)| (name, size)).collect();
        let report = self.engine.widen_stores(&self.vg, &wanted, Mode::default());
        let (sizes, elapsed) = match &report {
            Ok(report) => (report.objects.as_slice(), Some(report.elapsed)),
            Err(_) => (&[][..], None),
        };
        let (mut grown, mut short) = (0, Vec::new());
        for (name, size) in &wanted {
            let now_has =
                sizes.iter().find(|view| view.name == name.as_str()).map(|view| view.cow_size_bytes);
            let Some(store) = self.stores.iter_mut().find(|store| store.name == *name) else { continue };
            grown += u64::from(now_has.is_some_and(|has| has > store.gauge.last().total));
            store.gauge.grown(now_has.unwrap_or(Bytes::ZERO));
            let was_short = std::mem::replace(&mut store.is_short, now_has.is_none_or(|has| has < *size));
            if store.is_short && !was_short {
                short.push((store.name.clone(), store.gauge.until_full(now)));
            }
        }
        if let Some(elapsed) = elapsed {
            self.pace.took(elapsed);
            tracing::info!(vg = %self.vg, grown, ?elapsed, "stores were made larger");
        }
        if self.stores.iter().any(|store| store.is_short) {
            self.again = now + PAUSE;
        }
        self.has_grown = grown > 0;
        complain(&self.vg, &short, &report);
        self.publish(grown, elapsed);
        if report.is_err_and(|error| error.kind() != Kind::NoSpace) {
            self.read = None;
        }
    }

    /// Ends what the kernel is through with, and comes back while it is not.
    fn end_behind(&mut self, behind: Behind, now: Duration) {
        self.is_behind = behind.goes_on;
        if !behind.is_done || now < self.again {
            return;
        }
        match self.engine.end_behind(&self.vg, Mode::default()) {
            Ok(_) => self.read = None,
            Err(error) => tracing::error!("{error}"),
        }
        self.again = now + PAUSE;
    }

    /// Leaves word of what will be full when.
    fn foretell(&mut self, now: Duration) {
        let Some(directory) = &self.engine.foresight else { return };
        if self.foretold.is_some_and(|when| now.saturating_sub(when) < RENEWED) {
            return;
        }
        let left = |store: &Watched| Some((store.uuid.clone(), store.gauge.until_full(now)?.as_secs()));
        let foresight = Foresight::new(self.engine.seconds(), self.stores.iter().filter_map(left));
        if foresight.is_empty() && !self.is_foretelling {
            return;
        }
        (self.foretold, self.is_foretelling) = (Some(now), !foresight.is_empty());
        if let Err(error) = foresight.write(directory, self.vg.as_str()) {
            tracing::warn!("{error}");
        }
    }

    fn publish_all(&self, group: &GroupSeen) {
        let figures = |view: &SnapshotView| {
            let store = self.stores.iter().find(|store| store.uuid == view.uuid);
            let gauge = store.map(|store| store.gauge.clone());
            let is_short = store.is_some_and(|store| store.is_short);
            (view.uuid.clone(), Figures { view: view.clone(), gauge, is_short })
        };
        let snapshots = group.snapshots.iter().map(figures).collect();
        self.board.note(&self.vg, |known| {
            (known.size, known.free, known.snapshots) = (group.size, group.free, snapshots);
            known.filling.clone_from(&group.filling);
        });
    }

    /// After an extension.
    fn publish(&self, grown: u64, elapsed: Option<Duration>) {
        self.board.note(&self.vg, |known| {
            known.extensions += grown;
            known.extension = elapsed.or(known.extension);
            for store in &self.stores {
                if let Some(figures) = known.snapshots.get_mut(&store.uuid) {
                    known.failures += u64::from(store.is_short && !figures.is_short);
                    figures.is_short = store.is_short;
                    figures.gauge = Some(store.gauge.clone());
                }
            }
        });
    }
}

/// The device by which a snapshot is used.
fn device_of(vg: Uuid, view: &SnapshotView) -> Result<DmUuid> {
    let lv: Uuid = view.uuid.parse()?;
    DmUuid::for_volume(vg.compact(), lv.compact(), None)
}

/// A store that can be full, with what was known of it; nothing of one that cannot be, or of which the kernel tells nothing. It is as large
/// as the kernel says: the metadata is ahead of that where somebody died while the store grew.
fn watched(
    view: &SnapshotView,
    device: DmUuid,
    usage: &Seen,
    before: Option<Watched>,
    at: Duration,
    seen: Bytes,
) -> Result<Option<Watched>> {
    let sample = match usage {
        Seen::Usage(used, total) if !view.merging => Sample { at, used: *used, total: *total },
        Seen::Suspended => return Ok(before),
        _ => return Ok(None),
    };
    let covering = covering(view.size_bytes.sectors_ceil(), ChunkSize::new(view.chunk_bytes)?).bytes();
    if sample.total >= covering {
        return Ok(None);
    }
    let (gauge, is_short) = match before {
        Some(mut before) => {
            before.gauge.note(sample);
            (before.gauge, before.is_short)
        }
        None => (Gauge::new(sample), false),
    };
    let (name, uuid) = (view.name.parse()?, view.uuid.clone());
    Ok(Some(Watched { name, uuid, device, covering, gauge, seen, is_short }))
}

/// What a look at a store shows.
enum Seen {
    /// In use, and all of it.
    Usage(Bytes, Bytes),
    Suspended,
    /// It is not what it was: gone, lost, or being merged.
    Changed,
}

fn usage(engine: &Engine, device: &DmUuid) -> Result<Seen> {
    let kernel = engine.world.kernel.as_ref();
    let name = match kernel.find(device)? {
        Some(info) if info.suspended => return Ok(Seen::Suspended),
        Some(info) if info.live => info.name,
        _ => return Ok(Seen::Changed),
    };
    match kernel.status(&name).map(|status| status.into_iter().next()) {
        Ok(Some(Status::Store { used, total, merging: false, .. })) => {
            Ok(Seen::Usage(used.bytes(), total.bytes()))
        }
        Ok(_) => Ok(Seen::Changed),
        Err(error) if error.kind() == Kind::NotFound => Ok(Seen::Changed),
        Err(error) => Err(error),
    }
}

/// What was written between two readings of the counters.
fn since(before: Bytes, now: Bytes) -> Bytes {
    Bytes(now.get().wrapping_sub(before.get()))
}

fn complain(vg: &VgName, short: &[(LvName, Option<Duration>)], report: &Result<Report<SnapshotView>>) {
    for (name, left) in short {
        let left = left.map_or_else(String::new, |left| format!(", and is full in {} s", left.as_secs()));
        let store = format!("{vg}/{name}:");
        let why = match report {
            Err(error) => error.to_string(),
            Ok(report) => match report.notes.iter().find(|note| note.contains(&store)) {
                Some(note) => note.clone(),
                None => format!("volume group {vg} is full"),
            },
        };
        tracing::error!("the store of {vg}/{name} cannot grow as it should{left}: {why}");
    }
}
