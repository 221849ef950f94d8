//! The engine: metadata says, the kernel follows.
//!
//! What an operation does to a volume group that there is, is a [`operation::Change`]; [`Engine::run`] takes it down the one road:
//! edit, commit, desired, converge, execute, confirm. Recovery goes the same road. Labelling devices, and the begin and the end of a
//! volume group, concern no device of device-mapper and are done without ([`setup`], [`group`]). The engine is plain blocking code and
//! knows no terminal.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use crate::block::Devices;
use crate::dm::Kernel;
use crate::lvm::Scanner;
use crate::lvm::lock::Locks;

pub mod across;
pub mod activation;
mod automatic;
mod behind;
pub mod blank;
pub mod converge;
pub mod desired;
pub mod diff;
pub mod dispute;
pub mod execute;
mod fate;
pub mod fill;
pub mod filling;
mod gather;
pub mod group;
pub mod inspect;
mod keeping;
pub mod list;
pub mod mark;
pub mod merge;
pub mod missing;
pub mod monitor;
pub mod naming;
mod observer;
pub mod operation;
pub mod outline;
pub mod plan;
mod queue;
mod reading;
pub mod recover;
pub mod resize;
pub mod restore;
mod retreat;
pub mod rollback;
mod room;
mod round;
mod session;
pub mod setup;
pub mod snapshot;
mod stack;
pub mod store;
pub mod tree;
mod verdict;
pub mod view;
pub mod volume;
mod wait;
mod wake;

pub use observer::{Done, Observer};
pub use operation::{Mode, Report};

/// Everything outside the process that the engine touches, so that a test can put something else in its place.
pub struct World {
    /// Device-mapper.
    pub kernel: Arc<dyn Kernel>,
    /// The host's block devices.
    pub devices: Arc<dyn Devices>,
    /// lvm2's locks.
    pub locks: Locks,
    /// The time of day.
    pub clock: fn() -> SystemTime,
    /// Fills a buffer with random bytes.
    pub random: fn(&mut [u8]),
    /// This host's name, for the metadata.
    pub host: Host,
    /// What this host is to volume groups that have an owner.
    pub owner: crate::lvm::Host,
    /// What lvm2's own configuration asks for.
    pub lvm2: crate::lvm::Settings,
}

/// What the metadata says of the host that wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The node name, as uname(2) has it.
    pub name: String,
    /// System, name, release, version and machine, as `uname -a` prints them.
    pub system: String,
}

/// The operations. One engine serves a process: threads that share it share the commits of what they ask for at once.
pub struct Engine {
    world: World,
    tasks: gather::Tasks,
    /// What its scans remember.
    scanner: Scanner,
    /// The findings that were told already.
    told: Mutex<HashSet<String>>,
    /// Who is told what is done.
    observer: Option<Arc<dyn Observer>>,
    /// Where the monitor leaves word of what will be full when.
    foresight: Option<PathBuf>,
}

impl Engine {
    /// An engine on this world.
    pub fn new(world: World) -> Self {
        let tasks = gather::Tasks::new();
        let (observer, foresight) = (None, None);
        Self { world, tasks, scanner: Scanner::default(), told: Mutex::default(), observer, foresight }
    }

    /// The same, which tells somebody what is done.
    #[must_use]
    pub fn observed_by(self, observer: Arc<dyn Observer>) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// The same, whose monitor leaves word in a directory of what will be full when, and whose lists read it there.
    #[must_use]
    pub fn foreseeing(self, directory: impl Into<PathBuf>) -> Self {
        Self { foresight: Some(directory.into()), ..self }
    }

    /// What this host is called.
    pub fn host_name(&self) -> &str {
        &self.world.host.name
    }

    /// Where links to volumes are: `/dev`.
    fn dev(&self) -> &Path {
        &self.world.lvm2.dev
    }
}
