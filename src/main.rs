//! The program: parse, call, print the error chain once, exit with a documented code.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((verb, rest)) if verb == "helper" => canarynet::disk::helper::helper_main(rest),
        Some((verb, rest)) if verb == "toolbox" => canarynet::engine::toolbox::toolbox_main(rest),
        Some((verb, _)) if verb == "keeper" => loop {
            std::thread::park();
        },
        _ => ExitCode::from(2),
    }
}
