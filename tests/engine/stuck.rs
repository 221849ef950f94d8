//! What cannot be helped blocks nothing else.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::lab::*;
use crate::lvm2_peer::lvm2_snapshot;
use crate::safety::mapped_and_free;
use dmsnap::dm::{DmName, DmUuid, Freeze, Kernel};
use dmsnap::engine::setup::Labelling;
use dmsnap::engine::view::SnapshotState;
use dmsnap::engine::volume::NewVolume;
use dmsnap::engine::{Engine, Host, World};
use dmsnap::error::{Error, Kind};
use dmsnap::lvm::Locks;
use dmsnap::units::Bytes;

/// Boot: what squats on the name of one volume's device must not keep the others of the group down.
#[test]
fn a_volume_that_cannot_be_activated_does_not_keep_the_others_down() {
    let lab = lab_with_volume();
    lab.engine().create_volume(&volume("idle", 4), MODE).unwrap();
    lab.engine().deactivate(&vg(), &[], MODE).unwrap();
    let squatted = DmName::new("vg--0-idle").unwrap();
    lab.kernel.create(&squatted, &DmUuid::new("somebody-else").unwrap()).unwrap();
    let error = lab.engine().activate(&vg(), &[], MODE).map(drop).unwrap_err();
    assert!(error.to_string().contains("vg--0-idle"), "{error}");
    let device = lab.kernel.info(&DmName::new("vg--0-db").unwrap()).unwrap();
    assert!(device.is_some_and(|info| info.live), "vg-0/db stays inactive because of vg-0/idle");
}

/// Boot with a dead disk: the volumes that do not lie on it come up.
#[test]
fn all_means_those_that_do_not_lie_on_a_missing_device() {
    let lab = lab_with_volume();
    let far = NewVolume { on: vec!["/dev/sdb".into()], ..volume("far", 4) };
    lab.engine().create_volume(&far, MODE).unwrap();
    lab.engine().deactivate(&vg(), &[], MODE).unwrap();
    lab.disks.remove(Path::new("/dev/sdb")).unwrap();
    let _ = lab.engine().activate(&vg(), &[], MODE);
    let device = lab.kernel.info(&DmName::new("vg--0-db").unwrap()).unwrap();
    assert!(device.is_some_and(|info| info.live), "vg-0/db stays inactive because of vg-0/far");
}

/// As with a volume: names that others bear are noticed before anything is written, or at least do not block the group.
#[test]
fn a_group_is_not_renamed_where_a_device_bears_one_of_the_new_names() {
    let lab = lab_with_volume();
    lab.engine().create_volume(&volume("idle", 4), MODE).unwrap();
    let squatted = DmName::new("new-idle").unwrap();
    lab.kernel.create(&squatted, &DmUuid::new("somebody-else").unwrap()).unwrap();
    let disks = lab.disks.images();
    lab.engine().rename_group(&vg(), &"new".parse().unwrap(), MODE).unwrap_err();
    assert!(lab.disks.images() == disks, "a refused request wrote");
    let next =
        lab.engine().create_volume(&NewVolume { vg: lab.group(), ..volume("next", 1) }, MODE).map(drop);
    assert!(next.is_ok(), "nothing can be done in group {} any more: {next:?}", lab.group());
}

/// lvm2 died with an origin suspended, and whether the new store is used cannot be read: the origin goes on, without the snapshot that
/// nobody was told of, and nothing else is kept from anything.
#[test]
fn a_store_that_cannot_be_read_does_not_block_the_group() {
    let lab = lab_with_volume();
    lab.engine().create_volume(&volume("other", 4), MODE).unwrap();
    lab.kernel.suspend(&DmName::new("vg--0-db").unwrap(), Freeze::FileSystem).unwrap();
    lab.lvm2_commits(&lvm2_snapshot(&lab, "db", "s"));
    let disks = ["/dev/sda", "/dev/sdb"].map(|disk| lab.disks.device(disk).unwrap());
    disks.iter().for_each(|disk| disk.fail_behind(Bytes::mib(1)));
    let error = lab.engine().repair(&vg(), MODE).unwrap_err();
    assert!(error.to_string().contains("reading /dev/sd"), "{error}");
    assert_eq!(lab.kernel.unsettled(), []);
    lab.engine().rename_volume(&vg(), &lv("other"), &lv("renamed"), MODE).unwrap();
    disks.iter().for_each(|disk| disk.heal());
    lab.engine().remove_snapshots(&vg(), &[lv("s")], MODE).unwrap();
    lab.assert_at_rest("without the snapshot");
}

/// Something has a hidden layer open that recovery would take away: the rest of the group can be worked on all the same.
#[test]
fn a_hidden_layer_that_is_open_does_not_block_the_group() {
    let lab = lab_with_pending_snapshot();
    lab.kernel.hold(&DmName::new("vg--0-s-cow").unwrap());
    lab.engine().create_volume(&volume("next", 1), MODE).map(drop).unwrap();
}

