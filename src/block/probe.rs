//! Who else a device may belong to: the signatures of file systems, swap, RAID, encryption, partition tables and volume
//! managers.
//!
//! [`find`] names the first that it sees, so that nothing is labelled or wiped unasked; [`erase`] makes all of them
//! unreadable. Only the bytes by which the owners themselves recognise a device are looked at, at both ends of it and
//! wherever they keep copies; a device that is too small for a place has no signature there.

use std::cell::OnceCell;

use super::Device;
use crate::error::{Context, Error, Kind, Result};
use crate::units::{Bytes, SECTOR_BYTES};

mod marks;

pub use marks::{EXT, XFS};
use marks::{MARKS, Mark, Place};

/// The part of a device that most signatures are in; read at once.
const HEAD: u64 = 68 << 10;
/// A ZFS label: two at each end of the device.
const ZFS_LABEL: u64 = 256 << 10;
/// A signature may uncover another (a boot sector's hides a partition table's), but not many times.
const ROUNDS: usize = 4;

/// A sign of another owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    /// Whose, for a sentence: `an xfs file system`.
    pub name: &'static str,
    /// Where its magic bytes are.
    pub offset: Bytes,
}

/// A signature and the bytes that make it one.
struct Found {
    signature: Signature,
    length: Bytes,
}

/// The first signature on the device, if there is one.
pub fn find(device: &dyn Device) -> Result<Option<Signature>> {
    let view = View::new(device);
    for mark in MARKS {
        if let Some(found) = view.mark(mark)? {
            return Ok(Some(found.signature));
        }
    }
    Ok(view.zfs()?.first().map(|found| found.signature))
}

/// Zeroes the sectors of every signature, copies included. To make it stable is the caller's.
pub fn erase(device: &dyn Device) -> Result<()> {
    for _ in 0..ROUNDS {
        let all = View::new(device).all()?;
        if all.is_empty() {
            return Ok(());
        }
        for found in all {
            let from = found.signature.offset.round_down(Bytes(SECTOR_BYTES));
            let to = (found.signature.offset + found.length).round_up(Bytes(SECTOR_BYTES)).min(device.size());
            device.zero(from, to - from)?;
        }
    }
    match find(device)? {
        None => Ok(()),
        Some(left) => {
            let cause = format!("{} still carries {} after it was wiped", device.path().display(), left.name);
            Err(Error::new(Kind::Internal, cause).at(Context::Device(device.path().to_owned())))
        }
    }
}

/// A device with its first bytes kept.
struct View<'a> {
    device: &'a dyn Device,
    head: OnceCell<Vec<u8>>,
}

impl<'a> View<'a> {
    fn new(device: &'a dyn Device) -> Self {
        Self { device, head: OnceCell::new() }
    }

    fn all(&self) -> Result<Vec<Found>> {
        let mut all = self.zfs()?;
        for mark in MARKS {
            all.extend(self.mark(mark)?);
        }
        Ok(all)
    }

    fn mark(&self, mark: &Mark) -> Result<Option<Found>> {
        let Some(offset) = self.position(mark.place) else { return Ok(None) };
        let found = self.holds(offset, mark.magic)? && (mark.also)(self)?;
        let signature = Signature { name: mark.name, offset: Bytes(offset) };
        Ok(found.then_some(Found { signature, length: Bytes(mark.magic.len() as u64) }))
    }

    fn position(&self, place: Place) -> Option<u64> {
        let size = self.device.size().get();
        match place {
            Place::Start(offset) => Some(offset),
            Place::End(distance) => size.checked_sub(distance),
            // 64 KiB before the end, on a border of 64 KiB.
            Place::OldRaid => (size & !0xffff).checked_sub(0x1_0000),
            // At least 8 KiB before the end, on a border of 4 KiB.
            Place::Raid => Some((size / SECTOR_BYTES).checked_sub(16)? / 8 * 8 * SECTOR_BYTES),
        }
    }

    /// Whether these bytes are at `offset`. Beyond the end there are none.
    fn holds(&self, offset: u64, magic: &[u8]) -> Result<bool> {
        Ok(self.bytes(offset, magic.len())?.is_some_and(|bytes| bytes == magic))
    }

    fn bytes(&self, offset: u64, length: usize) -> Result<Option<Vec<u8>>> {
        let end = offset.checked_add(length as u64).filter(|end| *end <= self.device.size().get());
        let Some(end) = end else { return Ok(None) };
        if end > HEAD {
            let mut bytes = vec![0; length];
            self.device.read_at(Bytes(offset), &mut bytes)?;
            return Ok(Some(bytes));
        }
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        Ok(self.head()?.get(at..at.saturating_add(length)).map(<[u8]>::to_vec))
    }

    fn head(&self) -> Result<&[u8]> {
        if let Some(head) = self.head.get() {
            return Ok(head);
        }
        let length = usize::try_from(self.device.size().get().min(HEAD)).unwrap_or(0);
        let mut head = vec![0; length];
        self.device.read_at(Bytes::ZERO, &mut head)?;
        Ok(self.head.get_or_init(|| head))
    }

    fn byte(&self, offset: u64) -> Result<u8> {
        Ok(self.bytes(offset, 1)?.and_then(|bytes| bytes.first().copied()).unwrap_or(0))
    }

    /// ZFS writes the magic of its uberblocks into a ring of 128 in each of four labels, in either byte order.
    fn zfs(&self) -> Result<Vec<Found>> {
        let size = self.device.size().get() / ZFS_LABEL * ZFS_LABEL;
        let mut found = Vec::new();
        for label in [Some(0), Some(ZFS_LABEL), size.checked_sub(2 * ZFS_LABEL), size.checked_sub(ZFS_LABEL)]
        {
            let Some(ring) = label.map(|label| label + ZFS_LABEL / 2) else { continue };
            let Some(bytes) = self.bytes(ring, 128 << 10)? else { continue };
            let is_magic = |block: &[u8]| {
                block.starts_with(b"\x0c\xb1\xba\0\0\0\0\0") || block.starts_with(b"\0\0\0\0\0\xba\xb1\x0c")
            };
            if bytes.chunks_exact(1 << 10).any(is_magic) {
                let signature = Signature { name: "a member of a ZFS pool", offset: Bytes(ring) };
                found.push(Found { signature, length: Bytes(bytes.len() as u64) });
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
