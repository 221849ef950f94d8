//! Import of a volume group: whatever text is read, the view, the checks and the wanted devices agree with one another.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dmsnap::block::DevNo;
use dmsnap::engine::desired::{Activation, desired};
use dmsnap::error::Kind;
use dmsnap::lvm::check::{self, Host};
use dmsnap::lvm::free::{FreeMap, Run, used_runs};
use dmsnap::lvm::{Request, Role, Stamp, Vg, allocate};
use dmsnap::units::Extents;

pub fn run(data: &[u8]) -> bool {
    if data.len() > 1 << 16 {
        return false;
    }
    match Vg::from_text(data) {
        Ok(vg) => read(&vg),
        Err(error) => assert!(error.kind() == Kind::Refused && !error.message().is_empty()),
    }
    true
}

fn read(vg: &Vg) {
    view(vg);
    let refusal = check::refusal(vg, &Host::default());
    let valid = check::validate(None, vg).is_ok();
    if refusal.is_none() {
        extents(vg);
    }
    devices(vg);
    room(vg, refusal.is_none() && valid);
    same(vg, &reread(vg));
}

/// A volume group's text under another stamp, read again.
pub fn reread(vg: &Vg) -> Vg {
    let stamp = Stamp {
        time: 1_795_261_266,
        host: "fuzz \"er\"".into(),
        description: "a\nb".into(),
        ..Stamp::default()
    };
    let text = vg.text(&stamp).unwrap_or_else(|error| panic!("{error}"));
    Vg::from_text(&text).unwrap_or_else(|error| panic!("{error}: {}", text.escape_ascii()))
}

/// Two that must be the same.
pub fn same(one: &Vg, other: &Vg) {
    assert_eq!(
        (&one.name, one.id, one.seqno, one.extent_size),
        (&other.name, other.id, other.seqno, other.extent_size)
    );
    assert_eq!((&one.status, &one.flags, &one.tags), (&other.status, &other.flags, &other.tags));
    assert_eq!((&one.system_id, &one.lock_type), (&other.system_id, &other.lock_type));
    assert_eq!(
        (one.max_lv, one.max_pv, one.metadata_copies),
        (other.max_lv, other.max_pv, other.metadata_copies)
    );
    assert_eq!(one.pvs, other.pvs);
    assert_eq!(one.lvs, other.lvs);
    assert_eq!(one.historical, other.historical);
    assert_eq!(one.snapshots(), other.snapshots());
}

/// Volumes and snapshots find one another.
pub fn view(vg: &Vg) {
    for lv in &vg.lvs {
        assert_eq!(vg.lv(&lv.name), Some(lv));
        let role = vg.role(&lv.name).expect("it is there");
        let store = vg.snapshot_of_store(&lv.name);
        assert_eq!(role == Role::Cow, store.is_some());
        assert!(store.is_none_or(|snapshot| snapshot.store == lv.name));
        assert!(vg.snapshots_of(&lv.name).all(|snapshot| snapshot.origin == lv.name));
        assert!(role != Role::Plain || vg.visible(&lv.name));
        let mut end = Extents::ZERO;
        for segment in &lv.segments {
            assert_eq!(segment.start, end);
            end += segment.length;
        }
        assert_eq!(lv.extents(), end);
    }
    for snapshot in vg.snapshots() {
        for name in [&snapshot.hidden, &snapshot.store, &snapshot.origin] {
            assert!(vg.lv(name).is_some(), "a snapshot names {name}, which is not there");
        }
        assert!(vg.lv(&snapshot.hidden).is_some_and(|lv| lv.is_snapshot_tie()));
    }
    let _ = (vg.size(), vg.free(), vg.extents(), vg.free_extents());
}

/// Where nothing overlaps, what is used and what is free make the whole.
pub fn extents(vg: &Vg) {
    let free = FreeMap::of(vg);
    for (place, (pv, used)) in vg.pvs.iter().zip(used_runs(vg)).enumerate() {
        assert!(used.windows(2).all(|pair| pair[0].end() <= pair[1].start), "extents in two volumes");
        assert!(used.last().is_none_or(|last| last.end() <= pv.pe_count), "extents beyond the end");
        let count: Extents = used.iter().map(|run: &Run| run.length).sum();
        assert_eq!(count + free.on(place), pv.pe_count);
        assert_eq!(vg.free_on(&pv.id), free.on(place));
    }
}

fn devices(vg: &Vg) {
    let roots: BTreeSet<_> = vg
        .lvs
        .iter()
        .map(|lv| lv.name.clone())
        .filter(|name| matches!(vg.role(name), Some(Role::Plain | Role::Origin)))
        .collect();
    let disks: Vec<_> = (0..).zip(&vg.pvs).map(|(minor, _)| Some(DevNo { major: 8, minor })).collect();
    let none = BTreeSet::new();
    let activation = Activation {
        roots: &roots,
        disks: &disks,
        waiting: &none,
        forced: &none,
        beginning: &none,
        resting: &none,
        present: &BTreeMap::new(),
        dev: Path::new("/dev"),
    };
    if let Err(error) = desired(vg, &activation) {
        assert!(!error.message().is_empty());
    }
}

/// What is allocated was free, and is as much as was asked for.
fn room(vg: &Vg, sound: bool) {
    let free = vg.free_extents();
    for (extents, stripes) in [(Extents(1), 1), (free, 1), (Extents(4), 2)] {
        let request = Request { extents, stripes, ..Request::default() };
        let Ok(segments) = allocate(vg, &request) else { continue };
        let got: Extents = segments.iter().map(|segment| segment.length).sum();
        assert!(!sound || got >= extents, "{got} of {extents}");
    }
}
