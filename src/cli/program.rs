//! What the program says of itself.

use std::path::Path;

use clap::CommandFactory;
use serde_json::json;

use super::args::Cli;
use super::output::Output;
use crate::error::{Context, Error, Result};

/// The completion script for a shell.
#[allow(clippy::unnecessary_wraps)]
pub fn completions(shell: clap_complete::Shell) -> Result<()> {
    clap_complete::generate(shell, &mut Cli::command(), "dmsnap", &mut std::io::stdout());
    Ok(())
}

/// A man page for each command.
pub fn man(directory: &Path) -> Result<()> {
    clap_mangen::generate_to(Cli::command(), directory).map_err(|error| {
        Error::io(format!("man pages cannot be written to {}", directory.display()), error)
            .hint("name a directory that exists")
            .at(Context::Device(directory.to_owned()))
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
