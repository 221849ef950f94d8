//! What an operation leaves that is cut at any of its steps, refused by the kernel, or only tried.

use std::collections::BTreeSet;

use crate::lab::{Lab, MODE, cut, lab_with_pending_snapshot, lab_with_volume, lv, vg, volume};
use crate::operations::OPERATIONS;
use dmsnap::block::Access;
use dmsnap::dm::{DmName, Kernel};
use dmsnap::engine::view::SnapshotState;
use dmsnap::engine::volume::NewVolume;
use dmsnap::engine::{Engine, Mode};
use dmsnap::error::{Kind, Result};
use dmsnap::lvm::open_vg;

/// Each operation can be done once, and most of them not again.
#[test]
fn a_dry_run_ends_as_the_command_would_and_changes_nothing() {
    for operation in OPERATIONS {
        let lab = lab_with_volume();
        (operation.prepare)(&lab);
        for time in ["first", "second"] {
            let (disks, calls) = (lab.disks.images(), lab.kernel.calls().len());
            let said = (operation.run)(&lab.engine(), Mode { dry_run: true, ..MODE });
            let when = format!("{}, the {time} time", operation.name);
            assert!(lab.disks.images() == disks, "{when}: a dry run wrote");
            assert_eq!(lab.kernel.calls().len(), calls, "{when}");
            let done = (operation.run)(&lab.engine(), MODE);
            let kind = |outcome: Result<()>| outcome.map_err(|error| error.kind());
            assert_eq!(kind(said), kind(done), "{when}");
        }
    }
}

#[test]
fn an_unacknowledged_snapshot_that_somebody_mounted_stays_until_it_is_unmounted() {
    let lab = lab_with_pending_snapshot();
    let snapshot = DmName::new("vg--0-s").unwrap();
    assert_eq!(lab.snapshots()[0].state, SnapshotState::Pending);
    lab.devices.mount(&snapshot, "/mnt/s");
    lab.engine().create_volume(&volume("next", 1), MODE).unwrap();
    assert_eq!(lab.snapshots()[0].state, SnapshotState::Pending);
    lab.devices.unmount(&snapshot);
    lab.engine().create_volume(&volume("more", 1), MODE).unwrap();
    assert_eq!(lab.snapshot_names(), Vec::<String>::new());
    lab.assert_at_rest("after it is unmounted");
}

/// The process dies before each of its steps in turn; the next command leaves everything in order.
#[test]
fn whenever_a_process_dies_the_next_command_finishes_or_undoes() {
    let mut cuts = 0;
    for operation in OPERATIONS {
        for last in 1.. {
            let lab = lab_with_volume();
            (operation.prepare)(&lab);
            for name in operation.kept {
                lab.write("vg--0-db", 2 << 20, 5);
                assert_eq!(lab.read(&format!("vg--0-{name}"), 2 << 20), 0);
            }
            let when = format!("{}, dead before step {last}", operation.name);
            let outcome = (operation.run)(&lab.mortal_engine(last), MODE);
            cuts += 1;
            let next = NewVolume { vg: lab.group(), ..volume("next", 1) };
            lab.engine().create_volume(&next, MODE).unwrap_or_else(|error| panic!("{when}: {error}"));
            if operation.marks {
                lab.assert_at_rest(&when);
            } else {
                // Nothing in the metadata says so: the next command on these volumes, or a repair, sees to it.
                let suspended =
                    lab.kernel.list().unwrap().into_iter().find(|info| info.live && info.suspended);
                assert_eq!(suspended, None, "{when}");
                lab.engine().repair(&lab.group(), MODE).unwrap_or_else(|error| panic!("{when}: {error}"));
                lab.assert_at_rest(&when);
            }
            let happened = (operation.happened)(&lab);
            assert!(happened || outcome.is_err(), "{when}: acknowledged and lost");
            assert!(lab.snapshots().iter().all(|s| s.state != SnapshotState::Pending), "{when}");
            assert_eq!(lab.read(&lab.top("db"), 0), 1, "{when}");
            lab.write(&lab.top("db"), 0, 9);
            for name in operation.kept {
                assert_eq!(lab.read(&lab.top(name), 2 << 20), 0, "{when}");
                assert_eq!(lab.read(&lab.top(name), 0), 1, "{when}");
            }
            if outcome.is_ok() {
                break;
            }
        }
    }
    println!("{cuts} cuts");
}

