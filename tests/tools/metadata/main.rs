//! Works on metadata alone, through the library, for the guest tests: lvm2 is the other party.
//!
//! ```text
//! metadata create VG [small] DEV...     label the devices, make a volume group on them
//! metadata extend VG DEV                label the device, add it
//! metadata reduce VG DEV                take it out
//! metadata add VG LV EXTENTS            a volume
//! metadata populate VG COUNT            make an empty group one of so many volumes, as the benchmarks have it
//! metadata tag VG LV TAG                a tag more
//! metadata snapshot VG STORE ORIGIN     make a volume the store of a snapshot
//! metadata detach VG STORE              and a plain volume again
//! metadata remove VG LV                 a volume less
//! metadata rename VG LV NAME
//! metadata count VG TIMES               so many commits, each with one tag more or less
//! metadata renew VG                     a commit that changes nothing
//! metadata fill VG BYTES                tags until the text has so many bytes, NUL and all
//! metadata alternate VG TIMES SEED      so many commits in turn with lvm2, of random sizes; where each text is to be
//! metadata beat VG SECONDS NAME         commits for so long, each looks for the one before; says how many
//! metadata watch VG SECONDS [locked]    reads for so long, must find the group whole each time; says how often
//! metadata cuts VG DIR EACH             contents that power cuts within a commit may leave, as files
//! metadata show VG                      seqno, volumes, refusal, and where the texts are
//! metadata drop VG                      remove the volume group
//! ```
//!
//! With DMSNAP_KILL_AT=N in the environment it kills itself before its N-th step, as the product does.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use dmsnap::block::sysfs::SysDevices;
use dmsnap::block::{Access, Devices};
use dmsnap::lvm::lock::Guard;
use dmsnap::lvm::{
    Creation, Edit, Host, Locks, LvName, Mode, NewLv, NewVg, OpenPv, OpenVg, PvOptions, Request, Stamp, Uuid,
    VgName, Wait, allocate, commit, create_pv, create_vg, open_vg, remove_vg,
};
use dmsnap::steps::Steps;
use dmsnap::units::{Bytes, Extents, Sectors};

mod alternate;
mod cuts;
#[path = "../../../benches/metadata/group.rs"]
mod group;
mod together;

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["create", vg, "small", devices @ ..] => create(vg, devices, &small()),
        ["create", vg, devices @ ..] => create(vg, devices, &PvOptions::default()),
        ["extend", vg, device] => extend(vg, device),
        ["reduce", vg, device] => change(vg, |open| {
            let pv = open.pvs.iter().find(|pv| pv.path() == Some(Path::new(device)));
            Ok(vec![Edit::RemovePv { pv: pv.ok_or("no such device")?.id }])
        }),
        ["add", vg, lv, extents] => change(vg, |open| Ok(vec![add(open, lv, extents)?])),
        ["populate", vg, count] => change(vg, |open| populate(open, count.parse()?)),
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
        ["count", vg, times] => count(vg, times.parse()?),
        ["renew", vg] => change(vg, |_| Ok(Vec::new())),
        ["fill", vg, bytes] => fill(vg, bytes.parse()?),
        ["alternate", vg, times, seed] => alternate::alternate(vg, times.parse()?, seed.parse()?),
        ["beat", vg, seconds, name] => together::beat(vg, seconds.parse()?, name),
        ["watch", vg, seconds] => together::watch(vg, seconds.parse()?, false),
        ["watch", vg, seconds, "locked"] => together::watch(vg, seconds.parse()?, true),
        ["cuts", vg, directory, each] => cuts::cuts(vg, directory, each.parse()?),
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

fn devices() -> Result<Arc<dyn Devices>, Box<dyn Error>> {
    let devices = Arc::new(SysDevices::default());
    let Ok(last) = std::env::var("DMSNAP_KILL_AT") else { return Ok(devices) };
    let last: u64 = last.parse()?;
    let steps = Steps::new(move |number| {
        if number == last {
            let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
        }
        Ok(())
    });
    Ok(steps.devices(devices))
}

fn lock(vg: &str) -> Result<Guard, Box<dyn Error>> {
    Ok(Locks::new(LOCKS).vg(&vg.parse()?, Mode::Exclusive, Wait::Forever)?)
}

fn open(vg: &str, access: Access) -> Result<OpenVg, Box<dyn Error>> {
    let name: VgName = vg.parse()?;
    Ok(open_vg(devices()?.as_ref(), &Host::default(), &name, access)?)
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
    let device = devices()?.open(device.as_ref(), Access::Exclusive)?;
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

fn populate(open: &OpenVg, count: u64) -> Result<Vec<Edit>, Box<dyn Error>> {
    if open.vg.extents() < Extents(group::extents(count)) {
        return Err("the disk is too small".into());
    }
    Ok(group::volumes(count))
}

/// A tag comes, and the next time it goes.
fn count(vg: &str, times: usize) -> Outcome {
    for number in 0..times {
        change(vg, |open| {
            let own = open.vg.tags.iter().find(|tag| tag.as_str().starts_with("count"));
            Ok(vec![match own {
                Some(tag) => Edit::RemoveVgTag { tag: tag.clone() },
                None => Edit::AddVgTag { tag: format!("count{}", "x".repeat(number % 8)).parse()? },
            }])
        })?;
    }
    Ok(())
}

/// Tags of 1000 bytes and at last one of what is left.
fn fill(vg: &str, bytes: usize) -> Outcome {
    change(vg, |open| {
        let length = |vg: &dmsnap::lvm::Vg| Ok::<_, Box<dyn Error>>(vg.text(&stamp())?.len() + 1);
        let tag = |number: usize, length: usize| {
            Ok::<_, Box<dyn Error>>(Edit::AddVgTag {
                tag: format!("{number:03}{}", "f".repeat(length)).parse()?,
            })
        };
        let mut edits = Vec::new();
        loop {
            // As long as the one that is written, unless its seqno has a digit more.
            let now = length(&open.vg.apply(&edits)?)?;
            let left = bytes.checked_sub(now).ok_or("the text is larger already")?;
            if left == 0 {
                return Ok(edits);
            }
            // A tag takes its own bytes, two quotes, a comma and a space.
            edits
                .push(tag(edits.len(), left.checked_sub(7).ok_or("too little is left for a tag")?.min(900))?);
        }
    })
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
