//! Counts the steps of an operation, so that it can be cut before any of them.
//!
//! A step is whatever changes a disk or the kernel: a write, a zeroing, a flush, each change of a device-mapper device, each
//! publishing of a path. A hook is called before each with its number; what the hook answers instead of
//! returning decides what kind of cut it is: an error is a refusal, an error for ever is a dead process, a signal is a real death. A hook
//! behind each makes what was done look as if it had failed. Each suspend and resume of a switch is a step of its own, so that it can
//! be cut inside.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::block::{Access, DevNo, Device, Devices, Listed, Meter, Unusable};
use crate::dm::{
    CloneMessage, DmName, DmUuid, Events, Freeze, Info, Kernel, Paths, Slot, Status, SwitchReport,
    SwitchStep, Switches, Table, UdevFlags, Witness,
};
use crate::error::Result;
use crate::units::{Bytes, Chunks};

type Hook = dyn Fn(u64) -> Result<()> + Send + Sync;

/// One counter over everything that it wraps. Copies are the same counter.
#[derive(Clone)]
pub struct Steps(Arc<Inner>);

struct Inner {
    taken: AtomicU64,
    before: Box<Hook>,
    after: Box<Hook>,
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Steps({})", self.taken())
    }
}

impl Steps {
    /// Calls `hook` before each step with the step's number, from 1. Its error is the step's, which then does not happen.
    pub fn new(hook: impl Fn(u64) -> Result<()> + Send + Sync + 'static) -> Self {
        Self::around(hook, |_| Ok(()))
    }

    /// Also calls `after` behind each step that went well. Its error is then the step's, which has happened all the same.
    pub fn around(
        before: impl Fn(u64) -> Result<()> + Send + Sync + 'static,
        after: impl Fn(u64) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        let (before, after) = (Box::new(before), Box::new(after));
        Self(Arc::new(Inner { taken: AtomicU64::new(0), before, after }))
    }

    /// Steps that are only counted.
    pub fn counted() -> Self {
        Self::new(|_| Ok(()))
    }

    /// How many steps were begun.
    pub fn taken(&self) -> u64 {
        self.0.taken.load(Ordering::SeqCst)
    }

    /// The same kernel, its changes counted.
    pub fn kernel(&self, kernel: Arc<dyn Kernel>) -> Arc<dyn Kernel> {
        Arc::new(SteppedKernel { kernel, steps: self.clone() })
    }

    /// The same devices, their changes counted.
    pub fn devices(&self, devices: Arc<dyn Devices>) -> Arc<dyn Devices> {
        Arc::new(SteppedDevices { devices, steps: self.clone() })
    }

    fn begin(&self) -> Result<u64> {
        let number = self.0.taken.fetch_add(1, Ordering::SeqCst) + 1;
        (self.0.before)(number).map(|()| number)
    }

    fn step<T>(&self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let number = self.begin()?;
        let done = act()?;
        (self.0.after)(number)?;
        Ok(done)
    }
}

/// Each call inside a switch is a step.
impl Witness for Steps {
    fn before(&self) -> Result<()> {
        self.begin().map(drop)
    }

    fn done(&self) -> Result<()> {
        (self.0.after)(self.taken())
    }
}

struct SteppedKernel {
    kernel: Arc<dyn Kernel>,
    steps: Steps,
}

impl Kernel for SteppedKernel {
    fn list(&self) -> Result<Vec<Info>> {
        self.kernel.list()
    }

    fn count(&self) -> Result<usize> {
        self.kernel.count()
    }

    fn find(&self, uuid: &DmUuid) -> Result<Option<Info>> {
        self.kernel.find(uuid)
    }

    fn info(&self, name: &DmName) -> Result<Option<Info>> {
        self.kernel.info(name)
    }

    fn when_closed(&self, info: Info) -> Result<Option<Info>> {
        self.kernel.when_closed(info)
    }

    fn events(&self) -> Result<Box<dyn Events>> {
        self.kernel.events()
    }

    fn table(&self, name: &DmName, slot: Slot) -> Result<Table<DevNo>> {
        self.kernel.table(name, slot)
    }

    fn status(&self, name: &DmName) -> Result<Vec<Status>> {
        self.kernel.status(name)
    }

    fn copies_at_once(&self) -> Chunks {
        self.kernel.copies_at_once()
    }

    fn message(&self, name: &DmName, message: CloneMessage) -> Result<()> {
        self.steps.step(|| self.kernel.message(name, message))
    }

    fn create(&self, name: &DmName, uuid: &DmUuid) -> Result<DevNo> {
        self.steps.step(|| self.kernel.create(name, uuid))
    }

    fn load(&self, name: &DmName, table: &Table<DevNo>, read_only: bool) -> Result<()> {
        self.steps.step(|| self.kernel.load(name, table, read_only))
    }

    fn clear(&self, name: &DmName) -> Result<()> {
        self.steps.step(|| self.kernel.clear(name))
    }

