//! Who waits for a volume group in this process, and who leads.
//!
//! Whoever finds nobody at a group leads its next round, takes in those who wait by then, and hands over to the first who came too
//! late: so there is always one leader while somebody waits, each leads one round, and no thread is kept for it. A leader that panics
//! hands over too. Groups share nothing but the list of them.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::lvm::VgName;

/// Somebody in a queue.
pub(super) trait Waiter {
    /// Tells it to lead the next round; false if it is gone.
    fn lead(&self) -> bool;
}

/// The queues of those groups that somebody works on.
pub(super) struct Queues<W>(Mutex<BTreeMap<VgName, VecDeque<W>>>);

/// The right to take from a group's queue. Given to the first in it when this is dropped.
pub(super) struct Lead<'q, W: Waiter> {
    queues: &'q Queues<W>,
    vg: VgName,
    /// The leader itself is still the first in the queue.
    is_in: Cell<bool>,
}

impl<W: Waiter> Queues<W> {
    /// Nobody waits.
    pub(super) fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// Waits behind the others. The right to lead if nobody else has it.
    pub(super) fn enter(&self, vg: &VgName, waiter: W) -> Option<Lead<'_, W>> {
        let mut queues = self.lock();
        let is_led = queues.contains_key(vg);
        queues.entry(vg.clone()).or_default().push_back(waiter);
        (!is_led).then(|| self.lead(vg))
    }

    /// The right to lead, for one who was told to.
    pub(super) fn lead(&self, vg: &VgName) -> Lead<'_, W> {
        Lead { queues: self, vg: vg.clone(), is_in: Cell::new(true) }
    }

    /// How many wait.
    pub(super) fn waiting(&self, vg: &VgName) -> usize {
        self.lock().get(vg).map_or(0, VecDeque::len)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<VgName, VecDeque<W>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: Waiter> Lead<'_, W> {
    /// The group.
    pub(super) fn vg(&self) -> &VgName {
        &self.vg
    }

    /// What the first in the queue says, which is the leader itself until it takes itself out.
    pub(super) fn first<T>(&self, ask: impl FnOnce(&W) -> T) -> Option<T> {
        self.queues.lock().get(&self.vg)?.front().map(ask)
    }

    /// Takes out the first.
    pub(super) fn next(&self) -> Option<W> {
        self.is_in.set(false);
        self.queues.lock().get_mut(&self.vg)?.pop_front()
    }

    /// Puts back in front, in this order, those for whom it is too early.
    pub(super) fn put_back(&self, waiters: Vec<W>) {
        let mut queues = self.queues.lock();
        let queue = queues.entry(self.vg.clone()).or_default();
        waiters.into_iter().rev().for_each(|waiter| queue.push_front(waiter));
    }
}

impl<W: Waiter> Drop for Lead<'_, W> {
    fn drop(&mut self) {
        if self.is_in.get() {
            drop(self.next());
        }
        let mut queues = self.queues.lock();
        while let Some(first) = queues.get(&self.vg).and_then(VecDeque::front) {
            if first.lead() {
                return;
            }
            queues.get_mut(&self.vg).and_then(VecDeque::pop_front);
        }
        queues.remove(&self.vg);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    thread_local!(static TOLD: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) });

    /// Somebody with a name; "gone" has left.
    struct Named(&'static str);

    impl Waiter for Named {
        fn lead(&self) -> bool {
            TOLD.with_borrow_mut(|told| told.push(self.0));
            self.0 != "gone"
        }
    }

    fn vg(name: &str) -> VgName {
        name.parse().unwrap()
    }

    /// These come while somebody leads.
    fn late(queues: &Queues<Named>, names: &[&'static str]) {
        names.iter().for_each(|name| assert!(queues.enter(&vg("a"), Named(name)).is_none()));
    }

    fn told() -> Vec<&'static str> {
        TOLD.take()
    }

    #[test]
    fn the_first_leads_and_hands_over_to_the_first_who_came_later() {
        let queues = Queues::new();
        let lead = queues.enter(&vg("a"), Named("one")).unwrap();
        assert!(queues.enter(&vg("a"), Named("two")).is_none());
        assert!(queues.enter(&vg("a"), Named("three")).is_none());
        assert_eq!(lead.next().map(|waiter| waiter.0), Some("one"));
        drop(lead);
        assert_eq!(told(), ["two"]);
        assert!(queues.enter(&vg("a"), Named("four")).is_none());
        let lead = queues.lead(&vg("a"));
        while lead.next().is_some() {}
        drop(lead);
        assert_eq!(told(), [""; 0]);
        assert!(queues.enter(&vg("a"), Named("five")).is_some());
    }

    #[test]
    fn groups_do_not_wait_for_each_other() {
        let queues = Queues::new();
        let one = queues.enter(&vg("a"), Named("one"));
        let two = queues.enter(&vg("b"), Named("two"));
        assert!(one.is_some() && two.is_some());
        assert_eq!((queues.waiting(&vg("a")), queues.waiting(&vg("c"))), (1, 0));
    }

    #[test]
    fn who_is_put_back_is_first_again() {
        let queues = Queues::new();
        let lead = queues.enter(&vg("a"), Named("one")).unwrap();
        late(&queues, &["two", "three", "four"]);
        let early = [lead.next(), lead.next(), lead.next()].into_iter().flatten().skip(1).collect();
        lead.put_back(early);
        assert_eq!(lead.first(|waiter| waiter.0), Some("two"));
        drop(lead);
        assert_eq!(told(), ["two"]);
        assert_eq!(queues.waiting(&vg("a")), 3);
    }

    #[test]
    fn a_leader_that_panics_hands_over_and_who_is_gone_is_passed_by() {
        for takes_itself_out in [true, false] {
            let queues = Queues::new();
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let lead = queues.enter(&vg("a"), Named("one")).unwrap();
                late(&queues, &["gone", "two"]);
                assert!(!takes_itself_out || lead.next().is_some());
                panic!("the leader fails");
            }))
            .unwrap_err();
            assert_eq!(told(), ["gone", "two"]);
            assert_eq!(queues.waiting(&vg("a")), 1);
        }
    }
}
