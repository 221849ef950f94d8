//! A disk, the real kernel, and the words that the scenarios are written in.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dmsnap::block::sysfs::SysDevices;
use dmsnap::block::{Access, DevNo, Devices};
use dmsnap::dm::control::Control;
use dmsnap::dm::nodes::Nodes;
use dmsnap::dm::{DmName, DmUuid, Freeze, Kernel, Slot, Status, SwitchStep, Table, Target, UdevFlags};
use dmsnap::error::{Error, Kind, Result};
use dmsnap::units::{Bytes, Sectors};

pub const VISIBLE: UdevFlags = UdevFlags::visible();
pub const HIDDEN: UdevFlags = UdevFlags::hidden();
pub const SIZE: Sectors = Sectors(16_384);
pub const CHUNK: Sectors = Sectors(8);

pub struct Lab {
    pub kernel: Control,
    pub devices: SysDevices,
    pub disk: PathBuf,
    pub number: DevNo,
}

pub fn expect(holds: bool, words: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::new(Kind::Internal, words())) }
}

pub fn equal<T: PartialEq + std::fmt::Debug>(what: &str, got: &T, wanted: &T) -> Result<()> {
    expect(got == wanted, || format!("{what}: {got:?} instead of {wanted:?}"))
}

pub fn refused<T>(what: &str, result: Result<T>, kind: Kind, words: &str) -> Result<()> {
    match result {
        Ok(_) => Err(Error::new(Kind::Internal, format!("{what} was not refused"))),
        Err(error) => {
            println!("  {what}: {error} {:?}", error.chain());
            let text = format!("{error} {:?}", error.chain());
            expect(error.kind() == kind && text.contains(words), || {
                format!("{what}: not {kind:?} with \"{words}\"")
            })
        }
    }
}

pub fn name(text: &str) -> DmName {
    DmName::new(text).expect("the names here are good")
}

impl Lab {
    pub fn new(disk: &Path) -> Result<Self> {
        let devices = SysDevices::default();
        let number = devices.lookup(disk)?.number;
        devices.open(disk, Access::Exclusive)?.zero(Bytes::ZERO, Sectors(SIZE.get() * 6).bytes())?;
        Ok(Self { kernel: Control::new(Nodes::default()), devices, disk: disk.to_owned(), number })
    }

    /// Removes whatever is left, from the top.
    pub fn sweep(&self) {
        for _ in 0..8 {
            for info in self.kernel.list().unwrap_or_default() {
                let _ = self.kernel.clear(&info.name);
                let _ = self.kernel.resume(&info.name, UdevFlags::unchanged());
                let _ = self.kernel.remove(&info.name, HIDDEN);
                let _ = self.kernel.retract(&info.name, None);
            }
        }
    }

    pub fn create(&self, text: &str) -> Result<DevNo> {
        self.kernel.create(&name(text), &DmUuid::new(format!("DMSNAPTEST-{text}"))?)
    }

    pub fn load(&self, text: &str, target: Target<DevNo>) -> Result<()> {
        self.kernel.load(&name(text), &Table::single(SIZE, target), false)
    }

    pub fn place(&self, place: u64) -> Target<DevNo> {
        Target::Linear { device: self.number, offset: Sectors(SIZE.get() * place) }
    }

    pub fn linear(&self, text: &str, place: u64) -> Result<DevNo> {
        let number = self.create(text)?;
        self.load(text, self.place(place))?;
        self.kernel.resume(&name(text), HIDDEN)?;
        Ok(number)
    }

    pub fn number(&self, text: &str) -> Result<DevNo> {
        let info = self.kernel.info(&name(text))?;
        info.map(|info| info.number).ok_or_else(|| Error::new(Kind::NotFound, format!("there is no {text}")))
    }

    pub fn snapshot(&self) -> Result<Target<DevNo>> {
        Ok(Target::Snapshot { origin: self.number("real")?, cow: self.number("cow")?, chunk: CHUNK })
    }

    pub fn merge(&self) -> Result<Target<DevNo>> {
        Ok(Target::Merge { origin: self.number("real")?, cow: self.number("cow")?, chunk: CHUNK })
    }

    /// `org` over `real`, then a snapshot `s` of it by a switch.
    pub fn with_snapshot(&self) -> Result<()> {
        self.linear("real", 0)?;
        self.linear("cow", 1)?;
        self.create("org")?;
        self.load("org", self.place(0))?;
        self.kernel.resume(&name("org"), VISIBLE)?;
        self.create("s")?;
        self.load("s", self.snapshot()?)?;
        self.load("org", Target::Origin { device: self.number("real")? })?;
        let report = self.kernel.switch(&[
            SwitchStep::Suspend(name("org"), Freeze::FileSystem),
            SwitchStep::Resume(name("s"), UdevFlags::snapshot()),
            SwitchStep::Resume(name("org"), VISIBLE),
        ])?;
        println!("  frozen: {:?}", report.frozen);
        let frozen =
            report.frozen.first().map(|(name, time)| (name.as_str(), *time < Duration::from_secs(1)));
        equal("the switch froze", &frozen, &Some(("org", true)))
    }

    pub fn put(&self, text: &str, chunk: u64, byte: u8) -> Result<()> {
        let device = self.devices.open(&self.path(text)?, Access::Write)?;
        device.write_at(Bytes(chunk * 4096), &[byte; 4096])
    }

    pub fn at(&self, text: &str, chunk: u64) -> Result<u8> {
        let mut byte = [0];
        self.devices.open(&self.path(text)?, Access::Read)?.read_at(Bytes(chunk * 4096 + 7), &mut byte)?;
        Ok(byte[0])
    }

    /// The kernel's own node: it needs neither udev nor us.
    pub fn path(&self, text: &str) -> Result<PathBuf> {
        Ok(PathBuf::from(format!("/dev/dm-{}", self.number(text)?.minor)))
    }

    pub fn status(&self, text: &str) -> Result<String> {
        Ok(self.kernel.status(&name(text))?.first().map(Status::to_string).unwrap_or_default())
    }

    pub fn table(&self, text: &str, slot: Slot) -> Result<Table<DevNo>> {
        self.kernel.table(&name(text), slot)
    }

    /// What [`dmsnap::dm::Info`] says in short: suspended, live, inactive, open count.
    pub fn state(&self, text: &str) -> Result<(bool, bool, bool, u32)> {
        let info = self.kernel.info(&name(text))?;
        let info = info.ok_or_else(|| Error::new(Kind::NotFound, format!("there is no {text}")))?;
        Ok((info.suspended, info.live, info.inactive, info.open_count))
    }
}
