//! Edits of logical volumes.

use std::sync::Arc;

use super::torn;
use super::words::{LvWords, set_tags, with_tag, without_tag};
use crate::error::{Error, Kind, Result};
use crate::lvm::check;
use crate::lvm::config::{Place, list};
use crate::lvm::edit::{LvFlag, NewLv};
use crate::lvm::model::{Area, Lv, Role, Segment, SegmentKind, Vg};
use crate::lvm::name::{LvName, Tag};
use crate::lvm::write::{self, LvText};

impl Vg {
    pub(super) fn add_lv(&mut self, new: &NewLv) -> Result<()> {
        new.name.check_new()?;
        check::check_free_name(self, &new.name)?;
        check::check_device_name(&self.name, &new.name, "")?;
        self.check_no_tie(&new.name, &new.segments)?;
        new.tags.iter().try_for_each(Tag::check_new)?;
        let mut words = LvWords::default();
        words.set_status("READ", true);
        words.set_status("VISIBLE", new.visible);
        words.set_writable(new.writable, self.write_locked());
        new.flags.iter().for_each(|flag| words.set_flag(flag.word(), true));
        let text = LvText {
            name: &new.name,
            id: &new.id,
            status: &words.status,
            flags: &words.flags,
            tags: &new.tags,
            created: new.created.as_ref(),
            segments: &new.segments,
        };
        let place = if new.visible { self.first_hidden() } else { self.lvs.len() };
        let text = write::lv(&text, &self.pvs)?;
        self.insert_lv(&new.name, place, &text)
    }

    /// LVM2 writes the visible volumes first. This is where the hidden ones begin.
    fn first_hidden(&self) -> usize {
        self.lvs.iter().rposition(|lv| self.visible(&lv.name)).map_or(0, |last| last + 1)
    }

    /// Takes a volume's section in, as the one with this number.
    pub(super) fn insert_lv(&mut self, name: &LvName, place: usize, text: &str) -> Result<()> {
        let before = place.checked_sub(1).and_then(|before| self.lvs.get(before)).map(|lv| lv.name.clone());
        let mut section = self.section()?;
        if section.index("logical_volumes").is_none() {
            section.insert(Place::After(&["physical_volumes"]), "\nlogical_volumes {\n}\n")?;
            section.trim_blank_line();
        }
        let mut lvs = self.lvs_section()?;
        match &before {
            Some(before) => lvs.insert(Place::After(&[before.as_str()]), text)?,
            None => lvs.insert(Place::Index(0), text)?,
        }
        for later in self.index.lvs.values_mut().filter(|later| **later >= place) {
            *later += 1;
        }
        self.index.lvs.insert(name.clone(), place);
        self.lvs.insert(place, Arc::new(Lv::unread(name.clone())));
        self.reread(name)
    }

    pub(super) fn remove_lv(&mut self, name: &LvName) -> Result<()> {
        check::check_unlocked(self, name)?;
        self.check_unreferred(name)?;
        self.drop_lv(name)
    }

    /// Takes a volume out of tree and view.
    pub(super) fn drop_lv(&mut self, name: &LvName) -> Result<()> {
        let mut lvs = self.lvs_section()?;
        lvs.remove(name.as_str());
        if lvs.read().nodes().len() == 0 {
            let mut section = self.section()?;
            section.remove("logical_volumes");
            section.add_blank_line();
        }
        let place = self.index.lvs.remove(name).ok_or_else(|| torn(name))?;
        for later in self.index.lvs.values_mut().filter(|later| **later > place) {
            *later -= 1;
        }
        self.lvs.remove(place);
        Ok(())
    }

    /// An error if something is built on the volume, or it ties others together.
    fn check_unreferred(&self, name: &LvName) -> Result<()> {
        let in_use = |what: String, hint: &str| {
            Err(Error::new(Kind::InUse, format!("volume {}/{name} {what}", self.name)).hint(hint))
        };
        let snapshots: Vec<_> = self.snapshots_of(name).map(|snapshot| snapshot.store.as_str()).collect();
        if !snapshots.is_empty() {
            return in_use(format!("has snapshots: {}", snapshots.join(", ")), "remove the snapshots first");
        }
        if let Some(snapshot) = self.snapshot_of_store(name) {
            return in_use(
                format!("is the store of a snapshot of {}", snapshot.origin),
                "remove the snapshot",
            );
        }
        if self.find_lv(name)?.is_snapshot_tie() {
            return in_use("ties a snapshot to its origin".to_owned(), "remove the snapshot");
        }
        if let Some(user) = self.lvs.iter().find(|lv| is_built_on(lv, name)) {
            return in_use(
                format!("is part of {}", user.name),
                "remove that with LVM2: dmsnap does not change it",
            );
        }
        Ok(())
    }

