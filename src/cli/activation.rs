//! `dmsnap activate` and `dmsnap deactivate`

use std::collections::{BTreeMap, BTreeSet};

use super::args::Place;
use super::each::each;
use super::output::Output;
use super::volume::COLUMNS;
use crate::engine::view::VolumeView;
use crate::engine::{Engine, Mode, Report};
use crate::error::Result;
use crate::lvm::{LvName, VgName};

/// Makes the volumes usable.
pub fn activate(places: &[Place], engine: &Engine, mode: Mode, output: &Output) -> Result<()> {
    each_of(places, engine, output, |vg, names| engine.activate(vg, names, mode))
}

/// Takes them out of use.
pub fn deactivate(places: &[Place], engine: &Engine, mode: Mode, output: &Output) -> Result<()> {
    each_of(places, engine, output, |vg, names| engine.deactivate(vg, names, mode))
}

fn each_of(
    places: &[Place],
    engine: &Engine,
    output: &Output,
    act: impl Fn(&VgName, &[LvName]) -> Result<Report<VolumeView>>,
) -> Result<()> {
    let print = |report: &Report<_>| output.made("volumes", report, &COLUMNS);
    let (groups, refused) = groups(places, engine)?;
    each(groups, &refused, output, |vg, names: &Vec<_>| act(vg, names), print)
}

/// Volumes by their groups, and the groups that are not meant.
type Groups = (BTreeMap<VgName, Vec<LvName>>, BTreeSet<VgName>);

/// The places by volume group; a group named alone stands for all of its volumes.
fn groups(places: &[Place], engine: &Engine) -> Result<Groups> {
    if places.is_empty() {
        let (all, refused) = engine.vg_names()?;
        return Ok((all.into_iter().map(|vg| (vg, Vec::new())).collect(), refused));
    }
    let mut groups = BTreeMap::<VgName, Vec<LvName>>::new();
    for place in places {
        groups.entry(place.vg.clone()).or_default().extend(place.name.clone());
    }
    for place in places.iter().filter(|place| place.name.is_none()) {
        groups.insert(place.vg.clone(), Vec::new());
    }
    Ok((groups, BTreeSet::new()))
}
