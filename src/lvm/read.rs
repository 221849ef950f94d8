//! From the syntax tree to the values of [`super::model`].
//!
//! What LVM2 insists on is insisted on, and an error has its place in the text. What a volume group may hold but
//! dmsnap must not change is not an error here: [`super::check`] says so.

#![deny(clippy::indexing_slicing)]

use std::borrow::Cow;
use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use super::config::{Node, Scalar, Section, Tree};
use super::index::Index;
use super::model::{Creation, Lv, Pv, Stamp, Vg, Words};
use super::name::{LvName, Tag, Uuid, VgName, is_name_byte, spelled};
use super::policy::Policy;
use crate::error::{Context, Error, Kind, Result};
use crate::units::{Extents, Sectors};

mod segment;

/// What `contents` must say.
pub(super) const CONTENTS: &str = "Text Format Volume Group";

impl Vg {
    /// Reads a volume group from its text. [`Kind::Refused`] with the place where it is damaged.
    pub fn from_text(text: &[u8]) -> Result<Self> {
        Self::from_tree(Tree::parse(text)?)
    }

    /// The same without a copy of the text.
    pub fn from_shared(text: &Arc<[u8]>) -> Result<Self> {
        Self::from_tree(Tree::parse_shared(text)?)
    }

    /// Reads a volume group from its syntax tree.
    pub fn from_tree(tree: Tree) -> Result<Self> {
        check_header(tree.root())?;
        let node = volume_group(tree.root())?;
        check_first(tree.root(), node)?;
        let mut vg = vg_fields(node)?;
        let context = Context::Vg(vg.name.to_string());
        read_members(&mut vg, node).map_err(|error| error.at(context))?;
        vg.tree = tree;
        Ok(vg)
    }

    /// Who wrote the text, when and why, as far as it says so.
    pub fn written(&self) -> Stamp {
        let root = self.tree.root();
        let word = |key: &str| root.find(key).and_then(|node| text(node).ok());
        Stamp {
            time: root.find("creation_time").and_then(|node| number(node).ok()).unwrap_or_default(),
            host: word("creation_host").unwrap_or_default(),
            system: String::new(),
            system_id: word("creation_host_system_id"),
            description: word("description").unwrap_or_default(),
        }
    }
}

fn damaged(what: impl Into<String>) -> Error {
    Error::new(Kind::Refused, what)
}

fn check_header(root: Section<'_>) -> Result<()> {
    let contents = root.find("contents").ok_or_else(|| damaged("the text does not say what it contains"))?;
    if text(contents)? != CONTENTS {
        return Err(contents.error("not the text of a volume group"));
    }
    let version = root.find("version").ok_or_else(|| damaged("the text does not say its version"))?;
    match number(version)? {
        1 => Ok(()),
        other => Err(version.error(format!("version {other} of the text format is not known"))),
    }
}

/// The first section at the top.
fn volume_group(root: Section<'_>) -> Result<Node<'_>> {
    root.nodes().find(|node| node.section().is_some()).ok_or_else(|| damaged("the text has no volume group"))
}

/// A change finds a section by its name: no other node may be found instead.
fn check_first<'t>(around: Section<'t>, node: Node<'t>) -> Result<()> {
    let first = std::str::from_utf8(&node.key()).ok().and_then(|key| around.find(key));
    match first.is_none_or(|first| first.section().is_some()) {
        true => Ok(()),
        false => Err(node.error("something else has its name")),
    }
}

/// The same for all sections in a section.
fn check_names(around: Section<'_>) -> Result<()> {
    let mut sections = around.nodes().filter(|node| node.section().is_some());
    let (Some(first), more) = (sections.next(), sections.next().is_some()) else { return Ok(()) };
    if !more {
        return check_first(around, first);
    }
    let mut seen = HashMap::with_capacity(around.nodes().len());
    for node in around.nodes() {
        let is_section = node.section().is_some();
        if seen.insert(node.key(), is_section).is_some_and(|other| other || is_section) {
            return Err(node.error("something else has its name"));
        }
    }
    Ok(())
}

