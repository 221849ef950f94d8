mod clone;
mod content;

use super::*;
use crate::block::mem::MemDevice;
use crate::block::{Access, Device, Devices};
use crate::dm::Target;
use crate::units::{Bytes, Sectors};

const VISIBLE: UdevFlags = UdevFlags::visible();
const SIZE: Sectors = Sectors(2048);

struct World {
    kernel: SimKernel,
    disks: MemDevices,
    disk: Arc<MemDevice>,
}

fn name(text: &str) -> DmName {
    DmName::new(text).unwrap()
}

impl World {
    fn new() -> Self {
        let disks = MemDevices::new();
        let disk = disks.add("/dev/a", Bytes::mib(16));
        Self { kernel: SimKernel::new(&disks), disks, disk }
    }

    fn create(&self, text: &str) -> DevNo {
        self.kernel.create(&name(text), &DmUuid::new(format!("LVM-{text}")).unwrap()).unwrap()
    }

    fn load(&self, text: &str, target: Target<DevNo>) {
        self.kernel.load(&name(text), &Table::single(SIZE, target), false).unwrap();
    }

    fn resume(&self, text: &str) -> Result<()> {
        self.kernel.resume(&name(text), VISIBLE)
    }

    fn suspend(&self, text: &str) {
        self.kernel.suspend(&name(text), Freeze::FileSystem).unwrap();
    }

    /// A live device of `SIZE` on the disk, the `place`th.
    fn linear(&self, text: &str, place: u64) -> DevNo {
        let number = self.create(text);
        let offset = Sectors(SIZE.get() * place);
        self.load(text, Target::Linear { device: self.disk.number(), offset });
        self.resume(text).unwrap();
        number
    }

    fn number(&self, text: &str) -> DevNo {
        self.kernel.info(&name(text)).unwrap().unwrap().number
    }

    fn snapshot(&self) -> Target<DevNo> {
        Target::Snapshot { origin: self.number("real"), cow: self.number("cow"), chunk: Sectors(8) }
    }

    fn merge(&self) -> Target<DevNo> {
        Target::Merge { origin: self.number("real"), cow: self.number("cow"), chunk: Sectors(8) }
    }

    /// `org` over `real`, and an active snapshot `s` with its store `cow`.
    fn with_snapshot() -> Self {
        let world = Self::new();
        world.linear("real", 0);
        world.linear("cow", 1);
        world.create("org");
        world.load("org", Target::Origin { device: world.number("real") });
        world.create("s");
        world.load("s", world.snapshot());
        world.resume("s").unwrap();
        world.resume("org").unwrap();
        world
    }

    fn status(&self, text: &str) -> Status {
        self.kernel.status(&name(text)).unwrap().remove(0)
    }

    fn table(&self, text: &str, slot: Slot) -> String {
        self.kernel.table(&name(text), slot).unwrap().to_string()
    }
}

fn empty_store() -> Status {
    Status::Store { used: Sectors(16), total: SIZE, metadata: Sectors(16), merging: false }
}

fn reason(result: Result<()>) -> String {
    let error = result.unwrap_err();
    error.chain().pop().unwrap_or_else(|| error.to_string())
}

#[test]
fn a_table_is_inactive_until_resumed() {
    let world = World::new();
    world.create("v");
    world.load("v", Target::Zero);
    let info = world.kernel.info(&name("v")).unwrap().unwrap();
    assert!(!info.live && info.inactive);
    assert_eq!(world.table("v", Slot::Inactive), "0 2048 zero");
    world.resume("v").unwrap();
    let info = world.kernel.info(&name("v")).unwrap().unwrap();
    assert!(info.live && !info.inactive && !info.suspended);
    assert_eq!(
        (world.table("v", Slot::Live), world.table("v", Slot::Inactive)),
        ("0 2048 zero".into(), "".into())
    );
}

