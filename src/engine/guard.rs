//! What lvm2's configuration forbids and asks for: no changes, copies of the metadata in files; and the lock on the set of
//! physical volumes and volume groups.

use std::path::Path;

use super::Engine;
use super::operation::Mode;
use crate::error::{Error, Kind, Result};
use crate::lvm::{Vg, hints, lock};

/// The lock on the set of physical volumes and volume groups. What LVM2 remembered of it is forgotten, and nothing new remembered
/// until this is dropped.
pub(super) struct SetGuard {
    _hints: Option<hints::Forgotten>,
    _lock: lock::Guard,
}

impl Engine {
    /// An error if lvm2's configuration says that no metadata may be changed on this host.
    pub(super) fn check_writable(&self) -> Result<()> {
        if !self.world.lvm2.metadata_read_only {
            return Ok(());
        }
        Err(Error::new(Kind::Refused, "lvm.conf says that this host changes no metadata")
            .hint("global/metadata_read_only there turns it off"))
    }

    /// Keeps a copy of what is about to be changed. Nothing may be suspended: the file may lie on what is.
    pub(super) fn archive(&self, vg: &Vg, description: &str) {
        let mut random = [0; 4];
        (self.world.random)(&mut random);
        // LVM2's are not negative.
        let random = u32::from_ne_bytes(random) >> 1;
        self.world.lvm2.copies.archive(vg, &self.stamp(description), random);
    }

    /// Keeps a copy of what is in force. The same holds.
    pub(super) fn back_up(&self, vg: &Vg, description: &str) {
        self.world.lvm2.copies.back_up(vg, &self.stamp(description));
    }

    /// Keeps others from changing which physical volumes and volume groups there are.
    pub(super) fn lock_set(&self, mode: Mode) -> Result<SetGuard> {
        self.check_writable()?;
        if self.world.lvm2.use_lvmlockd {
            let cause = "lvm.conf says that the set of volume groups is locked between hosts, with lvmlockd";
            return Err(Error::new(Kind::Refused, cause)
                .hint("use LVM2 for this; volumes of groups that are not shared can be changed"));
        }
        let lock = self.world.locks.global(lock::Mode::Exclusive, mode.wait())?;
        let changes = self.world.lvm2.hints && !mode.dry_run;
        let hints = changes.then(|| hints::forget(Path::new(hints::DIRECTORY)));
        Ok(SetGuard { _hints: hints, _lock: lock })
    }
}
