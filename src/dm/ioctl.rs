//! Our own ioctls on the control file: suspend, resume, remove, rename, load, clear, and the version of a target.
//!
//! The devicemapper crate's resume, remove and rename wait without limit for a udev cookie wherever a udevd runs, inside the
//! switch. These do not wait: the cookie's number is 0. A request is prepared before the switch and fired within it, without
//! allocating.
#![allow(unsafe_code)]

use std::mem::size_of;
use std::os::fd::AsRawFd;

use nix::errno::Errno;

use super::{DmName, Freeze, Table, UdevFlags};
use crate::block::DevNo;
use crate::units::Sectors;

/// `struct dm_ioctl` of linux/dm-ioctl.h, for its size: the numbers of the ioctls contain it. It is filled as bytes.
#[repr(C)]
struct Header {
    version: [u32; 3],
    data_size: u32,
    data_start: u32,
    target_count: u32,
    open_count: i32,
    flags: u32,
    event_nr: u32,
    padding: u32,
    dev: u64,
    name: [u8; 128],
    uuid: [u8; 129],
    data: [u8; 7],
}

const HEADER: usize = 312;
const _: () = assert!(size_of::<Header>() == HEADER);

/// Where the name stands in the header.
const NAME: usize = 48;
const _: () = assert!(std::mem::offset_of!(Header, name) == NAME);
const _: () = assert!(OPEN_COUNT.is_multiple_of(size_of::<u64>()));

/// Room behind the header for what the kernel answers.
const LEAST_TAIL: usize = 256;

/// Where the kernel says how many have the device open.
const OPEN_COUNT: usize = std::mem::offset_of!(Header, open_count);

const READ_ONLY: u32 = 1 << 0;
const SUSPEND: u32 = 1 << 1;
const SKIP_LOCKFS: u32 = 1 << 10;
const NO_FLUSH: u32 = 1 << 11;

/// Where the first target's status stands in an answer, in words: behind the header and the target's own header.
const STATUS: usize = (HEADER + SPEC) / size_of::<u64>();

/// `struct dm_target_spec`
const SPEC: usize = 40;

mod raw {
    use super::Header;

    nix::ioctl_readwrite!(remove, 0xfd, 4, Header);
    nix::ioctl_readwrite!(rename, 0xfd, 5, Header);
    nix::ioctl_readwrite!(suspend, 0xfd, 6, Header);
    nix::ioctl_readwrite!(load, 0xfd, 9, Header);
    nix::ioctl_readwrite!(clear, 0xfd, 10, Header);
    nix::ioctl_readwrite!(status, 0xfd, 12, Header);
    nix::ioctl_readwrite!(target_version, 0xfd, 17, Header);
}

type Call = unsafe fn(i32, *mut Header) -> nix::Result<i32>;

/// What an ioctl is told beside the device's name.
#[derive(Default)]
struct Request<'a> {
    flags: u32,
    event_nr: u32,
    targets: usize,
    tail: &'a [u8],
}

const HEADER_WORDS: usize = HEADER / size_of::<u64>();

/// An ioctl with everything that it needs.
pub struct Prepared {
    call: Call,
    /// The header as it is asked with: the kernel writes its answer over the other one.
    header: [u64; HEADER_WORDS],
    /// Header and tail; words, so that they are aligned as the kernel's structure is.
    words: Vec<u64>,
    /// It fails with `EBUSY` if the kernel answers otherwise.
    wanted: Wanted,
}

/// What an answer must say.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Anything,
    /// Nobody has the device open.
    Unopened,
    /// So much of a store is in use.
    Used(Sectors),
}

impl Prepared {
    fn new(call: Call, name: &DmName, request: &Request<'_>) -> Self {
        let size = (HEADER + request.tail.len().max(LEAST_TAIL)).next_multiple_of(8);
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        let (data_size, data_start, targets) = (number(size), number(HEADER), number(request.targets));
        let mut bytes = Vec::with_capacity(size);
        for word in [4, 0, 0, data_size, data_start, targets, 0, request.flags, request.event_nr, 0] {
            bytes.extend_from_slice(&word.to_ne_bytes());
        }
        bytes.resize(NAME, 0);
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.resize(HEADER, 0);
        bytes.extend_from_slice(request.tail);
        bytes.resize(size, 0);
        let (words, _) = bytes.as_chunks();
        let words: Vec<_> = words.iter().map(|word| u64::from_ne_bytes(*word)).collect();
        let mut header = [0; HEADER_WORDS];
        header.iter_mut().zip(&words).for_each(|(to, from)| *to = *from);
        Self { call, header, words, wanted: Wanted::Anything }
    }

