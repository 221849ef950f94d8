//! A volume group under its lock: its metadata, and what the kernel has of it; and the lock on the set of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Instant, UNIX_EPOCH};

use super::Engine;
use super::blank::is_unused_store;
use super::converge::converge;
use super::desired::{Activation, Present, desired, families};
use super::fill::{Fill, readers, rollback_of, root_of};
use super::naming::{Layer, Naming};
use super::operation::Mode;
use super::plan::Plan;
use super::rollback::overflowed;
use super::tree::{DeviceTree, Expected, FoundTree, layers_below};
use crate::block::{Access, DevNo, Listed};
use crate::dm::{DmName, DmUuid, Info, Kernel, Target};
use crate::error::{Error, Kind, Result};
use crate::lvm::hints;
use crate::lvm::lock::{self, Guard};
use crate::lvm::{
    Disputed, Edit, Exempt, Lv, LvName, OpenVg, Role, Stamp, Uuid, Version, Vg, VgName, commit,
};

/// A volume group under its lock, as it was read; [`Session::recover`] takes away what dead processes left.
pub(super) struct Session<'a> {
    pub(super) engine: &'a Engine,
    pub(super) open: OpenVg,
    /// Whether a device that is open is waited for, in case that it is for a moment.
    pub(super) is_patient: bool,
    /// The group is one that only [`Aim::Reduction`] may change.
    only_reduces: bool,
    lock: Guard,
}

/// What an operation does to its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    /// It changes it.
    Change,
    /// It takes something away, or missing devices in again: possible while devices are missing.
    Reduction,
}

/// The lock on the set of physical volumes and volume groups. What LVM2 remembered of it is forgotten, and nothing new remembered
/// until this is dropped.
pub(super) struct SetGuard {
    _hints: Option<hints::Forgotten>,
    _lock: Guard,
}

impl Engine {
    /// Keeps others from changing which physical volumes and volume groups there are.
    pub(super) fn lock_set(&self, mode: Mode) -> Result<SetGuard> {
        self.check_writable()?;
        if self.world.lvm2.use_lvmlockd {
            let cause = "lvm.conf says that the set of volume groups is locked between hosts, with lvmlockd";
            return Err(Error::new(Kind::Refused, cause)
                .hint("use LVM2 for this; volumes of groups that are not shared can be changed"));
        }
        let lock = self.world.locks.global(lock::Mode::Exclusive, mode.wait())?;
        let changes = self.world.lvm2.hints && !mode.dry_run;
        let hints = changes.then(|| hints::forget(Path::new(hints::DIRECTORY)));
        Ok(SetGuard { _hints: hints, _lock: lock })
    }

    /// An error if lvm2's configuration says that no metadata may be changed on this host.
    pub(super) fn check_writable(&self) -> Result<()> {
        if !self.world.lvm2.metadata_read_only {
            return Ok(());
        }
        Err(Error::new(Kind::Refused, "lvm.conf says that this host changes no metadata")
            .hint("global/metadata_read_only there turns it off"))
    }

