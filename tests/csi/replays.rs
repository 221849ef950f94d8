//! Calls that die at any step, or meet others: the next attempt finds what is there.

use std::sync::Arc;

use dmsnap::csi::proto::controller_server::Controller;
use dmsnap::units::Bytes;
use tonic::{Code, Request};

use crate::contents::{of_snapshot, of_volume};
use crate::driver::{Answer, Driver, snapshot, volume};
use crate::lab::Lab;

/// Asks a driver that dies before its `last`-th step, for each of them, and then one that lives. What is left is what is asked for.
fn replayed(prepare: impl Fn(&Driver), call: impl Fn(&Driver) -> bool, judge: impl Fn(&Driver, Bytes)) {
    for last in 1.. {
        let lab = Lab::new();
        prepare(&Driver::new(&lab));
        let is_done = call(&Driver::on(lab.mortal_engine(last)));
        let driver = Driver::new(&lab);
        assert!(call(&driver), "cut before step {last}");
        judge(&driver, lab.free());
        // A copy of the metadata that was not written any more is written with the next change.
        driver.create(volume("next", 1)).unwrap();
        driver.delete("next").unwrap();
        lab.assert_at_rest(&format!("cut before step {last}"));
        if is_done {
            assert!(last > 3, "nothing was cut");
            return;
        }
    }
}

#[test]
fn a_volume_whose_making_died_is_made_once() {
    let made = |driver: &Driver| driver.create(volume("pvc-1", 8)).is_ok();
    replayed(|_| (), made, |driver, _| assert_eq!(driver.ids(), ["pvc-1"]));
}

#[test]
fn a_snapshot_whose_cut_died_is_cut_once() {
    replayed(
        |driver| drop(driver.create(volume("pvc-1", 8)).unwrap()),
        |driver| driver.snap("pvc-1", "snapshot-1").is_ok(),
        |driver, _| assert_eq!(driver.snapshot_ids(), ["snapcontent-1"]),
    );
}

#[test]
fn a_removal_that_died_is_ended() {
    let all = Lab::new().free();
    replayed(
        |driver| drop(driver.create(volume("pvc-1", 8)).unwrap()),
        |driver| driver.delete("pvc-1").is_ok(),
        |driver, free| assert_eq!((driver.ids(), free), (Vec::new(), all)),
    );
}

#[test]
fn a_volume_with_content_whose_making_died_is_made_once() {
    for source in [of_snapshot("snapcontent-1"), of_volume("pvc-1")] {
        let mut asked = volume("pvc-2", 8);
        asked.volume_content_source = source;
        replayed(
            |driver| {
                driver.create(volume("pvc-1", 8)).unwrap();
                driver.snap("pvc-1", "snapshot-1").unwrap();
            },
            |driver| driver.create(asked.clone()).is_ok(),
            |driver, _| {
                assert_eq!(driver.ids(), ["pvc-1", "pvc-2"]);
                assert_eq!(driver.snapshot_ids(), ["snapcontent-1"]);
            },
        );
    }
}

/// Asks again as long as another call works on it.
fn insist<T>(ask: impl Fn() -> Answer<T>) -> T {
    loop {
        match ask() {
            Err((Code::Aborted, _)) => std::thread::yield_now(),
            answer => return answer.unwrap(),
        }
    }
}

#[test]
fn a_call_whose_caller_goes_away_leaves_what_it_was_to_leave() {
    let lab = Lab::new();
    let driver = Driver::new(&lab);
    driver.cancel(driver.controller.create_volume(Request::new(volume("pvc-1", 8))));
    insist(|| driver.create(volume("pvc-1", 8)));
    driver.cancel(driver.controller.create_snapshot(Request::new(snapshot("pvc-1", "snapshot-1"))));
    let made = insist(|| driver.snap("pvc-1", "snapshot-1"));
    assert_eq!(
        (driver.ids(), driver.snapshot_ids()),
        (vec!["pvc-1".to_owned()], vec![made.snapshot_id.clone()])
    );
    insist(|| driver.delete_snapshot(&made.snapshot_id));
    insist(|| driver.delete("pvc-1"));
    lab.assert_at_rest("all is gone");
}

#[test]
fn calls_on_different_volumes_go_on_at_once() {
    let lab = Lab::new();
    let driver = Arc::new(Driver::new(&lab));
    let threads: Vec<_> = (0..8)
        .map(|number| {
            let driver = Arc::clone(&driver);
            std::thread::spawn(move || {
                let (id, name) = (format!("pvc-{number}"), format!("snapshot-{number}"));
                for _ in 0..3 {
                    driver.create(volume(&id, 2)).unwrap();
                    let made = driver.snap(&id, &name).unwrap();
                    driver.delete_snapshot(&made.snapshot_id).unwrap();
                    driver.delete(&id).unwrap();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(driver.ids(), Vec::<String>::new());
    lab.assert_at_rest("all is gone");
}
