//! From the devices found to the devices wanted: a pure function.
//!
//! Before the switch, new devices are made and every table that can be loaded is loaded into an inactive slot. The switch
//! suspends from the top down and resumes from the bottom up, an origin after its snapshots: an origin learns the smallest
//! chunk of its snapshots when it is resumed, and a snapshot begins when its origin is suspended (dm-snap.c, Linux 6.1).
//! Devices that nobody wants go last, but for
//! snapshots that leave their origins: they go before the switch.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::plan::{Plan, Step};
use super::tree::{Below, DeviceTree, FoundNode, FoundTree, Node, Rank, Told, layers_below, rank};
use crate::dm::{DmName, DmUuid, Freeze, Line, SwitchStep, Table, Target, UdevFlags};
use crate::error::{Error, Kind, Result};
use feeding::{cuts, data_of_origin, feeds};

mod feeding;

/// The plan that lets all go on as it is: what is suspended is resumed with the table that it has, and no table waits.
pub fn as_it_is(found: &FoundTree) -> Result<Plan> {
    converge(found, &found.as_wanted())
}

/// The plan that turns `found` into `wanted`. Devices of `found` that are not wanted are removed.
pub fn converge(found: &FoundTree, wanted: &DeviceTree) -> Result<Plan> {
    let difference = Difference::new(found, wanted)?;
    let mut plan = Plan { layers: difference.layers(), ..Plan::default() };
    difference.clear_stray_tables(&mut plan);
    difference.rename(&mut plan);
    difference.resume_what_is_right(&mut plan);
    difference.remove_snapshots(&mut plan);
    difference.load(&mut plan);
    difference.switch(&mut plan);
    difference.fill(&mut plan);
    difference.publish(&mut plan);
    difference.retract(&mut plan);
    difference.remove(&mut plan);
    Ok(plan)
}

/// An error if an origin runs without a snapshot that the metadata calls valid.
pub fn check_tracked(found: &FoundTree, wanted: &DeviceTree) -> Result<()> {
    cuts(&paired(found, wanted), &tables(wanted), found).map(drop)
}

fn tables(wanted: &DeviceTree) -> Tables<'_> {
    wanted.0.iter().map(|(uuid, node)| (uuid, &node.table)).collect()
}

fn paired<'a>(found: &'a FoundTree, wanted: &'a DeviceTree) -> Vec<Pair<'a>> {
    wanted.0.iter().map(|(uuid, node)| Pair { uuid, node, found: found.nodes.get(uuid) }).collect()
}

/// A wanted device beside what was found of it.
struct Pair<'a> {
    uuid: &'a DmUuid,
    node: &'a Node,
    found: Option<&'a FoundNode>,
}

impl Pair<'_> {
    /// It has no live table yet: it has to be brought up.
    fn is_new(&self) -> bool {
        self.found.is_none_or(|found| !found.info.live)
    }

    /// It is live, with another table than the metadata wants.
    fn is_changed(&self) -> bool {
        self.found.is_some_and(|found| {
            let is_right = does_the_same(&found.table, &self.node.table);
            found.info.live && !(is_right && found.info.read_only == self.node.read_only)
        })
    }

    /// True for an origin whose live table tells its snapshots of writes to this data, be it through a clone.
    fn feeds(&self, real: &Below, tree: &FoundTree) -> bool {
        self.found.is_some_and(|found| feeds(&found.table, real, tree))
    }

    /// True for a snapshot whose live table is told of them.
    fn is_fed_through(&self, real: &Below) -> bool {
        let live = self.found.filter(|found| found.info.live).and_then(|found| first_target(&found.table));
        matches!(live, Some(Target::Snapshot { origin, .. }) if origin == real)
    }

    /// True if its table only becomes longer: what is in it stays where it is.
    fn only_grows(&self) -> bool {
        let goes_on = |found: &FoundNode| {
            found.info.read_only == self.node.read_only && self.node.table.continues(&found.table)
        };
        self.is_changed() && self.found.is_some_and(goes_on)
    }

    /// True if it is about to show other content to whoever has it open: a merge begins, or a rollback in another way.
    fn turns(&self) -> bool {
        let found = self.found.and_then(|found| first_target(&found.table));
        self.node.closed && !matches!(found, Some(Target::Merge { .. } | Target::Error))
    }

    /// What a clone is told to have already.
    fn spares(&self) -> Option<&Told> {
        self.node.told.as_ref().filter(|told| !told.present.is_empty())
    }

    fn is_suspended(&self) -> bool {
        self.found.is_some_and(|found| found.info.live && found.info.suspended)
    }
}

