//! Targets and tables: typed values to and from the kernel's text.
//!
//! `D` is how a target names the devices below it: a [`crate::block::DevNo`] towards the kernel, a name while a plan is
//! made. Parameters are those of the kernel's device-mapper documents (linear, striped, snapshot, clone).

use std::collections::BTreeSet;
use std::fmt;
use std::str::SplitAsciiWhitespace;

use crate::block::DevNo;
use crate::units::Sectors;

/// One kind of mapping and its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target<D> {
    /// `linear DEV OFFSET`
    Linear {
        /// The device below.
        device: D,
        /// Where the line begins on it.
        offset: Sectors,
    },
    /// `striped N CHUNK [DEV OFFSET]...`
    Striped {
        /// Sectors on one device before the next one's turn.
        chunk: Sectors,
        /// The devices and where the line begins on each.
        stripes: Vec<(D, Sectors)>,
    },
    /// `snapshot-origin DEV`
    Origin {
        /// The device that holds the origin's data.
        device: D,
    },
    /// `snapshot ORIGIN COW P CHUNK`
    Snapshot {
        /// The device that holds the origin's data.
        origin: D,
        /// The COW store.
        cow: D,
        /// The chunk size.
        chunk: Sectors,
    },
    /// `snapshot-merge ORIGIN COW P CHUNK`
    Merge {
        /// The device that holds the origin's data.
        origin: D,
        /// The COW store.
        cow: D,
        /// The chunk size. The kernel prints 0 for an inactive merge table (Linux 6.1).
        chunk: Sectors,
    },
    /// `clone METADATA DESTINATION SOURCE REGION [N FEATURE...]`
    Clone {
        /// What notes which regions are filled.
        metadata: D,
        /// What is filled: it has the data in the end.
        destination: D,
        /// What it is filled from.
        source: D,
        /// The size of a region.
        region: Sectors,
        /// What it does of itself.
        features: CloneFeatures,
    },
    /// `zero`
    Zero,
    /// `error`
    Error,
    /// A target that dmsnap does not make, kept as its text.
    Other {
        /// The target's type.
        kind: String,
        /// Its parameters.
        params: String,
    },
}

/// What a clone does of itself; nothing said, it does both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CloneFeatures {
    /// It fills nothing until it is told to.
    pub no_hydration: bool,
    /// Discarded regions count as filled, and the destination hears nothing of it.
    pub no_discard_passdown: bool,
}

impl CloneFeatures {
    const NO_HYDRATION: &str = "no_hydration";
    const NO_DISCARD_PASSDOWN: &str = "no_discard_passdown";

    fn words(self) -> impl Iterator<Item = &'static str> {
        let hydration = self.no_hydration.then_some(Self::NO_HYDRATION);
        hydration.into_iter().chain(self.no_discard_passdown.then_some(Self::NO_DISCARD_PASSDOWN))
    }

    /// `N FEATURE...`, or nothing.
    fn parse(words: &mut SplitAsciiWhitespace<'_>) -> Option<Self> {
        let mut features = Self::default();
        let count: usize = words.next().map_or(Some(0), |count| count.parse().ok())?;
        for _ in 0..count {
            match words.next()? {
                Self::NO_HYDRATION => features.no_hydration = true,
                Self::NO_DISCARD_PASSDOWN => features.no_discard_passdown = true,
                _ => return None,
            }
        }
        Some(features)
    }
}

/// A number of a clone's regions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Regions(pub u64);

/// What a clone can be told while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloneMessage {
    /// Fill on.
    EnableHydration,
    /// Fill only what is written to.
    DisableHydration,
    /// So many regions are copied at a time at most.
    HydrationThreshold(Regions),
    /// So many regions beside each other are copied as one at most.
    HydrationBatchSize(Regions),
}

/// The message as the kernel reads it.
impl fmt::Display for CloneMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EnableHydration => f.write_str("enable_hydration"),
            Self::DisableHydration => f.write_str("disable_hydration"),
            Self::HydrationThreshold(regions) => write!(f, "hydration_threshold {}", regions.0),
            Self::HydrationBatchSize(regions) => write!(f, "hydration_batch_size {}", regions.0),
        }
    }
}

