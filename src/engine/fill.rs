//! Volumes that are being filled from a snapshot, new ones and those that are rolled back, and how the metadata says so.
//!
//! Such a volume is usable from the first moment: what it has not yet been given is read from the snapshot (the kernel's clone target).
//! On its own extents it is incomplete, so lvm2 must not make a plain device of it: it is LOCKED, as by a pvmove, by which lvm2 refuses to
//! resize, rename, convert, move, snapshot or remove it, and it bears the flags by which lvm2 does not activate it. A tag names the
//! snapshot, by uuid, and the hidden volume that holds the map of what is filled. Until it is filled it belongs to the snapshot's origin
//! and is active exactly when that is.
//!
//! An origin that is rolled back is filled from its own snapshot: all the same, but that it keeps its place, and whatever is filled goes to it
//! as a write that all its snapshots see. The tag has a fourth word then, the flags that it bore before. To LVM2 it is read-only: nothing
//! else keeps LVM2 from merging another snapshot into it (2.03.16), and what is activated by force all the same is not written to.

use super::naming::Layer;
use crate::cow::diff::{Range, Ranges};
use crate::cow::store::Table;
use crate::error::{Error, Kind, Result};
use crate::lvm::{Edit, Lv, LvFlag, LvName, NewLv, Snapshot, Tag, Uuid, Vg};
use crate::units::{Bytes, Extents, Sectors};

/// On the volume: the snapshot's uuid, the map's, and the sectors of a region, with slashes between; of an origin also its own flags.
const FILL: &str = "dmsnap.fill=";
/// On the map: the volume's uuid and the snapshot's.
const FILL_OF: &str = "dmsnap.fill-of=";

/// On a snapshot that was made to fill one volume: it goes when it is not read any more.
const PASSING: &str = "dmsnap.fill-only";

/// What keeps lvm2 from activating a volume.
const FENCE: [LvFlag; 2] = [LvFlag::ActivationSkip, LvFlag::NoAutoActivate];

/// The kernel reads and sets up all regions when it loads a clone: with as many as this it takes a few milliseconds (Linux 6.1).
const MOST_REGIONS: u64 = 1 << 19;
/// Smaller regions save nothing: a chunk of a snapshot is as large.
const LEAST_REGION: Sectors = Sectors(128);
/// The largest that the kernel takes.
const MOST_REGION: Sectors = Sectors(1 << 21);

/// A block of the map, and for how many regions it holds (dm-clone's bitset on its own small B-tree).
const MAP_BLOCK: Bytes = Bytes::kib(4);
const REGIONS_IN_BLOCK: u64 = 32_000;
/// Blocks besides: superblock, roots, the space map.
const OTHER_BLOCKS: u64 = 32;

/// A volume that is being filled.
#[derive(Debug, Clone, Copy)]
pub struct Fill<'a> {
    /// It.
    pub volume: &'a Lv,
    /// The hidden volume that holds the map.
    pub map: &'a Lv,
    /// What it is filled from.
    pub source: &'a Snapshot,
    /// The size of a region.
    pub region: Sectors,
}

impl<'a> Fill<'a> {
    /// What a volume's tag says, if all that it names is there.
    pub fn of(vg: &'a Vg, volume: &'a Lv) -> Option<Self> {
        let mut words = tagged(volume, FILL)?.split('/');
        let source = by_id(vg, words.next()?)?;
        let map = by_id(vg, words.next()?)?;
        let region = words.next()?.parse().ok().map(Sectors)?;
        Some(Self { volume, map, source: vg.snapshot_of_store(&source.name)?, region })
    }

    /// The fill that a map belongs to.
    fn with_map(vg: &'a Vg, map: &Lv) -> Option<Self> {
        let volume = by_id(vg, tagged(map, FILL_OF)?.split('/').next()?)?;
        Self::of(vg, volume).filter(|fill| fill.map.id == map.id)
    }

