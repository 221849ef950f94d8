//! A real block device: O_DIRECT reads and writes of any offset and length, flush.
//!
//! The page cache is bypassed because the kernel's COW code and lvm2 bypass it: a cached read may be stale. A range that does not
//! begin and end with a logical block is read, changed and written as whole blocks; whoever does that holds the lock that
//! covers them.

use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::buffer::Buffer;
use super::{Access, DevNo, Device, ioctl};
use crate::error::{Context, Error, Kind, Result};
use crate::units::Bytes;

/// Zeroes are written in pieces of this, where the device cannot zero by itself.
const ZEROES: u64 = 1 << 20;

/// An open block device.
#[derive(Debug)]
pub struct Disk {
    file: File,
    path: PathBuf,
    number: DevNo,
    size: Bytes,
    block: Bytes,
}

impl Disk {
    /// Opens the block device at `path`, whose number the caller knows.
    pub fn open(path: &Path, number: DevNo, access: Access) -> Result<Self> {
        let flags = match access {
            Access::Read | Access::Write => OFlag::O_DIRECT | OFlag::O_NONBLOCK,
            Access::Exclusive => OFlag::O_DIRECT | OFlag::O_NONBLOCK | OFlag::O_EXCL,
        };
        let mut options = OpenOptions::new();
        options.read(true).write(access != Access::Read).custom_flags((flags | OFlag::O_CLOEXEC).bits());
        let file = options.open(path).map_err(|error| unopened(path, error))?;
        let size = ioctl::size(&file).map_err(|errno| failed(path, "tell its size", errno.into()))?;
        let block =
            ioctl::block_size(&file).map_err(|errno| failed(path, "tell its block size", errno.into()))?;
        Ok(Self { file, path: path.to_owned(), number, size, block })
    }

    /// The range as whole blocks, and where in them it begins.
    fn blocks(&self, offset: Bytes, length: usize) -> Result<(Bytes, Buffer, Range<usize>)> {
        let end = offset.checked_add(Bytes(length as u64)).filter(|end| *end <= self.size);
        let end = end.ok_or_else(|| {
            Error::new(
                Kind::Internal,
                format!("{length} bytes reach beyond the end of {}", self.path.display()),
            )
            .at(Context::Offset(offset))
        })?;
        let start = offset.round_down(self.block);
        let whole = (end.round_up(self.block) - start).get();
        let too_large =
            || Error::new(Kind::Internal, format!("{length} bytes are too many for one transfer"));
        let head = usize::try_from((offset - start).get()).map_err(|_| too_large())?;
        let buffer = usize::try_from(whole).ok().and_then(Buffer::new).ok_or_else(too_large)?;
        Ok((start, buffer, head..head + length))
    }

    fn failed(&self, what: &str, offset: Bytes, error: std::io::Error) -> Error {
        failed(&self.path, what, error).at(Context::Offset(offset))
    }
}

fn failed(path: &Path, what: &str, error: std::io::Error) -> Error {
    Error::io(format!("{} did not {what}", path.display()), error).at(Context::Device(path.to_owned()))
}

fn unopened(path: &Path, error: std::io::Error) -> Error {
    let errno = error.raw_os_error().map(nix::errno::Errno::from_raw);
    let text = path.display();
    let at = Context::Device(path.to_owned());
    match errno {
        Some(nix::errno::Errno::EBUSY) => {
            Error::new(Kind::InUse, format!("{text} is in use: it is mounted, or something is built on it"))
                .hint(format!("`lsblk {text}` shows by what; unmount it or take it out of use"))
                .at(at)
        }
        Some(nix::errno::Errno::ENOENT | nix::errno::Errno::ENXIO) => {
            Error::new(Kind::NotFound, format!("there is no device {text}")).at(at)
        }
        Some(nix::errno::Errno::EACCES | nix::errno::Errno::EPERM) => {
            Error::io(format!("{text} cannot be opened"), error).hint("run it as root").at(at)
        }
        Some(nix::errno::Errno::EROFS) => Error::new(Kind::Refused, format!("{text} is read-only")).at(at),
        _ => Error::io(format!("{text} cannot be opened"), error).at(at),
    }
}

impl Device for Disk {
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
        self.block
    }

    fn read_at(&self, offset: Bytes, buffer: &mut [u8]) -> Result<()> {
        let (start, mut blocks, part) = self.blocks(offset, buffer.len())?;
        let read = self.file.read_exact_at(&mut blocks, start.get());
        read.map_err(|error| self.failed("read", offset, error))?;
        if let Some(part) = blocks.get(part) {
            buffer.copy_from_slice(part);
        }
        Ok(())
    }

    fn write_at(&self, offset: Bytes, data: &[u8]) -> Result<()> {
        let (start, mut blocks, part) = self.blocks(offset, data.len())?;
        if part.len() != blocks.len() {
            let read = self.file.read_exact_at(&mut blocks, start.get());
            read.map_err(|error| self.failed("read", start, error))?;
        }
        if let Some(part) = blocks.get_mut(part) {
            part.copy_from_slice(data);
        }
        self.file.write_all_at(&blocks, start.get()).map_err(|error| self.failed("write", offset, error))
    }

    fn zero(&self, offset: Bytes, length: Bytes) -> Result<()> {
        let end = offset + length;
        let is_aligned = offset.round_down(self.block) == offset && end.round_down(self.block) == end;
        if is_aligned && end <= self.size && ioctl::zero(&self.file, offset, length).is_ok() {
            return Ok(());
        }
        let mut at = offset;
        while at < end {
            let piece = (end - at).get().min(ZEROES);
            let zeroes = vec![0; usize::try_from(piece).unwrap_or_default()];
            self.write_at(at, &zeroes)?;
            at += Bytes(piece);
        }
        Ok(())
    }

    fn discard(&self, offset: Bytes, length: Bytes) -> Result<()> {
        let discarded = ioctl::discard(&self.file, offset, length);
        discarded.map_err(|errno| self.failed("discard", offset, errno.into()))
    }

    fn flush(&self) -> Result<()> {
        self.file.sync_data().map_err(|error| failed(&self.path, "flush", error))
    }
}
