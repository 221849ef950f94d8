//! What must never be lost, whoever dies, opens, removes or suspends a device in between.

use crate::lab::*;
use crate::lvm2_peer::lvm2_snapshot;
use crate::operations::*;
use dmsnap::block::Access;
use dmsnap::dm::{DmName, Freeze, Kernel, UdevFlags};
use dmsnap::engine::list::Select;
use dmsnap::engine::resize::Growth;
use dmsnap::error::{Error, Kind};
use dmsnap::lvm::{Creation, Edit, open_vg};
use dmsnap::units::{Bytes, ChunkSize};

/// Live tables that map extents which the metadata calls free: whatever is allocated next is written to by two.
pub fn mapped_and_free(lab: &Lab) -> Vec<String> {
    let open = open_vg(&lab.disks, &dmsnap::lvm::Host::default(), &lab.group(), Access::Read).unwrap();
    let free = dmsnap::lvm::free::FreeMap::of(&open.vg);
    let extent = open.vg.extent_size.get();
    let mut found = Vec::new();
    for info in lab.kernel.list().unwrap().into_iter().filter(|info| info.live) {
        for line in lab.kernel.table(&info.name, dmsnap::dm::Slot::Live).unwrap().0 {
            let dmsnap::dm::Target::Linear { device, offset } = line.target else { continue };
            let Some(pv) = open.pvs.iter().position(|pv| pv.number() == Some(device)) else { continue };
            let begin = offset.get() - open.vg.pvs[pv].pe_start.get();
            let end = begin + line.length.get();
            let is_free = |run: &&dmsnap::lvm::free::Run| {
                run.start.get() * extent < end && begin < run.end().get() * extent
            };
            found.extend(free.pvs[pv].iter().find(is_free).map(|_| info.name.to_string()));
        }
    }
    found
}

