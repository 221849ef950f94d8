//! The exception store of a dm-snapshot on disk: what it holds, what changed by it, and how large it must be.

pub mod diff;
pub mod reach;
pub mod size;
pub mod store;
