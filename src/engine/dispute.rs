//! A volume group of which devices hold different versions under one seqno: a person says which device is right.
//!
//! That version is committed anew, into every metadata area. What volumes are active must be as it has them: no extent becomes
//! free that a live table maps, and no snapshot becomes valid that missed its origin's writes. Copies of all versions are kept in lvm2's
//! archive first.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use super::fill::built_here;
use super::operation::{Mode, first_failure};
use super::outline::Entry;
use super::plan::Step;
use super::session::Session;
use super::tree::FoundTree;
use super::{Engine, Report, list};
use crate::error::{Error, Kind, Result};
use crate::lvm::{Lv, Version, Vg, VgName, check_room};

impl Engine {
    /// Takes the metadata of one device as the right one, where devices hold different versions under one seqno; then does what
    /// [`Engine::repair`] does. A dry run shows the versions.
    pub fn settle(&self, vg: &VgName, from: &Path, mode: Mode) -> Result<Report<()>> {
        self.settled(vg, from, mode)
            .map_err(|error| error.doing(format!("repair volume group {vg} from {}", from.display())))
    }

    fn settled(&self, vg: &VgName, from: &Path, mode: Mode) -> Result<Report<()>> {
        let began = Instant::now();
        // Devices may leave the group.
        let _global = self.lock_set(mode)?;
        let device = self.world.devices.lookup(from)?;
        let (mut session, versions) = self.disputed_session(vg, &device, mode)?;
        session.open.check_changeable()?;
        session.refuse_active_otherwise(&versions)?;
        let description = format!("repair {vg} --from {}", from.display());
        check_room(&session.open, session.vg(), &self.stamp(&description))?;
        let notes = lost(&versions);
        if mode.dry_run {
            let rest = session.difference()?.entries().into_iter().filter(|entry| *entry != Entry::Renew);
            let planned = Some(outline(&versions).into_iter().chain(rest).collect());
            return Ok(Report { planned, notes, ..Report::default() });
        }
        versions.iter().for_each(|version| self.archive(&version.vg, &description));
        session.renew(&description)?;
        let mut recovery = session.difference()?;
        session.restore_order(&mut recovery)?;
        let elapsed = began.elapsed();
        self.back_up(session.vg(), &description);
        first_failure(recovery.stuck)?;
        Ok(Report { elapsed, notes, ..Report::default() })
    }
}

/// What each version is, and what becomes of it.
fn outline(versions: &[Version]) -> Vec<Entry> {
    let Some((right, others)) = versions.split_first() else { return Vec::new() };
    let seqno = right.vg.seqno.saturating_add(1);
    let kept =
        format!("commit as seqno {seqno} what {} says: {}", right.devices.join(", "), summary(&right.vg));
    let given_up = others.iter().map(|other| {
        let only = only_in(&other.vg, &right.vg);
        let only = if only.is_empty() { String::new() } else { format!("; only there: {}", only.join(", ")) };
        format!("give up what {} says: {}{only}", other.devices.join(", "), summary(&other.vg))
    });
    std::iter::once(kept).chain(given_up).map(Entry::Version).collect()
}

/// What a person knows a version by.
fn summary(vg: &Vg) -> String {
    let written = vg.written();
    let time = list::rfc3339(written.time).unwrap_or_default();
    format!("seqno {}, written {time} on {}, \"{}\"", vg.seqno, written.host, written.description)
}

/// What a person should know when the others are gone.
fn lost(versions: &[Version]) -> Vec<String> {
    let Some((right, others)) = versions.split_first() else { return Vec::new() };
    let lost = |other: &Version| {
        let only = only_in(&other.vg, &right.vg);
        (!only.is_empty())
            .then(|| format!("only in the version of {}: {}", other.devices.join(", "), only.join(", ")))
    };
    let unsure = right.vg.snapshots().iter().filter(|snapshot| {
        let has = |other: &Version| other.vg.snapshot_of_store(&snapshot.store).is_some();
        !others.iter().all(has)
    });
    let unsure = unsure.map(|snapshot| {
        format!(
            "snapshot {} is not in every version: it is out of date if its origin was written to without it",
            snapshot.store
        )
    });
    others.iter().filter_map(lost).chain(unsure).collect()
}

/// The volumes and devices that only the first of two versions has.
fn only_in(vg: &Vg, other: &Vg) -> Vec<String> {
    let volumes =
        vg.lvs.iter().filter(|lv| !lv.is_snapshot_tie() && !other.lvs.iter().any(|one| one.id == lv.id));
    let pvs = vg.pvs.iter().filter(|pv| other.pv_by_id(&pv.id).is_none());
    let device = |pv: &crate::lvm::Pv| format!("device {}", pv.device.as_deref().unwrap_or(pv.key.as_str()));
    volumes.map(|lv| format!("volume {}", lv.name)).chain(pvs.map(|pv| device(pv))).collect()
}

impl Session<'_> {
    /// An error if the kernel has a device of the group otherwise than its metadata says.
    fn refuse_active_otherwise(&self, versions: &[Version]) -> Result<()> {
        let vg = self.vg();
        let prefix = self.naming().uuid_prefix();
        for info in self.kernel().list()? {
            let id = info.uuid.as_ref().and_then(|uuid| uuid.as_str().strip_prefix(&prefix));
            let Some(id) = id else { continue };
            let is_its = |lv: &&std::sync::Arc<Lv>| id.starts_with(lv.id.compact());
            let Some(lv) = vg.lvs.iter().find(is_its) else {
                return Err(active_otherwise(&format!("device {} is of no volume that it knows", info.name)));
            };
            let is_other = |version: &Version| {
                version.vg.lvs.iter().find(is_its).is_some_and(|other| !is_same(vg, lv, &version.vg, other))
            };
            if built_here(vg).all(|built| built.id != lv.id) && versions.iter().any(is_other) {
                return Err(active_otherwise(&format!(
                    "the versions differ in volume {}, which is active",
                    lv.name
                )));
            }
        }
        self.refuse_followers()
    }

    /// The same for the volumes that dmsnap builds: an error if a device would have to follow.
    fn refuse_followers(&self) -> Result<()> {
        let vg = self.vg();
        let found = FoundTree::read(self.kernel(), &self.expected(built_here(vg)))?;
        let active = self.active(&found, built_here(vg));
        let roots: BTreeSet<_> =
            vg.lvs.iter().filter(|lv| active.contains(&lv.id)).map(|lv| lv.name.clone()).collect();
        let plan = self.plan_for(vg, &found, &roots).map_err(|error| active_otherwise(&error.message()))?;
        let follows = |entry: &Entry| match entry {
            Entry::Step { step, .. } => {
                !matches!(step, Step::Rename { .. } | Step::Publish { .. } | Step::Retract { .. })
            }
            _ => true,
        };
        plan.entries().iter().find(|entry| follows(entry)).map_or(Ok(()), |entry| {
            Err(active_otherwise(&format!("for what is active to be as it says, dmsnap would {entry}")))
        })
    }
}

/// True if a volume lies in two versions at the same places.
fn is_same(vg: &Vg, lv: &Lv, other_vg: &Vg, other: &Lv) -> bool {
    let ids = |vg: &Vg| vg.pvs.iter().map(|pv| pv.id).collect::<Vec<_>>();
    lv.segments == other.segments && ids(vg) == ids(other_vg)
}

fn active_otherwise(what: &str) -> Error {
    Error::new(Kind::InUse, format!("volumes are active otherwise than this version has them: {what}"))
        .hint("unmount and close them, take their devices away with `dmsetup remove`, then try again")
}
