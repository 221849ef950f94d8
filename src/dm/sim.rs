//! A simulated device-mapper that refuses what the real one refuses.
//!
//! It keeps devices, both tables, suspension, open counts and uuids, and the rules of snapshots: who may share a COW store, when exceptions
//! are handed over, what a failed resume leaves behind. The rules are Linux 6.1's (device-mapper 4.47, snapshot 1.16). What the
//! real kernel would allow but a correct plan never does (a snapshot that begins while its origin is written, a wait
//! while something is suspended) is noted as a violation. Every change is logged, can be made to fail, and can be cut.
//! Disks are [`MemDevices`]; a COW store's header is read from and written to them, so it must have been zeroed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    CloneMessage, DmName, DmUuid, Events, Freeze, Info, Kernel, Paths, Slot, Status, SwitchReport,
    SwitchStep, Table, UdevFlags, Witness, in_use,
};
use crate::block::DevNo;
use crate::block::mem::MemDevices;
use crate::error::{Error, Kind, Result};
use crate::units::Chunks;

mod call;
mod clone;
mod devices;
mod events;
mod io;
mod node;
mod rescue;
mod rules;
mod snapshot;
mod store;

pub use call::Call;
pub use devices::SimDevices;

use node::Nodes;

/// Called before each change; an error is what the change then answers, undone.
pub type Hook = Box<dyn FnMut(&Call) -> Result<()> + Send>;

#[derive(Default)]
struct State {
    disks: MemDevices,
    nodes: Nodes,
    calls: Vec<Call>,
    violations: Vec<String>,
    while_suspended: Vec<Call>,
    published: BTreeMap<DmName, (DevNo, Option<PathBuf>)>,
    missing_targets: Vec<String>,
    questions: u64,
    copies_at_once: Chunks,
    hook: Option<Hook>,
    /// The last switch, while its process may not have ended it.
    switch: Option<rescue::Begun>,
}

/// The simulated kernel. Copies are the same kernel.
#[derive(Clone)]
pub struct SimKernel {
    state: Arc<Mutex<State>>,
}

impl fmt::Debug for SimKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.state().nodes.names()).finish()
    }
}

