//! Edits of the relation between a snapshot's store and its origin.

use std::collections::HashSet;

use super::torn;
use crate::error::{Error, Kind, Result};
use crate::lvm::check;
use crate::lvm::config::{Place, SectionMut, quoted};
use crate::lvm::edit::Edit;
use crate::lvm::model::Creation;
use crate::lvm::model::{Role, Segment, SegmentKind, Snapshot, Vg, Words};
use crate::lvm::name::{LvName, Uuid};
use crate::lvm::write::{self, LvText, store_key};
use crate::units::{ChunkSize, Extents, Sectors};

impl Vg {
    pub(super) fn add_snapshots(&mut self, run: &[Edit]) -> Result<()> {
        let mut number = self.next_hidden();
        for edit in run {
            if let Edit::AddSnapshot { store, origin, chunk_size, id, created } = edit {
                let hidden = LvName::hidden_snapshot(number);
                self.add_snapshot(&hidden, store, origin, *chunk_size, *id, created.as_ref())?;
                number = number.saturating_add(1);
            }
        }
        Ok(())
    }

    fn add_snapshot(
        &mut self,
        hidden: &LvName,
        store: &LvName,
        origin: &LvName,
        chunk_size: Sectors,
        id: Uuid,
        created: Option<&Creation>,
    ) -> Result<()> {
        ChunkSize::new(chunk_size.bytes())?;
        self.check_store(store, origin)?;
        self.check_origin(origin)?;
        check::check_device_name(&self.name, origin, "-real")?;
        check::check_device_name(&self.name, store, "-cow")?;
        self.set_words(store, |words| words.set_status("VISIBLE", false))?;

        let segment = Segment {
            start: Extents::ZERO,
            length: self.find_lv(origin)?.extents(),
            kind: SegmentKind::Snapshot {
                chunk_size,
                origin: origin.clone(),
                store: store.clone(),
                merging: false,
            },
            tags: Vec::new(),
        };
        let (status, flags) = self.tie_words();
        let text = LvText {
            name: hidden,
            id: &id,
            status: &status,
            flags: &flags,
            tags: &[],
            created,
            segments: &[segment],
        };
        let text = write::lv(&text, &self.pvs)?;
        self.insert_lvs(self.lvs.len(), &[(hidden.clone(), text)])?;
        let tie = self.find_lv(hidden)?.clone();
        self.index.add_snapshots(&tie);
        Ok(())
    }

    fn check_store(&self, store: &LvName, origin: &LvName) -> Result<()> {
        check::check_unlocked(self, store)?;
        let refuse = |why: &str| {
            Err(Error::new(
                Kind::Usage,
                format!("volume {}/{store} cannot hold a snapshot: {why}", self.name),
            ))
        };
        match self.role(store) {
            _ if store == origin => refuse("it is the origin"),
            Some(Role::Plain) => Ok(()),
            Some(Role::Origin) => refuse("it has snapshots itself"),
            Some(Role::Cow) => refuse("it holds one"),
            Some(Role::Hidden) | None => refuse("it is hidden"),
        }
    }

    fn check_origin(&self, origin: &LvName) -> Result<()> {
        check::check_unlocked(self, origin)?;
        let refuse = |kind, why: &str| {
            Err(Error::new(kind, format!("volume {}/{origin} cannot have snapshots: {why}", self.name)))
        };
        match self.role(origin) {
            Some(Role::Plain) => Ok(()),
            Some(Role::Origin) if self.snapshots_of(origin).any(|snapshot| snapshot.merging) => {
                refuse(Kind::InUse, "a snapshot is being merged into it")
            }
            Some(Role::Origin) => Ok(()),
            Some(Role::Cow) => refuse(Kind::Usage, "it is a snapshot itself"),
            Some(Role::Hidden) | None => refuse(Kind::Usage, "it is hidden"),
        }
    }

