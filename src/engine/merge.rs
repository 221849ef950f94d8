//! Seeing merges to their end. The kernel copies by itself and says by no event when it is done (Linux 6.1), so somebody has to look:
//! every command that changes the group, whoever waits here, or lvm2. Whoever comes second finds nothing left to do.

use super::Engine;
use super::list::Select;
use super::operation::{Change, Mode, Report};
use super::view::{SnapshotState, SnapshotView, VolumeState, VolumeView};
use super::wait::{PATIENCE, Wait};
use crate::error::{Error, Kind, Result};
use crate::lvm::{LvName, VgName};

/// All of it.
const DONE: f64 = 100.0;

impl Engine {
    /// Takes away the snapshots of a group that the kernel has merged whole.
    pub fn finish_merges(&self, vg: &VgName, mode: Mode) -> Result<Report<VolumeView>> {
        // What is finished is seen to before every change.
        self.run(vg, mode, "finish merges", |_| Ok(Change::default()), |_| Ok(Vec::new()))
    }

    /// Waits until a snapshot is merged whole, and takes it away.
    pub fn await_merge(&self, vg: &VgName, snapshot: &LvName, mode: Mode) -> Result<()> {
        let select = Select { vg: Some(vg.clone()), names: vec![snapshot.clone()] };
        let mut wait = Wait::new();
        loop {
            let view = match self.snapshots(&select) {
                Err(error) if error.kind() == Kind::NotFound => return Ok(()),
                views => views?.into_iter().find(|view| view.merging),
            };
            let Some(view) = view else { return Ok(()) };
            let done = self.merged(&view)?;
            if wait.is_in_vain((view.used_bytes, done)) {
                return Err(stuck(&view, done));
            }
            if done.is_some_and(|done| done >= DONE) {
                self.finish_merges(vg, mode)?;
            }
            wait.pause();
        }
    }

    /// How far a merge is in per cent, or why it does not go on; nothing if it cannot be seen just now.
    fn merged(&self, view: &SnapshotView) -> Result<Option<f64>> {
        let name = format!("{}/{}", view.vg, view.name);
        match (view.state, view.progress_percent) {
            (SnapshotState::Merging, Some(done)) => Ok(Some(done)),
            (SnapshotState::Failed, _) => {
                let cause = format!("the merge of {name} failed: its store cannot be read");
                let origin = format!("{}/{}", view.vg, view.origin);
                Err(Error::new(Kind::Internal, cause).hint(format!(
                    "mend the disk, then `dmsnap deactivate {origin}` and `dmsnap activate {origin}`"
                )))
            }
            (SnapshotState::Invalid, _) => {
                Err(Error::new(Kind::Internal, format!("the merge of {name} cannot go on: it is invalid"))
                    .hint(format!("`dmsnap snapshot remove {name}` leaves {} as it is", view.origin)))
            }
            // Somebody has suspended the origin, which is seldom for long.
            _ if self.has_origin(view)? => Ok(None),
            _ => {
                let cause =
                    format!("the merge of {name} does not go on: {}/{} is not active", view.vg, view.origin);
                Err(Error::new(Kind::InUse, cause).hint(format!(
                    "`dmsnap activate {}/{}`; what is mounted is unmounted first",
                    view.vg, view.origin
                )))
            }
        }
    }

    /// True if a snapshot's origin has a device.
    fn has_origin(&self, view: &SnapshotView) -> Result<bool> {
        let select = Select { vg: Some(view.vg.parse()?), names: vec![view.origin.parse()?] };
        Ok(self.volumes(&select)?.iter().any(|volume| volume.state != VolumeState::Inactive))
    }
}

fn stuck(view: &SnapshotView, done: Option<f64>) -> Error {
    let (name, seconds) = (format!("{}/{}", view.vg, view.name), PATIENCE.as_secs());
    if done.is_some_and(|done| done >= DONE) {
        let cause = format!("{name} is merged whole, and could not be taken away for {seconds} s");
        let hint = format!("`dmsnap repair {}` says why, and takes it away when it can be", view.vg);
        return Error::new(Kind::InUse, cause).hint(hint);
    }
    let cause = format!("the merge of {name} has not moved for {seconds} s");
    Error::new(Kind::Internal, cause)
        .hint("see the kernel's log; the merge goes on by itself when its disks answer")
}
