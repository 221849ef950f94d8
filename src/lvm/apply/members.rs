//! How volumes come into the list and leave it: text, view and index in one pass over those that move.

use std::ops::Range;
use std::sync::Arc;

use super::torn;
use crate::error::Result;
use crate::lvm::config::{Place, Section};
use crate::lvm::model::{Lv, Vg};
use crate::lvm::name::LvName;
use crate::lvm::read::Reader;

impl Vg {
    /// Takes in the sections of new volumes: the first of them becomes the one with this number.
    pub(super) fn insert_lvs(&mut self, place: usize, new: &[(LvName, String)]) -> Result<()> {
        if new.is_empty() {
            return Ok(());
        }
        let mut section = self.section()?;
        if section.index("logical_volumes").is_none() {
            section.insert(Place::After(&["physical_volumes"]), "\nlogical_volumes {\n}\n")?;
            section.trim_blank_line();
        }
        let node = match place.checked_sub(1) {
            Some(before) => self.node_of(before)? + 1,
            None => 0,
        };
        let text: String = new.iter().map(|(_, text)| text.as_str()).collect();
        self.lvs_section()?.insert(Place::Index(node), &text)?;
        let unread = new.iter().map(|(name, _)| Arc::new(Lv::unread(name.clone())));
        self.lvs.splice(place..place, unread);
        self.index_from(place);
        self.reread_lvs(place..place + new.len())
    }

    /// Takes volumes out of tree and view.
    pub(super) fn drop_lvs(&mut self, names: &[LvName]) -> Result<()> {
        let mut places = names.iter().map(|name| self.place_of(name)).collect::<Result<Vec<_>>>()?;
        places.sort_unstable();
        let mut nodes = places.iter().map(|place| self.node_of(*place)).collect::<Result<Vec<_>>>()?;
        nodes.sort_unstable();
        let mut lvs = self.lvs_section()?;
        lvs.remove_all(&nodes);
        if lvs.read().nodes().len() == 0 {
            let mut section = self.section()?;
            section.remove("logical_volumes");
            section.add_blank_line();
        }
        for name in names {
            self.index.lvs.remove(name);
        }
        let (mut place, mut doomed) = (0, places.iter().copied().peekable());
        self.lvs.retain(|_| {
            let goes = doomed.next_if_eq(&place).is_some();
            place += 1;
            !goes
        });
        self.index_from(places.first().copied().unwrap_or_default());
        Ok(())
    }

    /// Takes the places from the list, from this one on.
    fn index_from(&mut self, first: usize) {
        for (place, lv) in self.lvs.iter().enumerate().skip(first) {
            crate::work::step();
            self.index.lvs.insert(lv.name.clone(), place);
        }
    }

    /// Where a volume is in the list.
    pub(super) fn place_of(&self, lv: &LvName) -> Result<usize> {
        self.index.lvs.get(lv).copied().ok_or_else(|| torn(lv))
    }

    /// The node of the volume with this number: in a text that LVM2 wrote it has the same.
    fn node_of(&self, place: usize) -> Result<usize> {
        let lv = self.lvs.get(place).ok_or_else(|| torn(&place))?;
        self.lv_nodes()?.section_index(lv.name.as_str(), place).ok_or_else(|| torn(&lv.name))
    }

    fn lv_nodes(&self) -> Result<Section<'_>> {
        let section = self.tree.root().path_of(&[self.name.as_str(), "logical_volumes"]);
        section.ok_or_else(|| torn(&"logical volumes"))
    }

    /// Reads a volume anew from its changed section.
    pub(super) fn reread(&mut self, lv: &LvName) -> Result<()> {
        let place = self.place_of(lv)?;
        self.reread_lvs(place..place + 1)
    }

    fn reread_lvs(&mut self, places: Range<usize>) -> Result<()> {
        let nodes = self.lv_nodes()?;
        let mut reader = Reader::new(&self.pvs, &self.index.lvs);
        let known = self.lvs.iter().enumerate().skip(places.start).take(places.len());
        let read = known.map(|(place, lv)| {
            let node = nodes.section_near(lv.name.as_str(), place).ok_or_else(|| torn(&lv.name))?;
            reader.lv(node).map(Arc::new)
        });
        let read = read.collect::<Result<Vec<_>>>()?;
        self.lvs.splice(places, read);
        Ok(())
    }
}
