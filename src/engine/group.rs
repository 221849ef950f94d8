//! Changing volume groups as a whole: devices that join and leave, a new name, the end.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::fill::{built_here, is_map};
use super::list::{pv_view, vg_view};
use super::naming::{Layer, Naming};
use super::operation::{Change, Mode, Report};
use super::outline::Entry;
use super::session::Session;
use super::setup::{Labelling, Taken, belongs};
use super::view::{PvView, VgView};
use super::{Engine, mark};
use crate::block::Access;
use crate::dm::DmUuid;
use crate::error::{Context, Error, Kind, Result};
use crate::lvm::lock;
use crate::lvm::{Edit, OpenVg, Scan, Uuid, Vg, VgName, empty_pv, remove_vg, wipe_label};

impl Engine {
    /// Adds devices to a volume group; those that are no physical volumes yet are labelled.
    pub fn extend_group(
        &self,
        vg: &VgName,
        devices: &[PathBuf],
        labelling: Labelling,
        mode: Mode,
    ) -> Result<Report<VgView>> {
        let global = self.lock_set(mode)?;
        let views = |session: &Session<'_>| Ok(vec![vg_view(&session.open)]);
        let joins = |session: &Session<'_>| session.joining(devices, labelling);
        let report = self.run(vg, mode, &format!("vg extend {vg}"), joins, views);
        drop(global);
        report.map_err(|error| error.doing(format!("extend volume group {vg}")))
    }

    /// Takes devices out of a volume group; no volume may lie on them. They stay physical volumes.
    pub fn reduce_group(&self, vg: &VgName, devices: &[PathBuf], mode: Mode) -> Result<Report<VgView>> {
        let global = self.lock_set(mode)?;
        let change = |session: &Session<'_>| {
            let pvs = session.pvs_on(devices)?;
            let (begin, confirm): (Vec<_>, Vec<_>) = pvs.iter().map(mark::leaving).unzip();
            let removals = pvs.iter().map(|pv| Edit::RemovePv { pv: *pv });
            Ok(Change { intent: removals.chain(begin).collect(), confirm, ..Change::default() })
        };
        let views = |session: &Session<'_>| Ok(vec![vg_view(&session.open)]);
        let report = self.run(vg, mode, &format!("vg reduce {vg}"), change, views);
        drop(global);
        report.map_err(|error| error.doing(format!("reduce volume group {vg}")))
    }

    /// Gives a volume group another name, its volumes in use or not. `vg` may be its uuid.
    pub fn rename_group(&self, vg: &VgName, to: &VgName, mode: Mode) -> Result<Report<VgView>> {
        self.group_renamed(vg, to, mode)
            .map_err(|error| error.doing(format!("rename volume group {vg} to {to}")))
    }

    fn group_renamed(&self, vg: &VgName, to: &VgName, mode: Mode) -> Result<Report<VgView>> {
        let began = Instant::now();
        let _global = self.lock_set(mode)?;
        // The global lock keeps every other renaming away, so the order of these two does not matter.
        let _new = self.world.locks.vg(to, lock::Mode::Exclusive, mode.wait())?;
        let scan = self.scan()?;
        self.refuse_taken_group(&scan, to)?;
        let change = |session: &Session<'_>| {
            let (begin, end) = mark::group_renaming(&session.vg().name);
            let rename = Edit::RenameVg { to: to.clone() };
            session.refuse_foreign_devices()?;
            session.refuse_borne_names(&session.vg().apply(std::slice::from_ref(&rename))?)?;
            Ok(Change {
                intent: vec![rename, begin],
                touched: session.vg().lvs.iter().map(|lv| lv.name.clone()).collect(),
                confirm: vec![end],
                ..Change::default()
            })
        };
        let views = |session: &Session<'_>| Ok(vec![vg_view(&session.open)]);
        let by_id = by_id(&scan, vg);
        let session = match by_id {
            Some(open) => self.session_by_id(&open.vg.name, open.vg.id, mode)?,
            None => self.session(vg, mode)?,
        };
        let report = session.operate(began, mode, &format!("vg rename {vg} {to}"), change, views)?;
        if !mode.dry_run && by_id.is_none() {
            self.world.lvm2.archives.drop_backup(vg);
        }
        Ok(report)
    }

    /// Removes a volume group without volumes; its devices stay physical volumes.
    pub fn remove_group(&self, vg: &VgName, mode: Mode) -> Result<Report<PvView>> {
        self.group_removed(vg, mode).map_err(|error| error.doing(format!("remove volume group {vg}")))
    }

    fn group_removed(&self, vg: &VgName, mode: Mode) -> Result<Report<PvView>> {
        let began = Instant::now();
        let _global = self.lock_set(mode)?;
        let mut session = self.session(vg, mode)?;
        let recovery = session.recover(mode)?;
        session.open.check_removable()?;
        if mode.dry_run {
            let planned = Some(recovery.into_iter().chain([Entry::RemoveVg(vg.clone())]).collect());
            return Ok(Report { planned, ..Report::default() });
        }
        self.archive(session.vg(), &format!("vg remove {vg}"));
        let pvs = remove_vg(session.open)?;
        let elapsed = began.elapsed();
        self.world.lvm2.archives.drop_backup(vg);
        let objects = pvs.iter().map(|pv| pv_view(pv, None)).collect();
        Ok(Report { objects, elapsed, ..Report::default() })
    }

    /// Wipes the labels of physical volumes that belong to no volume group.
    /// With `wipe` also of those that say that a group uses them, which is not there.
    pub fn remove_pvs(&self, devices: &[PathBuf], wipe: bool, mode: Mode) -> Result<Report<PvView>> {
        self.pvs_removed(devices, wipe, mode).map_err(|error| error.doing("remove physical volumes"))
    }

    fn pvs_removed(&self, devices: &[PathBuf], wipe: bool, mode: Mode) -> Result<Report<PvView>> {
        let began = Instant::now();
        let _global = self.lock_set(mode)?;
        let scan = self.scan()?;
        let listed =
            devices.iter().map(|path| self.world.devices.lookup(path)).collect::<Result<Vec<_>>>()?;
        let mut unused = Vec::new();
        for (path, listed) in devices.iter().zip(&listed) {
            self.refuse_unusable(path, listed)?;
            let number = listed.number;
            if let Some(open) = scan.vgs.iter().find(|open| open.pv_on(number).is_some()) {
                return Err(belongs(path, &open.vg.name));
            }
            let found = scan.orphans.iter().find(|pv| pv.number() == Some(number));
            let mut pv = found.ok_or_else(|| no_label(path))?.clone();
            if !wipe {
                pv.check_free()?;
            }
            if let Some(present) = &mut pv.present {
                present.device = self.world.devices.open(path, Access::Exclusive)?;
            }
            unused.push(pv);
        }
        if mode.dry_run {
            let planned = unused.iter().map(|pv| Entry::Unlabel { device: pv.name() }).collect();
            return Ok(Report { planned: Some(planned), ..Report::default() });
        }
        for (pv, listed) in unused.iter().zip(&listed) {
            wipe_label(pv)?;
            self.world.devices.disown(listed)?;
        }
        Ok(Report { elapsed: began.elapsed(), ..Report::default() })
    }
}

