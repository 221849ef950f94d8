//! The device-mapper room on a real kernel: `dm_smoke DISK SCENARIO...`, run as root in a guest.
//!
//! A scenario builds devices on the disk, checks what the kernel makes of them, and leaves none behind. It ends at the
//! first thing that is not as it should be.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use dmsnap::block::sysfs::SysDevices;
use dmsnap::block::{Access, DevNo, Devices};
use dmsnap::dm::control::Control;
use dmsnap::dm::nodes::Nodes;
use dmsnap::dm::{DmName, DmUuid, Freeze, Kernel, Slot, Status, SwitchStep, Table, Target, UdevFlags};
use dmsnap::error::{Error, Kind, Result};
use dmsnap::units::{Bytes, Sectors};

const VISIBLE: UdevFlags = UdevFlags::visible();
const HIDDEN: UdevFlags = UdevFlags::hidden();
const SIZE: Sectors = Sectors(16_384);
const CHUNK: Sectors = Sectors(8);

struct Lab {
    kernel: Control,
    devices: SysDevices,
    disk: PathBuf,
    number: DevNo,
}

type Scenario = fn(&Lab) -> Result<()>;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let Some(disk) = words.next().map(PathBuf::from) else {
        eprintln!("usage: dm_smoke DISK SCENARIO...");
        return ExitCode::from(2);
    };
    let all = scenarios();
    for word in words {
        let Some(scenario) = all.get(word.as_str()) else {
            eprintln!("there is no scenario {word}; there are {:?}", all.keys());
            return ExitCode::from(2);
        };
        let began = Instant::now();
        if let Err(error) = Lab::new(&disk).and_then(|lab| run(&lab, *scenario)) {
            eprintln!("{word}: {error} {:?}", error.chain());
            return ExitCode::FAILURE;
        }
        println!("{word}: as promised, in {:?}", began.elapsed());
    }
    ExitCode::SUCCESS
}

fn scenarios() -> BTreeMap<&'static str, Scenario> {
    let table: [(&str, Scenario); 11] = [
        ("names", names),
        ("tables", tables),
        ("snapshot", snapshot),
        ("merge", merge),
        ("failed-switch", failed_switch),
        ("failed-resume", failed_resume),
        ("busy", busy),
        ("nodes", nodes),
        ("links", links),
        ("many", many),
        ("no-control", no_control),
    ];
    table.into_iter().collect()
}

fn run(lab: &Lab, scenario: Scenario) -> Result<()> {
    let done = scenario(lab);
    lab.sweep();
    done?;
    expect(lab.kernel.list()?.is_empty(), || "devices are left".to_owned())
}

fn expect(holds: bool, words: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::new(Kind::Internal, words())) }
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, got: &T, wanted: &T) -> Result<()> {
    expect(got == wanted, || format!("{what}: {got:?} instead of {wanted:?}"))
}

