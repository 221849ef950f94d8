//! Nodes and links, with and without udevd.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use dmsnap::block::Devices;
use dmsnap::dm::control::Control;
use dmsnap::dm::nodes::Nodes;
use dmsnap::dm::{DmUuid, Kernel};
use dmsnap::error::{Error, Kind, Result};

use super::lab::{Lab, VISIBLE, equal, expect, name, refused};

/// Without udevd: a node for root and disk, a link to it, both gone with the device.
pub fn nodes(lab: &Lab) -> Result<()> {
    let number = lab.linear("vg-db", 0)?;
    let (node, link) = (Path::new("/dev/mapper/vg-db"), Path::new("/dev/vg/db"));
    lab.kernel.publish(&name("vg-db"), number, Some(link))?;
    equal("what the link leads to", &lab.devices.lookup(link)?.number, &number)?;
    equal("the link", &std::fs::read_link(link).ok().as_deref(), &Some(node))?;
    let data = std::fs::symlink_metadata(node).map_err(|error| Error::io("no node", error))?;
    equal("the node's mode and owners", &(data.mode(), data.uid(), data.gid()), &(0o060_660, 0, 6))?;
    lab.kernel.publish(&name("vg-db"), number, Some(link))?;
    lab.kernel.retract(&name("vg-db"), Some(link))?;
    expect(link.exists(), || "the link of a device that is there was removed".to_owned())?;
    lab.kernel.remove(&name("vg-db"), VISIBLE)?;
    lab.kernel.retract(&name("vg-db"), Some(link))?;
    expect(!node.exists() && !Path::new("/dev/vg").exists(), || "node or link are left".to_owned())
}

/// With udevd: its rules make the links, also for what is renamed, and remove them.
pub fn links(lab: &Lab) -> Result<()> {
    let uuid = |last: &str| DmUuid::for_volume(&"V".repeat(32), &format!("{}{last}", "L".repeat(31)), None);
    let (first, second) = (name("vg-db"), name("vg-new"));
    let (link, new_link) = (Path::new("/dev/vg/db"), Path::new("/dev/vg/new"));
    let number = lab.kernel.create(&first, &uuid("1")?)?;
    lab.load("vg-db", lab.place(0))?;
    let began = Instant::now();
    lab.kernel.resume(&first, VISIBLE)?;
    println!("  resume took {:?}", began.elapsed());
    lab.kernel.publish(&first, number, Some(link))?;
    println!("  published after {:?}", began.elapsed());
    equal("the link", &lab.devices.lookup(link)?.number, &number)?;
    lab.kernel.rename(&first, &second, VISIBLE)?;
    lab.kernel.publish(&second, number, Some(new_link))?;
    lab.kernel.retract(&first, Some(link))?;
    equal("the new link", &lab.devices.lookup(new_link)?.number, &number)?;
    expect(!link.exists(), || "the old link is left".to_owned())?;
    let began = Instant::now();
    lab.kernel.remove(&second, VISIBLE)?;
    println!("  remove took {:?}", began.elapsed());
    lab.kernel.retract(&second, Some(new_link))?;
    expect(!new_link.exists(), || "the new link is left".to_owned())
}

pub fn no_control(_: &Lab) -> Result<()> {
    let (node, aside) = ("/dev/mapper/control", "/dev/mapper/aside");
    let moved = |from, to| {
        std::fs::rename(from, to).map_err(|error| Error::io("cannot move the control node", error))
    };
    moved(node, aside)?;
    let refusal =
        refused("no control node", Control::new(Nodes::default()).list(), Kind::Internal, "modprobe dm-mod");
    moved(aside, node)?;
    refusal
}
