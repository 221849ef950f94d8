//! The real world: this host's devices, kernel, locks, clock and names.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use super::settings::Settings;
use crate::block::Devices;
use crate::block::sysfs::SysDevices;
use crate::dm::Kernel;
use crate::dm::control::Control;
use crate::engine::{Host, World};
use crate::error::{Error, Kind, Result};
use crate::lvm::Locks;
use crate::steps::Steps;

/// Names the step that the process kills itself before, to test what a dead process leaves.
const KILL_AT: &str = "DMSNAP_KILL_AT";

/// This host, for root.
pub fn real(settings: &Settings) -> Result<World> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Error::new(Kind::Internal, "only root may open block devices and device-mapper")
            .hint("run dmsnap as root"));
    }
    let (kernel, devices) =
        parts(Arc::new(Control::new(crate::dm::nodes::Nodes::default())), Arc::new(SysDevices::default()))?;
    Ok(World {
        kernel,
        devices,
        locks: Locks::new(&settings.locking_dir),
        clock: SystemTime::now,
        random,
        host: host()?,
        owner: crate::lvm::Host::default(),
        dev: PathBuf::from("/dev"),
    })
}

/// The kernel and the devices, behind the fail point if one is set.
fn parts(kernel: Arc<dyn Kernel>, devices: Arc<dyn Devices>) -> Result<(Arc<dyn Kernel>, Arc<dyn Devices>)> {
    let Some(step) = std::env::var_os(KILL_AT) else { return Ok((kernel, devices)) };
    let step: Option<u64> = step.to_str().and_then(|step| step.parse().ok());
    let step = step.ok_or_else(|| Error::new(Kind::Usage, format!("{KILL_AT} is no number")))?;
    let steps = Steps::new(move |number| if number == step { die() } else { Ok(()) });
    Ok((steps.kernel(kernel), steps.devices(devices)))
}

fn die() -> Result<()> {
    let killed = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
    killed.map_err(|error| Error::io("the process cannot kill itself", error))
}

fn random(buffer: &mut [u8]) {
    getrandom::fill(buffer)
        .expect("Linux has had getrandom(2) since 3.17, and it does not fail once it is seeded");
}

fn host() -> Result<Host> {
    let names = nix::sys::utsname::uname().map_err(|error| Error::io("uname(2) fails", error))?;
    let word = |word: &std::ffi::OsStr| word.to_string_lossy().into_owned();
    let name = word(names.nodename());
    let system = [
        word(names.sysname()),
        name.clone(),
        word(names.release()),
        word(names.version()),
        word(names.machine()),
    ];
    Ok(Host { name, system: system.join(" ") })
}
