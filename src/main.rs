//! The program: parse, call, print the error chain once, exit with a documented code.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Processes inside containers count every kibibyte: they are told apart before any command line is parsed.
    let mut arguments = std::env::args_os().skip(1);
    let verb = arguments.next();
    match verb.as_deref().and_then(std::ffi::OsStr::to_str) {
        Some("sampler") => canarynet::probe::sampler::sampler_main(arguments),
        Some("watcher") => canarynet::probe::watcher::watcher_main(),
        Some("keeper") => canarynet::probe::keeper::keeper_main(),
        _ => ExitCode::SUCCESS,
    }
}
