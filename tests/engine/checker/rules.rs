//! The invariants.

use std::collections::BTreeMap;

use super::disk::{Area, Fill, Kind, Label, Lv, Vg};
use super::kernel::{Dev, Line, World, joined};

/// What is wrong, in words.
pub type Findings = Vec<String>;

/// All that the disks say of volume groups.
pub struct Metadata {
    pub labels: Vec<Label>,
    /// The newest version of each group, by its id.
    pub groups: BTreeMap<String, Vg>,
    /// Every text that was found: where, of which group, and its bytes.
    texts: Vec<(String, Vg, Vec<u8>)>,
    bad: Findings,
}

impl Metadata {
    pub fn of(world: &World) -> Self {
        let labels: Vec<_> = world.disks.iter().filter_map(super::disk::Disk::label).collect();
        let mut all = Self { labels, groups: BTreeMap::new(), texts: Vec::new(), bad: Vec::new() };
        for label in &all.labels {
            for area in &label.areas {
                let text = match area {
                    Area::Empty | Area::Ignored => continue,
                    Area::Bad(why) => Err(why.clone()),
                    Area::Text(text) => Vg::read(text).map(|vg| (vg, text.clone())),
                };
                match text {
                    Ok((vg, text)) => all.texts.push((label.disk.clone(), vg, text)),
                    Err(why) => all.bad.push(format!("metadata on {}: {why}", label.disk)),
                }
            }
        }
        for (_, vg, _) in &all.texts {
            let newest = all.groups.entry(vg.id.clone()).or_insert_with(|| vg.clone());
            if newest.seqno < vg.seqno {
                *newest = vg.clone();
            }
        }
        all
    }

    /// The disk of a physical volume.
    fn disk_of(&self, vg: &Vg, key: &str) -> Option<&str> {
        let pv = vg.pvs.iter().find(|pv| pv.key == key)?;
        self.labels.iter().find(|label| label.id == pv.id).map(|label| label.disk.as_str())
    }

    /// What is the same whoever made it and wherever it lies: volumes, their sizes, tags and relations.
    pub fn signature(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for vg in self.groups.values() {
            let name = &vg.name;
            lines.push(format!("{name}: {} devices {:?}", vg.pvs.len(), vg.tags));
            let is_data = |lv: &&Lv| lv.segments.iter().any(|one| matches!(one.kind, Kind::Stripes(..)));
            // Uuids are drawn by lot.
            let known = |tag: &String| match tag.split_once("fill") {
                Some(("dmsnap.", _)) => "dmsnap.fill".to_owned(),
                _ => tag.clone(),
            };
            for lv in vg.lvs.iter().filter(is_data) {
                let tags: Vec<_> = lv.tags.iter().map(known).collect();
                lines.push(format!(
                    "{name}/{}: {} extents, writable {}, {:?}",
                    lv.name,
                    lv.extents(),
                    lv.writable,
                    tags
                ));
            }
            for (origin, store, chunk, length, merging) in vg.snapshots() {
                lines.push(format!("{name}/{store} of {origin}: {length}, chunk {chunk}, merging {merging}"));
            }
        }
        lines.sort();
        lines
    }
}

/// The versions that were seen, to find one that comes twice with different content, or leaps.
#[derive(Default)]
pub struct History {
    seen: BTreeMap<(String, u64), Vec<Vec<u8>>>,
    newest: BTreeMap<String, u64>,
}

impl History {
    /// Takes in what the disks say now. An older version than the newest seen before stays valid; one that is new is that plus one.
    pub fn note(&mut self, metadata: &Metadata) -> Findings {
        let mut wrong = Vec::new();
        let is_first = self.newest.is_empty();
        for (disk, vg, text) in &metadata.texts {
            let known = self.seen.entry((vg.id.clone(), vg.seqno)).or_default();
            // What differs from the beginning is nobody's fault here.
            if is_first || known.is_empty() {
                known.push(text.clone());
            }
            if !known.contains(text) {
                wrong.push(format!("{disk} has another text with seqno {} of {}", vg.seqno, vg.name));
            }
        }
        for (id, vg) in &metadata.groups {
            let before = self.newest.insert(id.clone(), vg.seqno);
            if before.is_some_and(|before| vg.seqno != before && vg.seqno != before + 1) {
                wrong.push(format!("the seqno of {} went from {before:?} to {}", vg.name, vg.seqno));
            }
        }
        wrong
    }
}

