//! One try: a soak of a resolved plan in a child of this program, in a folder of runs of its own.
//!
//! The folder is a hidden one beside the
//! runs, so that tries are neither `latest` nor part of the history.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use super::{Sought, case, comparison::Try, shrink::recipe};
use crate::{
    exit::Exit,
    plan::Plan,
    report::Standing,
    run::{
        child::{AROUND, Patience, SoakChild},
        directory::StateFolder,
        signal::{Interrupt, Signals},
    },
};

/// Folder of the tries in the folder of runs; no plan's folder begins with a dot.
pub const FOLDER: &str = ".repro";

/// A try without an end of its own.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

/// A try that could not be made at all.
#[derive(Debug, thiserror::Error)]
pub enum TryError {
    /// Input or output.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A signal came; the child has ended and removed what it made.
    #[error("ended by {}; the try under way has ended too", .0.name())]
    Interrupted(Interrupt),
}

/// Where and how tries are made.
#[derive(Debug)]
pub struct Bench {
    folder: PathBuf,
    /// Options of every verb that children get too.
    options: Vec<OsString>,
    signals: Signals,
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> TryError {
    let path = path.to_owned();
    move |source| TryError::Io {
        action,
        path,
        source,
    }
}

impl Bench {
    /// A folder for a series of tries.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(state: &StateFolder, name: &str, options: Vec<OsString>) -> Result<Self, TryError> {
        let parent = state.root().join(FOLDER);
        std::fs::create_dir_all(&parent).map_err(failed("create", &parent))?;
        let plain = super::file_name(name, 40);
        let folder = tempfile::Builder::new()
            .prefix(&format!("{plain}-"))
            .tempdir_in(&parent)
            .map_err(failed("create a folder in", &parent))?
            .keep();
        let signals = Signals::install().map_err(failed("listen for signals in", &folder))?;
        Ok(Self {
            folder,
            options,
            signals,
        })
    }

    /// The folder of the runs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes one try: until the finding is there, or the plan is over.
    ///
    /// # Errors
    /// When the child cannot be started, or a signal ended it.
    pub async fn attempt(&mut self, plan: &Plan, sought: &Sought) -> Result<Try, TryError> {
        self.attempt_within(plan, sought, LONGEST).await
    }

    /// The same, ended after so long: such a try does not count.
    ///
    /// # Errors
    /// As [`Self::attempt`].
    pub async fn attempt_within(
        &mut self,
        plan: &Plan,
        sought: &Sought,
        most: Duration,
    ) -> Result<Try, TryError> {
        let number = 1 + std::fs::read_dir(&self.folder).map_or(0, Iterator::count);
        let state = self.folder.join(number.to_string());
        std::fs::create_dir_all(&state).map_err(failed("create", &state))?;
        let path = state.join("plan.json");
        let text = serde_json::to_vec(plan)
            .map_err(std::io::Error::from)
            .map_err(failed("write", &path))?;
        std::fs::write(&path, text).map_err(failed("write", &path))?;
        let status = self.child(plan, (sought, most), &state, &path).await?;
        Ok(outcome(&state, status, sought))
    }

    async fn child(
        &mut self,
        plan: &Plan,
        (sought, most): (&Sought, Duration),
        state: &Path,
        path: &Path,
    ) -> Result<Option<ExitStatus>, TryError> {
        let output_path = state.join("output.txt");
        let output = std::fs::File::create(&output_path).map_err(failed("create", &output_path))?;
        let errors = output.try_clone().map_err(failed("open", &output_path))?;
        let sought = serde_json::to_string(sought)
            .map_err(std::io::Error::from)
            .map_err(failed("write", path))?;
        let child = SoakChild::start(|command| {
            command
                .arg("--resolved")
                .arg(path)
                .arg("--sought")
                .arg(sought)
                .arg("--state")
                .arg(state)
                .args(&self.options)
                .stdout(output)
                .stderr(errors);
        });
        let child = child.map_err(failed("start a soak of", path))?;
        let own = plan.deadline.map_or(LONGEST, |deadline| deadline.0) + AROUND;
        let patience = Patience::of(most.min(own));
        let ended = child
            .wait(patience, &mut self.signals)
            .await
            .map_err(failed("wait for the soak of", path))?;
        match ended.interrupt {
            Some(interrupt) => Err(TryError::Interrupted(interrupt)),
            None => Ok(Some(ended.status).filter(|_| !ended.late)),
        }
    }
}

/// What a child's run came to, by its own files.
fn outcome(state: &Path, status: Option<ExitStatus>, sought: &Sought) -> Try {
    let void = |why: String| Try::Void { why };
    let Some(status) = status else {
        return void("it did not end in its time".to_owned());
    };
    let run = StateFolder::open(Some(state)).and_then(|state| state.find("latest"));
    let Ok((directory, record)) = run else {
        return void(format!("no run was begun: {}", last_words(state)));
    };
    let findings = match case::read_findings(directory.path()) {
        Ok(findings) => findings,
        Err(_) => return void(format!("it has no findings: {}", last_words(state))),
    };
    let shown = findings.iter().find(|told| sought.is(&told.finding));
    if let Some(told) = shown {
        let finding = &told.finding;
        // A run that has findings has a verdict; without one the moment of its soak is not known, and counts as none.
        let stages = case::read_stages(directory.path()).unwrap_or_default();
        return Try::Shown {
            after: finding.noticed.as_duration(),
            soaked: recipe::soaked(finding, &stages),
            height: finding.heights.map(|(_, last)| last.0),
        };
    }
    // A fail beside an infra is a fail, so infra means that nothing was found.
    if !status.success() && record.exit.is_none_or(|exit| exit == Exit::Infra as u8) {
        return void(format!("infra: {}", last_words(state)));
    }
    let others: BTreeSet<String> = findings
        .iter()
        .filter(|told| told.standing == Standing::Fails)
        .map(|told| told.finding.fingerprint())
        .collect();
    // A network that nobody saw make a block, and of which nothing bad is known either, shows nothing: least of all that
    // a bug is gone.
    if others.is_empty() && case::read_blocks(directory.path()).is_ok_and(|blocks| blocks == 0) {
        return void("no block was seen".to_owned());
    }
    Try::Clean { others }
}

/// The last line with words that the child printed.
fn last_words(state: &Path) -> String {
    let text = std::fs::read(state.join("output.txt")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let line = text
        .lines()
        .rev()
        .find(|line| line.starts_with("error:") || line.starts_with("INFRA"))
        .or_else(|| text.lines().rev().find(|line| !line.trim().is_empty()));
    crate::journal::text::clean(line.unwrap_or("it said nothing").trim(), 300)
}