fn refused<T>(what: &str, result: Result<T>, kind: Kind, words: &str) -> Result<()> {
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

fn name(text: &str) -> DmName {
    DmName::new(text).expect("the names here are good")
}

impl Lab {
    fn new(disk: &Path) -> Result<Self> {
        let devices = SysDevices::default();
        let number = devices.lookup(disk)?.number;
        devices.open(disk, Access::Exclusive)?.zero(Bytes::ZERO, Sectors(SIZE.get() * 6).bytes())?;
        Ok(Self { kernel: Control::new(Nodes::default()), devices, disk: disk.to_owned(), number })
    }

    /// Removes whatever is left, from the top.
    fn sweep(&self) {
        for _ in 0..8 {
            for info in self.kernel.list().unwrap_or_default() {
                let _ = self.kernel.clear(&info.name);
                let _ = self.kernel.resume(&info.name, UdevFlags::unchanged());
                let _ = self.kernel.remove(&info.name, HIDDEN);
                let _ = self.kernel.retract(&info.name, None);
            }
        }
    }

    fn create(&self, text: &str) -> Result<DevNo> {
        self.kernel.create(&name(text), &DmUuid::new(format!("DMSNAPTEST-{text}"))?)
    }

    fn load(&self, text: &str, target: Target<DevNo>) -> Result<()> {
        self.kernel.load(&name(text), &Table::single(SIZE, target), false)
    }

    fn place(&self, place: u64) -> Target<DevNo> {
        Target::Linear { device: self.number, offset: Sectors(SIZE.get() * place) }
    }

    fn linear(&self, text: &str, place: u64) -> Result<DevNo> {
        let number = self.create(text)?;
        self.load(text, self.place(place))?;
        self.kernel.resume(&name(text), HIDDEN)?;
        Ok(number)
    }

    fn number(&self, text: &str) -> Result<DevNo> {
        let info = self.kernel.info(&name(text))?;
        info.map(|info| info.number).ok_or_else(|| Error::new(Kind::NotFound, format!("there is no {text}")))
    }

    fn snapshot(&self) -> Result<Target<DevNo>> {
        Ok(Target::Snapshot { origin: self.number("real")?, cow: self.number("cow")?, chunk: CHUNK })
    }

    fn merge(&self) -> Result<Target<DevNo>> {
        Ok(Target::Merge { origin: self.number("real")?, cow: self.number("cow")?, chunk: CHUNK })
    }

    /// `org` over `real`, then a snapshot `s` of it by a switch.
    fn with_snapshot(&self) -> Result<()> {
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

    fn put(&self, text: &str, chunk: u64, byte: u8) -> Result<()> {
        let device = self.devices.open(&self.path(text)?, Access::Write)?;
        device.write_at(Bytes(chunk * 4096), &[byte; 4096])
    }

    fn at(&self, text: &str, chunk: u64) -> Result<u8> {
        let mut byte = [0];
        self.devices.open(&self.path(text)?, Access::Read)?.read_at(Bytes(chunk * 4096 + 7), &mut byte)?;
        Ok(byte[0])
    }

    /// The kernel's own node: it needs neither udev nor us.
    fn path(&self, text: &str) -> Result<PathBuf> {
        Ok(PathBuf::from(format!("/dev/dm-{}", self.number(text)?.minor)))
    }

    fn status(&self, text: &str) -> Result<String> {
        Ok(self.kernel.status(&name(text))?.first().map(Status::to_string).unwrap_or_default())
    }

    fn table(&self, text: &str, slot: Slot) -> Result<Table<DevNo>> {
        self.kernel.table(&name(text), slot)
    }

    /// What [`dmsnap::dm::Info`] says in short: suspended, live, inactive, open count.
    fn state(&self, text: &str) -> Result<(bool, bool, bool, u32)> {
        let info = self.kernel.info(&name(text))?;
        let info = info.ok_or_else(|| Error::new(Kind::NotFound, format!("there is no {text}")))?;
        Ok((info.suspended, info.live, info.inactive, info.open_count))
    }
}

fn names(lab: &Lab) -> Result<()> {
    let number = lab.create("a-b")?;
    equal("a new device", &lab.state("a-b")?, &(false, false, false, 0))?;
    let other = DmUuid::new("DMSNAPTEST-other")?;
    refused("its name again", lab.kernel.create(&name("a-b"), &other), Kind::AlreadyExists, "a-b")?;
    refused(
        "its uuid again",
        lab.create("c").and_then(|_| lab.kernel.create(&name("d"), &DmUuid::new("DMSNAPTEST-c")?)),
        Kind::AlreadyExists,
        "d",
    )?;
    let found = lab.kernel.find(&DmUuid::new("DMSNAPTEST-a-b")?)?.map(|info| (info.name, info.number));
    equal("found by its uuid", &found, &Some((name("a-b"), number)))?;
    equal("found by no uuid", &lab.kernel.find(&other)?, &None)?;
    refused(
        "a name that is taken",
        lab.kernel.rename(&name("a-b"), &name("c"), HIDDEN),
        Kind::AlreadyExists,
        "c",
    )?;
    let long = "x".repeat(127);
    lab.kernel.rename(&name("a-b"), &name(&long), HIDDEN)?;
    equal("renamed", &lab.number(&long)?, &number)?;
    equal("the old name", &lab.kernel.info(&name("a-b"))?, &None)?;
    let listed: Vec<_> = lab.kernel.list()?.into_iter().map(|info| info.name).collect();
    equal("listed by name", &listed, &vec![name("c"), name(&long)])?;
    refused("a device that is not there", lab.kernel.remove(&name("a-b"), HIDDEN), Kind::NotFound, "a-b")?;
    refused("to suspend it", lab.kernel.suspend(&name("a-b"), Freeze::Io), Kind::NotFound, "a-b")
}

fn tables(lab: &Lab) -> Result<()> {
    lab.create("v")?;
    lab.kernel.resume(&name("v"), HIDDEN)?;
    equal("resumed without a table", &lab.state("v")?, &(false, false, false, 0))?;
    let striped =
        Target::Striped { chunk: Sectors(128), stripes: vec![(lab.number, Sectors(0)), (lab.number, SIZE)] };
    for target in [lab.place(0), striped, Target::Zero, Target::Error] {
        lab.load("v", target.clone())?;
        let wanted = Table::single(SIZE, target);
        equal("inactive", &lab.table("v", Slot::Inactive)?, &wanted)?;
        lab.kernel.resume(&name("v"), HIDDEN)?;
        equal("live", &lab.table("v", Slot::Live)?, &wanted)?;
        equal("no longer inactive", &lab.table("v", Slot::Inactive)?, &Table::default())?;
    }
    lab.load("v", Target::Zero)?;
    lab.kernel.clear(&name("v"))?;
    equal("cleared", &lab.state("v")?, &(false, true, false, 0))?;
    lab.kernel.load(&name("v"), &Table::single(SIZE, Target::Zero), true)?;
    lab.kernel.resume(&name("v"), HIDDEN)?;
    expect(lab.kernel.info(&name("v"))?.is_some_and(|info| info.read_only), || "not read-only".to_owned())?;
    refused("a write to it", lab.put("v", 0, 1), Kind::Internal, "")?;
    let nonsense = Target::Other { kind: "nonsense".into(), params: String::new() };
    refused("an unknown target", lab.load("v", nonsense), Kind::Internal, "modprobe dm-nonsense")?;
    expect(!lab.kernel.supports("nonsense")?, || "nonsense is supported".to_owned())?;
    for kind in ["linear", "snapshot", "snapshot-origin", "snapshot-merge"] {
        expect(lab.kernel.supports(kind)?, || format!("{kind} is not supported"))?;
    }
    let far = Target::Linear { device: lab.number, offset: Sectors(1 << 40) };
    lab.load("v", far)?;
    refused("a table beyond the end", lab.kernel.resume(&name("v"), HIDDEN), Kind::Internal, "EINVAL")?;
    equal("then it stays suspended", &lab.state("v")?, &(true, true, false, 0))?;
    equal("with its old table", &lab.table("v", Slot::Live)?, &Table::single(SIZE, Target::Zero))?;
    lab.kernel.resume(&name("v"), HIDDEN)
}

fn snapshot(lab: &Lab) -> Result<()> {
    lab.with_snapshot()?;
    equal("its status", &lab.status("s")?, &"16/16384 16".to_owned())?;
    lab.put("org", 3, 7)?;
    lab.put("s", 4, 9)?;
    let content = [lab.at("org", 3)?, lab.at("s", 3)?, lab.at("org", 4)?, lab.at("s", 4)?];
    equal("origin and snapshot", &content, &[7, 0, 0, 9])?;
    equal("its status", &lab.status("s")?, &"32/16384 16".to_owned())?;
    lab.create("t")?;
    lab.linear("old", 2)?;
    lab.put("old", 0, 1)?;
    let (origin, cow) = (lab.number("real")?, lab.number("old")?);
    let target = Target::Snapshot { origin, cow, chunk: CHUNK };
    refused(
        "a store that was not zeroed",
        lab.load("t", target.clone()),
        Kind::Internal,
        "begin with zeroes",
    )?;
    lab.put("old", 0, 0)?;
    lab.load("t", target.clone())?;
    lab.load("t", target)?;
    println!("  loaded twice into the same slot");
    refused(
        "a chunk of 7",
        lab.load("t", Target::Snapshot { origin, cow, chunk: Sectors(7) }),
        Kind::Internal,
        "EINVAL",
    )
}

fn merge(lab: &Lab) -> Result<()> {
    lab.with_snapshot()?;
    lab.put("org", 3, 7)?;
    lab.put("s", 4, 9)?;
    lab.load("org", lab.merge()?)?;
    println!("  inactive: {}", lab.table("org", Slot::Inactive)?);
    lab.kernel.switch(&[
        SwitchStep::Suspend(name("org"), Freeze::FileSystem),
        SwitchStep::Suspend(name("s"), Freeze::Io),
        SwitchStep::Resume(name("org"), VISIBLE),
        SwitchStep::Resume(name("s"), HIDDEN),
    ])?;
    equal("the origin at once", &[lab.at("org", 3)?, lab.at("org", 4)?], &[0, 9])?;
    equal("the source", &lab.status("s")?, &"Invalid".to_owned())?;
    let until = Instant::now() + Duration::from_secs(10);
    while lab.status("org")? != "16/16384 16" {
        expect(Instant::now() < until, || "the merge does not end".to_owned())?;
        std::thread::sleep(Duration::from_millis(10));
    }
    equal("what is merged", &[lab.at("real", 3)?, lab.at("real", 4)?], &[0, 9])
}

/// The source is not suspended, so the merge cannot begin: all is as before.
fn failed_switch(lab: &Lab) -> Result<()> {
    lab.with_snapshot()?;
    lab.put("org", 3, 7)?;
    let before = (lab.table("org", Slot::Live)?, lab.status("s")?);
    lab.load("org", lab.merge()?)?;
    let steps =
        [SwitchStep::Suspend(name("org"), Freeze::FileSystem), SwitchStep::Resume(name("org"), VISIBLE)];
    refused("the switch", lab.kernel.switch(&steps), Kind::Internal, "EINVAL")?;
    equal("org", &lab.state("org")?, &(false, true, false, 0))?;
    equal("table and status", &(lab.table("org", Slot::Live)?, lab.status("s")?), &before)?;
    lab.put("org", 5, 7)?;
    equal("the snapshot", &[lab.at("s", 3)?, lab.at("s", 5)?], &[0, 0])?;
    // A source waits for its hand-over; what was suspended with it must not stay so.
    lab.load("org", lab.merge()?)?;
    let steps = [
        SwitchStep::Suspend(name("org"), Freeze::FileSystem),
        SwitchStep::Suspend(name("s"), Freeze::Io),
        SwitchStep::Resume(name("s"), VISIBLE),
    ];
    refused("the source first", lab.kernel.switch(&steps), Kind::Internal, "EINVAL")?;
    equal("org", &lab.state("org")?, &(false, true, false, 0))?;
    equal("s", &lab.state("s")?, &(false, true, false, 0))?;
    equal("the snapshot", &[lab.at("s", 3)?, lab.at("s", 5)?], &[0, 0])?;
    let missing =
        [SwitchStep::Suspend(name("org"), Freeze::Io), SwitchStep::Suspend(name("gone"), Freeze::Io)];
    refused("a device that is not there", lab.kernel.switch(&missing), Kind::NotFound, "gone")?;
    equal("org", &lab.state("org")?, &(false, true, false, 0))
}

/// A single resume that fails has swapped its table in; loading the right one again is the way back.
fn failed_resume(lab: &Lab) -> Result<()> {
    lab.with_snapshot()?;
    lab.load("org", lab.merge()?)?;
    refused("the resume", lab.kernel.resume(&name("org"), VISIBLE), Kind::Internal, "EINVAL")?;
    equal("org", &lab.state("org")?, &(true, true, false, 0))?;
    let kind = lab.table("org", Slot::Live)?.0.first().map(|line| line.target.kind().to_owned());
    equal("its live table", &kind, &Some("snapshot-merge".to_owned()))?;
    lab.load("org", Target::Origin { device: lab.number("real")? })?;
    lab.kernel.resume(&name("org"), VISIBLE)?;
    lab.put("org", 1, 1)?;
    equal("the snapshot", &lab.at("s", 1)?, &0)
}

fn busy(lab: &Lab) -> Result<()> {
    lab.with_snapshot()?;
    for text in ["real", "cow"] {
        let began = Instant::now();
        refused(text, lab.kernel.remove(&name(text), HIDDEN), Kind::InUse, text)?;
        expect(began.elapsed() < Duration::from_millis(300), || format!("{text}: {:?}", began.elapsed()))?;
    }
    let open = lab.devices.open(&lab.path("org")?, Access::Read)?;
    refused("an open device", lab.kernel.remove(&name("org"), HIDDEN), Kind::InUse, "org")?;
    drop(open);
    refused("a disk with devices on it", lab.devices.open(&lab.disk, Access::Exclusive), Kind::InUse, "")?;
    for text in ["s", "org", "cow", "real"] {
        lab.kernel.remove(&name(text), HIDDEN)?;
    }
    Ok(())
}

/// Without udevd: a node for root and disk, a link to it, both gone with the device.
fn nodes(lab: &Lab) -> Result<()> {
    let number = lab.linear("vg-db", 0)?;
    let (node, link) = (Path::new("/dev/mapper/vg-db"), Path::new("/dev/vg/db"));
    lab.kernel.publish(&name("vg-db"), number, Some(link))?;
    equal("what the link leads to", &lab.devices.lookup(link)?.number, &number)?;
    equal("the link", &std::fs::read_link(link).ok().as_deref(), &Some(node))?;
    let data = std::fs::symlink_metadata(node).map_err(|error| Error::io("no node", error))?;
    equal("the node's mode and owners", &(data.mode(), data.uid(), data.gid()), &(0o060_660, 0, 6))?;
    lab.kernel.publish(&name("vg-db"), number, Some(link))?;
    lab.kernel.retract(&name("vg-db"), Some(link))?;
    expect(link.exists(), || "the link of a device that is there was removed".to_owned())?;
    lab.kernel.remove(&name("vg-db"), VISIBLE)?;
    lab.kernel.retract(&name("vg-db"), Some(link))?;
    expect(!node.exists() && !Path::new("/dev/vg").exists(), || "node or link are left".to_owned())
}

/// With udevd: its rules make the links, also for what is renamed, and remove them.
fn links(lab: &Lab) -> Result<()> {
    let uuid = |last: &str| DmUuid::for_volume(&"V".repeat(32), &format!("{}{last}", "L".repeat(31)), None);
    let (first, second) = (name("vg-db"), name("vg-new"));
    let (link, new_link) = (Path::new("/dev/vg/db"), Path::new("/dev/vg/new"));
    let number = lab.kernel.create(&first, &uuid("1")?)?;
    lab.load("vg-db", lab.place(0))?;
    let began = Instant::now();
    lab.kernel.resume(&first, VISIBLE)?;
    println!("  resume took {:?}", began.elapsed());
    lab.kernel.publish(&first, number, Some(link))?;
    println!("  published after {:?}", began.elapsed());
    equal("the link", &lab.devices.lookup(link)?.number, &number)?;
    lab.kernel.rename(&first, &second, VISIBLE)?;
    lab.kernel.publish(&second, number, Some(new_link))?;
    lab.kernel.retract(&first, Some(link))?;
    equal("the new link", &lab.devices.lookup(new_link)?.number, &number)?;
    expect(!link.exists(), || "the old link is left".to_owned())?;
    let began = Instant::now();
    lab.kernel.remove(&second, VISIBLE)?;
    println!("  remove took {:?}", began.elapsed());
    lab.kernel.retract(&second, Some(new_link))?;
    expect(!new_link.exists(), || "the new link is left".to_owned())
}

fn many(lab: &Lab) -> Result<()> {
    for index in 0..300 {
        let text = format!("many-{index:03}");
        lab.create(&text)?;
        lab.load(&text, Target::Zero)?;
        lab.kernel.resume(&name(&text), HIDDEN)?;
    }
    let began = Instant::now();
    equal("listed", &lab.kernel.list()?.len(), &300)?;
    println!("  300 listed in {:?}", began.elapsed());
    let line =
        |index: u64| dmsnap::dm::Line { start: Sectors(index * 8), length: Sectors(8), target: lab.place(0) };
    lab.create("long")?;
    let table = Table((0..1000).map(line).collect());
    lab.kernel.load(&name("long"), &table, false)?;
    equal("a table of 1000 lines", &lab.table("long", Slot::Inactive)?, &table)?;
    for info in lab.kernel.list()? {
        lab.kernel.remove(&info.name, HIDDEN)?;
    }
    Ok(())
}

fn no_control(_: &Lab) -> Result<()> {
    let (node, aside) = ("/dev/mapper/control", "/dev/mapper/aside");
    let moved = |from, to| {
        std::fs::rename(from, to).map_err(|error| Error::io("cannot move the control node", error))
    };
    moved(node, aside)?;
    let refusal =
        refused("no control node", Control::new(Nodes::default()).list(), Kind::Internal, "modprobe dm-mod");
    moved(aside, node)?;
    refusal
}
