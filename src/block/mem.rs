//! Block devices in memory, for tests of everything above.
//!
//! A [`MemDevice`] is sparse, logs what is written to it and can be told to fail. [`MemDevices`] is a host's set of
//! them with one common log, so that a power cut can be tried at every write of an operation that spans disks:
//! [`MemDevices::images_after_cut`] gives the contents that such disks may be left with. What was written
//! since a disk's last flush may be lost, kept, reordered, or torn between 512-byte sectors; what was flushed is kept.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{DevNo, Device, Meter};
use crate::error::{Context, Error, Kind, Result};
use crate::units::Bytes;

mod image;
mod log;
mod powercut;
mod set;

pub use image::Image;
pub use log::{Event, Log, Record};
pub use powercut::{Remains, mixed};
pub use set::{Attributes, MemDevices};

/// The calls that can be made to fail. Zeroing is a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// [`Device::read_at`]
    Read,
    /// [`Device::write_at`] and [`Device::zero`]
    Write,
    /// [`Device::flush`]
    Flush,
    /// [`Meter::written`]
    Meter,
}

#[derive(Debug)]
struct Fault {
    operation: Operation,
    /// Calls of this operation that still succeed.
    after: u64,
    once: bool,
}

#[derive(Debug, Default)]
struct State {
    image: Image,
    /// The content when the log was empty.
    base: Image,
    faults: Vec<Fault>,
    /// What lies behind this cannot be read.
    unreadable: Option<Bytes>,
    /// How long a flush takes.
    flush_time: Duration,
    reads: u64,
    written: Bytes,
    /// Of that, what the meter has counted, and how much it may lack of it.
    counted: Bytes,
    lag: Bytes,
    readings: u64,
}

/// A sparse block device in memory.
#[derive(Debug)]
pub struct MemDevice {
    path: PathBuf,
    number: DevNo,
    size: Bytes,
    block_size: Bytes,
    log: Log,
    state: Mutex<State>,
}

impl MemDevice {
    /// A zeroed device of `size`, with blocks of 512 bytes and a log of its own.
    pub fn new(path: impl Into<PathBuf>, number: DevNo, size: Bytes) -> Self {
        Self::with_log(path.into(), number, size, Bytes(512), Log::default())
    }

    fn with_log(path: PathBuf, number: DevNo, size: Bytes, block_size: Bytes, log: Log) -> Self {
        Self { path, number, size, block_size, log, state: Mutex::default() }
    }

    /// The same device as it would be found after a restart: this content, another log, no faults.
    fn reborn(&self, image: Image, log: Log) -> Self {
        let state = State { base: image.clone(), image, ..State::default() };
        Self { path: self.path.clone(), state: Mutex::new(state), log, ..*self }
    }

    /// The writes and flushes so far.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// A copy of the content; cheap.
    pub fn image(&self) -> Image {
        self.state().image.clone()
    }

    /// What is at `offset`, past faults. Beyond the end there are zeroes.
    pub fn peek(&self, offset: Bytes, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.state().image.read(offset, &mut bytes);
        bytes
    }

    /// Changes the content past log and faults, as if it had always been so: damage, or another host's doing.
    pub fn poke(&self, offset: Bytes, data: &[u8]) {
        let mut state = self.state();
        state.image.write(offset, data);
        state.base.write(offset, data);
    }

    /// The `nth` call of `operation` from now on fails, counted from 1; later ones succeed.
    pub fn fail_nth(&self, operation: Operation, nth: u64) {
        self.state().faults.push(Fault { operation, after: nth.saturating_sub(1), once: true });
    }

    /// The `nth` call of `operation` from now on and all later ones fail.
    pub fn fail_from(&self, operation: Operation, nth: u64) {
        self.state().faults.push(Fault { operation, after: nth.saturating_sub(1), once: false });
    }

    /// From now on nothing can be read that lies behind `offset`.
    pub fn fail_behind(&self, offset: Bytes) {
        self.state().unreadable = Some(offset);
    }

    /// Takes back every injected failure.
    pub fn heal(&self) {
        let mut state = self.state();
        state.faults.clear();
        state.unreadable = None;
    }

