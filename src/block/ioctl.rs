//! The ioctls of block devices and of the file systems on them.
#![allow(unsafe_code)]

use std::mem::size_of;
use std::os::fd::AsRawFd;

use crate::units::Bytes;

mod raw {
    nix::ioctl_read!(size, 0x12, 114, usize);
    nix::ioctl_write_ptr_bad!(zero, nix::request_code_none!(0x12, 127), [u64; 2]);
    nix::ioctl_write_ptr_bad!(discard, nix::request_code_none!(0x12, 119), [u64; 2]);
    nix::ioctl_read_bad!(sector_size, nix::request_code_none!(0x12, 104), libc::c_int);

    // ext4: the new number of file-system blocks (fs/ext4/ext4.h).
    nix::ioctl_write_ptr!(ext4_resize, b'f', 16, u64);
    // xfs: its geometry, and the new number of its blocks (libxfs/xfs_fs.h).
    nix::ioctl_read!(xfs_geometry, b'X', 100, super::XfsGeometry);
    nix::ioctl_write_ptr!(xfs_grow, b'X', 110, super::XfsGrowth);

    use nix::libc;
}

/// `struct xfs_fsop_geom_v1`, of which two fields matter here.
#[repr(C)]
#[derive(Default)]
struct XfsGeometry {
    block_size: u32,
    before: [u32; 6],
    inode_percent: u32,
    after: [u64; 10],
}

const _: () = assert!(size_of::<XfsGeometry>() == 112);

/// `struct xfs_growfs_data`
#[repr(C)]
struct XfsGrowth {
    blocks: u64,
    inode_percent: u32,
}

const _: () = assert!(size_of::<XfsGrowth>() == 16);

/// `BLKGETSIZE64`: the size of a device.
pub fn size(device: &impl AsRawFd) -> nix::Result<Bytes> {
    let mut bytes = 0_u64;
    // SAFETY: the kernel writes a u64, whatever the request's name says of size_t, and that is what the pointer leads to.
    unsafe { raw::size(device.as_raw_fd(), (&raw mut bytes).cast()) }?;
    Ok(Bytes(bytes))
}

/// `BLKSSZGET`: the size of a logical block.
pub fn block_size(device: &impl AsRawFd) -> nix::Result<Bytes> {
    let mut bytes = 0;
    // SAFETY: the kernel writes an int, which is what the pointer leads to.
    unsafe { raw::sector_size(device.as_raw_fd(), &raw mut bytes) }?;
    Ok(Bytes(u64::try_from(bytes).unwrap_or(512)))
}

/// `BLKZEROOUT`: zeroes over a range of whole logical blocks.
pub fn zero(device: &impl AsRawFd, offset: Bytes, length: Bytes) -> nix::Result<()> {
    let range = [offset.get(), length.get()];
    // SAFETY: the kernel reads two u64, which is what the pointer leads to.
    unsafe { raw::zero(device.as_raw_fd(), &raw const range) }.map(|_| ())
}

/// `BLKDISCARD`: nobody needs what a range of whole logical blocks holds.
pub fn discard(device: &impl AsRawFd, offset: Bytes, length: Bytes) -> nix::Result<()> {
    let range = [offset.get(), length.get()];
    // SAFETY: the kernel reads two u64, which is what the pointer leads to.
    unsafe { raw::discard(device.as_raw_fd(), &raw const range) }.map(|_| ())
}

/// Grows a mounted ext4 to so many of its blocks.
pub fn grow_ext4(mount: &impl AsRawFd, blocks: u64) -> nix::Result<()> {
    // SAFETY: the kernel reads a u64, which is what the pointer leads to.
    unsafe { raw::ext4_resize(mount.as_raw_fd(), &raw const blocks) }.map(|_| ())
}

/// Grows a mounted xfs to as many of its blocks as fit into `size`; what it reserves for inodes stays.
pub fn grow_xfs(mount: &impl AsRawFd, size: Bytes) -> nix::Result<()> {
    let mut geometry = XfsGeometry::default();
    // SAFETY: the kernel writes a struct of this layout and size (asserted above), which is what the pointer leads to.
    unsafe { raw::xfs_geometry(mount.as_raw_fd(), &raw mut geometry) }?;
    let blocks = size.get().checked_div(u64::from(geometry.block_size)).ok_or(nix::errno::Errno::EINVAL)?;
    let growth = XfsGrowth { blocks, inode_percent: geometry.inode_percent };
    // SAFETY: the kernel reads a struct of this layout and size, which is what the pointer leads to.
    unsafe { raw::xfs_grow(mount.as_raw_fd(), &raw const growth) }.map(|_| ())
}
