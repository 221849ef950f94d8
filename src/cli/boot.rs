//! What units of systemd and rules of udev ask: `dmsnap activate --auto`, and `dmsnap udev`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::each::each;
use super::output::Output;
use super::volume::COLUMNS;
use crate::dm::{DmName, UdevFlags};
use crate::engine::view::VolumeView;
use crate::engine::{Engine, Mode, Report};
use crate::error::Result;
use crate::lvm::Settings;

/// Where udev looks for rules, what comes first first.
const RULES: [&str; 5] = [
    "/etc/udev/rules.d",
    "/run/udev/rules.d",
    "/usr/local/lib/udev/rules.d",
    "/usr/lib/udev/rules.d",
    "/lib/udev/rules.d",
];

/// What activates volumes for lvm2 when devices appear; the second is what older versions called it.
const LVM2S: [&str; 2] = ["69-dm-lvm.rules", "69-lvm.rules"];

/// Activates what is to be active without being named, of all groups or of those on a device.
pub fn activate(on: Option<&Path>, engine: &Engine, mode: Mode, output: &Output) -> Result<()> {
    let (groups, refused) = match on {
        None => engine.vg_names()?,
        Some(device) => (engine.groups_on(device)?, BTreeSet::new()),
    };
    let groups = groups.into_iter().map(|vg| (vg, ()));
    let act = |vg: &_, (): &()| engine.activate_by_itself(vg, mode);
    each(groups, &refused, output, act, |report| output.made("volumes", report, &COLUMNS))
}

/// An answer without volumes.
pub fn nothing(note: String, output: &Output) -> Result<()> {
    let report = Report { notes: vec![note], ..Report::<VolumeView>::default() };
    output.made("volumes", &report, &COLUMNS)
}

/// A note if lvm2 activates volumes itself when their devices appear.
pub fn left_to_lvm2(lvm2: &Settings) -> Option<String> {
    let rules = lvm2.event_activation.then(|| lvm2s_rules(&RULES.map(PathBuf::from))).flatten()?;
    Some(format!("lvm2 activates volumes here, by {}: it is left to it", rules.display()))
}

/// The first of two files with one name counts; one that leads to `/dev/null`, or is empty, means that there are no such rules.
fn lvm2s_rules(directories: &[PathBuf]) -> Option<PathBuf> {
    let first =
        |name: &str| directories.iter().map(|directory| directory.join(name)).find(|path| path.exists());
    let is_in_force = |path: &PathBuf| path.metadata().is_ok_and(|data| data.is_file() && data.len() > 0);
    LVM2S.into_iter().filter_map(first).find(is_in_force)
}

/// Prints, as `KEY=value`, what a device's name is made of and what an event's flags say.
pub fn properties(name: &str, number: Option<u32>, output: &Output) -> Result<()> {
    let flags = number.map(|number| UdevFlags::of_event(number).properties()).unwrap_or_default();
    let mut lines: Vec<_> = flags.into_iter().map(|flag| format!("{flag}=1")).collect();
    if let Some((vg, lv, layer)) = DmName::new(name)?.parts() {
        lines.extend([format!("DM_VG_NAME={vg}"), format!("DM_LV_NAME={lv}")]);
        lines.extend(layer.map(|layer| format!("DM_LV_LAYER={layer}")));
    }
    output.lines(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_lvm2s_are_in_force_where_no_earlier_directory_masks_them() {
        let top = tempfile::tempdir().unwrap();
        let directories = ["etc", "lib"].map(|name| top.path().join(name));
        directories.iter().for_each(|directory| std::fs::create_dir(directory).unwrap());
        assert_eq!(lvm2s_rules(&directories), None);
        let rules = directories[1].join("69-lvm.rules");
        std::fs::write(&rules, "ACTION==\"add\"").unwrap();
        assert_eq!(lvm2s_rules(&directories), Some(rules));
        std::os::unix::fs::symlink("/dev/null", directories[0].join("69-lvm.rules")).unwrap();
        assert_eq!(lvm2s_rules(&directories), None);
    }
}
