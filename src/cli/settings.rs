//! The settings file, `/etc/dmsnap/config.toml`. Every key has a default; an environment variable outweighs the file.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Error, Kind, Result};

const FILE: &str = "/etc/dmsnap/config.toml";

/// What can be set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where lvm2's lock files are; `DMSNAP_LOCKING_DIR`.
    pub locking_dir: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self { locking_dir: PathBuf::from("/run/lock/lvm") }
    }
}

/// Reads a file that is named, or the usual one if it is there.
pub fn read(file: Option<&Path>) -> Result<Settings> {
    let path = file.unwrap_or(Path::new(FILE));
    let mut settings = match std::fs::read_to_string(path) {
        Ok(text) => parse(&text, path)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && file.is_none() => Settings::default(),
        Err(error) => {
            let cause = format!("the settings file {} cannot be read", path.display());
            return Err(Error::new(Kind::Usage, cause).with_source(error));
        }
    };
    if let Some(directory) = std::env::var_os("DMSNAP_LOCKING_DIR") {
        settings.locking_dir = directory.into();
    }
    Ok(settings)
}

fn parse(text: &str, path: &Path) -> Result<Settings> {
    toml::from_str(text).map_err(|error| {
        Error::new(Kind::Usage, format!("the settings file {} is wrong", path.display())).with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_means_the_defaults() {
        assert_eq!(parse("", Path::new("f")).unwrap(), Settings::default());
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert_eq!(parse("lokcing_dir = '/x'", Path::new("f")).unwrap_err().kind(), Kind::Usage);
    }
}
