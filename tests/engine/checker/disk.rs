//! What the disks say by themselves: labels, metadata areas, and the texts in them.

use super::text::{Section, parse};

/// A disk's number, as the kernel writes it, and its bytes.
pub struct Disk {
    pub number: String,
    pub bytes: Box<dyn Fn(u64, usize) -> Vec<u8>>,
}

/// A physical volume.
pub struct Label {
    pub disk: String,
    /// Without hyphens.
    pub id: String,
    pub areas: Vec<Area>,
    /// It says that a group uses it.
    pub used: bool,
}

/// What a metadata area holds.
pub enum Area {
    Empty,
    /// Its text is not to be read.
    Ignored,
    Text(Vec<u8>),
    Bad(String),
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut word = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            word = if word & 1 == 1 { word >> 1 ^ 0xedb8_8320 } else { word >> 1 };
            bit += 1;
        }
        table[byte] = word;
        byte += 1;
    }
    table
}

static TABLE: [u32; 256] = table();

/// LVM2's checksum.
pub fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0xf597_a6cf, |sum, byte| sum >> 8 ^ TABLE[(sum ^ u32::from(*byte)) as usize & 0xff])
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// Pairs of where and how much, up to the one that begins nowhere, and where they end.
fn extents(sector: &[u8], mut at: usize) -> (Vec<(u64, u64)>, usize) {
    let mut found = Vec::new();
    while at + 16 <= sector.len() && u64_at(sector, at) != 0 {
        found.push((u64_at(sector, at), u64_at(sector, at + 8)));
        at += 16;
    }
    (found, at + 16)
}

impl Disk {
    /// The physical volume on it.
    pub fn label(&self) -> Option<Label> {
        let first = (self.bytes)(0, 2048);
        let is_label = |sector: &&[u8]| {
            sector.starts_with(b"LABELONE") && u32_at(sector, 16) == checksum(&sector[20..512])
        };
        let sector = first.chunks(512).find(is_label)?;
        let header = u32_at(sector, 20) as usize;
        let id = String::from_utf8_lossy(&sector[header..header + 32]).into_owned();
        let (_, at) = extents(sector, header + 40);
        let (areas, at) = extents(sector, at);
        // An extension of a version from 1 on: 1 is the flag.
        let used = u32_at(sector, at) > 0 && u32_at(sector, at + 4) & 1 == 1;
        let areas = areas.into_iter().map(|(start, size)| self.area(start, size)).collect();
        Some(Label { disk: self.number.clone(), id, areas, used })
    }

    fn area(&self, start: u64, size: u64) -> Area {
        let header = (self.bytes)(start, 512);
        if u32_at(&header, 0) != checksum(&header[4..]) {
            return Area::Bad("the header's checksum is wrong".to_owned());
        }
        if &header[4..20] != b" LVM2 x[5A%r0N*>"
            || u64_at(&header, 24) != start
            || u64_at(&header, 32) != size
        {
            return Area::Bad("the header is another area's".to_owned());
        }
        let (offset, length) = (u64_at(&header, 40), u64_at(&header, 48));
        let (wanted, flags) = (u32_at(&header, 56), u32_at(&header, 60));
        if flags & 1 == 1 {
            return Area::Ignored;
        }
        if length == 0 {
            return Area::Empty;
        }
        if offset < 512 || offset >= size || length > size - 512 {
            return Area::Bad(format!("its text stands outside, {offset}+{length}"));
        }
        // Text that reaches the end goes on behind the header.
        let straight = length.min(size - offset);
        let mut text = (self.bytes)(start + offset, straight as usize);
        text.extend((self.bytes)(start + 512, (length - straight) as usize));
        match checksum(&text) == wanted {
            true => Area::Text(text),
            false => Area::Bad("the text's checksum is wrong".to_owned()),
        }
    }
}

/// A volume group as one text has it.
#[derive(Debug, Clone)]
pub struct Vg {
    pub name: String,
    /// Without hyphens, as all of them here.
    pub id: String,
    pub seqno: u64,
    /// Sectors of an extent.
    pub extent: u64,
    pub tags: Vec<String>,
    pub pvs: Vec<Pv>,
    pub lvs: Vec<Lv>,
}

#[derive(Debug, Clone)]
pub struct Pv {
    pub key: String,
    pub id: String,
    pub start: u64,
    pub count: u64,
}

#[derive(Debug, Clone)]
pub struct Lv {
    pub name: String,
    pub id: String,
    pub tags: Vec<String>,
    pub writable: bool,
    pub segments: Vec<Segment>,
}

#[derive(Debug, Clone)]
pub struct Segment {
    pub start: u64,
    pub count: u64,
    pub kind: Kind,
}

#[derive(Debug, Clone)]
pub enum Kind {
    /// Sectors of a stripe, and the places.
    Stripes(u64, Vec<(String, u64)>),
    Snapshot {
        chunk: u64,
        origin: String,
        store: String,
        merging: bool,
    },
}

impl Lv {
    pub fn extents(&self) -> u64 {
        self.segments.iter().map(|segment| segment.count).sum()
    }

