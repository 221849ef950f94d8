//! Seeing merges to their end. The kernel copies by itself and says by no event when it is done (Linux 6.1), so somebody has to look:
//! every command that changes the group, whoever waits here, or lvm2. Whoever comes second finds nothing left to do.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Engine;
use super::list::Select;
use super::operation::{Change, Mode, Report};
use super::view::{SnapshotState, SnapshotView, VolumeView};
use crate::error::{Error, Kind, Result};
use crate::lvm::{LvName, VgName};

/// The pauses between two looks: each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// A merge that has not moved for so long is not waited for any more.
const PATIENCE: Duration = Duration::from_secs(300);

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
        let (mut last, mut moved, mut pause) = (None, Instant::now(), FIRST_PAUSE);
        loop {
            let view = match self.snapshots(&select) {
                Err(error) if error.kind() == Kind::NotFound => return Ok(()),
                views => views?.into_iter().find(|view| view.merging),
            };
            let Some(view) = view else { return Ok(()) };
            let done = progress(&view)?;
            if last != Some(done) {
                (last, moved) = (Some(done), Instant::now());
            }
            if moved.elapsed() > PATIENCE {
                return Err(stuck(&view));
            }
            if done >= DONE {
                self.finish_merges(vg, mode)?;
            }
            sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// How far a merge is, or why it does not go on.
fn progress(view: &SnapshotView) -> Result<f64> {
    let name = format!("{}/{}", view.vg, view.name);
    match (view.state, view.progress_percent) {
        (SnapshotState::Merging, Some(done)) => Ok(done),
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

fn stuck(view: &SnapshotView) -> Error {
    let cause = format!("the merge of {}/{} has not moved for {} s", view.vg, view.name, PATIENCE.as_secs());
    Error::new(Kind::Internal, cause)
        .hint("see the kernel's log; the merge goes on by itself when its disks answer")
}
