//! One cell's soak, in a child process.

use std::{ffi::OsString, path::Path, process::ExitStatus, time::Duration};

use tokio::sync::watch;

use super::{RECORD, RUNS};
use crate::{
    cli::{
        Failure,
        arguments::{Common, MatrixArguments},
    },
    matrix::Cell,
    run::{
        child::{Patience, SoakChild},
        directory::{RunDirectory, StateFolder},
        signal::Interrupt,
    },
};

/// Writes a cell's files and starts its soak.
pub(super) fn start(
    common: &Common,
    verb: &MatrixArguments,
    cell: &Cell,
    folder: &Path,
) -> Result<SoakChild, Failure> {
    let plan = folder.join(format!("{}.toml", cell.id));
    std::fs::create_dir_all(folder)?;
    forget(folder)?;
    std::fs::write(folder.join("profile.toml"), &cell.profile)?;
    std::fs::write(&plan, &cell.plan)?;
    let output = std::fs::File::create(folder.join("output.txt"))?;
    // How many run at once is the matrix's to say (`--jobs`).
    let mut words: Vec<OsString> = vec![plan.into(), "--no-reserve".into()];
    words.extend(["--state".into(), folder.join(RUNS).into()]);
    if let Some(engine) = &common.engine {
        words.extend(["--engine".into(), engine.into()]);
    }
    if let Some(binary) = &verb.linux_binary {
        words.extend(["--linux-binary".into(), binary.into()]);
    }
    let errors = output.try_clone()?;
    let child = SoakChild::start(|command| {
        command
            .args(words)
            .env("NO_COLOR", "1")
            // Which disks and faults a cell has is the cell's own.
            .env_remove("CANARYNET_ALLOW_HELPER")
            .stdout(output)
            .stderr(errors);
    })?;
    Ok(child)
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
    child: SoakChild,
    patience: Duration,
    mut interrupts: watch::Receiver<Option<Interrupt>>,
) -> std::io::Result<ExitStatus> {
    let ended = child.wait(Patience::of(patience), &mut interrupts).await?;
    Ok(ended.status)
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