    /// Stops I/O.
    pub fn suspend(name: &DmName, freeze: Freeze) -> Self {
        let flags = match freeze {
            Freeze::FileSystem => SUSPEND,
            Freeze::Io | Freeze::Unopened => SUSPEND | SKIP_LOCKFS,
        };
        let request = Self::new(raw::suspend, name, &Request { flags, ..Request::default() });
        let wanted = if freeze == Freeze::Unopened { Wanted::Unopened } else { Wanted::Anything };
        Self { wanted, ..request }
    }

    /// Asks a snapshot how much of its store is in use, which must be this.
    pub fn expect(name: &DmName, used: Sectors) -> Self {
        let request = Self::new(raw::status, name, &Request { flags: NO_FLUSH, ..Request::default() });
        Self { wanted: Wanted::Used(used), ..request }
    }

    /// Makes the inactive table live and lets I/O go on.
    pub fn resume(name: &DmName, udev: UdevFlags) -> Self {
        Self::new(raw::suspend, name, &Request { event_nr: udev.event_number(), ..Request::default() })
    }

    /// Removes the device.
    pub fn remove(name: &DmName, udev: UdevFlags) -> Self {
        Self::new(raw::remove, name, &Request { event_nr: udev.event_number(), ..Request::default() })
    }

    /// Renames the device.
    pub fn rename(name: &DmName, new: &DmName, udev: UdevFlags) -> Self {
        let tail = new.as_str().as_bytes();
        Self::new(raw::rename, name, &Request { event_nr: udev.event_number(), tail, ..Request::default() })
    }

    /// Puts a table into the inactive slot.
    pub fn load(name: &DmName, table: &Table<DevNo>, read_only: bool) -> Self {
        let flags = if read_only { READ_ONLY } else { 0 };
        let tail = specs(table);
        Self::new(
            raw::load,
            name,
            &Request { flags, targets: table.0.len(), tail: &tail, ..Request::default() },
        )
    }

    /// Empties the inactive slot.
    pub fn clear(name: &DmName) -> Self {
        Self::new(raw::clear, name, &Request::default())
    }

    /// Asks for the version of a target type; the kernel loads its module if it can (since 4.41, Linux 5.4).
    pub fn target_version(kind: &DmName) -> Self {
        Self::new(raw::target_version, kind, &Request::default())
    }

    /// Runs it, as often as is wanted. No allocation, no wait for udev.
    pub fn fire(&mut self, control: &impl AsRawFd) -> nix::Result<()> {
        self.call(self.call, control)?;
        let is_as_wanted = match self.wanted {
            Wanted::Anything => true,
            Wanted::Unopened => self.open_count() == 0,
            Wanted::Used(wanted) => self.used() == Some(wanted),
        };
        if is_as_wanted { Ok(()) } else { Err(Errno::EBUSY) }
    }

    /// The number that a status begins with; none if it begins with a word.
    fn used(&self) -> Option<Sectors> {
        let bytes = self.words.iter().skip(STATUS).flat_map(|word| word.to_ne_bytes());
        let digits = bytes.map_while(|byte| char::from(byte).to_digit(10));
        digits
            .fold(None, |number: Option<u64>, digit| {
                number.unwrap_or(0).checked_mul(10)?.checked_add(digit.into())
            })
            .map(Sectors)
    }

    /// How many had the device open when the kernel answered.
    fn open_count(&self) -> u32 {
        let word = self.words.get(OPEN_COUNT / size_of::<u64>()).map(|word| word.to_ne_bytes());
        word.and_then(|word| word.as_chunks().0.first().copied()).map_or(0, u32::from_ne_bytes)
    }

    /// Fires it at no device: the kernel reads it and finds none, in silence. All that firing it touches is in memory then.
    pub fn rehearse(&mut self, control: &impl AsRawFd) -> nix::Result<()> {
        // A table may be longer than a page.
        for word in self.words.iter_mut().skip(HEADER_WORDS) {
            *word = std::hint::black_box(*word);
        }
        let mut nameless = self.header;
        nameless.iter_mut().skip(NAME / size_of::<u64>()).for_each(|word| *word = 0);
        let header = std::mem::replace(&mut self.header, nameless);
        let done = self.fire(control);
        self.header = header;
        match done {
            Err(Errno::ENXIO) => Ok(()),
            done => done,
        }
    }

