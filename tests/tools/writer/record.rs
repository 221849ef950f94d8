//! One record: its number, a checksum, and a body that follows from the number.

use clap::Args;

/// Where records lie: each at its own slot, all of one size. Of several files each has the slots in turn.
#[derive(Args, Clone, Copy)]
pub struct Ring {
    /// Bytes of a record, a multiple of 512.
    #[arg(long, default_value_t = 4096)]
    pub record: usize,
    /// Slots of all files: when all are filled, the oldest record is overwritten. 0: the file grows without end.
    #[arg(long, default_value_t = 0)]
    pub slots: u64,
}

impl Ring {
    /// The slot of a record; numbers begin at 1.
    pub fn slot(&self, number: u64) -> u64 {
        if self.slots == 0 { number - 1 } else { (number - 1) % self.slots }
    }

    /// The file that a record lies in, and its offset there.
    pub fn place<'f, F>(&self, number: u64, files: &'f [F]) -> Option<(&'f F, u64)> {
        let (slot, count) = (self.slot(number), files.len() as u64);
        let file = files.get(usize::try_from(slot.checked_rem(count)?).ok()?)?;
        Some((file, slot / count * self.record as u64))
    }

    /// The number that a slot must hold when `last` is the last one written.
    pub fn expected(&self, slot: u64, last: u64) -> u64 {
        if self.slots == 0 || last <= self.slots {
            return slot + 1;
        }
        let back = (self.slot(last) + self.slots - slot) % self.slots;
        last - back
    }
}

const NUMBER: std::ops::Range<usize> = 0..8;
const CHECKSUM: std::ops::Range<usize> = 8..12;
const BODY: usize = 16;

/// Makes the buffer the record with this number.
pub fn pack(number: u64, buffer: &mut [u8]) {
    let mut word = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for chunk in buffer[BODY..].chunks_mut(8) {
        word = word.rotate_left(5).wrapping_add(number);
        chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
    }
    buffer[NUMBER].copy_from_slice(&number.to_le_bytes());
    let checksum = checksum(buffer);
    buffer[CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
}

/// The number of the record, none if it is damaged.
pub fn unpack(buffer: &[u8]) -> Option<u64> {
    let number = u64::from_le_bytes(buffer[NUMBER].try_into().ok()?);
    let stored = u32::from_le_bytes(buffer[CHECKSUM].try_into().ok()?);
    (number != 0 && stored == checksum(buffer)).then_some(number)
}

fn checksum(buffer: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&buffer[NUMBER]);
    hasher.update(&buffer[BODY..]);
    hasher.finalize()
}
