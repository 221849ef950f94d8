//! Edits of the group itself and of its physical volumes.

use super::torn;
use super::words::{set_tags, with_tag, without_tag};
use crate::error::{Error, Kind, Result};
use crate::lvm::check;
use crate::lvm::config::{Place, list};
use crate::lvm::edit::NewPv;
use crate::lvm::free::FreeMap;
use crate::lvm::model::Vg;
use crate::lvm::name::{Tag, Uuid, VgName};
use crate::lvm::write;

impl Vg {
    pub(super) fn add_pv(&mut self, new: &NewPv) -> Result<()> {
        check::check_resizeable(self)?;
        if self.pv_by_id(&new.id).is_some() {
            let text = format!("physical volume {} is already in volume group {}", new.id, self.name);
            return Err(Error::new(Kind::AlreadyExists, text));
        }
        let number = |key: &str| key.strip_prefix("pv")?.parse::<u64>().ok();
        let last = self.pvs.iter().filter_map(|pv| number(&pv.key)).max();
        let text = write::pv(&format!("pv{}", last.map_or(0, |last| last.saturating_add(1))), new);
        self.pvs_section_insert(&text)?;
        self.reread_all()
    }

    fn pvs_section_insert(&mut self, text: &str) -> Result<()> {
        let pvs = self.section()?.into_section("physical_volumes");
        pvs.ok_or_else(|| torn(&"physical volumes"))?.insert(Place::Last, text)
    }

    pub(super) fn remove_pv(&mut self, id: &Uuid) -> Result<()> {
        check::check_resizeable(self)?;
        let found = self.pvs.iter().enumerate().find(|(_, pv)| pv.id == *id);
        let Some((place, pv)) = found.map(|(place, pv)| (place, pv.clone())) else {
            let text = format!("volume group {} has no physical volume {id}", self.name);
            return Err(Error::new(Kind::NotFound, text));
        };
        let used = pv.pe_count - FreeMap::of(self).on(place);
        let what = pv.device.as_deref().unwrap_or(&pv.key);
        if !used.is_zero() {
            let text = format!("physical volume {what} holds {used} of volumes of {}", self.name);
            return Err(Error::new(Kind::InUse, text).hint("remove these volumes first"));
        }
        if self.pvs.len() == 1 {
            let text = format!("{what} is the only physical volume of volume group {}", self.name);
            return Err(Error::new(Kind::InUse, text).hint("remove the volume group"));
        }
        let pvs = self.section()?.into_section("physical_volumes");
        pvs.ok_or_else(|| torn(&"physical volumes"))?.remove(&pv.key);
        self.reread_all()
    }

    /// As a flag, which is where LVM2 writes it; it reads it as a status too.
    pub(super) fn set_pv_missing(&mut self, id: &Uuid, missing: bool) -> Result<()> {
        const WORD: &str = "MISSING";
        let Some(pv) = self.pv_by_id(id).cloned() else {
            let text = format!("volume group {} has no physical volume {id}", self.name);
            return Err(Error::new(Kind::NotFound, text));
        };
        let flags = if missing { pv.flags.with(WORD, &[]) } else { pv.flags.without(WORD) };
        let status = pv.status.without(WORD);
        let pvs = self.section()?.into_section("physical_volumes");
        let section = pvs.and_then(|pvs| pvs.into_section(&pv.key));
        let mut section = section.ok_or_else(|| torn(&pv.key))?;
        section.set("status", &list(status.iter()), Place::After(&["id", "device"]))?;
        section.set("flags", &list(flags.iter()), Place::After(&["id", "device", "status"]))?;
        self.reread_all()
    }

    pub(super) fn rename_vg(&mut self, to: &VgName) -> Result<()> {
        check::check_new_vg_name(to)?;
        for lv in &self.lvs {
            check::check_device_name(to, &lv.name, self.device_suffix(&lv.name))?;
        }
        self.tree.root_mut().rename(self.name.as_str(), to.as_str());
        self.reread_all()
    }

    pub(super) fn add_vg_tag(&mut self, tag: &Tag) -> Result<()> {
        tag.check_new()?;
        self.set_vg_tags(with_tag(&self.tags, tag))
    }

    pub(super) fn remove_vg_tag(&mut self, tag: &Tag) -> Result<()> {
        self.set_vg_tags(without_tag(&self.tags, tag))
    }

    fn set_vg_tags(&mut self, tags: Vec<Tag>) -> Result<()> {
        set_tags(&mut self.section()?, &tags)?;
        self.tags = tags;
        Ok(())
    }
}