/// The kernel refuses each step in turn, and the process lives: the operation itself leaves everything in order.
#[test]
fn whatever_the_kernel_refuses_the_operation_leaves_no_trace() {
    for operation in OPERATIONS {
        for nth in 1.. {
            let lab = lab_with_volume();
            (operation.prepare)(&lab);
            lab.kernel.fail_nth(nth);
            let outcome = (operation.run)(&lab.engine(), MODE);
            lab.kernel.heal();
            let when = format!("{}, refusal {nth}", operation.name);
            lab.assert_at_rest(&when);
            assert!((operation.happened)(&lab) || outcome.is_err(), "{when}: acknowledged and lost");
            assert_eq!(lab.read(&lab.top("db"), 0), 1, "{when}");
            if outcome.is_ok() {
                break;
            }
        }
    }
}

/// The snapshot is opened after it was found to be free. It cannot go, but the other commands can.
#[test]
fn a_snapshot_that_is_opened_while_it_is_removed_does_not_block_the_group() {
    let lab = lab_with_volume();
    lab.engine().create_snapshots(&cut(&[("db", "s")]), MODE).unwrap();
    let engine = lab.engine_overtaken("vg--0-s");
    assert_eq!(engine.remove_snapshots(&vg(), &[lv("s")], MODE).unwrap_err().kind(), Kind::InUse);
    lab.engine().create_volume(&volume("next", 1), MODE).unwrap();
    lab.kernel.release(&DmName::new("vg--0-s").unwrap());
    lab.engine().create_volume(&volume("more", 1), MODE).unwrap();
    lab.assert_at_rest("after it is closed");
}

/// lvm2 warns of an older copy at each command; the next one of ours puts it right, as lvm2's `vgck --updatemetadata` does.
#[test]
fn a_copy_of_the_metadata_that_a_dead_process_left_behind_is_renewed() {
    let operation = |engine: &Engine| engine.create_snapshots(&cut(&[("db", "s")]), MODE);
    for last in 1.. {
        let lab = lab_with_volume();
        let outcome = operation(&lab.mortal_engine(last));
        let older = copies(&lab).len() > 1;
        let found = lab.engine().check(&vg(), MODE).unwrap();
        assert!(!older || !found.plan.is_empty(), "dead before step {last}: check sees nothing");
        lab.engine().repair(&vg(), MODE).unwrap();
        assert_eq!(copies(&lab).len(), 1, "dead before step {last}: an older copy stays");
        if outcome.is_ok() {
            break;
        }
    }
}

/// The checksums of the group's text in its metadata areas.
fn copies(lab: &Lab) -> std::collections::BTreeSet<u32> {
    let owner = dmsnap::lvm::Host::default();
    let open = open_vg(&lab.disks, &owner, &vg(), Access::Read).unwrap();
    let headers = open.pvs.iter().flat_map(|pv| &pv.mdas).map(|mda| mda.header.as_ref().unwrap());
    headers.map(|header| header.committed.checksum).collect()
}

/// A dry run answers as the command would, which first takes away what a dead process left.
#[test]
fn a_dry_run_sees_the_group_as_it_will_be_after_recovery() {
    let lab = lab_with_pending_snapshot();
    let disks = lab.disks.images();
    let mode = Mode { dry_run: true, ..MODE };
    lab.engine().create_snapshots(&cut(&[("db", "s")]), mode).unwrap();
    assert!(lab.disks.images() == disks, "a dry run wrote");
    lab.engine().create_snapshots(&cut(&[("db", "s")]), MODE).unwrap();
}

/// Whoever died between the resume and the paths: without udevd nobody else makes them, and takes away those of old names.
#[test]
fn paths_follow_the_devices_whenever_a_process_dies() {
    let mut wrong = Vec::new();
    for operation in OPERATIONS {
        for last in 1.. {
            let lab = lab_with_volume();
            (operation.prepare)(&lab);
            let outcome = (operation.run)(&lab.mortal_engine(last), MODE);
            lab.engine().repair(&lab.group(), MODE).unwrap();
            let _ = lab.engine().activate(&lab.group(), &[], MODE).unwrap();
            let published: BTreeSet<_> = lab.kernel.published().into_keys().collect();
            let there: BTreeSet<_> = lab.kernel.list().unwrap().into_iter().map(|info| info.name).collect();
            if published != there {
                wrong.push(format!(
                    "{}, dead before step {last}: missing {:?}, stale {:?}",
                    operation.name,
                    there.difference(&published).collect::<Vec<_>>(),
                    published.difference(&there).collect::<Vec<_>>()
                ));
            }
            if outcome.is_ok() {
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{} times:\n{}", wrong.len(), wrong.join("\n"));
}