/// A range of a device and where it is mapped to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<D> {
    /// The first sector.
    pub start: Sectors,
    /// How many.
    pub length: Sectors,
    /// The mapping.
    pub target: Target<D>,
}

/// The lines of a device, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table<D>(pub Vec<Line<D>>);

/// What a target says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// `snapshot` or `snapshot-merge` in good state: `USED/TOTAL METADATA`.
    Store {
        /// Sectors of the store in use, its metadata included.
        used: Sectors,
        /// Sectors of the store.
        total: Sectors,
        /// Sectors of the store that hold its header and exception areas.
        metadata: Sectors,
        /// True for `snapshot-merge`.
        merging: bool,
    },
    /// The store overflowed or was lost: the snapshot is worth nothing.
    Invalid,
    /// A write to the snapshot itself did not fit (mode `PO`).
    Overflow,
    /// The merge stopped on an I/O error.
    MergeFailed,
    /// `clone` in good state.
    Clone {
        /// Regions that are filled, by a copy, a write or a discard.
        hydrated: Regions,
        /// All of them.
        total: Regions,
        /// True while it fills of itself.
        hydrates: bool,
    },
    /// A clone that cannot note what it fills any more.
    CloneFailed,
    /// A target whose status says nothing that dmsnap needs.
    Other(String),
}

/// The parameters as the kernel reads them; the type is [`Target::kind`].
impl<D: fmt::Display> fmt::Display for Target<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linear { device, offset } => write!(f, "{device} {}", offset.get()),
            Self::Striped { chunk, stripes } => {
                write!(f, "{} {}", stripes.len(), chunk.get())?;
                stripes.iter().try_for_each(|(device, offset)| write!(f, " {device} {}", offset.get()))
            }
            Self::Origin { device } => write!(f, "{device}"),
            Self::Snapshot { origin, cow, chunk } | Self::Merge { origin, cow, chunk } => {
                write!(f, "{origin} {cow} P {}", chunk.get())
            }
            Self::Clone { metadata, destination, source, region, features } => {
                write!(f, "{metadata} {destination} {source} {}", region.get())?;
                let words: Vec<_> = features.words().collect();
                if words.is_empty() { Ok(()) } else { write!(f, " {} {}", words.len(), words.join(" ")) }
            }
            Self::Zero | Self::Error => Ok(()),
            Self::Other { params, .. } => f.write_str(params),
        }
    }
}

impl<D> Target<D> {
    /// The target's type, as in the kernel's tables.
    pub fn kind(&self) -> &str {
        match self {
            Self::Linear { .. } => "linear",
            Self::Striped { .. } => "striped",
            Self::Origin { .. } => "snapshot-origin",
            Self::Snapshot { .. } => "snapshot",
            Self::Merge { .. } => "snapshot-merge",
            Self::Clone { .. } => "clone",
            Self::Zero => "zero",
            Self::Error => "error",
            Self::Other { kind, .. } => kind,
        }
    }

    /// The devices below. None are known of [`Target::Other`]; see [`Target::references`].
    pub fn devices(&self) -> Vec<&D> {
        match self {
            Self::Linear { device, .. } | Self::Origin { device } => vec![device],
            Self::Striped { stripes, .. } => stripes.iter().map(|(device, _)| device).collect(),
            Self::Snapshot { origin, cow, .. } | Self::Merge { origin, cow, .. } => vec![origin, cow],
            Self::Clone { metadata, destination, source, .. } => vec![metadata, destination, source],
            Self::Zero | Self::Error | Self::Other { .. } => Vec::new(),
        }
    }

    /// The same with other names for the devices.
    pub fn map<E>(self, mut rename: impl FnMut(D) -> E) -> Target<E> {
        let renamed: Result<_, std::convert::Infallible> = self.try_map(|device| Ok(rename(device)));
        match renamed {
            Ok(target) => target,
            Err(never) => match never {},
        }
    }

