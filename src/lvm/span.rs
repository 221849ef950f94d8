//! A volume's extents as one block device, without device-mapper.
//!
//! For extents that nothing maps: what was in them is wiped before the metadata names them, and the store of a snapshot that is not
//! active is read. Never for a volume in use, whose content the kernel may be moving.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::model::{Area, Segment, SegmentKind};
use super::scan::OpenVg;
use crate::block::{DevNo, Device};
use crate::error::{Error, Kind, Result};
use crate::units::{Bytes, Extents};

/// Extents, addressed from 0 in the order of their segments.
#[derive(Debug)]
pub struct Span {
    path: PathBuf,
    number: DevNo,
    pieces: Vec<Piece>,
    size: Bytes,
}

/// A segment: rows of stripes over its areas. A linear one is a single stripe as long as itself.
#[derive(Debug)]
struct Piece {
    start: Bytes,
    length: Bytes,
    stripe: Bytes,
    areas: Vec<(Arc<dyn Device>, Bytes)>,
}

impl Span {
    /// The extents of `segments`, which may be free ones; `name` is for messages.
    pub fn new(open: &OpenVg, name: &str, segments: &[Segment]) -> Result<Self> {
        let bytes = |extents: Extents| extents.sectors(open.vg.extent_size).bytes();
        let mut pieces = Vec::new();
        for segment in segments {
            let SegmentKind::Striped { stripe_size, areas } = &segment.kind else {
                return Err(Error::new(Kind::Internal, format!("{name} does not lie on physical volumes")));
            };
            let length = bytes(segment.length);
            let stripe = stripe_size.filter(|_| areas.len() > 1).map_or(length, |size| size.bytes());
            let areas = areas.iter().map(|area: &Area| open.byte_range(area)).collect::<Result<Vec<_>>>()?;
            pieces.push(Piece { start: bytes(segment.start), length, stripe, areas });
        }
        let first = pieces.first().and_then(|piece: &Piece| piece.areas.first());
        let number = first.map_or(DevNo { major: 0, minor: 0 }, |(device, _)| device.number());
        let size = pieces.iter().map(|piece| piece.length).sum();
        Ok(Self { path: PathBuf::from(name), number, pieces, size })
    }

    /// The devices that it lies on, each for every place of it there.
    pub fn devices(&self) -> impl Iterator<Item = &Arc<dyn Device>> {
        self.pieces.iter().flat_map(|piece| &piece.areas).map(|(device, _)| device)
    }

    /// Calls `act` with the device, the offset on it, and the range's part, for each part of a range that lies in one stripe.
    fn each(
        &self,
        offset: Bytes,
        length: Bytes,
        mut act: impl FnMut(&dyn Device, Bytes, std::ops::Range<usize>) -> Result<()>,
    ) -> Result<()> {
        let end = offset.checked_add(length).filter(|end| *end <= self.size);
        let end = end.ok_or_else(|| self.beyond(offset))?;
        let mut at = offset;
        while at < end {
            let piece = self.pieces.iter().find(|piece| at >= piece.start && at < piece.start + piece.length);
            let (device, place, run) =
                piece.and_then(|p| p.locate(at - p.start)).ok_or_else(|| self.beyond(at))?;
            let run = run.min(end - at);
            let part = memory(at - offset)?..memory(at + run - offset)?;
            act(device, place, part)?;
            at += run;
        }
        Ok(())
    }

    fn beyond(&self, offset: Bytes) -> Error {
        Error::new(Kind::Internal, format!("byte {} is beyond {}", offset.get(), self.path.display()))
    }
}

impl Piece {
    /// The device and place of a byte, and how many follow it there.
    fn locate(&self, offset: Bytes) -> Option<(&dyn Device, Bytes, Bytes)> {
        let count = self.areas.len() as u64;
        let (stripe, within) =
            (offset.get().checked_div(self.stripe.get())?, offset.get() % self.stripe.get());
        let area = usize::try_from(stripe.checked_rem(count)?).ok()?;
        let (device, start) = self.areas.get(area)?;
        let place = *start + Bytes((stripe / count).saturating_mul(self.stripe.get())) + Bytes(within);
        let run = (self.stripe - Bytes(within)).min(self.length - offset);
        Some((device.as_ref(), place, run))
    }
}

fn memory(length: Bytes) -> Result<usize> {
    usize::try_from(length.get()).map_err(|_| Error::new(Kind::Internal, "a range larger than memory"))
}

impl Device for Span {
    fn path(&self) -> &Path {
        &self.path
    }

    fn number(&self) -> DevNo {
        self.number
    }

    fn size(&self) -> Bytes {
        self.size
    }

    fn block_size(&self) -> Bytes {
        let sizes = self.devices().map(|device| device.block_size());
        sizes.max().unwrap_or(Bytes(crate::units::SECTOR_BYTES))
    }

    fn read_at(&self, offset: Bytes, buffer: &mut [u8]) -> Result<()> {
        let length = Bytes(buffer.len() as u64);
        self.each(offset, length, |device, place, part| match buffer.get_mut(part) {
            Some(part) => device.read_at(place, part),
            None => Ok(()),
        })
    }

    fn write_at(&self, offset: Bytes, data: &[u8]) -> Result<()> {
        let length = Bytes(data.len() as u64);
        self.each(offset, length, |device, place, part| match data.get(part) {
            Some(part) => device.write_at(place, part),
            None => Ok(()),
        })
    }

    fn zero(&self, offset: Bytes, length: Bytes) -> Result<()> {
        self.each(offset, length, |device, place, part| device.zero(place, Bytes(part.len() as u64)))
    }

    fn flush(&self) -> Result<()> {
        let mut flushed = Vec::new();
        for device in self.devices() {
            if !flushed.contains(&device.number()) {
                device.flush()?;
                flushed.push(device.number());
            }
        }
        Ok(())
    }
}
