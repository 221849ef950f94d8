use super::*;
use crate::block::mem::MemDevices;
use crate::dm::sim::SimKernel;
use crate::dm::{DmUuid, Freeze, Target};
use crate::units::{Bytes, Sectors};

const SIZE: Sectors = Sectors(2048);
const VISIBLE: UdevFlags = UdevFlags::visible();

fn name(text: &str) -> DmName {
    DmName::new(text).unwrap()
}

fn load(kernel: &SimKernel, text: &str, target: Target<DevNo>) {
    kernel.load(&name(text), &Table::single(SIZE, target), false).unwrap();
}

fn live(kernel: &SimKernel, text: &str, target: Target<DevNo>) -> DevNo {
    let number = kernel.create(&name(text), &DmUuid::new(text).unwrap()).unwrap();
    load(kernel, text, target);
    kernel.resume(&name(text), VISIBLE).unwrap();
    number
}

fn suspend(text: &str) -> SwitchStep {
    SwitchStep::Suspend(name(text), Freeze::Io)
}

fn resume(text: &str) -> SwitchStep {
    SwitchStep::Resume(name(text), VISIBLE)
}

/// A volume `org` whose first snapshot `s` is about to begin, and the switch that does it.
fn first_snapshot() -> (SimKernel, [SwitchStep; 3]) {
    let disks = MemDevices::new();
    let device = crate::block::Device::number(disks.add("/dev/a", Bytes::mib(4)).as_ref());
    let kernel = SimKernel::new(&disks);
    let at = |offset| Target::Linear { device, offset: Sectors(offset) };
    let (real, cow) = (live(&kernel, "real", at(0)), live(&kernel, "cow", at(2048)));
    live(&kernel, "org", at(0));
    kernel.create(&name("s"), &DmUuid::new("s").unwrap()).unwrap();
    load(&kernel, "s", Target::Snapshot { origin: real, cow, chunk: Sectors(8) });
    load(&kernel, "org", Target::Origin { device: real });
    (kernel, [suspend("org"), resume("s"), resume("org")])
}

/// The same when it has begun, and a switch that ends with a merge which the kernel refuses: its source is not suspended.
fn refused_merge() -> (SimKernel, [SwitchStep; 3]) {
    let (kernel, steps) = first_snapshot();
    kernel.switch(&steps).unwrap();
    let Some(Target::Snapshot { origin, cow, chunk }) = target(&kernel, "s") else { panic!("no snapshot") };
    load(&kernel, "org", Target::Merge { origin, cow, chunk });
    (kernel, [suspend("org"), resume("real"), resume("org")])
}

fn target(kernel: &SimKernel, text: &str) -> Option<Target<DevNo>> {
    kernel.table(&name(text), Slot::Live).unwrap().0.into_iter().next().map(|line| line.target)
}

