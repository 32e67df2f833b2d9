//! `canarynet pack`: an image from a local binary, or the launcher image.

use std::process::ExitCode;

use super::{
    Failure,
    arguments::{Common, PackArguments},
    network::connect,
    print_json, print_line, runtime,
};
use crate::engine::pack;

pub(super) fn pack(common: &Common, verb: &PackArguments) -> Result<ExitCode, Failure> {
    runtime()?.block_on(async {
        let docker = connect(common, None).await?;
        let failed =
            |error: crate::engine::EngineError| Failure::usage("cannot pack").because(&error);
        let packed = match &verb.binary {
            Some(binary) => pack::binary_image(&docker, binary, &[])
                .await
                .map_err(failed)?,
            None => {
                let program = pack::own_program(&docker, None).map_err(failed)?;
                pack::launcher_image(&docker, &program)
                    .await
                    .map_err(failed)?
            }
        };
        if common.json {
            return print_json(&serde_json::json!({ "image": packed.reference }));
        }
        print_line(&packed.reference)?;
        if verb.this_program {
            print_line(&format!(
                "  docker run --rm -v /var/run/docker.sock:/var/run/docker.sock {} soak smoke",
                packed.reference
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    })
}
