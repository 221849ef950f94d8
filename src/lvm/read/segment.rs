//! Segments: the types that dmsnap maps are read whole, of the others what they refer to.

use super::{Reader, number, tags, text};
use crate::error::Result;
use crate::lvm::check::known;
use crate::lvm::config::{Node, Scalar, Section};
use crate::lvm::model::{Area, Segment, SegmentKind};
use crate::lvm::name::LvName;
use crate::units::{Extents, Sectors};

/// The nodes of a segment's section, found in one pass.
#[derive(Default)]
struct Fields<'t> {
    start: Option<Node<'t>>,
    count: Option<Node<'t>>,
    kind: Option<Node<'t>>,
    tags: Option<Node<'t>>,
    others: Vec<Node<'t>>,
}

impl<'t> Fields<'t> {
    fn of(section: Section<'t>) -> Self {
        let mut fields = Self { others: Vec::with_capacity(section.nodes().len()), ..Self::default() };
        for node in section.nodes() {
            let field = match &*node.key() {
                b"start_extent" => &mut fields.start,
                b"extent_count" => &mut fields.count,
                b"type" => &mut fields.kind,
                b"tags" => &mut fields.tags,
                _ => {
                    fields.others.push(node);
                    continue;
                }
            };
            field.get_or_insert(node);
        }
        fields
    }

    fn find(&self, key: &str) -> Option<Node<'t>> {
        self.others.iter().copied().find(|node| node.has_key(key))
    }
}

