//! The engine on a simulated kernel and disks in memory: what operations leave, and what they leave when they are cut.

#![allow(clippy::unwrap_used)]

mod across;
mod checker;
mod commands;
mod cuts;
mod diffs;
mod disputes;
mod every_step;
mod full;
mod judged;
mod keeping;
mod lab;
mod lvm2_peer;
mod monitor;
mod operations;
mod power;
mod restores;
mod rollbacks;
mod safety;
mod snapshots;
mod stores;
mod stuck;
mod tally;
mod together;
mod trial;
mod turns;
mod user;
mod vgs;
mod volumes;
mod watched;
