//! What becomes of snapshots that were taken in several groups at one instant, when the process that took them has died: all or none.
//!
//! The snapshots of one group decide: when they are acknowledged, in one commit, all of them were taken. One of them bears a tag for each
//! other group until that has followed. A snapshot that another group decides about is finished if an acknowledged one there awaits
//! it, and taken away if none does. Who takes the snapshots holds both groups' locks, so whoever has
//! the lock of one and finds it joined knows that nobody decides any more: the other group may be read without its lock. One that
//! is not there leaves the snapshot as it is, neither acknowledged nor undone.

use std::collections::{BTreeMap, BTreeSet};

use super::converge::as_it_is;
use super::execute::execute;
use super::mark::{Bond, Mark};
use super::operation::Mode;
use super::outline::Entry;
use super::plan::Plan;
use super::session::Session;
use super::tree::FoundTree;
use crate::block::Access;
use crate::error::{Error, Kind, Result};
use crate::lvm::{Edit, Lv, LvName, OpenVg, Vg};

/// What other groups decided about this one.
#[derive(Default)]
pub(super) struct Followed {
    edits: Vec<Edit>,
    /// Groups that need not be awaited any more, by the one that awaits: this one.
    released: BTreeSet<Bond>,
    /// Why it is not known of some snapshots.
    pub(super) stuck: Vec<Error>,
}

impl Followed {
    pub(super) fn entries(&self) -> Vec<Entry> {
        let stuck = self.stuck.iter().map(|error| Entry::Stuck(error.to_string()));
        Entry::edits(&self.edits).chain(stuck).collect()
    }
}

impl Session<'_> {
    /// Does what other groups decided. In a dry run only this session's view of the metadata is as if it had been done.
    pub(super) fn follow(&mut self, mode: Mode) -> Result<Followed> {
        let followed = self.verdicts();
        if mode.dry_run {
            self.open.vg = self.open.vg.apply(&followed.edits)?;
            return Ok(followed);
        }
        self.wake_others();
        self.commit(&followed.edits, "recover")?;
        for bond in &followed.released {
            // What it awaits for nothing is seen by its own next command.
            if let Err(error) = self.release_from(*bond) {
                tracing::info!("{error}");
            }
        }
        Ok(followed)
    }

    fn verdicts(&self) -> Followed {
        let mut followed = Followed::default();
        let mut decided = BTreeMap::new();
        for lv in &self.vg().lvs {
            if let Some(bond) = Bond::joining(lv).filter(|_| Mark::of(lv) == Some(Mark::PendingSnapshot)) {
                let is_decided = decided.entry(bond).or_insert_with(|| self.is_decided(bond));
                self.judge(lv, bond, is_decided, &mut followed);
            }
            let awaited = Bond::awaited(lv).filter(|bond| is_taken(lv) && self.has_followed(*bond));
            for bond in awaited {
                followed.edits.push(Edit::RemoveLvTag { lv: lv.name.clone(), tag: bond.awaits() });
            }
        }
        followed
    }

    fn judge(&self, lv: &Lv, bond: Bond, is_decided: &Result<bool>, followed: &mut Followed) {
        let without = |tag| Edit::RemoveLvTag { lv: lv.name.clone(), tag };
        match is_decided {
            Ok(is_decided) => {
                followed.edits.push(without(bond.joined()));
                if *is_decided {
                    followed.edits.push(without(Mark::PendingSnapshot.tag()));
                    followed.released.insert(bond);
                }
            }
            Err(error) => followed.stuck.push(self.undecided(&lv.name, error)),
        }
    }

    fn undecided(&self, name: &LvName, error: &Error) -> Error {
        let vg = &self.vg().name;
        let cause = format!(
            "{vg}/{name} was being taken together with snapshots of another volume group, which cannot be asked: {error}"
        );
        Error::new(Kind::Refused, cause).hint(format!(
            "bring that group's devices back, or remove it: `dmsnap snapshot remove {vg}/{name}`"
        ))
    }

    /// True if the group that decides awaits this one. What decides must last longer than what follows from it.
    fn is_decided(&self, bond: Bond) -> Result<bool> {
        let open = self.other_group(bond)?;
        let own = Bond { group: self.vg().id, ..bond };
        if awaiting(&open.vg, own).is_none() {
            return Ok(false);
        }
        let mut devices = open.pvs.iter().filter_map(|pv| pv.present.as_ref());
        devices.try_for_each(|present| present.device.flush())?;
        Ok(true)
    }

    /// True if no snapshot of the other group is joined to this one by the bond. A group that is not there may have one.
    fn has_followed(&self, bond: Bond) -> bool {
        let own = Bond { group: self.vg().id, ..bond };
        let is_joined = |lv: &Lv| Bond::joining(lv) == Some(own);
        self.other_group(bond).is_ok_and(|open| !open.vg.lvs.iter().any(|lv| is_joined(lv)))
    }

    fn other_group(&self, bond: Bond) -> Result<OpenVg> {
        let engine = self.engine;
        let (devices, owner) = (engine.world.devices.as_ref(), &engine.world.owner);
        engine.scanner.open_vg_by_id(devices, owner, bond.group, Access::Read)
    }

    /// The other group under its lock, which may come before this one's: it is not waited for.
    fn other_session(&self, bond: Bond) -> Result<Session<'_>> {
        let name = self.other_group(bond)?.vg.name;
        self.engine.session_by_id(&name, bond.group, Mode { no_wait: true, ..Mode::default() })
    }

    /// Who died in the switch has left the other groups suspended too. They are not finished here, but let go on: what is done next
    /// waits for udev, which may wait for them.
    fn wake_others(&self) {
        let pending = self.vg().lvs.iter().filter(|lv| Mark::of(lv) == Some(Mark::PendingSnapshot));
        let bonds = pending.flat_map(|lv| Bond::joining(lv).into_iter().chain(Bond::awaited(lv)));
        for bond in bonds.collect::<BTreeSet<_>>() {
            // Whoever has its lock sees to it.
            if let Err(error) = self.other_session(bond).and_then(|other| other.wake()) {
                tracing::info!("{error}");
            }
        }
    }

    /// Lets everything go on with the tables that it has.
    fn wake(&self) -> Result<()> {
        let found =
            FoundTree::read(self.kernel(), &self.expected(super::fill::built_here(self.vg())))?.live();
        if found.nodes.values().any(|node| node.info.suspended) {
            let plan = Plan { cleanup: Vec::new(), ..as_it_is(&found)? };
            execute(&plan, self.kernel(), self.engine.world.devices.as_ref())?;
        }
        Ok(())
    }

    /// Tells the group that decided that this one has followed.
    fn release_from(&self, bond: Bond) -> Result<()> {
        let mut other = self.other_session(bond)?;
        let own = Bond { group: self.vg().id, ..bond };
        let Some(lv) = awaiting(other.vg(), own) else { return Ok(()) };
        let edit = Edit::RemoveLvTag { lv: lv.name.clone(), tag: own.awaits() };
        other.commit(&[edit], "recover")
    }
}

/// The snapshot that was taken and awaits a group.
fn awaiting(vg: &Vg, bond: Bond) -> Option<&Lv> {
    let mut lvs = vg.lvs.iter().map(AsRef::as_ref);
    lvs.find(|lv: &&Lv| is_taken(lv) && Bond::awaited(lv).any(|one| one == bond))
}

/// True unless it is unacknowledged, or on its way out.
fn is_taken(lv: &Lv) -> bool {
    matches!(Mark::of(lv), None | Some(Mark::Changing))
}