/// A device below is suspended by somebody: the origin above it cannot be suspended before it goes on.
#[test]
fn what_is_below_goes_on_before_an_origin_is_suspended() {
    let lab = lab_with_pending_snapshot();
    lab.kernel.suspend(&DmName::new("vg--0-db-real").unwrap(), Freeze::Io).unwrap();
    lab.engine().repair(&vg(), MODE).unwrap();
    assert_eq!(lab.kernel.violations(), Vec::<String>::new());
}

/// Activation changes no metadata: a host that may change none can activate, whatever a dead process left.
#[test]
fn a_host_that_changes_no_metadata_activates_beside_what_a_dead_process_left() {
    let lab = lab_with_volume();
    lab.engine().create_volume(&volume("idle", 4), MODE).unwrap();
    lab.engine().deactivate(&vg(), &[lv("idle")], MODE).unwrap();
    for last in 1.. {
        let outcome = lab.mortal_engine(last).create_snapshots(&cut(&[("db", "s")]), MODE);
        if outcome.is_ok() || !lab.snapshots().is_empty() {
            break;
        }
    }
    assert_eq!(lab.snapshots()[0].state, SnapshotState::Pending);
    let engine = Engine::new(World {
        kernel: Arc::new(lab.kernel.clone()),
        devices: Arc::new(lab.devices.clone()),
        locks: Locks::new(lab.locks.path()),
        clock: || -> SystemTime { UNIX_EPOCH + Duration::from_secs(1_700_000_000) },
        random,
        host: Host { name: "lab".into(), system: "Linux lab".into() },
        owner: dmsnap::lvm::Host::default(),
        lvm2: dmsnap::lvm::Settings { metadata_read_only: true, ..lab.settings() },
    });
    engine.activate(&vg(), &[lv("idle")], MODE).unwrap();
}

/// The kernel refuses for ever to help one volume: the rest of the group can be worked on all the same.
#[test]
fn a_stack_that_the_kernel_refuses_to_change_does_not_block_the_group() {
    let lab = lab_with_pending_snapshot();
    lab.kernel.before_each(|call| match call.to_string().starts_with("remove vg--0-s") {
        true => Err(Error::new(Kind::Internal, "injected error")),
        false => Ok(()),
    });
    let free = lab.free();
    lab.engine().create_volume(&volume("next", 1), MODE).unwrap();
    assert_eq!(lab.free(), free - Bytes::mib(1), "extents are free that a live table maps");
    assert_eq!(mapped_and_free(&lab), Vec::<String>::new());
    assert_eq!(lab.engine().repair(&vg(), MODE).unwrap_err().kind(), Kind::Internal);
    lab.kernel.heal();
    lab.engine().repair(&vg(), MODE).unwrap();
    lab.assert_at_rest("after the kernel let go of it");
}

/// Nobody owns a device whose group was never made, or that never joined: whoever asks again gets it, with nothing to overwrite.
#[test]
fn what_a_dead_process_took_for_a_group_can_be_taken_again() {
    let mut refused = Vec::new();
    for last in 1.. {
        let lab = Lab::new();
        let outcome = lab.mortal_engine(last).create_group(&other(), MODE);
        if outcome.is_ok() {
            break;
        }
        let again = lab.engine().create_group(&other(), MODE);
        let made = again
            .as_ref()
            .is_err_and(|error| error.kind() == Kind::AlreadyExists || error.kind() == Kind::InUse);
        if let (Err(error), false) = (again, made) {
            refused.push(format!("vg create, dead before step {last}: {error}"));
        }
    }
    for last in 1.. {
        let lab = Lab::new();
        let devices = ["/dev/sdc".into()];
        let outcome = lab.mortal_engine(last).extend_group(&vg(), &devices, Labelling::default(), MODE);
        if outcome.is_ok() {
            break;
        }
        let again = lab.engine().extend_group(&vg(), &devices, Labelling::default(), MODE);
        let made = again.as_ref().is_err_and(|error| error.kind() == Kind::InUse);
        if let (Err(error), false) = (again, made) {
            refused.push(format!("vg extend, dead before step {last}: {error}"));
        }
    }
    assert!(refused.is_empty(), "{} times:\n{}", refused.len(), refused.join("\n"));
}

/// Taken down and up again both would look sound, and lack each other's writes.
#[test]
fn a_volume_that_ran_without_its_snapshot_is_not_deactivated_before_that_is_removed() {
    let lab = lab_with_volume();
    snap(&lab, "s");
    lab.engine().create_volume(&volume("other", 4), MODE).unwrap();
    lab.kernel.remove(&DmName::new("vg--0-s").unwrap(), dmsnap::dm::UdevFlags::hidden()).unwrap();
    lab.write("vg--0-db", 0, 9);
    for names in [&[][..], &[lv("db")]] {
        let calls = lab.kernel.calls().len();
        let error = lab.engine().deactivate(&vg(), names, MODE).unwrap_err();
        assert_eq!(error.kind(), Kind::Refused);
        assert!(error.to_string().contains("what was written since is lost to it"), "{error}");
        assert_eq!(lab.kernel.calls().len(), calls);
    }
    lab.engine().deactivate(&vg(), &[lv("other")], MODE).unwrap();
    lab.engine().remove_snapshots(&vg(), &[lv("s")], MODE).unwrap();
    lab.engine().deactivate(&vg(), &[], MODE).unwrap();
}
