//! What was written to devices in memory, in order, with the flushes between.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Image;
use crate::block::DevNo;
use crate::units::Bytes;

/// One change, or a flush.
#[derive(Clone, PartialEq, Eq)]
pub enum Event {
    /// Bytes were written.
    Write {
        /// Where.
        offset: Bytes,
        /// What.
        data: Arc<[u8]>,
    },
    /// A range was zeroed.
    Zero {
        /// Where.
        offset: Bytes,
        /// How much.
        length: Bytes,
    },
    /// Everything before on this device is stable.
    Flush,
}

impl Event {
    /// Does to a content what was done to the device.
    pub fn apply(&self, image: &mut Image) {
        match self {
            Self::Write { offset, data } => image.write(*offset, data),
            Self::Zero { offset, length } => image.zero(*offset, *length),
            Self::Flush => {}
        }
    }

    /// The range that it changes: where and how much.
    pub fn range(&self) -> (Bytes, Bytes) {
        match self {
            Self::Write { offset, data } => (*offset, Bytes(data.len() as u64)),
            Self::Zero { offset, length } => (*offset, *length),
            Self::Flush => (Bytes::ZERO, Bytes::ZERO),
        }
    }
}

/// Ranges without their bytes: a log of metadata writes stays readable.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (offset, length) = self.range();
        match self {
            Self::Write { .. } => write!(f, "write {}+{}", offset.get(), length.get()),
            Self::Zero { .. } => write!(f, "zero {}+{}", offset.get(), length.get()),
            Self::Flush => write!(f, "flush"),
        }
    }
}

/// An event and its device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The device.
    pub device: DevNo,
    /// What was done to it.
    pub event: Event,
}

/// The events of one or more devices, in the order in which they happened. Copies are the same log.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Mutex<Vec<Record>>>);

impl Log {
    /// What happened so far.
    pub fn records(&self) -> Vec<Record> {
        self.entries().clone()
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    /// True if nothing happened.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn push(&self, record: Record) {
        self.entries().push(record);
    }

    pub(super) fn clear(&self) {
        self.entries().clear();
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Record>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
