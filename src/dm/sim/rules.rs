//! What the kernel checks when tables are loaded, swapped in and thrown away (Linux 6.1, `dm-ioctl.c`, `dm-table.c`, `dm.c`).

use super::node::Loaded;
use super::snapshot::Instance;
use super::{State, clone};
use crate::block::{DevNo, Devices};
use crate::dm::{DmName, Line, Table, Target, in_use};
use crate::error::{Error, Kind, Result};
use crate::units::Sectors;

/// The target types of the simulated kernel.
pub const TARGETS: [&str; 8] =
    ["linear", "striped", "snapshot-origin", "snapshot", "snapshot-merge", "clone", "zero", "error"];

fn invalid(name: &DmName, why: impl std::fmt::Display) -> Error {
    Error::io(
        format!("the kernel refuses the table of {name}"),
        std::io::Error::other(format!("EINVAL: {why}")),
    )
}

impl State {
    pub fn load(&mut self, name: &DmName, table: &Table<DevNo>, read_only: bool) -> Result<()> {
        let number = self.nodes.existing(name)?.number;
        // Linux 6.1 takes it, and goes round for ever with the first I/O.
        if table.references().into_iter().any(|device| self.nodes.is_above(device, number)) {
            return Err(self.hang(format!("I/O to {name} would go round: the device is below itself")));
        }
        self.check_readable(name, table)?;
        // As the real `Control` does: the kernel makes the new table beside an inactive one that is there, and refuses the second
        // of two inactive snapshots of one store.
        if table.reads_store() {
            self.clear(name)?;
        }
        check_shape(name, table)?;
        for line in &table.0 {
            self.check_target(name, line)?;
        }
        let instance = self.instance(name, table)?;
        let clone = self.open_clone(table.0.first()).map_err(|why| invalid(name, why))?;
        // The first table makes the block device, whose limits are computed at once; later ones are checked when they
        // are swapped in.
        if !self.nodes.existing(name)?.visible
            && let Some(why) = self.misfit(table)
        {
            return Err(invalid(name, why));
        }
        self.clear(name)?;
        let node = self.nodes.existing_mut(name)?;
        node.inactive = Some(Loaded { table: table.clone(), read_only, instance, clone });
        node.visible = true;
        Ok(())
    }

    fn check_target(&self, name: &DmName, line: &Line<DevNo>) -> Result<()> {
        let kind = line.target.kind();
        if !TARGETS.contains(&kind) || self.missing_targets.iter().any(|missing| missing == kind) {
            return Err(crate::dm::no_such_target(name, kind));
        }
        check_parameters(name, line)?;
        clone::check(&self.nodes, &self.disks, line).map_err(|why| invalid(name, why))?;
        for device in line.target.references() {
            if self.nodes.size(&self.disks, device).is_none() {
                return Err(invalid(name, format!("device {device} lookup failed")));
            }
            // A file system has claimed the device for itself; other tables may share it.
            if let Some(mount) = self.disks.mounts(device)?.first() {
                return Err(in_use(name, format!("device {device} is mounted on {}", mount.display())));
            }
        }
        Ok(())
    }

    /// The state of the snapshot target that the table brings, if any. Reads or makes its store, or waits for a hand-over.
    fn instance(&mut self, name: &DmName, table: &Table<DevNo>) -> Result<Option<Instance>> {
        let Some((mut instance, chunk)) = table.0.iter().find_map(|line| Instance::of(&line.target)) else {
            return Ok(None);
        };
        if self.nodes.size(&self.disks, instance.cow).is_none_or(Sectors::is_zero) {
            return Err(invalid(name, "the COW device has no size: it must be live first"));
        }
        let awaits = self.nodes.awaits_handover(&instance).map_err(|why| invalid(name, why))?;
        if !awaits {
            let (store, valid) = self.open_store(instance.cow, chunk).map_err(|why| invalid(name, why))?;
            instance.store = Some(store);
            instance.valid = valid;
        }
        Ok(Some(instance))
    }

    /// Loading reads the store, unless it waits for a source's exceptions, or a clone's metadata; through a suspended device that never ends.
    fn check_readable(&mut self, name: &DmName, table: &Table<DevNo>) -> Result<()> {
        let snapshot = table.0.iter().find_map(|line| Instance::of(&line.target));
        let is_handed_over = snapshot.as_ref().is_some_and(|(snapshot, _)| self.nodes.has_source(snapshot));
        let read = match (&snapshot, table.0.first().map(|line| &line.target)) {
            (Some((snapshot, _)), _) => snapshot.cow,
            (None, Some(Target::Clone { metadata, .. })) => *metadata,
            _ => return Ok(()),
        };
        let Some((lower, node)) = self.nodes.by_number(read).filter(|_| !is_handed_over) else {
            return Ok(());
        };
        let stuck = if node.suspended { Some(lower) } else { self.nodes.suspended_below(node) };
        stuck.cloned().map_or(Ok(()), |stuck| {
            Err(self.hang(format!("loading {name} would wait for {stuck}, which is suspended")))
        })
    }

    pub fn clear(&mut self, name: &DmName) -> Result<()> {
        let inactive = self.nodes.existing_mut(name)?.inactive.take();
        self.destroy(inactive);
        Ok(())
    }

