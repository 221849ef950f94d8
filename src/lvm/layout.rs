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

    /// The volumes whose devices dmsnap builds: those that people use, with all their snapshots. Whatever lvm2 made of other
    /// segment types, and what that consists of, is not among them.
    pub fn built_here(&self) -> impl Iterator<Item = &Lv> {
        self.lvs.iter().map(AsRef::as_ref).filter(|lv| {
            let root = self.root_of(&lv.name);
            let is_used = matches!(self.role(&root), Some(Role::Plain | Role::Origin)) && self.visible(&root);
            is_used
                && lv.foreign_layout().is_none()
                && self.lv(&root).is_some_and(|root| root.foreign_layout().is_none())
        })
    }
}
