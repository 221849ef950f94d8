//! Targets and tables: typed values to and from the kernel's text.
//!
//! `D` is how a target names the devices below it: a [`crate::block::DevNo`] towards the kernel, a name while a plan is
//! made. Parameters are those of the kernel's device-mapper documents (linear, striped, snapshot, clone).

use std::fmt;

use crate::units::{Chunks, Sectors};

/// One kind of mapping and its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target<D> {
    /// `linear DEV OFFSET`
    Linear {
        /// The device below.
        device: D,
        /// Where the line begins on it.
        offset: Sectors,
    },
    /// `striped N CHUNK [DEV OFFSET]...`
    Striped {
        /// Sectors on one device before the next one's turn.
        chunk: Sectors,
        /// The devices and where the line begins on each.
        stripes: Vec<(D, Sectors)>,
    },
    /// `snapshot-origin DEV`
    Origin {
        /// The device that holds the origin's data.
        device: D,
    },
    /// `snapshot ORIGIN COW P CHUNK`
    Snapshot {
        /// The device that holds the origin's data.
        origin: D,
        /// The COW store.
        cow: D,
        /// The chunk size.
        chunk: Sectors,
    },
    /// `snapshot-merge ORIGIN COW P CHUNK`
    Merge {
        /// The device that holds the origin's data.
        origin: D,
        /// The COW store.
        cow: D,
        /// The chunk size. The kernel prints 0 for an inactive merge table (Linux 6.1).
        chunk: Sectors,
    },
    /// `zero`
    Zero,
    /// `error`
    Error,
    /// A target that dmsnap does not make, kept as its text.
    Other {
        /// The target's type.
        kind: String,
        /// Its parameters.
        params: String,
    },
}

/// A range of a device and where it is mapped to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<D> {
    /// The first sector.
    pub start: Sectors,
    /// How many.
    pub length: Sectors,
    /// The mapping.
    pub target: Target<D>,
}

/// The lines of a device, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table<D>(pub Vec<Line<D>>);

/// What a target says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// `snapshot` or `snapshot-merge` in good state: `USED/TOTAL METADATA`.
    Store {
        /// Sectors of the store in use, its metadata included.
        used: Sectors,
        /// Sectors of the store.
        total: Sectors,
        /// Sectors of the store that hold its header and exception areas.
        metadata: Sectors,
        /// True for `snapshot-merge`.
        merging: bool,
    },
    /// The store overflowed or was lost: the snapshot is worth nothing.
    Invalid,
    /// A write to the snapshot itself did not fit (mode `PO`).
    Overflow,
    /// The merge stopped on an I/O error.
    MergeFailed,
    /// A target whose status says nothing that dmsnap needs.
    Other(String),
}

impl<D: fmt::Display> fmt::Display for Target<D> {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _: Option<Chunks> = None;
        Err(fmt::Error)
    }
}
