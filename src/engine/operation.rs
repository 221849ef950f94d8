//! The road that every change of a volume group goes: intent, act, confirm.
//!
//! Under the group's lock: read the metadata, take away what a dead process left, let the operation say what it changes,
//! commit that as intent, converge the kernel, commit the confirmation. Whatever fails on the way is answered by planning again from
//! what is there; an operation that was not confirmed never happened.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, UNIX_EPOCH};

use super::blank::{Blank, blank};
use super::desired::{Activation, desired, families};
use super::execute::{Executed, execute};
use super::naming::{Layer, Naming};
use super::plan::Plan;
use super::tree::{Expected, FoundTree};
use super::{Engine, converge::converge};
use crate::block::{Access, DevNo};
use crate::dm::{DmName, Kernel};
use crate::error::{Error, Result};
use crate::lvm::lock::{self, Guard, Wait};
use crate::lvm::{Edit, Lv, LvName, OpenVg, Stamp, Uuid, Vg, VgName, commit, open_vg};

/// How an operation is run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mode {
    /// Say what would be done, under the same checks, and do nothing.
    pub dry_run: bool,
    /// Fail with [`crate::error::Kind::Locked`] instead of waiting for a lock.
    pub no_wait: bool,
}

impl Mode {
    /// What taking a lock does when another process has it.
    pub fn wait(self) -> Wait {
        if self.no_wait { Wait::No } else { Wait::Forever }
    }
}

/// What an operation changes. Made from the metadata as it is, by code that does no I/O.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Change {
    /// Ranges of free extents that are zeroed before the metadata names them.
    pub blanks: Vec<Blank>,
    /// Committed before the kernel is touched.
    pub intent: Vec<Edit>,
    /// Volumes whose devices may change, in the metadata before or after the intent.
    pub touched: BTreeSet<LvName>,
    /// Volumes to be active that may not be so.
    pub activate: BTreeSet<LvName>,
    /// Volumes not to be active any more.
    pub deactivate: BTreeSet<LvName>,
    /// Committed when the kernel has followed.
    pub confirm: Vec<Edit>,
    /// What a person should know: a size that was rounded.
    pub notes: Vec<String>,
}

impl Change {
    /// True if it changes the metadata.
    fn commits(&self) -> bool {
        !self.intent.is_empty() || !self.confirm.is_empty()
    }
}

/// What an operation did, or with `--dry-run` would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Report<T> {
    /// What it made or changed.
    pub objects: Vec<T>,
    /// From the call to the confirmation.
    pub elapsed: Duration,
    /// The longest time that a volume's I/O waited, where a switch was needed.
    pub frozen: Option<Duration>,
    /// The metadata edits and device-mapper steps, for a dry run.
    pub planned: Option<Vec<String>>,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl<T> Default for Report<T> {
    fn default() -> Self {
        Self { objects: Vec::new(), elapsed: Duration::ZERO, frozen: None, planned: None, notes: Vec::new() }
    }
}

impl<T> Report<T> {
    /// Adds what another operation did.
    pub fn absorb(&mut self, other: Self) {
        self.objects.extend(other.objects);
        self.elapsed += other.elapsed;
        self.frozen = self.frozen.max(other.frozen);
        self.planned = match (self.planned.take(), other.planned) {
            (Some(lines), Some(more)) => Some([lines, more].concat()),
            (lines, more) => lines.or(more),
        };
        self.notes.extend(other.notes);
    }
}

/// A volume group under its lock, read and free of what dead processes left.
pub(super) struct Session<'a> {
    pub(super) engine: &'a Engine,
    pub(super) open: OpenVg,
    _lock: Guard,
}

