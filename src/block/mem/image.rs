//! The content of a sparse device: the pages that are not zero. Copies share pages until one of them is changed,
//! so that thousands of power-cut images cost little.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::units::Bytes;

const PAGE: usize = 4096;

/// A sparse content. Two are equal if they read the same everywhere.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// By page number; no page is all zeroes, which makes equality exact.
    pages: BTreeMap<u64, Arc<[u8; PAGE]>>,
}

/// A part of one page: its number, where it begins in the page, and where in the caller's range.
struct Piece {
    page: u64,
    within: usize,
    at: usize,
    length: usize,
}

/// Cuts `length` bytes at `offset` at page boundaries.
fn pieces(offset: Bytes, length: usize) -> impl Iterator<Item = Piece> {
    let page_bytes = PAGE as u64;
    let mut at = 0;
    std::iter::from_fn(move || {
        if at == length {
            return None;
        }
        let position = offset.get().checked_add(at as u64)?;
        let within = usize::try_from(position % page_bytes).ok()?;
        let length = (PAGE - within).min(length - at);
        let piece = Piece { page: position / page_bytes, within, at, length };
        at += length;
        Some(piece)
    })
}

impl Image {
    /// Fills `buffer` from `offset`.
    pub fn read(&self, offset: Bytes, buffer: &mut [u8]) {
        for piece in pieces(offset, buffer.len()) {
            let target = &mut buffer[piece.at..piece.at + piece.length];
            match self.pages.get(&piece.page) {
                Some(page) => target.copy_from_slice(&page[piece.within..piece.within + piece.length]),
                None => target.fill(0),
            }
        }
    }

    /// Changes what is at `offset`.
    pub fn write(&mut self, offset: Bytes, data: &[u8]) {
        for piece in pieces(offset, data.len()) {
            let source = &data[piece.at..piece.at + piece.length];
            let page = self.pages.entry(piece.page).or_insert_with(|| Arc::new([0; PAGE]));
            Arc::make_mut(page)[piece.within..piece.within + piece.length].copy_from_slice(source);
            self.drop_if_zero(piece.page);
        }
    }

    /// Makes a range zero. Takes as long as there are pages in it, however large it is.
    pub fn zero(&mut self, offset: Bytes, length: Bytes) {
        let (start, end) = (offset.get(), offset.get().saturating_add(length.get()));
        let page_bytes = PAGE as u64;
        let touched: Vec<u64> = self
            .pages
            .range(start / page_bytes..end.div_ceil(page_bytes))
            .map(|(number, _)| *number)
            .collect();
        for number in touched {
            let first = number * page_bytes;
            let from = start.saturating_sub(first).min(page_bytes);
            let to = (end - first).min(page_bytes);
            let zeroes = [0; PAGE];
            let length = usize::try_from(to - from).unwrap_or(PAGE);
            self.write(Bytes(first + from), &zeroes[..length]);
        }
    }

    /// The bytes that are held, for tests of sparseness.
    pub fn held(&self) -> Bytes {
        Bytes((self.pages.len() * PAGE) as u64)
    }

    fn drop_if_zero(&mut self, number: u64) {
        if self.pages.get(&number).is_some_and(|page| page.iter().all(|byte| *byte == 0)) {
            self.pages.remove(&number);
        }
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({} pages)", self.pages.len())
    }
}
