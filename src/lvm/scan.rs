//! Finds physical volumes and puts volume groups together from them.
//!
//! Devices that cannot be physical volumes are not opened: logical volumes, partitioned disks, components of
//! something else. Of the rest one small read tells whether there is a label. Among several copies of a volume
//! group's text the highest seqno wins; two texts under one seqno make it refused for change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::check::{Exempt, Host, Refusal};
use super::edit::NewPv;
use super::label::{MdaHeader, PvLabel};
use super::model::{Area, Vg};
use super::name::{Uuid, VgName};
use crate::block::{Access, DevNo, Device, Devices};
use crate::error::{Context, Error, Kind, Result};
use crate::units::{Bytes, Sectors};

mod assemble;
mod dispute;
mod md;
mod memory;
mod probe;

pub use dispute::{Disputed, Version};
use memory::{Known, Memory};
use probe::Probe;

/// What there is on the host.
#[derive(Debug)]
pub struct Scan {
    /// Volume groups, by name.
    pub vgs: Vec<OpenVg>,
    /// Physical volumes that belong to no volume group that was found.
    pub orphans: Vec<OpenPv>,
    /// What a person should know: damaged areas, duplicates, devices that could not be read.
    pub findings: Vec<Finding>,
}

/// Something found that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The volume group, where it is known.
    pub vg: Option<VgName>,
    /// The device, where there is one.
    pub device: Option<PathBuf>,
    /// In words.
    pub text: String,
}

/// A volume group and the devices that it is on.
#[derive(Debug)]
pub struct OpenVg {
    /// The newest version of it.
    pub vg: Vg,
    /// Its physical volumes, in the order of [`Vg::pvs`]; behind them those that are to join it.
    pub pvs: Vec<OpenPv>,
    /// Why it may not be changed; nothing if it may.
    pub refusal: Option<Refusal>,
    /// What a person should know of it and its devices.
    pub findings: Vec<Finding>,
}

/// A physical volume and its device.
#[derive(Debug, Clone)]
pub struct OpenPv {
    /// Its identity.
    pub id: Uuid,
    /// Its device; nothing if it is missing.
    pub present: Option<Present>,
    /// Where the metadata has it, if it is missing.
    pub last_seen: Option<PathBuf>,
    /// Its metadata areas.
    pub mdas: Vec<OpenMda>,
}

/// The device of a physical volume.
#[derive(Debug, Clone)]
pub struct Present {
    /// The device.
    pub device: Arc<dyn Device>,
    /// The path that it is known by.
    pub path: PathBuf,
    /// What the label says.
    pub label: PvLabel,
}

/// A metadata area as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenMda {
    /// Where it is.
    pub start: Bytes,
    /// How long it is.
    pub size: Bytes,
    /// Its header, or what is wrong with it or its text: such an area is neither read nor written.
    pub header: std::result::Result<MdaHeader, String>,
}

/// Looks at the devices, again and again: what did not change since the last time is neither read nor parsed again.
#[derive(Debug, Default)]
pub struct Scanner {
    memory: Mutex<Memory>,
}

/// Looks at every device.
pub fn scan(devices: &dyn Devices, host: &Host) -> Result<Scan> {
    Scanner::default().scan(devices, host)
}

/// Opens the volume group of this name. To change it, hold its lock exclusively and ask for [`Access::Write`].
/// [`Kind::NotFound`] if it is not there, [`Kind::Refused`] if two have the name or its text is damaged. A volume
/// group that may be read but not changed is opened, with its refusal.
pub fn open_vg(devices: &dyn Devices, host: &Host, name: &VgName, access: Access) -> Result<OpenVg> {
    Scanner::default().open_vg(devices, host, name, access)
}

impl Scanner {
    /// Looks at every device.
    pub fn scan(&self, devices: &dyn Devices, host: &Host) -> Result<Scan> {
        self.look(devices, host, Access::Read)
    }

    /// See [`open_vg`].
    pub fn open_vg(
        &self,
        devices: &dyn Devices,
        host: &Host,
        name: &VgName,
        access: Access,
    ) -> Result<OpenVg> {
        let mut scan = self.look(devices, host, access)?;
        let mut named: Vec<_> = scan.vgs.extract_if(.., |open| open.vg.name == *name).collect();
        let Some(mut open) = named.pop() else { return Err(scan.absent(name)) };
        if let Some(other) = named.pop() {
            let text =
                format!("there are two volume groups named {name}, {} and {}", open.vg.id, other.vg.id);
            let error = Error::new(Kind::Refused, text).hint(assemble::rename_hint(open.vg.id));
            return Err(error.at(Context::Vg(name.to_string())));
        }
        if access != Access::Read {
            open.reopen(devices, access)?;
        }
        Ok(open)
    }