#[test]
fn names_and_uuids_are_taken_once() {
    let world = World::new();
    world.create("v");
    let other = DmUuid::new("other").unwrap();
    assert_eq!(world.kernel.create(&name("v"), &other).unwrap_err().kind(), Kind::AlreadyExists);
    let same = DmUuid::new("LVM-v").unwrap();
    assert_eq!(world.kernel.create(&name("w"), &same).unwrap_err().kind(), Kind::AlreadyExists);
    world.kernel.create(&name("w"), &other).unwrap();
    assert_eq!(world.kernel.rename(&name("v"), &name("w"), VISIBLE).unwrap_err().kind(), Kind::AlreadyExists);
    world.kernel.rename(&name("v"), &name("x"), VISIBLE).unwrap();
    assert_eq!(world.number("x"), DevNo { major: 254, minor: 0 });
}

#[test]
fn bad_tables_are_refused() {
    let world = World::new();
    let number = world.create("v");
    let line = |start, length| super::super::Line {
        start: Sectors(start),
        length: Sectors(length),
        target: Target::Zero,
    };
    let far = DevNo { major: 9, minor: 9 };
    let cases = [
        (Table::default(), "no targets"),
        (Table(vec![line(0, 0)]), "zero-length"),
        (Table(vec![line(0, 8), line(9, 8)]), "gap"),
        (Table::single(SIZE, Target::Linear { device: far, offset: Sectors(0) }), "lookup failed"),
        (Table::single(SIZE, Target::Origin { device: number }), "go round"),
        (
            Table::single(
                Sectors(9),
                Target::Striped { chunk: Sectors(1), stripes: vec![(world.disk.number(), Sectors(0)); 2] },
            ),
            "divisible",
        ),
    ];
    for (table, why) in cases {
        let text = reason(world.kernel.load(&name("v"), &table, false));
        assert!(text.contains(why), "{text}");
    }
}

#[test]
fn a_target_without_its_module_is_named_with_the_way_out() {
    let world = World::with_snapshot();
    world.kernel.without_target("snapshot-origin");
    assert!(!world.kernel.supports("snapshot-origin").unwrap() && world.kernel.supports("linear").unwrap());
    let table = Table::single(SIZE, Target::Origin { device: world.number("real") });
    let error = world.kernel.load(&name("org"), &table, false).unwrap_err();
    assert!(error.to_string().ends_with("load its module: modprobe dm-snapshot"), "{error}");
}

#[test]
fn a_table_beyond_the_end_fails_at_resume_and_leaves_the_old_one_suspended() {
    let world = World::new();
    world.linear("v", 0);
    world.load("v", Target::Linear { device: world.disk.number(), offset: Sectors(32_000) });
    assert!(reason(world.resume("v")).contains("too small"));
    let info = world.kernel.info(&name("v")).unwrap().unwrap();
    assert!(info.suspended && info.live && !info.inactive);
    assert_eq!(world.table("v", Slot::Live), "0 2048 linear 240:0 0");
    world.resume("v").unwrap();
}

#[test]
fn the_first_table_of_a_device_is_checked_when_it_is_loaded() {
    let world = World::new();
    world.create("v");
    let far = Target::Linear { device: world.disk.number(), offset: Sectors(32_000) };
    let load = || world.kernel.load(&name("v"), &Table::single(SIZE, far.clone()), false);
    assert!(reason(load()).contains("too small"));
    world.load("v", Target::Zero);
    load().unwrap();
}

#[test]
fn a_device_opens_another_once_for_each_mode() {
    let world = World::new();
    let low = world.linear("low", 0);
    world.create("high");
    let opened = || world.kernel.info(&name("low")).unwrap().unwrap().open_count;
    world.load("high", Target::Origin { device: low });
    world.resume("high").unwrap();
    world.load("high", Target::Linear { device: low, offset: Sectors(0) });
    assert_eq!(opened(), 1);
    world.kernel.load(&name("high"), &Table::single(SIZE, Target::Origin { device: low }), true).unwrap();
    assert_eq!(opened(), 2);
}

#[test]
fn a_device_below_itself_is_a_violation() {
    let world = World::new();
    let low = world.linear("low", 0);
    world.create("high");
    world.load("high", Target::Origin { device: low });
    world.resume("high").unwrap();
    let round = Table::single(SIZE, Target::Origin { device: world.number("high") });
    assert!(world.kernel.load(&name("low"), &round, false).is_err());
    assert_eq!(world.kernel.violations(), ["I/O to low would go round: the device is below itself"]);
}