/// The tables of the wanted devices.
type Tables<'a> = BTreeMap<&'a DmUuid, &'a Table<Below>>;

struct Difference<'a> {
    /// Wanted devices, each after those that it rests on: data, snapshots, origins, merged snapshots.
    wanted: Vec<Pair<'a>>,
    /// Found devices that are not wanted, each before those that it rests on.
    gone: Vec<&'a FoundNode>,
    /// The data of origins among these.
    gone_origins: BTreeSet<&'a Below>,
    /// Origins that are live while a snapshot of theirs begins.
    cut: BTreeSet<&'a DmUuid>,
    /// Those snapshots.
    beginning: BTreeSet<&'a DmUuid>,
    /// The stores of snapshots.
    stores: BTreeSet<&'a DmUuid>,
    /// What live devices are to lead to.
    needed: BTreeSet<&'a DmUuid>,
    /// What live devices lead to that stay, however deep.
    held: BTreeSet<&'a DmUuid>,
    /// Paths of devices that are not there.
    stale: &'a BTreeMap<DmName, Option<PathBuf>>,
}

impl<'a> Difference<'a> {
    fn new(found: &'a FoundTree, wanted: &'a DeviceTree) -> Result<Self> {
        let mut pairs = paired(found, wanted);
        refuse_squatted_names(found, &pairs)?;
        refuse_unfilled(&pairs)?;
        let wanted_tables = tables(wanted);
        pairs.sort_by_cached_key(|pair| {
            (rank(&pair.node.table), height(pair.uuid, &wanted_tables), pair.node.name.clone())
        });
        let found_tables = found.nodes.iter().map(|(uuid, node)| (uuid, &node.table)).collect::<Tables<'_>>();
        let mut gone: Vec<_> = found.nodes.iter().filter(|(uuid, _)| !wanted.0.contains_key(uuid)).collect();
        gone.sort_by_cached_key(|(uuid, node)| {
            Reverse((rank(&node.table), height(uuid, &found_tables), node.info.name.clone()))
        });
        let (cut, beginning) = cuts(&pairs, &wanted_tables, found)?;
        let gone: Vec<_> = gone.into_iter().map(|(_, node)| node).collect();
        let stays: BTreeSet<_> = pairs.iter().filter_map(|pair| data_of_origin(&pair.node.table)).collect();
        let gone_origins = gone.iter().filter_map(|node| data_of_origin(&node.table));
        let gone_origins = gone_origins.filter(|data| !stays.contains(data)).collect();
        let stores = pairs.iter().filter_map(|pair| store_of(&pair.node.table)).collect();
        let live = pairs.iter().filter(|pair| pair.is_changed());
        let needed = live.flat_map(|pair| below(&pair.node.table, &wanted_tables)).collect();
        let upper = pairs.iter().filter_map(|pair| pair.found);
        let held = upper.flat_map(|found| below(&found.table, &found_tables)).collect();
        let stale = &found.stale;
        Ok(Self { wanted: pairs, gone, gone_origins, cut, beginning, stores, needed, held, stale })
    }

    fn layers(&self) -> BTreeMap<DmUuid, (crate::dm::DmName, Option<crate::block::DevNo>)> {
        let number = |found: &FoundNode| found.info.number;
        let wanted = self.wanted.iter().map(|p| (p.uuid.clone(), (p.node.name.clone(), p.found.map(number))));
        let gone = self.gone.iter().filter_map(|found| {
            Some((found.info.uuid.clone()?, (found.info.name.clone(), Some(found.info.number))))
        });
        gone.chain(wanted).collect()
    }

    /// Whoever resumes a device next would make a stray table live, lvm2 included.
    fn clear_stray_tables(&self, plan: &mut Plan) {
        let found = self.wanted.iter().filter_map(|pair| pair.found).chain(self.gone.iter().copied());
        let stray = found.filter(|found| found.info.inactive);
        plan.prepare.extend(stray.map(|found| Step::Clear(found.info.name.clone())));
    }

    fn rename(&self, plan: &mut Plan) {
        for (pair, found) in self.renamed() {
            plan.prepare.push(Step::Rename {
                from: found.info.name.clone(),
                to: pair.node.name.clone(),
                udev: pair.node.udev,
            });
            plan.cleanup.push(Step::Retract { name: found.info.name.clone(), link: found.link.clone() });
        }
    }

