//! How an edit changes tree and view together.
//!
//! The text is changed first; the view of what changed is then read from it, so that the two cannot differ. Rules
//! that look at the whole volume group wait for the end of the list ([`check::validate`]).

use std::fmt;
use std::sync::Arc;

use super::check;
use super::config::{Place, SectionMut};
use super::edit::{Edit, NewPv, NewVg};
use super::model::Vg;
use super::name::LvName;
use super::read::Reader;
use super::write;
use crate::error::{Context, Error, Kind, Result};

mod group;
mod snapshot;
mod volume;
mod words;

impl Vg {
    /// An empty volume group on these physical volumes, with seqno 0: the first commit makes it 1.
    pub fn new(new: &NewVg, pvs: &[NewPv]) -> Result<Self> {
        check::check_new_vg_name(&new.name)?;
        let size = new.extent_size;
        if !size.get().is_power_of_two() || size.get() < 2 {
            let text = format!("bad extent size {size}: not a power of two from 1 KiB");
            return Err(Error::new(Kind::Usage, text).hint("give a size such as 4M"));
        }
        let vg = Self::from_text(write::vg(new, pvs).as_bytes())?;
        check::validate(&vg)?;
        Ok(vg)
    }

    /// The volume group after all of `edits`, in order; the first that is not possible is the error and nothing has
    /// happened.
    pub fn apply(&self, edits: &[Edit]) -> Result<Self> {
        let mut next = self.clone();
        let result =
            edits.iter().try_for_each(|edit| next.change(edit)).and_then(|()| check::validate(&next));
        result.map_err(|error| error.at(Context::Vg(self.name.to_string())))?;
        Ok(next)
    }

    /// The same as another version.
    pub(super) fn with_seqno(mut self, seqno: u64) -> Result<Self> {
        self.section()?.set("seqno", &seqno.to_string(), Place::After(&["id"]))?;
        self.seqno = seqno;
        Ok(self)
    }

    fn change(&mut self, edit: &Edit) -> Result<()> {
        match edit {
            Edit::AddLv(new) => self.add_lv(new),
            Edit::RemoveLv { lv } => self.remove_lv(lv),
            Edit::RenameLv { lv, to } => self.rename_lv(lv, to),
            Edit::SetLvSegments { lv, segments } => self.set_segments(lv, segments),
            Edit::SetLvWritable { lv, writable } => self.set_writable(lv, *writable),
            Edit::SetLvFlag { lv, flag, on } => self.set_flag(lv, *flag, *on),
            Edit::SetLvPolicy { lv, policy } => self.set_lv_policy(lv, *policy),
            Edit::AddLvTag { lv, tag } => self.add_lv_tag(lv, tag),
            Edit::RemoveLvTag { lv, tag } => self.remove_lv_tag(lv, tag),
            Edit::AddSnapshot { store, origin, chunk_size, id, created } => {
                self.add_snapshot(store, origin, *chunk_size, *id, created.as_ref())
            }
            Edit::DetachSnapshot { store } => self.detach_snapshot(store),
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
        self.lvs_section()?.into_section(lv.as_str()).ok_or_else(|| torn(lv))
    }

    /// Reads a volume anew from its changed section.
    fn reread(&mut self, lv: &LvName) -> Result<()> {
        let lvs = self.tree.root().path_of(&[self.name.as_str(), "logical_volumes"]);
        let node = lvs.and_then(|lvs| lvs.find(lv.as_str())).ok_or_else(|| torn(lv))?;
        let read = Reader::new(&self.pvs, &self.index.lvs).lv(node)?;
        let place = self.index.lvs.get(lv).and_then(|place| self.lvs.get_mut(*place));
        *place.ok_or_else(|| torn(lv))? = Arc::new(read);
        Ok(())
    }

    /// Reads everything anew: for changes of what all volumes refer to.
    fn reread_all(&mut self) -> Result<()> {
        *self = Self::from_tree(std::mem::take(&mut self.tree))?;
        Ok(())
    }
}

/// The view says that something is there and the tree does not.
fn torn(what: &dyn fmt::Display) -> Error {
    Error::new(Kind::Internal, format!("the text has no section for {what}"))
}

#[cfg(test)]
mod tests;
