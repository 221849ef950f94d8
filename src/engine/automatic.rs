//! Activation that nobody asked for: at boot, and when devices appear.
//!
//! What lvm2's settings and flags keep from it stays down, as with `vgchange -aay`; so does a group of which a device is missing, for
//! its device may be about to appear. None of that is an error: notes say it.

use std::path::Path;
use std::time::Instant;

use super::Engine;
use super::operation::{Change, Mode, Report};
use super::session::Session;
use super::view::VolumeView;
use crate::error::Result;
use crate::lvm::{Lv, LvFlag, OpenVg, Vg, VgName};

impl Engine {
    /// Activates those volumes of the group that are to be active without being named.
    pub fn activate_by_itself(&self, vg: &VgName, mode: Mode) -> Result<Report<VolumeView>> {
        self.activated_by_itself(vg, mode).map_err(|error| error.doing(format!("activate {vg}")))
    }

    fn activated_by_itself(&self, vg: &VgName, mode: Mode) -> Result<Report<VolumeView>> {
        let began = Instant::now();
        let session = self.activation_session(vg, mode)?;
        if let Some(why) = stays_down(&session.open) {
            let notes = vec![format!("{vg} is left alone: {why}")];
            return Ok(Report { notes, ..Report::default() });
        }
        let change = |session: &Session<'_>| Ok(session.automatic());
        let views = |session: &Session<'_>| {
            let roots = session.automatic().touched;
            session.refuse_resting(&roots)?;
            let roots: Vec<_> = roots.into_iter().collect();
            if roots.is_empty() { Ok(Vec::new()) } else { session.volume_views_of(&roots) }
        };
        session.operate(began, mode, "activate", change, views)
    }

    /// The groups that have a physical volume on this device.
    pub fn groups_on(&self, device: &Path) -> Result<Vec<VgName>> {
        let number = self.world.devices.lookup(device)?.number;
        let scan = self.scan()?;
        let is_on = |open: &&OpenVg| open.pv_on(number).is_some();
        Ok(scan.vgs.iter().filter(is_on).map(|open| open.vg.name.clone()).collect())
    }
}

impl Session<'_> {
    fn automatic(&self) -> Change {
        let mut change = Change { apart: true, ..Change::default() };
        let list = self.engine.world.lvm2.auto_activation.as_deref();
        let vg = self.vg();
        for name in self.all(&mut change.notes) {
            match vg.find_lv(&name).ok().and_then(|lv| kept_down(vg, lv, list)) {
                Some(why) => change.notes.push(format!("{}/{name} is left alone: {why}", vg.name)),
                None => {
                    change.touched.insert(name);
                }
            }
        }
        change.activate.clone_from(&change.touched);
        change
    }
}

/// Why nothing of a group is activated by itself.
fn stays_down(open: &OpenVg) -> Option<String> {
    if open.vg.flags.has(LvFlag::NoAutoActivate.word()) {
        return Some("it is to be activated only when it is named".to_owned());
    }
    let missing = open.pvs.iter().filter(|pv| pv.present.is_none()).count();
    (missing > 0).then(|| format!("{missing} of its {} physical volumes are missing", open.pvs.len()))
}

/// Why a volume is not activated by itself.
fn kept_down(vg: &Vg, lv: &Lv, list: Option<&[String]>) -> Option<&'static str> {
    if lv.flags.has(LvFlag::NoAutoActivate.word()) {
        return Some("it is to be activated only when it is named");
    }
    let is_listed = list.is_none_or(|list| list.iter().any(|entry| names(entry, vg, lv)));
    (!is_listed).then_some("it is not in auto_activation_volume_list")
}

/// Whether an entry of lvm2's list means this volume. Hosts have no tags here, so `@*` means none.
fn names(entry: &str, vg: &Vg, lv: &Lv) -> bool {
    if let Some(tag) = entry.strip_prefix('@') {
        return vg.tags.iter().chain(&lv.tags).any(|other| other.as_str() == tag);
    }
    match entry.split_once('/') {
        None => entry == vg.name.as_str(),
        Some((group, volume)) => group == vg.name.as_str() && volume == lv.name.as_str(),
    }
}