    fn renamed(&self) -> impl Iterator<Item = (&Pair<'a>, &'a FoundNode)> {
        let both = self.wanted.iter().filter_map(|pair| Some((pair, pair.found?)));
        both.filter(|(pair, found)| found.info.name != pair.node.name)
    }

    /// A process that died in its switch may have left devices suspended whose live table is right. They go on first: loading
    /// a snapshot reads its store, which would wait for ever on a suspended one. So does what is below a running device, whatever
    /// becomes of it: a suspend of that one would wait for it.
    fn resume_what_is_right(&self, plan: &mut Plan) {
        let gone = self.gone.iter().filter(|found| self.stalls(found));
        plan.prepare.extend(
            gone.map(|found| Step::Resume { name: found.info.name.clone(), udev: UdevFlags::unchanged() }),
        );
        let right = |pair: &&Pair<'_>| {
            pair.is_suspended()
                && (!self.switches(pair) || pair.found.is_some_and(|found| self.stalls(found)))
        };
        plan.prepare.extend(self.wanted.iter().filter(right).map(|pair| resume(pair.node)));
    }

    /// True if a device is suspended below one that is not.
    fn stalls(&self, below: &FoundNode) -> bool {
        let Some(uuid) = below.info.uuid.as_ref().filter(|_| below.info.live && below.info.suspended) else {
            return false;
        };
        let mut found = self.wanted.iter().filter_map(|pair| pair.found).chain(self.gone.iter().copied());
        found.any(|above| !above.info.suspended && layers_below(&above.table).any(|below| below == uuid))
    }

    fn load(&self, plan: &mut Plan) {
        for pair in &self.wanted {
            let steps = if self.is_last(pair) { &mut plan.cleanup } else { &mut plan.prepare };
            if pair.is_new() || pair.is_changed() {
                self.load_one(pair, steps);
            }
            if let Some(told) = pair.spares() {
                let (name, path) = (pair.node.name.clone(), told.path.clone());
                steps.push(publish(pair));
                steps.push(Step::Spare { name, path, ranges: told.present.clone() });
            }
        }
    }

    fn load_one(&self, pair: &Pair<'_>, steps: &mut Vec<Step>) {
        let name = &pair.node.name;
        if pair.found.is_none() {
            steps.push(Step::Create { name: name.clone(), uuid: pair.uuid.clone() });
        }
        steps.push(Step::Load {
            name: name.clone(),
            table: pair.node.table.clone(),
            read_only: pair.node.read_only,
        });
        if !self.switches(pair) {
            steps.push(resume(pair.node));
        }
    }

    /// True for what reads snapshots, which needs them live, and some begin in the switch; but not for what a live device is to lead to.
    fn is_last(&self, pair: &Pair<'_>) -> bool {
        pair.is_new() && rank(&pair.node.table) == Rank::Filling && !self.needed.contains(pair.uuid)
    }

    /// When what is to be filled leads to it.
    fn fill(&self, plan: &mut Plan) {
        let rests = self.wanted.iter().filter(|pair| {
            pair.node.told.is_some() && (pair.is_new() || pair.found.is_some_and(|found| found.rests))
        });
        plan.cleanup.extend(rests.map(|pair| Step::Fill(pair.node.name.clone())));
    }

    /// True if the device's table changes while I/O waits. A store that becomes longer does so by itself, in one call: the kernel
    /// suspends nothing above it, and who dies before that call or behind it leaves nothing suspended.
    fn switches(&self, pair: &Pair<'_>) -> bool {
        let grows = self.stores.contains(pair.uuid) && pair.only_grows();
        (pair.is_changed() && !grows) || self.cut.contains(pair.uuid) || self.beginning.contains(pair.uuid)
    }

    fn switch(&self, plan: &mut Plan) {
        let switching: Vec<_> = self.wanted.iter().filter(|pair| self.switches(pair)).collect();
        let running = switching.iter().copied().filter(|pair| {
            pair.found.is_some_and(|found| found.info.live && (!found.info.suspended || self.stalls(found)))
        });
        for (pair, found) in from_the_top(running) {
            let is_cut = self.cut.contains(pair.uuid);
            let freeze = match (pair.turns(), is_cut) {
                (true, _) => Freeze::Unopened,
                (false, true) => Freeze::FileSystem,
                (false, false) => Freeze::Io,
            };
            plan.switch.push(SwitchStep::Suspend(pair.node.name.clone(), freeze));
            if is_cut {
                plan.prepare.push(Step::Sync { number: found.info.number, name: pair.node.name.clone() });
            }
        }
        let turned = switching.iter().filter(|pair| pair.found.is_some_and(|found| found.info.live));
        let expected = turned.filter_map(|pair| pair.node.expects.clone());
        plan.switch.extend(expected.map(|(name, used)| SwitchStep::Expect(name, used)));
        let resumes = switching.iter().map(|p| SwitchStep::Resume(p.node.name.clone(), p.node.udev));
        plan.switch.extend(resumes);
    }

    fn publish(&self, plan: &mut Plan) {
        let fresh = self.wanted.iter().filter(|pair| {
            let is_right = |found: &FoundNode| found.info.name == pair.node.name && found.published;
            pair.is_new() || !pair.found.is_some_and(is_right)
        });
        let fresh = fresh.filter(|pair| pair.spares().is_none());
        plan.cleanup.extend(fresh.map(publish));
    }

    /// What led to devices that are gone, and are not to come back.
    fn retract(&self, plan: &mut Plan) {
        let comes: BTreeSet<_> = self.wanted.iter().map(|pair| &pair.node.name).collect();
        let stale = self.stale.iter().filter(|(name, _)| !comes.contains(name));
        plan.cleanup
            .extend(stale.map(|(name, link)| Step::Retract { name: name.clone(), link: link.clone() }));
    }

    /// A snapshot that leaves its origin goes first: the kernel lets go of it at any time, and refuses while somebody has it open,
    /// before anything else has changed.
    fn remove_snapshots(&self, plan: &mut Plan) {
        let leaving: Vec<_> = self.gone.iter().filter(|found| self.leaves_its_origin(found)).collect();
        let above = self.gone.iter().filter(|found| self.goes_before(found));
        let first = above.filter(|_| !leaving.is_empty());
        for found in first.chain(leaving.iter().copied()) {
            let [remove, retract] = removal(found);
            plan.prepare.push(remove);
            // Paths wait for udev, and what else is under way may be suspended.
            plan.cleanup.push(retract);
        }
    }

    fn remove(&self, plan: &mut Plan) {
        let is_gone = |found: &FoundNode| {
            self.leaves_its_origin(found)
                || self.goes_before(found) && self.gone.iter().any(|other| self.leaves_its_origin(other))
        };
        let others = self.gone.iter().filter(|found| !is_gone(found));
        plan.cleanup.extend(others.flat_map(|found| removal(found)));
    }

    /// True for what reads snapshots, and rests on none but what goes: nobody is served by it any more.
    fn goes_before(&self, found: &FoundNode) -> bool {
        rank(&found.table) == Rank::Filling && !self.is_held(found)
    }

    /// True for a snapshot whose origin stays. Where both go the origin goes first: what is written to an origin without its
    /// snapshots is lost to them. So does one that is rolled back to it and reads it.
    fn leaves_its_origin(&self, snapshot: &FoundNode) -> bool {
        match first_target(&snapshot.table) {
            Some(Target::Snapshot { origin: real, .. }) => {
                !self.gone_origins.contains(real) && !self.is_held(snapshot)
            }
            _ => false,
        }
    }

    fn is_held(&self, found: &FoundNode) -> bool {
        found.info.uuid.as_ref().is_some_and(|uuid| self.held.contains(uuid))
    }
}

