//! What three or so physical volumes may hold after a power cut within a commit, as files: lvm2 is to judge them.

use std::path::Path;

use dmsnap::block::mem::{MemDevices, Remains};
use dmsnap::block::{Access, Device};
use dmsnap::lvm::{Edit, Host, OpenVg, commit, open_vg};
use dmsnap::units::Bytes;

use super::{Outcome, open, stamp};

/// The fronts of devices with a metadata area of 32 KiB.
const FRONT: usize = 64 << 10;

/// Tags the group in memory, and writes contents that its devices may have after a power cut, so many for each number of writes and
/// flushes that have happened: `DIR/00000.ubda` and so on, and what happened in `DIR/00000.words`.
pub fn cuts(vg: &str, directory: &str, each: usize) -> Outcome {
    let real = open(vg, Access::Read)?;
    let host = copy_of(&real)?;
    host.settle();
    let mut open = open_vg(&host, &Host::default(), &vg.parse()?, Access::Write)?;
    let next = open.vg.apply(&[Edit::AddVgTag { tag: "cut".parse()? }])?;
    commit(&mut open, next, &stamp())?;
    for (number, Remains { words, devices }) in chosen(&host, each).into_iter().enumerate() {
        let file = |name: &str| Path::new(directory).join(format!("{number:05}.{name}"));
        for path in real.pvs.iter().filter_map(|pv| pv.path()) {
            let device = devices.device(path).ok_or("a device is gone")?;
            let name = path.file_name().ok_or("a device has no name")?.to_string_lossy();
            std::fs::write(file(&name), device.peek(Bytes::ZERO, FRONT))?;
        }
        std::fs::write(file("words"), format!("{words}\n"))?;
    }
    Ok(())
}

/// Some contents for each number of writes and flushes that have happened, at other places among those that there may be.
fn chosen(host: &MemDevices, each: usize) -> Vec<Remains> {
    let some = |done: usize| {
        let mut all = host.images_after_cut(done);
        (0..each.min(all.len()))
            .map(|number| all.swap_remove((done * 37 + number * 11) % all.len()))
            .collect::<Vec<_>>()
    };
    (0..=host.log().len()).flat_map(some).collect()
}

fn copy_of(real: &OpenVg) -> Result<MemDevices, Box<dyn std::error::Error>> {
    let host = MemDevices::new();
    for pv in &real.pvs {
        let (device, path) = pv.device().zip(pv.path()).ok_or("a device is missing")?;
        let mut front = vec![0; FRONT];
        device.read_at(Bytes::ZERO, &mut front)?;
        host.add(path, Device::size(&**device)).poke(Bytes::ZERO, &front);
    }
    Ok(host)
}
