//! What the program says of itself.

use std::path::Path;

use clap::CommandFactory;
use serde_json::json;

use super::args::Cli;
use super::output::Output;
use crate::error::{Error, Result};

/// The completion script for a shell.
pub fn completions(shell: clap_complete::Shell, output: &Output) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "dmsnap", &mut script);
    output.lines(&[String::from_utf8_lossy(&script).trim_end().to_owned()])
}

/// A man page for each command.
pub fn man(directory: &Path) -> Result<()> {
    clap_mangen::generate_to(Cli::command(), directory).map_err(|error| {
        Error::io(format!("man pages cannot be written to {}", directory.display()), error)
            .hint("name a directory that exists")
    })
}

/// The version.
pub fn version(output: &Output) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    if output.is_object() {
        return output.object(&json!({ "version": version }));
    }
    output.lines(&[format!("dmsnap {version}")])
}
