//! The paths of devices: `/dev/mapper/NAME` and links such as `/dev/vg/lv`.
//!
//! Where udevd runs and has rules for device-mapper it makes them; dmsnap waits for that, with a limit. Whatever is then missing is
//! made here: next to udevd the same relative links that it makes (so that it takes them over and removes them), without it a
//! block node and an absolute link, as lvm2 does. Wrong and stale ones are corrected; what is neither a link nor a
//! block node is somebody's file and is never touched.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use super::{DmName, Paths};
use crate::block::DevNo;
use crate::error::{Error, Kind, Result};

mod look;

use look::Found;
pub use look::Look;

/// For how long an idle udevd may still be about to see an event. Being early does no harm: the links are its own.
const GRACE: Duration = Duration::from_millis(30);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// Where nodes and links live, and what is known of udev.
#[derive(Debug, Clone)]
pub struct Nodes {
    /// `/dev`
    pub dev: PathBuf,
    /// `/sys`
    pub sys: PathBuf,
    /// `/run/udev`
    pub udev: PathBuf,
    /// `/etc/group`, which numbers the group `disk`.
    pub groups: PathBuf,
    /// How long udevd is given.
    pub patience: Duration,
}

impl Default for Nodes {
    fn default() -> Self {
        Self {
            dev: "/dev".into(),
            sys: "/sys".into(),
            udev: "/run/udev".into(),
            groups: "/etc/group".into(),
            patience: Duration::from_secs(2),
        }
    }
}

impl Nodes {
    /// Makes `/dev/mapper/NAME`, and `link` if one is given, lead to the device.
    pub fn publish(&self, name: &DmName, number: DevNo, link: Option<&Path>) -> Result<()> {
        let (node, now) = (self.node(name), self.look(1));
        let right = || now.is_published(name, number, link);
        let udev_runs = self.wait_for_udev(name, number, &right);
        if !now.leads(&node, name, number) {
            self.make_node(&node, number, udev_runs)?;
        }
        match link {
            Some(link) if !now.leads(link, name, number) => {
                let relative = udev_runs && self.dev.join(kernel_name(number)).exists();
                refuse_foreign(link)?;
                link_at(link, &if relative { beside(number) } else { node })
            }
            _ => Ok(()),
        }
    }

