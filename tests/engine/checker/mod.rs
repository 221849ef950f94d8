//! An independent judge of what an operation leaves: it shares no code with the engine, not even its model of the metadata.
//!
//! It reads the disks' bytes ([`disk`], [`text`]) and the kernel's tables as words ([`kernel`]), and says what breaks an invariant
//! ([`rules`]): what holds at every instant, and what holds when nothing is under way.

// What stands on the disks here stands in memory.
#![allow(clippy::cast_possible_truncation)]

pub mod disk;
pub mod kernel;
pub mod rules;
pub mod text;
