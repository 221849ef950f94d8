//! How often something was cut, by operation, and what was wrong then.

use std::io::Write;
use std::time::Instant;

/// Everything at every place, which takes long.
pub fn is_long() -> bool {
    std::env::var_os("DMSNAP_LONG").is_some_and(|value| value == "1")
}

/// The seed of this run's samples; `DMSNAP_SEED` sets it.
pub fn seed() -> u64 {
    std::env::var("DMSNAP_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

pub struct Tally {
    kind: &'static str,
    began: Instant,
    counts: Vec<(&'static str, u64)>,
    /// By operation.
    wrong: Vec<(&'static str, String)>,
}

impl Tally {
    pub fn new(kind: &'static str) -> Self {
        Self { kind, began: Instant::now(), counts: Vec::new(), wrong: Vec::new() }
    }

    /// How many there were so far.
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|(_, count)| count).sum()
    }

    /// Counts a cut of an operation, and what the checker found.
    pub fn cut(&mut self, operation: &'static str, place: &str, found: &[String]) {
        match self.counts.last_mut() {
            Some((last, count)) if *last == operation => *count += 1,
            _ => self.counts.push((operation, 1)),
        }
        if !found.is_empty() {
            self.wrong.push((operation, format!("{operation}, {place}:\n    {}", found.join("\n    "))));
        }
    }

    /// Prints the counts past the test harness, which shows nothing of a test that passes; fails if anything was wrong.
    pub fn end(self) {
        let total = self.total();
        let each: Vec<_> = self.counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
        let Self { kind, began, counts, wrong } = self;
        let (operations, seed) = (counts.len(), seed());
        let line = format!(
            "{kind}: {total} cuts of {operations} operations, {} wrong, seed {seed}, {:.1?} ({})\n",
            wrong.len(),
            began.elapsed(),
            each.join(", ")
        );
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        // The first of each operation tells most.
        let firsts = wrong
            .iter()
            .enumerate()
            .filter(|(at, (operation, _))| !wrong.iter().take(*at).any(|(before, _)| before == operation));
        let shown = firsts.take(20).map(|(_, (_, text))| text.as_str()).collect::<Vec<_>>().join("\n");
        assert!(wrong.is_empty(), "{} of {total} are wrong:\n{shown}", wrong.len());
        assert!(total > 0);
    }
}
