//! What the kernel says, as words, and where its tables lead, down to the disks' bytes.

use super::disk::{Disk, u32_at, u64_at};

/// A line of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub start: u64,
    pub length: u64,
    pub words: Vec<String>,
}

/// A device of device-mapper.
#[derive(Debug, Clone)]
pub struct Dev {
    pub name: String,
    pub uuid: String,
    pub number: String,
    /// Empty if it has no live table.
    pub live: Vec<Line>,
    pub inactive: bool,
    pub suspended: bool,
    pub read_only: bool,
    pub status: String,
    /// Of a clone, which of its regions are filled.
    pub filled: Vec<bool>,
}

/// The whole host: what is on its disks, its devices, and the paths to them with their numbers and links.
pub struct World {
    pub disks: Vec<Disk>,
    pub devices: Vec<Dev>,
    pub paths: Vec<(String, String, Option<String>)>,
}

impl Line {
    pub fn read(text: &str) -> Self {
        let mut words = text.split_whitespace().map(str::to_owned);
        let mut number = || words.next().unwrap().parse().unwrap();
        let (start, length) = (number(), number());
        Self { start, length, words: words.collect() }
    }

    pub fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }

    pub fn number(&self, at: usize) -> u64 {
        self.word(at).parse().unwrap_or(u64::MAX)
    }

    /// What a linear or striped line maps: devices, where, and how many sectors.
    pub fn places(&self) -> Vec<(&str, u64, u64)> {
        match self.word(0) {
            "linear" => vec![(self.word(1), self.number(2), self.length)],
            "striped" => {
                let count = self.number(1);
                (0..count as usize)
                    .map(|stripe| {
                        (self.word(3 + 2 * stripe), self.number(4 + 2 * stripe), self.length / count)
                    })
                    .collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Lines of which none goes on where the one before ended.
pub fn joined(lines: &[Line]) -> Vec<Line> {
    let mut all: Vec<Line> = Vec::new();
    for line in lines {
        match all.last_mut().filter(|last| goes_on(last, line)) {
            Some(last) => last.length += line.length,
            None => all.push(line.clone()),
        }
    }
    all
}

fn goes_on(last: &Line, line: &Line) -> bool {
    let ends = last.places().into_iter().map(|(device, start, length)| (device, start + length));
    let starts = line.places().into_iter().map(|(device, start, _)| (device, start));
    let layout = |line: &Line| match line.word(0) {
        "striped" => line.words[..3].join(" "),
        kind => kind.to_owned(),
    };
    layout(last) == layout(line) && !line.places().is_empty() && ends.eq(starts)
}

impl World {
    pub fn device(&self, uuid: &str) -> Option<&Dev> {
        self.devices.iter().find(|device| device.uuid == uuid)
    }

    /// 4 KiB of a device, through its tables and the exceptions on the disks.
    pub fn read(&self, number: &str, sector: u64) -> Result<Vec<u8>, String> {
        if let Some(disk) = self.disks.iter().find(|disk| disk.number == number) {
            return Ok((disk.bytes)(sector * 512, 4096));
        }
        let device = self.devices.iter().find(|device| device.number == number);
        let device = device.ok_or_else(|| format!("there is no device {number}"))?;
        let line = device.live.iter().find(|line| line.start <= sector && sector < line.start + line.length);
        let line = line.ok_or_else(|| format!("{} ends before sector {sector}", device.name))?;
        let within = sector - line.start;
        match line.word(0) {
            "linear" => self.read(line.word(1), line.number(2) + within),
            "striped" => {
                let (count, chunk) = (line.number(1), line.number(2));
                let (row, turn) = (within / chunk / count, within / chunk % count);
                let at = 3 + 2 * turn as usize;
                self.read(line.word(at), line.number(at + 1) + row * chunk + within % chunk)
            }
            "snapshot-origin" => self.read(line.word(1), within),
            "snapshot" | "snapshot-merge" => self.read_snapshot(line, within),
            "clone" => {
                let is_filled = device.filled.get((within / line.number(4)) as usize);
                self.read(line.word(if is_filled == Some(&true) { 2 } else { 3 }), within)
            }
            other => Err(format!("{} is {other}", device.name)),
        }
    }

    fn read_snapshot(&self, line: &Line, within: u64) -> Result<Vec<u8>, String> {
        let (origin, cow) = (line.word(1), line.word(2));
        let header = self.read(cow, 0)?;
        if u32_at(&header, 0) == 0 {
            return self.read(origin, within);
        }
        if &header[..4] != b"SnAp" || u32_at(&header, 8) != 1 {
            return Err(format!("the store {cow} has no header"));
        }
        if u32_at(&header, 4) == 0 {
            return Err(format!("the store {cow} is invalid"));
        }
        let chunk = u64::from(u32_at(&header, 12));
        match self.exception(cow, chunk, within / chunk)? {
            Some(new) => self.read(cow, new * chunk + within % chunk),
            None => self.read(origin, within),
        }
    }

    /// The chunk of a store that stands for one of the origin. Exceptions fill a chunk, then come as many chunks of data.
    fn exception(&self, cow: &str, chunk: u64, old: u64) -> Result<Option<u64>, String> {
        let in_area = chunk * 512 / 16;
        for number in 0.. {
            let first = (1 + number * (in_area + 1)) * chunk;
            for part in 0..chunk.div_ceil(8) {
                let bytes = self.read(cow, first + part * 8)?;
                let records = bytes.chunks(16).take(in_area as usize);
                for record in records {
                    match (u64_at(record, 0), u64_at(record, 8)) {
                        (_, 0) => return Ok(None),
                        (known, new) if known == old => return Ok(Some(new)),
                        _ => {}
                    }
                }
            }
        }
        Ok(None)
    }
}
