//! A page that a process and those forked from it both see.
#![allow(unsafe_code)]

use std::num::NonZeroUsize;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// Four words that a process and those forked from it both see.
pub struct Shared {
    page: NonNull<[AtomicU32; 4]>,
}

const PAGE: NonZeroUsize = NonZeroUsize::new(4096).expect("it is not zero");

impl Shared {
    /// Four zeroes.
    pub fn new() -> nix::Result<Self> {
        let (access, flags) = (ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED);
        // SAFETY: a new mapping where the kernel likes takes nothing from anybody.
        let page = unsafe { mmap_anonymous(None, PAGE, access, flags) }?;
        Ok(Self { page: page.cast() })
    }
}

impl Deref for Shared {
    type Target = [AtomicU32; 4];

    fn deref(&self) -> &[AtomicU32; 4] {
        // SAFETY: the mapping is larger, zeroed, begins at a page, and lives as long as self; it is never borrowed exclusively.
        unsafe { self.page.as_ref() }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: mapped with this length, borrowed no longer, and unmapped once.
        let _ = unsafe { munmap(self.page.cast(), PAGE.get()) };
    }
}
