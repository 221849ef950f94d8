//! Our own ioctls on the control file: suspend, resume, remove, rename, clear, and the version of a target.
//!
//! The devicemapper crate's resume, remove and rename wait without limit for a udev cookie wherever a udevd runs, inside the
//! switch. These do not wait: the cookie's number is 0. A request is prepared before the switch and fired within it, without
//! allocating.
#![allow(unsafe_code)]

use std::mem::size_of;
use std::os::fd::AsRawFd;

use super::{DmName, Freeze, UdevFlags};

/// `struct dm_ioctl` of linux/dm-ioctl.h.
#[repr(C)]
#[derive(Clone)]
struct Header {
    version: [u32; 3],
    data_size: u32,
    data_start: u32,
    target_count: u32,
    open_count: i32,
    flags: u32,
    event_nr: u32,
    padding: u32,
    dev: u64,
    name: [u8; 128],
    uuid: [u8; 129],
    data: [u8; 7],
}

const HEADER: u32 = 312;
const _: () = assert!(size_of::<Header>() == HEADER as usize);

/// Room behind the header, for a rename's new name and a target's version.
const TAIL: usize = 256;
const SIZE: u32 = HEADER + 256;

const SUSPEND: u32 = 1 << 1;
const SKIP_LOCKFS: u32 = 1 << 10;

mod raw {
    use super::Header;

    nix::ioctl_readwrite!(remove, 0xfd, 4, Header);
    nix::ioctl_readwrite!(rename, 0xfd, 5, Header);
    nix::ioctl_readwrite!(suspend, 0xfd, 6, Header);
    nix::ioctl_readwrite!(clear, 0xfd, 10, Header);
    nix::ioctl_readwrite!(target_version, 0xfd, 17, Header);
}

type Call = unsafe fn(i32, *mut Header) -> nix::Result<i32>;

/// An ioctl with everything that it needs.
pub struct Prepared {
    call: Call,
    buffer: Box<Buffer>,
}

#[repr(C)]
struct Buffer {
    header: Header,
    tail: [u8; TAIL],
}

const _: () = assert!(size_of::<Buffer>() == SIZE as usize);

impl Prepared {
    fn new(call: Call, name: &DmName, flags: u32, event_nr: u32) -> Self {
        let mut header = Header {
            version: [4, 0, 0],
            data_size: SIZE,
            data_start: HEADER,
            target_count: 0,
            open_count: 0,
            flags,
            event_nr,
            padding: 0,
            dev: 0,
            name: [0; 128],
            uuid: [0; 129],
            data: [0; 7],
        };
        copy(name.as_str(), &mut header.name);
        Self { call, buffer: Box::new(Buffer { header, tail: [0; TAIL] }) }
    }

    /// Stops I/O.
    pub fn suspend(name: &DmName, freeze: Freeze) -> Self {
        let flags = match freeze {
            Freeze::FileSystem => SUSPEND,
            Freeze::Io => SUSPEND | SKIP_LOCKFS,
        };
        Self::new(raw::suspend, name, flags, 0)
    }

    /// Makes the inactive table live and lets I/O go on.
    pub fn resume(name: &DmName, udev: UdevFlags) -> Self {
        Self::new(raw::suspend, name, 0, udev.event_number())
    }

    /// Removes the device.
    pub fn remove(name: &DmName, udev: UdevFlags) -> Self {
        Self::new(raw::remove, name, 0, udev.event_number())
    }

    /// Renames the device.
    pub fn rename(name: &DmName, new: &DmName, udev: UdevFlags) -> Self {
        let mut prepared = Self::new(raw::rename, name, 0, udev.event_number());
        copy(new.as_str(), &mut prepared.buffer.tail);
        prepared
    }

    /// Empties the inactive slot.
    pub fn clear(name: &DmName) -> Self {
        Self::new(raw::clear, name, 0, 0)
    }

    /// Asks for the version of a target type; the kernel loads its module if it can (since 4.41, Linux 5.4).
    pub fn target_version(kind: &DmName) -> Self {
        Self::new(raw::target_version, kind, 0, 0)
    }

    /// Runs it. No allocation, no wait for udev.
    pub fn fire(&mut self, control: &impl AsRawFd) -> nix::Result<()> {
        let buffer: *mut Buffer = &raw mut *self.buffer;
        // SAFETY: the buffer is a Header and a tail, exclusively ours for the call; its data_size says how large both are, and the
        // kernel reads and writes no more than that.
        unsafe { (self.call)(control.as_raw_fd(), buffer.cast::<Header>()) }.map(|_| ())
    }
}

/// Copies a text into a field that is longer than it and zeroed.
fn copy(text: &str, field: &mut [u8]) {
    for (to, from) in field.iter_mut().zip(text.bytes()) {
        *to = from;
    }
}