    /// The size of the chunks of the store that it has.
    pub fn chunk_of_store(&self) -> Option<Sectors> {
        match self {
            Self::Snapshot { chunk, .. } | Self::Merge { chunk, .. } => Some(*chunk),
            _ => None,
        }
    }

    /// The same with other names for the devices, which may not all be there.
    pub fn try_map<E, F>(self, mut rename: impl FnMut(D) -> Result<E, F>) -> Result<Target<E>, F> {
        Ok(match self {
            Self::Linear { device, offset } => Target::Linear { device: rename(device)?, offset },
            Self::Striped { chunk, stripes } => {
                let stripes: Result<_, F> =
                    stripes.into_iter().map(|(device, offset)| Ok((rename(device)?, offset))).collect();
                Target::Striped { chunk, stripes: stripes? }
            }
            Self::Origin { device } => Target::Origin { device: rename(device)? },
            Self::Snapshot { origin, cow, chunk } => {
                Target::Snapshot { origin: rename(origin)?, cow: rename(cow)?, chunk }
            }
            Self::Merge { origin, cow, chunk } => {
                Target::Merge { origin: rename(origin)?, cow: rename(cow)?, chunk }
            }
            Self::Clone { metadata, destination, source, region, features } => Target::Clone {
                metadata: rename(metadata)?,
                destination: rename(destination)?,
                source: rename(source)?,
                region,
                features,
            },
            Self::Zero => Target::Zero,
            Self::Error => Target::Error,
            Self::Other { kind, params } => Target::Other { kind, params },
        })
    }
}

impl Target<DevNo> {
    /// Reads what the kernel prints. What dmsnap would not print itself (another mode than `P`, features, an unknown
    /// type, text that makes no sense) is kept as [`Target::Other`].
    pub fn parse(kind: &str, params: &str) -> Self {
        let other = || Self::Other { kind: kind.to_owned(), params: params.to_owned() };
        let mut words = params.split_ascii_whitespace();
        let known = known(kind, &mut words);
        match known {
            Some(target) if words.next().is_none() => target,
            _ => other(),
        }
    }

    /// The devices below; for [`Target::Other`] whatever looks like a device number in its parameters.
    pub fn references(&self) -> BTreeSet<DevNo> {
        match self {
            Self::Other { params, .. } => {
                params.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect()
            }
            _ => self.devices().into_iter().copied().collect(),
        }
    }
}

/// The kernel module that brings a target type.
pub fn module(kind: &str) -> String {
    match kind {
        "linear" | "striped" | "error" => "dm-mod".to_owned(),
        "snapshot-origin" | "snapshot-merge" => "dm-snapshot".to_owned(),
        "thin" => "dm-thin-pool".to_owned(),
        kind => format!("dm-{kind}"),
    }
}

fn known(kind: &str, words: &mut SplitAsciiWhitespace<'_>) -> Option<Target<DevNo>> {
    Some(match kind {
        "linear" => Target::Linear { device: device(words)?, offset: sectors(words)? },
        "striped" => striped(words)?,
        "snapshot-origin" => Target::Origin { device: device(words)? },
        "snapshot" => {
            let (origin, cow, chunk) = store(words)?;
            Target::Snapshot { origin, cow, chunk }
        }
        "snapshot-merge" => {
            let (origin, cow, chunk) = store(words)?;
            Target::Merge { origin, cow, chunk }
        }
        "clone" => Target::Clone {
            metadata: device(words)?,
            destination: device(words)?,
            source: device(words)?,
            region: sectors(words)?,
            features: CloneFeatures::parse(words)?,
        },
        "zero" => Target::Zero,
        "error" => Target::Error,
        _ => return None,
    })
}

fn striped(words: &mut SplitAsciiWhitespace<'_>) -> Option<Target<DevNo>> {
    let count: usize = words.next()?.parse().ok()?;
    let chunk = sectors(words)?;
    let mut stripes = Vec::new();
    // Not sized by the count, which is only text: each stripe must be there.
    for _ in 0..count {
        stripes.push((device(words)?, sectors(words)?));
    }
    (count > 0).then_some(Target::Striped { chunk, stripes })
}

