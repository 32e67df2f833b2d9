//! `canarynet doctor`: what this machine can and cannot do, each with the remedy.

use std::process::ExitCode;

use super::{Failure, arguments::{Common, DoctorArguments}, print, print_json, runtime};
use crate::{engine, exit::Exit, report};

pub(super) fn doctor(common: &Common, verb: &DoctorArguments) -> Result<ExitCode, Failure> {
    let capabilities = runtime()?.block_on(engine::doctor(common.engine.as_deref(), verb.allow_helper));
    if common.json {
        for capability in &capabilities {
            print_json(capability)?;
        }
    } else {
        print(report::doctor(&capabilities).as_bytes())?;
    }
    // What is only an option may be missing; without an engine nothing works.
    let needed = capabilities.iter().filter(|capability| capability.needed);
    Ok(if needed.clone().all(|capability| capability.able) { Exit::Pass } else { Exit::Infra }.into())
}
