//! One device: may it be a physical volume, has it a label, what do its metadata areas hold.

#![deny(clippy::indexing_slicing)]

use std::collections::HashMap;
use std::sync::Arc;

use super::{Finding, OpenMda, OpenPv};
use crate::block::{Access, DevNo, Device, Devices, Listed};
use crate::error::Result;
use crate::lvm::config::TEXT_MAX;
use crate::lvm::label::{self, LABEL_AREA, Location, MDA_HEADER, MdaHeader, Range, checksum};
use crate::lvm::ring::Ring;
use crate::units::Bytes;

/// LVM2 takes nothing smaller (devices/pv_min_size).
const SMALLEST: Bytes = Bytes::mib(2);

/// The driver number of md arrays.
const MD: u32 = 9;

/// What one device was found to hold.
#[derive(Debug, Default)]
pub(super) struct Probe {
    pub pv: Option<OpenPv>,
    /// The committed text of each metadata area that has one, with the area's place in the list.
    pub texts: Vec<(usize, Text)>,
    pub findings: Vec<Finding>,
}

/// A text whose checksum is right.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub bytes: Arc<[u8]>,
    pub checksum: u32,
}

/// Looks at every device that may be a physical volume.
pub(super) fn all(devices: &dyn Devices) -> Result<Vec<Probe>> {
    let listed = devices.list()?;
    let by_number: HashMap<DevNo, &Listed> = listed.iter().map(|one| (one.number, one)).collect();
    let candidates = listed.iter().filter(|one| may_be_pv(one, &by_number));
    let mut known = Known::default();
    Ok(candidates.map(|one| probe(devices, one, &mut known)).collect())
}

/// The texts so far: the copies on many disks take memory once.
#[derive(Default)]
struct Known(HashMap<u32, Vec<Text>>);

impl Known {
    fn share(&mut self, text: Text) -> Text {
        let alike = self.0.entry(text.checksum).or_default();
        if let Some(known) = alike.iter().find(|known| known.bytes == text.bytes) {
            return known.clone();
        }
        alike.push(text.clone());
        text
    }
}

/// A logical volume is not scanned for volume groups of guests inside it, a disk with partitions is not one itself,
/// and a component of an array or a multipath device is seen through that.
fn may_be_pv(listed: &Listed, by_number: &HashMap<DevNo, &Listed>) -> bool {
    let uuid_starts =
        |one: &Listed, start: &str| one.dm_uuid.as_deref().is_some_and(|uuid| uuid.starts_with(start));
    let component = listed.holders.iter().any(|holder| {
        holder.major == MD || by_number.get(holder).is_some_and(|holder| uuid_starts(holder, "mpath-"))
    });
    !uuid_starts(listed, "LVM-") && !listed.partitioned && !component && listed.size >= SMALLEST
}

fn probe(devices: &dyn Devices, listed: &Listed, known: &mut Known) -> Probe {
    let mut probe = Probe::default();
    let result = devices.open(&listed.path, Access::Read).and_then(|device| read(&mut probe, listed, device));
    probe.texts = probe.texts.into_iter().map(|(place, text)| (place, known.share(text))).collect();
    if let Err(error) = result {
        probe.note(listed, format!("{} cannot be read: {error}", listed.path.display()));
    }
    probe
}

fn read(probe: &mut Probe, listed: &Listed, device: Arc<dyn Device>) -> Result<()> {
    let mut first = [0; LABEL_AREA];
    device.read_at(Bytes::ZERO, &mut first)?;
    let found = label::find(&first);
    for note in found.notes {
        probe.note(listed, format!("{}: {note}", listed.path.display()));
    }
    let Some(label) = found.label else { return Ok(()) };
    let mdas =
        label.metadata.iter().enumerate().map(|(place, area)| mda(probe, listed, &*device, place, *area));
    let mdas = mdas.collect();
    probe.pv = Some(OpenPv {
        id: label.id,
        number: Some(device.number()),
        device: Some(device),
        path: Some(listed.path.clone()),
        label: Some(label),
        mdas,
    });
    Ok(())
}

impl Probe {
    fn note(&mut self, listed: &Listed, text: String) {
        self.findings.push(Finding { vg: None, device: Some(listed.path.clone()), text });
    }
}

/// Reads an area; once more if it is damaged, for a commit may have been under way.
fn mda(probe: &mut Probe, listed: &Listed, device: &dyn Device, place: usize, area: Range) -> OpenMda {
    let read = read_mda(device, area).or_else(|_| read_mda(device, area));
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
    OpenMda { start: area.offset, size: area.size, header }
}

type Read = std::result::Result<(MdaHeader, Option<Text>), String>;

fn read_mda(device: &dyn Device, area: Range) -> Read {
    let mut bytes = [0; MDA_HEADER];
    device.read_at(area.offset, &mut bytes).map_err(|error| error.to_string())?;
    let header = MdaHeader::unpack(&bytes, area).map_err(|why| format!("its header: {why}"))?;
    if header.size > area.size {
        return Err(format!("its header says that it has {}, the label {}", header.size, area.size));
    }
    let text = match header.committed {
        location if location.is_empty() || location.ignored() => None,
        location => Some(read_text(device, &header, location)?),
    };
    Ok((header, text))
}

fn read_text(
    device: &dyn Device,
    header: &MdaHeader,
    location: Location,
) -> std::result::Result<Text, String> {
    let outside = || format!("its text is outside, {} at {}", location.size, location.offset.get());
    let pieces = Ring::new(header.size).pieces(location.offset, location.size).ok_or_else(outside)?;
    let size =
        usize::try_from(location.size.get()).ok().filter(|size| *size <= TEXT_MAX).ok_or_else(outside)?;
    let mut bytes = vec![0; size];
    let mut rest = bytes.as_mut_slice();
    for piece in pieces {
        let length = usize::try_from(piece.length).map_err(|_| outside())?;
        let (part, after) = rest.split_at_mut_checked(length).ok_or_else(outside)?;
        let offset = header.start.checked_add(piece.offset).ok_or_else(outside)?;
        device.read_at(offset, part).map_err(|error| error.to_string())?;
        rest = after;
    }
    if checksum(&bytes) != location.checksum {
        return Err("its text has a wrong checksum".to_owned());
    }
    Ok(Text { bytes: Arc::from(bytes), checksum: location.checksum })
}
