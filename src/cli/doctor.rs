//! `canarynet doctor`: what this machine can and cannot do, each with the remedy.

use std::process::ExitCode;

use super::{
    Failure,
    arguments::{Common, DoctorArguments},
    print, print_json, runtime,
};
use crate::{
    engine::{Docker, doctor},
    exit::Exit,
    journal::Capability,
    report::{
        Look,
        listing::{self, DoctorRow, DoctorState},
    },
    run::{ownership::engine_runs, reserving},
};

/// Without these no run works; all else is an option.
const NEEDED: &[&str] = &["engine", "containers", "tmpfs"];

pub(super) fn doctor(common: &Common, verb: &DoctorArguments) -> Result<ExitCode, Failure> {
    let capabilities = runtime()?.block_on(async {
        let engine = common.engine.as_deref();
        let binary = verb.linux_binary.as_deref();
        let mut found = doctor::doctor(engine, binary, verb.allow_helper).await;
        found.extend(reserved(engine).await);
        found
    });
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

/// What runs hold of the machine; nothing is said where the engine does not answer, which was told already.
async fn reserved(engine: Option<&str>) -> Option<Capability> {
    let docker = Docker::connect(engine).await.ok()?;
    let holders = reserving::holders(&engine_runs(&docker).await.ok()?);
    let told: Vec<String> = holders
        .iter()
        .map(|holder| format!("{} reserves {}", holder.name, holder.reserve))
        .collect();
    let proof = if told.is_empty() {
        "no run reserves anything of the machine".to_owned()
    } else {
        told.join("; ")
    };
    Some(Capability::able("reserved", proof))
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