    /// Locks a volume group for change, reads it, and refuses one that must not be touched.
    pub(super) fn session(&self, vg: &VgName, mode: Mode) -> Result<Session<'_>> {
        let session = self.session_for(vg, lock::Mode::Exclusive, Access::Write, mode)?;
        session.open.check_changeable()?;
        Ok(session)
    }

    /// The same for operations that take something away, or take missing devices in again.
    pub(super) fn reduction_session(&self, vg: &VgName, mode: Mode) -> Result<Session<'_>> {
        let mut session = self.session_for(vg, lock::Mode::Exclusive, Access::Write, mode)?;
        session.only_reduces = session.open.refusal.is_some();
        session.open.exempt(Exempt::Reduction);
        session.open.check_changeable()?;
        Ok(session)
    }

    /// The one of these two that an operation needs.
    pub(super) fn session_to(&self, vg: &VgName, aim: Aim, mode: Mode) -> Result<Session<'_>> {
        match aim {
            Aim::Change => self.session(vg, mode),
            Aim::Reduction => self.reduction_session(vg, mode),
        }
    }

    /// The same for a group that is named by its uuid, because another one has its name.
    pub(super) fn session_by_id(&self, vg: &VgName, id: Uuid, mode: Mode) -> Result<Session<'_>> {
        let lock = self.world.locks.vg(vg, lock::Mode::Exclusive, mode.wait())?;
        let open =
            self.scanner.open_vg_by_id(self.world.devices.as_ref(), &self.world.owner, id, Access::Write)?;
        self.tell(&open.findings);
        open.check_changeable()?;
        Ok(self.session_of(open, lock))
    }

    /// The same for a group of which there are several versions under one seqno: as this device has it; and all of them.
    pub(super) fn disputed_session(
        &self,
        vg: &VgName,
        from: &Listed,
        mode: Mode,
    ) -> Result<(Session<'_>, Vec<Version>)> {
        let lock = self.world.locks.vg(vg, lock::Mode::Exclusive, mode.wait())?;
        let devices = self.world.devices.as_ref();
        let Disputed { open, versions } =
            self.scanner.open_disputed(devices, &self.world.owner, vg, from, Access::Write)?;
        Ok((self.session_of(open, lock), versions))
    }

    /// The same for operations that change no metadata: devices may be missing that the volumes do not need.
    pub(super) fn activation_session(&self, vg: &VgName, mode: Mode) -> Result<Session<'_>> {
        let session = self.session_for(vg, lock::Mode::Exclusive, Access::Write, mode)?;
        session.open.check_activatable()?;
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
        let open = self.scanner.open_vg(self.world.devices.as_ref(), &self.world.owner, vg, access)?;
        self.tell(&open.findings);
        Ok(self.session_of(open, lock))
    }

    fn session_of(&self, open: OpenVg, lock: Guard) -> Session<'_> {
        Session { engine: self, open, is_patient: true, only_reduces: false, lock }
    }

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