    /// Opens the volume group of this identity, whatever others have the same name.
    pub fn open_vg_by_id(
        &self,
        devices: &dyn Devices,
        host: &Host,
        id: Uuid,
        access: Access,
    ) -> Result<OpenVg> {
        let Scan { vgs, .. } = self.look(devices, host, access)?;
        let found = vgs.into_iter().find(|open| open.vg.id == id);
        let mut open =
            found.ok_or_else(|| Error::new(Kind::NotFound, format!("there is no volume group {id}")))?;
        open.exempt(Exempt::Renaming);
        if access != Access::Read {
            open.reopen(devices, access)?;
        }
        Ok(open)
    }

    fn look(&self, devices: &dyn Devices, host: &Host, access: Access) -> Result<Scan> {
        Ok(assemble::assemble(self.probes(devices, access)?, host))
    }

    /// What is written from has been read by who writes, under the lock: only a reader takes a text from before.
    fn probes(&self, devices: &dyn Devices, access: Access) -> Result<Vec<Probe>> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut *memory);
        // Others scan meanwhile, and remember nothing: a device that does not answer holds up who asked.
        drop(memory);
        let known = Known::new(&before, access == Access::Read);
        let probes = probe::all(devices, &known)?;
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = known.found();
        Ok(probes)
    }
}

impl Scan {
    /// Why there is no volume group of this name: damage, if any was found.
    pub fn absent(&self, name: &VgName) -> Error {
        let error = match self.findings.iter().find(|finding| finding.vg.as_ref() == Some(name)) {
            Some(finding) => Error::new(Kind::Refused, finding.text.clone())
                .hint("restore the metadata with LVM2's vgcfgrestore"),
            None => Error::new(Kind::NotFound, format!("there is no volume group {name}"))
                .hint("`dmsnap vg list` shows what there is"),
        };
        error.at(Context::Vg(name.to_string()))
    }
}

impl OpenVg {
    /// Its physical volume on this device.
    pub fn pv_on(&self, number: DevNo) -> Option<&OpenPv> {
        self.pvs.iter().find(|pv| pv.number() == Some(number))
    }

    /// Opens the devices anew. A device that is another one by now, or cannot be opened, is an error.
    pub fn reopen(&mut self, devices: &dyn Devices, access: Access) -> Result<()> {
        for pv in &mut self.pvs {
            let Some(Present { device: known, path, .. }) = &mut pv.present else { continue };
            let device = devices.open(path, access)?;
            if device.number() != known.number() {
                let text = format!("{} became another device while it was being opened", path.display());
                return Err(Error::new(Kind::Internal, text).at(Context::Device(path.clone())));
            }
            *known = device;
        }
        Ok(())
    }

    /// The device and the byte offset of an area on a physical volume. [`Kind::Refused`] if the physical volume is
    /// missing, or the area is in a logical volume.
    pub fn byte_range(&self, area: &Area) -> Result<(Arc<dyn Device>, Bytes)> {
        let refuse = |text: String| Err(Error::new(Kind::Refused, text));
        let (pv, start) = match area {
            Area::Pv { pv, start } => (*pv, *start),
            Area::Lv { name, .. } => {
                return refuse(format!("extents in volume {}/{name} have no place", self.vg.name));
            }
        };
        let (Some(known), Some(open)) = (self.vg.pvs.get(pv), self.pvs.get(pv)) else {
            return refuse(format!("volume group {} has no physical volume number {pv}", self.vg.name));
        };
        let Some(device) = open.device() else {
            return refuse(format!(
                "physical volume {} of volume group {} is missing",
                known.id, self.vg.name
            ));
        };
        let sectors = known.pe_start.checked_add(start.sectors(self.vg.extent_size));
        Ok((device.clone(), sectors.unwrap_or(Sectors(u64::MAX)).bytes()))
    }

    /// Lends a physical volume that is in no volume group to the next commit, which adds it
    /// ([`super::Edit::AddPv`] made from [`OpenPv::as_new`]). Its device must be open for writing.
    pub fn join(&mut self, pv: OpenPv) {
        self.pvs.push(pv);
    }

