//! Volumes while they are being filled: how far they are, what ends it, and what is refused meanwhile.

use std::collections::BTreeSet;

use super::Engine;
use super::fill::{Fill, fills, is_filling, readers};
use super::mark::Mark;
use super::missing::lies_on;
use super::naming::Layer;
use super::operation::{Change, Mode, Report};
use super::session::Session;
use super::tree::FoundTree;
use super::view::VolumeView;
use super::wait::{PATIENCE, Wait};
use crate::dm::{CloneMessage, DmName, Info, Kernel, Regions, Slot, Status};
use crate::error::{Error, Kind, Result};
use crate::lvm::{Lv, LvName, Uuid, Vg, VgName};

/// While somebody waits, so many regions are copied at a time.
const HASTE: Regions = Regions(32);

/// How far a volume is that is being filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    hydrated: Regions,
    total: Regions,
}

impl Progress {
    /// What the kernel says of the device; nothing if it cannot be asked now, or is no clone.
    pub(super) fn read(kernel: &dyn Kernel, info: &Info) -> Result<Option<Self>> {
        // A suspended device's status would wait.
        if !info.live || info.suspended {
            return Ok(None);
        }
        match kernel.status(&info.name) {
            Ok(status) => Ok(status.first().and_then(|status| match status {
                Status::Clone { hydrated, total, .. } => Some(Self { hydrated: *hydrated, total: *total }),
                _ => None,
            })),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// True if there is nothing left to fill.
    pub fn is_full(self) -> bool {
        self.hydrated == self.total
    }

    /// In per cent, rounded down to hundredths.
    pub fn percent(self) -> f64 {
        let hundredths = u128::from(self.hydrated.0) * 10_000 / u128::from(self.total.0.max(1));
        f64::from(u32::try_from(hundredths).unwrap_or(10_000)) / 100.0
    }
}

/// What is seen of a device that was being filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Filling(Progress),
    /// It says nothing now.
    Suspended,
    /// It is no clone any more, or not there.
    Gone,
}

impl Engine {
    /// Waits until a volume is full, as fast as the disks are, and makes it one like any other. `tell` hears how far it is.
    pub fn fill(
        &self,
        vg: &VgName,
        name: &LvName,
        mode: Mode,
        tell: &dyn Fn(Progress),
    ) -> Result<Report<VolumeView>> {
        let filled = self.hasten(vg, name, mode).and_then(|begun| {
            let Some((info, source)) = begun else { return Ok(()) };
            self.await_fill(&info, &source, tell)
        });
        let settled = filled.and_then(|()| {
            let views = |session: &Session<'_>| {
                session.refuse_unfilled(name)?;
                session.volume_views_of(std::slice::from_ref(name))
            };
            self.run(vg, mode, &format!("fill {vg}/{name}"), |_| Ok(Change::default()), views)
        });
        settled.map_err(|error| error.doing(format!("fill {vg}/{name}")))
    }

    /// Waits until a device is full, or is no clone any more.
    fn await_fill(&self, info: &Info, source: &DmName, tell: &dyn Fn(Progress)) -> Result<()> {
        let mut wait = Wait::new();
        loop {
            let seen = self.look(info, source)?;
            if let Seen::Filling(progress) = seen {
                tell(progress);
                if progress.is_full() {
                    return Ok(());
                }
            }
            if seen == Seen::Gone {
                return Ok(());
            }
            if wait.is_in_vain(seen) {
                let cause = format!("{} has not become fuller for {} s", info.name, PATIENCE.as_secs());
                return Err(Error::new(Kind::Internal, cause)
                    .hint("see the kernel's log; it goes on by itself when its disks answer"));
            }
            wait.pause();
        }
    }

    /// The device of a volume that is being filled, now faster, and its snapshot's; none if it is full.
    fn hasten(&self, vg: &VgName, name: &LvName, mode: Mode) -> Result<Option<(Info, DmName)>> {
        let session = self.session(vg, mode)?;
        let lv = session.named(name)?.0;
        let Some(fill) = Fill::of(session.vg(), lv) else { return Ok(None) };
        let Some(info) = session.running_clone(&fill)? else {
            let cause = format!("{vg}/{name} is not active");
            return Err(Error::new(Kind::InUse, cause).hint(format!("`dmsnap activate {vg}/{name}` first")));
        };
        for message in [CloneMessage::HydrationThreshold(HASTE), CloneMessage::EnableHydration] {
            session.kernel().message(&info.name, message)?;
        }
        Ok(Some((info, session.naming().name(&fill.source.store, Layer::Top)?)))
    }