    pub(super) fn rename_lv(&mut self, name: &LvName, to: &LvName) -> Result<()> {
        to.check_new()?;
        check::check_unlocked(self, name)?;
        check::check_free_name(self, to)?;
        check::check_device_name(&self.name, to, self.device_suffix(name))?;
        if self.role(name) == Some(Role::Hidden) || self.lvs.iter().any(|lv| is_built_on(lv, name)) {
            let text = format!("volume {}/{name} is hidden or part of another one", self.name);
            return Err(
                Error::new(Kind::Refused, text).hint("rename the volume that it belongs to, with LVM2")
            );
        }
        self.lvs_section()?.rename(name.as_str(), to.as_str());
        let place = self.index.lvs.remove(name).ok_or_else(|| torn(name))?;
        self.index.lvs.insert(to.clone(), place);
        self.reread(to)?;
        self.rename_in_ties(name, to)
    }

    pub(super) fn set_segments(&mut self, name: &LvName, segments: &[Segment]) -> Result<()> {
        check::check_unlocked(self, name)?;
        let old = self.find_lv(name)?.clone();
        self.check_no_tie(name, &old.segments)?;
        self.check_no_tie(name, segments)?;
        // Segments that stay keep their text: it may say more than the view does.
        let same = match self.in_text_order(name)? {
            true => old.segments.iter().zip(segments).take_while(|(old, new)| old == new).count(),
            false => 0,
        };
        let text = write::segments(same, segments.get(same..).unwrap_or_default(), &self.pvs)?;
        let mut section = self.lv_section(name)?;
        section.truncate_sections(same);
        section.set("segment_count", &segments.len().to_string(), Place::Last)?;
        section.insert(Place::Last, &text)?;
        self.reread(name)
    }

    /// An error if a volume of these segments ties a snapshot: that takes more than segments.
    fn check_no_tie(&self, name: &LvName, segments: &[Segment]) -> Result<()> {
        if !segments.iter().any(|segment| matches!(segment.kind, SegmentKind::Snapshot { .. })) {
            return Ok(());
        }
        let text = format!("volume {}/{name} ties a snapshot to its origin", self.name);
        Err(Error::new(Kind::Refused, text).hint("change the snapshot"))
    }

    /// True if the volume's segments stand in the text in their order.
    fn in_text_order(&mut self, name: &LvName) -> Result<bool> {
        let section = self.lv_section(name)?;
        let starts = section.read().nodes().filter_map(|node| node.section()?.find("start_extent"));
        Ok(starts.map(|node| node.value().and_then(|value| value.integer())).is_sorted())
    }

    pub(super) fn set_writable(&mut self, name: &LvName, writable: bool) -> Result<()> {
        let locked = self.write_locked();
        self.set_words(name, |words| words.set_writable(writable, locked))
    }

    pub(super) fn set_flag(&mut self, name: &LvName, flag: LvFlag, on: bool) -> Result<()> {
        self.set_words(name, |words| words.set_flag(flag.word(), on))
    }

    pub(super) fn set_words(&mut self, name: &LvName, change: impl FnOnce(&mut LvWords)) -> Result<()> {
        let lv = self.find_lv(name)?.clone();
        let mut words = LvWords { status: lv.status.clone(), flags: lv.flags.clone() };
        change(&mut words);
        let mut section = self.lv_section(name)?;
        if words.status != lv.status {
            section.set("status", &list(words.status.iter()), Place::After(&["id"]))?;
        }
        if words.flags != lv.flags {
            section.set("flags", &list(words.flags.iter()), Place::After(&["id", "status"]))?;
        }
        self.reread(name)
    }

    pub(super) fn add_lv_tag(&mut self, name: &LvName, tag: &Tag) -> Result<()> {
        tag.check_new()?;
        let tags = with_tag(&self.find_lv(name)?.tags, tag);
        set_tags(&mut self.lv_section(name)?, &tags)?;
        self.reread(name)
    }

    pub(super) fn remove_lv_tag(&mut self, name: &LvName, tag: &Tag) -> Result<()> {
        let tags = without_tag(&self.find_lv(name)?.tags, tag);
        set_tags(&mut self.lv_section(name)?, &tags)?;
        self.reread(name)
    }
}

/// True if a volume has the other as a part; being its snapshot is not that.
fn is_built_on(lv: &Lv, part: &LvName) -> bool {
    let in_areas =
        |areas: &[Area]| areas.iter().any(|area| matches!(area, Area::Lv { name, .. } if name == part));
    lv.segments.iter().any(|segment| match &segment.kind {
        SegmentKind::Striped { areas, .. } => in_areas(areas),
        SegmentKind::Snapshot { .. } => false,
        SegmentKind::Other { volumes, areas, .. } => volumes.contains(part) || in_areas(areas),
    })
}
