//! Finds physical volumes and puts volume groups together from them.
//!
//! Devices that cannot be physical volumes are not opened: logical volumes, partitioned disks, components of
//! something else. Of the rest one small read tells whether there is a label. Among several copies of a volume
//! group's text the highest seqno wins; two texts under one seqno make it refused for change.

use std::path::PathBuf;
use std::sync::Arc;

use super::check::{Host, Refusal};
use super::edit::NewPv;
use super::label::{MdaHeader, PvLabel};
use super::model::{Area, Vg};
use super::name::{Uuid, VgName};
use crate::block::{Access, DevNo, Device, Devices};
use crate::error::Result;
use crate::units::{Bytes, Sectors};

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
    /// Its physical volumes, in the order of [`Vg::pvs`].
    pub pvs: Vec<OpenPv>,
    /// Why it may not be changed; nothing if it may.
    pub refusal: Option<Refusal>,
}

/// A physical volume and its device.
#[derive(Debug)]
pub struct OpenPv {
    /// Its identity.
    pub id: Uuid,
    /// The device; nothing if it is missing.
    pub device: Option<Arc<dyn Device>>,
    /// The device's number.
    pub number: Option<DevNo>,
    /// The device's path, or the hint of the metadata if it is missing.
    pub path: Option<PathBuf>,
    /// What the label says; nothing if the device is missing.
    pub label: Option<PvLabel>,
    /// Its metadata areas.
    pub mdas: Vec<OpenMda>,
}

/// A metadata area as it was found.
#[derive(Debug, Clone)]
pub struct OpenMda {
    /// Where it is.
    pub start: Bytes,
    /// How long it is.
    pub size: Bytes,
    /// Its header, and what is wrong with it or its text if anything is: such an area is neither read nor written.
    pub header: std::result::Result<MdaHeader, String>,
}

/// Looks at every device.
pub fn scan(devices: &dyn Devices, host: &Host) -> Result<Scan> {
    let _ = (devices, host);
    todo!()
}

/// Opens the volume group of this name. To change it, hold its lock exclusively and ask for [`Access::Write`].
/// [`crate::error::Kind::NotFound`] if it is not there, [`crate::error::Kind::Refused`] if two have the name or its
/// text is damaged. A volume group that may be read but not changed is opened, with its refusal.
pub fn open_vg(devices: &dyn Devices, host: &Host, name: &VgName, access: Access) -> Result<OpenVg> {
    let _ = (devices, host, name, access);
    todo!()
}

impl OpenVg {
    /// The device and the byte offset of an area on a physical volume. [`crate::error::Kind::Refused`] if the physical
    /// volume is missing, or the area is in a logical volume.
    pub fn byte_range(&self, area: &Area) -> Result<(Arc<dyn Device>, Bytes)> {
        let _ = area;
        todo!()
    }

    /// Lends a physical volume that is not yet in a volume group to the next commit, which adds it
    /// ([`super::Edit::AddPv`] made from [`OpenPv::as_new`]).
    pub fn join(&mut self, pv: OpenPv) {
        self.pvs.push(pv);
    }

    /// An error if the volume group may not be changed.
    pub fn check_changeable(&self) -> Result<()> {
        match &self.refusal {
            Some(refusal) => Err(refusal.clone().into()),
            None => Ok(()),
        }
    }
}

impl OpenPv {
    /// This physical volume as a member of a volume group with extents of this size.
    pub fn as_new(&self, extent_size: Sectors) -> Result<NewPv> {
        let _ = extent_size;
        todo!()
    }
}
