//! The driver of the Container Storage Interface: identity, controller, group controller and node in one process.
//!
//! [`server`] has the socket, [`call`] what every call goes through, and each service a file of its own. What the services do to volumes
//! and snapshots they ask of a [`backend::Backend`]; [`local`] is the engine of this host. Here async begins: the engine is called through
//! [`call::blocking`] alone, and programs through [`program`]. A message of an error is the engine's own; `status` says with which code.
//!
//! A volume of CSI is a logical volume that bears a tag with its name: others are not shown, and not touched. Its id is the name of the
//! logical volume.

pub mod backend;
pub mod call;
mod capability;
mod content;
mod controller;
mod format;
mod group;
mod identity;
pub mod local;
mod mount;
mod names;
mod node;
mod page;
mod parameters;
mod program;
pub mod proto;
pub mod server;
mod snapshots;
mod status;
mod turns;
mod volumes;

use std::sync::Arc;

use crate::lvm::VgName;
use crate::metrics::Metrics;
use backend::Backend;
use turns::Turns;

pub use controller::ControllerService;
pub use group::GroupService;
pub use identity::IdentityService;
pub use node::NodeService;

/// The driver's name unless another is set: the one in the YAML of HwameiStor's users.
pub const DRIVER: &str = "lvm.hwameistor.io";

/// Who this driver is.
#[derive(Debug, Clone)]
pub struct Names {
    /// What the cluster calls the driver.
    pub driver: String,
    /// What it calls this host.
    pub node: String,
    /// Where volumes go whose parameters name no pool.
    pub vg: Option<VgName>,
}

/// What all services share.
pub struct Driver {
    names: Names,
    backend: Arc<dyn Backend>,
    turns: Turns,
    /// Where calls are counted, if they are.
    metrics: Option<Arc<Metrics>>,
}

impl Driver {
    /// A driver of these names, on this backend.
    pub fn new(names: Names, backend: Arc<dyn Backend>) -> Arc<Self> {
        Self::measured(names, backend, None)
    }

    /// The same, whose calls are counted.
    pub fn measured(names: Names, backend: Arc<dyn Backend>, metrics: Option<Arc<Metrics>>) -> Arc<Self> {
        Arc::new(Self { names, backend, turns: Turns::default(), metrics })
    }

    /// The key under which a node says which one it is.
    fn topology_key(&self) -> String {
        format!("topology.{}/node", self.names.driver)
    }

    /// Where this host's volumes can be reached from: this host.
    fn topology(&self) -> proto::Topology {
        proto::Topology { segments: [(self.topology_key(), self.names.node.clone())].into() }
    }
}
