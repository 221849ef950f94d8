//! Which origins tell which snapshots of what is written, and which snapshots begin.
//!
//! The data of an origin is written to through a `snapshot-origin` or a merge, and while it is rolled back through a clone above one.

use std::collections::{BTreeMap, BTreeSet};

use super::{Pair, Tables, first_target, height};
use crate::dm::{DmUuid, Line, Table, Target};
use crate::engine::tree::{Below, FoundTree, Node};
use crate::error::{Error, Kind, Result};

/// See [`cuts`].
type Cuts<'a> = (BTreeSet<&'a DmUuid>, BTreeSet<&'a DmUuid>);

/// The live origins that gain a snapshot, and the snapshots that they gain.
///
/// A snapshot that the metadata calls valid cannot be joined to an origin that was written to without it: its content is lost. Nor
/// can one whose origin runs with a table that somebody has loaded and that does not feed it, be the snapshot's own table right.
pub(super) fn cuts<'a>(pairs: &[Pair<'a>], tables: &Tables<'a>, found: &FoundTree) -> Result<Cuts<'a>> {
    let mut cut = BTreeSet::new();
    let mut beginning = BTreeSet::new();
    let mut live: Vec<_> = pairs.iter().filter(|pair| !pair.is_new()).collect();
    // Of an origin under a clone and what leads to that, people write to the upper one: it comes last.
    live.sort_by_cached_key(|pair| height(pair.uuid, tables));
    let live = live.into_iter();
    let origins: BTreeMap<&Below, &Pair<'a>> =
        live.filter_map(|pair| Some((data_through(&pair.node.table, tables)?, pair))).collect();
    for pair in pairs {
        let Some(Target::Snapshot { origin: real, .. }) = first_target(&pair.node.table) else { continue };
        let Some(origin) = origins.get(real) else { continue };
        let is_fed = pair.is_fed_through(real) && origin.feeds(real, found);
        if !pair.node.begins && !is_fed {
            return Err(untracked(pair.node, origin.node));
        }
        if pair.is_new() {
            cut.insert(origin.uuid);
            beginning.insert(pair.uuid);
        }
    }
    Ok((cut, beginning))
}

/// What holds the data of the origin that has this table; nothing if it is no origin's.
pub(super) fn data_of_origin(table: &Table<Below>) -> Option<&Below> {
    match first_target(table) {
        Some(Target::Origin { device } | Target::Merge { origin: device, .. }) => Some(device),
        _ => None,
    }
}

/// The same, be it through a clone.
fn data_through<'a>(table: &'a Table<Below>, tables: &Tables<'a>) -> Option<&'a Below> {
    let lower = match first_target(table)? {
        Target::Linear { device: Below::Layer(lower), .. } => lower,
        Target::Clone { destination: Below::Layer(lower), .. } => lower,
        _ => return data_of_origin(table),
    };
    data_through(tables.get(lower)?, tables)
}

/// True if all that is written through this table is told to the snapshots of this data.
pub(super) fn feeds(table: &Table<Below>, real: &Below, tree: &FoundTree) -> bool {
    crate::work::step();
    let does = |line: &Line<Below>| match &line.target {
        Target::Origin { device } | Target::Merge { origin: device, .. } => device == real,
        Target::Linear { device: Below::Layer(lower), .. }
        | Target::Clone { destination: Below::Layer(lower), .. } => {
            tree.nodes.get(lower).is_some_and(|lower| feeds(&lower.table, real, tree))
        }
        _ => false,
    };
    !table.is_empty() && table.0.iter().all(does)
}

fn untracked(snapshot: &Node, origin: &Node) -> Error {
    let cause = format!(
        "{} is in use without its snapshot {}: what was written since is lost to it",
        origin.name, snapshot.name
    );
    Error::new(Kind::Refused, cause).hint("remove that snapshot: its content can no longer be trusted")
}
