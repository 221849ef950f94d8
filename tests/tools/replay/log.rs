//! The log of dm-log-writes: a first sector that counts the entries, then each entry's sector and its data (Linux 6.1).
//!
//! Writes stand in it in the order in which they became safe: a plain one right before the flush behind it, a forced one where it ended.

use std::error::Error;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

pub const SECTOR: u64 = 512;

const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;
const MARK: u64 = 8;

/// One thing that was done to the disk.
pub struct Entry {
    pub kind: Kind,
    /// Everything that was acknowledged before is safe now.
    pub flush: bool,
    /// It is itself safe once it is acknowledged.
    pub forced: bool,
}

pub enum Kind {
    Write {
        sector: u64,
        sectors: u64,
        at: u64,
    },
    Discard {
        sector: u64,
        sectors: u64,
    },
    Mark(String),
    /// A flush alone.
    Nothing,
}

impl Entry {
    pub fn mark(&self) -> Option<&str> {
        match &self.kind {
            Kind::Mark(text) => Some(text),
            _ => None,
        }
    }

    /// Not promised by the disk before the next flush.
    pub fn volatile(&self) -> bool {
        !self.flush && !self.forced && matches!(self.kind, Kind::Write { .. } | Kind::Discard { .. })
    }
}

pub struct Log {
    file: File,
    entries: Vec<Entry>,
}

impl Log {
    pub fn open(path: &Path) -> Result<Self, Box<dyn Error>> {
        let file = File::open(path)?;
        let words = words::<4>(&file, 0)?;
        if words[0] != MAGIC || words[1] != 1 {
            return Err(format!("{} holds no log of dm-log-writes", path.display()).into());
        }
        if words[3] & 0xffff_ffff != SECTOR {
            return Err("the recorded disk has no sectors of 512 bytes".into());
        }
        let mut entries = Vec::new();
        let mut at = SECTOR;
        for _ in 0..words[2] {
            let (entry, length) = entry(&file, at)?;
            entries.push(entry);
            at += length;
        }
        Ok(Self { file, entries })
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The bytes of a write, from its `at`.
    pub fn data(&self, at: u64, sectors: u64) -> io::Result<Vec<u8>> {
        let length = usize::try_from(sectors * SECTOR).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }
}

/// The entry there, and how many bytes of the log it takes.
fn entry(file: &File, at: u64) -> Result<(Entry, u64), Box<dyn Error>> {
    let [sector, sectors, flags, text] = words::<4>(file, at)?;
    let (kind, data) = if flags & MARK != 0 {
        let mut bytes = vec![0; usize::try_from(text.min(SECTOR - 32))?];
        file.read_exact_at(&mut bytes, at + 32)?;
        let text = String::from_utf8(bytes)?.trim_end_matches('\0').to_owned();
        (Kind::Mark(text), 0)
    } else if flags & DISCARD != 0 {
        (Kind::Discard { sector, sectors }, 0)
    } else if sectors == 0 {
        (Kind::Nothing, 0)
    } else {
        (Kind::Write { sector, sectors, at: at + SECTOR }, sectors * SECTOR)
    };
    Ok((Entry { kind, flush: flags & FLUSH != 0, forced: flags & FUA != 0 }, SECTOR + data))
}

fn words<const N: usize>(file: &File, at: u64) -> io::Result<[u64; N]> {
    let mut words = [0; N];
    for (word, at) in words.iter_mut().zip((at..).step_by(8)) {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, at)?;
        *word = u64::from_le_bytes(bytes);
    }
    Ok(words)
}
