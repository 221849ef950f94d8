//! The exception store of dm-snapshot: its format and its arithmetic.

pub mod size;
pub mod store;
