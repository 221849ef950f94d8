//! LVM2's own file locks, so that dmsnap and LVM2 keep out of each other's way.
//!
//! One file for each volume group (`V_<vg>`) and one for the set of physical volumes and volume groups (`P_global`).
//! Writers come before readers through a second file (`:aux`). The last holder unlinks the file, so whoever gets a
//! lock checks that the file is still the one that the name means. The order is: global, then volume groups by name.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use super::name::VgName;
use crate::error::Result;

/// Who else may hold the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Other readers.
    Shared,
    /// Nobody.
    Exclusive,
}

/// What to do while another holds the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Fail with [`crate::error::Kind::Locked`].
    No,
    /// Wait so long, then fail so.
    AtMost(Duration),
    /// Wait.
    Forever,
}

/// The directory of the lock files.
#[derive(Debug, Clone)]
pub struct Locks {
    directory: PathBuf,
}

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub struct Guard {
    path: PathBuf,
    file: File,
}

impl Locks {
    /// Locks in this directory: `/run/lock/lvm` unless LVM2's configuration says otherwise.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// Locks a volume group.
    pub fn vg(&self, name: &VgName, mode: Mode, wait: Wait) -> Result<Guard> {
        let _ = (name, mode, wait, &self.directory);
        todo!()
    }

    /// Locks the set of physical volumes and volume groups.
    pub fn global(&self, mode: Mode, wait: Wait) -> Result<Guard> {
        let _ = (mode, wait);
        todo!()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = (&self.path, &self.file);
        todo!()
    }
}
