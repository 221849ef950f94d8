//! The exception store of a dm-snapshot on disk: what it holds, and how large it must be.

pub mod size;
pub mod store;