    fn call(&mut self, call: Call, control: &impl AsRawFd) -> nix::Result<()> {
        self.words.iter_mut().zip(&self.header).for_each(|(to, from)| *to = *from);
        // SAFETY: the words are exclusively ours for the call and begin with a header, whose data_size says how many bytes they
        // are; the kernel reads and writes no more than that.
        unsafe { call(control.as_raw_fd(), self.words.as_mut_ptr().cast::<Header>()) }.map(|_| ())
    }
}

/// A `struct dm_target_spec` for each line, followed by its parameters; `next` counts from the spec's own begin.
fn specs(table: &Table<DevNo>) -> Vec<u8> {
    const TYPE: usize = 16;
    let mut bytes = Vec::new();
    for line in &table.0 {
        let params = line.target.to_string();
        let next = (SPEC + params.len() + 1).next_multiple_of(8);
        let begin = bytes.len();
        bytes.extend_from_slice(&line.start.get().to_ne_bytes());
        bytes.extend_from_slice(&line.length.get().to_ne_bytes());
        bytes.extend_from_slice(&0_i32.to_ne_bytes());
        bytes.extend_from_slice(&u32::try_from(next).unwrap_or(u32::MAX).to_ne_bytes());
        bytes.extend(line.target.kind().bytes().take(TYPE - 1));
        bytes.resize(begin + SPEC, 0);
        bytes.extend_from_slice(params.as_bytes());
        bytes.resize(begin + next, 0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dm::{Line, Target};

    fn bytes(prepared: &Prepared) -> Vec<u8> {
        prepared.words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    fn word(bytes: &[u8], at: usize) -> u32 {
        u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    #[test]
    fn a_request_is_laid_out_as_the_kernel_reads_it() {
        let name = DmName::new("vg-db").unwrap();
        let request = bytes(&Prepared::resume(&name, UdevFlags::visible()));
        assert_eq!((word(&request, 0), word(&request, 12), word(&request, 16)), (4, 568, 312));
        assert_eq!((word(&request, 28), word(&request, 32)), (0, 0x0040_0000));
        assert_eq!(&request[48..54], b"vg-db\0");
        let request = bytes(&Prepared::suspend(&name, Freeze::Io));
        assert_eq!(word(&request, 28), 0x402);
        let new = DmName::new("x".repeat(127)).unwrap();
        assert_eq!(
            &bytes(&Prepared::rename(&name, &new, UdevFlags::hidden()))[312..440],
            format!("{new}\0").as_bytes()
        );
    }

    #[test]
    fn the_number_that_an_answer_begins_with_is_how_much_is_in_use() {
        let said = |text: &str| {
            let mut request = Prepared::expect(&DmName::new("s").unwrap(), Sectors(48));
            let bytes: Vec<u8> = text.bytes().chain([0; 8]).collect();
            let words = bytes.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word));
            request.words.iter_mut().skip(STATUS).zip(words).for_each(|(to, from)| *to = from);
            request.used()
        };
        assert_eq!(said("48/8192 32"), Some(Sectors(48)));
        assert_eq!(said("123456789012/8192 32"), Some(Sectors(123_456_789_012)));
        assert_eq!(said("0/8192 0"), Some(Sectors(0)));
        assert_eq!([said("Invalid"), said("Overflow"), said("")], [None; 3]);
    }

    #[test]
    fn each_line_of_a_table_says_where_the_next_begins() {
        let line = |start, target| Line { start: Sectors(start), length: Sectors(8), target };
        let device = DevNo { major: 8, minor: 16 };
        let linear = Target::Linear { device, offset: Sectors(2048) };
        let request = bytes(&Prepared::load(
            &DmName::new("v").unwrap(),
            &Table(vec![line(0, linear), line(8, Target::Zero)]),
            true,
        ));
        assert_eq!((word(&request, 20), word(&request, 28)), (2, 1));
        let spec = &request[312..];
        assert_eq!(
            (word(spec, 20), &spec[24..31], &spec[40..50]),
            (56, &b"linear\0"[..], &b"8:16 2048\0"[..])
        );
        assert_eq!((word(spec, 56), word(spec, 76), &spec[80..85]), (8, 48, &b"zero\0"[..]));
    }
}
