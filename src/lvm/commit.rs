//! Writes: labels, new physical volumes, new versions of a volume group's text.
//!
//! A commit has three steps, each over all metadata areas and each ended by a flush: the text goes into the free
//! part of the ring, the header names it as precommitted, the header names it as committed. The first header of the
//! third step is the commit point; a write torn anywhere leaves the old version or the new one.

use std::sync::Arc;

use super::edit::NewVg;
use super::model::{Stamp, Vg};
use super::name::Uuid;
use super::scan::{OpenPv, OpenVg};
use crate::block::Device;
use crate::error::Result;
use crate::units::Bytes;

/// How a new physical volume is laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PvOptions {
    /// How many metadata areas: 0, 1 or 2.
    pub metadata_copies: u64,
    /// The least size of one metadata area; nothing for LVM2's default, which fills the first MiB.
    pub metadata_size: Option<Bytes>,
    /// What the first extent is aligned to.
    pub data_alignment: Bytes,
}

impl Default for PvOptions {
    fn default() -> Self {
        Self { metadata_copies: 1, metadata_size: None, data_alignment: Bytes::mib(1) }
    }
}

/// Labels a device. Whether it may be overwritten is the caller's to know.
pub fn create_pv(device: Arc<dyn Device>, id: Uuid, options: &PvOptions) -> Result<OpenPv> {
    let _ = (device, id, options);
    todo!()
}

/// Wipes the labels of a physical volume that belongs to no volume group.
pub fn remove_pv(pv: &OpenPv) -> Result<()> {
    let _ = pv;
    todo!()
}

/// Makes a volume group on physical volumes that belong to none, and commits it as seqno 1.
pub fn create_vg(pvs: Vec<OpenPv>, new: &NewVg, stamp: &Stamp) -> Result<OpenVg> {
    let _ = (pvs, new, stamp);
    todo!()
}

/// Writes `next` as the volume group's next version: seqno rises by one. On success `open` is it. Physical volumes
/// that joined ([`OpenVg::join`]) are marked used first, those that left are emptied last.
pub fn commit(open: &mut OpenVg, next: Vg, stamp: &Stamp) -> Result<()> {
    let _ = (open, next, stamp);
    todo!()
}

/// Removes the volume group; its physical volumes remain, unused.
pub fn remove_vg(open: OpenVg) -> Result<Vec<OpenPv>> {
    let _ = open;
    todo!()
}
