//! What others have begun and a keeper ends: what the kernel is through with, and what dead processes left suspended.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{HASTY, Keeper};
use crate::engine::behind::Behind;
use crate::error::Kind;

/// A switch may suspend volumes for as long as its budget, and its watchdog then has them go on.
const SUSPENDED: Duration = crate::dm::FREEZE_BUDGET.saturating_add(Duration::from_secs(1));

impl Keeper<'_> {
    /// Ends what the kernel is through with, and comes back while it is not.
    pub(super) fn end_behind(&mut self, behind: Behind, now: Duration) {
        self.is_behind = behind.goes_on;
        if !behind.is_done {
            self.ending.renew();
        }
        if !behind.is_done || !self.ending.is_due(now) {
            return;
        }
        // It may end nothing and say only in the log what hinders it.
        self.ending.failed(now);
        match self.engine.end_behind(&self.vg, HASTY) {
            Ok(()) => self.is_stale.store(true, Ordering::SeqCst),
            Err(error) if error.kind() == Kind::Locked => {}
            Err(error) => self.complaints.tell("what goes on behind", error.to_string()),
        }
    }

    /// Has go on what a dead process left suspended: whoever is alive resumes it within its budget, and has the lock meanwhile.
    pub(super) fn wake(&mut self, is_any_suspended: bool, now: Duration) {
        let is_first = std::mem::take(&mut self.is_new);
        if !is_any_suspended {
            return self.is_awake();
        }
        let since = *self.suspended.get_or_insert(now);
        self.board.note_suspended(&self.vg, Some(since));
        let is_abandoned = is_first || now.saturating_sub(since) >= SUSPENDED;
        if !is_abandoned || !self.waking.is_due(now) {
            return;
        }
        self.waking.failed(now);
        match self.engine.wake(&self.vg, HASTY) {
            Ok(()) => {
                tracing::warn!("volumes of {} that a dead process left suspended go on", self.vg);
                self.is_awake();
            }
            Err(error) if error.kind() == Kind::Locked => {}
            Err(error) => self.complaints.tell("what is suspended", error.to_string()),
        }
    }

    /// Nothing is suspended.
    fn is_awake(&mut self) {
        self.suspended = None;
        self.waking.renew();
        self.complaints.forget("what is suspended");
        self.board.note_suspended(&self.vg, None);
    }
}
