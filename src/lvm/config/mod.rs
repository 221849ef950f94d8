//! LVM2's text format as a lossless syntax tree.

/// A text, taken apart without losing a byte.
#[derive(Debug, Clone)]
pub struct Tree;