/// What must hold at every instant.
pub fn always(world: &World, metadata: &Metadata) -> Findings {
    let mut wrong = metadata.bad.clone();
    for vg in metadata.groups.values() {
        let owners = owners(metadata, vg, &mut wrong);
        for device in &world.devices {
            mapped(metadata, vg, &owners, device, &mut wrong);
        }
        tracked(world, vg, &mut wrong);
    }
    wrong
}

/// What must hold when nothing is under way, besides.
pub fn at_rest(world: &World, metadata: &Metadata) -> Findings {
    let mut wrong = always(world, metadata);
    for device in &world.devices {
        if device.suspended {
            wrong.push(format!("{} is suspended", device.name));
        }
        if device.inactive {
            wrong.push(format!("{} has an inactive table", device.name));
        }
    }
    let mut known = Vec::new();
    for vg in metadata.groups.values() {
        copies(metadata, vg, &mut wrong);
        marks(vg, &mut wrong);
        known.extend(stacks(world, metadata, vg, &mut wrong));
    }
    let orphans = world.devices.iter().filter(|device| !known.contains(&device.uuid));
    wrong.extend(orphans.map(|device| format!("{} is nobody's device", device.name)));
    paths(world, metadata, &mut wrong);
    wrong
}

type Owners<'a> = BTreeMap<(&'a str, u64), &'a Lv>;

/// Whose each extent is; two owners are wrong, and so are gaps in volumes and extents that no device has.
fn owners<'a>(metadata: &'a Metadata, vg: &'a Vg, wrong: &mut Findings) -> Owners<'a> {
    let mut owners = Owners::new();
    for lv in &vg.lvs {
        let mut end = 0;
        for segment in &lv.segments {
            if segment.start != end {
                wrong.push(format!("{} has a gap before extent {}", lv.name, segment.start));
            }
            end = segment.start + segment.count;
            let Kind::Stripes(_, places) = &segment.kind else { continue };
            for (key, at) in places {
                let pv = vg.pvs.iter().find(|pv| pv.key == *key);
                let (Some(pv), Some(disk)) = (pv, metadata.disk_of(vg, key)) else {
                    wrong.push(format!("{} lies on {key}, which is not there", lv.name));
                    continue;
                };
                for extent in *at..at + segment.count / places.len() as u64 {
                    if extent >= pv.count {
                        wrong.push(format!("{} goes beyond the end of {key}", lv.name));
                    }
                    if let Some(other) = owners.insert((disk, extent), lv) {
                        wrong.push(format!("{} and {} share extent {extent} of {key}", lv.name, other.name));
                    }
                }
            }
        }
    }
    owners
}

/// No live table maps what is free, or another volume's, or the metadata.
fn mapped(metadata: &Metadata, vg: &Vg, owners: &Owners<'_>, device: &Dev, wrong: &mut Findings) {
    let fills = vg.fills();
    let is_destination = |owner: &Lv| {
        let mut own = fills.iter().filter(|fill| fill.volume.id == owner.id);
        own.any(|fill| device.uuid == uuid(vg, fill.map, "-dest"))
    };
    // Which volume is filled is said by its map until that goes.
    let was_destination = |owner: &Lv| {
        let mut maps = vg
            .lvs
            .iter()
            .filter(|lv| lv.tags_from("dmsnap.fill-of=").is_some_and(|of| of.starts_with(&owner.id)));
        maps.any(|map| map.has_tag("dmsnap.deleting") && device.uuid == uuid(vg, map, "-dest"))
    };
    for (disk, start, length) in device.live.iter().flat_map(Line::places) {
        let pv = vg.pvs.iter().find(|pv| metadata.disk_of(vg, &pv.key) == Some(disk));
        let Some(pv) = pv else { continue };
        if start < pv.start {
            wrong.push(format!("{} maps the metadata on {disk}", device.name));
            continue;
        }
        let first = (start - pv.start) / vg.extent;
        for extent in first..(start + length - pv.start).div_ceil(vg.extent) {
            match owners.get(&(disk, extent)) {
                None => wrong.push(format!("{} maps extent {extent} of {disk}, which is free", device.name)),
                Some(owner) if is_destination(owner) || was_destination(owner) => {}
                Some(owner) if !device.uuid.starts_with(&uuid(vg, owner, "")) => {
                    wrong.push(format!("{} maps extent {extent} of {disk}, {}'s", device.name, owner.name));
                }
                Some(_) => {}
            }
        }
    }
}

