//! The monitor: snapshots that are never full, and an end to what goes on behind.
//!
//! Each volume group has a keeper on a thread of its own ([`keeper`]): a group whose disks are slow or whose lock is held does not keep
//! another one waiting. When to look and how much to add is decided by pure functions ([`policy`]). What they know is on a [`Board`] for
//! whoever shows it. Everything that changes goes the road of the commands; the monitor holds nothing that its death would lose.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::Engine;
use crate::error::Result;
use crate::lvm::VgName;

pub mod board;
pub mod foresight;
pub mod gauge;
mod keeper;
pub mod policy;

pub use board::Board;
pub use gauge::Rate;
pub use keeper::Keeper;

/// How long nothing is read anew, if nobody says that anything is new: tags, free space and disks change without an event.
const AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// How long it takes at most to see that the monitor shall stop, and that devices came or went.
const BEAT: Duration = Duration::from_secs(1);

/// lvm2 makes a snapshot's devices before it commits that it is one, and nothing tells of the commit: for so long after news the groups
/// are read at every beat.
const SETTLING: Duration = Duration::from_secs(5);

/// A command makes and removes several devices: their news is read together.
const TOGETHER: Duration = Duration::from_millis(20);

/// What is monitored, and how.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only these groups; empty: all that may be changed.
    pub groups: Vec<VgName>,
    /// What no writer is faster than, if the disks do not show otherwise; nothing: [`FASTEST`].
    pub fastest: Option<Rate>,
}

/// Faster than most disks.
pub const FASTEST: Rate = Rate(1 << 30);

impl Engine {
    /// Monitors until `stop` is set. `ready` is called when every group that there is then has been looked at once.
    pub fn monitor(
        &self,
        options: &Options,
        board: &Board,
        stop: &AtomicBool,
        ready: impl FnOnce(),
    ) -> Result<()> {
        let mut events = self.world.kernel.events()?;
        std::thread::scope(|scope| {
            let mut keepers: BTreeMap<VgName, Sender<()>> = BTreeMap::new();
            let (mut ready, mut renewed, mut news) = (Some(ready), None::<Instant>, None::<Instant>);
            // Nothing is sent: who has looked at its group once lets go of its end.
            let (first_look, first_looks) = channel::<Infallible>();
            let mut first_look = Some(first_look);
            while !stop.load(Ordering::SeqCst) {
                let have_looked = || first_looks.recv_timeout(BEAT) == Err(RecvTimeoutError::Disconnected);
                if let Some(ready) = ready.take_if(|_| renewed.is_some() && have_looked()) {
                    ready();
                }
                let is_news = renewed.is_some() && events.wait(BEAT)?.is_some();
                let is_fresh = |when: Option<Instant>, age| when.is_some_and(|when| when.elapsed() < age);
                if !is_news && !is_fresh(news, SETTLING) && is_fresh(renewed, AT_LEAST_EVERY) {
                    continue;
                }
                if is_news {
                    news = Some(Instant::now());
                    std::thread::sleep(TOGETHER);
                }
                renewed = Some(Instant::now());
                // Who is gone has no ear any more.
                keepers.retain(|_, told| told.send(()).is_ok());
                for vg in self.kept_groups(options)? {
                    keepers.entry(vg.clone()).or_insert_with(|| {
                        let (told, ears) = channel();
                        let keeper = Keeper::new(self, vg, options.fastest.unwrap_or(FASTEST), board);
                        let first_look = first_look.clone();
                        scope.spawn(move || keep(keeper, first_look, &ears, board));
                        told
                    });
                }
                first_look = None;
            }
            Ok(())
        })
    }

    fn kept_groups(&self, options: &Options) -> Result<Vec<VgName>> {
        let (mut all, refused) = self.vg_names()?;
        all.retain(|vg| !refused.contains(vg) && (options.groups.is_empty() || options.groups.contains(vg)));
        Ok(all)
    }
}

/// A keeper's life: until its group is gone, or nobody wants to tell it anything any more.
fn keep(mut keeper: Keeper<'_>, first_look: Option<Sender<Infallible>>, ears: &Receiver<()>, board: &Board) {
    // It may wait for the group's lock.
    let mut turn = keeper.begin(|| board.now());
    drop(first_look);
    let mut complaint = String::new();
    loop {
        let wait = match turn {
            Ok(Some(wait)) => {
                complaint.clear();
                wait
            }
            Ok(None) => return,
            Err(error) => {
                let words = error.to_string();
                if words != complaint {
                    tracing::error!("{words}");
                    complaint = words;
                }
                policy::LONGEST
            }
        };
        match ears.recv_timeout(wait) {
            Ok(()) => {
                // What was said several times is one piece of news.
                while ears.try_recv().is_ok() {}
                keeper.hear();
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        turn = keeper.turn(board.now());
    }
}
