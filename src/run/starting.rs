//! Between a run's images and its first container: its directory, its place on the machine, and what can be checked before.

use std::time::Duration;

use super::{
    capability,
    conductor::Conductor,
    directory::{RunDirectory, RunLock, RunRecord, StateFolder},
    error::RunError,
    machine,
    pause::PauseAt,
    prepare::{Begun, begin},
    reserving::{self, Asking, Reserving},
    secrets::Secrets,
    signal::Signals,
    start::Filling,
};
use crate::{
    engine::{
        self, Docker,
        labels::RunLabels,
        launch::{Images, NodeImage},
        owner::Owner,
    },
    plan::{Keep, Plan, Recorded, reserve::Reserve},
    repro::Sought,
    serve::{Metrics, Page},
};

/// How much longer than its plan a run's remains are taken for somebody's, where its lock cannot be seen.
const LIFE_MARGIN: Duration = Duration::from_secs(15 * 60);

/// The same for a run without an end of its own.
const LIFE_ENDLESS: Duration = Duration::from_secs(7 * 86_400);

/// A run that has a directory and nothing else yet.
pub(super) struct Starting {
    pub(super) begun: Begun,
    pub(super) plan: Plan,
    pub(super) docker: Docker,
    pub(super) directory: RunDirectory,
    pub(super) lock: RunLock,
    pub(super) record: RunRecord,
    pub(super) signals: Signals,
    pub(super) images: Images,
    pub(super) upgrades: Vec<NodeImage>,
    pub(super) secrets: Secrets,
    pub(super) filling: Option<Filling>,
    pub(super) reserving: Reserving,
    pub(super) endless: bool,
    pub(super) layers: Option<Recorded>,
    pub(super) metrics: Option<Metrics>,
    pub(super) page: Option<Page>,
    pub(super) sought: Option<Sought>,
    pub(super) pause_at: Option<PauseAt>,
}

impl Starting {
    /// Takes its place on the machine, checks what can be known before, and begins to launch.
    ///
    /// # Errors
    /// What is missing, who is before it, or a signal; the reservation may still be there then.
    pub(super) async fn start(mut self) -> Result<Conductor, RunError> {
        let (docker, plan, run) = (&self.docker, &self.plan, &self.record.run);
        let path = self.directory.path().display().to_string();
        let lasts = self.endless || self.pause_at.is_some();
        // A canary that is killed while it waits is not waited for by others for ever.
        let waits = self.reserving.longest().min(LIFE_ENDLESS);
        let life = life(plan, lasts).saturating_add(waits);
        let asking = Asking {
            docker,
            labels: &RunLabels::new(run, &Owner::this_process(), &path, life),
            program: &self.images.program,
            wants: Reserve::of(plan),
            reserving: self.reserving,
        };
        let begun = &mut self.begun;
        reserving::reserve(asking, &mut self.signals, |line| begun.note(line)).await?;
        machine::keep(
            &self.directory,
            docker,
            &self.images,
            &self.upgrades,
            self.layers.as_ref(),
        )?;
        engine::preflight(docker, run, &plan.network, plan.allow_helper, &self.images).await?;
        let capabilities = capability::probe(docker, run, &path, plan, &self.images).await?;
        self.begun
            .note(&format!("run {} in {path}", self.record.name));
        let mut conductor = begin(
            self.begun,
            self.plan,
            self.docker,
            self.directory,
            self.lock,
            self.record,
            self.signals,
        )?;
        conductor.metrics = self.metrics;
        conductor.serve(self.page);
        (conductor.endless, conductor.sought) = (self.endless, self.sought);
        conductor.record.endless = self.endless;
        conductor.pause_at = self.pause_at;
        conductor.open_journal()?;
        conductor.capabilities(capabilities)?;
        conductor.launch(self.images, self.secrets, self.filling);
        Ok(conductor)
    }
}

/// How long what a run makes may live without an owner that can be seen. What is kept on purpose has no end of its own.
pub(super) fn life(plan: &Plan, endless: bool) -> Duration {
    match (plan.soak, plan.deadline) {
        (Some(soak), deadline) if !endless && plan.keep == Keep::Never => {
            let stages = soak.0.saturating_add(plan.start_deadline);
            let stages = stages.max(deadline.map_or(Duration::ZERO, |deadline| deadline.0));
            stages.saturating_add(LIFE_MARGIN)
        }
        _ => LIFE_ENDLESS,
    }
}

/// A directory for a run, with what is known of it; one that a detaching parent made is taken.
///
/// # Errors
/// When it cannot be written or belongs to somebody.
pub(super) fn own_directory(
    state: &StateFolder,
    given: Option<(RunDirectory, RunRecord)>,
    plan: &Plan,
    engine: Option<String>,
) -> Result<(RunDirectory, RunLock, RunRecord), RunError> {
    let (directory, lock, record) = match given {
        Some((directory, record)) => {
            let lock = directory.lock()?;
            (directory, lock, record)
        }
        None => {
            let (directory, lock, name, run) = state.create(&plan.name)?;
            (
                directory,
                lock,
                RunRecord::starting(run, name, plan, engine),
            )
        }
    };
    directory.write_record(&record)?;
    let text = serde_json::to_vec_pretty(plan).map_err(RunError::Encode)?;
    directory.write("plan.json", &text)?;
    Ok((directory, lock, record))
}
