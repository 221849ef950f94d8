//! How an edit changes tree and view together.
//!
//! The text is changed first; the view of what changed is then read from it, so that the two cannot differ. Rules
//! that look at the whole volume group wait for the end of the list ([`check::validate`]).
//!
//! Edits that move other volumes' places go by runs of one kind, so that thousands cost a pass and not a pass each.

use std::fmt;
use std::mem::discriminant;

use super::check;
use super::config::{Place, SectionMut};
use super::edit::{Edit, NewPv, NewVg};
use super::model::Vg;
use super::name::LvName;
use super::write;
use crate::error::{Context, Error, Kind, Result};
use crate::units::{Bytes, Sectors};

mod group;
mod members;
mod snapshot;
mod volume;
mod words;

/// The smallest extent of a group that we make; of others' any is read.
const LEAST_EXTENT: Bytes = Bytes::kib(4);

/// A size of extents that a person asks for.
pub fn extent_size(size: Bytes) -> Result<Sectors> {
    if size.get().is_power_of_two() && size >= LEAST_EXTENT {
        return Ok(size.sectors_ceil());
    }
    Err(Error::new(Kind::Usage, format!("bad extent size {size}"))
        .hint(format!("give a power of two of at least {LEAST_EXTENT}")))
}

impl Vg {
    /// An empty volume group on these physical volumes, with seqno 0: the first commit makes it 1.
    pub fn new(new: &NewVg, pvs: &[NewPv]) -> Result<Self> {
        check::check_new_vg_name(&new.name)?;
        extent_size(new.extent_size.bytes())?;
        let vg = Self::from_text(write::vg(new, pvs).as_bytes())?;
        check::validate(None, &vg)?;
        Ok(vg)
    }

    /// The volume group after all of `edits`, in order; one that is not possible is the error and nothing has happened.
    pub fn apply(&self, edits: &[Edit]) -> Result<Self> {
        if !edits.is_empty() {
            check::check_writable(self)?;
        }
        let mut next = self.clone();
        let mut runs = edits.chunk_by(goes_along);
        let result =
            runs.try_for_each(|run| next.change(run)).and_then(|()| check::validate(Some(self), &next));
        result.map_err(|error| error.at(Context::Vg(self.name.to_string())))?;
        Ok(next)
    }

    /// The same as another version.
    pub(super) fn with_seqno(mut self, seqno: u64) -> Result<Self> {
        self.section()?.set("seqno", &seqno.to_string(), Place::After(&["id"]))?;
        self.seqno = seqno;
        Ok(self)
    }

    /// One edit, or a run of them.
    fn change(&mut self, run: &[Edit]) -> Result<()> {
        let Some(edit) = run.first() else { return Ok(()) };
        match edit {
            Edit::AddLv(_) => self.add_lvs(&all(run, |edit| match edit {
                Edit::AddLv(new) => Some(new),
                _ => None,
            })),
            Edit::RemoveLv { .. } => self.remove_lvs(&all(run, |edit| match edit {
                Edit::RemoveLv { lv } => Some(lv),
                _ => None,
            })),
            Edit::DetachSnapshot { .. } => self.detach_snapshots(&all(run, |edit| match edit {
                Edit::DetachSnapshot { store } => Some(store),
                _ => None,
            })),
            Edit::AddSnapshot { .. } => self.add_snapshots(run),
            Edit::RenameLv { lv, to } => self.rename_lv(lv, to),
            Edit::SetLvSegments { lv, segments } => self.set_segments(lv, segments),
            Edit::SetLvWritable { lv, writable } => self.set_writable(lv, *writable),
            Edit::SetLvFlag { lv, flag, on } => self.set_flag(lv, *flag, *on),
            Edit::SetLvLocked { lv, locked } => {
                self.set_words(lv, |words| words.set_status("LOCKED", *locked))
            }
            Edit::SetLvPolicy { lv, policy } => self.set_lv_policy(lv, *policy),
            Edit::AddLvTag { lv, tag } => self.add_lv_tag(lv, tag),
            Edit::RemoveLvTag { lv, tag } => self.remove_lv_tag(lv, tag),
            Edit::SetMerging { store, merging } => self.set_merging(store, *merging),
            Edit::AddPv(new) => self.add_pv(new),
            Edit::RemovePv { pv } => self.remove_pv(pv),
            Edit::SetPvMissing { pv, missing } => self.set_pv_missing(pv, *missing),
            Edit::RenameVg { to } => self.rename_vg(to),
            Edit::AddVgTag { tag } => self.add_vg_tag(tag),
            Edit::RemoveVgTag { tag } => self.remove_vg_tag(tag),
        }
    }

    /// The volume group's section.
    fn section(&mut self) -> Result<SectionMut<'_>> {
        let section = self.tree.root_mut().into_section(self.name.as_str());
        section.ok_or_else(|| torn(&self.name))
    }

    /// The section of all logical volumes.
    fn lvs_section(&mut self) -> Result<SectionMut<'_>> {
        self.section()?.into_section("logical_volumes").ok_or_else(|| torn(&"logical volumes"))
    }

    /// A logical volume's section.
    fn lv_section(&mut self, lv: &LvName) -> Result<SectionMut<'_>> {
        let place = self.place_of(lv)?;
        self.lvs_section()?.into_section_near(lv.as_str(), place).ok_or_else(|| torn(lv))
    }

    /// Reads everything anew: for changes of what all volumes refer to.
    fn reread_all(&mut self) -> Result<()> {
        *self = Self::from_tree(std::mem::take(&mut self.tree))?;
        Ok(())
    }
}

/// True if two edits in succession are done in one pass.
fn goes_along(edit: &Edit, next: &Edit) -> bool {
    let in_runs = matches!(
        edit,
        Edit::AddLv(_) | Edit::RemoveLv { .. } | Edit::AddSnapshot { .. } | Edit::DetachSnapshot { .. }
    );
    in_runs && discriminant(edit) == discriminant(next)
}

/// What the edits of a run are about.
fn all<'e, T>(run: &'e [Edit], what: impl Fn(&'e Edit) -> Option<T>) -> Vec<T> {
    run.iter().filter_map(what).collect()
}

/// The view says that something is there and the tree does not.
fn torn(what: &dyn fmt::Display) -> Error {
    Error::new(Kind::Internal, format!("the text has no section for {what}"))
}

#[cfg(test)]
mod tests;