    /// Looks at paths. For many of them directories are read at once, and stay as they were read.
    pub fn look(&self, questions: usize) -> Look<'_> {
        Look::new(self, questions)
    }

    /// Removes `/dev/mapper/NAME`, and `link`, unless they lead to a device that still has this name.
    pub fn retract(&self, name: &DmName, link: Option<&Path>) -> Result<()> {
        let (node, now) = (self.node(name), self.look(1));
        // The link first: it may lead through the node.
        if let Some(link) = link
            && now.is_stale(link, name)
        {
            remove(link)?;
            self.remove_empty_parent(link);
        }
        if now.is_stale(&node, name) { remove(&node) } else { Ok(()) }
    }

    /// True if a device is built on this one.
    pub fn has_holders(&self, number: DevNo) -> bool {
        let holders = fs::read_dir(self.sys.join(format!("dev/block/{number}/holders")));
        holders.is_ok_and(|mut holders| holders.next().is_some())
    }

    fn node(&self, name: &DmName) -> PathBuf {
        self.dev.join("mapper").join(name.as_str())
    }

    /// Waits until udevd has done what it will do. Answers whether there is one.
    fn wait_for_udev(&self, name: &DmName, number: DevNo, right: &dyn Fn() -> bool) -> bool {
        let started = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            if !self.udev.join("control").exists() {
                return false;
            }
            let waited = started.elapsed();
            if right() || waited >= self.patience || self.udev_is_through(name, number, waited) {
                return true;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// True if udevd has handled the device's event, or has had time to see it and has nothing to do.
    fn udev_is_through(&self, name: &DmName, number: DevNo, waited: Duration) -> bool {
        if self.udev.join("queue").exists() {
            return false;
        }
        let database = self.udev.join("data").join(format!("b{number}"));
        let made = format!("S:mapper/{name}");
        let database = fs::read_to_string(database).unwrap_or_default();
        database.lines().any(|line| line == made) || waited >= GRACE
    }

    fn is_mapper(&self, target: &Path, name: &DmName) -> bool {
        target == self.node(name) || target == Path::new("../mapper").join(name.as_str())
    }

    fn is_named(&self, device: &str, name: &DmName) -> bool {
        let text = fs::read_to_string(self.sys.join(device).join("dm/name"));
        text.is_ok_and(|text| text.trim_end_matches('\n') == name.as_str())
    }

    fn make_node(&self, node: &Path, number: DevNo, udev_runs: bool) -> Result<()> {
        refuse_foreign(node)?;
        let kernels = self.dev.join(kernel_name(number));
        if udev_runs && kernels.exists() {
            return link_at(node, &beside(number));
        }
        match self.make_block_node(node, number) {
            // A container may not make nodes; it has the kernel's or nothing.
            Err(nix::Error::EPERM) if kernels.exists() => link_at(node, &beside(number)),
            done => {
                done.map_err(|error| Error::io(format!("cannot make the node {}", node.display()), error))
            }
        }
    }

    /// A node for root and the group `disk`, as udev and lvm2 make it.
    fn make_block_node(&self, node: &Path, number: DevNo) -> nix::Result<()> {
        if let Some(parent) = node.parent() {
            fs::create_dir_all(parent)
                .map_err(|error| nix::Error::from_raw(error.raw_os_error().unwrap_or(0)))?;
        }
        let temporary = temporary(node);
        let mode = Mode::from_bits_truncate(0o660);
        let device = makedev(number.major.into(), number.minor.into());
        mknod(&temporary, SFlag::S_IFBLK, mode, device)?;
        let own = |path: &Path| {
            std::os::unix::fs::chown(path, Some(0), self.disk_group())?;
            // The process's umask took bits from mknod's mode.
            fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o660))?;
            fs::rename(path, node)
        };
        own(&temporary).map_err(|error: std::io::Error| {
            let _ = fs::remove_file(&temporary);
            nix::Error::from_raw(error.raw_os_error().unwrap_or(0))
        })
    }

    /// Read from the file: a static binary has no other way to ask.
    fn disk_group(&self) -> Option<u32> {
        let groups = fs::read_to_string(&self.groups).ok()?;
        let line = groups.lines().find_map(|line| line.strip_prefix("disk:"))?;
        line.split(':').nth(1)?.parse().ok()
    }

    /// `/dev/vg` goes with its last link.
    fn remove_empty_parent(&self, link: &Path) {
        if let Some(parent) = link.parent()
            && parent.parent() == Some(self.dev.as_path())
        {
            // Refused while anything is in it, which is what we want.
            let _ = fs::remove_dir(parent);
        }
    }
}

/// The kernel's own name of a device-mapper device: its number is its minor number.
fn kernel_name(number: DevNo) -> String {
    format!("dm-{}", number.minor)
}

fn beside(number: DevNo) -> PathBuf {
    Path::new("..").join(kernel_name(number))
}

fn refuse_foreign(path: &Path) -> Result<()> {
    if look::found(path) != Found::Foreign {
        return Ok(());
    }
    let cause = format!("{} is neither a device node nor a link", path.display());
    Err(Error::new(Kind::AlreadyExists, cause).hint("move it away"))
}

/// Puts a link in place of whatever link or node is there, at once.
fn link_at(link: &Path, target: &Path) -> Result<()> {
    let place = || {
        if let Some(parent) = link.parent() {
            fs::create_dir_all(parent)?;
        }
        let temporary = temporary(link);
        symlink(target, &temporary)?;
        fs::rename(&temporary, link).inspect_err(|_| {
            let _ = fs::remove_file(&temporary);
        })
    };
    place()
        .map_err(|error: std::io::Error| Error::io(format!("cannot make the link {}", link.display()), error))
}

/// A name beside `path` that no volume can have: names do not begin with a hyphen.
fn temporary(path: &Path) -> PathBuf {
    let last = path.file_name().map(|last| last.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!("-{last}.{}", std::process::id()))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::io(format!("cannot remove {}", path.display()), error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