/// The group of this uuid, if none has the word as its name.
fn by_id<'s>(scan: &'s Scan, word: &VgName) -> Option<&'s OpenVg> {
    if scan.vgs.iter().any(|open| open.vg.name == *word) {
        return None;
    }
    let id: Uuid = word.as_str().parse().ok()?;
    scan.vgs.iter().find(|open| open.vg.id == id)
}

impl Session<'_> {
    /// Leaves of these edits those out by which devices would be forgotten that have left the group and still hold its metadata.
    pub(super) fn emptied(&self, mut confirm: Vec<Edit>) -> Vec<Edit> {
        if confirm.iter().any(mark::frees)
            && let Err(error) = self.empty_left()
        {
            tracing::warn!("a device that has left {} still has its metadata: {error}", self.vg().name);
            confirm.retain(|edit| !mark::frees(edit));
        }
        confirm
    }

    /// Empties the devices that have left the group; the commit of their leave may not have come to it.
    fn empty_left(&self) -> Result<()> {
        let left = mark::left(self.vg());
        for mut pv in self.engine.scan()?.orphans {
            if !left.contains(&pv.id) || pv.check_free().is_ok() {
                continue;
            }
            if let Some(present) = &mut pv.present {
                present.device = self.engine.world.devices.open(&present.path, Access::Write)?;
            }
            empty_pv(&mut pv)?;
        }
        Ok(())
    }

    /// An error if the kernel has devices of the group that dmsnap cannot rename: pools and other things of lvm2's.
    fn refuse_foreign_devices(&self) -> Result<()> {
        let vg = self.vg();
        let ours: BTreeSet<_> = self.expected(built_here(vg)).into_iter().map(|device| device.uuid).collect();
        let prefix = self.naming().uuid_prefix();
        let is_foreign = |uuid: &DmUuid| uuid.as_str().starts_with(&prefix) && !ours.contains(uuid);
        let devices = self.kernel().list()?;
        let foreign = devices.iter().find(|info| info.uuid.as_ref().is_some_and(is_foreign));
        foreign.map_or(Ok(()), |info| {
            let cause =
                format!("device {} of volume group {} is none that dmsnap renames", info.name, vg.name);
            Err(Error::new(Kind::InUse, cause).hint("deactivate its volume with LVM2 first"))
        })
    }

    /// An error if a device has a name that one of the group's has as the metadata will be.
    fn refuse_borne_names(&self, intended: &Vg) -> Result<()> {
        let naming = Naming::new(intended, self.engine.dev());
        for map in built_here(intended).filter(|lv| is_map(lv)) {
            Layer::OF_MAP.into_iter().try_for_each(|layer| naming.name(&map.name, layer).map(drop))?;
        }
        let mut expected = built_here(intended).flat_map(|lv| naming.expected(lv));
        expected.try_for_each(|device| self.refuse_borne_name(&device.name))
    }

    /// The change by which devices join.
    fn joining(&self, devices: &[PathBuf], labelling: Labelling) -> Result<Change> {
        let labels = self.engine.take(self.engine.scan()?, devices, labelling)?;
        let extent_size = self.vg().extent_size;
        let new = |taken: &Taken| taken.pv.as_new(extent_size).map(Edit::AddPv);
        let intent = labels.iter().map(new).collect::<Result<_>>()?;
        Ok(Change { labels, intent, ..Change::default() })
    }
}

fn no_label(path: &Path) -> Error {
    Error::new(Kind::NotFound, format!("{} is no physical volume", path.display()))
        .hint("`dmsnap pv list` shows which devices are")
        .at(Context::Device(path.to_owned()))
}