fn uuid(vg: &Vg, lv: &Lv, layer: &str) -> String {
    format!("LVM-{}{}{layer}", vg.id, lv.id)
}

fn is_valid(store: &Lv) -> bool {
    !store.has_tag("dmsnap.pending-snapshot") && !store.has_tag("dmsnap.deleting")
}

/// Whatever writes reach an origin are kept from each of its valid snapshots.
fn tracked(world: &World, vg: &Vg, wrong: &mut Findings) {
    for (origin, store, chunk, _, merging) in vg.snapshots() {
        let (Some(origin), Some(store)) = (vg.lv(origin), vg.lv(store)) else {
            wrong.push(format!("the snapshot {store} of {origin} has lost a half"));
            continue;
        };
        let Some(top) = world.device(&uuid(vg, origin, "")).filter(|top| !top.live.is_empty()) else {
            continue;
        };
        if !is_valid(store) || merging || top.suspended {
            continue;
        }
        let number = |lv, layer| world.device(&uuid(vg, lv, layer)).map_or("none", |device| &device.number);
        let (real, cow) = (number(origin, "-real"), number(store, "-cow"));
        let feeds = |line: &Line| feeds(world, line, real);
        let keeps = |line: &Line| {
            line.word(0) == "snapshot"
                && (line.word(1), line.word(2), line.word(3)) == (real, cow, "P")
                && line.number(4) == chunk
        };
        let snapshot = world.device(&uuid(vg, store, ""));
        let is_kept = snapshot.is_some_and(|one| !one.live.is_empty() && one.live.iter().all(keeps));
        let is_alive = snapshot.is_some_and(|one| !["Invalid", "Overflow"].contains(&one.status.as_str()));
        if !top.live.iter().all(feeds) || !is_kept || !is_alive {
            wrong.push(format!(
                "{} is written to and its snapshot {} does not see it",
                origin.name, store.name
            ));
        }
    }
}

/// True if what is written through a line comes to an origin of this data, be it through a clone.
fn feeds(world: &World, line: &Line, real: &str) -> bool {
    let lower = match line.word(0) {
        "snapshot-origin" | "snapshot-merge" => return line.word(1) == real,
        "linear" => line.word(1),
        "clone" => line.word(2),
        _ => return false,
    };
    let lower = world.devices.iter().find(|device| device.number == lower);
    lower
        .is_some_and(|lower| !lower.live.is_empty() && lower.live.iter().all(|line| feeds(world, line, real)))
}

/// Every area has the newest version.
fn copies(metadata: &Metadata, vg: &Vg, wrong: &mut Findings) {
    for (disk, other, _) in metadata.texts.iter().filter(|(_, other, _)| other.id == vg.id) {
        if other.seqno != vg.seqno {
            wrong.push(format!("{disk} has seqno {} of {}, not {}", other.seqno, vg.name, vg.seqno));
        }
    }
    for label in &metadata.labels {
        let is_member = vg.pvs.iter().any(|pv| pv.id == label.id);
        let texts =
            metadata.texts.iter().filter(|(disk, of, _)| *disk == label.disk && of.id == vg.id).count();
        let used = label.areas.iter().filter(|area| !matches!(area, Area::Ignored)).count();
        if is_member && texts != used {
            wrong.push(format!("{texts} of {used} areas of {} have {}", label.disk, vg.name));
        }
        if !is_member && texts > 0 {
            wrong.push(format!("{} is none of {} and has its metadata", label.disk, vg.name));
        }
    }
    for pv in vg.pvs.iter().filter(|pv| !metadata.labels.iter().any(|label| label.id == pv.id)) {
        wrong.push(format!("{} of {} has no label", pv.key, vg.name));
    }
}

