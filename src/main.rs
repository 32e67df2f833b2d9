//! The program: parse, call, print the error chain once, exit with a documented code.

use std::process::ExitCode;

fn main() -> ExitCode {
    canarynet::cli::main()
}
