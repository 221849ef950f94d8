//! One metadata area as it lies on a disk: whether it may lie there, what its header says, and the text that the header names.
//!
//! What is read is hostile. Whoever uses an area and whoever only shows it ask here, so that both see the same.

#![deny(clippy::indexing_slicing)]

use std::sync::Arc;

use super::config::TEXT_MAX;
use super::label::{LABEL_AREA, Location, MDA_HEADER, MdaHeader, Range};
use super::ring::Ring;
use crate::block::Device;
use crate::error::Result;
use crate::units::Bytes;

/// The bytes of a header, as they are on disk.
pub(super) type HeaderBytes = [u8; MDA_HEADER];

/// Why one of a label's areas, the others before it known, can be none: what is written to it would be written over something else.
pub(super) fn misplaced(before: &[Range], area: Range) -> Option<&'static str> {
    if area.offset < Bytes(LABEL_AREA as u64) {
        return Some("it lies over the label");
    }
    let apart =
        |other: &Range| area.offset >= other.offset + other.size || other.offset >= area.offset + area.size;
    (!before.iter().all(apart)).then_some("it lies over another one")
}

/// Reads the bytes of an area's header; nothing if they would be beyond the end of the device.
pub(super) fn read_header(device: &dyn Device, area: Range) -> Result<Option<HeaderBytes>> {
    let end = area.offset.checked_add(Bytes(MDA_HEADER as u64));
    if end.is_none_or(|end| end > device.size()) {
        return Ok(None);
    }
    let mut bytes = [0; MDA_HEADER];
    device.read_at(area.offset, &mut bytes)?;
    Ok(Some(bytes))
}

/// What is wrong with an area whose header would be beyond the end of the device.
pub(super) const BEYOND: &str = "it lies beyond the end of the device";

/// The header, or why its area is not used.
pub(super) fn header(bytes: &HeaderBytes, area: Range) -> std::result::Result<MdaHeader, String> {
    let header = MdaHeader::unpack(bytes, area).map_err(|why| format!("its header: {why}"))?;
    if header.size > area.size {
        return Err(format!("its header says that it has {}, the label {}", header.size, area.size));
    }
    Ok(header)
}

/// Reads the text that a header names. Nothing where it points out of the area or the device, or to more than any text has.
pub(super) fn read_text(
    device: &dyn Device,
    header: &MdaHeader,
    location: Location,
) -> Result<Option<Arc<[u8]>>> {
    let size = usize::try_from(location.size.get()).ok().filter(|size| *size <= TEXT_MAX);
    let pieces = Ring::new(header.size).pieces(location.offset, location.size);
    let (Some(size), Some(pieces)) = (size, pieces) else { return Ok(None) };
    // Where it will stay: a large text is not copied.
    let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, size).collect();
    let mut rest = Arc::get_mut(&mut bytes).expect("it is new, nobody else has it");
    for piece in pieces {
        let parts = usize::try_from(piece.length).ok().and_then(|length| rest.split_at_mut_checked(length));
        let offset = header.start.checked_add(piece.offset);
        let end = offset.and_then(|offset| offset.checked_add(Bytes(piece.length)));
        let (Some((part, after)), Some(offset)) = (parts, offset) else { return Ok(None) };
        if end.is_none_or(|end| end > device.size()) {
            return Ok(None);
        }
        device.read_at(offset, part)?;
        rest = after;
    }
    Ok(Some(bytes))
}
