//! One device taken apart: what its label, headers and texts say, damage included. Reads, changes nothing, stops at nothing.

use serde::Serialize;

use super::area;
use super::label::{self, LABEL_AREA, Location, MdaHeader, PvLabel, Range, checksum};
use crate::block::Device;
use crate::error::{Context, Error, Kind, Result};
use crate::units::Bytes;

/// A device's label and metadata areas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// Its size.
    pub size_bytes: Bytes,
    /// Its label.
    pub label: LabelView,
    /// Its metadata areas, in the label's order.
    pub areas: Vec<AreaView>,
    /// Labels that are damaged or too many, in words.
    pub notes: Vec<String>,
}

/// What the label says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LabelView {
    /// The sector that it is in.
    pub sector: u64,
    /// The physical volume's uuid.
    pub uuid: String,
    /// The device's size when it was written.
    pub device_bytes: Bytes,
    /// Where the extents are.
    pub data: Vec<RangeView>,
    /// Where boot loaders may be.
    pub bootloader: Vec<RangeView>,
    /// The version of the header's extension.
    pub extension: u32,
    /// True if a volume group uses it.
    pub used: bool,
}

/// A range of the device; size 0 for "to the end".
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RangeView {
    /// Where it begins.
    pub offset_bytes: Bytes,
    /// How long it is.
    pub size_bytes: Bytes,
}

/// A metadata area.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AreaView {
    /// Where it begins.
    pub offset_bytes: Bytes,
    /// How long it is, with its header.
    pub size_bytes: Bytes,
    /// Why the area is not used: what is wrong with its place or its header; absent if nothing is.
    pub damage: Option<String>,
    /// The text in force.
    pub committed: Option<TextView>,
    /// The text that a writer was about to put in force; never read but here.
    pub precommitted: Option<TextView>,
}

/// A version of the text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TextView {
    /// From the area's start.
    pub offset_bytes: Bytes,
    /// With the closing NUL.
    pub size_bytes: Bytes,
    /// What the header says.
    pub checksum: u32,
    /// Whether the text has that checksum.
    pub intact: bool,
    /// True if the area is not in use.
    pub ignored: bool,
    /// Where it does not fit into the area, nothing.
    pub text: Option<String>,
}

/// Takes a device apart. [`Kind::NotFound`] if it carries no label.
pub fn inspect(device: &dyn Device) -> Result<Inspection> {
    let mut start = vec![0; LABEL_AREA.min(usize::try_from(device.size().get()).unwrap_or(LABEL_AREA))];
    device.read_at(Bytes::ZERO, &mut start)?;
    let found = label::find(&start);
    let Some(label) = found.label else {
        let notes: String = found.notes.iter().map(|note| format!(" ({note})")).collect();
        let cause = format!("{} is no physical volume{notes}", device.path().display());
        return Err(Error::new(Kind::NotFound, cause)
            .hint("`dmsnap pv list` shows which devices are")
            .at(Context::Device(device.path().to_owned())));
    };
    let areas = label.metadata.iter().enumerate();
    let areas = areas
        .map(|(place, range)| area_view(device, &label.metadata, place, *range))
        .collect::<Result<_>>()?;
    Ok(Inspection { size_bytes: device.size(), label: label_view(&label), areas, notes: found.notes })
}

fn label_view(label: &PvLabel) -> LabelView {
    let ranges = |ranges: &[Range]| {
        ranges.iter().map(|range| RangeView { offset_bytes: range.offset, size_bytes: range.size }).collect()
    };
    LabelView {
        sector: label.sector,
        uuid: label.id.to_string(),
        device_bytes: label.device_size,
        data: ranges(&label.data),
        bootloader: ranges(&label.bootloader),
        extension: label.extension,
        used: label.used(),
    }
}

fn area_view(device: &dyn Device, areas: &[Range], place: usize, range: Range) -> Result<AreaView> {
    let mut view = AreaView {
        offset_bytes: range.offset,
        size_bytes: range.size,
        damage: area::misplaced(areas.get(..place).unwrap_or_default(), range).map(str::to_owned),
        committed: None,
        precommitted: None,
    };
    let header = match area::read_header(device, range)? {
        None => Err(area::BEYOND.to_owned()),
        Some(bytes) => area::header(&bytes, range),
    };
    match header {
        Err(damage) => view.damage = view.damage.or(Some(damage)),
        Ok(header) => {
            view.committed = text(device, &header, header.committed)?;
            view.precommitted = text(device, &header, header.precommitted)?;
        }
    }
    Ok(view)
}

fn text(device: &dyn Device, header: &MdaHeader, location: Location) -> Result<Option<TextView>> {
    if location.is_empty() {
        return Ok(None);
    }
    let bytes = area::read_text(device, header, location)?;
    Ok(Some(TextView {
        offset_bytes: location.offset,
        size_bytes: location.size,
        checksum: location.checksum,
        intact: bytes.as_ref().is_some_and(|bytes| checksum(bytes) == location.checksum),
        ignored: location.ignored(),
        text: bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::DevNo;
    use crate::block::mem::MemDevice;
    use crate::lvm::name::Uuid;

    #[test]
    fn a_text_of_terabytes_is_not_read() {
        let size = Bytes::gib(4096);
        let device = MemDevice::new("/dev/sda", DevNo { major: 240, minor: 0 }, size);
        let area = Range { offset: Bytes::kib(4), size: size - Bytes::kib(4) };
        let label = PvLabel {
            sector: 1,
            id: Uuid::NONE,
            device_size: size,
            data: Vec::new(),
            metadata: vec![area],
            bootloader: Vec::new(),
            extension: 2,
            flags: 1,
        };
        let committed = Location { offset: Bytes(512), size: Bytes::gib(2048), checksum: 0, flags: 0 };
        device.poke(label.offset(), &label.pack().unwrap());
        device.poke(area.offset, &MdaHeader { committed, ..MdaHeader::empty(area) }.pack());
        let found = inspect(&device).unwrap();
        let text = found.areas.into_iter().next().unwrap().committed.unwrap();
        assert!(!text.intact && text.text.is_none());
    }

    #[test]
    fn an_area_that_is_not_used_is_shown_with_the_reason() {
        let size = Bytes::mib(64);
        let range = |offset, size| Range { offset, size };
        let good = range(Bytes::kib(4), Bytes::kib(64));
        let cases = [
            (range(Bytes(1024), Bytes::kib(64)), Bytes::kib(64), "lies over the label"),
            (range(Bytes::kib(32), Bytes::kib(64)), Bytes::kib(64), "lies over another one"),
            (range(Bytes::mib(1), Bytes::kib(64)), Bytes::kib(128), "its header says that it has"),
            (range(size, Bytes::kib(64)), Bytes::kib(64), "beyond the end"),
        ];
        for (area, said, why) in cases {
            let device = MemDevice::new("/dev/sda", DevNo { major: 240, minor: 0 }, size);
            let label = PvLabel {
                sector: 0,
                id: Uuid::NONE,
                device_size: size,
                data: Vec::new(),
                metadata: vec![good, area],
                bootloader: Vec::new(),
                extension: 2,
                flags: 1,
            };
            device.poke(label.offset(), &label.pack().unwrap());
            for area in [good, Range { size: said, ..area }] {
                device.poke(area.offset, &MdaHeader::empty(area).pack());
            }
            let found = inspect(&device).unwrap();
            assert_eq!(found.areas[0].damage, None);
            let damage = found.areas[1].damage.as_deref().unwrap();
            assert!(damage.contains(why), "{damage}");
        }
    }
}
