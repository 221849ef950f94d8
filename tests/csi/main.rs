//! The driver on the engine, a simulated kernel and disks in memory: what its calls answer and leave.

#![allow(clippy::unwrap_used)]

mod contents;
mod driver;
mod groups;
#[allow(dead_code)]
#[path = "../engine/lab.rs"]
mod lab;
mod replays;
mod snapshots;
mod volumes;
