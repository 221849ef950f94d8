//! Changes of a volume group: whatever imports, whatever is asked of it, the result prints, reads back as the same, and has kept what
//! nobody spoke of. The input is a text, a NUL, and the bytes that choose the changes; a text of one byte chooses a sample.

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Result, Unstructured};
use dmsnap::lvm::config::{Node, Section, Tree};
use dmsnap::lvm::{
    Area, Creation, Edit, LvFlag, LvName, NewLv, NewPv, Request, Segment, SegmentKind, Stamp, Tag, Uuid, Vg,
    allocate, check,
};
use dmsnap::units::{Extents, Sectors};

use super::outline::{Line, outline};
use super::vg::{extents, reread, same, view};

const SAMPLES: [&[u8]; 8] = [
    include_bytes!("../../tests/data/metadata/plain.vg"),
    include_bytes!("../../tests/data/metadata/snapshots.vg"),
    include_bytes!("../../tests/data/metadata/merging.vg"),
    include_bytes!("../../tests/data/metadata/thin.vg"),
    include_bytes!("../../tests/data/metadata/raid.vg"),
    include_bytes!("../../tests/data/metadata/cache.vg"),
    include_bytes!("../../tests/data/metadata/system-id.vg"),
    include_bytes!("../../tests/data/metadata/empty.vg"),
];

/// Names that a volume may get, and some that none may.
const NAMES: [&str; 12] = [
    "db",
    "a",
    "new-1",
    "snapshot9",
    "x_tmeta",
    "physical_volumes",
    "id",
    "0",
    "n.n",
    "logical_volumes",
    "tags",
    "segment1",
];

pub fn run(data: &[u8]) -> bool {
    let Some(end) = data.iter().position(|byte| *byte == 0) else { return false };
    let (text, choices) = (&data[..end], &data[end + 1..]);
    if text.len() > 1 << 15 || choices.len() > 1 << 10 {
        return false;
    }
    let text = match text {
        [sample] => SAMPLES[usize::from(*sample) % SAMPLES.len()],
        text => text,
    };
    // What does not import is the business of another target.
    let Ok(mut vg) = Vg::from_text(text) else { return false };
    let mut choices = Unstructured::new(choices);
    for _ in 0..8 {
        let Ok(edits) = edits(&mut choices, &vg) else { break };
        match vg.apply(&edits) {
            Ok(next) => {
                changed(&vg, &next, &edits);
                vg = next;
            }
            // The text and what was read from it differ.
            Err(error) => assert!(!error.message().contains("the text has no section"), "{error}: {edits:?}"),
        }
    }
    true
}

fn changed(before: &Vg, after: &Vg, edits: &[Edit]) {
    assert_eq!((before.seqno, before.id), (after.seqno, after.id));
    check::validate(Some(before), after).expect("what was applied is valid");
    view(after);
    extents(after);
    same(after, &reread(after));
    kept(&tree(before), &tree(after), edits);
}

fn tree(vg: &Vg) -> Tree {
    let text = vg.text(&Stamp::default()).expect("a text");
    Tree::parse(&text).expect("a text that was read before")
}

/// What was made anew, by its identity as the text has it: it may be that of something that was removed just before.
fn made(edits: &[Edit]) -> BTreeSet<Vec<u8>> {
    let ids = edits.iter().filter_map(|edit| match edit {
        Edit::AddLv(new) => Some(new.id),
        Edit::AddPv(new) => Some(new.id),
        Edit::AddSnapshot { id, .. } => Some(*id),
        _ => None,
    });
    ids.map(|id| format!("\"{id}\"").into_bytes()).collect()
}

/// Everything but what the changes speak of is as it was.
fn kept(before: &Tree, after: &Tree, edits: &[Edit]) {
    let made = made(edits);
    let (before, after) = (group(before), group(after));
    let but = |node: &Node<'_>, keys: &[&str]| !keys.iter().any(|key| node.has_key(key));
    let rest = |section: Section<'_>| {
        lines(section, |node| but(node, &["tags", "physical_volumes", "logical_volumes"]))
    };
    assert_eq!(rest(before), rest(after));
    let pvs = |section| members(section, "physical_volumes", |_| true);
    common(&pvs(before), &pvs(after), &made);
    let fields = |section| {
        members(section, "logical_volumes", |node| {
            node.section().is_none() && but(node, &["status", "flags", "tags", "segment_count"])
        })
    };
    common(&fields(before), &fields(after), &made);
    let is_quiet = |edit: &Edit| {
        !matches!(edit, Edit::SetLvSegments { .. } | Edit::RenameLv { .. } | Edit::SetMerging { .. })
    };
    if edits.iter().all(is_quiet) {
        let segments = |section| members(section, "logical_volumes", |node| node.section().is_some());
        common(&segments(before), &segments(after), &made);
    }
}

