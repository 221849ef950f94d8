//! The keepers of all groups, each on a thread of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Scope, ScopedJoinHandle};

use super::board::Board;
use super::gauge::Rate;
use super::keeper::Keeper;
use crate::engine::Engine;
use crate::engine::list::GroupRead;
use crate::lvm::VgName;

/// A group that is not found so often in a row is gone: one reading may come between two writes of somebody else.
const GONE: u32 = 2;

/// What a keeper is told.
struct Word {
    read: Arc<GroupRead>,
    /// Devices came, went or said something.
    is_news: bool,
}

/// All keepers.
pub(super) struct Keepers<'scope, 'env> {
    engine: &'env Engine,
    scope: &'scope Scope<'scope, 'env>,
    fastest: Rate,
    board: &'env Board,
    kept: BTreeMap<VgName, Kept<'scope>>,
    has_heard: bool,
}

/// A keeper, from outside.
struct Kept<'scope> {
    told: Sender<Word>,
    is_stale: Arc<AtomicBool>,
    has_looked: Arc<AtomicBool>,
    thread: ScopedJoinHandle<'scope, ()>,
    missed: u32,
}

impl<'scope, 'env> Keepers<'scope, 'env> {
    /// None yet.
    pub fn new(
        engine: &'env Engine,
        scope: &'scope Scope<'scope, 'env>,
        fastest: Rate,
        board: &'env Board,
    ) -> Self {
        Self { engine, scope, fastest, board, kept: BTreeMap::new(), has_heard: false }
    }

    /// Tells each of its group, and begins to keep those that are new. Who keeps a group that is gone is let go.
    pub fn tell(&mut self, groups: impl Iterator<Item = Arc<GroupRead>>, is_news: bool) {
        self.has_heard = true;
        self.kept.values_mut().for_each(|kept| kept.missed += 1);
        for read in groups {
            let vg = read.name().clone();
            let kept = self.kept.remove(&vg).unwrap_or_else(|| self.begin(vg.clone()));
            // One that cannot be told is dead, and buried at the next beat.
            let _ = kept.told.send(Word { read, is_news });
            self.kept.insert(vg, Kept { missed: 0, ..kept });
        }
        self.kept.retain(|_, kept| kept.missed < GONE);
    }

    /// Forgets those whose threads have ended, which only a fault in the program does; true if there are any.
    pub fn bury(&mut self) -> bool {
        let before = self.kept.len();
        for (vg, kept) in self.kept.extract_if(.., |_, kept| kept.thread.is_finished()) {
            let _ = kept.thread.join();
            tracing::error!("the keeper of volume group {vg} has failed; another one begins");
        }
        self.kept.len() < before
    }

    /// True if one of them knows that what it was told is not so any more.
    pub fn are_stale(&self) -> bool {
        let stale = self.kept.values().filter(|kept| kept.is_stale.swap(false, Ordering::SeqCst));
        stale.count() > 0
    }

    /// True if they were told of what there is.
    pub fn have_heard(&self) -> bool {
        self.has_heard
    }

    /// The groups that have not been looked at yet.
    pub fn late(&self) -> Vec<VgName> {
        let late = self.kept.iter().filter(|(_, kept)| !kept.has_looked.load(Ordering::SeqCst));
        late.map(|(vg, _)| vg.clone()).collect()
    }

    fn begin(&self, vg: VgName) -> Kept<'scope> {
        let (told, ears) = channel();
        let board = self.board;
        let mut keeper = Keeper::new(self.engine, vg.clone(), self.fastest, board);
        let (is_stale, has_looked) = (keeper.stale(), Arc::new(AtomicBool::new(false)));
        let looked = Arc::clone(&has_looked);
        let thread = self.scope.spawn(move || {
            keep(&mut keeper, &ears, board, &looked);
            board.forget(&vg);
        });
        Kept { told, is_stale, has_looked, thread, missed: 0 }
    }
}

/// A keeper's life: until nobody wants to tell it anything any more.
fn keep(keeper: &mut Keeper<'_>, ears: &Receiver<Word>, board: &Board, has_looked: &AtomicBool) {
    let Ok(word) = ears.recv() else { return };
    keeper.hear(word.read);
    let mut wait = keeper.begin(|| board.now());
    loop {
        has_looked.fetch_or(keeper.is_through(), Ordering::SeqCst);
        match ears.recv_timeout(wait) {
            Ok(mut word) => {
                // Of what was said several times the last counts.
                while let Ok(later) = ears.try_recv() {
                    word = Word { is_news: word.is_news || later.is_news, ..later };
                }
                keeper.hear(word.read);
                if word.is_news {
                    keeper.take_heart();
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        wait = keeper.turn(board.now());
    }
}
