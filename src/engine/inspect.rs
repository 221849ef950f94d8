//! Looking at one device, whatever it belongs to.

use std::path::Path;

use serde::Serialize;

use super::Engine;
use crate::block::{Access, Device};
use crate::cow::store::{Store, Table};
use crate::error::{Kind, Result};
use crate::lvm::inspect::{Inspection, inspect};
use crate::units::Bytes;

/// What a device was found to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Inspected {
    /// A physical volume.
    Pv(Inspection),
    /// A snapshot's store.
    Store(StoreView),
}

/// A snapshot's store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoreView {
    /// The device's size.
    pub size_bytes: Bytes,
    /// The size of its chunks.
    pub chunk_bytes: Bytes,
    /// True if the store overflowed or failed: nothing more is then said of it.
    pub invalid: bool,
    /// How many chunks of the origin have an exception.
    pub exceptions: Option<u64>,
    /// What is in use.
    pub used_bytes: Option<Bytes>,
    /// What of that is header and exceptions.
    pub metadata_bytes: Option<Bytes>,
    /// The exceptions themselves.
    #[serde(skip)]
    pub table: Option<Table>,
}

impl Engine {
    /// What a device's label, headers and texts say, or its exception store.
    pub fn inspect(&self, path: &Path) -> Result<Inspected> {
        let device = self.world.devices.open(path, Access::Read);
        device
            .and_then(|device| inspected(device.as_ref()))
            .map_err(|error| error.doing(format!("inspect {}", path.display())))
    }
}

fn inspected(device: &dyn Device) -> Result<Inspected> {
    match (inspect(device), Store::open(device)) {
        (Ok(inspection), _) => Ok(Inspected::Pv(inspection)),
        // What is neither is no physical volume; a store that is one, but a bad one, says so.
        (Err(error), Err(other)) if other.kind() == Kind::NotFound => Err(error),
        (Err(error), _) if error.kind() != Kind::NotFound => Err(error),
        (Err(_), store) => store_view(device, &store?).map(Inspected::Store),
    }
}

fn store_view(device: &dyn Device, store: &Store<'_>) -> Result<StoreView> {
    let chunk = store.header.chunk_size;
    let table = store.header.valid.then(|| store.table(None)).transpose()?;
    Ok(StoreView {
        size_bytes: device.size(),
        chunk_bytes: chunk.bytes(),
        invalid: !store.header.valid,
        exceptions: table.as_ref().map(|table| table.exceptions.len() as u64),
        used_bytes: table.as_ref().map(|table| table.used().sectors(chunk).bytes()),
        metadata_bytes: table.as_ref().map(|table| table.metadata().sectors(chunk).bytes()),
        table,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::DevNo;
    use crate::block::mem::MemDevice;

    fn device(header: [u32; 4], exceptions: &[u64]) -> MemDevice {
        let device = MemDevice::new("/dev/cow", DevNo { major: 240, minor: 0 }, Bytes::mib(1));
        device.poke(Bytes::ZERO, header.map(u32::to_le_bytes).as_flattened());
        let words: Vec<_> = exceptions.iter().map(|word| word.to_le_bytes()).collect();
        device.poke(Bytes::kib(4), words.as_flattened());
        device
    }

    fn view(header: [u32; 4], exceptions: &[u64]) -> Result<StoreView> {
        match inspected(&device(header, exceptions))? {
            Inspected::Store(view) => Ok(view),
            Inspected::Pv(_) => panic!("a physical volume"),
        }
    }

    #[test]
    fn a_device_with_a_store_shows_the_store() {
        let valid = view([0x7041_6e53, 1, 1, 8], &[5, 2, 9, 3]).unwrap();
        let answer = serde_json::to_value(&valid).unwrap();
        let wanted = serde_json::json!({
            "size_bytes": 1 << 20, "chunk_bytes": 4096, "invalid": false,
            "exceptions": 2, "used_bytes": 4 * 4096, "metadata_bytes": 2 * 4096,
        });
        assert_eq!(answer, wanted);
        let lost = view([0x7041_6e53, 0, 1, 8], &[5, 9999]).unwrap();
        assert!(lost.invalid && lost.exceptions.is_none() && lost.table.is_none());
    }

    #[test]
    fn a_device_with_neither_is_not_found_and_a_bad_store_is_refused() {
        let neither = view([0, 1, 1, 8], &[]).unwrap_err();
        assert!(neither.kind() == Kind::NotFound && neither.message().contains("no physical volume"));
        assert_eq!(view([0x7041_6e53, 1, 7, 8], &[]).unwrap_err().kind(), Kind::Refused);
        assert_eq!(view([0x7041_6e53, 1, 1, 8], &[5, 9999]).unwrap_err().kind(), Kind::Refused);
    }
}
