//! One device: may it be a physical volume, has it a label, what do its metadata areas hold.

#![deny(clippy::indexing_slicing)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use super::memory::{Known, Text};
use super::{Finding, OpenMda, OpenPv, Present, md};
use crate::block::{Access, Device, Devices, Listed};
use crate::error::Result;
use crate::lvm::area::{self, HeaderBytes};
use crate::lvm::label::{self, LABEL_AREA, LEAST_PV, Location, MdaHeader, Range, checksum};
use crate::units::Bytes;

/// More often than anybody commits while an area is read.
const TRIES: usize = 100;

/// So many devices are read side by side, once one took longer than this: threads cost more than reads that are answered at once.
const AT_ONCE: usize = 16;
const AT_ONCE_BEHIND: Duration = Duration::from_millis(20);

/// What one device was found to hold.
#[derive(Debug, Default)]
pub(super) struct Probe {
    pub pv: Option<OpenPv>,
    /// The committed text of each metadata area that has one, with the area's place in the list.
    pub texts: Vec<(usize, Arc<Text>)>,
    pub findings: Vec<Finding>,
}

/// Looks at every device that may be a physical volume.
pub(super) fn all(devices: &dyn Devices, known: &Known<'_>) -> Result<Vec<Probe>> {
    let listed = devices.list_disks()?;
    let may_be = |one: &&Listed| may_be_pv(one) && devices.admits(one, None);
    let candidates: Vec<_> = listed.iter().filter(may_be).collect();
    Ok(each(&candidates, |candidate| probe(devices, candidate, known)))
}

/// Looks at the devices one after the other, and at some at a time once one of them is slow to answer: it does not hold up the others.
/// In the order of the devices.
fn each(candidates: &[&Listed], look: impl Fn(&Listed) -> Probe + Sync) -> Vec<Probe> {
    let next = AtomicUsize::new(0);
    let work = |done: Sender<(usize, Probe)>| {
        let turn = || {
            let at = next.fetch_add(1, Ordering::Relaxed);
            Some((at, look(candidates.get(at)?)))
        };
        // There is a listener for as long as there are threads.
        std::iter::from_fn(turn).for_each(|probe| drop(done.send(probe)));
    };
    let (done, probes) = channel();
    let mut found = Vec::with_capacity(candidates.len());
    // A panic in one of the threads is one here.
    std::thread::scope(|scope| {
        let (work, first) = (&work, done.clone());
        scope.spawn(move || work(first));
        while found.len() < candidates.len() {
            match probes.recv_timeout(AT_ONCE_BEHIND) {
                Ok(probe) => found.push(probe),
                Err(_) => break,
            }
        }
        for _ in 1..(candidates.len() - found.len()).min(AT_ONCE) {
            let done = done.clone();
            scope.spawn(move || work(done));
        }
        drop(done);
        found.extend(probes);
    });
    found.sort_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, probe)| probe).collect()
}

/// A disk with partitions is not one itself, and a component of an array or a multipath device is seen through that.
fn may_be_pv(listed: &Listed) -> bool {
    !listed.partitioned && !listed.component && listed.size >= LEAST_PV
}

fn probe(devices: &dyn Devices, listed: &Listed, known: &Known<'_>) -> Probe {
    let mut probe = Probe::default();
    let opened = devices.open(&listed.path, Access::Read);
    let result = opened.and_then(|device| match device.number() {
        number if number == listed.number => read(&mut probe, devices, listed, device, known),
        number => {
            let path = listed.path.display();
            probe.note(
                listed,
                format!("{path} is passed over: it leads to {number} and not to {}", listed.number),
            );
            Ok(())
        }
    });
    if let Err(error) = result {
        probe.note(listed, format!("{} cannot be read: {error}", listed.path.display()));
    }
    probe
}

fn read(
    probe: &mut Probe,
    devices: &dyn Devices,
    listed: &Listed,
    device: Arc<dyn Device>,
    known: &Known<'_>,
) -> Result<()> {
    let mut first = [0; LABEL_AREA];
    device.read_at(Bytes::ZERO, &mut first)?;
    let found = label::find(&first);
    for note in found.notes {
        probe.note(listed, format!("{}: {note}", listed.path.display()));
    }
    let Some(label) = found.label else { return Ok(()) };
    if !devices.admits(listed, Some(label.id.compact())) {
        if devices.unusable(listed).is_none() {
            let what = "is passed over: LVM2's devices file has another physical volume there";
            probe.note(listed, format!("{} {what}", listed.path.display()));
        }
        return Ok(());
    }
    if md::is_component(&*device, label.device_size)? {
        probe.note(listed, format!("{} is passed over: it is a part of an md array", listed.path.display()));
        return Ok(());
    }
    let areas = &label.metadata;
    let mdas = (0..areas.len()).filter_map(|place| mda(probe, listed, &*device, areas, place, known));
    let mdas = mdas.collect();
    let present = Present { device, path: listed.path.clone(), label };
    probe.pv = Some(OpenPv { id: present.label.id, present: Some(present), last_seen: None, mdas });
    Ok(())
}

impl Probe {
    fn note(&mut self, listed: &Listed, text: String) {
        self.findings.push(Finding { vg: None, device: Some(listed.path.clone()), text });
    }
}