/// Ends the switch of a process that has fired so many steps, and then once more.
fn rescue(kernel: &SimKernel, steps: &[SwitchStep], fired: usize, reached: Reached) -> &'static str {
    let mut course = Course::new(kernel, steps).unwrap();
    let mut single = Single { kernel, steps, witness: &() };
    for step in 0..fired {
        let _ = single.fire(step);
    }
    for _ in 0..2 {
        course.rescue(reached, &mut single);
        assert_eq!(
            kernel.unsettled().iter().filter(|device| **device != name("s")).count(),
            0,
            "{reached:?}"
        );
    }
    assert_eq!(kernel.violations(), [""; 0], "{reached:?}");
    match target(kernel, "org") {
        Some(Target::Linear { .. }) => "linear",
        Some(Target::Origin { .. }) => "origin",
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_switch_goes_back_before_its_first_resume_and_on_behind_it() {
    for (step, kind) in [(0, "linear"), (1, "origin"), (2, "origin")] {
        for fired in [step, step + 1] {
            let (kernel, steps) = first_snapshot();
            assert_eq!(rescue(&kernel, &steps, fired, Reached { step, back: false }), kind, "{step} {fired}");
        }
    }
}

#[test]
fn a_switch_that_was_on_its_way_back_stays_on_it() {
    for step in [0, 1] {
        let (kernel, steps) = first_snapshot();
        assert_eq!(rescue(&kernel, &steps, 1, Reached { step, back: true }), "linear");
    }
}

#[test]
fn a_resume_that_fails_while_a_switch_is_ended_gets_its_old_table_back() {
    for (step, fired) in [(1, 1), (1, 2), (2, 2), (2, 3)] {
        for back in [false, step == 2] {
            let (kernel, steps) = refused_merge();
            assert_eq!(rescue(&kernel, &steps, fired, Reached { step, back }), "origin", "{step} {fired}");
        }
    }
}

#[test]
fn tables_that_had_no_turn_are_cleared_whichever_step_fails() {
    for nth in 1..=3 {
        let (kernel, steps) = first_snapshot();
        kernel.fail_nth(nth);
        kernel.switch(&steps).unwrap_err();
        assert!(!kernel.info(&name("org")).unwrap().unwrap().inactive, "{nth}");
    }
}

#[test]
fn a_device_that_is_open_and_should_not_be_goes_on_as_it_was() {
    let (kernel, [_, begins, resumes]) = first_snapshot();
    kernel.hold(&name("org"));
    let steps = [SwitchStep::Suspend(name("org"), Freeze::Unopened), begins, resumes];
    let error = kernel.switch(&steps).unwrap_err();
    assert_eq!(error.kind(), crate::error::Kind::InUse, "{error}");
    assert_eq!(kernel.unsettled(), [name("s")], "its maker takes away the snapshot");
    assert!(matches!(target(&kernel, "org"), Some(Target::Linear { .. })));
    kernel.release(&name("org"));
    load(&kernel, "org", Target::Origin { device: kernel.info(&name("real")).unwrap().unwrap().number });
    kernel.switch(&steps).unwrap();
}

#[test]
fn a_merge_whose_resume_is_said_to_have_failed_is_gone_on_with() {
    let (kernel, _) = refused_merge();
    kernel.load(&name("s"), &Table::single(SIZE, Target::Error), false).unwrap();
    let steps = [suspend("org"), suspend("s"), resume("org"), resume("s")];
    // Its third call is done, and said to have failed.
    let steps_taken = crate::steps::Steps::around(
        |_| Ok(()),
        |step| if step == 3 { Err(no_such_device(&name("org"))) } else { Ok(()) },
    );
    kernel.switch_before(&steps, &steps_taken).unwrap();
    assert_eq!(kernel.unsettled(), []);
    assert!(matches!(target(&kernel, "org"), Some(Target::Merge { .. })));
    assert_eq!(target(&kernel, "s"), Some(Target::Error));
}

/// The process goes on with other switches, and waits for udev: what it knows to be done is not all that may stand still.
#[test]
fn a_suspend_that_is_said_to_have_failed_is_taken_back() {
    for (freeze, failed) in [(Freeze::FileSystem, 1), (Freeze::Io, 1), (Freeze::Io, 2)] {
        let (kernel, [_, begins, resumes]) = first_snapshot();
        live(&kernel, "more", Target::Zero);
        let [org, more] = ["org", "more"].map(|text| SwitchStep::Suspend(name(text), freeze));
        let steps = [org, more, begins, resume("more"), resumes];
        let untrue = crate::steps::Steps::around(
            |_| Ok(()),
            move |step| if step == failed { Err(no_such_device(&name("org"))) } else { Ok(()) },
        );
        kernel.switch_before(&steps, &untrue).unwrap_err();
        assert_eq!(kernel.unsettled(), [name("s")], "its maker takes away the snapshot");
        assert!(matches!(target(&kernel, "org"), Some(Target::Linear { .. })));
    }
}
