//! Several switches under one watchdog, of which the middle one is refused or taken over: the others go on. And two processes' worth of
//! them at once, in two threads.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dmsnap::dm::control::Control;
use dmsnap::dm::nodes::Nodes;
use dmsnap::dm::{Freeze, Kernel, SwitchStep, Witness};
use dmsnap::error::{Error, Kind, Result};

use super::lab::{Lab, VISIBLE, equal, name, refused};

const BUDGET: Duration = Duration::from_millis(300);
const NAMES: [&str; 4] = ["one", "two", "three", "four"];

/// What happens to the second switch, before its second call.
enum Second {
    Goes,
    Refused,
    Late,
}

struct Looks {
    second: Second,
    calls: AtomicU32,
}

impl Witness for Looks {
    fn before(&self) -> Result<()> {
        let is_it = self.calls.fetch_add(1, Ordering::SeqCst) == 3;
        match self.second {
            Second::Refused if is_it => return Err(Error::new(Kind::Internal, "refused by the test")),
            Second::Late if is_it => std::thread::sleep(BUDGET * 4),
            _ => {}
        }
        Ok(())
    }
}

pub fn round(lab: &Lab) -> Result<()> {
    for (place, text) in (0..).zip(NAMES) {
        lab.linear(text, place)?;
    }
    let kernel = Control::new(Nodes::default()).freezing_for(BUDGET);
    for (second, words) in [
        (Second::Goes, None),
        (Second::Refused, Some("refused by the test")),
        (Second::Late, Some("freeze_budget")),
    ] {
        let switches = NAMES.map(switch);
        let looks = Looks { second, calls: AtomicU32::new(0) };
        let all: Vec<&[SwitchStep]> = switches.iter().map(<[_; 2]>::as_slice).collect();
        let mut guarded = kernel.switches(&all, &looks)?;
        let before = children();
        guarded.run(0)?;
        match words {
            Some(words) => refused("the second", guarded.run(1), Kind::Internal, words)?,
            None => drop(guarded.run(1)?),
        }
        nothing_suspended(lab)?;
        guarded.run(2)?;
        guarded.run(3)?;
        equal("watchdogs", &children(), &before)?;
        drop(guarded);
        equal("watchdogs afterwards", &children(), &0)?;
    }
    at_once(lab, &kernel)
}

/// Each thread has its own switches.
fn at_once(lab: &Lab, kernel: &Control) -> Result<()> {
    let turns = |text: &'static str| {
        for _ in 0..20 {
            kernel.switch(&switch(text))?;
        }
        Ok::<_, Error>(())
    };
    std::thread::scope(|scope| {
        let threads = NAMES.map(|text| scope.spawn(move || turns(text)));
        let broken = |_| Error::new(Kind::Internal, "a thread has panicked");
        threads.into_iter().try_for_each(|thread| thread.join().map_err(broken)?)
    })?;
    equal("watchdogs", &children(), &0)?;
    nothing_suspended(lab)
}

fn switch(text: &str) -> [SwitchStep; 2] {
    [SwitchStep::Suspend(name(text), Freeze::Io), SwitchStep::Resume(name(text), VISIBLE)]
}

fn nothing_suspended(lab: &Lab) -> Result<()> {
    let suspended = lab.kernel.list()?.into_iter().filter(|info| info.suspended);
    equal("suspended", &suspended.map(|info| info.name.to_string()).collect(), &Vec::<String>::new())
}

/// How many processes this one has begun that are not over.
fn children() -> usize {
    let of = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("children")).ok();
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    threads.filter_map(of).map(|text| text.split_whitespace().count()).sum()
}