fn removal(found: &FoundNode) -> [Step; 2] {
    let name = &found.info.name;
    [
        Step::Remove { name: name.clone(), udev: UdevFlags::hidden() },
        Step::Retract { name: name.clone(), link: found.link.clone() },
    ]
}

/// These devices, each before what is below it now: origins before their snapshots before data.
fn from_the_top<'p, 'a: 'p>(pairs: impl Iterator<Item = &'p Pair<'a>>) -> Vec<(&'p Pair<'a>, &'a FoundNode)> {
    let mut found: Vec<_> = pairs.filter_map(|pair| Some((pair, pair.found?))).collect();
    found.reverse();
    found.sort_by_key(|(_, found)| Reverse(rank(&found.table)));
    found
}

fn publish(pair: &Pair<'_>) -> Step {
    let Node { name, link, .. } = pair.node;
    Step::Publish { name: name.clone(), uuid: pair.uuid.clone(), link: link.clone() }
}

fn resume(node: &Node) -> Step {
    Step::Resume { name: node.name.clone(), udev: node.udev }
}

fn refuse_squatted_names(found: &FoundTree, pairs: &[Pair<'_>]) -> Result<()> {
    let has_name = |pair: &Pair<'_>| pair.found.is_some_and(|found| found.info.name == pair.node.name);
    let squatted = pairs.iter().find(|p| !has_name(p) && found.squatted.contains(&p.node.name));
    squatted.map_or(Ok(()), |pair| {
        let name = &pair.node.name;
        Err(Error::new(
            Kind::Refused,
            format!("the name {name} is borne by a device that is not this volume's"),
        )
        .hint(format!("see `dmsetup info {name}`, and remove or rename that device")))
    })
}

/// A volume that is being filled and runs with another table shows what it has not been given, and what was written to it since is
/// noted nowhere. LVM2's `lvchange --refresh` makes it so. Nor may a clone be loaded beside one that runs: it would know only what
/// was filled then (Linux 6.1).
fn refuse_unfilled(pairs: &[Pair<'_>]) -> Result<()> {
    let is_clone = |pair: &&Pair<'_>| matches!(first_target(&pair.node.table), Some(Target::Clone { .. }));
    if let Some(pair) = pairs.iter().filter(|pair| pair.is_changed()).find(is_clone) {
        return Err(unfilled(pair).hint("remove that volume and restore it again"));
    }
    let clones: BTreeSet<_> = pairs.iter().filter(is_clone).map(|pair| pair.uuid).collect();
    let leads = |pair: &&Pair<'_>| layers_below(&pair.node.table).any(|below| clones.contains(below));
    let mut origins = pairs.iter().filter(|pair| pair.is_changed() && !pair.node.begins).filter(leads);
    origins.next().map_or(Ok(()), |pair| {
        Err(unfilled(pair).hint(
            "deactivate it, then activate it: the rollback goes on, and what was written to it since is lost in part",
        ))
    })
}

fn unfilled(pair: &Pair<'_>) -> Error {
    let name = &pair.node.name;
    let cause = format!(
        "{name} is being filled, and somebody has given it another table: its content is not to be trusted"
    );
    Error::new(Kind::Refused, cause)
}

/// Whether a live table is the wanted one. Of a store that has a header the kernel takes the chunk size from there, whatever a table
/// asks for, and says it in its table: loading another one would change nothing.
fn does_the_same(found: &Table<Below>, wanted: &Table<Below>) -> bool {
    let same = |(found, wanted): (&Line<Below>, &Line<Below>)| {
        let target = match (&found.target, &wanted.target) {
            (
                Target::Snapshot { origin, cow, .. },
                Target::Snapshot { origin: wanted_origin, cow: wanted_cow, .. },
            )
            | (
                Target::Merge { origin, cow, .. },
                Target::Merge { origin: wanted_origin, cow: wanted_cow, .. },
            ) => (origin, cow) == (wanted_origin, wanted_cow),
            (found, wanted) => found == wanted,
        };
        target && (found.start, found.length) == (wanted.start, wanted.length)
    };
    found.0.len() == wanted.0.len() && found.0.iter().zip(&wanted.0).all(same)
}

fn first_target(table: &Table<Below>) -> Option<&Target<Below>> {
    crate::work::step();
    table.0.first().map(|line| &line.target)
}

/// What is below a table of a wanted device, however deep.
fn below<'a>(table: &'a Table<Below>, tables: &Tables<'a>) -> Vec<&'a DmUuid> {
    let lower = layers_below(table);
    lower
        .flat_map(|uuid| {
            let further = tables.get(uuid).map(|table| below(table, tables)).unwrap_or_default();
            std::iter::once(uuid).chain(further)
        })
        .collect()
}

/// The store of a snapshot, merging or not, that has this table.
fn store_of(table: &Table<Below>) -> Option<&DmUuid> {
    match first_target(table) {
        Some(
            Target::Snapshot { cow: Below::Layer(store), .. }
            | Target::Merge { cow: Below::Layer(store), .. },
        ) => Some(store),
        _ => None,
    }
}

/// How many devices of the tree are stacked below this one.
fn height(uuid: &DmUuid, tables: &Tables<'_>) -> usize {
    let Some(table) = tables.get(uuid) else { return 0 };
    // The kernel allows no loops and desired() makes none.
    layers_below(table).map(|below| height(below, tables) + 1).max().unwrap_or(0)
}

#[cfg(test)]
mod tests;
