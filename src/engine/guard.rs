//! What lvm2's configuration forbids, and the lock on the set of physical volumes and volume groups.

use super::Engine;
use super::operation::Mode;
use crate::error::{Error, Kind, Result};
use crate::lvm::lock;

impl Engine {
    /// An error if lvm2's configuration says that no metadata may be changed on this host.
    pub(super) fn check_writable(&self) -> Result<()> {
        if !self.world.lvm2.metadata_read_only {
            return Ok(());
        }
        Err(Error::new(Kind::Refused, "lvm.conf says that this host changes no metadata")
            .hint("global/metadata_read_only there turns it off"))
    }

    /// Keeps others from changing which physical volumes and volume groups there are.
    pub(super) fn lock_set(&self, mode: Mode) -> Result<lock::Guard> {
        self.check_writable()?;
        if self.world.lvm2.use_lvmlockd {
            let cause = "lvm.conf says that the set of volume groups is locked between hosts, with lvmlockd";
            return Err(Error::new(Kind::Refused, cause)
                .hint("use LVM2 for this; volumes of groups that are not shared can be changed"));
        }
        self.world.locks.global(lock::Mode::Exclusive, mode.wait())
    }
}
