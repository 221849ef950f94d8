//! `dmsnap check` and `dmsnap repair`

use std::process::ExitCode;

use serde_json::json;

use super::each::each;
use super::output::Output;
use crate::engine::recover::Check;
use crate::engine::{Engine, Mode, Report};
use crate::error::Result;
use crate::lvm::VgName;

/// Shows what differs; exit status 1 if anything does.
pub fn check(vgs: &[VgName], engine: &Engine, mode: Mode, output: &Output) -> Result<ExitCode> {
    let checks = named(vgs, engine)?.iter().map(|vg| engine.check(vg, mode)).collect::<Result<Vec<_>>>()?;
    if output.is_object() {
        output.object(&json!({ "checks": checks }))?;
    } else {
        checks.iter().try_for_each(|check| shown(check, output))?;
    }
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
    let groups = named(vgs, engine)?.into_iter().map(|vg| (vg, ()));
    let print = |report: &Report<()>| output.done(report);
    each(groups, vgs.is_empty(), output, |vg, ()| engine.repair(vg, mode), print)
}

fn named(vgs: &[VgName], engine: &Engine) -> Result<Vec<VgName>> {
    if vgs.is_empty() { engine.vg_names() } else { Ok(vgs.to_vec()) }
}