    fn suspend(&self, name: &DmName, freeze: Freeze) -> Result<()> {
        self.steps.step(|| self.kernel.suspend(name, freeze))
    }

    fn resume(&self, name: &DmName, udev: UdevFlags) -> Result<()> {
        self.steps.step(|| self.kernel.resume(name, udev))
    }

    fn remove(&self, name: &DmName, udev: UdevFlags) -> Result<()> {
        self.steps.step(|| self.kernel.remove(name, udev))
    }

    fn rename(&self, name: &DmName, new: &DmName, udev: UdevFlags) -> Result<()> {
        self.steps.step(|| self.kernel.rename(name, new, udev))
    }

    /// Each suspend and resume is a step, and so is each call that undoes them: a dead process undoes nothing.
    fn switch(&self, steps: &[SwitchStep]) -> Result<SwitchReport> {
        self.kernel.switch_before(steps, &self.steps)
    }

    fn switches<'k>(
        &'k self,
        all: &[&'k [SwitchStep]],
        _: &'k dyn Witness,
    ) -> Result<Box<dyn Switches + 'k>> {
        self.kernel.switches(all, &self.steps)
    }

    fn supports(&self, target_type: &str) -> Result<bool> {
        self.kernel.supports(target_type)
    }

    fn publish(&self, name: &DmName, number: DevNo, link: Option<&Path>) -> Result<()> {
        self.steps.step(|| self.kernel.publish(name, number, link))
    }

    fn paths(&self, devices: usize) -> Box<dyn Paths + '_> {
        self.kernel.paths(devices)
    }

    fn retract(&self, name: &DmName, link: Option<&Path>) -> Result<()> {
        self.steps.step(|| self.kernel.retract(name, link))
    }
}

struct SteppedDevices {
    devices: Arc<dyn Devices>,
    steps: Steps,
}

impl Devices for SteppedDevices {
    fn list(&self) -> Result<Vec<Listed>> {
        self.devices.list()
    }

    fn list_disks(&self) -> Result<Vec<Listed>> {
        self.devices.list_disks()
    }

    fn unusable(&self, listed: &Listed) -> Option<Unusable> {
        self.devices.unusable(listed)
    }

    fn admits(&self, listed: &Listed, pvid: Option<&str>) -> bool {
        self.devices.admits(listed, pvid)
    }

    fn adopt(&self, listed: &Listed, pvid: &str) -> Result<()> {
        self.steps.step(|| self.devices.adopt(listed, pvid))
    }

    fn disown(&self, listed: &Listed) -> Result<()> {
        self.steps.step(|| self.devices.disown(listed))
    }

    fn lookup(&self, path: &Path) -> Result<Listed> {
        self.devices.lookup(path)
    }

    fn open(&self, path: &Path, access: Access) -> Result<Arc<dyn Device>> {
        let device = self.devices.open(path, access)?;
        Ok(Arc::new(SteppedDevice { device, steps: self.steps.clone() }))
    }

    fn meter(&self, number: DevNo) -> Result<Option<Box<dyn Meter>>> {
        self.devices.meter(number)
    }

    fn mounts(&self, number: DevNo) -> Result<Vec<PathBuf>> {
        self.devices.mounts(number)
    }

    fn users(&self, number: DevNo) -> Result<Vec<String>> {
        self.devices.users(number)
    }

    fn sync_mounted(&self, number: DevNo) -> Result<()> {
        self.devices.sync_mounted(number)
    }

    fn check_growable(&self, number: DevNo) -> Result<()> {
        self.devices.check_growable(number)
    }

    fn grow_mounted(&self, number: DevNo, size: Bytes) -> Result<()> {
        self.steps.step(|| self.devices.grow_mounted(number, size))
    }
}

#[derive(Debug)]
struct SteppedDevice {
    device: Arc<dyn Device>,
    steps: Steps,
}

impl Device for SteppedDevice {
    fn path(&self) -> &Path {
        self.device.path()
    }

    fn number(&self) -> DevNo {
        self.device.number()
    }

    fn size(&self) -> Bytes {
        self.device.size()
    }

    fn block_size(&self) -> Bytes {
        self.device.block_size()
    }

    fn read_at(&self, offset: Bytes, buffer: &mut [u8]) -> Result<()> {
        self.device.read_at(offset, buffer)
    }

    fn write_at(&self, offset: Bytes, data: &[u8]) -> Result<()> {
        self.steps.step(|| self.device.write_at(offset, data))
    }

    fn zero(&self, offset: Bytes, length: Bytes) -> Result<()> {
        self.steps.step(|| self.device.zero(offset, length))
    }

    fn discard(&self, offset: Bytes, length: Bytes) -> Result<()> {
        self.steps.step(|| self.device.discard(offset, length))
    }