    pub fn suspend(&mut self, name: &DmName) -> Result<()> {
        let node = self.nodes.existing(name)?;
        if node.suspended {
            return Ok(());
        }
        if let Some(lower) = self.nodes.suspended_below(node).cloned() {
            return Err(self.hang(format!("suspending {name} would wait for {lower}, which is suspended")));
        }
        // A clone writes down what it knows when it stops.
        if node.live.as_ref().is_some_and(|live| live.clone.is_some()) {
            self.commit_clones(node.number)?;
        }
        let node = self.nodes.existing_mut(name)?;
        node.suspended = true;
        node.suspended_by = Some(std::thread::current().id());
        Ok(())
    }

    pub fn resume(&mut self, name: &DmName) -> Result<()> {
        if self.nodes.existing(name)?.inactive.is_some() {
            self.swap(name)?;
        }
        let done = self.wake(name);
        let retiring = self.nodes.existing_mut(name)?.retiring.take();
        self.destroy(retiring);
        done
    }

    /// The inactive table becomes live. If it does not fit it is lost, the old one stays and the device is left suspended.
    fn swap(&mut self, name: &DmName) -> Result<()> {
        self.suspend(name)?;
        let inactive = self.nodes.existing_mut(name)?.inactive.take();
        let Some(new) = inactive else { return Ok(()) };
        if let Some(why) = self.misfit(&new.table) {
            self.destroy(Some(new));
            return Err(invalid(name, why));
        }
        let node = self.nodes.existing_mut(name)?;
        node.retiring = node.live.replace(new);
        Ok(())
    }

    fn misfit(&self, table: &Table<DevNo>) -> Option<String> {
        table.0.iter().flat_map(needs).find_map(|(device, end)| {
            let size = self.nodes.size(&self.disks, device).unwrap_or(Sectors::ZERO);
            // Linux 6.1 does not check against a device of size 0: it may get its table later.
            (!size.is_zero() && end > size)
                .then(|| format!("device {device} is too small: {} of {} sectors", end.get(), size.get()))
        })
    }

    fn wake(&mut self, name: &DmName) -> Result<()> {
        let node = self.nodes.existing(name)?;
        if !node.suspended {
            return Ok(());
        }
        if node.live.is_none() {
            return Err(Error::io(
                format!("cannot resume {name}"),
                std::io::Error::other("EINVAL: it has no table"),
            ));
        }
        self.begin_snapshot(name)
            .map_err(|why| Error::io(format!("cannot resume {name}"), std::io::Error::other(why)))?;
        let node = self.nodes.existing_mut(name)?;
        node.suspended = false;
        node.suspended_by = None;
        Ok(())
    }

    pub fn remove(&mut self, name: &DmName) -> Result<()> {
        let node = self.nodes.existing(name)?;
        let count = self.nodes.open_count(node);
        if count > 0 {
            return Err(in_use(name, format!("it is open {count} times")));
        }
        // What goes stands still before, and a clone writes down what it knows then.
        if !node.suspended && node.live.as_ref().is_some_and(|live| live.clone.is_some()) {
            self.suspend(name)?;
        }
        if let Some(node) = self.nodes.remove(name) {
            self.destroy(node.inactive);
            self.destroy(node.live);
        }
        Ok(())
    }

    fn hang(&mut self, why: String) -> Error {
        self.violations.push(why.clone());
        Error::new(Kind::Internal, why)
    }
}

fn check_shape(name: &DmName, table: &Table<DevNo>) -> Result<()> {
    if table.is_empty() {
        return Err(invalid(name, "no targets specified"));
    }
    let mut end = Sectors::ZERO;
    for line in &table.0 {
        if line.length.is_zero() {
            return Err(invalid(name, "zero-length target"));
        }
        if line.start != end {
            return Err(invalid(name, "gap in table"));
        }
        end = line.start.checked_add(line.length).ok_or_else(|| invalid(name, "too long"))?;
    }
    Ok(())
}

fn check_parameters(name: &DmName, line: &Line<DevNo>) -> Result<()> {
    match &line.target {
        Target::Striped { chunk, stripes } => {
            let count = stripes.len() as u64;
            if count == 0 || chunk.is_zero() || !line.length.get().is_multiple_of(count) {
                return Err(invalid(name, "target length not divisible by number of stripes"));
            }
            if !(line.length.get() / count).is_multiple_of(chunk.get()) {
                return Err(invalid(name, "target length not divisible by chunk size"));
            }
            Ok(())
        }
        Target::Snapshot { origin, cow, chunk } | Target::Merge { origin, cow, chunk } => {
            if origin == cow {
                return Err(invalid(name, "COW device cannot be the same as origin device"));
            }
            if !chunk.is_zero() && !chunk.get().is_power_of_two() {
                return Err(invalid(name, "chunk size is not a power of 2"));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// How far into each device a line reaches.
fn needs(line: &Line<DevNo>) -> Vec<(DevNo, Sectors)> {
    match &line.target {
        Target::Linear { device, offset } => vec![(*device, *offset + line.length)],
        Target::Striped { stripes, .. } => {
            let each = Sectors(line.length.get() / stripes.len().max(1) as u64);
            stripes.iter().map(|(device, offset)| (*device, *offset + each)).collect()
        }
        Target::Snapshot { origin, .. }
        | Target::Merge { origin, .. }
        | Target::Origin { device: origin } => {
            vec![(*origin, line.length)]
        }
        Target::Clone { destination, source, .. } => {
            vec![(*destination, line.length), (*source, line.length)]
        }
        Target::Zero | Target::Error | Target::Other { .. } => Vec::new(),
    }
}
