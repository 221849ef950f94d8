//! Growing a mounted file system to the size of its device, by the file system's own ioctl: no program is run.

use std::fs::File;
use std::path::Path;

use nix::sys::statfs::{EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, fstatfs};

use super::ioctl;
use crate::error::{Error, Kind, Result};
use crate::units::Bytes;

/// Grows the file system mounted at `place` to `size`, which its device has. ext4 and xfs can; [`Kind::Refused`] for others.
pub fn grow(place: &Path, size: Bytes) -> Result<()> {
    let failed = |error: std::io::Error| {
        Error::io(format!("the file system on {} cannot be grown", place.display()), error)
            .hint("the volume has its new size; grow the file system with its own tool")
    };
    let mount = File::open(place).map_err(failed)?;
    let statistics = fstatfs(&mount).map_err(|errno| failed(errno.into()))?;
    let grown = match statistics.filesystem_type() {
        EXT4_SUPER_MAGIC => {
            let block = u64::try_from(statistics.block_size()).unwrap_or_default();
            ioctl::grow_ext4(&mount, size.get().checked_div(block).unwrap_or_default())
        }
        XFS_SUPER_MAGIC => ioctl::grow_xfs(&mount, size),
        _ => return Err(unknown(place)),
    };
    grown.map_err(|errno| failed(errno.into()))
}

/// An error unless the file system mounted at `place` is one that [`grow`] can grow.
pub fn check(place: &Path) -> Result<()> {
    let statistics = nix::sys::statfs::statfs(place)
        .map_err(|errno| Error::io(format!("{} cannot be looked at", place.display()), errno))?;
    match statistics.filesystem_type() {
        EXT4_SUPER_MAGIC | XFS_SUPER_MAGIC => Ok(()),
        _ => Err(unknown(place)),
    }
}

fn unknown(place: &Path) -> Error {
    Error::new(Kind::Refused, format!("the file system on {} is neither ext4 nor xfs", place.display()))
        .hint("leave --resize-fs away, and grow it with its own tool")
}
