//! The program: parse, call, print the error chain once, exit with a documented code.

use std::process::ExitCode;

use canarynet::reference_node::config::NodeConfig;
use canarynet::reference_node::node;
use clap::Parser;

/// Only what the reference node needs, until the whole program is here.
#[derive(Parser)]
enum Command {
    /// One node of the reference network.
    ReferenceNode(Box<NodeConfig>),
}

#[expect(
    clippy::print_stderr,
    reason = "the error of a program goes to stderr, once"
)]
fn main() -> ExitCode {
    let Command::ReferenceNode(config) = Command::parse();
    let result = node::main_runtime().and_then(|runtime| runtime.block_on(node::run(*config)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut source = std::error::Error::source(&error);
            eprint!("error: {error}");
            while let Some(cause) = source {
                eprint!(": {cause}");
                source = cause.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}