    /// True if the volume is the snapshot's origin, which is being rolled back.
    pub fn is_rollback(&self) -> bool {
        self.source.origin == self.volume.name
    }

    /// Whose device is the clone, and which of them.
    pub fn clone_device(&self) -> (&'a Uuid, Layer) {
        if self.is_rollback() { (&self.map.id, Layer::Clone) } else { (&self.volume.id, Layer::Top) }
    }

    /// How much of the volume comes from the snapshot; what is beyond is the volume's own.
    pub fn length(&self) -> Extents {
        self.source.length.min(self.volume.extents())
    }

    /// What a rollback writes to its origin, by the exceptions of its snapshot: regions in which there is one, and the last one if it is short,
    /// which the kernel counts as filled only when it is copied (Linux 6.1).
    pub fn written(&self, vg: &Vg, table: &Table) -> Ranges {
        written(self.length().sectors(vg.extent_size), self.region, table)
    }

    /// What of it the origin has already.
    pub fn spared(&self, vg: &Vg, table: &Table) -> Ranges {
        self.written(vg, table).others(self.length().sectors(vg.extent_size))
    }

    /// What is there for this volume alone.
    pub fn helpers(&self, vg: &Vg) -> Vec<LvName> {
        let store = &self.source.store;
        let is_own = vg.lv(store).is_some_and(|lv| is_passing(lv)) && readers(vg, store).count() == 1;
        [self.map.name.clone()].into_iter().chain(is_own.then(|| store.clone())).collect()
    }

    /// The edits by which a full volume is one like any other. Its map has to go.
    pub fn end(&self) -> Vec<Edit> {
        let lv = &self.volume.name;
        let tags = self.volume.tags.iter().filter(|tag| tag.as_str().starts_with(FILL));
        let tags = tags.map(|tag| Edit::RemoveLvTag { lv: lv.clone(), tag: tag.clone() });
        let flags = fence_of(self.volume);
        let flags = flags.into_iter().map(|flag| Edit::SetLvFlag { lv: lv.clone(), flag, on: false });
        let unlock = Edit::SetLvLocked { lv: lv.clone(), locked: false };
        let opened = self.is_rollback().then(|| Edit::SetLvWritable { lv: lv.clone(), writable: true });
        [unlock].into_iter().chain(opened).chain(flags).chain(tags).collect()
    }
}

/// What is copied in regions of this size to roll so much of a volume back; see [`Fill::written`].
pub fn written(length: Sectors, region: Sectors, table: &Table) -> Ranges {
    let last = Sectors(length.get() / region.get().max(1) * region.get());
    Ranges::of(table, length).with(Range { start: last, end: length }).in_pieces(region).until(length)
}

/// Every volume that is being filled.
pub fn fills(vg: &Vg) -> impl Iterator<Item = Fill<'_>> {
    vg.lvs.iter().filter_map(|lv| Fill::of(vg, lv))
}

/// The volumes that are being filled from a snapshot.
pub fn readers<'a>(vg: &'a Vg, store: &'a LvName) -> impl Iterator<Item = Fill<'a>> {
    fills(vg).filter(move |fill| fill.source.store == *store)
}

/// True for a volume that is not complete on its own.
pub fn is_filling(lv: &Lv) -> bool {
    tagged(lv, FILL).is_some()
}

/// The rollback of an origin that is under way.
pub fn rollback_of<'a>(vg: &'a Vg, origin: &LvName) -> Option<Fill<'a>> {
    Fill::of(vg, vg.lv(origin)?).filter(Fill::is_rollback)
}

/// What keeps a volume that is being filled from activation by LVM2, and will not when it is full: a flag of its own stays.
fn fence_of(lv: &Lv) -> Vec<LvFlag> {
    let own: Vec<_> = tagged(lv, FILL).into_iter().flat_map(|words| words.split('/').skip(3)).collect();
    FENCE.into_iter().filter(|flag| !own.contains(&flag.word())).collect()
}

