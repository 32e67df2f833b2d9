//! One cell's soak: a child process in a process group of its own, so that a Ctrl-C reaches the matrix alone.

use std::{
    ffi::OsString,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{process::Child, sync::watch, time::timeout};

use super::{RECORD, RUNS};
use crate::{
    cli::{
        Failure,
        arguments::{Common, MatrixArguments},
    },
    matrix::Cell,
    run::{
        directory::{RunDirectory, StateFolder},
        signal::Interrupt,
    },
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
    forget(folder)?;
    std::fs::write(folder.join("profile.toml"), &cell.profile)?;
    std::fs::write(&plan, &cell.plan)?;
    let output = std::fs::File::create(folder.join("output.txt"))?;
    let mut words: Vec<OsString> = vec!["soak".into(), plan.into()];
    words.extend(["--state".into(), folder.join(RUNS).into()]);
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

/// Takes away what an earlier soak of the cell left: a record must not outlive the plan that it is about, nor an old run
/// be the newest one of a soak that makes none. What a dead one left in the engine is found by its labels.
fn forget(folder: &Path) -> Result<(), Failure> {
    let runs = StateFolder::open(Some(&folder.join(RUNS)))
        .map_err(|error| Failure::infra("cannot read the cell's runs").because(&error))?;
    let owned = |(run, _): &(RunDirectory, _)| Some((run.path().to_owned(), run.owner()?));
    if let Some((path, process)) = runs.all().iter().find_map(owned) {
        return Err(Failure::infra(format!(
            "process {process} still runs {}: end it, or wait for it",
            path.display()
        )));
    }
    let absent = |result: std::io::Result<()>| match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result,
    };
    absent(std::fs::remove_file(folder.join(RECORD)))?;
    absent(std::fs::remove_dir_all(folder.join(RUNS)))?;
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{journal::generate::Shape, run::directory::RunRecord};

    #[test]
    fn an_earlier_run_is_never_the_result_of_a_soak_that_made_none() {
        let folder = tempfile::tempdir().unwrap();
        let state = || StateFolder::open(Some(&folder.path().join(RUNS))).unwrap();
        let record = folder.path().join(RECORD);
        forget(folder.path()).unwrap();
        let (run, lock, name, id) = state().create("cell").unwrap();
        let begun = RunRecord::starting(id, name, &Shape::default().plan(), None);
        run.write_record(&begun).unwrap();
        std::fs::write(&record, "{}").unwrap();
        let refused = forget(folder.path()).unwrap_err().render();
        assert!(refused.contains("still runs"), "{refused}");
        assert!(record.exists() && state().find("latest").is_ok());
        drop(lock);
        forget(folder.path()).unwrap();
        assert!(!record.exists() && state().find("latest").is_err());
    }
}
