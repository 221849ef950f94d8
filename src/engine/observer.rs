//! Who is told what the engine does, while it does it: metrics.

use std::time::Duration;

use super::Engine;
use super::operation::Report;
use crate::error::Result;

/// An operation that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done<'a> {
    /// What stands in the metadata of it: `snapshot create vg0/db`.
    pub what: &'a str,
    /// False if it failed.
    pub is_ok: bool,
    /// From the call to the answer.
    pub elapsed: Duration,
    /// The longest time that a volume's I/O waited for it.
    pub frozen: Option<Duration>,
}

/// Is told, from any thread, and keeps nobody waiting.
pub trait Observer: Send + Sync {
    /// A version of a volume group's metadata was written.
    fn committed(&self, vg: &str);

    /// An operation is over.
    fn done(&self, done: &Done<'_>);
}

impl Engine {
    pub(super) fn tell_commit(&self, vg: &str) {
        if let Some(observer) = &self.observer {
            observer.committed(vg);
        }
    }

    /// Tells of an operation that took so long.
    pub(super) fn tell_done<T>(&self, what: &str, elapsed: Duration, report: &Result<Report<T>>) {
        let Some(observer) = &self.observer else { return };
        let frozen = report.as_ref().ok().and_then(|report| report.frozen);
        observer.done(&Done { what, is_ok: report.is_ok(), elapsed, frozen });
    }
}
