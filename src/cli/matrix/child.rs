//! One cell's soak: a child process in a process group of its own, so that a Ctrl-C reaches the matrix alone.

use std::{
    ffi::OsString,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{process::Child, sync::watch, time::timeout};

use super::RECORD;
use crate::{
    cli::{
        Failure,
        arguments::{Common, MatrixArguments},
    },
    matrix::Cell,
    run::signal::Interrupt,
};

/// A soak that was asked to end is killed so long after that.
const LAST_PATIENCE: Duration = Duration::from_secs(90);

/// Writes a cell's files and starts its soak.
pub(super) fn start(
    common: &Common,
    verb: &MatrixArguments,
    cell: &Cell,
    folder: &Path,
) -> Result<Child, Failure> {
    let plan = folder.join(format!("{}.toml", cell.id));
    std::fs::create_dir_all(folder)?;
    // An old record must not outlive the plan that it is about.
    if let Err(error) = std::fs::remove_file(folder.join(RECORD))
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error.into());
    }
    std::fs::write(folder.join("profile.toml"), &cell.profile)?;
    std::fs::write(&plan, &cell.plan)?;
    let output = std::fs::File::create(folder.join("output.txt"))?;
    // How many run at once is the matrix's to say (`--jobs`).
    let mut words: Vec<OsString> = vec!["soak".into(), "--no-reserve".into(), plan.into()];
    words.extend(["--state".into(), folder.join("runs").into()]);
    if let Some(engine) = &common.engine {
        words.extend(["--engine".into(), engine.into()]);
    }
    if let Some(binary) = &verb.linux_binary {
        words.extend(["--linux-binary".into(), binary.into()]);
    }
    let mut command = tokio::process::Command::new(std::env::current_exe()?);
    command
        .args(words)
        .env("NO_COLOR", "1")
        // Which disks and faults a cell has is the cell's own.
        .env_remove("CANARYNET_ALLOW_HELPER")
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0);
    Ok(command.spawn()?)
}

/// Waits for a soak's end; passes signals on; ends one that does not end by itself.
pub(super) async fn wait(
    mut child: Child,
    patience: Duration,
    mut interrupts: watch::Receiver<Option<Interrupt>>,
) -> std::io::Result<ExitStatus> {
    let signal = |child: &Child, signal| {
        // A child that was not waited for keeps its id, so nobody else is meant.
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id.and_then(Pid::from_raw) {
            // One that has just ended needs no signal.
            let _ = kill_process(id, signal);
        }
    };
    let until = tokio::time::sleep(patience);
    tokio::pin!(until);
    loop {
        tokio::select! {
            status = child.wait() => return status,
            Ok(()) = interrupts.changed() => {
                let which = match *interrupts.borrow_and_update() {
                    Some(Interrupt::Term) => Signal::TERM,
                    _ => Signal::INT,
                };
                signal(&child, which);
            }
            () = &mut until => break,
        }
    }
    signal(&child, Signal::TERM);
    if let Ok(status) = timeout(LAST_PATIENCE, child.wait()).await {
        return status;
    }
    child.kill().await?;
    child.wait().await
}
