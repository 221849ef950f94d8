//! Snapshots in several groups at one instant; that they are all or none wherever they are cut is tested with all operations.

use std::path::Path;
use std::sync::Arc;

use crate::lab::{
    Lab, MODE, afar, cut, cuts_across, differ, has, lab_with_volume, lv, other, restoration, vg,
};
use crate::operations::rollbacks::back;
use dmsnap::engine::outline::{Entry, Phase};
use dmsnap::engine::restore::Restoration;
use dmsnap::engine::rollback::Rollback;
use dmsnap::engine::snapshot::NewSnapshots;
use dmsnap::engine::view::SnapshotState;
use dmsnap::engine::{Engine, Mode};
use dmsnap::error::Kind;

fn lab() -> Lab {
    let lab = lab_with_volume();
    afar(&lab);
    lab
}

fn state(lab: &Lab, name: &str) -> Option<SnapshotState> {
    lab.snapshots().into_iter().find(|snapshot| snapshot.name == name).map(|snapshot| snapshot.state)
}

/// A lab in which the command died as late as it could with `t` undecided, and where it stood.
fn lab_that_waits(is_decided: bool) -> Lab {
    let mut latest = None;
    for last in 1.. {
        let lab = lab();
        let outcome = lab.mortal_engine(last).create_snapshots_across(&cuts_across(), MODE);
        let wanted = if is_decided { SnapshotState::Active } else { SnapshotState::Pending };
        if (state(&lab, "s"), state(&lab, "t")) == (Some(wanted), Some(SnapshotState::Pending)) {
            latest = Some(lab);
        }
        if outcome.is_ok() {
            break;
        }
    }
    latest.unwrap()
}

#[test]
fn everything_is_suspended_before_the_first_volume_is_resumed() {
    let lab = lab();
    let dry = Mode { dry_run: true, ..MODE };
    let said = lab.engine().create_snapshots_across(&cuts_across(), dry).unwrap().planned.unwrap();
    let switch: Vec<_> = said.iter().filter(|entry| entry.phase() == Phase::Switch).collect();
    let words: Vec<_> = switch.iter().map(ToString::to_string).collect();
    let suspends = words.iter().take_while(|word| word.starts_with("suspend")).count();
    assert_eq!(suspends, 2, "{words:?}");
    assert!(words[suspends..].iter().all(|word| word.starts_with("resume")), "{words:?}");
    let edits = said.iter().filter(|entry| matches!(entry, Entry::Edit(_))).count();
    assert!(edits > 0 && !has(&lab, "s"));

    let made = lab.engine().create_snapshots_across(&cuts_across(), MODE).unwrap();
    let names: Vec<_> = made.objects.iter().map(|made| (made.vg.as_str(), made.name.as_str())).collect();
    assert_eq!(names, [("other", "t"), ("vg-0", "s")]);
    assert!(made.frozen.is_some() && made.objects.iter().all(|made| made.tags.is_empty()));
    lab.assert_short_switches();
    lab.assert_at_rest("after both were taken");
    assert_eq!(lab.engine().check(&other().name, MODE).unwrap().plan, []);
}

#[test]
fn what_is_not_possible_in_one_group_is_done_in_none() {
    let lab = lab();
    let disks = lab.disks.images();
    let taken = [cut(&[("db", "s")]), NewSnapshots { vg: other().name, ..cut(&[("afar", "afar")]) }];
    let missing = [cut(&[("none", "s")]), cuts_across()[1].clone()];
    let twice = [cut(&[("db", "s")]), cut(&[("db", "t")])];
    let cases = [(taken, Kind::AlreadyExists), (missing, Kind::NotFound), (twice, Kind::Internal)];
    for (new, kind) in cases {
        assert_eq!(lab.engine().create_snapshots_across(&new, MODE).unwrap_err().kind(), kind);
    }
    assert!(lab.disks.images() == disks, "a refused request wrote");
}

