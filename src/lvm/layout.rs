//! How volumes lie on physical volumes, and whether dmsnap can build that.

use super::model::{Area, Lv, Role, SegmentKind, Vg};
use super::name::LvName;

impl Lv {
    /// `linear`, `striped`, or lvm2's words for other segment types.
    pub fn layout(&self) -> String {
        let word = |kind: &SegmentKind| match kind {
            SegmentKind::Striped { areas, .. } if areas.len() > 1 => "striped".to_owned(),
            SegmentKind::Striped { .. } => "linear".to_owned(),
            SegmentKind::Snapshot { .. } => "snapshot".to_owned(),
            SegmentKind::Other { type_name, .. } => type_name.clone(),
        };
        let mut words: Vec<_> = self.segments.iter().map(|segment| word(&segment.kind)).collect();
        words.sort();
        words.dedup();
        words.join(",")
    }

    /// What the volume is that dmsnap cannot build, in words; nothing if it can: linear or striped, on physical volumes,
    /// under whatever device number.
    pub fn foreign_layout(&self) -> Option<String> {
        let on_pvs = |areas: &[Area]| areas.iter().all(|area| matches!(area, Area::Pv { .. }));
        let is_ours =
            |kind: &SegmentKind| matches!(kind, SegmentKind::Striped { areas, .. } if on_pvs(areas));
        if self.segments.iter().all(|segment| is_ours(&segment.kind)) {
            return self.status.has("FIXED_MINOR").then(|| "a device with a fixed number".to_owned());
        }
        let is_striped = |kind: &SegmentKind| matches!(kind, SegmentKind::Striped { .. });
        let is_stacked = self.segments.iter().all(|segment| is_striped(&segment.kind));
        Some(if is_stacked { "a stack of volumes".to_owned() } else { self.layout() })
    }
}

impl Vg {
    /// The volume that decides whether this one is active: a snapshot's origin, else itself.
    pub fn root_of(&self, name: &LvName) -> LvName {
        self.snapshot_of_store(name).map_or_else(|| name.clone(), |snapshot| snapshot.origin.clone())
    }

    /// What the volume is that dmsnap cannot build, in words, by its own layout or as what it is to others.
    pub fn foreign_kind(&self, lv: &Lv) -> Option<String> {
        lv.foreign_layout().or_else(|| self.oddity(lv).map(ToOwned::to_owned))
    }

    /// What LVM2 reads and no device can be made of.
    pub fn oddity(&self, lv: &Lv) -> Option<&'static str> {
        let is_snapshot = |name: &LvName| self.snapshot_of_store(name).is_some();
        let snapshot = self.snapshot_of_store(&lv.name);
        if !lv.name.is_valid() {
            Some("its name is none that LVM2 would write")
        } else if snapshot.is_some_and(|snapshot| is_snapshot(&snapshot.origin)) {
            Some("a snapshot of a snapshot")
        } else if snapshot.is_some() && self.snapshots_of(&lv.name).next().is_some() {
            Some("a snapshot that has snapshots")
        } else if snapshot.is_some_and(|snapshot| !snapshot.chunk_size.get().is_power_of_two()) {
            Some("a snapshot whose chunk size is no power of two")
        } else {
            None
        }
    }

    /// The volumes whose devices dmsnap builds: those that people use, with all their snapshots. Whatever lvm2 made of other
    /// segment types, and what that consists of, is not among them.
    pub fn built_here(&self) -> impl Iterator<Item = &Lv> {
        self.lvs.iter().map(AsRef::as_ref).filter(|lv| {
            let root = self.root_of(&lv.name);
            let is_used = matches!(self.role(&root), Some(Role::Plain | Role::Origin)) && self.visible(&root);
            is_used
                && self.foreign_kind(lv).is_none()
                && self.lv(&root).is_some_and(|root| self.foreign_kind(root).is_none())
        })
    }
}
