//! The ioctls of block devices.
#![allow(unsafe_code)]

use std::os::fd::AsRawFd;

use crate::units::Bytes;

mod raw {
    nix::ioctl_read!(size, 0x12, 114, usize);
    nix::ioctl_write_ptr_bad!(zero, nix::request_code_none!(0x12, 127), [u64; 2]);
    nix::ioctl_read_bad!(sector_size, nix::request_code_none!(0x12, 104), libc::c_int);

    use nix::libc;
}

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
