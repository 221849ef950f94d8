//! The tests of power cuts trust what `replay` brings back, so it is tested itself: on a log that is written here, without a guest.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;
const MARK: u64 = 8;

/// What is written to the disk: its sectors begin as zeros, and each write has a byte of its own.
#[derive(Default)]
struct Recording {
    entries: u64,
    bytes: Vec<u8>,
}

impl Recording {
    fn entry(mut self, sector: u64, sectors: u64, flags: u64, rest: &[u8]) -> Self {
        self.entries += 1;
        let mut header: Vec<u8> =
            [sector, sectors, flags, rest.len() as u64].iter().flat_map(|word| word.to_le_bytes()).collect();
        if flags & MARK != 0 {
            header.extend(rest);
        }
        header.resize(512, 0);
        self.bytes.extend(header);
        self
    }

    fn write(self, sector: u64, sectors: u64, flags: u64, byte: u8) -> Self {
        let mut recording = self.entry(sector, sectors, flags, &[]);
        recording
            .bytes
            .extend(std::iter::repeat_n(byte, usize::try_from(sectors * 512).expect("a small write")));
        recording
    }

    fn flush(self) -> Self {
        self.entry(0, 0, FLUSH, &[])
    }

    fn mark(self, text: &str) -> Self {
        self.entry(0, 0, MARK, text.as_bytes())
    }

    /// Each instant as `replay` tells of it, with the first byte of each sector of the image then.
    fn replay(self, arguments: &[&str]) -> Vec<(Value, Vec<u8>)> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (log, image) = (directory.path().join("log"), directory.path().join("image"));
        let mut bytes = Vec::new();
        for word in [0x006a_7366_7773_6872, 1, self.entries, 512] {
            bytes.extend(u64::to_le_bytes(word));
        }
        bytes.resize(512, 0);
        bytes.extend(self.bytes);
        fs::write(&log, bytes).expect("the log");
        fs::write(&image, [0; 16 * 512]).expect("the image");
        instants(&log, &image, arguments)
    }
}

fn instants(log: &Path, image: &Path, arguments: &[&str]) -> Vec<(Value, Vec<u8>)> {
    let program = Path::new(env!("CARGO_BIN_EXE_dmsnap")).with_file_name("examples").join("replay");
    let mut child = Command::new(program)
        .args([log, image])
        .args(["--seed", "7"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("`cargo build --examples` makes it");
    let mut asks = child.stdin.take().expect("a pipe");
    let mut instants = Vec::new();
    for line in BufReader::new(child.stdout.take().expect("a pipe")).lines() {
        let sectors = fs::read(image).expect("the image").chunks(512).map(|sector| sector[0]).collect();
        instants.push((serde_json::from_str(&line.expect("text")).expect("JSON"), sectors));
        // After the last one nobody listens.
        let _ = asks.write_all(b"\n");
    }
    assert!(child.wait().expect("its end").success());
    instants
}

/// The first sectors at each instant of a kind.
fn sectors<const N: usize>(instants: &[(Value, Vec<u8>)], kind: &str) -> Vec<[u8; N]> {
    let of_kind = instants.iter().filter(|(instant, _)| instant["kind"] == kind);
    of_kind.map(|(_, sectors)| sectors[..N].try_into().expect("as many sectors")).collect()
}

#[test]
fn what_a_flush_or_a_forced_write_made_safe_is_there_and_what_came_later_is_not() {
    let recording = Recording::default().write(0, 1, 0, 1).flush().write(1, 1, FUA, 2).write(0, 1, FUA, 3);
    let instants = recording.mark("end").replay(&["--between", "0"]);
    assert_eq!(sectors(&instants, "flush"), [[1, 0]]);
    assert_eq!(sectors(&instants, "forced"), [[1, 2], [3, 2]]);
    assert_eq!(sectors(&instants, "mark"), [[3, 2]]);
    assert_eq!(instants.last().unwrap().0["mark"], "end");
}

#[test]
fn any_part_of_what_no_flush_made_safe_may_be_there_and_is_taken_back() {
    let recording = Recording::default().write(0, 1, FUA, 1).write(1, 1, 0, 2).write(2, 1, 0, 3).flush();
    let instants = recording.replay(&["--between", "64"]);
    let found = sectors::<3>(&instants, "between");
    assert_eq!(found.len(), 64);
    for wanted in [[1, 0, 0], [1, 2, 0], [1, 0, 3], [1, 2, 3]] {
        assert!(found.contains(&wanted), "{wanted:?} in {found:?}");
    }
    assert_eq!(sectors(&instants, "forced"), [[1, 0, 0]]);
    assert_eq!(sectors(&instants, "flush"), [[1, 2, 3]]);
}

#[test]
fn a_write_of_several_sectors_may_be_torn_between_them() {
    let instants = Recording::default().write(0, 4, 0, 1).flush().replay(&["--between", "64"]);
    let found = sectors::<4>(&instants, "between");
    assert!(found.iter().any(|sectors| ![[0; 4], [1; 4]].contains(sectors)), "{found:?}");
    assert_eq!(sectors(&instants, "flush"), [[1; 4]]);
}

#[test]
fn writes_behind_a_forced_one_are_there_only_with_it() {
    let recording = Recording::default().write(0, 1, FUA, 1).write(1, 1, 0, 2).flush();
    for sectors in sectors::<2>(&recording.replay(&["--between", "64"]), "between") {
        assert_eq!(sectors[0], 1);
    }
}

#[test]
fn a_discarded_range_reads_as_zeros() {
    let recording = Recording::default().write(0, 2, FUA, 1).entry(0, 1, DISCARD, &[]).flush();
    assert_eq!(sectors(&recording.replay(&["--between", "0"]), "flush"), [[0, 1]]);
}

#[test]
fn instants_before_a_mark_are_passed_over_and_a_seed_draws_the_same_ones() {
    let recording = || {
        let before = Recording::default().write(0, 1, FUA, 1).flush().mark("begin here");
        (2..40).fold(before, |recording, byte| recording.write(1, 1, FUA, byte))
    };
    let drawn = || recording().replay(&["--from", "begin", "--most", "5"]);
    let instants = drawn();
    assert_eq!(instants.len(), 5);
    assert!(instants.iter().all(|(instant, sectors)| instant["mark"] == "begin here" && sectors[0] == 1));
    assert!(instants.iter().is_sorted_by_key(|(instant, _)| instant["entries"].as_u64()));
    assert_eq!(instants, drawn());
}
