//! The program: parse, call, print the error chain once, exit with a documented code.
fn main() {}
