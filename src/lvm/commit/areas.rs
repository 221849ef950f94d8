//! Which metadata areas of a volume group hold its text. Pure.
//!
//! A volume group may ask for a number of copies (`metadata_copies`); areas beyond that are ignored: neither read nor
//! written. LVM2 chooses them at random; here copies lie on as many physical volumes as they can.

use std::cmp::Reverse;

use crate::lvm::scan::OpenPv;

/// A metadata area that can be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    /// The physical volume.
    pub pv: usize,
    /// The area of it.
    pub mda: usize,
    /// It holds the present version, or nothing yet.
    pub was_used: bool,
    /// It shall hold the next version.
    pub is_used: bool,
}

/// The areas of these physical volumes, in their order, and what becomes of them. At least one is used if there is any.
pub(super) fn balanced(members: &[OpenPv], copies: u64) -> Vec<Slot> {
    let mut slots: Vec<Slot> = members.iter().enumerate().flat_map(|(pv, open)| slots_of(pv, open)).collect();
    let used = slots.iter().filter(|slot| slot.was_used).count();
    let wanted = match usize::try_from(copies).unwrap_or(usize::MAX) {
        0 => used.max(1),
        copies => copies,
    };
    (used..wanted).for_each(|_| take_one(&mut slots));
    (wanted..used).for_each(|_| leave_one(&mut slots));
    slots
}

fn slots_of(pv: usize, open: &OpenPv) -> impl Iterator<Item = Slot> {
    let present = open.mdas.iter().enumerate().filter(|_| open.present.is_some());
    present.filter_map(move |(mda, area)| {
        let was_used = !area.header.as_ref().ok()?.committed.ignored();
        Some(Slot { pv, mda, was_used, is_used: was_used })
    })
}

/// How many areas of the same physical volume are in use.
fn neighbours(slots: &[Slot], pv: usize) -> usize {
    slots.iter().filter(|slot| slot.pv == pv && slot.is_used).count()
}

/// Uses one more, on a physical volume that has the fewest.
fn take_one(slots: &mut [Slot]) {
    let resting = slots.iter().enumerate().filter(|(_, slot)| !slot.is_used);
    let chosen = resting.min_by_key(|(_, slot)| neighbours(slots, slot.pv)).map(|(at, _)| at);
    if let Some(slot) = chosen.and_then(|at| slots.get_mut(at)) {
        slot.is_used = true;
    }
}

/// Uses one less, the last one on a physical volume that has the most.
fn leave_one(slots: &mut [Slot]) {
    let used = slots.iter().enumerate().filter(|(_, slot)| slot.is_used);
    let chosen = used.min_by_key(|(at, slot)| (Reverse(neighbours(slots, slot.pv)), Reverse(*at)));
    if let Some(slot) = chosen.map(|(at, _)| at).and_then(|at| slots.get_mut(at)) {
        slot.is_used = false;
    }
}
