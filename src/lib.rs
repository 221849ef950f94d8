//! A device-mapper-native snapshot engine for LVM-formatted disks.
//!
//! Each room imports only from the rooms above its own:
//!
//! | room | what lives there |
//! |---|---|
//! | [`block`] | block devices, discovery, mounts; an in-memory device for tests |
//! | [`dm`] | the only room that speaks to device-mapper; a real and a simulated kernel |
//! | [`lvm`] | LVM2 on disk: labels, text metadata, allocation, commit, locks |
//! | [`cow`] | the exception store of dm-snapshot: what it holds, how large it must be |
//! | [`engine`] | metadata says, kernel follows: desired, converge, execute; the operations |
//! | [`metrics`] | what Prometheus sees |
//! | [`csi`] | the driver of the Container Storage Interface, on the engine |
//! | [`cli`] | the command line |
//!
//! [`steps`] counts what they do to disks and kernel, so that it can be cut anywhere.
//!
//! Every operation on a volume group's content goes one road: edit the model, commit it, compute the device tree that it wants,
//! compare it with the tree found, and run the difference as a plan. See `docs/architecture.md`.

pub mod block;
pub mod cli;
pub mod cow;
pub mod csi;
pub mod dm;
pub mod engine;
pub mod error;
mod held;
pub mod lvm;
pub mod metrics;
pub mod steps;
pub mod units;
mod work;
