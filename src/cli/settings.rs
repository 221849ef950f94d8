//! The settings: `/etc/dmsnap/config.toml`, and lvm2's own configuration.
//!
//! Every key has a default; an environment variable outweighs the file. What lvm2's configuration says holds for dmsnap too;
//! what is set for dmsnap alone outweighs it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::dm::FREEZE_BUDGET;
use crate::engine::monitor::Rate;
use crate::error::{Error, Kind, Result};
use crate::lvm;
use crate::lvm::settings::DIRECTORY;
use crate::units::Bytes;

const FILE: &str = "/etc/dmsnap/config.toml";

/// What can be set.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How many seconds a switch may freeze a volume; `DMSNAP_FREEZE_BUDGET`.
    freeze_budget: Option<f64>,
    /// Where lvm2's lock files are, if not where lvm2's configuration says; `DMSNAP_LOCKING_DIR`.
    pub locking_dir: Option<PathBuf>,
    /// For `dmsnap monitor`.
    pub monitor: MonitorSettings,
}

/// The table `[monitor]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MonitorSettings {
    /// How much the fastest writer writes in a second, as a size: stores are kept with room for it.
    fastest: Option<String>,
}

impl MonitorSettings {
    /// As a rate.
    pub fn fastest(&self) -> Result<Option<Rate>> {
        let Some(text) = &self.fastest else { return Ok(None) };
        let bytes: Bytes = text.parse().map_err(|error: Error| error.doing("read fastest in [monitor]"))?;
        if bytes.is_zero() {
            return Err(Error::new(Kind::Usage, "fastest in [monitor] is 0, and something will be written"));
        }
        Ok(Some(Rate(bytes.get())))
    }
}

/// What a freeze may last: nobody means less than this many seconds, or more.
const BUDGETS: std::ops::RangeInclusive<f64> = 0.01..=3600.0;

impl Settings {
    /// How long a switch may freeze a volume.
    pub fn freeze_budget(&self) -> Result<Duration> {
        match self.freeze_budget {
            None => Ok(FREEZE_BUDGET),
            Some(seconds) if BUDGETS.contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
            Some(seconds) => {
                let cause = format!("freeze_budget is {seconds}, and not between 0.01 and 3600 seconds");
                Err(Error::new(Kind::Usage, cause))
            }
        }
    }
}

/// Reads a file that is named, or the usual one if it is there.
pub fn read(file: Option<&Path>) -> Result<Settings> {
    let path = file.unwrap_or(Path::new(FILE));
    let mut settings = match text_of(path)? {
        Some(text) => parse(&String::from_utf8_lossy(&text), path)?,
        None if file.is_none() => Settings::default(),
        None => {
            return Err(Error::new(Kind::Usage, format!("there is no settings file {}", path.display())));
        }
    };
    if let Some(directory) = std::env::var_os("DMSNAP_LOCKING_DIR") {
        settings.locking_dir = Some(directory.into());
    }
    if let Some(seconds) = std::env::var_os("DMSNAP_FREEZE_BUDGET") {
        let seconds: Option<f64> = seconds.to_str().and_then(|seconds| seconds.parse().ok());
        let number =
            seconds.ok_or_else(|| Error::new(Kind::Usage, "DMSNAP_FREEZE_BUDGET is no number of seconds"));
        settings.freeze_budget = Some(number?);
    }
    Ok(settings)
}

/// Reads lvm2's configuration where `LVM_SYSTEM_DIR` says, or else the usual one. `DM_DEV_DIR` outweighs its `devices/dir`, as with
/// lvm2, and what is set for dmsnap outweighs all.
pub fn read_lvm2(settings: &Settings) -> Result<lvm::Settings> {
    let directory = std::env::var_os("LVM_SYSTEM_DIR").map_or_else(|| DIRECTORY.into(), PathBuf::from);
    let mut lvm2 = lvm2_in(&directory)?;
    for note in &lvm2.notes {
        tracing::warn!("{note}");
    }
    if let Some(directory) = std::env::var_os("DM_DEV_DIR") {
        lvm2.dev = directory.into();
    }
    if let Some(directory) = &settings.locking_dir {
        lvm2.locking_dir.clone_from(directory);
    }
    Ok(lvm2)
}

fn lvm2_in(directory: &Path) -> Result<lvm::Settings> {
    // LVM2 takes an empty name as: no files.
    if directory.as_os_str().is_empty() {
        return Ok(lvm::Settings::of_nothing(directory));
    }
    let read = |name: &str| text_of(&directory.join(name));
    lvm::Settings::parse(directory, read("lvm.conf")?.as_deref(), read("lvmlocal.conf")?.as_deref())
}

/// What is in a file; none if it is not there.
pub fn text_of(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let cause = format!("the settings file {} cannot be read", path.display());
            Err(Error::new(Kind::Usage, cause).with_source(error))
        }
    }
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

    #[test]
    fn a_freeze_lasts_as_many_seconds_as_are_set() {
        let budget = |text: &str| parse(text, Path::new("f")).unwrap().freeze_budget();
        assert_eq!(budget("").unwrap(), FREEZE_BUDGET);
        assert_eq!(budget("freeze_budget = 2").unwrap(), Duration::from_secs(2));
        assert_eq!(budget("freeze_budget = 0.5").unwrap(), Duration::from_millis(500));
        for bad in ["0", "-1", "nan", "1e9"] {
            assert_eq!(budget(&format!("freeze_budget = {bad}")).unwrap_err().kind(), Kind::Usage, "{bad}");
        }
    }

    #[test]
    fn the_fastest_writer_is_a_size_in_a_second() {
        let fastest = |text: &str| parse(text, Path::new("f")).unwrap().monitor.fastest();
        assert_eq!(fastest("").unwrap(), None);
        assert_eq!(fastest("[monitor]\nfastest = '3G'").unwrap(), Some(Rate(3 << 30)));
        for bad in ["0", "quick"] {
            let text = format!("[monitor]\nfastest = '{bad}'");
            assert_eq!(fastest(&text).unwrap_err().kind(), Kind::Usage, "{bad}");
        }
    }

    #[test]
    fn lvm2s_files_are_read_where_they_are_and_missed_where_they_are_not() {
        let directory = tempfile::tempdir().unwrap();
        assert!(lvm2_in(directory.path()).unwrap().wait_for_locks);
        std::fs::write(directory.path().join("lvm.conf"), "global { wait_for_locks = 0 }").unwrap();
        assert!(!lvm2_in(directory.path()).unwrap().wait_for_locks);
        std::fs::write(directory.path().join("lvmlocal.conf"), "global {").unwrap();
        assert_eq!(lvm2_in(directory.path()).unwrap_err().kind(), Kind::Usage);
    }
}