/// True for a volume that a person wants to be activated only when it is named.
pub fn is_skipped(vg: &Vg, lv: &Lv) -> bool {
    let is_fenced = rollback_of(vg, &lv.name).is_some() && fence_of(lv).contains(&LvFlag::ActivationSkip);
    lv.flags.has(LvFlag::ActivationSkip.word()) && !is_fenced
}

/// True for a volume that holds a map.
pub fn is_map(lv: &Lv) -> bool {
    tagged(lv, FILL_OF).is_some()
}

/// True for the map of a volume that is not being filled any more.
pub fn is_idle_map(vg: &Vg, lv: &Lv) -> bool {
    is_map(lv) && Fill::with_map(vg, lv).is_none()
}

/// True for a snapshot that was made to fill a volume which is full, in the kernel too: its map has gone.
pub fn is_idle_source(vg: &Vg, lv: &Lv) -> bool {
    let is_its = |map: &Lv| tagged(map, FILL_OF).is_some_and(|words| words.ends_with(lv.id.compact()));
    is_passing(lv) && !vg.lvs.iter().any(|map| is_its(map))
}

fn is_passing(lv: &Lv) -> bool {
    lv.tags.iter().any(|tag| tag.as_str() == PASSING)
}

/// The tag of a snapshot that goes when nothing is filled from it any more.
pub fn passing() -> Tag {
    tag(PASSING)
}

/// The volume that decides whether this one is active: the origin of what it is filled from, its own origin if it is a snapshot, else
/// itself.
pub fn root_of(vg: &Vg, name: &LvName) -> LvName {
    let lv = vg.lv(name).filter(|lv| is_filling(lv) || is_map(lv));
    let fill = lv.and_then(|lv| Fill::of(vg, lv).or_else(|| Fill::with_map(vg, lv)));
    fill.map_or_else(|| vg.root_of(name), |fill| fill.source.origin.clone())
}

/// The volume by which people name this one: a map goes with the volume that it belongs to.
pub fn named_by(vg: &Vg, lv: &Lv) -> LvName {
    Fill::with_map(vg, lv).map_or_else(|| lv.name.clone(), |fill| fill.volume.name.clone())
}

/// The volumes whose devices dmsnap builds: those that people use, and maps.
pub fn built_here(vg: &Vg) -> impl Iterator<Item = &Lv> {
    let maps = vg.lvs.iter().map(AsRef::as_ref).filter(|lv| is_map(lv) && vg.foreign_kind(lv).is_none());
    vg.built_here().filter(|lv| !is_map(lv)).chain(maps)
}

/// The edits that make a volume that is filled from the snapshot in `source`, and its map.
pub fn begin(mut volume: NewLv, map: NewLv, source: Uuid, region: Sectors) -> Vec<Edit> {
    volume.flags.extend(FENCE);
    volume.tags.push(fill_tag(source, &map, region, &[]));
    let locks = [lock(&volume.name), lock(&map.name)];
    let map = Edit::AddLv(map_of(map, volume.id, source));
    [Edit::AddLv(volume), map].into_iter().chain(locks).collect()
}

/// The same for an origin that is rolled back to the snapshot in `source`.
pub fn begin_rollback(origin: &Lv, map: NewLv, source: Uuid, region: Sectors) -> Vec<Edit> {
    let lv = || origin.name.clone();
    let (own, set): (Vec<_>, Vec<_>) = FENCE.into_iter().partition(|flag| origin.flags.has(flag.word()));
    let tag = Edit::AddLvTag { lv: lv(), tag: fill_tag(source, &map, region, &own) };
    let flags = set.into_iter().map(|flag| Edit::SetLvFlag { lv: lv(), flag, on: true });
    let locks = [lock(&origin.name), lock(&map.name)];
    let map = Edit::AddLv(map_of(map, origin.id, source));
    let closed = Edit::SetLvWritable { lv: lv(), writable: false };
    [map, tag, closed].into_iter().chain(flags).chain(locks).collect()
}

