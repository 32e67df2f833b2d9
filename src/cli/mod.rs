//! What users type: argument definitions here, one verb a file below.
//!
//! Exit codes are those of [`crate::exit::Exit`]. Errors are printed once, as one chain, by [`main`].

mod alert;
mod arguments;
mod bundle;
mod certify;
mod clean;
mod completions;
mod doctor;
mod explain;
mod failure;
mod fault;
mod faults;
mod gate;
mod history;
mod inspect;
mod internal;
mod judge;
mod matrix;
mod network;
mod pack;
mod plan;
mod profile;
mod prune;
mod repro;
mod retry;
mod runs;
mod shrink;
mod snapshot;
mod soak;
mod supervise;
mod trying;
mod watch;
mod why_not;

use std::{io::Write, process::ExitCode};

use clap::Parser;

pub use arguments::Arguments;
pub use failure::Failure;

use crate::{exit::Exit, run::directory::StateFolder};
use arguments::Verb;

/// Parses the command line, runs the verb, prints an error chain once, and gives the exit code.
#[must_use]
pub fn main() -> ExitCode {
    if let Some(ended) = internal::dispatch() {
        return told(ended);
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let help = !error.use_stderr();
            // Printing fails only when nobody reads, and then there is nobody to tell.
            let _ = error.print();
            return if help { Exit::Pass } else { Exit::Usage }.into();
        }
    };
    told(run(arguments))
}

/// The exit code of what a verb came to; a failure is printed.
fn told(ended: Result<ExitCode, Failure>) -> ExitCode {
    match ended {
        Ok(code) => code,
        Err(failure) => {
            let _ = std::io::stderr()
                .lock()
                .write_all(failure.render().as_bytes());
            failure.exit().into()
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let common = arguments.common;
    match arguments.verb {
        Verb::Soak(verb) => soak::soak(&common, verb),
        Verb::Up(verb) => soak::up(&common, verb),
        Verb::Down(verb) | Verb::Stop(verb) => runs::stop(&common, &verb),
        Verb::Status(verb) => runs::status(&common, &verb),
        Verb::Watch(verb) => watch::watch(&common, &verb),
        Verb::Runs(verb) => runs::runs(&common, verb),
        Verb::Wait(verb) => runs::wait(&common, &verb),
        Verb::Judge(verb) => judge::judge(&common, &verb),
        Verb::Report(verb) => judge::report(&common, &verb),
        Verb::Gate(verb) => gate::gate(&common, &verb),
        Verb::Snapshot(verb) => snapshot::snapshot(&common, &verb),
        Verb::Snapshots(verb) => snapshot::snapshots(&common, verb),
        Verb::Bundle(verb) => bundle::bundle(&common, &verb),
        Verb::Repro(verb) => repro::repro(&common, &verb),
        Verb::Shrink(verb) => shrink::shrink(&common, &verb),
        Verb::Certify(verb) => certify::certify(&common, &verb),
        Verb::Explain(verb) => explain::explain(&common, &verb),
        Verb::Compare(verb) => history::compare(&common, &verb),
        Verb::History(verb) => history::history(&common, &verb),
        Verb::Baseline(verb) => history::baseline(&common, &verb),
        Verb::Clean(verb) => clean::clean(&common, &verb),
        Verb::Alert(verb) => alert::alert(&common, &verb),
        Verb::Fault(verb) => fault::fault(&common, &verb),
        Verb::Faults(verb) => faults::faults(&common, &verb),
        Verb::Matrix(verb) => matrix::matrix(&common, &verb),
        Verb::Logs(verb) => inspect::logs(&common, &verb),
        Verb::Exec(verb) => network::exec(&common, &verb),
        Verb::Rpc(verb) => network::rpc(&common, &verb),
        Verb::Forward(verb) => network::forward(&common, &verb),
        Verb::Doctor(verb) => doctor::doctor(&common, &verb),
        Verb::Plan(verb) => plan::plan(&common, verb),
        Verb::Profile(verb) => profile::profile(&common, verb),
        Verb::Pack(verb) => pack::pack(&common, &verb),
        Verb::Completions(verb) => completions::completions(&verb),
    }
}

/// The folder of all runs, as the options say.
fn state_folder(common: &arguments::Common) -> Result<StateFolder, Failure> {
    StateFolder::open(common.state.as_deref())
        .map_err(|error| Failure::infra("cannot find the folder of runs").because(&error))
}

/// A runtime for verbs that talk to the engine.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    // One thread: the canary waits far more than it computes, and its own cost is part of every report.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::infra("cannot start the runtime").because(&error))
}

/// Writes to standard output; nobody reading any more is no error.
fn print(bytes: &[u8]) -> Result<ExitCode, Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Prints a line; `false` when nobody reads any more.
fn print_line(line: &str) -> Result<bool, Failure> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Prints a value as one line of JSON.
fn print_json(value: &impl serde::Serialize) -> Result<ExitCode, Failure> {
    let mut line = serde_json::to_vec(value)
        .map_err(|error| Failure::infra("cannot write JSON").because(&error))?;
    line.push(b'\n');
    print(&line)
}
