//! The label, the physical volume's header and the header of a metadata area, as bytes.
//!
//! All integers are little-endian, all sectors 512 bytes, on any disk. A label may be in any of the first four
//! sectors and says in which. Every field is hostile until checked: unpacking never panics, and says what is wrong.

#![deny(clippy::indexing_slicing)]

use super::name::Uuid;
use crate::units::{Bytes, SECTOR_BYTES};

/// LVM2 takes nothing smaller for a physical volume, whatever devices/pv_min_size says.
pub const LEAST_PV: Bytes = Bytes::mib(2);

/// The bytes at a device's start that may hold a label.
pub const LABEL_AREA: usize = 4 * SECTOR;
/// The bytes of a metadata area's header.
pub const MDA_HEADER: usize = SECTOR;

const SECTOR: usize = 512;
const MAGIC: &[u8; 8] = b"LABELONE";
const TYPE: &[u8; 8] = b"LVM2 001";
/// Where the physical volume's header is in the label's sector when we write it.
const PV_HEADER: u32 = 32;
const MDA_MAGIC: &[u8; 16] = b" LVM2 x[5A%r0N*>";
const MDA_VERSION: u32 = 1;
/// The extension that says whether a volume group uses the physical volume.
const EXTENSION: u32 = 2;
const USED: u32 = 1;
const IGNORED: u32 = 1;

/// LVM2's checksum: the CRC-32 polynomial with its own start and no inversions.
pub fn checksum(data: &[u8]) -> u32 {
    const START: u32 = 0xf597_a6cf;
    let mut hasher = crc32fast::Hasher::new_with_initial(!START);
    hasher.update(data);
    !hasher.finalize()
}

/// A range of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Range {
    /// Where it begins.
    pub offset: Bytes,
    /// How long it is; 0 for "to the end" in data areas.
    pub size: Bytes,
}

/// What a label says about a physical volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PvLabel {
    /// The sector that it is in, 0 to 3.
    pub sector: u64,
    /// The physical volume's identity.
    pub id: Uuid,
    /// The device's size when it was written.
    pub device_size: Bytes,
    /// Where the extents are.
    pub data: Vec<Range>,
    /// Where the metadata areas are.
    pub metadata: Vec<Range>,
    /// Where boot loaders may be.
    pub bootloader: Vec<Range>,
    /// The extension's version; 0 without one.
    pub extension: u32,
    /// The extension's flags; bit 0 says that a volume group uses it.
    pub flags: u32,
}

/// Where a version of the text is in a metadata area.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Location {
    /// From the area's start.
    pub offset: Bytes,
    /// With the closing NUL.
    pub size: Bytes,
    /// Of the text.
    pub checksum: u32,
    /// Bit 0: the area is ignored.
    pub flags: u32,
}

/// The header of a metadata area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MdaHeader {
    /// Where the area is on the device.
    pub start: Bytes,
    /// How long it is, with this header.
    pub size: Bytes,
    /// Where the text is.
    pub committed: Location,
    /// Where a text is that is about to become it. Never read.
    pub precommitted: Location,
}

/// Takes fields from bytes, in order.
struct Unpack<'a>(&'a [u8]);

impl<'a> Unpack<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    /// A list that an entry with offset 0 ends.
    fn ranges(&mut self) -> Option<Vec<Range>> {
        let mut ranges = Vec::new();
        loop {
            let (offset, size) = (Bytes(self.u64()?), Bytes(self.u64()?));
            if offset.is_zero() {
                return Some(ranges);
            }
            ranges.push(Range { offset, size });
        }
    }

    fn location(&mut self) -> Option<Location> {
        Some(Location {
            offset: Bytes(self.u64()?),
            size: Bytes(self.u64()?),
            checksum: self.u32()?,
            flags: self.u32()?,
        })
    }
}

/// What the first sectors of a device say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// The label: the first good one.
    pub label: Option<PvLabel>,
    /// Labels that are damaged or too many, in words.
    pub notes: Vec<String>,
}

