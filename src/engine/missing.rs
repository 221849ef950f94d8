//! Devices that are missing from a volume group: going on without them, and taking them in again.
//!
//! While devices are missing a group changes only in ways that lead out of that: volumes are removed, the missing devices are
//! taken out, those that came back are taken in. A device that was away while the group was changed is marked in the
//! metadata, and counts as missing until somebody says that what it holds is right.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::Engine;
use super::fill::named_by;
use super::list::vg_view;
use super::operation::{Change, Mode, Report};
use super::session::Session;
use super::view::VgView;
use crate::error::{Error, Kind, Result};
use crate::lvm::{Area, Edit, Lv, Pv, Role, SegmentKind, Uuid, Vg, VgName};

impl Engine {
    /// Takes the missing devices out of a volume group; no volume may lie on them.
    pub fn drop_missing(&self, vg: &VgName, mode: Mode) -> Result<Report<VgView>> {
        let global = self.lock_set(mode)?;
        let views = |session: &Session<'_>| Ok(vec![vg_view(&session.open)]);
        let what = format!("vg reduce {vg} --missing");
        let report = self.run_reducing(vg, mode, &what, |session| session.without_missing(), views);
        drop(global);
        report.map_err(|error| error.doing(format!("take the missing devices out of volume group {vg}")))
    }

    /// Takes devices in again that were missing while their group was changed: what they hold counts as right.
    pub fn restore_missing(&self, vg: &VgName, devices: &[PathBuf], mode: Mode) -> Result<Report<VgView>> {
        let global = self.lock_set(mode)?;
        let views = |session: &Session<'_>| Ok(vec![vg_view(&session.open)]);
        let what = format!("vg extend {vg} --restore-missing");
        let report = self.run_reducing(vg, mode, &what, |session| session.restored(devices), views);
        drop(global);
        report.map_err(|error| error.doing(format!("take devices into volume group {vg} again")))
    }
}

impl Session<'_> {
    fn without_missing(&self) -> Result<Change> {
        let vg = self.vg();
        let known = |id: &Uuid| self.open.pvs.iter().any(|pv| pv.id == *id && pv.present.is_some());
        let is_missing = |pv: &&Arc<Pv>| pv.missing() || !known(&pv.id);
        let missing: Vec<Uuid> = vg.pvs.iter().filter(is_missing).map(|pv| pv.id).collect();
        let stranded: Vec<_> = vg.lvs.iter().filter(|lv| lies_on(vg, lv, &missing)).collect();
        if !stranded.is_empty() {
            return Err(lie_on_missing(vg, &stranded));
        }
        let notes = if missing.is_empty() {
            vec![format!("no device of {} is missing", vg.name)]
        } else {
            Vec::new()
        };
        let intent = missing.into_iter().map(|pv| Edit::RemovePv { pv }).collect();
        Ok(Change { intent, notes, ..Change::default() })
    }

    fn restored(&self, devices: &[PathBuf]) -> Result<Change> {
        let vg = self.vg();
        let restored = |(pv, path): (Uuid, &PathBuf)| match vg.pv_by_id(&pv) {
            Some(known) if known.missing() => Ok(Edit::SetPvMissing { pv, missing: false }),
            _ => Err(Error::new(
                Kind::Usage,
                format!("{} was not missing in volume group {}", path.display(), vg.name),
            )
            .hint(format!("`dmsnap vg list {}` says what is the matter with it", vg.name))),
        };
        let intent = self.pvs_on(devices)?.into_iter().zip(devices).map(restored).collect::<Result<_>>()?;
        Ok(Change { intent, ..Change::default() })
    }
}

/// True if a volume lies on one of these.
pub(super) fn lies_on(vg: &Vg, lv: &Lv, pvs: &[Uuid]) -> bool {
    let is_there = |area: &Area| matches!(area, Area::Pv { pv, .. } if vg.pvs.get(*pv).is_some_and(|pv| pvs.contains(&pv.id)));
    lv.segments.iter().any(|segment| match &segment.kind {
        SegmentKind::Striped { areas, .. } | SegmentKind::Other { areas, .. } => areas.iter().any(is_there),
        SegmentKind::Snapshot { .. } => false,
    })
}

fn lie_on_missing(vg: &Vg, stranded: &[&Arc<Lv>]) -> Error {
    let lvs: BTreeSet<_> = stranded.iter().map(|lv| named_by(vg, lv)).collect();
    let names: Vec<_> = lvs.iter().map(|lv| format!("{}/{lv}", vg.name)).collect();
    let commands = lvs.iter().map(|lv| match vg.role(lv) {
        Some(Role::Cow) => format!("`dmsnap snapshot remove {}/{lv}`", vg.name),
        _ => format!("`dmsnap volume remove {}/{lv}`", vg.name),
    });
    Error::new(Kind::InUse, format!("volumes lie on missing devices: {}", names.join(", "))).hint(format!(
        "bring the devices back, or give the volumes up: {}",
        commands.collect::<Vec<_>>().join(", ")
    ))
}
