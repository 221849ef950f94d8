//! The image that is brought to an instant, and back to where it was before the part that no flush had made safe.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::log::{Entry, Kind, Log, SECTOR};

pub struct Image {
    file: File,
    /// What the unsafe part has overwritten: offset and bytes, in order.
    overwritten: Vec<(u64, Vec<u8>)>,
}

impl Image {
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(path)?;
        Ok(Self { file, overwritten: Vec::new() })
    }

    /// Applies a whole entry, for good.
    pub fn apply(&self, log: &Log, entry: &Entry) -> io::Result<()> {
        match content(log, entry)? {
            Some((sector, bytes)) => self.file.write_all_at(&bytes, sector * SECTOR),
            None => Ok(()),
        }
    }

    /// Applies a random choice of these, in random order, some of them in part; until the next `step_back`. Says how much of each.
    pub fn apply_parts(
        &mut self,
        log: &Log,
        entries: &[Entry],
        lot: &mut fastrand::Rng,
    ) -> io::Result<Vec<String>> {
        let mut order: Vec<usize> = (0..entries.len()).collect();
        lot.shuffle(&mut order);
        let mut parts = Vec::new();
        for number in order {
            let Some((sector, bytes)) = content(log, &entries[number])? else { continue };
            // Left out, torn, or whole.
            let torn = match lot.u8(0..8) {
                0..3 => continue,
                3 => true,
                _ => false,
            };
            let mut sectors = 0;
            for (sector, bytes) in (sector..).zip(bytes.chunks(512)) {
                if !torn || lot.bool() {
                    self.overwrite(sector * SECTOR, bytes)?;
                    sectors += 1;
                }
            }
            parts.push(format!("{number}: {sectors} of {} sectors at {sector}", bytes.len() / 512));
        }
        Ok(parts)
    }

    fn overwrite(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut before = vec![0; bytes.len()];
        self.file.read_exact_at(&mut before, offset)?;
        self.overwritten.push((offset, before));
        self.file.write_all_at(bytes, offset)
    }

    /// Takes the unsafe part back.
    pub fn step_back(&mut self) -> io::Result<()> {
        while let Some((offset, bytes)) = self.overwritten.pop() {
            self.file.write_all_at(&bytes, offset)?;
        }
        Ok(())
    }

    /// From here on who reads past the page cache sees it too.
    pub fn settle(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Where an entry writes, and what: zeros for a discard. Nothing for a mark or a flush alone.
fn content(log: &Log, entry: &Entry) -> io::Result<Option<(u64, Vec<u8>)>> {
    match entry.kind {
        Kind::Write { sector, sectors, at } => Ok(Some((sector, log.data(at, sectors)?))),
        Kind::Discard { sector, sectors } => {
            let length = usize::try_from(sectors * SECTOR).map_err(io::Error::other)?;
            Ok(Some((sector, vec![0; length])))
        }
        Kind::Mark(_) | Kind::Nothing => Ok(None),
    }
}
