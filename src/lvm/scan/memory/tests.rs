use std::path::Path;

use crate::block::Access;
use crate::block::mem::{MemDevice, MemDevices};
use crate::error::Kind;
use crate::lvm::check::Host;
use crate::lvm::commit::tests::{new_lv, open, stamp, world};
use crate::lvm::commit::{PvOptions, commit};
use crate::lvm::scan::{OpenVg, Scan, Scanner};
use crate::units::Bytes;
use std::sync::Arc;

fn add(host: &MemDevices, name: &str) {
    let mut vg = open(host);
    let next = vg.vg.apply(&[new_lv(&vg.vg, name, 2)]).unwrap();
    commit(&mut vg, next, &stamp()).unwrap();
}

fn disk(host: &MemDevices, number: usize) -> Arc<MemDevice> {
    host.device(format!("/dev/sd{number}")).unwrap()
}

fn scan(scanner: &Scanner, host: &MemDevices) -> Scan {
    scanner.scan(host, &Host::default()).unwrap()
}

fn names(open: &OpenVg) -> Vec<&str> {
    open.vg.lvs.iter().map(|lv| lv.name.as_str()).collect()
}

/// The bytes at a device's start that hold label and metadata.
const FRONT: usize = 1 << 20;

#[test]
fn what_did_not_change_is_neither_read_nor_parsed_again() {
    let host = world(2, &PvOptions::default());
    add(&host, "a");
    let scanner = Scanner::default();
    let reads = || (0..2).map(|number| disk(&host, number).reads()).sum::<u64>();
    let (before, first) = (reads(), scan(&scanner, &host));
    let (between, second) = (reads(), scan(&scanner, &host));
    let (cold, warm) = (between - before, reads() - between);
    // A label and a header of each disk; the text of each the first time.
    assert_eq!((cold, warm), (6, 4));
    assert!(Arc::ptr_eq(&first.vgs[0].vg.lvs[0], &second.vgs[0].vg.lvs[0]));
}

#[test]
fn a_commit_by_somebody_else_is_seen() {
    let host = world(2, &PvOptions::default());
    let scanner = Scanner::default();
    scan(&scanner, &host);
    for (number, name) in ["a", "b", "c"].into_iter().enumerate() {
        add(&host, name);
        let found = scan(&scanner, &host);
        assert_eq!((found.vgs[0].vg.lvs.len(), found.vgs[0].vg.seqno), (number + 1, number as u64 + 2));
    }
}

#[test]
fn a_physical_volume_that_is_copied_over_another_is_seen() {
    let (host, other) = (world(2, &PvOptions::default()), world(1, &PvOptions::default()));
    add(&host, "a");
    add(&other, "other");
    let scanner = Scanner::default();
    assert_eq!(names(&scan(&scanner, &host).vgs[0]), ["a"]);
    disk(&host, 1).poke(Bytes::ZERO, &disk(&host, 0).peek(Bytes::ZERO, FRONT));
    let reason = scan(&scanner, &host).vgs[0].refusal.clone().unwrap().reason;
    assert!(reason.contains("is there twice"), "{reason}");
    for number in 0..2 {
        disk(&host, number).poke(Bytes::ZERO, &disk(&other, 0).peek(Bytes::ZERO, FRONT));
    }
    assert_eq!(names(&scan(&scanner, &host).vgs[0]), ["other"]);
    for number in 0..2 {
        disk(&host, number).poke(Bytes::ZERO, &vec![0; FRONT]);
    }
    assert!(scan(&scanner, &host).vgs.is_empty());
}

#[test]
fn a_device_that_went_and_comes_back_with_other_content_is_read_anew() {
    let (host, other) = (world(1, &PvOptions::default()), world(1, &PvOptions::default()));
    add(&host, "a");
    add(&other, "other");
    let scanner = Scanner::default();
    scan(&scanner, &host);
    let gone = host.remove(Path::new("/dev/sd0")).unwrap();
    assert!(scan(&scanner, &host).vgs.is_empty());
    let back = host.add("/dev/sd0", crate::block::Device::size(&*gone));
    back.poke(Bytes::ZERO, &disk(&other, 0).peek(Bytes::ZERO, FRONT));
    assert_eq!(names(&scan(&scanner, &host).vgs[0]), ["other"]);
}

#[test]
fn for_a_change_the_text_is_read_again() {
    let host = world(1, &PvOptions::default());
    add(&host, "a");
    let scanner = Scanner::default();
    let found = scan(&scanner, &host);
    let place = found.vgs[0].pvs[0].mdas[0].header.as_ref().unwrap().committed;
    disk(&host, 0).poke(Bytes::kib(4) + place.offset, b"?");
    let vg = "vg".parse().unwrap();
    let opened = scanner.open_vg(&host, &Host::default(), &vg, Access::Write);
    assert_eq!(opened.unwrap_err().kind(), Kind::NotFound);
}
