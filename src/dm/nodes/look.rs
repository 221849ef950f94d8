//! What paths lead to now: asked one by one, or from directories that are read once, when it is asked of many.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{major, minor};

use super::{Nodes, beside, kernel_name};
use crate::block::DevNo;
use crate::dm::{DmName, Paths};

/// From so many devices on a directory is read whole.
const MANY: usize = 16;

/// What a path leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    /// A block node.
    Node(DevNo),
    /// A symbolic link and its text.
    Link(PathBuf),
    /// Something that is not ours.
    Foreign,
}

/// Looks at paths for as long as one operation asks. See [`Nodes::look`].
pub struct Look<'n> {
    nodes: &'n Nodes,
    directories: Option<RefCell<HashMap<PathBuf, Directory>>>,
}

/// The kinds of what is in a directory, by name; nothing if there is no directory.
type Directory = HashMap<OsString, Kind>;

/// What a directory says of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Link,
    Block,
    Other,
}

impl Paths for Look<'_> {
    fn is_published(&self, name: &DmName, number: DevNo, link: Option<&Path>) -> bool {
        let node = self.leads(&self.nodes.node(name), name, number);
        node && link.is_none_or(|link| match self.found(link) {
            Found::Link(target) if self.nodes.is_mapper(&target, name) => true,
            found => self.leads_as(&found, link, name, number),
        })
    }

    fn is_retracted(&self, name: &DmName, link: Option<&Path>) -> bool {
        let is_stale = |path: &Path| self.is_stale(path, name);
        !is_stale(&self.nodes.node(name)) && !link.is_some_and(is_stale)
    }
}

impl<'n> Look<'n> {
    pub(super) fn new(nodes: &'n Nodes, questions: usize) -> Self {
        Self { nodes, directories: (questions >= MANY).then(RefCell::default) }
    }

    /// Whether a path leads to the device: as its node, as a link to the kernel's node, or through `/dev/mapper`.
    pub(super) fn leads(&self, path: &Path, name: &DmName, number: DevNo) -> bool {
        self.leads_as(&self.found(path), path, name, number)
    }

    fn leads_as(&self, found: &Found, path: &Path, name: &DmName, number: DevNo) -> bool {
        match found {
            Found::Node(node) => *node == number,
            Found::Link(target) if self.nodes.is_mapper(target, name) => {
                let node = self.nodes.node(name);
                path != node && self.leads(&node, name, number)
            }
            Found::Link(target) => {
                target.file_name().is_some_and(|last| last == kernel_name(number).as_str())
                    && self.is_there(path, target, number)
            }
            Found::Nothing | Found::Foreign => false,
        }
    }

    /// Whether there is what a link to a kernel's node names.
    fn is_there(&self, link: &Path, target: &Path, number: DevNo) -> bool {
        let dev = self.nodes.dev.as_path();
        if *target == beside(number) && link.parent().and_then(Path::parent) == Some(dev) {
            return self.found(&dev.join(kernel_name(number))) != Found::Nothing;
        }
        link.exists()
    }

    /// Whether a path of ours leads nowhere, or to a device that does not have this name (any more).
    pub(super) fn is_stale(&self, path: &Path, name: &DmName) -> bool {
        match self.found(path) {
            Found::Nothing | Found::Foreign => false,
            Found::Node(number) => !self.nodes.is_named(&format!("dev/block/{number}"), name),
            Found::Link(target) if self.nodes.is_mapper(&target, name) => {
                let node = self.nodes.node(name);
                path == node || self.found(&node) == Found::Nothing || self.is_stale(&node, name)
            }
            Found::Link(target) => {
                let last = target.file_name().map(|last| last.to_string_lossy().into_owned());
                last.is_some_and(|last| {
                    last.starts_with("dm-") && !self.nodes.is_named(&format!("block/{last}"), name)
                })
            }
        }
    }

    fn found(&self, path: &Path) -> Found {
        let (Some(directories), Some(parent), Some(last)) =
            (&self.directories, path.parent(), path.file_name())
        else {
            return found(path);
        };
        let mut directories = directories.borrow_mut();
        let directory = match directories.get(parent) {
            Some(directory) => directory,
            None => directories.entry(parent.to_owned()).or_insert_with(|| read(parent)),
        };
        match directory.get(last) {
            None => Found::Nothing,
            Some(Kind::Link) => linked(path),
            Some(Kind::Block) => found(path),
            Some(Kind::Other) => Found::Foreign,
        }
    }
}

fn read(directory: &Path) -> Directory {
    crate::work::step();
    let Ok(entries) = fs::read_dir(directory) else { return Directory::new() };
    let kind = |entry: &fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_symlink() => Kind::Link,
        Ok(kind) if kind.is_block_device() => Kind::Block,
        _ => Kind::Other,
    };
    entries.flatten().map(|entry| (entry.file_name(), kind(&entry))).collect()
}

/// What a path leads to, asked of the path itself.
pub(super) fn found(path: &Path) -> Found {
    crate::work::step();
    let Ok(data) = fs::symlink_metadata(path) else { return Found::Nothing };
    let kind = data.file_type();
    if kind.is_symlink() {
        return linked(path);
    }
    if !kind.is_block_device() {
        return Found::Foreign;
    }
    let number = (u32::try_from(major(data.rdev())), u32::try_from(minor(data.rdev())));
    match number {
        (Ok(major), Ok(minor)) => Found::Node(DevNo { major, minor }),
        _ => Found::Foreign,
    }
}

fn linked(path: &Path) -> Found {
    crate::work::step();
    fs::read_link(path).map_or(Found::Nothing, Found::Link)
}
