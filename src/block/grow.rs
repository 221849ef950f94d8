//! Growing a mounted file system to the size of its device, by the file system's own ioctl: no program is run.

use std::fs::File;
use std::path::{Path, PathBuf};

use nix::sys::statfs::{EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, fstatfs};
use nix::sys::statvfs::{FsFlags, fstatvfs};

use super::{DevNo, ioctl, mounts};
use crate::error::{Error, Kind, Result};
use crate::units::Bytes;

/// A mounted file system that grows on request, reached through one of the places where it is.
#[derive(Debug)]
pub struct Growable {
    mount: File,
    place: PathBuf,
    kind: FileSystem,
}

#[derive(Debug, Clone, Copy)]
enum FileSystem {
    Ext4 { block: u64 },
    Xfs,
}

impl Growable {
    /// The file system of the device that is mounted at these places. [`Kind::InUse`] if none of them leads to it, or none can be
    /// written through; [`Kind::Refused`] if it is neither ext4 nor xfs.
    pub fn find(number: DevNo, places: &[PathBuf]) -> Result<Self> {
        let mut reached = mounts::reached(number, places).peekable();
        if reached.peek().is_none() {
            return Err(Error::new(Kind::InUse, "no file system is mounted from it").hint(
                "mount it first, or leave --resize-fs away and grow the file system with its own tool",
            ));
        }
        let Some((place, mount)) = reached.find(|(_, mount)| is_writable(mount)) else {
            return Err(Error::new(Kind::InUse, "its file system is mounted read-only")
                .hint("mount it for writing first, or leave --resize-fs away"));
        };
        let kind = kind(&mount, place)?;
        Ok(Self { mount, place: place.to_owned(), kind })
    }

    /// Grows it to `size`, which its device has.
    pub fn grow(&self, size: Bytes) -> Result<()> {
        let grown = match self.kind {
            FileSystem::Ext4 { block } => {
                ioctl::grow_ext4(&self.mount, size.get().checked_div(block).unwrap_or_default())
            }
            FileSystem::Xfs => ioctl::grow_xfs(&self.mount, size),
        };
        grown.map_err(|errno| {
            Error::io(format!("the file system on {} cannot be grown", self.place.display()), errno)
                .hint("the volume has its new size; grow the file system with its own tool")
        })
    }
}

fn is_writable(mount: &File) -> bool {
    fstatvfs(mount).is_ok_and(|of| !of.flags().contains(FsFlags::ST_RDONLY))
}

fn kind(mount: &File, place: &Path) -> Result<FileSystem> {
    let of = fstatfs(mount)
        .map_err(|errno| Error::io(format!("{} cannot be looked at", place.display()), errno))?;
    match of.filesystem_type() {
        EXT4_SUPER_MAGIC => {
            Ok(FileSystem::Ext4 { block: u64::try_from(of.block_size()).unwrap_or_default() })
        }
        XFS_SUPER_MAGIC => Ok(FileSystem::Xfs),
        _ => Err(Error::new(
            Kind::Refused,
            format!("the file system on {} is neither ext4 nor xfs", place.display()),
        )
        .hint("leave --resize-fs away, and grow it with its own tool")),
    }
}