impl Engine {
    /// Locks a volume group for change, reads it, and refuses one that must not be touched.
    pub(super) fn session(&self, vg: &VgName, mode: Mode) -> Result<Session<'_>> {
        let session = self.session_for(vg, lock::Mode::Exclusive, Access::Write, mode)?;
        session.open.check_changeable()?;
        Ok(session)
    }

    /// Keeps others from changing a volume group, and reads it.
    pub(super) fn reading_session(&self, vg: &VgName, mode: Mode) -> Result<Session<'_>> {
        self.session_for(vg, lock::Mode::Shared, Access::Read, mode)
    }

    fn session_for(
        &self,
        vg: &VgName,
        sharing: lock::Mode,
        access: Access,
        mode: Mode,
    ) -> Result<Session<'_>> {
        let lock = self.world.locks.vg(vg, sharing, mode.wait())?;
        let open = open_vg(self.world.devices.as_ref(), &self.world.owner, vg, access)?;
        Ok(Session { engine: self, open, _lock: lock })
    }

    /// Runs one operation on a volume group down the whole road; `views` says afterwards what became of it.
    pub(super) fn run<T>(
        &self,
        vg: &VgName,
        mode: Mode,
        description: &str,
        change: impl FnOnce(&Session<'_>) -> Result<Change>,
        views: impl FnOnce(&Session<'_>) -> Result<Vec<T>>,
    ) -> Result<Report<T>> {
        let began = Instant::now();
        let mut session = self.session(vg, mode)?;
        let recovery = session.recover(mode)?;
        let change = change(&session)?;
        let (planned, executed) = session.carry_out(&change, mode, description)?;
        if change.commits() && !mode.dry_run {
            self.back_up(&session.open.vg, description);
        }
        let elapsed = began.elapsed();
        let planned = mode.dry_run.then(|| [recovery, planned].concat());
        Ok(Report {
            objects: if mode.dry_run { Vec::new() } else { views(&session)? },
            elapsed,
            frozen: executed.frozen.iter().map(|(_, time)| *time).max(),
            planned,
            notes: change.notes,
        })
    }
}

impl Session<'_> {
    /// The metadata as it is.
    pub(super) fn vg(&self) -> &Vg {
        &self.open.vg
    }

    /// Names of this group's devices.
    pub(super) fn naming(&self) -> Naming<'_> {
        Naming::new(&self.open.vg, self.engine.dev())
    }

    fn carry_out(
        &mut self,
        change: &Change,
        mode: Mode,
        description: &str,
    ) -> Result<(Vec<String>, Executed)> {
        if change.commits() {
            self.engine.check_writable()?;
        }
        let intended = self.open.vg.apply(&change.intent)?;
        let found = self.found(&intended, &change.touched)?;
        let active = self.active(&found, families(&self.open.vg, &change.touched).into_values());
        let plan = self.plan_for(&intended, &found, &roots_after(&intended, &active, change))?;
        if mode.dry_run {
            // The confirmation is applied to nothing, but what is wrong with it is found.
            intended.apply(&change.confirm)?;
            return Ok((planned(change, &plan), Executed::default()));
        }
        if change.commits() {
            self.engine.archive(&self.open.vg, description);
        }
        blank(&self.open, &change.blanks)?;
        self.commit(&change.intent, description)?;
        let executed = match execute(&plan, self.kernel(), self.engine.world.devices.as_ref()) {
            Ok(executed) => executed,
            Err(error) => return Err(self.give_up(error, change, &active)),
        };
        self.commit(&change.confirm, description)?;
        Ok((Vec::new(), executed))
    }

    /// After a failed plan: what is marked is recovered, and what else was touched is made as active as it was.
    fn give_up(&mut self, error: Error, change: &Change, active: &BTreeSet<Uuid>) -> Error {
        let settled = self.recover(Mode::default()).and_then(|_| self.settle(&change.touched, active));
        match settled {
            Ok(()) => error,
            Err(recovery) => {
                tracing::error!(%recovery, "what the failed operation left could not be taken away");
                error.hint(format!("`dmsnap repair {}` takes away what is left of it", self.open.vg.name))
            }
        }
    }

    fn settle(&self, touched: &BTreeSet<LvName>, active: &BTreeSet<Uuid>) -> Result<()> {
        let vg = &self.open.vg;
        let plan = self.plan_for(vg, &self.found(vg, touched)?, &roots_in(vg, active))?;
        execute(&plan, self.kernel(), self.engine.world.devices.as_ref()).map(drop)
    }

    pub(super) fn commit(&mut self, edits: &[Edit], description: &str) -> Result<()> {
        if edits.is_empty() {
            return Ok(());
        }
        self.engine.check_writable()?;
        let next = self.open.vg.apply(edits)?;
        let stamp = self.engine.stamp(description);
        commit(&mut self.open, next, &stamp)
    }

    /// The devices that the kernel has of the families of these volumes, as the metadata is and as it will be.
    fn found(&self, intended: &Vg, touched: &BTreeSet<LvName>) -> Result<FoundTree> {
        let before = families(&self.open.vg, touched);
        let after = families(intended, touched);
        FoundTree::read(self.kernel(), &self.expected(before.into_values().chain(after.into_values())))
    }

    pub(super) fn plan_for(&self, vg: &Vg, found: &FoundTree, roots: &BTreeSet<LvName>) -> Result<Plan> {
        let disks = self.disks();
        let activation = Activation { roots, disks: &disks, dev: self.engine.dev() };
        converge(found, &desired(vg, &activation)?)
    }

    pub(super) fn expected<'v>(&self, lvs: impl Iterator<Item = &'v Lv>) -> Vec<Expected> {
        let naming = self.naming();
        let mut expected: Vec<Expected> = Vec::new();
        for device in lvs.flat_map(|lv| naming.expected(lv)) {
            // A volume that is renamed is expected twice: it has the name from before.
            if expected.iter().all(|known| known.uuid != device.uuid) {
                expected.push(device);
            }
        }
        expected
    }

    /// The volumes, of those given, that the kernel has and that decide about themselves.
    pub(super) fn active<'v>(&self, found: &FoundTree, lvs: impl Iterator<Item = &'v Lv>) -> BTreeSet<Uuid> {
        let naming = self.naming();
        let is_live = |lv: &Lv| {
            let uuid = naming.uuid(&lv.id, Layer::Top);
            found.nodes.get(&uuid).is_some_and(|node| node.info.live)
        };
        let vg = &self.open.vg;
        lvs.filter(|lv| vg.root_of(&lv.name) == lv.name && is_live(lv)).map(|lv| lv.id).collect()
    }

    /// The numbers of the physical volumes' devices, in the metadata's order.
    pub(super) fn disks(&self) -> Vec<Option<DevNo>> {
        self.open.pvs.iter().map(|pv| pv.number).collect()
    }

    pub(super) fn kernel(&self) -> &dyn Kernel {
        self.engine.world.kernel.as_ref()
    }

    /// What holds a volume's device, in words; none if nothing does or it is not active.
    pub(super) fn holders(&self, lv: &Lv) -> Result<Option<String>> {
        let uuid = self.naming().uuid(&lv.id, Layer::Top);
        let Some(info) = self.kernel().find(&uuid)? else { return Ok(None) };
        if info.open_count == 0 {
            return Ok(None);
        }
        let mounts = self.engine.world.devices.mounts(info.number)?;
        Ok(Some(in_words(&info.name, info.open_count, &mounts)))
    }
}