    /// What stands behind the start of a tag.
    pub fn tags_from<'a>(&'a self, start: &str) -> Option<&'a str> {
        self.tags.iter().find_map(|tag| tag.strip_prefix(start))
    }

    pub fn has_tag(&self, word: &str) -> bool {
        self.tags.iter().any(|tag| tag == word)
    }
}

/// A volume that is being filled: itself, its map, what it reads, and the sectors of a region.
pub struct Fill<'a> {
    pub volume: &'a Lv,
    pub map: &'a Lv,
    pub source: &'a Lv,
    pub region: &'a str,
}

impl Vg {
    pub fn fills(&self) -> Vec<Fill<'_>> {
        let by_id = |id: &str| self.lvs.iter().find(|lv| lv.id == id);
        let fill = |volume| {
            let tag = Lv::tags_from(volume, "dmsnap.fill=")?;
            let words: Vec<_> = tag.split('/').collect();
            Some(Fill { volume, source: by_id(words[0])?, map: by_id(words[1])?, region: words[2] })
        };
        self.lvs.iter().filter_map(fill).collect()
    }

    /// Those of volumes that are filled from snapshots of their own.
    pub fn rollbacks(&self) -> impl Iterator<Item = Fill<'_>> {
        self.fills().into_iter().filter(|fill| {
            self.snapshots()
                .any(|(origin, store, ..)| origin == fill.volume.name && store == fill.source.name)
        })
    }

    pub fn lv(&self, name: &str) -> Option<&Lv> {
        self.lvs.iter().find(|lv| lv.name == name)
    }

    /// Of each snapshot its origin, its store, the chunk, its length in extents and whether it is to be merged.
    pub fn snapshots(&self) -> impl Iterator<Item = (&str, &str, u64, u64, bool)> {
        self.lvs.iter().flat_map(|lv| &lv.segments).filter_map(|segment| match &segment.kind {
            Kind::Snapshot { chunk, origin, store, merging } => {
                Some((origin.as_str(), store.as_str(), *chunk, segment.count, *merging))
            }
            Kind::Stripes(..) => None,
        })
    }

    pub fn read(text: &[u8]) -> Result<Self, String> {
        let root = parse(text)?;
        if root.word("contents")? != "Text Format Volume Group" || root.number("version")? != 1 {
            return Err("it is no volume group's text".to_owned());
        }
        let (name, vg) = root.sections().next().ok_or("there is no volume group")?;
        let pvs = vg.sections_in("physical_volumes").into_iter().map(|(key, pv)| read_pv(key, pv));
        let lvs = vg.sections_in("logical_volumes").into_iter().map(|(name, lv)| read_lv(name, lv));
        Ok(Self {
            name: name.to_owned(),
            id: compact(vg.word("id")?),
            seqno: vg.number("seqno")?,
            extent: vg.number("extent_size")?,
            tags: vg.list("tags").to_vec(),
            pvs: pvs.collect::<Result<_, String>>()?,
            lvs: lvs.collect::<Result<_, String>>()?,
        })
    }
}

fn compact(id: &str) -> String {
    id.replace('-', "")
}

fn read_pv(key: &str, pv: &Section) -> Result<Pv, String> {
    let id = compact(pv.word("id")?);
    Ok(Pv { key: key.to_owned(), id, start: pv.number("pe_start")?, count: pv.number("pe_count")? })
}

fn read_lv(name: &str, lv: &Section) -> Result<Lv, String> {
    let segments = lv.sections().map(|(_, segment)| read_segment(segment)).collect::<Result<Vec<_>, _>>()?;
    if segments.len() as u64 != lv.number("segment_count")? {
        return Err(format!("{name} has another number of segments than it says"));
    }
    let has = |list: &str, word: &str| lv.list(list).iter().any(|one| one == word);
    Ok(Lv {
        name: name.to_owned(),
        id: compact(lv.word("id")?),
        tags: lv.list("tags").to_vec(),
        writable: has("status", "WRITE") || has("flags", "WRITE_LOCKED"),
        segments,
    })
}

fn read_segment(segment: &Section) -> Result<Segment, String> {
    let kind = match segment.word("type")? {
        "striped" => {
            let places = segment.list("stripes").chunks(2);
            let places = places.map(|pair| match pair {
                [pv, at] => at.parse().map(|at| (pv.clone(), at)).map_err(|_| format!("{at} is no place")),
                _ => Err("a stripe without its place".to_owned()),
            });
            let places = places.collect::<Result<Vec<_>, _>>()?;
            if places.is_empty() || places.len() as u64 != segment.number("stripe_count")? {
                return Err("another number of stripes than it says".to_owned());
            }
            Kind::Stripes(if places.len() > 1 { segment.number("stripe_size")? } else { 0 }, places)
        }
        "snapshot" => {
            let merging = segment.word("merging_store").is_ok();
            Kind::Snapshot {
                chunk: segment.number("chunk_size")?,
                origin: segment.word("origin")?.to_owned(),
                store: segment.word(if merging { "merging_store" } else { "cow_store" })?.to_owned(),
                merging,
            }
        }
        other => return Err(format!("segments of type {other} are not known here")),
    };
    Ok(Segment { start: segment.number("start_extent")?, count: segment.number("extent_count")?, kind })
}