fn store(words: &mut SplitAsciiWhitespace<'_>) -> Option<(DevNo, DevNo, Sectors)> {
    let (origin, cow) = (device(words)?, device(words)?);
    if words.next()? != "P" {
        return None;
    }
    Some((origin, cow, sectors(words)?))
}

fn device(words: &mut SplitAsciiWhitespace<'_>) -> Option<DevNo> {
    words.next()?.parse().ok()
}

fn sectors(words: &mut SplitAsciiWhitespace<'_>) -> Option<Sectors> {
    words.next()?.parse().ok().map(Sectors)
}

/// `START LENGTH TYPE PARAMETERS`, as dmsetup prints it.
impl<D: fmt::Display> fmt::Display for Line<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let params = self.target.to_string();
        write!(f, "{} {} {}", self.start.get(), self.length.get(), self.target.kind())?;
        if params.is_empty() { Ok(()) } else { write!(f, " {params}") }
    }
}

/// A line each, without a newline at the end.
impl<D: fmt::Display> fmt::Display for Table<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.0.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{line}")?;
        }
        Ok(())
    }
}

/// No lines.
impl<D> Default for Table<D> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<D: PartialEq> Line<D> {
    /// True if `next` maps what follows on every device of this line.
    fn is_continued_by(&self, next: &Self) -> bool {
        let follows = match (&self.target, &next.target) {
            (Target::Linear { device, offset }, Target::Linear { device: other, offset: behind }) => {
                device == other && *offset + self.length == *behind
            }
            (Target::Striped { chunk, stripes }, Target::Striped { chunk: other, stripes: behind }) => {
                let share = Sectors(self.length.get() / (stripes.len().max(1) as u64));
                let pairs = || stripes.iter().zip(behind);
                chunk == other
                    && stripes.len() == behind.len()
                    && pairs().all(|((device, offset), (other, behind))| {
                        device == other && *offset + share == *behind
                    })
            }
            _ => false,
        };
        follows && self.start + self.length == next.start
    }
}

impl<D> Table<D> {
    /// A table of one line.
    pub fn single(length: Sectors, target: Target<D>) -> Self {
        Self(vec![Line { start: Sectors::ZERO, length, target }])
    }

    /// True if there are no lines.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The device's size: where the last line ends.
    pub fn length(&self) -> Sectors {
        self.0.last().map_or(Sectors::ZERO, |line| line.start + line.length)
    }

    /// True if loading the table reads a COW store: that waits if a device below is suspended.
    pub fn reads_store(&self) -> bool {
        self.0.iter().any(|line| matches!(line.target.kind(), "snapshot" | "snapshot-merge"))
    }

    /// True if loading the table reads what a clone with the same table, if it runs, still changes.
    pub fn reads_map(&self) -> bool {
        self.0.iter().any(|line| matches!(line.target, Target::Clone { .. }))
    }

    /// The same mapping with as few lines as it takes: lines that continue each other are one. lvm2 loads it so.
    pub fn joined(self) -> Self
    where
        D: PartialEq,
    {
        let mut lines: Vec<Line<D>> = Vec::new();
        for line in self.0 {
            match lines.last_mut() {
                Some(last) if last.is_continued_by(&line) => last.length += line.length,
                _ => lines.push(line),
            }
        }
        Self(lines)
    }

    /// True if everything that `shorter` maps is mapped so here too. Both have as few lines as it takes.
    pub fn continues(&self, shorter: &Self) -> bool
    where
        D: PartialEq,
    {
        let last = shorter.0.len().saturating_sub(1);
        let same = |(index, (line, short)): (usize, (&Line<D>, &Line<D>))| {
            let is_whole = line.length == short.length || index == last && line.length > short.length;
            is_whole && line.start == short.start && line.target == short.target
        };
        shorter.0.len() <= self.0.len() && self.0.iter().zip(&shorter.0).enumerate().all(same)
    }

