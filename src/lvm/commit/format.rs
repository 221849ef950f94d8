//! Labels a device as a physical volume, and takes the label away.

use std::sync::Arc;

use super::write_label;
use crate::block::Device;
use crate::error::{Context, Error, Kind, Result};
use crate::lvm::label::{LABEL_AREA, LEAST_PV, MdaHeader, PvLabel, Range, label_sectors};
use crate::lvm::name::Uuid;
use crate::lvm::scan::{OpenMda, OpenPv, Present};
use crate::units::{Bytes, SECTOR_BYTES};

/// Where the first metadata area begins: the first page behind the label's sectors.
const MDA_START: Bytes = Bytes::kib(4);
/// LVM2 makes no smaller metadata area (eight pages).
const MDA_MIN: Bytes = Bytes::kib(32);
/// Where the first one ends, at least, where nothing is said.
const USUAL_END: Bytes = Bytes::mib(1);
/// How large the second one is where nothing is said.
const SECOND_MDA: Bytes = Bytes::mib(1);
/// So much of a new metadata area is zeroed.
const ZEROED: Bytes = Bytes(8 * SECTOR_BYTES);

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

impl PvOptions {
    /// True if extents can be aligned so.
    pub fn can_align(alignment: Bytes) -> bool {
        alignment.get().is_power_of_two() && alignment >= Bytes::kib(4)
    }

    /// The metadata areas of a device of this size, and where its extents begin.
    fn layout(&self, size: Bytes) -> Result<(Vec<Range>, Bytes)> {
        let align = self.data_alignment;
        let refuse = |text: String| Err(Error::new(Kind::Usage, text));
        if !Self::can_align(align) {
            return refuse(format!("bad data alignment {align}: not a power of two from 4 KiB"));
        }
        let wanted = self.metadata_size.unwrap_or(USUAL_END - MDA_START).max(MDA_MIN);
        let first_end = (MDA_START + wanted).round_up(align);
        let data = if self.metadata_copies == 0 { align } else { first_end };
        let mut areas = Vec::new();
        if self.metadata_copies > 0 {
            areas.push(Range { offset: MDA_START, size: first_end - MDA_START });
        }
        let mut end = size;
        if self.metadata_copies > 1 {
            let length = self.metadata_size.unwrap_or(SECOND_MDA).max(MDA_MIN);
            end = size.checked_sub(length).unwrap_or_default().round_down(align);
            areas.push(Range { offset: end, size: (size - end).round_down(Bytes(SECTOR_BYTES)) });
        }
        if self.metadata_copies > 2 {
            return refuse(format!("{} metadata areas are too many: at most 2", self.metadata_copies));
        }
        if size < LEAST_PV || end <= data {
            return refuse(format!("{size} are too small for a physical volume"));
        }
        Ok((areas, data))
    }
}

/// A physical volume to be, on this device: nothing is written before [`write_pv`].
pub fn draft_pv(device: Arc<dyn Device>, id: Uuid, options: &PvOptions) -> Result<OpenPv> {
    let at = |error: Error| error.at(Context::Device(device.path().to_owned()));
    let (areas, data) = options.layout(device.size()).map_err(at)?;
    let mda =
        |area: &Range| OpenMda { start: area.offset, size: area.size, header: Ok(MdaHeader::empty(*area)) };
    let mdas = areas.iter().map(mda).collect();
    let label = PvLabel {
        sector: 1,
        id,
        device_size: device.size(),
        data: vec![Range { offset: data, size: Bytes::ZERO }],
        metadata: areas,
        bootloader: Vec::new(),
        extension: 2,
        flags: 0,
    };
    let path = device.path().to_owned();
    Ok(OpenPv { id, present: Some(Present { device, path, label }), last_seen: None, mdas })
}

/// Labels the device of a draft. Whether it may be overwritten is the caller's to know. The label is written last: a device
/// that is cut off before is none.
pub fn write_pv(draft: &OpenPv) -> Result<()> {
    let missing = || Error::new(Kind::NotFound, format!("physical volume {} is missing", draft.name()));
    let Present { device, label, .. } = draft.present.as_ref().ok_or_else(missing)?;
    device.zero(Bytes::ZERO, Bytes(LABEL_AREA as u64))?;
    for mda in &draft.mdas {
        let Ok(header) = &mda.header else { continue };
        device.zero(mda.start, ZEROED.min(mda.size))?;
        device.write_at(mda.start, &header.pack())?;
    }
    device.flush()?;
    write_label(&**device, label)
}

/// Labels a device.
pub fn create_pv(device: Arc<dyn Device>, id: Uuid, options: &PvOptions) -> Result<OpenPv> {
    let draft = draft_pv(device, id, options)?;
    write_pv(&draft)?;
    Ok(draft)
}

/// Wipes the labels of a physical volume that belongs to no volume group.
pub fn remove_pv(pv: &OpenPv) -> Result<()> {
    pv.check_free()?;
    wipe_label(pv)
}

/// Wipes the labels of a physical volume, whatever it belonged to.
pub fn wipe_label(pv: &OpenPv) -> Result<()> {
    let missing = || Error::new(Kind::NotFound, format!("physical volume {} is missing", pv.name()));
    let device = pv.device().ok_or_else(missing)?;
    let mut first = [0; LABEL_AREA];
    device.read_at(Bytes::ZERO, &mut first)?;
    for sector in label_sectors(&first) {
        device.zero(Bytes(sector * SECTOR_BYTES), Bytes(SECTOR_BYTES))?;
    }
    device.flush()
}
