//! `dmsnap check` and `dmsnap repair`

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use super::each::{each, ended};
use super::output::Output;
use crate::engine::outline::Entry;
use crate::engine::recover::Check;
use crate::engine::{Engine, Mode, Report};
use crate::error::{Error, Kind, Result};
use crate::lvm::VgName;

/// Shows what differs; exit status 1 if anything does.
pub fn check(vgs: &[VgName], engine: &Engine, mode: Mode, output: &Output) -> Result<ExitCode> {
    let (mut checks, mut errors) = (Vec::new(), Vec::new());
    let (named, refused) = named(vgs, engine)?;
    for vg in named {
        match engine.check(&vg, mode) {
            Ok(check) => checks.push(check),
            // "All" does not mean those that this host must not touch.
            Err(error) if error.kind() == Kind::Refused && refused.contains(&vg) => {
                checks.push(Check { vg: vg.to_string(), plan: Vec::new(), reason: Some(error.message()) });
            }
            Err(error) => errors.push(error),
        }
    }
    ended(errors, checks.is_empty(), output, || {
        if output.is_object() {
            return output.object(&json!({ "checks": checks }));
        }
        checks.iter().try_for_each(|check| shown(check, output))
    })?;
    let is_clean = checks.iter().all(|check| check.plan.is_empty());
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn shown(check: &Check, output: &Output) -> Result<()> {
    match &check.reason {
        Some(reason) => output.lines(&[format!("{}: not looked into: {reason}", check.vg)]),
        None if check.plan.is_empty() => Ok(()),
        None => output.lines(&[format!("{}:", check.vg)]).and_then(|()| output.plan(&check.plan)),
    }
}

/// Carries out what `check` shows.
pub fn repair(vgs: &[VgName], engine: &Engine, mode: Mode, output: &Output) -> Result<()> {
    let (named, refused) = named(vgs, engine)?;
    let groups = named.into_iter().map(|vg| (vg, ()));
    let print = |report: &Report<()>| match stuck(report) {
        // A program gets one object.
        Some(error) if output.is_object() => Err(error),
        stuck => output.done(report).and(stuck.map_or(Ok(()), Err)),
    };
    each(groups, &refused, output, |vg, ()| engine.repair(vg, mode), print)
}

/// The same where devices hold different versions of the metadata, and this one is right.
pub fn settle(vgs: &[VgName], from: &Path, engine: &Engine, mode: Mode, output: &Output) -> Result<()> {
    let [vg] = vgs else {
        return Err(Error::new(Kind::Usage, "--from is for one volume group").hint("name one volume group"));
    };
    output.done(&engine.settle(vg, from, mode)?)
}

/// What a dry run shows that cannot be repaired: the repair itself fails for it.
fn stuck(report: &Report<()>) -> Option<Error> {
    let why = report.planned.iter().flatten().find_map(|entry| match entry {
        Entry::Stuck(why) => Some(why.clone()),
        _ => None,
    });
    why.map(|why| Error::new(Kind::Refused, why))
}

/// The groups that are named, or all, and those that are not meant then: this host must not touch them.
fn named(vgs: &[VgName], engine: &Engine) -> Result<(Vec<VgName>, BTreeSet<VgName>)> {
    if vgs.is_empty() { engine.vg_names() } else { Ok((vgs.to_vec(), BTreeSet::new())) }
}