    /// True if a metadata area holds another version than the others: what a writer that died in its commit leaves. The next
    /// commit renews it.
    pub fn has_older_copies(&self) -> bool {
        let headers = self.pvs.iter().flat_map(|pv| &pv.mdas).filter_map(|mda| mda.header.as_ref().ok());
        let mut used = headers.map(|header| header.committed).filter(|committed| !committed.ignored());
        let first = used.next();
        used.any(|other| {
            first.is_some_and(|first| (first.checksum, first.size) != (other.checksum, other.size))
        })
    }

    /// An error if none of the volume group's volumes may be activated.
    pub fn check_activatable(&self) -> Result<()> {
        match &self.refusal {
            Some(refusal) if !refusal.allows_activation => Err(refusal.clone().into()),
            _ => Ok(()),
        }
    }

    /// Takes the refusal away if the change to be made is the way out of it.
    pub fn exempt(&mut self, change: Exempt) {
        self.refusal.take_if(|refusal| refusal.exempt == Some(change));
    }

    /// An error if the volume group may not be changed.
    pub fn check_changeable(&self) -> Result<()> {
        match &self.refusal {
            Some(refusal) => Err(refusal.clone().into()),
            None => Ok(()),
        }
    }

    /// An error if the volume group may not be removed.
    pub fn check_removable(&self) -> Result<()> {
        self.check_changeable()?;
        let Vg { name, lvs, .. } = &self.vg;
        if lvs.is_empty() {
            return Ok(());
        }
        let text = format!("volume group {name} has {} volumes", lvs.len());
        Err(Error::new(Kind::InUse, text).hint("remove the volumes first").at(Context::Vg(name.to_string())))
    }
}

impl OpenPv {
    /// The device, if it is there.
    pub fn device(&self) -> Option<&Arc<dyn Device>> {
        self.present.as_ref().map(|present| &present.device)
    }

    /// The device's number, if it is there.
    pub fn number(&self) -> Option<DevNo> {
        self.device().map(|device| device.number())
    }

    /// The device's path; of a missing one where the metadata has it.
    pub fn path(&self) -> Option<&Path> {
        let present = self.present.as_ref().map(|present| &present.path);
        present.or(self.last_seen.as_ref()).map(PathBuf::as_path)
    }

    /// What the label says, if the device is there.
    pub fn label(&self) -> Option<&PvLabel> {
        self.present.as_ref().map(|present| &present.label)
    }

    /// What to call it in a message.
    pub fn name(&self) -> String {
        match self.path() {
            Some(path) => path.display().to_string(),
            None => self.id.to_string(),
        }
    }

    /// An error if a volume group uses it, or did and left its metadata.
    pub fn check_free(&self) -> Result<()> {
        let used = self.label().is_some_and(PvLabel::used);
        let holds =
            self.mdas.iter().any(|mda| mda.header.as_ref().is_ok_and(|header| !header.committed.is_empty()));
        if !used && !holds {
            return Ok(());
        }
        let text =
            format!("physical volume {} belongs to a volume group that cannot be read whole", self.name());
        let hint = format!(
            "if its content is not needed, give --wipe; `dmsnap pv remove --wipe {}` makes it free",
            self.name()
        );
        Err(Error::new(Kind::Refused, text).hint(hint))
    }

    /// This physical volume as a member of a volume group with extents of this size.
    pub fn as_new(&self, extent_size: Sectors) -> Result<NewPv> {
        let missing = || Error::new(Kind::Refused, format!("physical volume {} is missing", self.name()));
        let Present { device, path, label } = self.present.as_ref().ok_or_else(missing)?;
        let size = device.size().min(label.device_size);
        let start = label.data.first().map(|range| range.offset).ok_or_else(missing)?;
        // A second metadata area is behind the extents.
        let areas = label.metadata.iter().filter(|range| range.offset >= start);
        let end = areas.fold(size, |end, range| end.min(range.offset));
        let room = end.checked_sub(start).unwrap_or_default().sectors_floor();
        let pe_count = room.extents_floor(extent_size);
        if pe_count.is_zero() {
            let text = format!("{} is too small for an extent of {extent_size}", self.name());
            return Err(Error::new(Kind::Usage, text).hint("give a smaller --extent-size"));
        }
        Ok(NewPv {
            id: self.id,
            device: Some(path.display().to_string()),
            dev_size: size.sectors_floor(),
            pe_start: start.sectors_floor(),
            pe_count,
        })
    }
}

#[cfg(test)]
mod tests;
