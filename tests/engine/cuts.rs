//! What an operation leaves that is cut at any of its steps, refused by the kernel, or only tried.

use crate::lab::{Lab, MODE, cut, has_volume, lab_with_pending_snapshot, lab_with_volume, lv, vg, volume};
use crate::operations::operations;
use dmsnap::block::Access;
use dmsnap::dm::DmName;
use dmsnap::engine::view::SnapshotState;
use dmsnap::engine::{Engine, Mode};
use dmsnap::error::{Kind, Result};
use dmsnap::lvm::open_vg;

/// Each operation can be done once, and most of them not again.
#[test]
fn a_dry_run_ends_as_the_command_would_and_changes_nothing() {
    for operation in operations() {
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

/// The kernel refuses each step in turn, and the process lives: the operation itself leaves everything in order.
#[test]
fn whatever_the_kernel_refuses_the_operation_leaves_no_trace() {
    // A repair that is refused leaves what somebody else has done.
    for operation in operations().filter(|operation| operation.command != "repair") {
        for nth in 1.. {
            let lab = lab_with_volume();
            (operation.prepare)(&lab);
            lab.kernel.fail_nth(nth);
            let outcome = (operation.run)(&lab.engine(), MODE);
            lab.kernel.heal();
            let when = format!("{}, refusal {nth}", operation.name);
            lab.assert_at_rest(&when);
            assert!((operation.happened)(&lab) || outcome.is_err(), "{when}: acknowledged and lost");
            let db = if has_volume(&lab, "db") { "db" } else { "young" };
            assert_eq!(lab.read(&lab.top(db), 0), 1, "{when}");
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

/// A process dies when its snapshot waits to be resumed, and the next one when it has committed that this snapshot goes. By then only the
/// waiting table says that it stands on its origin's data.
#[test]
fn a_snapshot_that_was_never_resumed_is_taken_away_by_whoever_comes_third() {
    let waits = |lab: &Lab| lab.kernel.unsettled().iter().any(|name| name.as_str() == "vg--0-s");
    let mut proved = 0;
    for first in 1.. {
        let lab = lab_with_volume();
        if lab.mortal_engine(first).create_snapshots(&cut(&[("db", "s")]), MODE).is_ok() {
            break;
        }
        for second in (1..).take_while(|_| waits(&lab)) {
            let lab = lab.fork();
            let outcome = lab.mortal_engine(second).repair(&vg(), MODE);
            let when = format!("dead before step {first}, then {second}");
            lab.engine().repair(&vg(), MODE).unwrap_or_else(|error| panic!("{when}: {error}"));
            lab.assert_at_rest(&when);
            proved += 1;
            if outcome.is_ok() {
                break;
            }
        }
    }
    assert!(proved > 0);
}