fn lock(lv: &LvName) -> Edit {
    Edit::SetLvLocked { lv: lv.clone(), locked: true }
}

fn fill_tag(source: Uuid, map: &NewLv, region: Sectors, own: &[LvFlag]) -> Tag {
    let own: String = own.iter().map(|flag| format!("/{}", flag.word())).collect();
    tag(&format!("{FILL}{}/{}/{}{own}", source.compact(), map.id.compact(), region.get()))
}

fn map_of(mut map: NewLv, volume: Uuid, source: Uuid) -> NewLv {
    map.visible = false;
    map.flags.extend(FENCE);
    map.tags.push(tag(&format!("{FILL_OF}{}/{}", volume.compact(), source.compact())));
    map
}

/// The edits that remove a volume, be it locked for a fill.
pub fn removal(lv: &Lv) -> Vec<Edit> {
    let lock =
        (is_filling(lv) || is_map(lv)).then(|| Edit::SetLvLocked { lv: lv.name.clone(), locked: false });
    lock.into_iter().chain([Edit::RemoveLv { lv: lv.name.clone() }]).collect()
}

/// A free name for what helps to fill a volume.
pub fn helper_name(vg: &Vg, volume: &LvName, what: &str) -> Result<LvName> {
    let names = (0..).map(|number| match number {
        0 => format!("{volume}_{what}"),
        number => format!("{volume}_{what}{number}"),
    });
    for name in names {
        let name: LvName = name.parse()?;
        if vg.lv(&name).is_none() && !vg.historical.contains(&name) {
            return Ok(name);
        }
    }
    Err(Error::new(Kind::Internal, "no number is free"))
}

/// How large the regions of a fill of this size are.
pub fn region(size: Sectors) -> Sectors {
    let least = Sectors(size.get().div_ceil(MOST_REGIONS).next_power_of_two());
    least.clamp(LEAST_REGION, MOST_REGION)
}

/// How large a map must be. Twice the blocks that hold it: the kernel writes a new version beside the old one.
pub fn map_size(size: Sectors, region: Sectors) -> Bytes {
    let regions = size.get().div_ceil(region.get());
    Bytes(MAP_BLOCK.get() * (OTHER_BLOCKS + 2 * regions.div_ceil(REGIONS_IN_BLOCK)))
}

fn tagged<'a>(lv: &'a Lv, start: &str) -> Option<&'a str> {
    lv.tags.iter().find_map(|tag| tag.as_str().strip_prefix(start))
}

fn by_id<'a>(vg: &'a Vg, id: &str) -> Option<&'a Lv> {
    let id: Uuid = id.parse().ok()?;
    vg.lvs.iter().find(|lv| lv.id == id).map(AsRef::as_ref)
}

fn tag(words: &str) -> Tag {
    words.parse().expect("words, uuids and numbers are of a tag's characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_as_small_as_their_number_allows() {
        let cases = [
            (Bytes::mib(64), Bytes::kib(64)),
            (Bytes::gib(32), Bytes::kib(64)),
            (Bytes::gib(33), Bytes::kib(128)),
            (Bytes::gib(1024), Bytes::mib(2)),
            (Bytes::gib(1 << 20), Bytes::gib(1)),
        ];
        for (size, wanted) in cases {
            assert_eq!(region(size.sectors_ceil()).bytes(), wanted, "{size}");
        }
    }

    #[test]
    fn a_map_of_a_tebibyte_fits_into_one_extent() {
        let size = Bytes::gib(1024).sectors_ceil();
        assert!(map_size(size, region(size)) <= Bytes::kib(512));
        assert!(map_size(Sectors(1), LEAST_REGION) >= Bytes::kib(128));
    }
}
