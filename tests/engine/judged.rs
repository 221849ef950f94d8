//! The checker finds what is wrong: worlds that are broken in one way each, and nothing in those that are not.

use crate::checker::disk::{checksum, u32_at, u64_at};
use crate::checker::kernel::World;
use crate::checker::rules::{Findings, History, Metadata, at_rest};
use crate::lab::{Lab, MODE, lv, snap, used_lab_with_volume, vg};
use crate::operations::operations;
use crate::trial::{Point, Trial};
use dmsnap::block::DevNo;
use dmsnap::dm::{DmName, DmUuid, Freeze, Kernel, Slot, Status, Table, Target, UdevFlags};
use dmsnap::error::{Error, Kind};
use dmsnap::lvm::Edit;
use dmsnap::units::{Bytes, Sectors};

const UDEV: UdevFlags = UdevFlags::hidden();

/// `db` with the snapshot `s`, on the first disk.
fn sound() -> Lab {
    let lab = used_lab_with_volume();
    snap(&lab, "s");
    lab
}

fn name(text: &str) -> DmName {
    DmName::new(text).unwrap()
}

fn findings(lab: &Lab) -> Findings {
    let world = World::of(lab);
    at_rest(&world, &Metadata::of(&world))
}

/// Replaces words in a disk's text by words of the same length, checksums included.
pub fn forge(lab: &Lab, disk: &str, from: &str, to: &str) {
    let device = lab.disks.device(disk).unwrap();
    let mut header = device.peek(Bytes(4096), 512);
    let (offset, length) = (u64_at(&header, 40), u64_at(&header, 48));
    let at = Bytes(4096 + offset);
    let text = String::from_utf8(device.peek(at, usize::try_from(length).unwrap())).unwrap();
    let forged = text.replacen(from, to, 1);
    assert!(forged != text && forged.len() == text.len(), "{from} in {text}");
    device.poke(at, forged.as_bytes());
    header[56..60].copy_from_slice(&checksum(forged.as_bytes()).to_le_bytes());
    let sum = checksum(&header[4..]);
    header[..4].copy_from_slice(&sum.to_le_bytes());
    assert_eq!(u32_at(&header, 0), sum);
    device.poke(Bytes(4096), &header);
}

fn forge_both(lab: &Lab, from: &str, to: &str) {
    ["/dev/sda", "/dev/sdb"].iter().for_each(|disk| forge(lab, disk, from, to));
}

/// A device that is nobody's, over a part of the first disk.
fn stray(lab: &Lab, uuid: &str, offset: u64) {
    let device = lab.disks.device("/dev/sda").unwrap();
    let number = dmsnap::block::Device::number(&*device);
    let linear = Target::Linear { device: number, offset: Sectors(offset) };
    lab.kernel.create(&name("stray"), &DmUuid::new(uuid).unwrap()).unwrap();
    lab.kernel.load(&name("stray"), &Table::single(Sectors(8), linear), false).unwrap();
    lab.kernel.resume(&name("stray"), UDEV).unwrap();
}

fn reload(lab: &Lab, device: &str, change: impl Fn(Table<DevNo>) -> Table<DevNo>, read_only: bool) {
    let table = change(lab.kernel.table(&name(device), Slot::Live).unwrap());
    lab.kernel.load(&name(device), &table, read_only).unwrap();
    lab.kernel.resume(&name(device), UDEV).unwrap();
}

/// Puts the first disk's metadata back to what it was before the next commit.
fn older_copy(lab: &Lab) {
    let device = lab.disks.device("/dev/sda").unwrap();
    let header = device.peek(Bytes(4096), 512);
    lab.lvm2_commits(&[Edit::AddLvTag { lv: lv("db"), tag: "more".parse().unwrap() }]);
    device.poke(Bytes(4096), &header);
}

