//! The label, the physical volume's header and the header of a metadata area, as bytes.

use super::name::Uuid;
use crate::units::Bytes;

/// A range of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Extent {
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
    pub data: Vec<Extent>,
    /// Where the metadata areas are.
    pub metadata: Vec<Extent>,
    /// Where boot loaders may be.
    pub bootloader: Vec<Extent>,
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