fn marks(vg: &Vg, wrong: &mut Findings) {
    let of_volumes = vg.lvs.iter().flat_map(|lv| lv.tags.iter().map(|tag| (&lv.name, tag)));
    let all = of_volumes.chain(vg.tags.iter().map(|tag| (&vg.name, tag)));
    let own = all.filter(|(_, tag)| tag.starts_with("dmsnap.") && !tag.starts_with("dmsnap.fill"));
    wrong.extend(own.map(|(name, tag)| format!("{name} bears the mark {tag}")));
}

/// A device as the metadata has it.
struct Wanted {
    uuid: String,
    name: String,
    writable: bool,
    lines: Vec<Line>,
}

/// Each volume is active with all that belongs to it, or not at all. Answers the uuids that the group accounts for.
fn stacks(world: &World, metadata: &Metadata, vg: &Vg, wrong: &mut Findings) -> Vec<String> {
    let mut known = Vec::new();
    let is_store = |name: &str| vg.snapshots().any(|(_, store, ..)| store == name);
    let fills = vg.fills();
    let is_rolled_back = |lv: &Lv| vg.rollbacks().any(|fill| fill.volume.id == lv.id);
    let is_filled = |lv: &Lv| {
        fills.iter().any(|fill| fill.volume.id == lv.id && !is_rolled_back(lv) || fill.map.id == lv.id)
    };
    let is_root = |lv: &&Lv| {
        !is_filled(lv)
            && !is_store(&lv.name)
            && lv.segments.iter().any(|one| matches!(one.kind, Kind::Stripes(..)))
    };
    for lv in vg.lvs.iter().filter(is_root) {
        let wanted = stack(world, metadata, vg, lv);
        let is_there = |one: &Wanted| world.device(&one.uuid).is_some();
        if wanted.iter().any(is_there) {
            wanted.iter().for_each(|one| same(world, one, wrong));
        }
        known.extend(wanted.into_iter().map(|one| one.uuid));
    }
    known
}

fn same(world: &World, wanted: &Wanted, wrong: &mut Findings) {
    let Some(device) = world.device(&wanted.uuid) else {
        wrong.push(format!("{} is not there, and others of its volume are", wanted.name));
        return;
    };
    if device.name != wanted.name {
        wrong.push(format!("{} should be called {}", device.name, wanted.name));
    }
    if device.read_only == wanted.writable {
        wrong.push(format!("{}: read-only is {}", device.name, device.read_only));
    }
    if joined(&device.live) != joined(&wanted.lines) {
        wrong.push(format!("{} is {:?}, not {:?}", device.name, device.live, wanted.lines));
    }
}