    /// The devices below, in order, each as often as it is named.
    pub fn devices(&self) -> Vec<&D> {
        self.0.iter().flat_map(|line| line.target.devices()).collect()
    }

    /// The same with other names for the devices.
    pub fn map<E>(self, mut rename: impl FnMut(D) -> E) -> Table<E> {
        let line = |line: Line<D>| Line {
            start: line.start,
            length: line.length,
            target: line.target.map(&mut rename),
        };
        Table(self.0.into_iter().map(line).collect())
    }

    /// The same with other names for the devices, which may not all be there.
    pub fn try_map<E, F>(self, mut rename: impl FnMut(D) -> Result<E, F>) -> Result<Table<E>, F> {
        let line = |line: Line<D>| {
            let target = line.target.try_map(&mut rename)?;
            Ok(Line { start: line.start, length: line.length, target })
        };
        self.0.into_iter().map(line).collect::<Result<_, F>>().map(Table)
    }
}

impl Table<DevNo> {
    /// The devices below; see [`Target::references`].
    pub fn references(&self) -> BTreeSet<DevNo> {
        self.0.iter().flat_map(|line| line.target.references()).collect()
    }
}

impl Status {
    /// True if a merge has nothing left to do: its store holds its own metadata and nothing else.
    pub fn is_merged(&self) -> bool {
        matches!(self, Self::Store { used, metadata, merging: true, .. } if used == metadata && !used.is_zero())
    }

    /// Reads the status that the kernel prints for a target of type `kind`.
    pub fn parse(kind: &str, text: &str) -> Self {
        let other = || Self::Other(text.to_owned());
        if kind == "clone" {
            return Self::clone_status(text).unwrap_or_else(other);
        }
        if !matches!(kind, "snapshot" | "snapshot-merge") {
            return other();
        }
        match text.trim() {
            "Invalid" => Self::Invalid,
            "Overflow" => Self::Overflow,
            "Merge failed" => Self::MergeFailed,
            usage => Self::usage(usage, kind == "snapshot-merge").unwrap_or_else(other),
        }
    }

    /// `BLOCK USED/TOTAL REGION HYDRATED/TOTAL HYDRATING N FEATURE... N ARGUMENT... rw`, or `Fail`. What cannot write its metadata says
    /// `ro` and has failed as well (Linux 6.1).
    fn clone_status(text: &str) -> Option<Self> {
        let words: Vec<_> = text.split_ascii_whitespace().collect();
        if matches!(words.last(), Some(&("Fail" | "ro"))) {
            return Some(Self::CloneFailed);
        }
        let (hydrated, total) = words.get(3)?.split_once('/')?;
        let regions = |text: &str| text.parse().ok().map(Regions);
        let hydrates = !words.contains(&CloneFeatures::NO_HYDRATION);
        Some(Self::Clone { hydrated: regions(hydrated)?, total: regions(total)?, hydrates })
    }

    /// `USED/TOTAL METADATA`.
    fn usage(text: &str, merging: bool) -> Option<Self> {
        let (used, rest) = text.split_once('/')?;
        let (total, metadata) = rest.split_once(' ')?;
        let number = |text: &str| text.parse().ok().map(Sectors);
        Some(Self::Store { used: number(used)?, total: number(total)?, metadata: number(metadata)?, merging })
    }
}

/// As the kernel prints it; of a clone, what is known of it.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store { used, total, metadata, .. } => {
                write!(f, "{}/{} {}", used.get(), total.get(), metadata.get())
            }
            Self::Invalid => f.write_str("Invalid"),
            Self::Overflow => f.write_str("Overflow"),
            Self::MergeFailed => f.write_str("Merge failed"),
            Self::Clone { hydrated, total, hydrates } => {
                write!(f, "{}/{}{}", hydrated.0, total.0, if *hydrates { "" } else { " no_hydration" })
            }
            Self::CloneFailed => f.write_str("Fail"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests;
