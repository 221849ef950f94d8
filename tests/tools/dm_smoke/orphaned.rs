//! A process is killed in its switch while another of its threads hangs in a read of the suspended volume: until that one is let go, the
//! process keeps its files, and it is let go when the volume goes on. The watchdog hears of the death all the same.

use std::process::Command;
use std::time::{Duration, Instant};

use dmsnap::block::{Access, Devices};
use dmsnap::dm::control::Control;
use dmsnap::dm::nodes::Nodes;
use dmsnap::dm::{Kernel, Witness};
use dmsnap::error::{Error, Kind, Result};
use dmsnap::units::Bytes;

use super::frozen::{at_rest, prepare};
use super::lab::{Lab, equal, expect, name};

const LONG: Duration = Duration::from_secs(600);
const SOON: Duration = Duration::from_secs(5);

pub fn orphaned(lab: &Lab) -> Result<()> {
    let failed = |error| Error::io("the other process", error);
    let program = std::env::current_exe().map_err(failed)?;
    let mut doomed = Command::new(program).arg(&lab.disk).arg("doomed").spawn().map_err(failed)?;
    let hangs = within(Duration::from_secs(30), || is_suspended(lab) && has_hanging_thread(doomed.id()));
    doomed.kill().map_err(failed)?;
    let killed = Instant::now();
    let goes_on = within(SOON, || !is_suspended(lab));
    println!("  orphaned: the volume goes on after {:?}", killed.elapsed());
    doomed.wait().map_err(failed)?;
    expect(hangs, || "no thread hangs".to_owned())?;
    equal("it goes on", &goes_on, &true)?;
    at_rest(lab, "linear")
}

/// What is killed.
pub fn doomed(lab: &Lab) -> Result<()> {
    struct Waits;
    impl Witness for Waits {
        fn done(&self) -> Result<()> {
            std::thread::sleep(LONG);
            Ok(())
        }
    }
    let steps = prepare(lab)?;
    let path = lab.path("org")?;
    std::thread::spawn(move || {
        let device = dmsnap::block::sysfs::SysDevices::default().open(&path, Access::Read)?;
        loop {
            device.read_at(Bytes::ZERO, &mut [0; 4096])?;
        }
        #[allow(unreachable_code)]
        Ok::<(), Error>(())
    });
    Control::new(Nodes::default()).freezing_for(LONG).switch_before(&steps, &Waits)?;
    Err(Error::new(Kind::Internal, "it was not killed"))
}

fn within(limit: Duration, is_so: impl Fn() -> bool) -> bool {
    let until = Instant::now() + limit;
    while Instant::now() < until {
        if is_so() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

fn is_suspended(lab: &Lab) -> bool {
    lab.kernel.info(&name("org")).is_ok_and(|info| info.is_some_and(|info| info.suspended))
}

/// Behind the name in brackets stands the state: D for one that no signal wakes.
fn has_hanging_thread(process: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let mut stats = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok());
    stats.any(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('D')))
}
