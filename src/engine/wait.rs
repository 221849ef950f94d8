//! Waiting for what the kernel does behind a command: with pauses that grow, and not for ever.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// The pauses between two looks: each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// What has not moved for so long is not waited for any more.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);

/// A wait for something that moves.
pub(super) struct Wait<T> {
    last: Option<T>,
    moved: Instant,
    pause: Duration,
}

impl<T: PartialEq> Wait<T> {
    pub(super) fn new() -> Self {
        Self { last: None, moved: Instant::now(), pause: FIRST_PAUSE }
    }

    /// True if it is where it was [`PATIENCE`] ago.
    pub(super) fn is_in_vain(&mut self, now: T) -> bool {
        if self.last.as_ref() != Some(&now) {
            (self.last, self.moved) = (Some(now), Instant::now());
        }
        self.moved.elapsed() > PATIENCE
    }

    pub(super) fn pause(&mut self) {
        sleep(self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}