impl SimKernel {
    /// A kernel that has just booted with these disks.
    pub fn new(disks: &MemDevices) -> Self {
        let state = State { disks: disks.clone(), ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// The host's devices as programs see them: the disks, and the device-mapper devices with what they map to.
    pub fn devices(&self) -> SimDevices {
        SimDevices::new(self.clone(), self.state().disks.clone())
    }

    /// The same state, without the calls that led to it; its disks are still the same.
    fn fork(&self) -> Self {
        let state = self.state();
        let fork = State {
            disks: state.disks.clone(),
            nodes: state.nodes.clone(),
            violations: state.violations.clone(),
            published: state.published.clone(),
            missing_targets: state.missing_targets.clone(),
            copies_at_once: state.copies_at_once,
            switch: state.switch.clone(),
            ..State::default()
        };
        Self { state: Arc::new(Mutex::new(fork)) }
    }

    /// The changes asked for so far, refused ones included.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// It says that it copies so many chunks of a snapshot at once; none if nobody says so, for it copies while it is written to.
    /// What that means for counters is [`MemDevices::lag_meters`].
    pub fn copy_at_once(&self, chunks: Chunks) {
        self.state().copies_at_once = chunks;
    }

    /// How often it was asked of one device.
    pub fn questions(&self) -> u64 {
        self.state().questions
    }

    /// Forgets the changes so far.
    pub fn forget_calls(&self) {
        let mut state = self.state();
        state.calls.clear();
        state.while_suspended.clear();
    }

    /// What a correct plan never does, in words.
    pub fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    /// The changes other than suspends and resumes that were asked for while a device was suspended.
    pub fn calls_while_suspended(&self) -> Vec<Call> {
        self.state().while_suspended.clone()
    }

    /// The devices that are suspended or have an inactive table: there are none when nothing is under way.
    pub fn unsettled(&self) -> Vec<DmName> {
        let state = self.state();
        let unsettled = state.nodes.iter().filter(|(_, node)| node.suspended || node.inactive.is_some());
        unsettled.map(|(name, _)| name.clone()).collect()
    }

    /// The links that were published and not retracted.
    pub fn published(&self) -> BTreeMap<DmName, (DevNo, Option<PathBuf>)> {
        self.state().published.clone()
    }

    /// Calls `hook` before each change.
    pub fn before_each(&self, hook: impl FnMut(&Call) -> Result<()> + Send + 'static) {
        self.state().hook = Some(Box::new(hook));
    }

    /// Makes the `nth` change from now on fail, counted from 1, without effect.
    pub fn fail_nth(&self, nth: u64) {
        let mut left = nth;
        self.before_each(move |call| {
            left = left.wrapping_sub(1);
            if left != 0 {
                return Ok(());
            }
            Err(Error::io(format!("cannot {call}"), std::io::Error::other("injected error")))
        });
    }

    /// Takes back what was to be called or to fail.
    pub fn heal(&self) {
        self.state().hook = None;
    }

    /// Makes a target type unknown, as on a host without its module.
    pub fn without_target(&self, kind: &str) {
        self.state().missing_targets.push(kind.to_owned());
    }

    /// Somebody opens a device (a mount, a process). Nothing if it is not there.
    pub fn hold(&self, name: &DmName) {
        if let Some(node) = self.state().nodes.get_mut(name) {
            node.openers += 1;
        }
    }

    /// Somebody closes a device.
    pub fn release(&self, name: &DmName) {
        if let Some(node) = self.state().nodes.get_mut(name) {
            node.openers = node.openers.saturating_sub(1);
        }
    }

    /// Merges up to so many chunks of a device's `snapshot-merge` target, as the kernel does behind. Answers how many it were:
    /// fewer when the merge is done.
    pub fn merge(&self, name: &DmName, chunks: usize) -> Result<usize> {
        let mut state = self.state();
        for merged in 0..chunks {
            if !state.merge_chunk(name)? {
                return Ok(merged);
            }
        }
        Ok(chunks)
    }

    /// Fills up to so many regions of a device's clone, as the kernel does behind. Answers how many it were: fewer when all are
    /// filled, or when it was told not to.
    pub fn hydrate(&self, name: &DmName, regions: usize) -> Result<usize> {
        let mut state = self.state();
        for filled in 0..regions {
            if !state.hydrate_region(name)? {
                return Ok(filled);
            }
        }
        Ok(regions)
    }

    /// Which regions of a device's clone are filled, in order; nothing of a device that is none.
    pub fn filled(&self, name: &DmName) -> Vec<bool> {
        let state = self.state();
        let live = state.nodes.get(name).and_then(|node| node.live.as_ref());
        live.and_then(|live| live.clone.as_ref()).map(|clone| clone.filled().to_vec()).unwrap_or_default()
    }

    /// Makes the live snapshot or merge target of a device say that it is invalid, has overflowed, or failed.
    pub fn set_status(&self, name: &DmName, status: &Status) {
        if let Some(node) = self.state().nodes.get_mut(name) {
            node.set_status(status);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs a change and lets the hook refuse it, then makes it.
    fn change<T>(&self, call: &Call, make: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let mut state = self.state();
        state.note(call);
        // The hook may look at the kernel: the lock is free while it runs.
        if let Some(mut hook) = state.hook.take() {
            drop(state);
            let answer = hook(call);
            state = self.state();
            state.hook.get_or_insert(hook);
            answer?;
        }
        make(&mut state)
    }
}

impl State {
    fn note(&mut self, call: &Call) {
        let exempt = matches!(call, Call::Suspend(..) | Call::Resume(..));
        let suspended = self.nodes.iter().any(|(_, node)| node.suspended && node.live.is_some());
        if suspended && !exempt {
            self.while_suspended.push(call.clone());
        }
        // What another thread has suspended, in another volume group, it resumes without waiting for this one.
        let this = Some(std::thread::current().id());
        let own = self.nodes.iter().any(|(_, node)| node.suspended_by == this && node.live.is_some());
        if own && matches!(call, Call::Publish(..) | Call::Retract(..)) {
            self.violations.push(format!("{call}: waits for udev while a device is suspended"));
        }
        self.calls.push(call.clone());
    }
}

impl Kernel for SimKernel {
    fn list(&self) -> Result<Vec<Info>> {
        let state = self.state();
        Ok(state.nodes.iter().map(|(name, node)| state.nodes.info(name, node)).collect())
    }

    fn info(&self, name: &DmName) -> Result<Option<Info>> {
        let mut state = self.state();
        state.questions += 1;
        Ok(state.nodes.get(name).map(|node| state.nodes.info(name, node)))
    }

    fn count(&self) -> Result<usize> {
        Ok(self.state().nodes.names().count())
    }

    fn find(&self, uuid: &DmUuid) -> Result<Option<Info>> {
        let mut state = self.state();
        state.questions += 1;
        let found = state.nodes.iter().find(|(_, node)| node.uuid == *uuid);
        Ok(found.map(|(name, node)| state.nodes.info(name, node)))
    }

    fn events(&self) -> Result<Box<dyn Events>> {
        Ok(Box::new(events::SimEvents::new(self.clone())))
    }

    fn table(&self, name: &DmName, slot: Slot) -> Result<Table<DevNo>> {
        let mut state = self.state();
        state.questions += 1;
        let node = state.nodes.existing(name)?;
        Ok(node.slot(slot).map(|loaded| loaded.printed()).unwrap_or_default())
    }

    fn status(&self, name: &DmName) -> Result<Vec<Status>> {
        let mut state = self.state();
        state.questions += 1;
        Ok(state.nodes.status(&state.disks, state.nodes.existing(name)?))
    }

    fn copies_at_once(&self) -> Chunks {
        self.state().copies_at_once
    }

    fn message(&self, name: &DmName, message: CloneMessage) -> Result<()> {
        self.change(&Call::Message(name.clone(), message), |state| state.tell_clone(name, message))
    }

    fn create(&self, name: &DmName, uuid: &DmUuid) -> Result<DevNo> {
        self.change(&Call::Create(name.clone(), uuid.clone()), |state| state.nodes.create(name, uuid))
    }

    fn load(&self, name: &DmName, table: &Table<DevNo>, read_only: bool) -> Result<()> {
        let call = Call::Load(name.clone(), table.clone(), read_only);
        self.change(&call, |state| state.load(name, table, read_only))
    }

    fn clear(&self, name: &DmName) -> Result<()> {
        self.change(&Call::Clear(name.clone()), |state| state.clear(name))
    }

    fn suspend(&self, name: &DmName, freeze: Freeze) -> Result<()> {
        self.change(&Call::Suspend(name.clone(), freeze), |state| {
            state.suspend(name)?;
            let is_open = state.nodes.existing(name)?.openers > 0;
            if is_open && freeze == Freeze::Unopened { Err(in_use(name, "it is open")) } else { Ok(()) }
        })
    }

    fn resume(&self, name: &DmName, udev: UdevFlags) -> Result<()> {
        self.change(&Call::Resume(name.clone(), udev), |state| state.resume(name))
    }

    fn remove(&self, name: &DmName, udev: UdevFlags) -> Result<()> {
        self.change(&Call::Remove(name.clone(), udev), |state| state.remove(name))
    }

    fn rename(&self, name: &DmName, new: &DmName, udev: UdevFlags) -> Result<()> {
        self.change(&Call::Rename(name.clone(), new.clone(), udev), |state| state.nodes.rename(name, new))
    }

    fn switch(&self, steps: &[SwitchStep]) -> Result<SwitchReport> {
        self.switch_before(steps, &())
    }

    fn switch_before(&self, steps: &[SwitchStep], witness: &dyn Witness) -> Result<SwitchReport> {
        rescue::noted(self, steps, witness)
    }

    fn supports(&self, target_type: &str) -> Result<bool> {
        Ok(rules::TARGETS.contains(&target_type)
            && !self.state().missing_targets.iter().any(|t| t == target_type))
    }

    fn publish(&self, name: &DmName, number: DevNo, link: Option<&Path>) -> Result<()> {
        let link = link.map(Path::to_owned);
        self.change(&Call::Publish(name.clone(), link.clone()), |state| {
            let node = state.nodes.existing(name)?;
            if node.number != number {
                let words = format!("{name} is device {}, not {number}", node.number);
                return Err(Error::new(Kind::Internal, words));
            }
            state.published.insert(name.clone(), (number, link));
            Ok(())
        })
    }

    fn paths(&self, _: usize) -> Box<dyn Paths + '_> {
        Box::new(self)
    }

    fn retract(&self, name: &DmName, link: Option<&Path>) -> Result<()> {
        self.change(&Call::Retract(name.clone(), link.map(Path::to_owned)), |state| {
            // As the real one: a device that is there keeps its paths.
            if state.nodes.get(name).is_none() {
                state.published.remove(name);
            }
            Ok(())
        })
    }
}

impl Paths for &SimKernel {
    fn is_published(&self, name: &DmName, number: DevNo, link: Option<&Path>) -> bool {
        let published = self.published();
        let is_right = |(of, at): &(DevNo, Option<PathBuf>)| {
            *of == number && link.is_none_or(|link| at.as_deref() == Some(link))
        };
        published.get(name).is_some_and(is_right)
    }

    fn is_retracted(&self, name: &DmName, _: Option<&Path>) -> bool {
        let state = self.state();
        !state.published.contains_key(name) || state.nodes.get(name).is_some()
    }
}

#[cfg(test)]
mod tests;
