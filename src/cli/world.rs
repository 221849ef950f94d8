//! The real world: this host's devices, kernel, locks, clock and names.

use std::sync::Arc;
use std::time::SystemTime;

use nix::sys::signal::Signal;

use super::settings::Settings;
use crate::block::Devices;
use crate::block::sysfs::SysDevices;
use crate::dm::Kernel;
use crate::dm::control::Control;
use crate::dm::nodes::Nodes;
use crate::engine::{Host, World};
use crate::error::{Error, Kind, Result};
use crate::lvm::admission::Admission;
use crate::lvm::admitted::{AdmittedDevices, PATIENCE};
use crate::lvm::devices_file::DevicesFile;
use crate::lvm::{self, Locks};
use crate::steps::Steps;

/// Name the step that the process kills or stops itself before, to test what a process leaves that cannot go on; with a `-` behind it,
/// each from there on.
const FAIL_POINTS: [(&str, Signal); 2] =
    [("DMSNAP_KILL_AT", Signal::SIGKILL), ("DMSNAP_STOP_AT", Signal::SIGSTOP)];

/// This host, for root; `lvm2` is what lvm2's configuration asks for.
pub fn real(settings: &Settings, lvm2: lvm::Settings) -> Result<World> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Error::new(Kind::Internal, "only root may open block devices and device-mapper")
            .hint("run dmsnap as root"));
    }
    let host = host()?;
    let (owner, note) = lvm2.system_id.host(&host.name, |path| std::fs::read_to_string(path).ok());
    if let Some(note) = note {
        tracing::warn!("{note}");
    }
    let nodes = Nodes { dev: lvm2.dev.clone(), ..Nodes::default() };
    let control = Control::new(nodes).freezing_for(settings.freeze_budget()?);
    let (kernel, devices) = parts(Arc::new(control), Arc::new(devices(&lvm2)?))?;
    Ok(World {
        kernel,
        devices,
        locks: Locks::new(&lvm2.locking_dir).waiting(lvm2.wait_for_locks).writers_first(lvm2.writers_first),
        clock: SystemTime::now,
        random,
        host,
        owner,
        lvm2,
    })
}

/// This host's devices, under lvm2's rules.
fn devices(lvm2: &lvm::Settings) -> Result<AdmittedDevices> {
    let rules = &lvm2.devices;
    let drivers = std::fs::read_to_string("/proc/devices").ok();
    let admission = Admission::new(rules, drivers.as_deref(), None)?;
    let file = rules.devices_file.as_ref().map(|path| DevicesFile::new(path, &lvm2.locking_dir));
    let host = SysDevices { dev: lvm2.dev.clone(), ..SysDevices::default() };
    AdmittedDevices::new(Arc::new(host.clone()), host, admission, file, PATIENCE)
}

/// The kernel and the devices, behind the fail point if one is set.
fn parts(kernel: Arc<dyn Kernel>, devices: Arc<dyn Devices>) -> Result<(Arc<dyn Kernel>, Arc<dyn Devices>)> {
    let set = |(name, signal)| Some((name, signal, std::env::var_os(name)?));
    let Some((name, signal, step)) = FAIL_POINTS.into_iter().find_map(set) else {
        return Ok((kernel, devices));
    };
    let (first, last) = steps_named(step.to_str().unwrap_or_default())
        .ok_or_else(|| Error::new(Kind::Usage, format!("{name} is no number")))?;
    let hit = move |number| (first..=last).contains(&number);
    let steps = Steps::new(move |number| if hit(number) { signal_itself(signal) } else { Ok(()) });
    Ok((steps.kernel(kernel), steps.devices(devices)))
}

/// The first and the last: `7` or `7-`.
fn steps_named(text: &str) -> Option<(u64, u64)> {
    let open = text.strip_suffix('-');
    let first = open.unwrap_or(text).parse().ok()?;
    Some((first, if open.is_some() { u64::MAX } else { first }))
}

fn signal_itself(signal: Signal) -> Result<()> {
    let done = nix::sys::signal::raise(signal);
    done.map_err(|error| Error::io(format!("the process cannot send itself {signal}"), error))
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