    /// Makes each flush take so long.
    pub fn flush_in(&self, time: Duration) {
        self.state().flush_time = time;
    }

    /// From now on its meter does not count the last bytes written: as of a disk that is still writing them.
    pub fn lag_meter(&self, lag: Bytes) {
        let mut state = self.state();
        state.counted = state.counted.max(state.written - state.lag);
        state.lag = lag;
    }

    /// How often it was read.
    pub fn reads(&self) -> u64 {
        self.state().reads
    }

    /// How often its meter was read.
    pub fn readings(&self) -> u64 {
        self.state().readings
    }

    /// Takes the present content as the one that the log begins with. The caller empties the log.
    fn settle(&self) {
        let mut state = self.state();
        state.base = state.image.clone();
    }

    fn base(&self) -> Image {
        self.state().base.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_range(&self, offset: Bytes, length: Bytes) -> Result<()> {
        match offset.checked_add(length) {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(Error::new(
                Kind::Internal,
                format!("{length} at byte {} is beyond the end of {}", offset.get(), self.path.display()),
            )),
        }
    }

    fn change(&self, event: Event) -> Result<()> {
        let mut state = self.state();
        state.take_fault(Operation::Write).map_err(|error| self.injected(error))?;
        event.apply(&mut state.image);
        state.written += event.range().1;
        // Logged under the device's lock: the log keeps the order in which the content changed.
        self.log.push(Record { device: self.number, event });
        Ok(())
    }

    fn injected(&self, what: &'static str) -> Error {
        let cause = format!("{what} {} failed", self.path.display());
        Error::io(cause, std::io::Error::other("injected error")).at(Context::Device(self.path.clone()))
    }
}

impl State {
    fn take_fault(&mut self, operation: Operation) -> std::result::Result<(), &'static str> {
        let mut hit = false;
        self.faults.retain_mut(|fault| {
            if fault.operation != operation {
                return true;
            }
            let due = fault.after == 0;
            fault.after = fault.after.saturating_sub(1);
            hit |= due;
            !(due && fault.once)
        });
        match (hit, operation) {
            (false, _) => Ok(()),
            (true, Operation::Read) => Err("reading"),
            (true, Operation::Write) => Err("writing"),
            (true, Operation::Flush) => Err("flushing"),
            (true, Operation::Meter) => Err("counting the writes to"),
        }
    }
}

impl Meter for Arc<MemDevice> {
    fn written(&self) -> Result<Bytes> {
        let mut state = self.state();
        state.readings += 1;
        state.take_fault(Operation::Meter).map_err(|error| self.injected(error))?;
        state.counted = state.counted.max(state.written - state.lag);
        Ok(state.counted)
    }
}

impl Device for MemDevice {
    fn path(&self) -> &Path {
        &self.path
    }

    fn number(&self) -> DevNo {
        self.number
    }

    fn size(&self) -> Bytes {
        self.size
    }

    fn block_size(&self) -> Bytes {
        self.block_size
    }

    fn read_at(&self, offset: Bytes, buffer: &mut [u8]) -> Result<()> {
        let length = Bytes(buffer.len() as u64);
        self.check_range(offset, length)?;
        let mut state = self.state();
        state.reads += 1;
        state.take_fault(Operation::Read).map_err(|error| self.injected(error))?;
        if state.unreadable.is_some_and(|behind| offset + length > behind) {
            return Err(self.injected("reading"));
        }
        state.image.read(offset, buffer);
        Ok(())
    }

    fn write_at(&self, offset: Bytes, data: &[u8]) -> Result<()> {
        self.check_range(offset, Bytes(data.len() as u64))?;
        self.change(Event::Write { offset, data: Arc::from(data) })
    }

    fn zero(&self, offset: Bytes, length: Bytes) -> Result<()> {
        self.check_range(offset, length)?;
        self.change(Event::Zero { offset, length })
    }

    fn flush(&self) -> Result<()> {
        let mut state = self.state();
        state.take_fault(Operation::Flush).map_err(|error| self.injected(error))?;
        self.log.push(Record { device: self.number, event: Event::Flush });
        let time = state.flush_time;
        drop(state);
        if !time.is_zero() {
            std::thread::sleep(time);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