#[test]
fn a_device_in_use_is_not_removed() {
    let world = World::with_snapshot();
    for text in ["real", "cow"] {
        assert_eq!(world.kernel.remove(&name(text), VISIBLE).unwrap_err().kind(), Kind::InUse, "{text}");
    }
    world.kernel.hold(&name("org"));
    assert_eq!(world.kernel.remove(&name("org"), VISIBLE).unwrap_err().kind(), Kind::InUse);
    world.kernel.release(&name("org"));
    for text in ["org", "s", "cow", "real"] {
        world.kernel.remove(&name(text), VISIBLE).unwrap();
    }
    assert_eq!(world.kernel.list().unwrap(), []);
    assert_eq!(world.kernel.remove(&name("org"), VISIBLE).unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn an_inactive_table_keeps_the_devices_below_it_open() {
    let world = World::new();
    world.linear("low", 0);
    world.create("high");
    world.load("high", Target::Origin { device: world.number("low") });
    assert_eq!(world.kernel.info(&name("low")).unwrap().unwrap().open_count, 1);
    world.kernel.clear(&name("high")).unwrap();
    assert_eq!(world.kernel.info(&name("low")).unwrap().unwrap().open_count, 0);
}

#[test]
fn a_snapshot_needs_a_live_store_that_was_zeroed() {
    let world = World::new();
    world.linear("real", 0);
    world.create("cow");
    world.create("s");
    let load = || world.kernel.load(&name("s"), &Table::single(SIZE, world.snapshot()), false);
    assert!(reason(load()).contains("lookup failed"), "there is no block device before the first table");
    world.disk.write_at(SIZE.bytes(), b"old data").unwrap();
    world.load("cow", Target::Linear { device: world.disk.number(), offset: SIZE });
    assert!(reason(load()).contains("live first"));
    world.resume("cow").unwrap();
    assert!(reason(load()).contains("ENXIO"));
    world.disk.zero(SIZE.bytes(), Bytes(4096)).unwrap();
    load().unwrap();
    assert_eq!(world.disk.peek(SIZE.bytes(), 8), b"SnAp\x01\0\0\0");
}

#[test]
fn an_existing_store_says_its_own_chunk_size() {
    let world = World::with_snapshot();
    for text in ["s", "org"] {
        world.kernel.remove(&name(text), VISIBLE).unwrap();
    }
    world.create("s");
    let (origin, cow) = (world.number("real"), world.number("cow"));
    world.load("s", Target::Snapshot { origin, cow, chunk: Sectors(128) });
    assert_eq!(world.table("s", Slot::Inactive), "0 2048 snapshot 254:0 254:1 P 8");
    world.resume("s").unwrap();
}

#[test]
fn a_new_snapshot_is_empty() {
    let world = World::with_snapshot();
    assert_eq!(world.status("s"), empty_store());
    assert_eq!(world.kernel.violations(), Vec::<String>::new());
}

#[test]
fn a_snapshot_that_begins_under_a_running_origin_is_a_violation() {
    let world = World::with_snapshot();
    world.linear("cow2", 2);
    world.create("s2");
    let (origin, cow) = (world.number("real"), world.number("cow2"));
    world.load("s2", Target::Snapshot { origin, cow, chunk: Sectors(8) });
    world.resume("s2").unwrap();
    assert_eq!(world.kernel.violations(), ["snapshot s2 begins while its origin org is not suspended"]);
}

#[test]
fn the_first_snapshot_of_a_running_plain_volume_is_a_violation_too() {
    let world = World::new();
    world.linear("org", 0);
    world.linear("real", 0);
    world.linear("cow", 1);
    world.load("org", Target::Origin { device: world.number("real") });
    world.create("s");
    world.load("s", world.snapshot());
    world.suspend("org");
    world.resume("s").unwrap();
    world.resume("org").unwrap();
    assert_eq!(world.kernel.violations(), Vec::<String>::new());
    world.kernel.remove(&name("s"), VISIBLE).unwrap();
    world.create("s");
    world.load("s", world.snapshot());
    world.resume("s").unwrap();
    assert_eq!(world.kernel.violations().len(), 1);
}

#[test]
fn a_merge_takes_over_from_a_suspended_source() {
    let world = World::with_snapshot();
    world.load("org", world.merge());
    assert_eq!(world.table("org", Slot::Inactive), "0 2048 snapshot-merge 254:0 254:1 P 0");
    world.suspend("org");
    world.suspend("s");
    world.resume("org").unwrap();
    assert_eq!(world.table("org", Slot::Live), "0 2048 snapshot-merge 254:0 254:1 P 8");
    assert!(matches!(world.status("org"), Status::Store { merging: true, .. }));
    assert_eq!(world.status("s"), Status::Invalid);
    world.kernel.remove(&name("s"), VISIBLE).unwrap();
    assert!(matches!(world.status("org"), Status::Store { .. }));
}

#[test]
fn removing_the_source_first_cancels_the_merge() {
    let world = World::with_snapshot();
    world.load("org", world.merge());
    world.suspend("org");
    world.kernel.remove(&name("s"), VISIBLE).unwrap();
    world.resume("org").unwrap();
    assert_eq!(world.status("org"), Status::Invalid);
}

#[test]
fn a_running_source_makes_the_resume_fail_with_its_table_already_in() {
    let world = World::with_snapshot();
    world.load("org", world.merge());
    world.suspend("org");
    assert!(reason(world.resume("org")).contains("until source is suspended"));
    let info = world.kernel.info(&name("org")).unwrap().unwrap();
    assert!(info.suspended && !info.inactive);
    assert!(world.table("org", Slot::Live).contains("snapshot-merge"));
    assert!(reason(world.resume("org")).contains("until source is suspended"));
    world.load("org", Target::Origin { device: world.number("real") });
    world.resume("org").unwrap();
    assert_eq!(world.status("s"), empty_store());
}

#[test]
fn a_merge_that_awaits_its_exceptions_says_nothing_is_used() {
    let world = World::with_snapshot();
    world.load("org", world.merge());
    world.resume("org").unwrap_err();
    assert_eq!(world.status("org").to_string(), "0/2048 0", "which is not a merge at its end");
}

#[test]
fn a_source_waits_for_the_hand_over() {
    let world = World::with_snapshot();
    world.load("org", world.merge());
    world.suspend("s");
    assert!(reason(world.resume("s")).contains("until handover completes"));
    world.kernel.clear(&name("org")).unwrap();
    world.resume("s").unwrap();
}

#[test]
fn at_most_two_targets_share_a_store() {
    let world = World::with_snapshot();
    world.load("org", world.merge());
    world.create("t");
    let table = Table::single(SIZE, world.snapshot());
    assert!(reason(world.kernel.load(&name("t"), &table, false)).contains("pairing"));
}

#[test]
fn a_second_merge_of_one_origin_is_refused() {
    let world = World::with_snapshot();
    world.load("org", world.merge());
    world.suspend("org");
    world.linear("cow2", 2);
    world.create("s2");
    let (origin, cow) = (world.number("real"), world.number("cow2"));
    world.load("s2", Target::Snapshot { origin, cow, chunk: Sectors(8) });
    world.resume("s2").unwrap();
    world.create("t");
    let table = Table::single(SIZE, Target::Merge { origin, cow, chunk: Sectors(8) });
    assert!(reason(world.kernel.load(&name("t"), &table, false)).contains("already merging"));
}

#[test]
fn loading_the_same_snapshot_again_replaces_the_first() {
    let world = World::new();
    world.linear("real", 0);
    world.linear("cow", 1);
    world.create("s");
    world.load("s", world.snapshot());
    world.load("s", world.snapshot());
    world.resume("s").unwrap();
    world.load("s", world.snapshot());
    world.resume("s").unwrap();
    assert_eq!(world.status("s"), empty_store());
}

#[test]
fn suspending_above_a_suspended_device_would_hang() {
    let world = World::with_snapshot();
    world.suspend("real");
    let error = world.kernel.suspend(&name("org"), Freeze::Io).unwrap_err();
    assert_eq!(error.to_string(), "suspending org would wait for real, which is suspended");
    assert_eq!(world.kernel.violations().len(), 1);
    world.resume("real").unwrap();
    for text in ["org", "s", "real", "cow"] {
        world.suspend(text);
    }
}

#[test]
fn publishing_while_something_is_suspended_is_a_violation() {
    let world = World::with_snapshot();
    world.suspend("org");
    world.kernel.publish(&name("s"), world.number("s"), Some(Path::new("/dev/vg/s"))).unwrap();
    assert_eq!(
        world.kernel.violations(),
        ["publish s as /dev/vg/s: waits for udev while a device is suspended"]
    );
    assert_eq!(world.kernel.calls_while_suspended().len(), 1);
}

/// Volume groups share nothing: the other thread goes on whatever this one waits for.
#[test]
fn publishing_while_another_thread_has_something_suspended_is_none() {
    let world = World::with_snapshot();
    std::thread::scope(|scope| scope.spawn(|| world.suspend("org")).join()).unwrap();
    world.kernel.publish(&name("s"), world.number("s"), Some(Path::new("/dev/vg/s"))).unwrap();
    assert_eq!(world.kernel.violations(), [""; 0]);
}

#[test]
fn a_switch_runs_its_steps_and_reports_each_device() {
    let world = World::with_snapshot();
    world.load("org", world.merge());
    world.kernel.forget_calls();
    let report = world
        .kernel
        .switch(&[
            SwitchStep::Suspend(name("org"), Freeze::FileSystem),
            SwitchStep::Suspend(name("s"), Freeze::Io),
            SwitchStep::Resume(name("org"), VISIBLE),
            SwitchStep::Resume(name("s"), VISIBLE),
        ])
        .unwrap();
    let frozen: Vec<_> = report.frozen.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(frozen, ["org", "s"]);
    let calls: Vec<_> = world.kernel.calls().iter().map(ToString::to_string).collect();
    assert_eq!(calls, ["suspend org and its file system", "suspend s", "resume org", "resume s"]);
}

#[test]
fn a_failed_switch_resumes_everything_with_its_old_table() {
    for nth in 1..=4 {
        let world = World::with_snapshot();
        world.load("org", world.merge());
        world.load("real", Target::Linear { device: world.disk.number(), offset: Sectors(8) });
        let before = (world.table("org", Slot::Live), world.table("real", Slot::Live));
        world.kernel.fail_nth(nth);
        let steps = [
            SwitchStep::Suspend(name("org"), Freeze::FileSystem),
            SwitchStep::Suspend(name("s"), Freeze::Io),
            SwitchStep::Suspend(name("real"), Freeze::Io),
            // Refused for itself as well: a source waits for its hand-over.
            SwitchStep::Resume(name("s"), VISIBLE),
        ];
        world.kernel.switch(&steps).unwrap_err();
        let suspended: Vec<_> =
            world.kernel.list().unwrap().into_iter().filter(|info| info.suspended).collect();
        assert_eq!(suspended, [], "step {nth}");
        let after = (world.table("org", Slot::Live), world.table("real", Slot::Live));
        assert_eq!(after, before, "step {nth}");
        assert_eq!(world.status("s"), empty_store(), "step {nth}");
    }
}

#[test]
fn a_resume_that_fails_inside_a_switch_gets_its_old_table_back() {
    let world = World::with_snapshot();
    world.load("org", world.merge());
    let steps =
        [SwitchStep::Suspend(name("org"), Freeze::FileSystem), SwitchStep::Resume(name("org"), VISIBLE)];
    let error = world.kernel.switch(&steps).unwrap_err();
    assert!(error.chain()[0].contains("until source is suspended"));
    assert!(world.kernel.unsettled().is_empty());
    assert_eq!(world.table("org", Slot::Live), "0 2048 snapshot-origin 254:0");
}

#[test]
fn the_nth_change_fails_without_effect() {
    let world = World::new();
    world.kernel.fail_nth(2);
    world.create("v");
    let error = world.kernel.load(&name("v"), &Table::single(SIZE, Target::Zero), false).unwrap_err();
    assert_eq!(error.to_string(), "cannot load v: 0 2048 zero");
    assert!(!world.kernel.info(&name("v")).unwrap().unwrap().inactive);
    world.load("v", Target::Zero);
}

#[test]
fn a_hook_sees_the_kernel_as_it_is_before_the_change() {
    let world = World::new();
    let kernel = world.kernel.clone();
    let (sent, seen) = std::sync::mpsc::channel();
    world.kernel.before_each(move |call| {
        sent.send((call.to_string(), kernel.list().unwrap().len())).unwrap();
        Ok(())
    });
    world.create("v");
    world.kernel.remove(&name("v"), VISIBLE).unwrap();
    let seen: Vec<_> = seen.try_iter().collect();
    assert_eq!(seen, [("create v".to_owned(), 0), ("remove v".to_owned(), 1)]);
}

#[test]
fn programs_read_and_write_through_the_tables() {
    let world = World::new();
    world.create("v");
    let (device, chunk) = (world.disk.number(), Sectors(8));
    let stripes = vec![(device, Sectors(0)), (device, Sectors(4096))];
    world.load("v", Target::Striped { chunk, stripes });
    world.resume("v").unwrap();
    let devices = world.kernel.devices();
    let open = devices.open(Path::new("/dev/mapper/v"), Access::Write).unwrap();
    open.write_at(Bytes(4094), b"abcd").unwrap();
    assert_eq!(world.disk.peek(Bytes(4094), 2), b"ab");
    assert_eq!(world.disk.peek(Sectors(4096).bytes(), 2), b"cd");
    let mut back = [0; 4];
    open.read_at(Bytes(4094), &mut back).unwrap();
    assert_eq!(&back, b"abcd");
    assert_eq!(world.kernel.remove(&name("v"), VISIBLE).unwrap_err().kind(), Kind::InUse);
    drop(open);
    world.kernel.remove(&name("v"), VISIBLE).unwrap();
}

#[test]
fn io_to_a_suspended_device_is_told_instead_of_waiting() {
    let world = World::with_snapshot();
    let devices = world.kernel.devices();
    let open = devices.open(Path::new("/dev/mapper/org"), Access::Write).unwrap();
    world.suspend("real");
    assert_eq!(
        open.read_at(Bytes(0), &mut [0]).unwrap_err().to_string(),
        "I/O would wait: real is suspended"
    );
}

#[test]
fn devices_are_listed_with_their_mounts_and_held_ones_are_in_use() {
    let world = World::with_snapshot();
    let devices = world.kernel.devices();
    devices.mount(&name("org"), "/srv");
    assert_eq!(
        devices.open(Path::new("/dev/mapper/real"), Access::Exclusive).unwrap_err().kind(),
        Kind::InUse
    );
    assert_eq!(devices.mounts(world.number("org")).unwrap(), [PathBuf::from("/srv")]);
    assert_eq!(devices.open(Path::new("/dev/a"), Access::Exclusive).unwrap_err().kind(), Kind::InUse);
    assert_eq!(devices.list().unwrap().len(), 5);
    assert_eq!(world.kernel.remove(&name("org"), VISIBLE).unwrap_err().kind(), Kind::InUse);
    devices.unmount(&name("org"));
    world.kernel.remove(&name("org"), VISIBLE).unwrap();
}

#[test]
fn a_mounted_disk_is_not_mapped() {
    let world = World::new();
    world.disks.set("/dev/a", |attributes| attributes.mounts = vec!["/srv".into()]);
    world.create("v");
    let table = Table::single(SIZE, Target::Linear { device: world.disk.number(), offset: Sectors(0) });
    let error = world.kernel.load(&name("v"), &table, false).unwrap_err();
    assert_eq!((error.kind(), error.to_string().contains("mounted on /srv")), (Kind::InUse, true));
}

#[test]
fn a_fork_has_its_own_devices_and_disks() {
    let world = World::with_snapshot();
    let devices = world.kernel.devices();
    devices.mount(&name("org"), "/mnt");
    let fork = devices.fork();
    world.kernel.suspend(&name("org"), Freeze::Io).unwrap();
    assert_eq!(fork.kernel().unsettled(), []);
    assert_eq!(fork.mounts(world.number("org")).unwrap().len(), 1);
    let open = fork.open(Path::new("/dev/mapper/org"), Access::Write).unwrap();
    open.write_at(Bytes(0), &[7; 4096]).unwrap();
    assert_eq!(world.disk.peek(Bytes(0), 1), [0], "a write to the copy reached the other's disk");
    assert_eq!(fork.disks().device("/dev/a").unwrap().peek(Bytes(0), 1), [7]);
}
