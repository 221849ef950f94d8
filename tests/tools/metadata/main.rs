//! Works on metadata alone, through the library, for the guest tests: lvm2 is the other party.
//!
//! ```text
//! metadata create VG [small] DEV...     label the devices, make a volume group on them
//! metadata extend VG DEV                label the device, add it
//! metadata reduce VG DEV                take it out
//! metadata add VG LV EXTENTS            a volume
//! metadata fill VG COUNT                make an empty group one of so many volumes, as the benchmarks have it
//! metadata tag VG LV TAG                a tag more
//! metadata snapshot VG STORE ORIGIN     make a volume the store of a snapshot
//! metadata detach VG STORE              and a plain volume again
//! metadata remove VG LV                 a volume less
//! metadata rename VG LV NAME
//! metadata count VG TIMES [LENGTH]      so many commits, each with one tag more or less
//! metadata show VG                      seqno, volumes, refusal, and where the texts are
//! metadata drop VG                      remove the volume group
//! ```

use std::error::Error;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use dmsnap::block::sysfs::SysDevices;
use dmsnap::block::{Access, Devices};
use dmsnap::lvm::lock::Guard;
use dmsnap::lvm::{
    Creation, Edit, Host, Locks, LvName, Mode, NewLv, NewVg, OpenPv, OpenVg, PvOptions, Request, Stamp, Uuid,
    VgName, Wait, allocate, commit, create_pv, create_vg, open_vg, remove_vg,
};
use dmsnap::units::{Bytes, Extents, Sectors};

#[path = "../../../benches/metadata/group.rs"]
mod group;

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["create", vg, "small", devices @ ..] => create(vg, devices, &small()),
        ["create", vg, devices @ ..] => create(vg, devices, &PvOptions::default()),
        ["extend", vg, device] => extend(vg, device),
        ["reduce", vg, device] => change(vg, |open| {
            let pv = open.pvs.iter().find(|pv| pv.path.as_deref() == Some(Path::new(device)));
            Ok(vec![Edit::RemovePv { pv: pv.ok_or("no such device")?.id }])
        }),
        ["add", vg, lv, extents] => change(vg, |open| Ok(vec![add(open, lv, extents)?])),
        ["fill", vg, count] => change(vg, |open| fill(open, count.parse()?)),
        ["tag", vg, lv, tag] => {
            change(vg, |_| Ok(vec![Edit::AddLvTag { lv: lv.parse()?, tag: tag.parse()? }]))
        }
        ["snapshot", vg, store, origin] => change(vg, |_| {
            Ok(vec![Edit::AddSnapshot {
                store: store.parse()?,
                origin: origin.parse()?,
                chunk_size: Sectors(8),
                id: uuid(),
                created: Some(created()),
            }])
        }),
        ["detach", vg, store] => change(vg, |_| Ok(vec![Edit::DetachSnapshot { store: store.parse()? }])),
        ["remove", vg, lv] => change(vg, |_| Ok(vec![Edit::RemoveLv { lv: lv.parse()? }])),
        ["rename", vg, lv, to] => {
            change(vg, |_| Ok(vec![Edit::RenameLv { lv: lv.parse()?, to: to.parse()? }]))
        }
        ["count", vg, times] => count(vg, times.parse()?, 8),
        ["count", vg, times, length] => count(vg, times.parse()?, length.parse()?),
        ["show", vg] => show(vg),
        ["drop", vg] => {
            let _locks = (Locks::new(LOCKS).global(Mode::Exclusive, Wait::Forever)?, lock(vg)?);
            remove_vg(open(vg, Access::Write)?)?;
            Ok(())
        }
        _ => Err("see the beginning of tests/tools/metadata/main.rs".into()),
    }
}

const LOCKS: &str = "/run/lock/lvm";

/// A metadata area of 32 KiB.
fn small() -> PvOptions {
    PvOptions { metadata_size: Some(Bytes::kib(32)), data_alignment: Bytes::kib(4), ..PvOptions::default() }
}

fn devices() -> SysDevices {
    SysDevices::default()
}

fn lock(vg: &str) -> Result<Guard, Box<dyn Error>> {
    Ok(Locks::new(LOCKS).vg(&vg.parse()?, Mode::Exclusive, Wait::Forever)?)
}

