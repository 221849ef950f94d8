//! The command line where it needs no device: what is said, where, and the exit status.

#![allow(clippy::unwrap_used)]

use clap::Parser;
use dmsnap::cli::args::{Cli, Command, Snapshot};
use serde_json::Value;

fn dmsnap() -> assert_cmd::Command {
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_dmsnap"));
    command.env_clear().env("COLUMNS", "100");
    command
}

fn stdout(arguments: &[&str]) -> String {
    let output = dmsnap().args(arguments).assert().success().get_output().stdout.clone();
    String::from_utf8(output).unwrap()
}

#[test]
fn help_names_every_command_and_the_exit_statuses() {
    insta::assert_snapshot!(stdout(&["--help"]));
}

#[test]
fn help_of_snapshot_create_says_what_it_takes() {
    insta::assert_snapshot!(stdout(&["snapshot", "create", "--help"]));
}

#[test]
fn bad_arguments_are_usage_errors_with_nothing_on_standard_output() {
    let lines: [&[&str]; 9] = [
        &[],
        &["frobnicate"],
        &["volume", "create", "vg0/a"],
        &["volume", "create", "vg0", "--size", "1G"],
        &["volume", "create", "vg0/a", "--size", "big"],
        &["volume", "create", "vg0/a b", "--size", "1G"],
        &["volume", "create", "vg0/-a", "--size", "1G"],
        &["volume", "create", "vg0/a", "--size", "1G", "--stripes", "0"],
        &["snapshot", "create", "vg0/a"],
    ];
    for line in lines {
        let assert = dmsnap().args(line).assert().code(2);
        assert!(assert.get_output().stdout.is_empty(), "{line:?}");
        assert!(!assert.get_output().stderr.is_empty(), "{line:?}");
    }
}

#[test]
fn with_json_an_error_is_an_object_on_standard_output() {
    for line in [&["-o", "json", "volume", "create", "vg0"][..], &["--output=json", "frobnicate"]] {
        let output = dmsnap().args(line).assert().code(2).get_output().stdout.clone();
        let answer: Value = serde_json::from_slice(&output).unwrap();
        assert_eq!(answer["error"]["kind"], "usage", "{line:?}");
        assert!(answer["error"]["message"].is_string() && answer["error"]["hint"].is_string(), "{line:?}");
    }
}

#[test]
fn completions_are_printed_for_each_shell() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(stdout(&["completions", shell]).contains("dmsnap"), "{shell}");
    }
}

#[test]
fn a_man_page_is_written_for_each_command() {
    let directory = tempfile::tempdir().unwrap();
    dmsnap().arg("man").arg(directory.path()).assert().success();
    for page in ["dmsnap.1", "dmsnap-snapshot-create.1", "dmsnap-check.1"] {
        assert!(directory.path().join(page).is_file(), "{page}");
    }
    dmsnap().args(["man", "/nonexistent"]).assert().code(1);
}

#[test]
fn the_version_is_that_of_the_package() {
    assert_eq!(stdout(&["version"]), format!("dmsnap {}\n", env!("CARGO_PKG_VERSION")));
    let answer: Value = serde_json::from_str(&stdout(&["-o", "json", "version"])).unwrap();
    assert_eq!(answer["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn an_unreadable_settings_file_is_named() {
    let assert = dmsnap().args(["--config", "/nonexistent.toml", "vg", "list"]).assert().code(2);
    let words = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert!(words.contains("/nonexistent.toml"), "{words}");
}

#[test]
fn a_name_does_not_eat_the_volume_behind_it() {
    let parse = |line: &str| {
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        let Command::Snapshot(Snapshot::Create(new)) = cli.command else { panic!("{line}") };
        let words = |list: Vec<String>| list.join(" ");
        (
            words(new.origins.iter().map(|origin| origin.name.to_string()).collect()),
            words(new.names.iter().map(ToString::to_string).collect()),
        )
    };
    let lines = [
        ("dmsnap snapshot create --name s vg0/db", "db", "s"),
        ("dmsnap snapshot create vg0/db -n s", "db", "s"),
        ("dmsnap snapshot create --name s --name t vg0/a vg0/b", "a b", "s t"),
        ("dmsnap snapshot create --name s vg0/a --name t vg0/b", "a b", "s t"),
        ("dmsnap snapshot create --name s,t vg0/a vg0/b", "a b", "s t"),
    ];
    for (line, origins, names) in lines {
        assert_eq!(parse(line), (origins.to_owned(), names.to_owned()), "{line}");
    }
}

/// Options of one letter can be written together.
#[test]
fn with_json_an_error_is_an_object_however_the_format_is_asked_for() {
    for arguments in [
        &["-qo", "json", "vg", "list", "x", "y"][..],
        &["-qojson", "vg", "list", "x", "y"],
        &["-vo=json", "vg", "list", "x", "y"],
    ] {
        let output = dmsnap().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8(output.stdout).unwrap();
        let answer: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text:?}"));
        assert_eq!(answer["error"]["kind"], "usage");
    }
}

#[test]
fn with_json_an_error_names_the_arguments_that_are_missing() {
    let output = dmsnap().args(["-o", "json", "volume", "create", "vg/v"]).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.ends_with("were not provided: --size <SIZE>"), "{message}");
}

/// What could not be done, and why: the heading of a help text says neither.
#[test]
fn with_json_a_missing_subcommand_is_said_to_be_missing() {
    let output = dmsnap().args(["-o", "json", "snapshot"]).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("subcommand"), "{message:?}");
}