impl Reader<'_> {
    /// In order and gapless, whatever their order in the text.
    pub(super) fn segments(&self, lv: Node<'_>, nodes: Vec<(Node<'_>, Section<'_>)>) -> Result<Vec<Segment>> {
        let read = |(node, section)| self.segment(node, section);
        let mut segments: Vec<Segment> = nodes.into_iter().map(read).collect::<Result<_>>()?;
        segments.sort_by_key(|segment| segment.start);
        let mut end = Extents::ZERO;
        for segment in &segments {
            if segment.start != end {
                return Err(lv.error(format!("its segments have a gap or overlap at extent {}", end.get())));
            }
            end = end
                .checked_add(segment.length)
                .ok_or_else(|| lv.error("it has more extents than there can be"))?;
        }
        Ok(segments)
    }

    fn segment(&self, node: Node<'_>, section: Section<'_>) -> Result<Segment> {
        let fields = Fields::of(section);
        let need = |field: Option<_>, key: &str| field.ok_or_else(|| node.error(format!("{key} is missing")));
        let length = Extents(number(need(fields.count, "extent_count")?)?);
        let type_node = need(fields.kind, "type")?;
        let type_name = type_node.value().and_then(|value| value.text());
        let kind = match type_name.as_deref() {
            Some(b"striped" | b"linear") => self.striped(node, &fields, length)?,
            Some(b"snapshot") => self.snapshot(node, &fields)?,
            _ => self.other(node, text(type_node)?, &fields, length)?,
        };
        Ok(Segment {
            start: Extents(number(need(fields.start, "start_extent")?)?),
            length,
            kind,
            tags: fields.tags.map(tags).transpose()?.unwrap_or_default(),
        })
    }

    fn striped(&self, node: Node<'_>, fields: &Fields<'_>, length: Extents) -> Result<SegmentKind> {
        let need = |key: &str| fields.find(key).ok_or_else(|| node.error(format!("{key} is missing")));
        let count = number(need("stripe_count")?)?;
        if count == 0 || !length.get().is_multiple_of(count) {
            return Err(node.error(format!("its {length} cannot be in {count} stripes")));
        }
        let stripe_size = match count {
            1 => None,
            _ => Some(Sectors(number(need("stripe_size")?)?)),
        };
        let stripes = need("stripes")?;
        let areas = self.areas(stripes, Extents(length.get() / count))?;
        if areas.len() as u64 != count {
            return Err(stripes.error(format!("{} areas, not {count}", areas.len())));
        }
        Ok(SegmentKind::Striped { stripe_size, areas })
    }

    fn snapshot(&self, node: Node<'_>, fields: &Fields<'_>) -> Result<SegmentKind> {
        let need = |key: &str| fields.find(key).ok_or_else(|| node.error(format!("{key} is missing")));
        let (store, merging) = match (fields.find("cow_store"), fields.find("merging_store")) {
            (Some(store), None) => (store, false),
            (None, Some(store)) => (store, true),
            (None, None) => return Err(node.error("a snapshot without a store")),
            (Some(_), Some(_)) => return Err(node.error("a snapshot with two stores")),
        };
        Ok(SegmentKind::Snapshot {
            chunk_size: Sectors(number(need("chunk_size")?)?),
            origin: self.volume(need("origin")?)?,
            store: self.volume(store)?,
            merging,
        })
    }

    fn volume(&self, node: Node<'_>) -> Result<LvName> {
        let name = node.value().and_then(|value| value.text()).and_then(|text| self.lv_name(&text));
        name.ok_or_else(|| node.error("there is no such volume"))
    }

    /// Only `mirrors` and `stripes` refer to physical volumes.
    fn other(
        &self,
        node: Node<'_>,
        type_name: String,
        fields: &Fields<'_>,
        length: Extents,
    ) -> Result<SegmentKind> {
        let missing =
            needed(&type_name).iter().find(|keys| !keys.iter().any(|key| fields.find(key).is_some()));
        if let Some([key, ..]) = missing {
            return Err(node.error(format!("{key} is missing")));
        }
        let mut areas = Vec::new();
        for key in ["mirrors", "stripes"] {
            if let Some(node) = fields.find(key) {
                areas.extend(self.areas(node, length)?);
            }
        }
        let mut volumes = Vec::new();
        let values = fields.others.iter().filter_map(|node| node.value());
        for scalar in values.flat_map(|value| value.scalars()) {
            if let Scalar::Text(text) = scalar
                && let Some(name) = self.lv_name(&text)
            {
                volumes.push(name);
            }
        }
        Ok(SegmentKind::Other { type_name, volumes, areas })
    }

    /// `["pv0", 0, "lv", 4]`, each area with so many extents.
    fn areas(&self, node: Node<'_>, length: Extents) -> Result<Vec<Area>> {
        let bad = || node.error("not a list of volumes and extents");
        let value = node.value().ok_or_else(bad)?;
        let mut scalars = value.scalars();
        let mut areas = Vec::new();
        while let Some(scalar) = scalars.next() {
            let (Scalar::Text(key), Some(Scalar::Integer(start))) = (scalar, scalars.next()) else {
                return Err(bad());
            };
            let start = Extents(u64::try_from(start).map_err(|_| bad())?);
            areas.push(self.area(node, &key, start, length)?);
        }
        Ok(areas)
    }

    fn area(&self, node: Node<'_>, key: &[u8], start: Extents, length: Extents) -> Result<Area> {
        let pv = std::str::from_utf8(key).ok().and_then(|key| self.pvs.get(key));
        if let Some(&(pv, extents)) = pv {
            if start.checked_add(length).is_none_or(|end| end > extents) {
                return Err(node.error(format!("extents beyond the end of {}", String::from_utf8_lossy(key))));
            }
            return Ok(Area::Pv { pv, start });
        }
        match self.lv_name(key) {
            Some(name) => Ok(Area::Lv { name, start }),
            None => Err(node.error(format!("there is no volume {}", String::from_utf8_lossy(key)))),
        }
    }
}

/// The fields, one of each row, without which LVM2 reads nothing of the whole group.
fn needed(type_name: &str) -> &'static [&'static [&'static str]] {
    match type_name.split('+').next() {
        Some("thin") => &[&["thin_pool"], &["transaction_id"], &["device_id"]],
        Some("thin-pool") => &[&["metadata"], &["pool"], &["transaction_id"], &["chunk_size"]],
        Some("mirror") => &[&["mirror_count"], &["mirrors"]],
        Some("raid0") => &[&["stripe_count", "device_count"], &["raid0_lvs"]],
        Some(name) if known::is_segment_type(name) && name.starts_with("raid") => {
            &[&["device_count", "stripe_count"], &["raids"]]
        }
        _ => &[],
    }
}
