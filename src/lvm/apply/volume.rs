//! Edits of logical volumes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::torn;
use super::words::{LvWords, set_tags, with_tag, without_tag};
use crate::error::{Error, Kind, Result};
use crate::lvm::check;
use crate::lvm::config::{Place, list, quoted};
use crate::lvm::edit::{LvFlag, NewLv};
use crate::lvm::model::{Area, Lv, Role, Segment, SegmentKind, Vg};
use crate::lvm::name::{LvName, Tag};
use crate::lvm::policy::Policy;
use crate::lvm::write::{self, LvText};

impl Vg {
    pub(super) fn add_lvs(&mut self, new: &[&NewLv]) -> Result<()> {
        let (mut visible, mut hidden, mut names) = (Vec::new(), Vec::new(), HashSet::new());
        for new in new {
            let text = self.new_lv_text(new)?;
            if !names.insert(&new.name) {
                return Err(check::taken(self, &new.name));
            }
            let list = if new.visible { &mut visible } else { &mut hidden };
            list.push((new.name.clone(), text));
        }
        self.insert_lvs(self.first_hidden(), &visible)?;
        self.insert_lvs(self.lvs.len(), &hidden)
    }

    fn new_lv_text(&self, new: &NewLv) -> Result<String> {
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
        write::lv(&text, &self.pvs)
    }

    /// LVM2 writes the visible volumes first. This is where the hidden ones begin.
    fn first_hidden(&self) -> usize {
        let is_visible = |lv: &Arc<Lv>| {
            crate::work::step();
            self.visible(&lv.name)
        };
        self.lvs.iter().rposition(is_visible).map_or(0, |last| last + 1)
    }

    pub(super) fn remove_lvs(&mut self, names: &[&LvName]) -> Result<()> {
        let users = users(&self.lvs);
        let mut gone = HashSet::new();
        for name in names {
            if gone.contains(name) {
                return Err(self.no_volume(name));
            }
            check::check_unlocked(self, name)?;
            let user = users.get(name).into_iter().flatten().find(|user| !gone.contains(*user));
            self.check_unreferred(name, user.copied())?;
            gone.insert(*name);
        }
        let names: Vec<_> = names.iter().map(|name| (*name).clone()).collect();
        self.drop_lvs(&names)
    }

    /// An error if something is built on the volume, or it ties others together.
    fn check_unreferred(&self, name: &LvName, user: Option<&LvName>) -> Result<()> {
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
        if let Some(user) = user {
            return in_use(format!("is part of {user}"), "remove that with LVM2: dmsnap does not change it");
        }
        Ok(())
    }

    pub(super) fn rename_lv(&mut self, name: &LvName, to: &LvName) -> Result<()> {
        to.check_new()?;
        check::check_unlocked(self, name)?;
        check::check_free_name(self, to)?;
        check::check_device_name(&self.name, to, self.device_suffix(name))?;
        if self.role(name) == Some(Role::Hidden) || users(&self.lvs).contains_key(name) {
            let text = format!("volume {}/{name} is hidden or part of another one", self.name);
            return Err(
                Error::new(Kind::Refused, text).hint("rename the volume that it belongs to, with LVM2")
            );
        }
        self.lvs_section()?.rename(name.as_str(), to.as_str());
        let place = self.index.lvs.remove(name).ok_or_else(|| torn(name))?;
        self.index.lvs.insert(to.clone(), place);
        *self.lvs.get_mut(place).ok_or_else(|| torn(name))? = Arc::new(Lv::unread(to.clone()));
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

    pub(super) fn set_lv_policy(&mut self, name: &LvName, policy: Option<Policy>) -> Result<()> {
        const BEFORE: [&str; 7] =
            ["id", "status", "flags", "tags", "creation_time", "creation_host", "lock_args"];
        let mut section = self.lv_section(name)?;
        match policy {
            Some(policy) => {
                section.set("allocation_policy", &quoted(policy.word()), Place::After(&BEFORE))?;
            }
            None => {
                section.remove("allocation_policy");
            }
        }
        self.reread(name)
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

/// The volumes that have others as parts, by the part; being its snapshot is not that.
fn users(lvs: &[Arc<Lv>]) -> HashMap<&LvName, Vec<&LvName>> {
    let mut users = HashMap::<_, Vec<_>>::new();
    for lv in lvs {
        crate::work::step();
        for part in lv.segments.iter().flat_map(parts) {
            users.entry(part).or_default().push(&lv.name);
        }
    }
    users
}

fn parts(segment: &Segment) -> impl Iterator<Item = &LvName> {
    let (areas, volumes): (&[Area], &[LvName]) = match &segment.kind {
        SegmentKind::Striped { areas, .. } => (areas, &[]),
        SegmentKind::Snapshot { .. } => (&[], &[]),
        SegmentKind::Other { volumes, areas, .. } => (areas, volumes),
    };
    let named = areas.iter().filter_map(|area| match area {
        Area::Lv { name, .. } => Some(name),
        Area::Pv { .. } => None,
    });
    named.chain(volumes)
}