/// Everything but physical and logical volumes.
fn vg_fields(node: Node<'_>) -> Result<Vg> {
    let section = node.section().ok_or_else(|| node.error("not a section"))?;
    let need = |key: &str| section.find(key).ok_or_else(|| node.error(format!("{key} is missing")));
    if let Some(format) = section.find("format")
        && text(format)? != "lvm2"
    {
        return Err(format.error("not the format lvm2"));
    }
    let extent_size = need("extent_size")?;
    let sectors = number(extent_size)?;
    if sectors == 0 {
        return Err(extent_size.error("an extent cannot be empty"));
    }
    Ok(Vg {
        name: VgName::from_str(&lossy(node.key())).map_err(|error| node.error(error))?,
        id: uuid(need("id")?)?,
        seqno: number(need("seqno")?)?,
        extent_size: Sectors(sectors),
        status: words(need("status")?)?,
        flags: section.find("flags").map(words).transpose()?.unwrap_or_default(),
        tags: section.find("tags").map(tags).transpose()?.unwrap_or_default(),
        system_id: section.find("system_id").map(text).transpose()?,
        lock_type: section.find("lock_type").map(text).transpose()?,
        has_lock_args: section.find("lock_args").is_some(),
        max_lv: counted(need("max_lv")?)?,
        max_pv: counted(need("max_pv")?)?,
        allocation: section.find("allocation_policy").map(policy).transpose()?.flatten(),
        metadata_copies: section.find("metadata_copies").map(counted).transpose()?.unwrap_or_default(),
        pvs: Vec::new(),
        lvs: Vec::new(),
        historical: Vec::new(),
        tree: Tree::default(),
        index: Index::default(),
    })
}

fn read_members(vg: &mut Vg, node: Node<'_>) -> Result<()> {
    let section = node.section().ok_or_else(|| node.error("not a section"))?;
    check_names(section)?;
    let pvs = section.find("physical_volumes").ok_or_else(|| node.error("physical_volumes is missing"))?;
    pvs.section().map_or(Ok(()), check_names)?;
    vg.pvs = members(Some(pvs)).map(|node| pv(node).map(Arc::new)).collect::<Result<_>>()?;
    let lvs = section.find("logical_volumes");
    lvs.and_then(Node::section).map_or(Ok(()), check_names)?;
    vg.index.lvs.reserve(lvs.and_then(Node::section).map_or(0, |section| section.nodes().len()));
    for (place, node) in members(lvs).enumerate() {
        // LVM2 takes a slash for a section within another, in quotes too.
        if node.key().contains(&b'/') {
            return Err(node.error("bad volume name: it has a slash"));
        }
        let name = LvName::found(&node.key());
        vg.index.lvs.insert(name, place);
    }
    let mut reader = Reader::new(&vg.pvs, &vg.index.lvs);
    vg.lvs = members(lvs).map(|node| reader.lv(node).map(Arc::new)).collect::<Result<_>>()?;
    let historical = members(section.find("historical_logical_volumes"));
    vg.historical = historical.filter_map(|node| LvName::from_str(&lossy(node.key())).ok()).collect();
    vg.index.relate(&vg.lvs);
    Ok(())
}

/// The sections in a section that may be missing.
fn members(node: Option<Node<'_>>) -> impl Iterator<Item = Node<'_>> {
    let nodes = node.and_then(Node::section).into_iter().flat_map(Section::nodes);
    nodes.filter(|node| node.section().is_some())
}

fn pv(node: Node<'_>) -> Result<Pv> {
    let section = node.section().ok_or_else(|| node.error("not a section"))?;
    let need = |key: &str| section.find(key).ok_or_else(|| node.error(format!("{key} is missing")));
    Ok(Pv {
        key: lossy(node.key()).into_owned(),
        id: uuid(need("id")?)?,
        device: section.find("device").map(text).transpose()?,
        dev_size: Sectors(section.find("dev_size").map(number).transpose()?.unwrap_or_default()),
        pe_start: Sectors(number(need("pe_start")?)?),
        pe_count: Extents(number(need("pe_count")?)?),
        status: words(need("status")?)?,
        flags: section.find("flags").map(words).transpose()?.unwrap_or_default(),
        tags: section.find("tags").map(tags).transpose()?.unwrap_or_default(),
    })
}

/// What volumes refer to, and what many of them say alike: kept once.
pub(super) struct Reader<'a> {
    /// By key: the place in the list, and how many extents there are.
    pvs: HashMap<&'a str, (usize, Extents)>,
    lvs: &'a HashMap<LvName, usize>,
    words: Vec<(Box<[u8]>, Words)>,
    host: Option<Arc<str>>,
}

