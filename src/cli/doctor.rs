//! `canarynet doctor`: what this machine can and cannot do, each with the remedy.

use std::process::ExitCode;

use super::{
    Failure,
    arguments::{Common, DoctorArguments},
    print, print_json, runtime,
};
use crate::{
    engine::doctor,
    exit::Exit,
    journal::Capability,
    report::{
        Look,
        listing::{self, DoctorRow, DoctorState},
    },
};

/// Without these no run works; all else is an option.
const NEEDED: &[&str] = &["engine", "containers", "tmpfs"];

pub(super) fn doctor(common: &Common, verb: &DoctorArguments) -> Result<ExitCode, Failure> {
    let capabilities = runtime()?.block_on(doctor::doctor(
        common.engine.as_deref(),
        verb.linux_binary.as_deref(),
        verb.allow_helper,
    ));
    let needed = |capability: &Capability| NEEDED.iter().any(|id| capability.id.starts_with(id));
    if common.json {
        print_json(&capabilities)?;
    } else {
        let rows: Vec<_> = capabilities
            .iter()
            .map(|capability| row(capability, needed(capability)))
            .collect();
        print(listing::doctor(&rows, Look::of(&console::Term::stdout())).as_bytes())?;
    }
    let broken = capabilities
        .iter()
        .any(|capability| needed(capability) && !capability.able);
    Ok(if broken { Exit::Infra } else { Exit::Pass }.into())
}

fn row(capability: &Capability, needed: bool) -> DoctorRow {
    let state = match (capability.able, needed) {
        (true, _) => DoctorState::Works,
        (false, true) => DoctorState::Broken,
        (false, false) => DoctorState::Missing,
    };
    DoctorRow {
        what: capability.id.clone(),
        state,
        detail: capability.proof.clone(),
        remedy: capability.remedy.clone(),
    }
}
