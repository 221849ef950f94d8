//! Looking at one device, whatever it belongs to.

use std::path::Path;

use super::Engine;
use crate::block::Access;
use crate::error::Result;
use crate::lvm::inspect::{Inspection, inspect};

impl Engine {
    /// What a device's label, headers and texts say.
    pub fn inspect(&self, path: &Path) -> Result<Inspection> {
        let device = self.world.devices.open(path, Access::Read);
        device
            .and_then(|device| inspect(device.as_ref()))
            .map_err(|error| error.doing(format!("inspect {}", path.display())))
    }
}