/// After each cut of an operation somebody opens one of the devices that are there; then come other commands.
#[test]
fn no_extent_is_free_while_a_device_that_somebody_holds_open_maps_it() {
    let mut wrong = Vec::new();
    const REMOVING_TWO: Operation = Operation {
        command: "snapshot remove",
        name: "removing both of two",
        prepare: |lab| {
            snap(lab, "a");
            snap(lab, "b");
        },
        run: |engine, mode| engine.remove_snapshots(&vg(), &[lv("a"), lv("b")], mode).map(drop),
        kept: &[],
        next: Next::Any,
        happened: |lab| !has(lab, "b") && !has(lab, "a"),
    };
    let chosen = |o: &&Operation| {
        ["a group of snapshots", "removing one of two", "removing a volume with its snapshots"]
            .contains(&o.name)
    };
    for operation in operations().filter(chosen).chain([&REMOVING_TWO]) {
        for last in 1.. {
            let cut = || {
                let lab = lab_with_volume();
                (operation.prepare)(&lab);
                let outcome = (operation.run)(&lab.mortal_engine(last), MODE);
                (lab, outcome.is_ok())
            };
            let (lab, over) = cut();
            for held in lab.kernel.list().unwrap().into_iter().map(|info| info.name) {
                let (lab, _) = cut();
                lab.kernel.hold(&held);
                let _ = lab.engine().create_volume(&volume("next", 1), MODE);
                let free = mapped_and_free(&lab);
                if !free.is_empty() {
                    wrong.push(format!("{}, dead before step {last}, {held} open: {free:?}", operation.name));
                }
            }
            if over {
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{} times:\n{}", wrong.len(), wrong.join("\n"));
}

/// One snapshot of a family cannot be planned for; another's store must not be given back before its device is gone.
#[test]
fn a_store_is_not_free_while_its_family_is_stuck() {
    let mut proved = 0;
    for last in 1.. {
        let lab = lab_with_volume();
        snap(&lab, "a");
        let outcome = lab.mortal_engine(last).create_snapshots(&cut(&[("db", "s")]), MODE);
        if outcome.is_ok() {
            break;
        }
        // Somebody takes the first snapshot's device away: its origin is written to without it.
        if lab.kernel.remove(&DmName::new("vg--0-a").unwrap(), UdevFlags::hidden()).is_err() {
            continue;
        }
        let _ = lab.engine().create_volume(&volume("next", 1), MODE);
        assert_eq!(mapped_and_free(&lab), Vec::<String>::new(), "dead before step {last}");
        proved += 1;
    }
    assert!(proved > 0);
}

/// The same with an origin: its snapshot is opened while both are removed.
#[test]
fn an_origin_is_not_free_while_its_snapshot_could_not_be_removed() {
    let lab = lab_with_volume();
    snap(&lab, "a");
    lab.write("vg--0-db", 0, 2);
    let engine = lab.engine_overtaken("vg--0-a");
    assert_eq!(engine.remove_volumes(&vg(), &[lv("db")], true, MODE).unwrap_err().kind(), Kind::InUse);
    assert_eq!(mapped_and_free(&lab), Vec::<String>::new());
    assert_eq!(lab.read("vg--0-a", 1 << 20), 1);
    lab.engine().create_volume(&volume("next", 8), MODE).unwrap();
    lab.write("vg--0-next", 1 << 20, 7);
    assert_eq!(lab.read("vg--0-a", 1 << 20), 1, "a mounted snapshot changed");
}

/// The removal of two snapshots fails at the second: who was told so goes on to use it.
#[test]
fn a_removal_of_several_that_was_refused_has_not_happened_to_what_is_open() {
    let lab = lab_with_volume();
    snap(&lab, "a");
    snap(&lab, "b");
    let engine = lab.engine_overtaken("vg--0-a");
    assert_eq!(engine.remove_snapshots(&vg(), &[lv("a"), lv("b")], MODE).unwrap_err().kind(), Kind::InUse);
    assert_eq!(mapped_and_free(&lab), Vec::<String>::new());
    lab.kernel.release(&DmName::new("vg--0-a").unwrap());
    lab.engine().create_volume(&volume("next", 1), MODE).unwrap();
    assert!(has(&lab, "a"), "a snapshot went after its removal had failed");
}

/// A snapshot whose device somebody took away has lost what was written since, whether its origin is suspended by now or not.
#[test]
fn a_snapshot_that_lost_writes_does_not_join_an_origin_because_that_is_suspended() {
    let lab = lab_with_volume();
    snap(&lab, "a");
    lab.kernel.remove(&DmName::new("vg--0-a").unwrap(), UdevFlags::hidden()).unwrap();
    lab.write("vg--0-db", 0, 2);
    lab.kernel.suspend(&DmName::new("vg--0-db").unwrap(), Freeze::FileSystem).unwrap();
    assert_eq!(lab.engine().repair(&vg(), MODE).unwrap_err().kind(), Kind::Refused);
    assert_eq!(lab.kernel.unsettled(), [], "an origin that nothing can be done for stays suspended");
    let is_there = lab.kernel.info(&DmName::new("vg--0-a").unwrap()).unwrap().is_some();
    assert!(!is_there || lab.read("vg--0-a", 0) == 1, "a snapshot with wrong content is called valid");
}

/// lvm2 commits its snapshot while the origin is suspended. Had it died then, nothing was written since.
#[test]
fn a_snapshot_that_lvm2_did_not_get_to_begins_with_its_suspended_origin() {
    let lab = lab_with_volume();
    lab.kernel.suspend(&DmName::new("vg--0-db").unwrap(), Freeze::FileSystem).unwrap();
    lab.lvm2_commits(&lvm2_snapshot(&lab, "db", "s"));
    lab.engine().repair(&vg(), MODE).unwrap();
    lab.write("vg--0-db", 0, 2);
    assert_eq!((lab.read("vg--0-db", 0), lab.read("vg--0-s", 0)), (2, 1));
}

/// `lvconvert -s` makes a store of a volume that is there: that snapshot is acknowledged, and lvm2's.
#[test]
fn a_pending_volume_that_lvm2_made_a_store_of_stays() {
    for last in 1.. {
        let lab = lab_with_volume();
        let outcome = lab.mortal_engine(last).create_volume(&volume("new", 4), MODE);
        if has_volume(&lab, "new") && outcome.is_err() {
            // lvm2 takes the volume down, zeroes it and brings both up again.
            let _ = lab.kernel.remove(&DmName::new("vg--0-new").unwrap(), UdevFlags::hidden());
            lab.kernel.remove(&DmName::new("vg--0-db").unwrap(), UdevFlags::hidden()).unwrap();
            lab.lvm2_commits(&[Edit::AddSnapshot {
                store: lv("new"),
                origin: lv("db"),
                chunk_size: ChunkSize::DEFAULT.sectors(),
                id: dmsnap::lvm::Uuid::generate(&mut |buffer| buffer.fill(9)),
                created: Some(Creation { time: 1_700_000_000, host: "lab".into() }),
            }]);
            lab.engine().create_volume(&volume("next", 1), MODE).unwrap();
            assert_eq!(lab.snapshot_names(), ["new"], "dead before step {last}");
        }
        if outcome.is_ok() {
            break;
        }
    }
}

/// Who is told that an operation failed finds things as they were: a script that tries again must not find it done.
#[test]
fn a_new_name_or_size_that_was_refused_has_not_come() {
    let mut wrong = Vec::new();
    let chosen = ["growth under a snapshot", "renaming a volume with a snapshot", "renaming the group"];
    for operation in operations().filter(|operation| chosen.contains(&operation.name)) {
        for nth in 1.. {
            let lab = lab_with_volume();
            (operation.prepare)(&lab);
            lab.kernel.forget_calls();
            lab.kernel.fail_nth(nth);
            let outcome = (operation.run)(&lab.engine(), MODE);
            lab.kernel.heal();
            if outcome.is_err() && (operation.happened)(&lab) {
                let calls = lab.kernel.calls();
                let refused = usize::try_from(nth - 1).ok().and_then(|at| calls.get(at));
                wrong.push(format!("{}: refused to {}", operation.name, refused.unwrap()));
            }
            if outcome.is_ok() {
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{} times:\n{}", wrong.len(), wrong.join("\n"));
}

/// Whatever is refused, once: a file system that has grown, or may have, never finds its device shorter.
#[test]
fn a_volume_that_was_larger_is_not_made_smaller_again() {
    let mut sizes = Vec::new();
    for nth in 1.. {
        let lab = lab_with_volume();
        lab.devices.mount(&DmName::new("vg--0-db").unwrap(), "/mnt/db");
        let engine = lab.engine_with(move |step| match step == nth {
            true => Err(Error::new(Kind::Internal, "injected error")),
            false => Ok(()),
        });
        let outcome = engine.extend_volume(&Growth { resize_fs: true, ..growth("12M") }, MODE);
        lab.engine().create_volume(&volume("next", 1), MODE).unwrap();
        lab.assert_at_rest(&format!("step {nth} refused"));
        let volumes = lab.engine().volumes(&Select::default()).unwrap();
        sizes.push(volumes.into_iter().find(|volume| volume.name == "db").unwrap().size_bytes);
        if outcome.is_ok() {
            break;
        }
    }
    // At first it has not happened; then the device was longer, and stays so.
    assert!(sizes.is_sorted(), "{sizes:?}");
    assert_eq!((sizes[0], *sizes.last().unwrap()), (Bytes::mib(8), Bytes::mib(12)));
}