impl Session<'_> {
    /// True if an operation of this aim may be done in this session.
    pub(super) fn serves(&self, aim: Aim) -> bool {
        !self.only_reduces || aim == Aim::Reduction
    }

    /// Since when it has the group's lock.
    pub(super) fn since(&self) -> Instant {
        self.lock.since()
    }

    /// The metadata as it is.
    pub(super) fn vg(&self) -> &Vg {
        &self.open.vg
    }

    /// A volume that people name and that dmsnap builds, and what it is: no hidden one.
    pub(super) fn named(&self, name: &LvName) -> Result<(&Lv, Role)> {
        let vg = self.vg();
        let lv = vg.find_lv(name)?;
        match vg.role(name) {
            Some(Role::Hidden) | None => Err(is_hidden(vg, name)),
            Some(role) => refuse_foreign(vg, lv).map(|()| (lv.as_ref(), role)),
        }
    }

    /// Names of this group's devices.
    pub(super) fn naming(&self) -> Naming<'_> {
        Naming::new(&self.open.vg, self.engine.dev())
    }

    /// Writes the metadata with these edits; without any, nothing.
    pub(super) fn commit(&mut self, edits: &[Edit], description: &str) -> Result<()> {
        if edits.is_empty() {
            return Ok(());
        }
        let next = self.open.vg.apply(edits)?;
        self.put(next, description)
    }

    /// Writes the metadata as it is into every area.
    pub(super) fn renew(&mut self, description: &str) -> Result<()> {
        self.put(self.open.vg.clone(), description)
    }

    /// Writes this as the next version of the metadata.
    pub(super) fn put(&mut self, next: Vg, description: &str) -> Result<()> {
        self.engine.check_writable()?;
        let stamp = self.engine.stamp(description);
        commit(&mut self.open, next, &stamp)?;
        self.engine.tell_commit(self.open.vg.name.as_str());
        Ok(())
    }

    /// The devices that the kernel has of the families of these volumes, as the metadata is and as it will be.
    pub(super) fn found(&self, intended: &Vg, touched: &BTreeSet<LvName>) -> Result<FoundTree> {
        let before = families(&self.open.vg, touched);
        let after = families(intended, touched);
        FoundTree::read(self.kernel(), &self.expected(before.into_values().chain(after.into_values())))
    }

    pub(super) fn plan_for(&self, vg: &Vg, found: &FoundTree, roots: &BTreeSet<LvName>) -> Result<Plan> {
        self.plan_forcing(vg, found, roots, &BTreeSet::new())
    }

    /// The same where these snapshots are merged though they, or their origins, are open.
    pub(super) fn plan_forcing(
        &self,
        vg: &Vg,
        found: &FoundTree,
        roots: &BTreeSet<LvName>,
        forced: &BTreeSet<LvName>,
    ) -> Result<Plan> {
        converge(found, &self.wanted(vg, found, roots, forced)?)
    }

    /// The devices that the metadata wants then.
    pub(super) fn wanted(
        &self,
        vg: &Vg,
        found: &FoundTree,
        roots: &BTreeSet<LvName>,
        forced: &BTreeSet<LvName>,
    ) -> Result<DeviceTree> {
        let disks = self.disks();
        let mut waiting = self.waiting_merges(vg, found, roots);
        waiting.retain(|store| !forced.contains(store));
        let (beginning, present) = (self.beginning(vg, found, roots)?, self.present(vg, found, roots)?);
        let resting = self.resting(vg, found);
        let activation = Activation {
            roots,
            disks: &disks,
            waiting: &waiting,
            forced,
            beginning: &beginning,
            resting: &resting,
            present: &present,
            dev: self.engine.dev(),
        };
        desired(vg, &activation)
    }

    /// The snapshots that nobody has begun yet, and whose origins are suspended; see [`Activation::beginning`].
    fn beginning(&self, vg: &Vg, found: &FoundTree, roots: &BTreeSet<LvName>) -> Result<BTreeSet<LvName>> {
        let naming = self.naming();
        let node = |lv: &Lv| found.nodes.get(&naming.uuid(&lv.id, Layer::Top));
        let mut beginning = BTreeSet::new();
        for snapshot in roots.iter().flat_map(|root| vg.snapshots_of(root)) {
            let (store, origin) = (vg.find_lv(&snapshot.store)?, vg.find_lv(&snapshot.origin)?);
            let waits = node(origin).is_some_and(|node| node.info.live && node.info.suspended);
            let is_new = node(store).is_none_or(|node| !node.info.live);
            if waits && is_new && is_unused_store(&self.open, store)? {
                beginning.insert(snapshot.store.clone());
            }
        }
        Ok(beginning)
    }

    /// The snapshots whose merge may not begin now; see [`Activation::waiting`].
    fn waiting_merges(&self, vg: &Vg, found: &FoundTree, roots: &BTreeSet<LvName>) -> BTreeSet<LvName> {
        let (naming, used) = (self.naming(), found.used());
        let top = |name: &LvName| vg.lv(name).map(|lv| naming.uuid(&lv.id, Layer::Top));
        let is_open = |name: &LvName| top(name).is_some_and(|uuid| used.contains(&uuid));
        let has_begun = |origin: &LvName| {
            let node = top(origin).and_then(|uuid| found.nodes.get(&uuid));
            node.is_some_and(|node| {
                node.table.0.iter().any(|line| matches!(line.target, Target::Merge { .. }))
            })
        };
        let snapshots = roots.iter().flat_map(|root| vg.snapshots_of(root));
        let merging = snapshots.filter(|snapshot| snapshot.merging && !has_begun(&snapshot.origin));
        // A device that dmsnap itself reads it through goes first.
        let is_below = |uuid: DmUuid| {
            found.nodes.values().any(|node| layers_below(&node.table).any(|below| *below == uuid))
        };
        let is_read = |name: &LvName| readers(vg, name).next().is_some() || top(name).is_some_and(is_below);
        let open = merging.filter(|snapshot| {
            is_open(&snapshot.origin) || is_open(&snapshot.store) || is_read(&snapshot.store)
        });
        open.map(|snapshot| snapshot.store.clone()).collect()
    }

    /// What origins that are rolled back have already, where nobody writes through a clone yet: whatever was written to an origin since
    /// the cut made an exception, the rollback's own writes too.
    fn present(
        &self,
        vg: &Vg,
        found: &FoundTree,
        roots: &BTreeSet<LvName>,
    ) -> Result<BTreeMap<LvName, Present>> {
        let rollbacks = roots.iter().filter_map(|root| rollback_of(vg, root));
        let waiting = rollbacks.filter(|rollback| !self.is_led_to_clone(rollback, found));
        let present = waiting.map(|rollback| {
            let table = self.exceptions(rollback.source)?.ok_or_else(|| overflowed(vg, rollback.source))?;
            let ranges = rollback.spared(vg, &table);
            Ok((rollback.map.name.clone(), Present { ranges, used: table.used().sectors(table.chunk_size) }))
        });
        present.collect()
    }

    /// True if an origin's live table leads to the clone by which it is rolled back: it shows the snapshot's content.
    pub(super) fn is_led_to_clone(&self, rollback: &Fill<'_>, found: &FoundTree) -> bool {
        let top = self.naming().uuid(&rollback.volume.id, Layer::Top);
        let (id, layer) = rollback.clone_device();
        let clone = self.naming().uuid(id, layer);
        found.nodes.get(&top).is_some_and(|top| layers_below(&top.table).any(|below| *below == clone))
    }

    pub(super) fn expected<'v>(&self, lvs: impl Iterator<Item = &'v Lv>) -> Vec<Expected> {
        let naming = self.naming();
        let mut seen = BTreeSet::new();
        let devices = lvs.flat_map(|lv| naming.expected(lv));
        // A volume that is renamed is expected twice: it has the name from before.
        devices.filter(|device| seen.insert(device.uuid.clone())).collect()
    }

    /// The volumes, of those given, that the kernel has and that decide about themselves.
    pub(super) fn active<'v>(&self, found: &FoundTree, lvs: impl Iterator<Item = &'v Lv>) -> BTreeSet<Uuid> {
        self.active_in(&self.open.vg, found, lvs)
    }

    /// The same, by another version of the metadata.
    pub(super) fn active_in<'v>(
        &self,
        vg: &Vg,
        found: &FoundTree,
        lvs: impl Iterator<Item = &'v Lv>,
    ) -> BTreeSet<Uuid> {
        let naming = self.naming();
        let is_live = |lv: &Lv| {
            let uuid = naming.uuid(&lv.id, Layer::Top);
            found.nodes.get(&uuid).is_some_and(|node| node.info.live)
        };
        lvs.filter(|lv| root_of(vg, &lv.name) == lv.name && is_live(lv)).map(|lv| lv.id).collect()
    }

    /// The numbers of the physical volumes' devices, in the metadata's order; none for a device that is missing, or was while
    /// the group was changed: what it holds may be out of date.
    pub(super) fn disks(&self) -> Vec<Option<DevNo>> {
        let pvs = self.open.pvs.iter().zip(&self.open.vg.pvs);
        pvs.map(|(pv, known)| pv.number().filter(|_| !known.missing())).collect()
    }

    pub(super) fn kernel(&self) -> &dyn Kernel {
        self.engine.world.kernel.as_ref()
    }

    /// An error if a device has a name that another is to get.
    pub(super) fn refuse_borne_name(&self, name: &DmName) -> Result<()> {
        let bearer = self.kernel().info(name)?;
        bearer.map_or(Ok(()), |_| {
            let cause = format!("a device has the name {name}");
            Err(Error::new(Kind::AlreadyExists, cause).hint("choose another name"))
        })
    }

    /// An error if somebody has a volume's device open.
    pub(super) fn refuse_in_use(&self, lv: &Lv) -> Result<()> {
        self.holders(lv)?.map_or(Ok(()), |holders| {
            let cause = format!("{}/{} is in use: {holders}", self.vg().name, lv.name);
            Err(Error::new(Kind::InUse, cause).hint("unmount or close it first"))
        })
    }

    /// What holds a volume's device, in words; none if nothing does or it is not active.
    fn holders(&self, lv: &Lv) -> Result<Option<String>> {
        let uuid = self.naming().uuid(&lv.id, Layer::Top);
        // What dmsnap itself reads a snapshot through is below another volume, which is asked for itself.
        let own = self.own_readers(lv)?;
        let Some(info) = self.kernel().find(&uuid)?.filter(|info| info.open_count > own) else {
            return Ok(None);
        };
        let mounts = self.engine.world.devices.mounts(info.number)?;
        let waits = mounts.is_empty() && self.is_patient;
        let info = if waits { self.kernel().when_closed(info)? } else { Some(info) };
        let Some(info) = info.filter(|info| info.open_count > own) else { return Ok(None) };
        let users = self.engine.world.devices.users(info.number)?;
        Ok(Some(in_words(&info, &mounts, &users)))
    }

    /// An error if a file system is mounted from a volume's device, in any namespace, or another device is built on it: other
    /// content than a moment ago would destroy what they hold. A program that has it open may cope.
    pub(super) fn refuse_claimed(&self, lv: &Lv) -> Result<()> {
        let uuid = self.naming().uuid(&lv.id, Layer::Top);
        let Some(info) = self.kernel().find(&uuid)?.filter(|info| info.live && info.open_count > 0) else {
            return Ok(());
        };
        let devices = self.engine.world.devices.as_ref();
        let path = self.engine.dev().join("mapper").join(info.name.as_str());
        let is_mounted = !devices.mounts(info.number)?.is_empty();
        match devices.open(&path, Access::Exclusive) {
            Ok(_) if !is_mounted => Ok(()),
            Err(error) if error.kind() != Kind::InUse => Err(error),
            _ => self.refuse_in_use(lv),
        }
    }
}