/// Volumes have few different lists of words; what is more than so many different ones is not worth keeping.
const WORDS_KEPT: usize = 16;

impl<'a> Reader<'a> {
    pub fn new(pvs: &'a [Arc<Pv>], lvs: &'a HashMap<LvName, usize>) -> Self {
        let mut by_key = HashMap::new();
        for (place, pv) in pvs.iter().enumerate() {
            by_key.entry(pv.key.as_str()).or_insert((place, pv.pe_count));
        }
        Self { pvs: by_key, lvs, words: Vec::new(), host: None }
    }

    pub fn lv(&mut self, node: Node<'_>) -> Result<Lv> {
        let name = self.lv_name(&node.key()).ok_or_else(|| node.error("not the name of a volume"))?;
        let context = Context::Lv(name.to_string());
        self.lv_fields(name, node).map_err(|error| error.at(context))
    }

    fn lv_fields(&mut self, name: LvName, node: Node<'_>) -> Result<Lv> {
        node.section().map_or(Ok(()), check_names)?;
        let fields = LvFields::of(node)?;
        let need = |field: Option<_>, key: &str| field.ok_or_else(|| node.error(format!("{key} is missing")));
        let count = need(fields.segment_count, "segment_count")?;
        if usize::try_from(number(count)?) != Ok(fields.segments.len()) {
            return Err(count.error(format!("there are {} segments", fields.segments.len())));
        }
        let status = self.words(need(fields.status, "status")?)?;
        check_pairs(node, &fields, &status)?;
        Ok(Lv {
            name,
            id: uuid(need(fields.id, "id")?)?,
            status,
            flags: fields.flags.map(|node| self.words(node)).transpose()?.unwrap_or_default(),
            tags: fields.tags.map(tags).transpose()?.unwrap_or_default(),
            created: match (fields.creation_time, fields.creation_host) {
                (None, None) => None,
                // A time that cannot be is no reason to read nothing.
                (Some(time), Some(host)) => {
                    Some(Creation { time: integer(time)?.cast_unsigned(), host: self.host(host)? })
                }
                (Some(time), None) => return Err(time.error("creation_host is missing")),
                (None, Some(host)) => return Err(host.error("creation_time is missing")),
            },
            has_lock_args: fields.lock_args.is_some(),
            allocation: fields.allocation.map(policy).transpose()?.flatten(),
            segments: self.segments(node, fields.segments)?,
        })
    }

    /// The name that is already there, shared.
    fn lv_name(&self, text: &[u8]) -> Option<LvName> {
        self.lvs.get_key_value(&*spelled(text, is_name_byte)).map(|(name, _)| name.clone())
    }

    fn words(&mut self, node: Node<'_>) -> Result<Words> {
        let spelled = node.value().map(|value| value.spelled()).unwrap_or_default();
        if let Some((_, words)) = self.words.iter().find(|(known, _)| **known == *spelled) {
            return Ok(words.clone());
        }
        let words = words(node)?;
        if self.words.len() < WORDS_KEPT {
            self.words.push((spelled.into(), words.clone()));
        }
        Ok(words)
    }

    fn host(&mut self, node: Node<'_>) -> Result<Arc<str>> {
        let text = node.value().and_then(|value| value.text()).ok_or_else(|| node.error("not a string"))?;
        match &self.host {
            Some(host) if host.as_bytes() == &*text => Ok(host.clone()),
            _ => {
                let host: Arc<str> = Arc::from(lossy(text));
                self.host = Some(host.clone());
                Ok(host)
            }
        }
    }
}

