//! Memory that O_DIRECT accepts.

use std::ops::{Deref, DerefMut};

/// More than any device asks for: a page, and the largest logical block in use.
const ALIGNMENT: usize = 4096;

/// Zeroed bytes that begin at a multiple of 4096.
pub struct Buffer {
    /// More than is asked for: the aligned bytes begin somewhere in the first page.
    bytes: Vec<u8>,
    start: usize,
    length: usize,
}

impl Buffer {
    /// `length` zeroed bytes; none if there is no such length.
    pub fn new(length: usize) -> Option<Self> {
        let room = length.checked_add(ALIGNMENT).filter(|room| isize::try_from(*room).is_ok())?;
        let bytes = vec![0; room];
        let start = bytes.as_ptr().align_offset(ALIGNMENT);
        Some(Self { bytes, start, length })
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.length]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_zeroed_aligned_and_writable() {
        for length in [1, 512, 4096, 10_000] {
            let mut buffer = Buffer::new(length).unwrap();
            assert_eq!(buffer.as_ptr().align_offset(ALIGNMENT), 0);
            assert!(buffer.len() == length && buffer.iter().all(|byte| *byte == 0));
            buffer.fill(7);
            assert_eq!(buffer.last(), Some(&7));
        }
        assert!(Buffer::new(usize::MAX).is_none());
    }
}
