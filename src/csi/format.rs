//! File systems on volumes: made where nothing is, mended, given a UUID of their own, grown.
//!
//! What came with a snapshot's content has the UUID of the file system that the snapshot was taken of, and is as large as that. Xfs refuses
//! to mount two with one UUID, and links by UUID lead to either. So it gets the one that follows from its volume: whether it has it already
//! is seen from the device, also after a process that died in between.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::call::blocking;
use super::capability::FileSystem;
use super::mount::{Device, attach, detach};
use super::program;
use crate::block::device::Disk;
use crate::block::grow::Growable;
use crate::block::{self, Access, probe};
use crate::error::{Error, Kind, Result};
use crate::units::Bytes;

/// Making a file system writes little, mending one reads much.
const LIMIT: Duration = Duration::from_secs(600);

/// Sees to it that there is a sound file system of this kind: makes one only where there is nothing that anybody would know again, and
/// mends one that needs it.
pub async fn prepare(device: &Device, wanted: FileSystem, read_only: bool) -> Result<()> {
    let found = looked_at(device, probe::find).await?;
    let path = device.path.as_os_str();
    match (wanted, found.map(|found| found.name)) {
        (_, None) if read_only => {
            Err(Error::new(Kind::InUse, format!("{} holds no file system to be read", device.path.display())))
        }
        // Checksums that do not depend on the UUID: else to change it is to write all of them anew.
        (FileSystem::Ext4, None) => {
            done("mkfs.ext4", &["-q".as_ref(), "-O".as_ref(), "metadata_csum_seed".as_ref(), path]).await
        }
        (FileSystem::Xfs, None) => done("mkfs.xfs", &["-q".as_ref(), path]).await,
        (FileSystem::Ext4, Some(probe::EXT)) if !read_only => mended(device, &[]).await,
        (FileSystem::Ext4, Some(probe::EXT)) | (FileSystem::Xfs, Some(probe::XFS)) => Ok(()),
        (_, Some(other)) => {
            let cause = format!("{} carries {other}, and {wanted} is asked for", device.path.display());
            Err(Error::new(Kind::InUse, cause)
                .hint("name the file system that it carries, or wipe it by hand"))
        }
    }
}

/// Gives a sound file system the UUID that follows from its volume. `place` is where it will be mounted.
pub async fn renew(device: &Device, kind: FileSystem, volume: &str, place: &Path) -> Result<()> {
    let wanted = uuid_for(volume);
    if looked_at(device, move |disk| uuid(disk, kind)).await? == wanted {
        return Ok(());
    }
    let (uuid, path) = (in_words(wanted), device.path.as_os_str());
    let change = ["-U".as_ref(), OsStr::new(&uuid), path];
    match kind {
        FileSystem::Ext4 => match done("tune2fs", &change).await {
            Ok(()) => Ok(()),
            // One whose checksums depend on the UUID has to be checked just before.
            Err(_) => {
                mended(device, &["-f"]).await?;
                done("tune2fs", &change).await
            }
        },
        FileSystem::Xfs => {
            // What is in its log is played by a mount only.
            let (device, place) = (device.clone(), place.to_owned());
            blocking(move || {
                attach(&device, &place, kind, &[NO_UUID.to_owned()], false)?;
                detach(&place)
            })
            .await?;
            done("xfs_admin", &change).await
        }
    }
}

/// The mount option by which xfs does not care that another one has the same UUID.
pub const NO_UUID: &str = "nouuid";

/// Grows the file system that is mounted at a place to the size of its volume.
pub fn grow(device: &Device, place: &Path, size: Bytes) -> Result<()> {
    Growable::find(device.number, &[place.to_owned()])?.grow(size)
}

async fn looked_at<T: Send + 'static>(
    device: &Device,
    look: impl FnOnce(&dyn block::Device) -> Result<T> + Send + 'static,
) -> Result<T> {
    let device = device.clone();
    blocking(move || look(&Disk::open(&device.path, device.number, Access::Read)?)).await
}

/// The UUID in a superblock.
fn uuid(disk: &dyn block::Device, kind: FileSystem) -> Result<[u8; 16]> {
    let at = match kind {
        FileSystem::Ext4 => 1024 + 0x68,
        FileSystem::Xfs => 32,
    };
    let mut uuid = [0; 16];
    disk.read_at(Bytes(at), &mut uuid)?;
    Ok(uuid)
}

/// The UUID of the file system on a volume, by the volume's own: version 8 of RFC 9562, for those made in a way of one's own.
fn uuid_for(volume: &str) -> [u8; 16] {
    let hash = Sha256::new_with_prefix("dmsnap file system ").chain_update(volume).finalize();
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&hash[..16]);
    uuid[6] = (uuid[6] & 0x0f) | 0x80;
    uuid[8] = (uuid[8] & 0x3f) | 0x80;
    uuid
}

fn in_words(uuid: [u8; 16]) -> String {
    let digits: String = uuid.iter().map(|byte| format!("{byte:02x}")).collect();
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

async fn done(program: &str, arguments: &[&OsStr]) -> Result<()> {
    let ended = program::run(program, arguments, LIMIT).await?;
    match ended.status {
        Some(0) => Ok(()),
        _ => Err(Error::new(Kind::Internal, format!("{program} failed: {}", ended.said))),
    }
}

/// e2fsck's status is of bits: 1 and 2 say that errors were corrected. The log of xfs is played by its mount.
async fn mended(device: &Device, more: &[&str]) -> Result<()> {
    let arguments: Vec<_> =
        ["-p"].iter().chain(more).map(OsStr::new).chain([device.path.as_os_str()]).collect();
    let ended = program::run("e2fsck", &arguments, LIMIT).await?;
    match ended.status {
        Some(0..=3) => Ok(()),
        _ => {
            let cause = format!("the file system on {} is damaged: {}", device.path.display(), ended.said);
            Err(Error::new(Kind::Internal, cause)
                .hint(format!("mend it with e2fsck {}", device.path.display())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uuid_of_a_file_system_follows_from_its_volumes() {
        let uuid = in_words(uuid_for("a"));
        assert_eq!(uuid, in_words(uuid_for("a")));
        assert_ne!(uuid, in_words(uuid_for("b")));
        let lengths: Vec<_> = uuid.split('-').map(str::len).collect();
        assert_eq!((lengths, &uuid[14..15]), (vec![8, 4, 4, 4, 12], "8"));
    }
}
