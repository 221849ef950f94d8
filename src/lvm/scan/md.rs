//! Parts of md arrays: where the array's superblock is behind its data, a part shows what the array holds.
//!
//! A label made on the array says the array's size, which ends before the superblock. A label whose physical volume reaches over the
//! superblock was made on the bare device later, and the superblock is what is left of an array that was.

use crate::block::Device;
use crate::error::Result;
use crate::units::Bytes;

/// What a superblock begins with.
const MAGIC: u32 = 0xa92b_4efc;

/// Version 0.90: in the last whole 64 KiB, in the byte order of the host that made it.
const OLD_ROOM: Bytes = Bytes::kib(64);

/// Version 1.0: 8 to 12 KiB before the end.
const NEW_ROOM: Bytes = Bytes::kib(8);
const NEW_ALIGNMENT: Bytes = Bytes::kib(4);

/// True if the device, with a label that says `labelled`, is a part of an array.
pub(super) fn is_component(device: &dyn Device, labelled: Bytes) -> Result<bool> {
    let size = device.size();
    let places = [
        size.round_down(OLD_ROOM).checked_sub(OLD_ROOM),
        size.checked_sub(NEW_ROOM).map(|place| place.round_down(NEW_ALIGNMENT)),
    ];
    for place in places.into_iter().flatten().filter(|place| labelled <= *place) {
        let mut magic = [0; 4];
        device.read_at(place, &mut magic)?;
        if [u32::from_le_bytes(magic), u32::from_be_bytes(magic)].contains(&MAGIC) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::mem::MemDevices;
    use crate::block::{Access, Devices};
    use std::path::Path;

    #[test]
    fn a_superblock_counts_only_behind_what_the_label_says() {
        let host = MemDevices::new();
        host.add("/dev/sda", Bytes::mib(64));
        let device = host.open(Path::new("/dev/sda"), Access::Write).unwrap();
        let size = Bytes::mib(64);
        assert!(!is_component(&*device, Bytes::mib(60)).unwrap());
        for place in [size - Bytes::kib(64), size - Bytes::kib(8)] {
            device.write_at(place, &MAGIC.to_le_bytes()).unwrap();
            assert!(is_component(&*device, place).unwrap());
            assert!(!is_component(&*device, size).unwrap());
            device.write_at(place, &[0; 4]).unwrap();
        }
    }
}
