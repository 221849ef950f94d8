//! Calls that die at any step, or meet others: the next attempt finds what is there.

use std::sync::Arc;

use dmsnap::units::Bytes;

use crate::driver::{Driver, volume};
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
