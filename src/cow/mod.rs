//! How large the exception store of a dm-snapshot must be.

pub mod size;
pub mod store;