/// Looks for a label in the first sectors of a device.
pub fn find(area: &[u8]) -> Found {
    let mut found = Found::default();
    for (number, sector) in (0..).zip(area.chunks_exact(SECTOR).take(LABEL_AREA / SECTOR)) {
        match PvLabel::unpack(sector, number) {
            Ok(None) => {}
            Ok(Some(_)) if found.label.is_some() => {
                found.notes.push(format!("sector {number} holds a second label, which is ignored"));
            }
            Ok(Some(label)) => found.label = Some(label),
            Err(why) => found.notes.push(format!("sector {number} holds a damaged label: {why}")),
        }
    }
    found
}

/// The sectors among the first four that look like labels, good or bad.
pub fn label_sectors(area: &[u8]) -> Vec<u64> {
    let sectors = (0..).zip(area.chunks_exact(SECTOR).take(LABEL_AREA / SECTOR));
    sectors.filter(|(_, sector)| sector.starts_with(MAGIC)).map(|(number, _)| number).collect()
}

impl PvLabel {
    /// True if a volume group uses the physical volume.
    pub const fn used(&self) -> bool {
        self.extension >= EXTENSION && self.flags & USED != 0
    }

    /// The same, used or not, in the form that LVM2 writes.
    #[must_use]
    pub fn with_used(&self, used: bool) -> Self {
        let flags = if used { self.flags | USED } else { self.flags & !USED };
        Self { extension: self.extension.max(EXTENSION), flags, ..self.clone() }
    }

    /// Reads the sector with this number: nothing if it holds no label of ours, the reason if it holds a bad one.
    pub fn unpack(sector: &[u8], number: u64) -> Result<Option<Self>, String> {
        let mut fields = Unpack(sector);
        if fields.take() != Some(*MAGIC) {
            return Ok(None);
        }
        let short = || "it is cut off".to_owned();
        let place = fields.u64().ok_or_else(short)?;
        if place != number {
            return Err(format!("it says that it is in sector {place}"));
        }
        let sum = fields.u32().ok_or_else(short)?;
        if sector.get(20..SECTOR).map(checksum) != Some(sum) {
            return Err("its checksum is wrong".to_owned());
        }
        let offset = fields.u32().ok_or_else(short)?;
        if fields.take() != Some(*TYPE) {
            return Ok(None);
        }
        let header = usize::try_from(offset).ok().and_then(|offset| sector.get(offset..SECTOR));
        Self::unpack_header(header.unwrap_or_default(), number).map(Some)
    }

    fn unpack_header(header: &[u8], sector: u64) -> Result<Self, String> {
        let long = || "its physical volume header does not fit into the sector".to_owned();
        let mut fields = Unpack(header);
        let id = fields.take().ok_or_else(long)?;
        let id = Uuid::from_bytes(id).ok_or("its physical volume has no valid uuid")?;
        let device_size = Bytes(fields.u64().ok_or_else(long)?);
        let data = fields.ranges().ok_or_else(long)?;
        let metadata = fields.ranges().ok_or_else(long)?;
        let extension = fields.u32().unwrap_or_default();
        let (flags, bootloader) = match extension {
            0 => (0, Vec::new()),
            _ => (fields.u32().ok_or_else(long)?, fields.ranges().ok_or_else(long)?),
        };
        Ok(Self { sector, id, device_size, data, metadata, bootloader, extension, flags })
    }

    /// Its sector. Nothing if its lists are too long for one, which no label that was unpacked has.
    pub fn pack(&self) -> Option<[u8; SECTOR]> {
        let mut bytes = Vec::with_capacity(SECTOR);
        bytes.extend_from_slice(&PV_HEADER.to_le_bytes());
        bytes.extend_from_slice(TYPE);
        bytes.extend_from_slice(self.id.bytes());
        bytes.extend_from_slice(&self.device_size.get().to_le_bytes());
        pack_ranges(&mut bytes, &self.data);
        pack_ranges(&mut bytes, &self.metadata);
        if self.extension != 0 {
            bytes.extend_from_slice(&self.extension.to_le_bytes());
            bytes.extend_from_slice(&self.flags.to_le_bytes());
            pack_ranges(&mut bytes, &self.bootloader);
        }
        let checked = 20..SECTOR;
        if bytes.len() > checked.len() {
            return None;
        }
        bytes.resize(checked.len(), 0);
        let sum = checksum(&bytes).to_le_bytes();
        [MAGIC.as_slice(), &self.sector.to_le_bytes(), &sum, &bytes].concat().try_into().ok()
    }

