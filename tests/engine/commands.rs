//! No command that changes something is left out of the tests of cuts.

use std::collections::BTreeSet;

use crate::operations::operations;
use clap::CommandFactory;
use dmsnap::cli::args::Cli;

/// They change nothing by themselves: who asks the server for something asks for what other commands do.
const QUIET: [&str; 12] = [
    "check",
    "completions",
    "csi",
    "inspect",
    "man",
    "pv list",
    "snapshot diff",
    "snapshot list",
    "udev",
    "version",
    "vg list",
    "volume list",
];

/// The commands that have none below them, by their words.
fn leaves(command: &clap::Command, path: &[String]) -> Vec<String> {
    let below: Vec<_> = command.get_subcommands().filter(|below| below.get_name() != "help").collect();
    if below.is_empty() {
        return vec![path.join(" ")];
    }
    let on = |below: &&clap::Command| [path, &[below.get_name().to_owned()]].concat();
    below.iter().flat_map(|below| leaves(below, &on(below))).collect()
}

#[test]
fn every_command_is_cut_or_changes_nothing() {
    let all: BTreeSet<_> = leaves(&Cli::command(), &[]).into_iter().collect();
    let cut: BTreeSet<_> = operations().map(|operation| operation.command.to_owned()).collect();
    let quiet: BTreeSet<_> = QUIET.iter().map(|command| (*command).to_owned()).collect();
    assert_eq!(&cut | &quiet, all, "a command is in neither list, or is no command");
    assert_eq!(cut.intersection(&quiet).count(), 0);
    let names: BTreeSet<_> = operations().map(|operation| operation.name).collect();
    assert_eq!(names.len(), operations().count(), "two operations have one name");
}