fn mda(
    probe: &mut Probe,
    listed: &Listed,
    device: &dyn Device,
    areas: &[Range],
    place: usize,
    known: &Known<'_>,
) -> Option<OpenMda> {
    let (before, area) = (areas.get(..place)?, *areas.get(place)?);
    let read = match area::misplaced(before, area) {
        Some(why) => Err(why.to_owned()),
        None => read_settled(device, area, known),
    };
    let header = match read {
        Ok((header, text)) => {
            probe.texts.extend(text.map(|text| (place, text)));
            Ok(header)
        }
        Err(why) => {
            let text = format!(
                "{}: the metadata area at byte {} is damaged: {why}",
                listed.path.display(),
                area.offset.get()
            );
            probe.note(listed, text);
            Err(why)
        }
    };
    Some(OpenMda { start: area.offset, size: area.size, header })
}

type Read = std::result::Result<(MdaHeader, Option<Arc<Text>>), String>;

/// Reads an area; again if it seems damaged, as long as its header changes: whoever reads without a lock may find a text
/// overwritten by commits since its header was read.
fn read_settled(device: &dyn Device, area: Range, known: &Known<'_>) -> Read {
    let mut last = None;
    for _ in 0..TRIES {
        let bytes = area::read_header(device, area).map_err(|error| error.to_string())?;
        let bytes = bytes.ok_or(area::BEYOND)?;
        match read_mda(device, area, &bytes, known) {
            Err(_) if last != Some(bytes) => last = Some(bytes),
            read => return read,
        }
    }
    Err("it changes faster than it can be read".to_owned())
}

fn read_mda(device: &dyn Device, area: Range, bytes: &HeaderBytes, known: &Known<'_>) -> Read {
    let header = area::header(bytes, area)?;
    let location = header.committed;
    if location.is_empty() || location.ignored() {
        return Ok((header, None));
    }
    let text = match known.remembered(device.number(), area.offset, bytes) {
        Some(text) => text,
        None => known.share(read_text(device, &header, location)?, location.checksum),
    };
    known.keep(device.number(), area.offset, *bytes, text.clone());
    Ok((header, Some(text)))
}

fn read_text(
    device: &dyn Device,
    header: &MdaHeader,
    location: Location,
) -> std::result::Result<Arc<[u8]>, String> {
    let outside = || format!("its text is outside, {} at {}", location.size, location.offset.get());
    let bytes = area::read_text(device, header, location).map_err(|error| error.to_string())?;
    let bytes = bytes.ok_or_else(outside)?;
    if checksum(&bytes) != location.checksum {
        return Err("its text has a wrong checksum".to_owned());
    }
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::AtomicU32;

    use super::super::memory::Memory;
    use super::*;
    use crate::block::DevNo;
    use crate::block::mem::MemDevices;
    use crate::lvm::commit::tests::{open, stamp, world};
    use crate::lvm::commit::{PvOptions, commit};
    use crate::lvm::edit::Edit;
    use crate::lvm::label::MDA_HEADER;

    /// A device on which others fill the ring anew each time after its header was read, so many times.
    #[derive(Debug)]
    struct Busy {
        host: MemDevices,
        device: Arc<dyn Device>,
        times: AtomicU32,
    }

    impl Busy {
        fn refill(&self) {
            for _ in 0..3 {
                let mut vg = open(&self.host);
                let next = vg.vg.clone();
                commit(&mut vg, next, &stamp()).expect("a commit");
            }
        }
    }

    impl Device for Busy {
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
            self.device.read_at(offset, buffer)?;
            let left = |left: u32| left.checked_sub(1);
            if buffer.len() == MDA_HEADER
                && self.times.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok()
            {
                self.refill();
            }
            Ok(())
        }
        fn write_at(&self, offset: Bytes, data: &[u8]) -> Result<()> {
            self.device.write_at(offset, data)
        }
        fn zero(&self, offset: Bytes, length: Bytes) -> Result<()> {
            self.device.zero(offset, length)
        }
        fn flush(&self) -> Result<()> {
            self.device.flush()
        }
    }

    fn busy(times: u32) -> (Busy, Range) {
        let options = PvOptions {
            metadata_size: Some(Bytes::kib(32)),
            data_alignment: Bytes::kib(4),
            ..PvOptions::default()
        };
        let host = world(1, &options);
        let mut vg = open(&host);
        let tags = (0..13).map(|number| format!("{number}-{}", "x".repeat(1000)).parse().unwrap());
        let next = vg.vg.apply(&tags.map(|tag| Edit::AddVgTag { tag }).collect::<Vec<_>>()).unwrap();
        commit(&mut vg, next, &stamp()).unwrap();
        let area = vg.pvs.first().unwrap().label().unwrap().metadata.first().copied().unwrap();
        let device = host.open("/dev/sd0".as_ref(), Access::Read).unwrap();
        (Busy { host, device, times: AtomicU32::new(times) }, area)
    }

    #[test]
    fn commits_of_others_while_an_area_is_read_are_no_damage() {
        for times in [0, 1, 2, 5] {
            let (device, area) = busy(times);
            let (header, text) = read_settled(&device, area, &Known::new(&Memory::default(), true))
                .unwrap_or_else(|why| panic!("{times}: {why}"));
            assert_eq!(header, open(&device.host).pvs[0].mdas[0].header.clone().unwrap(), "{times}");
            assert!(text.is_some());
        }
    }

    #[test]
    fn an_area_that_never_settles_is_given_up() {
        let (device, area) = busy(u32::MAX);
        assert!(
            read_settled(&device, area, &Known::new(&Memory::default(), true))
                .unwrap_err()
                .contains("faster")
        );
    }
}
