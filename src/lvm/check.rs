//! What makes a volume group ours to change, or not, in words.
//!
//! [`refusal`] judges a volume group as it was found; [`validate`] judges one that is to be written, as LVM2 does
//! before each write. Names of new volumes must also fit into device-mapper's, which LVM2 finds out too late.

use std::borrow::Cow;
use std::collections::HashSet;

use super::free::used_runs;
use super::model::{Area, Lv, SegmentKind, Vg, Words};
use super::name::{LvName, NAME_MAX, Tag, VgName};
use crate::error::{Context, Error, Kind, Result};
use crate::units::Extents;

pub(super) mod known;

/// What a host is to volume groups that have an owner.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Host {
    /// Its system id, if it has one.
    pub system_id: Option<String>,
    /// Others' system ids that it may use as its own.
    pub extra_system_ids: Vec<String>,
}

impl Host {
    /// True if a volume group with this system id is this host's.
    fn owns(&self, system_id: &str) -> bool {
        let mut own = self.system_id.iter().chain(&self.extra_system_ids);
        system_id.is_empty() || own.any(|own| own == system_id)
    }
}

/// Why a volume group may not be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The volume group.
    pub vg: VgName,
    /// What was found, as a sentence: `volume group vg0 is exported`.
    pub reason: String,
    /// The way out, if there is one.
    pub hint: Option<String>,
    /// True if volumes may be activated all the same, those that lie on what is there.
    pub allows_activation: bool,
    /// What may be done to it all the same; it is the way out.
    pub exempt: Option<Exempt>,
}

/// A change that is the way out of what else keeps a volume group from being changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exempt {
    /// Devices are missing: volumes and devices may be taken away, and returned ones taken in again.
    Reduction,
    /// Another group has the same name: one of them may be renamed.
    Renaming,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let error = Self::new(Kind::Refused, refusal.reason).at(Context::Vg(refusal.vg.to_string()));
        match refusal.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// Why this volume group, as its text has it, may not be changed by this host; nothing if it may. The first of
/// several reasons is given, the one that LVM2 would stop at.
pub fn refusal(vg: &Vg, host: &Host) -> Option<Refusal> {
    let damaged =
        || damage(vg).map(|text| (text, Some("restore the metadata with LVM2's vgcfgrestore".into())));
    let whole = ownership(vg, host).or_else(|| unknown_words(vg)).or_else(damaged);
    let allows_activation = whole.is_none();
    let unchangeable =
        whole.or_else(|| unknown_segments(vg)).or_else(|| moving(vg)).or_else(|| unwritable(vg));
    let is_known = unchangeable.is_none();
    let (what, hint) = unchangeable.or_else(|| missing(vg))?;
    Some(Refusal {
        vg: vg.name.clone(),
        reason: format!("volume group {} {what}", vg.name),
        hint: hint.map(Cow::into_owned),
        allows_activation,
        exempt: is_known.then_some(Exempt::Reduction),
    })
}

