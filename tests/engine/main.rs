//! The engine on a simulated kernel and disks in memory: what operations leave, and what they leave when they are cut.

#![allow(clippy::unwrap_used)]

mod cuts;
mod disputes;
mod full;
mod lab;
mod lvm2_peer;
mod operations;
mod safety;
mod snapshots;
mod stuck;
mod together;
mod turns;
mod vgs;
mod volumes;