    /// Where its sector is.
    pub fn offset(&self) -> Bytes {
        Bytes(self.sector.saturating_mul(SECTOR_BYTES))
    }
}

fn pack_ranges(bytes: &mut Vec<u8>, ranges: &[Range]) {
    for range in ranges {
        bytes.extend_from_slice(&range.offset.get().to_le_bytes());
        bytes.extend_from_slice(&range.size.get().to_le_bytes());
    }
    bytes.extend_from_slice(&[0; 16]);
}

impl Location {
    /// True if there is no text.
    pub const fn is_empty(&self) -> bool {
        self.offset.is_zero() && self.size.is_zero()
    }

    /// True if the area is not in use.
    pub const fn ignored(&self) -> bool {
        self.flags & IGNORED != 0
    }

    /// The same, in an area that is in use or not.
    #[must_use]
    pub const fn with_ignored(self, ignored: bool) -> Self {
        let flags = if ignored { self.flags | IGNORED } else { self.flags & !IGNORED };
        Self { flags, ..self }
    }

    fn pack(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.offset.get().to_le_bytes());
        bytes.extend_from_slice(&self.size.get().to_le_bytes());
        bytes.extend_from_slice(&self.checksum.to_le_bytes());
        bytes.extend_from_slice(&self.flags.to_le_bytes());
    }
}

impl MdaHeader {
    /// The header of an area without text.
    pub const fn empty(area: Range) -> Self {
        let nothing = Location { offset: Bytes::ZERO, size: Bytes::ZERO, checksum: 0, flags: 0 };
        Self { start: area.offset, size: area.size, committed: nothing, precommitted: nothing }
    }

    /// Reads the header of the area that the label has at this place, or says why it is none.
    pub fn unpack(bytes: &[u8], area: Range) -> Result<Self, String> {
        let header = bytes.get(..MDA_HEADER).ok_or("it is cut off")?;
        let mut fields = Unpack(header);
        let sum = fields.u32();
        if header.get(4..).map(checksum) != sum {
            return Err("its checksum is wrong".to_owned());
        }
        if fields.take() != Some(*MDA_MAGIC) {
            return Err("it is not one".to_owned());
        }
        match fields.u32() {
            Some(MDA_VERSION) => {}
            version => return Err(format!("its version {} is not known", version.unwrap_or_default())),
        }
        let found = Self::unpack_fields(&mut fields).ok_or("it is cut off")?;
        if found.start != area.offset {
            return Err(format!("it says that it is at byte {}", found.start.get()));
        }
        if found.size.get() < 2 * SECTOR_BYTES {
            return Err(format!("it says that its area has {}", found.size));
        }
        Ok(found)
    }

    fn unpack_fields(fields: &mut Unpack<'_>) -> Option<Self> {
        Some(Self {
            start: Bytes(fields.u64()?),
            size: Bytes(fields.u64()?),
            committed: fields.location()?,
            precommitted: fields.location()?,
        })
    }

    /// Its sector.
    pub fn pack(&self) -> [u8; MDA_HEADER] {
        let mut bytes = Vec::with_capacity(MDA_HEADER);
        bytes.extend_from_slice(MDA_MAGIC);
        bytes.extend_from_slice(&MDA_VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.start.get().to_le_bytes());
        bytes.extend_from_slice(&self.size.get().to_le_bytes());
        self.committed.pack(&mut bytes);
        self.precommitted.pack(&mut bytes);
        let mut sector = [0; MDA_HEADER];
        let (sum, rest) = sector.split_at_mut(4);
        rest.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
        sum.copy_from_slice(&checksum(rest).to_le_bytes());
        sector
    }
}

#[cfg(test)]
mod tests;