/// What these volumes are called in a version of the metadata, those that are there.
pub(super) fn roots_in(vg: &Vg, ids: &BTreeSet<Uuid>) -> BTreeSet<LvName> {
    vg.lvs.iter().filter(|lv| ids.contains(&lv.id)).map(|lv| lv.name.clone()).collect()
}

/// lvm2's RAID, thin, cache and other volumes have parts that dmsnap knows nothing of.
fn refuse_foreign(vg: &Vg, lv: &Lv) -> Result<()> {
    vg.foreign_kind(lv).map_or(Ok(()), |layout| {
        let cause = format!("{}/{} is of a kind that dmsnap does not build: {layout}", vg.name, lv.name);
        Err(Error::new(Kind::Refused, cause).hint("use lvm2 for it"))
    })
}

fn is_hidden(vg: &Vg, name: &LvName) -> Error {
    Error::new(Kind::Usage, format!("{}/{name} is an internal volume", vg.name))
        .hint(format!("`dmsnap volume list {}` shows the others", vg.name))
}

fn in_words(info: &Info, mounts: &[std::path::PathBuf], users: &[String]) -> String {
    let name = &info.name;
    if !mounts.is_empty() {
        let places: Vec<_> = mounts.iter().map(|place| place.display().to_string()).collect();
        return format!("{name} is mounted on {}", places.join(", "));
    }
    if users.is_empty() {
        return format!("{name} is open ({} times)", info.open_count);
    }
    format!("{name} is held open by {}", users.join(", "))
}
