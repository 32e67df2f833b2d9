//! `canarynet completions SHELL`.

use std::process::ExitCode;

use clap::CommandFactory as _;

use super::{Arguments, Failure, arguments::CompletionsArguments, print};

pub(super) fn completions(verb: &CompletionsArguments) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(
        verb.shell,
        &mut Arguments::command(),
        "canarynet",
        &mut script,
    );
    print(&script)
}