fn group(tree: &Tree) -> Section<'_> {
    tree.root().nodes().find_map(Node::section).expect("a volume group")
}

fn lines(section: Section<'_>, wanted: impl Fn(&Node<'_>) -> bool) -> Vec<Line> {
    let mut all = Vec::new();
    for node in section.nodes().filter(|node| wanted(node)) {
        let value = node.value().map(|value| value.spelled().to_vec());
        all.push((0, node.key().into_owned(), value));
        all.extend(node.section().map(outline).unwrap_or_default());
    }
    all
}

type Members = BTreeMap<Vec<u8>, Vec<Line>>;

/// What the members of a section say, by their identity.
fn members(section: Section<'_>, key: &str, wanted: impl Fn(&Node<'_>) -> bool) -> Members {
    let nodes = section.find(key).and_then(Node::section).into_iter().flat_map(Section::nodes);
    let id = |section: Section<'_>| Some(section.find("id")?.value()?.spelled().to_vec());
    nodes.filter_map(Node::section).filter_map(|one| Some((id(one)?, lines(one, &wanted)))).collect()
}

fn common(before: &Members, after: &Members, made: &BTreeSet<Vec<u8>>) {
    for (id, lines) in before.iter().filter(|(id, _)| !made.contains(*id)) {
        assert!(after.get(id).is_none_or(|after| after == lines), "{lines:?} became {:?}", after.get(id));
    }
}

fn edits(u: &mut Unstructured<'_>, vg: &Vg) -> Result<Vec<Edit>> {
    if u.is_empty() {
        return Err(arbitrary::Error::NotEnoughData);
    }
    let count = u.int_in_range(1..=3)?;
    (0..count).map(|_| edit(u, vg)).collect()
}

fn edit(u: &mut Unstructured<'_>, vg: &Vg) -> Result<Edit> {
    let kind = u.int_in_range(0..=15_u8)?;
    let lv = name(u, vg)?;
    Ok(match kind {
        0 => Edit::AddLv(NewLv {
            name: lv,
            id: uuid(u)?,
            writable: u.arbitrary()?,
            visible: u.arbitrary()?,
            flags: if u.arbitrary()? { vec![flag(u)?] } else { Vec::new() },
            tags: if u.arbitrary()? { vec![tag(u)?] } else { Vec::new() },
            created: created(u)?,
            segments: segments(u, vg, None)?,
        }),
        1 => Edit::RemoveLv { lv },
        2 => Edit::RenameLv { lv, to: name(u, vg)? },
        3 => Edit::SetLvSegments { segments: segments(u, vg, Some(&lv))?, lv },
        4 => Edit::SetLvWritable { lv, writable: u.arbitrary()? },
        5 => Edit::SetLvFlag { lv, flag: flag(u)?, on: u.arbitrary()? },
        6 => Edit::AddLvTag { lv, tag: tag(u)? },
        7 => Edit::RemoveLvTag { lv, tag: tag(u)? },
        8 => Edit::AddSnapshot {
            store: lv,
            origin: name(u, vg)?,
            chunk_size: Sectors(1 << u.int_in_range(0..=12)?),
            id: uuid(u)?,
            created: created(u)?,
        },
        9 => Edit::DetachSnapshot { store: lv },
        10 => Edit::SetMerging { store: lv, merging: u.arbitrary()? },
        11 => Edit::AddPv(NewPv {
            id: uuid(u)?,
            device: if u.arbitrary()? { Some("/dev/\"odd\\ one\"".into()) } else { None },
            dev_size: Sectors(u.arbitrary()?),
            pe_start: Sectors(2048),
            pe_count: Extents(u.arbitrary::<u16>()?.into()),
        }),
        12 => {
            let known = vg.pvs.get(usize::from(u.arbitrary::<u8>()?)).map(|pv| pv.id);
            Edit::RemovePv { pv: known.map_or_else(|| uuid(u), Ok)? }
        }
        13 => Edit::RenameVg {
            to: name(u, vg)?.as_str().parse().map_err(|_| arbitrary::Error::IncorrectFormat)?,
        },
        14 => Edit::AddVgTag { tag: tag(u)? },
        _ => Edit::RemoveVgTag { tag: tag(u)? },
    })
}

