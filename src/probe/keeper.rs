//! The first process of the watcher's container: it holds the data disks by being there, and buries orphans.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

/// Sleeps until SIGTERM or SIGINT. As the first process of its name space it would otherwise ignore them.
#[must_use]
pub fn keeper_main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build();
    let Ok(runtime) = runtime else {
        return ExitCode::FAILURE;
    };
    match runtime.block_on(keep()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

async fn keep() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut child = signal(SignalKind::child())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = child.recv() => bury(),
        }
    }
}

/// Takes the exit codes of all processes that ended here as orphans.
fn bury() {
    while let Ok(Some(_)) = rustix::process::wait(rustix::process::WaitOptions::NOHANG) {}
}