/// What these volumes are called in a version of the metadata, those that are there.
pub(super) fn roots_in(vg: &Vg, ids: &BTreeSet<Uuid>) -> BTreeSet<LvName> {
    vg.lvs.iter().filter(|lv| ids.contains(&lv.id)).map(|lv| lv.name.clone()).collect()
}

fn roots_after(intended: &Vg, active: &BTreeSet<Uuid>, change: &Change) -> BTreeSet<LvName> {
    let mut roots = roots_in(intended, active);
    roots.extend(change.activate.iter().map(|name| intended.root_of(name)));
    roots.retain(|name| !change.deactivate.contains(name));
    roots
}

fn in_words(name: &DmName, open_count: u32, mounts: &[std::path::PathBuf]) -> String {
    if mounts.is_empty() {
        return format!("{name} is open ({open_count} times)");
    }
    let places: Vec<_> = mounts.iter().map(|place| place.display().to_string()).collect();
    format!("{name} is mounted on {}", places.join(", "))
}

/// A change and its plan as lines of text.
fn planned(change: &Change, plan: &Plan) -> Vec<String> {
    let blanks = change.blanks.iter().map(|blank| format!("  {blank}"));
    let intent = change.intent.iter().map(|edit| format!("  metadata: {edit}"));
    let confirm = change.confirm.iter().map(|edit| format!("  metadata: {edit}"));
    blanks.chain(intent).chain(plan.lines()).chain(confirm).collect()
}

impl Engine {
    /// What the metadata says of who wrote it, and when.
    pub(super) fn stamp(&self, description: &str) -> Stamp {
        Stamp {
            description: format!("dmsnap {description}"),
            host: self.world.host.name.clone(),
            system: self.world.host.system.clone(),
            system_id: self.world.owner.system_id.clone(),
            time: self.seconds(),
        }
    }

    /// Seconds since 1970.
    pub(super) fn seconds(&self) -> u64 {
        (self.world.clock)().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }
}