/// What was found, and the way out.
type Found = Option<(String, Option<Cow<'static, str>>)>;

fn ownership(vg: &Vg, host: &Host) -> Found {
    let found = |text: &str, hint: Option<&'static str>| Some((text.to_owned(), hint.map(Cow::from)));
    if vg.status.has("EXPORTED") {
        return found("is exported", Some("import it with LVM2's vgimport"));
    }
    if known::TOP_FIELDS.contains(&vg.name.as_str()) {
        return found("has the name of a field of its own metadata", Some("rename it with LVM2's vgrename"));
    }
    if let Some(owner) = vg.system_id.as_deref().filter(|owner| !host.owns(owner)) {
        return Some((format!("belongs to another host, with system id {owner}"), None));
    }
    if let Some(kind) = shared_locks(vg) {
        return Some((format!("is shared between hosts with {kind} locks"), None));
    }
    if vg.status.has("CLUSTERED") {
        return found("is clustered", None);
    }
    if !vg.writable() {
        return found("is read-only", Some("make it writable with LVM2's vgchange"));
    }
    None
}

fn shared_locks(vg: &Vg) -> Option<&str> {
    vg.lock_type.as_deref().filter(|kind| !matches!(*kind, "" | "none"))
}

fn unknown_words(vg: &Vg) -> Found {
    let unknown = |words: &Words, known: &[&str]| {
        words.iter().find(|word| !known.contains(word)).map(ToOwned::to_owned)
    };
    let vgs = unknown(&vg.status, &known::VG_STATUS).map(|word| ("it".to_owned(), word));
    let pvs = || vg.pvs.iter().find_map(|pv| Some((pv.key.clone(), unknown(&pv.status, &known::PV_STATUS)?)));
    let lvs =
        || vg.lvs.iter().find_map(|lv| Some((lv.name.to_string(), unknown(&lv.status, &known::LV_STATUS)?)));
    let (what, word) = vgs.or_else(pvs).or_else(lvs)?;
    Some((format!("says a thing that dmsnap does not know: {what} has the status {word}"), None))
}

fn unknown_segments(vg: &Vg) -> Found {
    let mut segments = vg.lvs.iter().flat_map(|lv| lv.segments.iter().map(move |segment| (lv, segment)));
    segments.find_map(|(lv, segment)| match &segment.kind {
        SegmentKind::Other { type_name, .. } if !known::is_segment_type(type_name) => {
            let text = format!(
                "says a thing that dmsnap does not know: {} has segments of type {type_name}",
                lv.name
            );
            Some((text, None))
        }
        _ => None,
    })
}

/// LVM2's pvmove runs, or was interrupted: it commits again and again, and what it moves is mapped in two places.
fn moving(vg: &Vg) -> Found {
    let moved = vg.lvs.iter().find(|lv| lv.status.has("PVMOVE"))?;
    let areas = moved.segments.iter().find_map(|segment| match &segment.kind {
        SegmentKind::Other { areas, .. } => Some(areas.as_slice()),
        _ => None,
    });
    let pv = |area: &Area| match area {
        Area::Pv { pv, .. } => vg.pvs.get(*pv).map(|pv| pv.device.as_deref().unwrap_or(&pv.key)),
        Area::Lv { .. } => None,
    };
    let (from, to) = match areas.unwrap_or_default() {
        [from, to, ..] => (pv(from), pv(to)),
        _ => (None, None),
    };
    let from = from.map_or_else(String::new, |from| format!(" from {from}"));
    let to = to.map_or_else(String::new, |to| format!(" to {to}"));
    let hint = "wait until it is done; if it was interrupted, `pvmove` without arguments goes on with it, and `pvmove --abort` takes it back";
    Some((
        format!("is in the middle of LVM2's pvmove: {} moves extents{from}{to}", moved.name),
        Some(hint.into()),
    ))
}

/// What LVM2 reads and uses, and never writes.
fn unwritable(vg: &Vg) -> Found {
    let invalid = |what: &str, text: &str| {
        Some((format!("has {what} of a form that LVM2 does not write, {text}"), None))
    };
    let bad_tag = |tags: &[Tag]| tags.iter().find(|tag| !tag.is_valid()).cloned();
    let is_shared = shared_locks(vg).is_some();
    if vg.has_lock_args && !is_shared {
        return Some(("has lock_args and no lock_type".to_owned(), None));
    }
    if let Some(lv) = vg.lvs.iter().find(|lv| lv.has_lock_args && !is_shared) {
        return Some((format!("has a volume with lock_args, {}, and no lock_type", lv.name), None));
    }
    if let Some(lv) = vg.lvs.iter().find(|lv| !lv.name.is_valid()) {
        return invalid("a volume name", lv.name.as_str());
    }
    let of_segments = |lv: &Lv| lv.segments.iter().find_map(|segment| bad_tag(&segment.tags));
    let of_lv = |lv: &Lv| bad_tag(&lv.tags).or_else(|| of_segments(lv));
    let tag = bad_tag(&vg.tags).or_else(|| vg.pvs.iter().find_map(|pv| bad_tag(&pv.tags)));
    let tag = tag.or_else(|| vg.lvs.iter().find_map(|lv| of_lv(lv)))?;
    invalid("a tag", tag.as_str())
}

/// An error if LVM2 would not write this volume group whatever is changed in it.
pub(super) fn check_writable(vg: &Vg) -> Result<()> {
    let Some((what, _)) = unwritable(vg) else { return Ok(()) };
    let text = format!("volume group {} {what}", vg.name);
    Err(Error::new(Kind::Refused, text).at(Context::Vg(vg.name.to_string())))
}

fn missing(vg: &Vg) -> Found {
    let pv = vg.pvs.iter().find(|pv| pv.missing())?;
    let what = pv.device.as_deref().unwrap_or(&pv.key);
    let hint = format!(
        "bring the device back and take it in with `dmsnap vg extend {name} --restore-missing {what}`, or go on without it: \
         `dmsnap vg reduce {name} --missing`",
        name = vg.name
    );
    Some((format!("was changed while physical volume {what} was missing"), Some(hint.into())))
}

/// What no volume group may say, as the rest of a sentence.
fn damage(vg: &Vg) -> Option<String> {
    overlap(vg).or_else(|| same_identity(vg)).or_else(|| bad_snapshots(vg)).or_else(|| impossible(vg))
}

/// Volumes with which LVM2 reads nothing of the whole group.
fn impossible(vg: &Vg) -> Option<String> {
    let is_itself = |lv: &Lv, area: &Area| matches!(area, Area::Lv { name, .. } if *name == lv.name);
    let lies_on_itself = |lv: &Lv| {
        lv.segments.iter().any(|segment| match &segment.kind {
            SegmentKind::Striped { areas, .. } | SegmentKind::Other { areas, .. } => {
                areas.iter().any(|area| is_itself(lv, area))
            }
            SegmentKind::Snapshot { .. } => false,
        })
    };
    vg.lvs.iter().find_map(|lv| match &**lv {
        lv if lv.extents().is_zero() => Some(format!("has a volume without extents, {}", lv.name)),
        lv if lies_on_itself(lv) => Some(format!("has a volume that lies on itself, {}", lv.name)),
        _ => None,
    })
}

fn overlap(vg: &Vg) -> Option<String> {
    for (pv, runs) in vg.pvs.iter().zip(used_runs(vg)) {
        let mut end = Extents::ZERO;
        for run in runs {
            if run.start < end {
                return Some(format!("has extent {} of {} in two volumes", run.start.get(), pv.key));
            }
            end = run.end();
        }
    }
    None
}

fn same_identity(vg: &Vg) -> Option<String> {
    let mut seen = HashSet::with_capacity(vg.lvs.len());
    if let Some(lv) = vg.lvs.iter().find(|lv| !seen.insert(&lv.id)) {
        return Some(format!("has two volumes with the uuid {}", lv.id));
    }
    seen.clear();
    let pv = vg.pvs.iter().find(|pv| !seen.insert(&pv.id))?;
    Some(format!("has two physical volumes with the uuid {}", pv.id))
}

fn bad_snapshots(vg: &Vg) -> Option<String> {
    let (mut stores, mut merging) = (HashSet::new(), HashSet::new());
    for snapshot in vg.snapshots() {
        if snapshot.origin == snapshot.store {
            return Some(format!("has a snapshot, {}, that is its own origin", snapshot.store));
        }
        if !stores.insert(&snapshot.store) {
            return Some(format!("has two snapshots in one store, {}", snapshot.store));
        }
        if snapshot.merging && !merging.insert(&snapshot.origin) {
            return Some(format!("has two snapshots to be merged into {}", snapshot.origin));
        }
    }
    None
}

/// Checks a volume group before it is written; `before` is what it was, if it was there. One that has more than it may since its
/// limit was lowered may have no more.
pub fn validate(before: Option<&Vg>, vg: &Vg) -> Result<()> {
    let refuse = |kind, text: String| Err(Error::new(kind, text));
    let full = |most: u64, what: &str, way: &str| {
        let text = format!("volume group {} may have {most} {what} only", vg.name);
        Err(Error::new(Kind::NoSpace, text)
            .hint(format!("remove one, or raise the limit with LVM2's `vgchange {way}`")))
    };
    if let Some(lv) = vg.lvs.iter().find(|lv| lv.extents().is_zero()) {
        return refuse(Kind::Usage, format!("volume {}/{} would be empty", vg.name, lv.name));
    }
    if let Some(text) = damage(vg) {
        return refuse(Kind::Internal, format!("after this change volume group {} {text}", vg.name));
    }
    check_countable(vg)?;
    let visible = |vg: &Vg| vg.lvs.iter().filter(|lv| vg.visible(&lv.name)).count() as u64;
    let grew = |count: &dyn Fn(&Vg) -> u64| before.is_none_or(|before| count(vg) > count(before));
    if vg.max_lv != 0 && visible(vg) > vg.max_lv && grew(&visible) {
        return full(vg.max_lv, "volumes", "--maxlogicalvolumes");
    }
    let devices = |vg: &Vg| vg.pvs.len() as u64;
    if vg.max_pv != 0 && devices(vg) > vg.max_pv && grew(&devices) {
        return full(vg.max_pv, "devices", "--maxphysicalvolumes");
    }
    Ok(())
}

/// LVM2 counts the extents of a group, and the sectors of an extent, in 32 bits: more it reads as something else.
fn check_countable(vg: &Vg) -> Result<()> {
    let most = u64::from(u32::MAX);
    let (what, hint) = if vg.extents().get() > most {
        (format!("{} extents of {}", vg.extents().get(), vg.extent_size), "larger")
    } else if vg.extent_size.get() > most {
        (format!("extents of {}", vg.extent_size), "smaller")
    } else {
        return Ok(());
    };
    Err(Error::new(
        Kind::Usage,
        format!("volume group {} would have {what}, which LVM2 cannot count", vg.name),
    )
    .hint(format!("make the group with a {hint} extent size")))
}

/// An error if a volume group of this name could not be told from a field of its own text.
pub fn check_new_vg_name(name: &VgName) -> Result<()> {
    if !known::TOP_FIELDS.contains(&name.as_str()) {
        return Ok(());
    }
    let text = format!("bad volume group name \"{name}\": LVM2's metadata has a field of that name");
    Err(Error::new(Kind::Usage, text).hint("choose another name"))
}

/// An error while LVM2 has the volume locked, as it does for the time of a pvmove.
pub fn check_unlocked(vg: &Vg, name: &LvName) -> Result<()> {
    let lv = vg.find_lv(name)?;
    if !lv.status.has("LOCKED") && !lv.status.has("PVMOVE") {
        return Ok(());
    }
    let text = format!("volume {}/{name} is being moved by LVM2's pvmove", vg.name);
    Err(Error::new(Kind::InUse, text).hint("wait until that is done"))
}

/// An error if physical volumes may not join or leave.
pub fn check_resizeable(vg: &Vg) -> Result<()> {
    if vg.status.has("RESIZEABLE") {
        return Ok(());
    }
    let text = format!("volume group {} may not be extended or reduced", vg.name);
    Err(Error::new(Kind::Refused, text).hint("allow it with LVM2's vgchange --resizeable y"))
}

/// An error if a volume has the name, or the volume group's history keeps it.
pub fn check_free_name(vg: &Vg, name: &LvName) -> Result<()> {
    if vg.lv(name).is_some() {
        return Err(taken(vg, name));
    }
    if vg.historical.contains(name) {
        let text = format!("volume group {} keeps in its history a removed volume {name}", vg.name);
        return Err(Error::new(Kind::AlreadyExists, text).hint("choose another name"));
    }
    Ok(())
}

/// The error for a name that a volume has.
pub(super) fn taken(vg: &Vg, name: &LvName) -> Error {
    Error::new(Kind::AlreadyExists, format!("volume group {} already has a volume {name}", vg.name))
        .hint("choose another name")
}

/// An error if the name of a volume's device, `vg-lv` with hyphens doubled and a suffix such as `-cow`, is longer
/// than device-mapper takes.
pub fn check_device_name(vg: &VgName, lv: &LvName, suffix: &str) -> Result<()> {
    let doubled = |name: &str| name.len() + name.bytes().filter(|&byte| byte == b'-').count();
    let device = doubled(vg.as_str()) + 1 + doubled(lv.as_str()) + suffix.len();
    // LVM2 has a second rule, for the names as they are.
    let plain = vg.as_str().len() + lv.as_str().len() + 3;
    if device <= NAME_MAX && plain <= NAME_MAX {
        return Ok(());
    }
    let text = format!(
        "the name {vg}/{lv} is too long: its device's name would have {} bytes with hyphens doubled, at most {NAME_MAX} fit",
        device.max(plain)
    );
    Err(Error::new(Kind::Usage, text).hint("choose a shorter name, or one with fewer hyphens"))
}

#[cfg(test)]
mod tests;
