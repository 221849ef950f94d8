//! Volumes that share a stack of devices, by the metadata or in the kernel: what is planned for one of them concerns all.
//!
//! A snapshot that is being removed has no origin in the metadata any more, and still one in the kernel, be it only in a table that
//! waits to be resumed.

use std::collections::{BTreeMap, BTreeSet};

use super::fill::{built_here, root_of};
use super::naming::{Layer, Naming};
use super::tree::{FoundTree, layers_below};
use crate::lvm::{LvName, Vg};

/// The volumes that dmsnap builds, those of one stack together.
pub(super) fn stacks(vg: &Vg, naming: &Naming<'_>, found: &FoundTree) -> Vec<BTreeSet<LvName>> {
    let mut next: BTreeMap<LvName, Vec<LvName>> =
        built_here(vg).map(|lv| (lv.name.clone(), Vec::new())).collect();
    for (one, other) in bonds(vg, naming, found) {
        next.entry(one.clone()).or_default().push(other.clone());
        next.entry(other).or_default().push(one);
    }
    let mut stacks = Vec::new();
    while let Some((first, others)) = next.pop_first() {
        let mut stack = BTreeSet::from([first]);
        let mut more = others;
        while let Some(name) = more.pop() {
            more.extend(next.remove(&name).unwrap_or_default());
            stack.insert(name);
        }
        stacks.push(stack);
    }
    stacks
}

/// Pairs of volumes of which one is stacked on the other.
fn bonds(vg: &Vg, naming: &Naming<'_>, found: &FoundTree) -> Vec<(LvName, LvName)> {
    let mut owners = BTreeMap::new();
    let mut bonds = Vec::new();
    for lv in built_here(vg) {
        owners.extend(Layer::of(lv).iter().map(|layer| (naming.uuid(&lv.id, *layer), lv.name.clone())));
        bonds.push((root_of(vg, &lv.name), lv.name.clone()));
    }
    for (uuid, node) in &found.nodes {
        let Some(owner) = owners.get(uuid) else { continue };
        let below = layers_below(&node.table).chain(layers_below(&node.inactive));
        let below = below.filter_map(|below| owners.get(below));
        bonds.extend(below.map(|below| (below.clone(), owner.clone())));
    }
    bonds
}
