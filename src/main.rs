//! The program: parse, call, print the error chain once, exit with a documented code.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((verb, rest)) if verb == "helper" => canarynet::disk::helper::helper_main(rest),
        Some((verb, rest)) if verb == "toolbox" => canarynet::engine::toolbox::toolbox_main(rest),
        Some((verb, rest)) if verb == "sampler" => {
            canarynet::probe::sampler::sampler_main(rest.iter().map(Into::into))
        }
        Some((verb, _)) if verb == "watcher" => canarynet::probe::watcher::watcher_main(),
        Some((verb, _)) if verb == "keeper" => canarynet::probe::keeper::keeper_main(),
        Some((verb, rest)) if verb == "doctor" => doctor(rest),
        Some((verb, _)) if verb == "pack" => pack(),
        _ => ExitCode::from(2),
    }
}

#[expect(clippy::print_stdout, reason = "the verb's purpose is to print")]
fn doctor(arguments: &[String]) -> ExitCode {
    let allow_helper = arguments.iter().any(|word| word == "--allow-helper");
    let Ok(runtime) = tokio::runtime::Runtime::new() else {
        return ExitCode::from(3);
    };
    let found = runtime.block_on(canarynet::engine::doctor::doctor(None, None, allow_helper));
    println!(
        "{}",
        serde_json::to_string_pretty(&found).unwrap_or_default()
    );
    ExitCode::SUCCESS
}

#[expect(clippy::print_stdout, reason = "the verb's purpose is to print")]
fn pack() -> ExitCode {
    use canarynet::engine::{Docker, pack};
    let Ok(runtime) = tokio::runtime::Runtime::new() else {
        return ExitCode::from(3);
    };
    let image = runtime.block_on(async {
        let docker = Docker::connect(None).await?;
        pack::launcher_image(&docker, &pack::own_program(&docker, None)?).await
    });
    match image {
        Ok(image) => {
            println!("{}", image.reference);
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{error}");
            ExitCode::from(3)
        }
    }
}