fn open(vg: &str, access: Access) -> Result<OpenVg, Box<dyn Error>> {
    let name: VgName = vg.parse()?;
    Ok(open_vg(&devices(), &Host::default(), &name, access)?)
}

fn uuid() -> Uuid {
    Uuid::generate(&mut |bytes| getrandom::fill(bytes).expect("the kernel has random bytes"))
}

fn created() -> Creation {
    Creation { time: now(), host: "guest".into() }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

fn stamp() -> Stamp {
    let description = std::env::args().collect::<Vec<_>>().join(" ");
    Stamp { time: now(), host: "guest".into(), system: "Linux".into(), system_id: None, description }
}

fn label(device: &str, options: &PvOptions) -> Result<OpenPv, Box<dyn Error>> {
    let device = devices().open(device.as_ref(), Access::Exclusive)?;
    Ok(create_pv(device, uuid(), options)?)
}

fn create(vg: &str, paths: &[&str], options: &PvOptions) -> Outcome {
    let _locks = (Locks::new(LOCKS).global(Mode::Exclusive, Wait::Forever)?, lock(vg)?);
    let pvs = paths.iter().map(|path| label(path, options)).collect::<Result<_, _>>()?;
    let new = NewVg {
        name: vg.parse()?,
        id: uuid(),
        extent_size: Sectors(8192),
        system_id: None,
        metadata_copies: 0,
    };
    create_vg(pvs, &new, &stamp())?;
    Ok(())
}

fn extend(vg: &str, device: &str) -> Outcome {
    let _locks = (Locks::new(LOCKS).global(Mode::Exclusive, Wait::Forever)?, lock(vg)?);
    let mut open = open(vg, Access::Write)?;
    let pv = label(device, &PvOptions::default())?;
    let next = open.vg.apply(&[Edit::AddPv(pv.as_new(open.vg.extent_size)?)])?;
    open.join(pv);
    Ok(commit(&mut open, next, &stamp())?)
}

/// One commit under the lock.
fn change(vg: &str, edits: impl FnOnce(&OpenVg) -> Result<Vec<Edit>, Box<dyn Error>>) -> Outcome {
    let _lock = lock(vg)?;
    let mut open = open(vg, Access::Write)?;
    let next = open.vg.apply(&edits(&open)?)?;
    Ok(commit(&mut open, next, &stamp())?)
}

fn add(open: &OpenVg, lv: &str, extents: &str) -> Result<Edit, Box<dyn Error>> {
    let request = Request { extents: Extents(extents.parse()?), ..Request::default() };
    Ok(Edit::AddLv(NewLv {
        name: lv.parse::<LvName>()?,
        id: uuid(),
        writable: true,
        visible: true,
        flags: Vec::new(),
        tags: Vec::new(),
        created: Some(created()),
        segments: allocate(&open.vg, &request)?,
    }))
}

fn fill(open: &OpenVg, count: u64) -> Result<Vec<Edit>, Box<dyn Error>> {
    if open.vg.extents() < Extents(group::extents(count)) {
        return Err("the disk is too small".into());
    }
    Ok(group::volumes(count))
}

/// Commits of different lengths: a tag comes, and the next time it goes.
fn count(vg: &str, times: usize, length: usize) -> Outcome {
    for number in 0..times {
        change(vg, |open| {
            let own = open.vg.tags.iter().find(|tag| tag.as_str().starts_with("count"));
            Ok(vec![match own {
                Some(tag) => Edit::RemoveVgTag { tag: tag.clone() },
                None => Edit::AddVgTag { tag: format!("count{}", "x".repeat(number * 37 % length)).parse()? },
            }])
        })?;
    }
    Ok(())
}

fn show(vg: &str) -> Outcome {
    let open = open(vg, Access::Read)?;
    let refusal = open.refusal.as_ref().map_or("none", |refusal| &refusal.reason);
    println!("seqno {}, refusal: {refusal}", open.vg.seqno);
    for lv in &open.vg.lvs {
        println!("lv {} {:?} {}", lv.name, open.vg.role(&lv.name).ok_or("no role")?, lv.extents().get());
    }
    for pv in &open.pvs {
        for mda in &pv.mdas {
            let place = mda.header.as_ref().map_err(String::as_str)?.committed;
            println!("text {} {} {}", pv.name(), place.offset.get(), place.size.get());
        }
    }
    Ok(())
}