    fn flush(&self) -> Result<()> {
        self.steps.step(|| self.device.flush())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::mem::MemDevices;
    use crate::dm::Target;
    use crate::dm::sim::SimKernel;
    use crate::error::{Error, Kind};
    use crate::units::Sectors;

    fn name(text: &str) -> DmName {
        DmName::new(text).unwrap()
    }

    /// A host with one disk and the devices `a` and `b`, each with an inactive table in wait.
    fn host() -> (MemDevices, SimKernel) {
        let disks = MemDevices::new();
        disks.add("/dev/sda", Bytes::mib(1));
        let kernel = SimKernel::new(&disks);
        for text in ["a", "b"] {
            kernel.create(&name(text), &DmUuid::new(text).unwrap()).unwrap();
            kernel.load(&name(text), &Table::single(Sectors(8), Target::Zero), false).unwrap();
            kernel.resume(&name(text), UdevFlags::visible()).unwrap();
            kernel.load(&name(text), &Table::single(Sectors(8), Target::Error), false).unwrap();
        }
        (disks, kernel)
    }

    fn switch() -> [SwitchStep; 4] {
        [
            SwitchStep::Suspend(name("a"), Freeze::FileSystem),
            SwitchStep::Suspend(name("b"), Freeze::Io),
            SwitchStep::Resume(name("b"), UdevFlags::visible()),
            SwitchStep::Resume(name("a"), UdevFlags::visible()),
        ]
    }

    #[test]
    fn changes_are_steps_and_questions_are_none() {
        let (disks, kernel) = host();
        let steps = Steps::counted();
        let (kernel, devices) = (steps.kernel(Arc::new(kernel)), steps.devices(Arc::new(disks)));
        let disk = devices.open(Path::new("/dev/sda"), Access::Write).unwrap();
        disk.read_at(Bytes(0), &mut [0]).unwrap();
        kernel.list().unwrap();
        kernel.status(&name("a")).unwrap();
        assert_eq!(steps.taken(), 0);
        disk.write_at(Bytes(0), &[1]).unwrap();
        disk.zero(Bytes(0), Bytes(1)).unwrap();
        disk.flush().unwrap();
        kernel.clear(&name("a")).unwrap();
        assert_eq!(steps.taken(), 4);
    }

    #[test]
    fn a_step_that_the_hook_refuses_does_not_happen() {
        let (disks, kernel) = host();
        let refuse = |number| if number == 2 { Err(Error::new(Kind::Internal, "cut")) } else { Ok(()) };
        let steps = Steps::new(refuse);
        let devices = steps.devices(Arc::new(disks.clone()));
        let disk = devices.open(Path::new("/dev/sda"), Access::Write).unwrap();
        disk.write_at(Bytes(0), &[1]).unwrap();
        let kernel = steps.kernel(Arc::new(kernel));
        assert_eq!(kernel.clear(&name("a")).unwrap_err().to_string(), "cut");
        assert!(kernel.info(&name("a")).unwrap().unwrap().inactive);
        kernel.clear(&name("a")).unwrap();
        assert_eq!(disks.log().len(), 1);
    }

    #[test]
    fn a_step_can_happen_and_be_told_to_have_failed() {
        let (disks, kernel) = host();
        let untrue = |number| if number == 1 { Err(Error::new(Kind::Internal, "cut")) } else { Ok(()) };
        let steps = Steps::around(|_| Ok(()), untrue);
        let disk = steps.devices(Arc::new(disks.clone())).open(Path::new("/dev/sda"), Access::Write).unwrap();
        disk.write_at(Bytes(0), &[1]).unwrap_err();
        assert_eq!(disks.log().len(), 1);
        steps.kernel(Arc::new(kernel.clone())).clear(&name("a")).unwrap();
        assert_eq!(kernel.unsettled(), [name("b")]);
    }

    #[test]
    fn a_switch_is_as_many_steps_as_it_has() {
        let (_, kernel) = host();
        let steps = Steps::counted();
        let report = steps.kernel(Arc::new(kernel.clone())).switch(&switch()).unwrap();
        assert_eq!((steps.taken(), report.frozen.len()), (4, 2));
        assert!(kernel.unsettled().is_empty());
    }

    #[test]
    fn a_switch_whose_step_is_refused_is_undone() {
        for refused in 1..=4 {
            let (_, kernel) = host();
            let refuse = move |n| if n == refused { Err(Error::new(Kind::Internal, "cut")) } else { Ok(()) };
            Steps::new(refuse).kernel(Arc::new(kernel.clone())).switch(&switch()).unwrap_err();
            let suspended = kernel.list().unwrap().iter().filter(|info| info.suspended).count();
            assert_eq!(suspended, 0, "step {refused}");
        }
    }

    #[test]
    fn a_process_that_dies_inside_a_switch_undoes_nothing() {
        let (_, kernel) = host();
        let dead = |number| if number >= 3 { Err(Error::new(Kind::Internal, "dead")) } else { Ok(()) };
        Steps::new(dead).kernel(Arc::new(kernel.clone())).switch(&switch()).unwrap_err();
        assert_eq!(kernel.unsettled(), [name("a"), name("b")]);
    }
}
