//! Changes what a physical volume says, checksums and all, as no tool of a volume group would: for the guest tests of damage, and
//! of what other programs and other machines write.
//!
//! ```text
//! forge text DEV OLD NEW       other words in the committed text, where it is
//! forge place DEV OFFSET       the committed text elsewhere in its area, without its closing NUL
//! forge area DEV START         the metadata area elsewhere on the device, as a machine with larger pages has it
//! forge extension DEV VERSION  the label as older versions write it: 0 has no mark of use, 1 has none but room for it
//! forge show DEV               the committed text
//! ```

use std::error::Error;
use std::sync::Arc;

use dmsnap::block::sysfs::SysDevices;
use dmsnap::block::{Access, Device, Devices};
use dmsnap::lvm::label::{LABEL_AREA, Location, MDA_HEADER, MdaHeader, PvLabel, Range, checksum, find};
use dmsnap::lvm::ring::Ring;
use dmsnap::units::Bytes;

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["text", device, old, new] => Disk::open(device)?.change_text(old, new),
        ["place", device, offset] => Disk::open(device)?.place(offset.parse()?),
        ["area", device, start] => Disk::open(device)?.move_area(start.parse()?),
        ["extension", device, version] => Disk::open(device)?.age(version.parse()?),
        ["show", device] => {
            println!("{}", String::from_utf8(Disk::open(device)?.text()?)?.trim_end_matches('\0'));
            Ok(())
        }
        _ => Err("see the beginning of tests/tools/forge/main.rs".into()),
    }
}

/// A physical volume and its first metadata area.
struct Disk {
    device: Arc<dyn Device>,
    label: PvLabel,
    header: MdaHeader,
}

impl Disk {
    fn open(path: &str) -> Result<Self, Box<dyn Error>> {
        let device = SysDevices::default().open(path.as_ref(), Access::Write)?;
        let mut first = [0; LABEL_AREA];
        device.read_at(Bytes::ZERO, &mut first)?;
        let label = find(&first).label.ok_or("no label")?;
        let area = *label.metadata.first().ok_or("no metadata area")?;
        let mut header = [0; MDA_HEADER];
        device.read_at(area.offset, &mut header)?;
        Ok(Self { device, label, header: MdaHeader::unpack(&header, area)? })
    }

    fn text(&self) -> Result<Vec<u8>, Box<dyn Error>> {
        let place = self.header.committed;
        let pieces = Ring::new(self.header.size).pieces(place.offset, place.size).ok_or("no text")?;
        let mut text = Vec::new();
        for piece in pieces {
            let mut part = vec![0; usize::try_from(piece.length)?];
            self.device.read_at(self.header.start + piece.offset, &mut part)?;
            text.extend(part);
        }
        Ok(text)
    }

    fn write_text(&mut self, offset: Bytes, text: &[u8]) -> Outcome {
        let size = Bytes(text.len() as u64);
        if offset + size > self.header.size {
            return Err("the text would wrap".into());
        }
        self.device.write_at(self.header.start + offset, text)?;
        self.header.committed = Location { offset, size, checksum: checksum(text), ..self.header.committed };
        self.write_header()
    }

    fn write_header(&self) -> Outcome {
        self.device.write_at(self.header.start, &self.header.pack())?;
        Ok(self.device.flush()?)
    }

    fn change_text(&mut self, old: &str, new: &str) -> Outcome {
        let text = String::from_utf8(self.text()?)?;
        if !text.contains(old) {
            return Err(format!("{old:?} is not in the text").into());
        }
        self.write_text(self.header.committed.offset, text.replacen(old, new, 1).as_bytes())
    }

    fn place(&mut self, offset: u64) -> Outcome {
        let mut text = self.text()?;
        text.pop();
        self.write_text(Bytes(offset), &text)
    }

    fn move_area(&mut self, start: u64) -> Outcome {
        let text = self.text()?;
        let old = self.header.start;
        let end = old + self.header.size;
        let area =
            Range { offset: Bytes(start), size: end.checked_sub(Bytes(start)).ok_or("beyond its end")? };
        self.header = MdaHeader::empty(area);
        self.write_text(Bytes(512), &text)?;
        self.device.zero(old, Bytes(MDA_HEADER as u64))?;
        *self.label.metadata.first_mut().ok_or("no metadata area")? = area;
        self.write_label()
    }

    fn age(&mut self, extension: u32) -> Outcome {
        self.label = PvLabel { extension, flags: 0, ..self.label.clone() };
        self.write_label()
    }

    fn write_label(&self) -> Outcome {
        self.device.write_at(self.label.offset(), &self.label.pack().ok_or("too many areas")?)?;
        Ok(self.device.flush()?)
    }
}
