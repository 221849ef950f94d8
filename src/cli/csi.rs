//! `dmsnap csi`

use std::sync::Arc;

use super::args::Csi;
use crate::csi::local::Local;
use crate::csi::{Driver, Names, NodeService, server};
use crate::engine::{Engine, Mode};
use crate::error::{Error, Kind, Result};

/// Serves until the process is told to end.
pub fn run(command: &Csi, engine: Engine, mode: Mode) -> Result<()> {
    if mode.dry_run {
        return Err(Error::new(
            Kind::Usage,
            "a server does what it is asked: --dry-run is for single commands",
        ));
    }
    let node = match &command.node {
        Some(name) => name.clone(),
        None => engine.host_name().to_owned(),
    };
    let names = Names { driver: command.driver.clone(), node, vg: command.vg.clone() };
    let local = Local::new(engine);
    let driver = Driver::new(names, Arc::new(local.clone()));
    server::run(&command.endpoint, &driver, NodeService::new(Arc::clone(&driver), local))
}