/// Mostly one that is there.
fn name(u: &mut Unstructured<'_>, vg: &Vg) -> Result<LvName> {
    let choice = usize::from(u.arbitrary::<u8>()?);
    if let Some(lv) = vg.lvs.get(choice) {
        return Ok(lv.name.clone());
    }
    NAMES[choice % NAMES.len()].parse().map_err(|_| arbitrary::Error::IncorrectFormat)
}

fn uuid(u: &mut Unstructured<'_>) -> Result<Uuid> {
    format!("{:032}", u.arbitrary::<u8>()?).parse().map_err(|_| arbitrary::Error::IncorrectFormat)
}

fn tag(u: &mut Unstructured<'_>) -> Result<Tag> {
    let text = *u.choose(&["one", "k=v/w:x!y&z#1+2", "-", "dmsnap.pending", "vgtag"])?;
    text.parse().map_err(|_| arbitrary::Error::IncorrectFormat)
}

fn flag(u: &mut Unstructured<'_>) -> Result<LvFlag> {
    Ok(*u.choose(&[LvFlag::ActivationSkip, LvFlag::NoAutoActivate])?)
}

fn created(u: &mut Unstructured<'_>) -> Result<Option<Creation>> {
    let host = *u.choose(&["guest", "", "\"\\\u{e9}\n"])?;
    Ok(if u.arbitrary()? {
        Some(Creation { time: u.arbitrary::<u32>()?.into(), host: host.into() })
    } else {
        None
    })
}

/// Allocated ones, a volume's own shortened, or anything.
fn segments(u: &mut Unstructured<'_>, vg: &Vg, lv: Option<&LvName>) -> Result<Vec<Segment>> {
    let own = || lv.and_then(|lv| vg.lv(lv)).map(|lv| lv.segments.clone()).unwrap_or_default();
    match u.int_in_range(0..=3_u8)? {
        0 | 1 => {
            let grows = lv.cloned();
            let extents = Extents(u.arbitrary::<u8>()?.into());
            let stripes = u.int_in_range(0..=3)?;
            let more =
                allocate(vg, &Request { extents, stripes, grows, ..Request::default() }).unwrap_or_default();
            Ok(own().into_iter().chain(more).collect())
        }
        2 => {
            let mut segments = own();
            segments.truncate(u.arbitrary::<u8>()?.into());
            if let Some(last) = segments.last_mut() {
                last.length = Extents(u.arbitrary::<u8>()?.into());
            }
            Ok(segments)
        }
        _ => {
            let count = u.int_in_range(0..=3)?;
            (0..count).map(|_| segment(u, vg)).collect()
        }
    }
}

fn segment(u: &mut Unstructured<'_>, vg: &Vg) -> Result<Segment> {
    let number = |u: &mut Unstructured<'_>| -> Result<u64> {
        Ok(if u.ratio(1, 8)? { u.arbitrary()? } else { u.arbitrary::<u8>()?.into() })
    };
    let areas = |u: &mut Unstructured<'_>| -> Result<Vec<Area>> {
        let count = u.int_in_range(0..=3)?;
        (0..count)
            .map(|_| {
                let start = Extents(number(u)?);
                Ok(if u.ratio(1, 4)? {
                    Area::Lv { name: name(u, vg)?, start }
                } else {
                    Area::Pv { pv: u.int_in_range(0..=3)?, start }
                })
            })
            .collect()
    };
    let kind = match u.int_in_range(0..=7_u8)? {
        0 => SegmentKind::Snapshot {
            chunk_size: Sectors(number(u)?),
            origin: name(u, vg)?,
            store: name(u, vg)?,
            merging: u.arbitrary()?,
        },
        1 => SegmentKind::Other { type_name: "zero".into(), volumes: Vec::new(), areas: Vec::new() },
        2 => SegmentKind::Striped { stripe_size: Some(Sectors(number(u)?)), areas: areas(u)? },
        _ => SegmentKind::Striped { stripe_size: None, areas: areas(u)? },
    };
    let tags = if u.ratio(1, 8)? { vec![tag(u)?] } else { Vec::new() };
    Ok(Segment { start: Extents(number(u)?), length: Extents(number(u)?), kind, tags })
}
