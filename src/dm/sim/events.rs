//! Events of the simulated kernel: a device that comes or goes, and a snapshot that is lost.

use std::time::{Duration, Instant};

use super::SimKernel;
use crate::dm::{Events, Seen, Status};
use crate::error::Result;

/// How often it is looked whether there is something new: nobody wakes who waits here.
const LOOK: Duration = Duration::from_millis(1);

pub struct SimEvents {
    kernel: SimKernel,
    last: Option<Seen>,
}

impl SimEvents {
    pub fn new(kernel: SimKernel) -> Self {
        Self { kernel, last: None }
    }

    /// The devices; one whose snapshot is lost has had an event.
    fn seen(&self) -> Seen {
        let state = self.kernel.state();
        let is_lost = |status: &Status| matches!(status, Status::Invalid | Status::MergeFailed);
        let one = |(name, node)| {
            let events =
                state.nodes.status(&state.disks, node).iter().filter(|status| is_lost(status)).count();
            (Clone::clone(name), u32::from(events > 0))
        };
        state.nodes.iter().map(one).collect()
    }
}

impl Events for SimEvents {
    fn wait(&mut self, at_most: Duration) -> Result<Option<Seen>> {
        let until = Instant::now() + at_most;
        loop {
            let seen = self.seen();
            if self.last.as_ref() != Some(&seen) {
                self.last = Some(seen.clone());
                return Ok(Some(seen));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            std::thread::sleep(LOOK);
        }
    }
}
