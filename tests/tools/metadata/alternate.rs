//! Commits of the library and of lvm2 in turn, each by one process, with tags of random number and length. After each it is
//! checked that nothing is lost and that the text is where lvm2's rule has it; the rule is spelled here a second time.

use std::error::Error;
use std::io::{BufRead, BufReader, PipeReader, Write};
use std::process::{Child, Command, Stdio};

use dmsnap::block::Access;
use dmsnap::lvm::{Edit, Tag};

use super::{Outcome, change, open};

/// Text that all tags together may take: what is left of the largest text is for everything else.
const MOST: usize = 12_000;

pub fn alternate(vg: &str, times: usize, seed: u64) -> Outcome {
    let mut turns =
        Turns { vg, random: Random(seed), lvm2: Lvm2::start()?, own: Vec::new(), theirs: Vec::new() };
    let mut before = turns.place()?;
    let (mut wraps, mut sizes) = (0, (u64::MAX, 0));
    for turn in 0..times {
        if turn % 2 == 0 {
            turns.own()?;
        } else {
            turns.lvm2()?;
        }
        let now = turns.place()?;
        let wanted = next(before.area, before.offset, before.size);
        if (now.seqno, now.offset) != (before.seqno + 1, wanted) {
            return Err(format!("turn {turn}: {now:?} follows {before:?}, not {wanted}").into());
        }
        wraps += usize::from(now.offset < before.offset);
        sizes = (sizes.0.min(now.size), sizes.1.max(now.size));
        before = now;
    }
    println!("{wraps} wraps, texts of {} to {} bytes", sizes.0, sizes.1);
    Ok(())
}

/// Where lvm2 puts a text behind one of `length` at `offset`, in an area of `size`.
fn next(size: u64, offset: u64, length: u64) -> u64 {
    let end = offset + length;
    let last = if end > size { end - size + 512 - 1 } else { end - 1 };
    let start = (last + 1).div_ceil(512) * 512;
    if size - last < 512 || start > size - 512 { 512 } else { start }
}

#[derive(Debug)]
struct Place {
    seqno: u64,
    area: u64,
    offset: u64,
    size: u64,
}

struct Turns<'a> {
    vg: &'a str,
    random: Random,
    lvm2: Lvm2,
    own: Vec<String>,
    theirs: Vec<String>,
}

impl Turns<'_> {
    fn own(&mut self) -> Outcome {
        let (old, new) = self.draw("own");
        let tag = |text: &String| text.parse::<Tag>();
        change(self.vg, |_| {
            let old = old.iter().map(|text| Ok(Edit::RemoveVgTag { tag: tag(text)? }));
            old.chain(new.iter().map(|text| Ok(Edit::AddVgTag { tag: tag(text)? }))).collect()
        })?;
        self.own.retain(|tag| !old.contains(tag));
        self.own.extend(new);
        Ok(())
    }

    fn lvm2(&mut self) -> Outcome {
        let (old, new) = self.draw("theirs");
        let words = old.iter().map(|tag| format!(" --deltag {tag}"));
        let words: String = words.chain(new.iter().map(|tag| format!(" --addtag {tag}"))).collect();
        self.lvm2.change(&format!("vgchange{words} {}", self.vg))?;
        self.theirs.retain(|tag| !old.contains(tag));
        self.theirs.extend(new);
        Ok(())
    }

    /// Tags to take away and tags to bring: while there is room some more, then most of one's own go.
    fn draw(&mut self, who: &str) -> (Vec<String>, Vec<String>) {
        let total: usize = self.own.iter().chain(&self.theirs).map(|tag| tag.len() + 4).sum();
        let mine = if who == "own" { &self.own } else { &self.theirs };
        let old = if total > MOST - 3 * 1024 { mine.clone() } else { Vec::new() };
        let tag = |random: &mut Random, number: u64| {
            let length = usize::try_from(random.below(1000)).unwrap_or_default();
            format!("{who}{number}{}{}", random.below(1 << 40), "x".repeat(length))
        };
        let new = (0..=self.random.below(3)).map(|number| tag(&mut self.random, number)).collect();
        (old, new)
    }

    /// Where the text is in the first area. It must have the tags that were brought and not taken away.
    fn place(&self) -> Result<Place, Box<dyn Error>> {
        let open = open(self.vg, Access::Read)?;
        let mut found: Vec<_> = open.vg.tags.iter().map(ToString::to_string).collect();
        let mut wanted: Vec<_> = self.own.iter().chain(&self.theirs).cloned().collect();
        found.sort();
        wanted.sort();
        if found != wanted {
            return Err("a tag is lost, or one is there that nobody made".into());
        }
        let mda = open.pvs.first().and_then(|pv| pv.mdas.first()).ok_or("no metadata area")?;
        let header = mda.header.as_ref().map_err(String::as_str)?;
        let (offset, size) = (header.committed.offset.get(), header.committed.size.get());
        Ok(Place { seqno: open.vg.seqno, area: header.size.get(), offset, size })
    }
}

/// A shell of lvm2: a process for each command would take most of the time.
struct Lvm2 {
    shell: Child,
    said: BufReader<PipeReader>,
}

impl Lvm2 {
    fn start() -> std::io::Result<Self> {
        let (said, words) = std::io::pipe()?;
        let mut command = Command::new("lvm");
        let shell = command.stdin(Stdio::piped()).stdout(words.try_clone()?).stderr(words).spawn()?;
        Ok(Self { shell, said: BufReader::new(said) })
    }

    /// A command that says that it changed the volume group, and nothing else.
    fn change(&mut self, command: &str) -> Outcome {
        writeln!(self.shell.stdin.as_mut().ok_or("lvm2 has no input")?, "{command}")?;
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        if line.ends_with("successfully changed\n") {
            Ok(())
        } else {
            Err(format!("lvm2 said: {line}").into())
        }
    }
}

impl Drop for Lvm2 {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// Marsaglia's xorshift: the same numbers for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
