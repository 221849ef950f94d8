//! What earlier scans of a process have read: a text is parsed once, and not read again while the header that names it stays.
//!
//! Labels and headers are read at every scan, so nothing here is believed of a device that changed: a header says where its text is,
//! and its size and checksum, and each commit writes another one. For a change texts are read again too, under the lock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::block::DevNo;
use crate::lvm::area::HeaderBytes;
use crate::lvm::model::Vg;
use crate::units::Bytes;

/// A text whose checksum is right, once for all its copies.
#[derive(Debug)]
pub(super) struct Text {
    pub bytes: Arc<[u8]>,
    pub checksum: u32,
    vg: OnceLock<Result<Vg, String>>,
}

impl Text {
    /// The volume group that it describes, or what is wrong with it.
    pub fn vg(&self) -> &Result<Vg, String> {
        self.vg.get_or_init(|| Vg::from_shared(&self.bytes).map_err(|error| error.to_string()))
    }
}

/// An area: the device and where it begins on it.
type Place = (DevNo, Bytes);

/// What the last scan found.
#[derive(Debug, Default)]
pub(super) struct Memory {
    areas: HashMap<Place, (HeaderBytes, Arc<Text>)>,
}

/// What is known while a scan goes on, from the one before and from this one.
pub(super) struct Known<'m> {
    before: &'m Memory,
    /// Texts are taken from before without being read.
    trusting: bool,
    now: Mutex<Now>,
}

#[derive(Default)]
struct Now {
    texts: HashMap<u32, Vec<Arc<Text>>>,
    found: Memory,
}

impl<'m> Known<'m> {
    /// Begins a scan; `trusting` if a text need not be read whose header is as it was.
    pub fn new(before: &'m Memory, trusting: bool) -> Self {
        let mut now = Now::default();
        for (_, text) in before.areas.values() {
            let alike = now.texts.entry(text.checksum).or_default();
            if !alike.iter().any(|known| Arc::ptr_eq(known, text)) {
                alike.push(text.clone());
            }
        }
        Self { before, trusting, now: Mutex::new(now) }
    }

    /// The text that an area had when its header was the same.
    pub fn remembered(&self, number: DevNo, at: Bytes, header: &HeaderBytes) -> Option<Arc<Text>> {
        let (known, text) = self.before.areas.get(&(number, at)).filter(|_| self.trusting)?;
        (known == header).then(|| text.clone())
    }

    /// A text that was read: the copies on many disks, and what it was at the scan before, take memory once.
    pub fn share(&self, bytes: Arc<[u8]>, checksum: u32) -> Arc<Text> {
        let mut now = self.lock();
        let alike = now.texts.entry(checksum).or_default();
        if let Some(known) = alike.iter().find(|known| known.bytes == bytes) {
            return known.clone();
        }
        let text = Arc::new(Text { bytes, checksum, vg: OnceLock::new() });
        alike.push(text.clone());
        text
    }

    /// Keeps an area's text for the next scan.
    pub fn keep(&self, number: DevNo, at: Bytes, header: HeaderBytes, text: Arc<Text>) {
        self.lock().found.areas.insert((number, at), (header, text));
    }

    /// What the next scan may know.
    pub fn found(self) -> Memory {
        self.now.into_inner().unwrap_or_else(PoisonError::into_inner).found
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
