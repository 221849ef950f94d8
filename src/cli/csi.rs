//! `dmsnap csi`

use std::sync::Arc;

use super::args::Csi;
use super::systemd::notify;
use crate::csi::local::Local;
use crate::csi::{Driver, Names, NodeService, server};
use crate::engine::{Engine, Mode};
use crate::error::{Error, Kind, Result};
use crate::metrics::{Metrics, serve};

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
    let metrics = Arc::new(Metrics::new(Arc::default()));
    if let Some(address) = command.metrics {
        serve::serve(address, Arc::clone(&metrics))?;
    }
    let local = Local::new(engine.observed_by(Arc::clone(&metrics) as _));
    let driver = Driver::measured(names, Arc::new(local.clone()), Some(metrics));
    let node = NodeService::new(Arc::clone(&driver), local);
    server::run(&command.endpoint, &driver, node, || notify("READY=1"))
}