/// The group that decides is away. Nobody can say whether its snapshot was taken, so this one stays as it is.
#[test]
fn a_snapshot_whose_group_cannot_be_asked_stays_pending_until_it_can_or_is_removed() {
    for is_decided in [true, false] {
        let lab = lab_that_waits(is_decided);
        let here = other().name;
        let disks = ["/dev/sda", "/dev/sdb"].map(Path::new);
        let away: Vec<_> = disks.into_iter().filter_map(|disk| lab.disks.remove(disk)).collect();
        let error = lab.engine().repair(&here, MODE).unwrap_err();
        assert_eq!(error.kind(), Kind::Refused);
        let said = format!("{error} {:?}", error.chain());
        assert!(said.contains("cannot be asked") && said.contains("snapshot remove other/t"), "{said}");
        assert_eq!(state(&lab, "t"), Some(SnapshotState::Pending));
        assert!(!lab.engine().check(&here, MODE).unwrap().plan.is_empty());

        let gone = lab.fork();
        gone.engine().remove_snapshots(&here, &[lv("t")], MODE).unwrap();
        assert!(!has(&gone, "t") && gone.engine().check(&here, MODE).unwrap().plan.is_empty());

        away.into_iter().for_each(|disk| lab.disks.plug(disk));
        lab.engine().repair(&here, MODE).unwrap();
        assert_eq!(state(&lab, "t"), is_decided.then_some(SnapshotState::Active));
        lab.engine().repair(&vg(), MODE).unwrap();
        assert_eq!(has(&lab, "s"), is_decided);
        lab.assert_at_rest("after both were repaired");
    }
}

/// It may be undone, and with it what is made of it.
#[test]
fn nothing_is_made_of_a_snapshot_of_which_nobody_knows_whether_it_was_taken() {
    let lab = lab_that_waits(false);
    let here = other().name;
    let disks = ["/dev/sda", "/dev/sdb"].map(Path::new);
    disks.iter().for_each(|disk| drop(lab.disks.remove(disk).unwrap()));
    let restoration = Restoration { vg: here.clone(), ..restoration("t", "copy") };
    let rollback = Rollback { vg: here, ..back("t") };
    let errors = [
        lab.engine().restore_snapshot(&restoration, MODE).unwrap_err(),
        lab.engine().merge_snapshot(&rollback, MODE).unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().contains("other/t is unfinished"), "{error}");
    }
}

/// What was decided is told by a mark that stays until the other group has followed, and no longer.
#[test]
fn the_group_that_decided_awaits_the_other_one() {
    let lab = lab_that_waits(true);
    lab.engine().repair(&vg(), MODE).unwrap();
    assert_eq!(state(&lab, "t"), Some(SnapshotState::Pending), "a command on one group changes no other");
    lab.engine().repair(&other().name, MODE).unwrap();
    assert_eq!(state(&lab, "t"), Some(SnapshotState::Active));
    lab.assert_at_rest("nothing is awaited any more");
    let owner = dmsnap::lvm::Host::default();
    let open = dmsnap::lvm::open_vg(&lab.disks, &owner, &vg(), dmsnap::block::Access::Read).unwrap();
    assert!(open.vg.lvs.iter().all(|lv| lv.tags.is_empty()));
}

/// Whoever takes locks in another order waits for ever.
#[test]
fn two_who_name_the_groups_in_different_orders_do_not_wait_for_each_other() {
    let lab = lab();
    let take = |lab: &Lab, engine: &Engine, who: u64| {
        differ(who);
        for round in 0..6 {
            let (s, t) = (format!("s{who}-{round}"), format!("t{who}-{round}"));
            let mut new = vec![cut(&[("db", &s)]), NewSnapshots { vg: other().name, ..cut(&[("afar", &t)]) }];
            if who == 1 {
                new.reverse();
            }
            engine.create_snapshots_across(&new, Mode::default()).unwrap();
            engine.remove_snapshots(&vg(), &[lv(&s)], Mode::default()).unwrap();
            engine.remove_snapshots(&other().name, &[lv(&t)], Mode::default()).unwrap();
            assert!(!has(lab, &s));
        }
    };
    let engine = Arc::new(lab.engine());
    std::thread::scope(|scope| {
        for who in 0..2 {
            let (engine, lab) = (Arc::clone(&engine), lab.clone());
            scope.spawn(move || take(&lab, &engine, who));
        }
    });
    lab.assert_at_rest("after all of them");
}
