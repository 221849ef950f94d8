//! `dmsnap check` and `dmsnap repair`

use std::process::ExitCode;

use serde_json::json;

use super::output::Output;
use crate::engine::{Engine, Mode};
use crate::error::Result;
use crate::lvm::VgName;

/// Shows what differs; exit status 1 if anything does.
pub fn check(vgs: &[VgName], engine: &Engine, mode: Mode, output: &Output) -> Result<ExitCode> {
    let mut checks = Vec::new();
    for vg in named(vgs, engine)? {
        checks.push((vg.clone(), engine.check(&vg, mode)?));
    }
    let is_clean = checks.iter().all(|(_, plan)| plan.is_empty());
    if output.is_object() {
        let rows: Vec<_> =
            checks.iter().map(|(vg, plan)| json!({ "vg": vg.as_str(), "plan": plan })).collect();
        output.object(&json!({ "checks": rows }))?;
    } else {
        for (vg, plan) in checks.iter().filter(|(_, plan)| !plan.is_empty()) {
            output.lines(&[format!("{vg}:")])?;
            output.lines(plan)?;
        }
    }
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Carries out what `check` shows.
pub fn repair(vgs: &[VgName], engine: &Engine, mode: Mode, output: &Output) -> Result<()> {
    for vg in named(vgs, engine)? {
        output.done(&engine.repair(&vg, mode)?)?;
    }
    Ok(())
}

fn named(vgs: &[VgName], engine: &Engine) -> Result<Vec<VgName>> {
    if vgs.is_empty() { engine.vg_names() } else { Ok(vgs.to_vec()) }
}