/// What is broken, and words of what must be found.
type Broken = (fn(&Lab), &'static str);

const BROKEN: &[Broken] = &[
    (|lab| stray(lab, "other", 2048 * 100), "which is free"),
    (|lab| stray(lab, "other", 2048), ", db's"),
    (|lab| stray(lab, "other", 8), "maps the metadata"),
    (|lab| stray(lab, "other", 2048 * 100), "stray is nobody's device"),
    (
        |lab| {
            let linear = |table: Table<DevNo>| {
                let below = *table.references().first().unwrap();
                Table::single(table.length(), Target::Linear { device: below, offset: Sectors(0) })
            };
            reload(lab, "vg--0-db", linear, false);
        },
        "does not see it",
    ),
    (|lab| lab.kernel.remove(&name("vg--0-s"), UDEV).unwrap(), "does not see it"),
    (|lab| forge_both(lab, "chunk_size = 128", "chunk_size = 256"), "does not see it"),
    (|lab| lab.kernel.set_status(&name("vg--0-s"), &Status::Invalid), "does not see it"),
    (|lab| lab.disks.device("/dev/sda").unwrap().poke(Bytes(4096 + 50), &[1]), "header's checksum"),
    (|lab| forge_both(lab, "\"pv0\", 8", "\"pv0\", 7"), "s and db share extent 7"),
    (|lab| forge_both(lab, "\"pv0\", 8", "\"pv0\", 9"), "which is free"),
    (|lab| forge_both(lab, "extent_count = 8", "extent_count = 7"), "which is free"),
    (|lab| forge_both(lab, "start_extent = 0", "start_extent = 1"), "has a gap"),
    (|lab| forge_both(lab, "segment_count = 1", "segment_count = 2"), "another number of segments"),
    (older_copy, "has seqno"),
    (|lab| lab.disks.device("/dev/sdb").unwrap().poke(Bytes(512), &[0; 512]), "has no label"),
    (
        |lab| lab.lvm2_commits(&[Edit::AddLvTag { lv: lv("db"), tag: "dmsnap.changing".parse().unwrap() }]),
        "bears the mark",
    ),
    (|lab| lab.kernel.suspend(&name("vg--0-s"), Freeze::Io).unwrap(), "vg--0-s is suspended"),
    (
        |lab| lab.kernel.load(&name("vg--0-s"), &Table::single(Sectors(8), Target::Zero), false).unwrap(),
        "has an inactive table",
    ),
    (|lab| lab.kernel.rename(&name("vg--0-s"), &name("vg--0-t"), UDEV).unwrap(), "should be called vg--0-s"),
    (|lab| lab.kernel.rename(&name("vg--0-s"), &name("vg--0-t"), UDEV).unwrap(), "the paths of vg--0-t"),
    (|lab| lab.kernel.remove(&name("vg--0-s"), UDEV).unwrap(), "there are paths of vg--0-s"),
    (|lab| lab.kernel.remove(&name("vg--0-s"), UDEV).unwrap(), "and others of its volume are"),
    (|lab| reload(lab, "vg--0-s-cow", |table| table, true), "read-only is true"),
    (
        |lab| reload(lab, "vg--0-db-real", |table| Table::single(table.length(), Target::Error), false),
        "vg--0-db-real is",
    ),
];

#[test]
fn nothing_is_wrong_with_a_sound_host() {
    assert_eq!(findings(&sound()), Findings::new());
}

#[test]
fn what_is_broken_in_one_way_is_found() {
    for (number, (break_it, words)) in BROKEN.iter().enumerate() {
        let lab = sound();
        break_it(&lab);
        let found = findings(&lab);
        assert!(found.iter().any(|what| what.contains(words)), "{number}: no \"{words}\" in {found:#?}");
    }
}

#[test]
fn a_seqno_that_leaps_or_comes_twice_is_found() {
    let lab = sound();
    let mut history = History::default();
    let mut note = || history.note(&Metadata::of(&World::of(&lab)));
    let tag = |word: &str| lab.lvm2_commits(&[Edit::AddLvTag { lv: lv("db"), tag: word.parse().unwrap() }]);
    assert_eq!(note(), Findings::new());
    tag("a");
    assert_eq!(note(), Findings::new());
    forge(&lab, "/dev/sda", "\"a\"", "\"b\"");
    assert!(note()[0].contains("has another text with seqno"));
    forge(&lab, "/dev/sda", "\"b\"", "\"a\"");
    tag("c");
    tag("d");
    assert!(note()[0].contains("went from"));
}

fn trial(name: &str) -> Trial {
    Trial::new(operations().find(|operation| operation.name == name).unwrap())
}

#[test]
fn what_is_acknowledged_and_lost_or_half_done_is_found() {
    let trial = trial("a group of snapshots");
    let mut done = trial.cut(Point::Nowhere);
    assert_eq!(trial.judge(&done), Findings::new());
    done.lab.engine().remove_snapshots(&vg(), &[lv("s")], MODE).unwrap();
    assert!(trial.judge(&done)[0].starts_with("acknowledged and not there"));
    done.outcome = Err(Error::new(Kind::Internal, "cut"));
    assert!(trial.judge(&done)[0].starts_with("neither before nor after"));
}

#[test]
fn content_that_is_not_what_was_written_is_found() {
    let trial = trial("a further snapshot");
    let done = trial.cut(Point::Nowhere);
    assert_eq!(trial.judge(&done), Findings::new());
    let snapshots = ["vg--0-a", "vg--0-s", "vg--0-db"];
    let words = ["the snapshot a, which was there, holds", "new snapshots show no moment", "db holds"];
    for (device, words) in snapshots.into_iter().zip(words) {
        let done = trial.cut(Point::Nowhere);
        done.lab.write(device, 0, 9);
        let found = trial.judge(&done);
        assert!(found.iter().any(|what| what.contains(words)), "no \"{words}\" in {found:#?}");
    }
}

/// The content is read past the simulated kernel: from the exceptions as they are on the disks.
#[test]
fn the_checker_reads_snapshots_from_the_disks_as_the_kernel_shows_them() {
    let trial = trial("a small snapshot with a tag on a device that was named");
    let Lab { devices, .. } = &trial.lab;
    let world = World::of(&trial.lab);
    for device in &world.devices {
        let path = std::path::Path::new("/dev/mapper").join(&device.name);
        let open = dmsnap::block::Devices::open(devices, &path, dmsnap::block::Access::Read).unwrap();
        for block in 0..512 {
            let mut bytes = vec![0; 4096];
            dmsnap::block::Device::read_at(&*open, Bytes(block * 4096), &mut bytes).unwrap();
            assert_eq!(world.read(&device.number, block * 8), Ok(bytes), "{} at {block}", device.name);
        }
    }
    assert_eq!(trial.user.failures(), Findings::new());
}