    /// How far a device's volume is; an error if it gets no further.
    fn look(&self, info: &Info, source: &DmName) -> Result<Seen> {
        let kernel = self.world.kernel.as_ref();
        let read = kernel.info(source)?.filter(|read| read.live && !read.suspended);
        if read.is_some() && matches!(kernel.status(source)?.first(), Some(Status::Invalid)) {
            let cause = format!("{source} has lost its content, and {} will never be full", info.name);
            return Err(
                Error::new(Kind::Refused, cause).hint("what is missing is in other snapshots, if anywhere")
            );
        }
        let Some(now) = kernel.info(&info.name)? else { return Ok(Seen::Gone) };
        if !now.live || now.suspended {
            return Ok(Seen::Suspended);
        }
        if kernel.status(&now.name)?.first() == Some(&Status::CloneFailed) {
            let cause = format!("{} can not be filled: what notes it cannot be written", now.name);
            return Err(Error::new(Kind::Internal, cause).hint("the kernel's log says why"));
        }
        Ok(Progress::read(kernel, &now)?.map_or(Seen::Gone, Seen::Filling))
    }
}

impl Session<'_> {
    /// The fills that are over, as far as the kernel says so.
    pub(super) fn full(&self) -> Result<Vec<Fill<'_>>> {
        let mut full = Vec::new();
        for fill in fills(self.vg()).filter(|fill| Mark::of(fill.volume).is_none()) {
            let info = self.running_clone(&fill)?;
            let progress = info.map(|info| Progress::read(self.kernel(), &info)).transpose()?.flatten();
            if progress.is_some_and(Progress::is_full) {
                full.push(fill);
            }
        }
        Ok(full)
    }

    /// The volumes that are not active, and whose fills cannot go on now.
    pub(super) fn resting(&self, vg: &Vg, found: &FoundTree) -> BTreeSet<LvName> {
        let resting = fills(vg).filter(|fill| self.why_it_rests(vg, fill, found).is_some());
        resting.map(|fill| fill.volume.name.clone()).collect()
    }

    /// Why a volume is not active, though what it is filled from may be.
    fn why_it_rests(&self, vg: &Vg, fill: &Fill<'_>, found: &FoundTree) -> Option<Error> {
        let (group, volume) = (&vg.name, &fill.volume.name);
        let top = found.nodes.get(&self.naming().uuid(&fill.volume.id, Layer::Top));
        if top.is_some_and(|node| node.info.live) {
            return None;
        }
        let pvs = self.open.vg.pvs.iter().zip(self.disks());
        let missing: Vec<_> = pvs.filter(|(_, disk)| disk.is_none()).map(|(pv, _)| pv.id).collect();
        if [fill.volume, fill.map].iter().any(|lv| lies_on(vg, lv, &missing)) {
            let cause = format!("a device that {group}/{volume} lies on is missing");
            return Some(Error::new(Kind::Refused, cause).hint(format!(
                "bring the device back, or give it up: `dmsnap volume remove {group}/{volume}`"
            )));
        }
        let why = self.require_target("clone").err()?;
        let cause = format!("{group}/{volume} is not active: {}", why.message());
        Some(Error::new(why.kind(), cause).hint(why.way_out().unwrap_or_default()))
    }

    /// An error if a volume that is filled from a snapshot of one of these is down without them.
    pub(super) fn refuse_resting(&self, origins: &BTreeSet<LvName>) -> Result<()> {
        let vg = self.vg();
        let found = self.found(vg, origins)?;
        let mut fills = fills(vg).filter(|fill| origins.contains(&fill.source.origin));
        fills.find_map(|fill| self.why_it_rests(vg, &fill, &found)).map_or(Ok(()), Err)
    }

    /// The device of its clone, if the volume leads to it: who died before it did has rolled nothing back.
    fn running_clone(&self, fill: &Fill<'_>) -> Result<Option<Info>> {
        let find = |id: &Uuid, layer| self.kernel().find(&self.naming().uuid(id, layer));
        let (id, layer) = fill.clone_device();
        let Some(clone) = find(id, layer)? else { return Ok(None) };
        if !fill.is_rollback() {
            return Ok(Some(clone));
        }
        let Some(top) = find(&fill.volume.id, Layer::Top)?.filter(|top| top.live) else { return Ok(None) };
        let table = match self.kernel().table(&top.name, Slot::Live) {
            Err(error) if error.kind() == Kind::NotFound => return Ok(None),
            table => table?,
        };
        Ok(Some(clone).filter(|clone| table.references().contains(&clone.number)))
    }

    /// Makes stable what was written to a volume's device.
    pub(super) fn flush(&self, name: &LvName) -> Result<()> {
        let lv = self.vg().find_lv(name)?;
        // A rename that was cut has left it under its old name.
        let device = match self.kernel().find(&self.naming().uuid(&lv.id, Layer::Top))? {
            Some(info) => info.name,
            None => self.naming().name(name, Layer::Top)?,
        };
        self.opened(&device)?.flush()
    }

    /// How often dmsnap itself has a snapshot open, to fill volumes from it.
    pub(super) fn own_readers(&self, lv: &Lv) -> Result<u32> {
        let mut count = 0;
        for fill in readers(self.vg(), &lv.name) {
            count +=
                u32::from(self.kernel().find(&self.naming().uuid(&fill.map.id, Layer::Source))?.is_some());
        }
        Ok(count)
    }

    /// An error if a volume is still being filled, after all that could be ended was.
    fn refuse_unfilled(&self, name: &LvName) -> Result<()> {
        let (vg, lv) = (&self.vg().name, self.named(name)?.0);
        if !is_filling(lv) {
            return Ok(());
        }
        if self.kernel().find(&self.naming().uuid(&lv.id, Layer::Top))?.is_none() {
            let cause = format!("{vg}/{name} is not active any more, and is not full");
            return Err(
                Error::new(Kind::InUse, cause).hint(format!("`dmsnap activate {vg}/{name}` lets it go on"))
            );
        }
        let cause = format!("{vg}/{name} is not yet a volume like any other");
        Err(Error::new(Kind::InUse, cause).hint(format!("`dmsnap repair {vg}` says why")))
    }

    /// An error for a volume that is being filled: what lies on its extents is not yet what it shows.
    pub(super) fn refuse_filling(&self, lv: &Lv) -> Result<()> {
        if !is_filling(lv) {
            return Ok(());
        }
        let vg = &self.vg().name;
        let what = Fill::of(self.vg(), lv).map_or_else(
            || "filled from a snapshot that is gone".to_owned(),
            |fill| {
                format!(
                    "{} {vg}/{}",
                    if fill.is_rollback() { "rolled back to" } else { "filled from" },
                    fill.source.store
                )
            },
        );
        Err(Error::new(Kind::InUse, format!("{vg}/{} is being {what}", lv.name))
            .hint("wait until `dmsnap volume list` says that it is active"))
    }

    /// The rollbacks to those of these snapshots that have lost their content: they never end. Their volumes go on with what they have.
    pub(super) fn hopeless(&self, doomed: &[LvName]) -> Result<Vec<Fill<'_>>> {
        let stays =
            |fill: &Fill<'_>| doomed.contains(&fill.source.store) && !doomed.contains(&fill.volume.name);
        let mut hopeless = Vec::new();
        for rollback in fills(self.vg()).filter(|fill| fill.is_rollback() && stays(fill)) {
            if self.is_lost(rollback.source)? {
                hopeless.push(rollback);
            }
        }
        Ok(hopeless)
    }

    /// An error if a volume is being filled from one of these, and neither itself nor its map is among them.
    pub(super) fn refuse_read(&self, doomed: &[LvName]) -> Result<()> {
        let vg = self.vg();
        let doomed: BTreeSet<_> = doomed.iter().collect();
        let mut read = fills(vg).filter(|fill| doomed.contains(&fill.source.store));
        let is_doomed =
            |fill: &Fill<'_>| doomed.contains(&fill.volume.name) || doomed.contains(&fill.map.name);
        read.find(|fill| !is_doomed(fill)).map_or(Ok(()), |fill| {
            let (store, volume) = (&fill.source.store, &fill.volume.name);
            if fill.is_rollback() {
                let cause = format!("{}/{volume} is being rolled back to {}/{store}", vg.name, vg.name);
                return Err(Error::new(Kind::InUse, cause)
                    .hint(format!("wait until that is done: `dmsnap volume list {}/{volume}`", vg.name)));
            }
            let cause =
                format!("{}/{store} is in use: {}/{volume} is being filled from it", vg.name, vg.name);
            Err(Error::new(Kind::InUse, cause)
                .hint(format!("wait until that is done, or remove {}/{volume} first", vg.name)))
        })
    }
}
