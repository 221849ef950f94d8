//! Volumes that a process left suspended when it died with its watchdog: a switch is guarded by a second process, and one blow (a control
//! group that is killed, a host without memory) may hit both.
//!
//! Whoever has a group's lock is alone at work, so what is suspended then is nobody's. Somebody may also have done it by hand, without a
//! lock: who calls this gives them time.

use std::collections::BTreeSet;

use super::Engine;
use super::converge::as_it_is;
use super::execute::execute;
use super::fill::built_here;
use super::naming::Naming;
use super::operation::Mode;
use super::tree::FoundTree;
use crate::dm::{DmName, Info};
use crate::error::{Error, Kind, Result};
use crate::lvm::{Vg, VgName};

/// What the uuids of volumes begin with, whatever their group.
const LVM: &str = "LVM-";

impl Engine {
    /// True if a volume of any group is suspended.
    pub(super) fn is_any_suspended(&self) -> Result<bool> {
        Ok(!self.suspended_below(LVM)?.is_empty())
    }

    /// The devices of a group that dmsnap builds and that are suspended.
    pub(super) fn suspended_of(&self, vg: &Vg) -> Result<Vec<DmName>> {
        let naming = Naming::new(vg, self.dev());
        let mut suspended = self.suspended_below(&naming.uuid_prefix())?;
        if !suspended.is_empty() {
            let own: BTreeSet<_> =
                built_here(vg).flat_map(|lv| naming.expected(lv)).map(|device| device.uuid).collect();
            suspended.retain(|info| info.uuid.as_ref().is_some_and(|uuid| own.contains(uuid)));
        }
        Ok(suspended.into_iter().map(|info| info.name).collect())
    }

    fn suspended_below(&self, prefix: &str) -> Result<Vec<Info>> {
        let is_of = |info: &Info| info.uuid.as_ref().is_some_and(|uuid| uuid.as_str().starts_with(prefix));
        let mut all = self.world.kernel.list()?;
        all.retain(|info| info.suspended && is_of(info));
        Ok(all)
    }

    /// Has all of a group go on: what was left unfinished is put right, and what is suspended still is resumed as it is.
    pub(super) fn wake(&self, vg: &VgName, mode: Mode) -> Result<()> {
        let doing = |error: Error| error.doing(format!("resume volumes of volume group {vg}"));
        self.woken(vg, mode).map_err(doing)
    }

    fn woken(&self, vg: &VgName, mode: Mode) -> Result<()> {
        let mut session = self.activation_session(vg, mode)?;
        if let Err(error) = session.recover(mode) {
            tracing::warn!("{error}");
        }
        let found = FoundTree::read(session.kernel(), &session.expected(built_here(session.vg())))?;
        execute(&as_it_is(&found.live())?, session.kernel(), self.world.devices.as_ref())?;
        let left = self.suspended_of(session.vg())?;
        left.first().map_or(Ok(()), |name| {
            let cause = format!("device {name} is still suspended, and has no table");
            let hint = format!("`dmsnap repair {vg}` says what is wrong with it");
            Err(Error::new(Kind::Internal, cause).hint(hint))
        })
    }
}
