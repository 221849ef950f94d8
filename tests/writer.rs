//! The guest tests trust what their writer says, so it is tested itself: on plain files, without a guest.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

fn writer(arguments: &[&str]) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_dmsnap")).with_file_name("examples").join("writer");
    Command::new(&program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

fn answer(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// A file of 64 slots, written round at least once.
fn written(directory: &TempDir) -> PathBuf {
    let file = directory.path().join("records");
    let writes = answer(&writer(&[
        "write",
        text(&file),
        "--slots",
        "64",
        "--sync",
        "none",
        "--seconds",
        "1",
    ]))["writes"]
        .clone();
    assert!(writes.as_u64() > Some(64));
    file
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary directory with a plain name")
}

fn verify(file: &Path) -> Output {
    writer(&["verify", text(file), "--slots", "64"])
}

#[test]
fn the_last_acknowledged_record_and_its_predecessors_are_in_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("records");
    let state = directory.path().join("state");
    let summary = answer(&writer(&[
        "write",
        text(&file),
        "--state",
        text(&state),
        "--seconds",
        "1",
        "--sync",
        "dsync",
    ]));
    let found = answer(&writer(&["verify", text(&file)]));
    assert_eq!(found["first"], 1);
    assert_eq!(found["last"], summary["writes"]);
    for which in ["started", "acknowledged"] {
        let number = writer(&["state", text(&state), which]).stdout;
        assert_eq!(String::from_utf8_lossy(&number).trim(), found["last"].to_string());
    }
}

#[test]
fn a_full_ring_holds_the_newest_records() {
    let directory = tempfile::tempdir().unwrap();
    let found = answer(&verify(&written(&directory)));
    assert_eq!(found["records"], 64);
    assert_eq!(found["last"].as_u64().unwrap() - found["first"].as_u64().unwrap(), 63);
}

#[test]
fn a_flipped_bit_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let file = written(&directory);
    let mut bytes = fs::read(&file).unwrap();
    bytes[5 * 4096 + 1000] ^= 1;
    fs::write(&file, bytes).unwrap();
    let output = verify(&file);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("slot 5 is damaged"));
}

#[test]
fn an_old_record_in_place_of_a_new_one_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("records");
    assert!(
        writer(&["write", text(&file), "--slots", "64", "--sync", "none", "--seconds", "1"]).status.success()
    );
    let old = directory.path().join("old");
    assert!(writer(&["write", text(&old), "--sync", "none", "--seconds", "1"]).status.success());
    fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .write_all_at(&fs::read(&old).unwrap()[7 * 4096..8 * 4096], 7 * 4096)
        .unwrap();
    let output = verify(&file);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("slot 7 holds record 8"));
}

/// Three files hold the records in turn; one that is behind the others leaves a hole.
#[test]
fn records_go_round_several_files_and_one_that_is_older_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let files: Vec<_> = ["a", "b", "c"].map(|name| directory.path().join(name)).into();
    let names: Vec<_> = files.iter().map(|file| text(file)).collect();
    let run = |word: &str, more: &[&str]| {
        let ring = ["--slots", "12"];
        writer(&[&[word], names.as_slice(), &ring, more].concat())
    };
    answer(&run("write", &["--sync", "none", "--last", "12"]));
    let old = fs::read(&files[1]).unwrap();
    answer(&run("write", &["--sync", "none", "--first", "13", "--last", "17"]));
    let found = answer(&run("verify", &[]));
    assert_eq!((&found["first"], &found["last"], &found["records"]), (&6.into(), &17.into(), &12.into()));
    fs::write(&files[1], old).unwrap();
    let output = run("verify", &[]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("slot 1 holds record 2 and not 14"));
}

#[test]
fn a_command_is_reported_with_its_status_its_time_and_the_longest_write() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (file, log, report) = (path("records"), path("log"), path("report"));
    std::thread::scope(|scope| {
        let arguments = [
            "write",
            &file,
            "--slots",
            "64",
            "--sync",
            "none",
            "--log",
            &log,
            "--seconds",
            "2",
            "--rest",
            "500",
        ];
        let writing = scope.spawn(move || writer(&arguments));
        while fs::metadata(&log).map_or(0, |metadata| metadata.len()) == 0 && !writing.is_finished() {
            std::thread::yield_now();
        }
        let ran =
            writer(&["during", "--log", &log, "--report", &report, "--", "sh", "-c", "sleep 0.2; exit 3"]);
        assert_eq!(ran.status.code(), Some(3));
        answer(&writing.join().unwrap());
    });
    let report: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    assert_eq!(report["status"], 3);
    assert!(report["wall_ms"].as_f64().unwrap() >= 200.0);
    assert!(report["writes"].as_u64().unwrap() > 10);
    assert!(report["longest_stall_ms"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_ring_is_written_on_behind_its_last_record() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("records");
    let state = directory.path().join("state");
    for span in [["--first", "1", "--last", "64"], ["--first", "65", "--last", "80"]] {
        let mut arguments =
            vec!["write", text(&file), "--slots", "64", "--sync", "none", "--state", text(&state)];
        arguments.extend(span);
        answer(&writer(&arguments));
    }
    let found = answer(&verify(&file));
    assert_eq!([&found["first"], &found["last"]], [17, 80]);
    assert_eq!(
        String::from_utf8_lossy(&writer(&["state", text(&state), "acknowledged"]).stdout).trim(),
        "80"
    );
}
