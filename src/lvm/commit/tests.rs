use super::*;
use crate::block::mem::MemDevices;
use crate::block::{Access, Devices};
use crate::lvm::alloc::{Request, allocate};
use crate::lvm::check::Host;
use crate::lvm::edit::{Edit, NewLv};
use crate::lvm::name::Uuid;
use crate::lvm::scan::{open_vg, scan};
use crate::units::{Extents, Sectors};

pub(crate) fn uuid(text: &str) -> Uuid {
    format!("{text:0>32}").parse().unwrap()
}

pub(crate) fn stamp() -> Stamp {
    Stamp {
        time: 1_795_261_267,
        host: "here".into(),
        system: "Linux here 6.1".into(),
        system_id: None,
        description: "a test".into(),
    }
}

/// A volume group `vg` on so many disks of 64 MiB.
pub(crate) fn world(disks: usize, options: &PvOptions) -> MemDevices {
    let host = MemDevices::new();
    let pvs = (0..disks).map(|number| {
        let path = format!("/dev/sd{number}");
        host.add(&path, Bytes::mib(64));
        let device = host.open(path.as_ref(), Access::Write).unwrap();
        create_pv(device, uuid(&format!("pv{number}")), options).unwrap()
    });
    let new =
        NewVg { name: "vg".parse().unwrap(), id: uuid("vg"), extent_size: Sectors(2048), system_id: None };
    create_vg(pvs.collect(), &new, &stamp()).unwrap();
    host
}

pub(crate) fn open(host: &MemDevices) -> OpenVg {
    open_vg(host, &Host::default(), &"vg".parse().unwrap(), Access::Write).unwrap()
}

pub(crate) fn new_lv(vg: &Vg, name: &str, extents: u64) -> Edit {
    let request = Request { extents: Extents(extents), ..Request::default() };
    Edit::AddLv(NewLv {
        name: name.parse().unwrap(),
        id: uuid(name),
        writable: true,
        visible: true,
        flags: Vec::new(),
        tags: Vec::new(),
        created: None,
        segments: allocate(vg, &request).unwrap(),
    })
}

#[test]
fn a_new_volume_group_is_found_again() {
    let host = world(2, &PvOptions::default());
    let found = scan(&host, &Host::default()).unwrap();
    assert_eq!((found.vgs.len(), found.orphans.len(), found.findings), (1, 0, Vec::new()));
    let open = &found.vgs[0];
    assert_eq!(open.refusal, None);
    assert_eq!(open.vg.seqno, 1);
    assert_eq!(open.vg.extents(), Extents(126));
    assert!(open.pvs.iter().all(|pv| pv.label.as_ref().unwrap().used()));
}

#[test]
fn a_commit_is_read_back_with_its_seqno_one_higher() {
    let host = world(2, &PvOptions::default());
    let mut vg = open(&host);
    let next = vg.vg.apply(&[new_lv(&vg.vg, "db", 5)]).unwrap();
    commit(&mut vg, next, &stamp()).unwrap();
    assert_eq!(vg.vg.seqno, 2);
    let again = open(&host);
    assert_eq!(again.vg.seqno, 2);
    assert_eq!(again.vg.lvs, vg.vg.lvs);
    assert_eq!(again.pvs[0].mdas, vg.pvs[0].mdas);
}
