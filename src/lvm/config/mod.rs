//! LVM2's text format as a lossless syntax tree: metadata and configuration files.
//!
//! A [`Tree`] keeps the whole text and knows where each node of it begins and ends, so that what is not changed
//! prints as it was, byte for byte: comments, quotes, order, odd spacing. Bytes, not characters: strings in the
//! text may hold anything but NUL, which ends it. Depth and size are bounded, damage is an error with its place,
//! and no input makes this panic.
//!
//! | file | what it does |
//! |---|---|
//! | `lexer` | where tokens end |
//! | `parse` | the grammar |
//! | `tree` | reading |
//! | `change` | changing |
//! | `print` | back to text; how values are spelled |

#![deny(clippy::indexing_slicing)]

mod change;
mod lexer;
mod parse;
mod print;
mod tree;

#[cfg(test)]
mod tests;

pub use change::{Place, SectionMut};
pub use print::{list, quoted};
pub use tree::{Node, Scalar, Section, Source, Tree, Value};

/// The largest text that is read. LVM2's metadata areas are far smaller.
pub const TEXT_MAX: usize = 64 << 20;

/// The deepest nesting that is read. LVM2 writes five levels.
pub const DEPTH_MAX: usize = 32;

/// The most nodes that are read: more than a volume group with 100 000 volumes has.
pub const NODES_MAX: usize = 4 << 20;