/// What belongs to an active volume.
fn stack(world: &World, metadata: &Metadata, vg: &Vg, lv: &Lv) -> Vec<Wanted> {
    let number = |of, layer| {
        world.device(&uuid(vg, of, layer)).map_or_else(|| "none".to_owned(), |d| d.number.clone())
    };
    let double = |name: &str| name.replace('-', "--");
    let device = |of: &Lv, layer: &str, writable, lines| Wanted {
        uuid: uuid(vg, of, layer),
        name: format!("{}-{}{layer}", double(&vg.name), double(&of.name)),
        writable,
        lines,
    };
    let whole = |extents: u64, text: String| vec![Line::read(&format!("0 {} {text}", extents * vg.extent))];
    let snapshots: Vec<_> = vg.snapshots().filter(|(origin, ..)| *origin == lv.name).collect();
    let data = |of: &Lv| data(metadata, vg, of);
    if snapshots.is_empty() {
        return vec![device(lv, "", lv.writable, data(lv))];
    }
    let real = number(lv, "-real");
    let is_rolled_back = vg.rollbacks().any(|fill| fill.volume.id == lv.id);
    // What is rolled back is read-only to LVM2 alone.
    let mut all = vec![device(lv, "-real", lv.writable || is_rolled_back, data(lv))];
    let mut top = format!("snapshot-origin {real}");
    for (_, store, chunk, length, merging) in snapshots {
        let Some(store) = vg.lv(store) else { continue };
        let cow = number(store, "-cow");
        all.push(device(store, "-cow", true, data(store)));
        let mut own = format!("snapshot {real} {cow} P {chunk}");
        if merging {
            top = format!("snapshot-merge {real} {cow} P {chunk}");
            own = "error".to_owned();
        }
        all.push(device(store, "", store.writable, whole(length, own)));
    }
    if !is_rolled_back {
        all.push(device(lv, "", lv.writable, whole(lv.extents(), top)));
    }
    let is_own = |fill: &&Fill<'_>| {
        vg.snapshots().any(|(origin, store, ..)| origin == lv.name && store == fill.source.name)
    };
    for Fill { volume, map, source, region } in vg.fills().iter().filter(is_own) {
        let from = vg.snapshots().find(|(_, store, ..)| *store == source.name);
        let length = from.map_or(0, |(.., length, _)| length).min(volume.extents());
        let barrier = format!("LVM-{}{}-source", map.id, vg.id);
        let destination = number(map, "-dest");
        let is_rollback = volume.id == lv.id;
        let clone = format!(
            "clone {} {destination} {} {region}{}",
            number(map, ""),
            world.device(&barrier).map_or("none", |device| &device.number),
            if is_rollback { " 2 no_hydration no_discard_passdown" } else { "" }
        );
        let mut lines = whole(length, clone);
        if is_rollback {
            all.push(device(map, "-clone", true, lines));
            lines = whole(length, format!("linear {} 0", number(map, "-clone")));
        }
        if volume.extents() > length {
            let (start, more) = (length * vg.extent, (volume.extents() - length) * vg.extent);
            lines.push(Line::read(&format!("{start} {more} linear {destination} {start}")));
        }
        let under =
            if is_rollback { whole(lv.extents(), format!("snapshot-origin {real}")) } else { data(volume) };
        all.push(device(map, "-dest", true, under));
        all.push(device(map, "", true, data(map)));
        let read = device(map, "-source", false, whole(length, format!("linear {} 0", number(source, ""))));
        all.push(Wanted { uuid: barrier, ..read });
        all.push(device(volume, "", volume.writable || is_rollback, lines));
    }
    all
}

fn data(metadata: &Metadata, vg: &Vg, lv: &Lv) -> Vec<Line> {
    let line = |segment: &super::disk::Segment| {
        let Kind::Stripes(size, places) = &segment.kind else { return None };
        let place = |(key, at): &(String, u64)| {
            let start = vg.pvs.iter().find(|pv| pv.key == *key).map_or(0, |pv| pv.start);
            format!("{} {}", metadata.disk_of(vg, key).unwrap_or("none"), start + at * vg.extent)
        };
        let places: Vec<_> = places.iter().map(place).collect();
        let kind = match places.len() {
            1 => "linear".to_owned(),
            count => format!("striped {count} {size}"),
        };
        let (start, length) = (segment.start * vg.extent, segment.count * vg.extent);
        Some(Line::read(&format!("{start} {length} {kind} {}", places.join(" "))))
    };
    lv.segments.iter().filter_map(line).collect()
}

/// Every device has its paths, and there is no other path.
fn paths(world: &World, metadata: &Metadata, wrong: &mut Findings) {
    for device in &world.devices {
        let mut link = None;
        for vg in metadata.groups.values() {
            let lv = vg.lvs.iter().find(|lv| uuid(vg, lv, "") == device.uuid);
            let lv = lv.filter(|lv| lv.tags_from("dmsnap.fill-of=").is_none());
            link = link.or_else(|| lv.map(|lv| format!("/dev/{}/{}", vg.name, lv.name)));
        }
        let path = world.paths.iter().find(|(name, ..)| *name == device.name);
        if path.is_none_or(|(_, number, at)| *number != device.number || *at != link) {
            wrong.push(format!("the paths of {} are {path:?}, not {link:?}", device.name));
        }
    }
    for (name, ..) in &world.paths {
        if !world.devices.iter().any(|device| device.name == *name) {
            wrong.push(format!("there are paths of {name}, which is gone"));
        }
    }
}