/// The nodes of a logical volume's section, found in one pass.
#[derive(Default)]
struct LvFields<'t> {
    id: Option<Node<'t>>,
    status: Option<Node<'t>>,
    flags: Option<Node<'t>>,
    tags: Option<Node<'t>>,
    creation_time: Option<Node<'t>>,
    creation_host: Option<Node<'t>>,
    minor: Option<Node<'t>>,
    lock_args: Option<Node<'t>>,
    allocation: Option<Node<'t>>,
    segment_count: Option<Node<'t>>,
    segments: Vec<(Node<'t>, Section<'t>)>,
}

impl<'t> LvFields<'t> {
    fn of(node: Node<'t>) -> Result<Self> {
        let section = node.section().ok_or_else(|| node.error("not a section"))?;
        let mut fields = Self::default();
        for node in section.nodes() {
            if let Some(section) = node.section() {
                fields.segments.push((node, section));
                continue;
            }
            let field = match &*node.key() {
                b"id" => &mut fields.id,
                b"status" => &mut fields.status,
                b"flags" => &mut fields.flags,
                b"tags" => &mut fields.tags,
                b"creation_time" => &mut fields.creation_time,
                b"creation_host" => &mut fields.creation_host,
                b"minor" => &mut fields.minor,
                b"lock_args" => &mut fields.lock_args,
                b"allocation_policy" => &mut fields.allocation,
                b"segment_count" => &mut fields.segment_count,
                _ => continue,
            };
            field.get_or_insert(node);
        }
        Ok(fields)
    }
}

/// What LVM2 reads only together with something else: without it, it reads nothing of the whole group.
fn check_pairs(node: Node<'_>, fields: &LvFields<'_>, status: &Words) -> Result<()> {
    if status.has("FIXED_MINOR") && fields.minor.is_none() {
        return Err(node.error("minor is missing"));
    }
    Ok(())
}

/// For values that people see. The tree keeps the bytes.
fn lossy(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

fn number(node: Node<'_>) -> Result<u64> {
    u64::try_from(integer(node)?).map_err(|_| node.error("not a number from 0"))
}

/// A number that nothing on disk depends on: as LVM2 reads it, its lowest 32 bits.
fn counted(node: Node<'_>) -> Result<u64> {
    Ok(integer(node)?.cast_unsigned() & u64::from(u32::MAX))
}

/// LVM2 takes the first of a list for the one.
fn integer(node: Node<'_>) -> Result<i64> {
    let value = node.value();
    let first = || match value?.scalars().next()? {
        Scalar::Integer(value) => Some(value),
        Scalar::Text(_) | Scalar::Float(_) => None,
    };
    value.and_then(|value| value.integer()).or_else(first).ok_or_else(|| node.error("not a number from 0"))
}

fn text(node: Node<'_>) -> Result<String> {
    let value = node.value().and_then(|value| value.text());
    value.map(|text| lossy(text).into_owned()).ok_or_else(|| node.error("not a string"))
}

fn policy(node: Node<'_>) -> Result<Option<Policy>> {
    Ok(Policy::of_word(&text(node)?))
}

fn uuid(node: Node<'_>) -> Result<Uuid> {
    let value = node.value().and_then(|value| value.text()).ok_or_else(|| node.error("not a string"))?;
    Uuid::from_text(&value).ok_or_else(|| node.error("not a uuid"))
}

fn each_string<T>(node: Node<'_>, read: impl Fn(&[u8]) -> T) -> Result<Vec<T>> {
    let value = node.value().ok_or_else(|| node.error("not a list of strings"))?;
    let string = |scalar| match scalar {
        Scalar::Text(text) => Ok(read(&text)),
        Scalar::Integer(_) | Scalar::Float(_) => Err(node.error("not a list of strings")),
    };
    value.scalars().map(string).collect()
}

fn words(node: Node<'_>) -> Result<Words> {
    let words = each_string(node, |word| String::from_utf8_lossy(word).into_owned())?;
    Ok(words.iter().map(String::as_str).collect())
}

fn tags(node: Node<'_>) -> Result<Vec<Tag>> {
    each_string(node, Tag::found)
}

#[cfg(test)]
pub(crate) mod tests;