    /// One more than the highest number in use.
    fn next_hidden(&self) -> u64 {
        let number = |name: &LvName| {
            crate::work::step();
            let digits = name.as_str().strip_prefix("snapshot")?;
            let end = digits.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(digits.len());
            digits.get(..end)?.parse::<u64>().ok()
        };
        let names = self.lvs.iter().map(|lv| &lv.name).chain(&self.historical);
        names.filter_map(number).max().map_or(0, |last| last.saturating_add(1))
    }

    fn tie_words(&self) -> (Words, Words) {
        if self.write_locked() {
            (["READ", "VISIBLE"].into_iter().collect(), ["WRITE_LOCKED"].into_iter().collect())
        } else {
            (["READ", "WRITE", "VISIBLE"].into_iter().collect(), Words::default())
        }
    }

    pub(super) fn detach_snapshots(&mut self, stores: &[&LvName]) -> Result<()> {
        let (mut ties, mut seen) = (Vec::new(), HashSet::new());
        for store in stores {
            if !seen.insert(*store) {
                return Err(self.no_snapshot(store));
            }
            ties.push(self.find_snapshot(store)?.hidden);
        }
        self.drop_lvs(&ties)?;
        self.index.relate(&self.lvs);
        stores.iter().try_for_each(|store| self.set_words(store, |words| words.set_status("VISIBLE", true)))
    }

    pub(super) fn set_merging(&mut self, store: &LvName, merging: bool) -> Result<()> {
        let tie = self.find_snapshot(store)?;
        if let Some(other) =
            self.snapshots_of(&tie.origin).find(|other| other.merging && other.store != *store)
        {
            let text = format!("{} is already being merged into {}/{}", other.store, self.name, tie.origin);
            return Err(Error::new(Kind::InUse, text).hint("wait until that is done"));
        }
        if tie.merging == merging {
            return Ok(());
        }
        self.tie_segment(&tie.hidden)?.rename(store_key(tie.merging), store_key(merging));
        // LVM2 shows by VISIBLE that the snapshot is not being merged.
        self.set_words(&tie.hidden, |words| words.set_status("VISIBLE", !merging))?;
        self.index.relate(&self.lvs);
        Ok(())
    }

    /// After a volume has another name: wherever a snapshot's hidden volume names it.
    pub(super) fn rename_in_ties(&mut self, name: &LvName, to: &LvName) -> Result<()> {
        let ties: Vec<Snapshot> =
            self.snapshots_of(name).chain(self.snapshot_of_store(name)).cloned().collect();
        for tie in &ties {
            let key = if tie.origin == *name { "origin" } else { store_key(tie.merging) };
            self.tie_segment(&tie.hidden)?.set(key, &quoted(to.as_str()), Place::Last)?;
            self.reread(&tie.hidden)?;
        }
        self.index.relate(&self.lvs);
        Ok(())
    }

    /// The snapshot whose store has this name, or an error that says there is none.
    pub fn find_snapshot(&self, store: &LvName) -> Result<Snapshot> {
        self.find_lv(store)?;
        self.snapshot_of_store(store).cloned().ok_or_else(|| self.no_snapshot(store))
    }

    fn no_snapshot(&self, store: &LvName) -> Error {
        Error::new(Kind::NotFound, format!("volume {}/{store} is not a snapshot", self.name))
            .hint(format!("`dmsnap snapshot list {}` shows what there is", self.name))
    }

    fn tie_segment(&mut self, hidden: &LvName) -> Result<SectionMut<'_>> {
        let section = self.lv_section(hidden)?;
        let of_type = |node: &crate::lvm::config::Node<'_>| {
            let kind = node.section().and_then(|section| section.find("type"));
            kind.and_then(|kind| kind.value()?.text()).is_some_and(|kind| *kind == *b"snapshot")
        };
        let key = section.read().nodes().find(of_type).map(|node| node.key().into_owned());
        let key = key.and_then(|key| String::from_utf8(key).ok()).ok_or_else(|| torn(hidden))?;
        section.into_section(&key).ok_or_else(|| torn(hidden))
    }
}
