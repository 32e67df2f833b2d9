//! The beginning of a run, or of taking one over: everything up to the loop.

use std::{path::PathBuf, sync::Arc};

use futures_util::FutureExt as _;
use tokio::sync::mpsc;

use super::{
    capability,
    checkpoint::Checkpoints,
    conclude::Conclusion,
    conductor::Conductor,
    cost::CostMeter,
    directory::{RunDirectory, RunLock, RunRecord, RunState, StateFolder},
    end_reserve,
    error::RunError,
    evidence::Evidence,
    faults::Faults,
    launching::{Launching, launch_network},
    live::STOP_REQUEST,
    observe::Observers,
    past::{Judged, judge_again},
    pause::{self, PauseAt},
    recovering::Recovering,
    reserving::{self, Reserving},
    restart::Restarts,
    secrets::Secrets,
    signal::Signals,
    snapshots::Snapshots,
    start::{self, Filling},
    starting::{Starting, life, own_directory},
    takeover::{Found, found},
};
use crate::{
    detect::Judge,
    engine::{self, Docker, launch::Images, reservation},
    journal::{
        Event, JOURNAL_FOLDER, JournalError, Settings, Writer,
        event::{FORMAT, FinishReason, Stage},
        mask::Masks,
    },
    plan::{Plan, Recorded, image::moving},
    probe::sink::Sink,
    report::{Curves, progress::Progress},
    repro::Sought,
    serve::{Metrics, Page},
    time::{Elapsed, RunClock},
};

/// Observations that may wait for the journal; at the busiest the default plan makes some hundred a second.
const QUEUE: usize = 16 * 1024;

/// A run to be made.
#[derive(Debug)]
pub struct SoakRequest {
    /// What is to be done.
    pub plan: Plan,
    /// Where.
    pub docker: Docker,
    /// The engine's address as given, for later verbs.
    pub engine: Option<String>,
    /// The folder of all runs.
    pub state: StateFolder,
    /// A directory that a detaching parent made for this run.
    pub directory: Option<(RunDirectory, RunRecord)>,
    /// A Linux build of this program, where the running one is none.
    pub linux_binary: Option<PathBuf>,
    /// Progress as JSON.
    pub json: bool,
    /// No end of its own (`up`).
    pub endless: bool,
    /// What it does when others hold what it needs of the machine.
    pub reserving: Reserving,
    /// Where its metrics are served.
    pub metrics: Option<Metrics>,
    /// Where it can be followed in a browser.
    pub page: Option<Page>,
    /// What the plan was made from, to be kept beside it.
    pub layers: Option<Recorded>,
    /// The run ends as soon as this is found.
    pub sought: Option<Sought>,
    /// The run stands still at this height.
    pub pause_at: Option<PauseAt>,
}

/// A run to be taken over.
#[derive(Debug)]
pub struct AttachRequest {
    /// Where it is.
    pub docker: Docker,
    /// Its directory.
    pub directory: RunDirectory,
    /// Its record.
    pub record: RunRecord,
    /// Progress as JSON.
    pub json: bool,
    /// Where its metrics are served.
    pub metrics: Option<Metrics>,
    /// Where it can be followed in a browser.
    pub page: Option<Page>,
}

/// Does a run from its first container to its last.
///
/// # Errors
/// When it could not be begun, or its evidence could not be kept.
pub async fn soak(request: SoakRequest) -> Result<Conclusion, RunError> {
    let mut signals = Signals::install().map_err(RunError::Signals)?;
    let SoakRequest {
        plan,
        docker,
        engine,
        state,
        directory,
        linux_binary,
        json,
        endless,
        reserving,
        metrics,
        page,
        layers,
        sought,
        pause_at,
    } = request;
    let secrets = Secrets::read(&plan)?;
    let screen = Progress::start(json, false).map_err(RunError::Screen)?;
    let clock = RunClock::start();
    let masks = Arc::new(secrets.masks());
    let mut begun = Begun {
        screen,
        clock,
        masks,
    };
    for image in moving(&plan) {
        begun.note(&format!(
            "image {image} may be another one tomorrow; `--locked` refuses that, the run's machine.json has its digest"
        ));
    }
    begun.note("packing and pulling images, and checking the machine");
    let prepared = async {
        let images = engine::launch::prepare(
            &docker,
            &plan.network,
            plan.allow_helper,
            linux_binary.as_deref(),
        )
        .await?;
        let upgrades = capability::upgrades(&docker, &plan).await?;
        Ok::<_, RunError>((images, upgrades))
    };
    // A registry may take its time, and there is nothing to drain yet.
    let (images, upgrades) = tokio::select! {
        prepared = prepared => prepared?,
        interrupt = signals.next() => return Err(RunError::Interrupted(interrupt)),
    };
    let filling = start::open(&plan)?;
    let given = directory.is_some();
    let (directory, lock, record) = own_directory(&state, directory, &plan, engine)?;
    let (run, path) = (record.run.clone(), directory.clone());
    let starting = Starting {
        begun,
        plan,
        docker: docker.clone(),
        directory,
        lock,
        record,
        signals,
        images,
        upgrades,
        secrets,
        filling,
        reserving,
        endless,
        layers,
        metrics,
        page,
        sought,
        pause_at,
    };
    let conductor = match starting.start().await {
        Ok(conductor) => conductor,
        Err(error) => {
            // Where the engine does not answer it is found by its labels later; it holds nothing without an owner.
            let _ = reservation::release(&docker, &run).await;
            reserving::forget(&path, given, &error);
            return Err(error);
        }
    };
    end(conductor).await
}

pub(super) async fn end(mut conductor: Conductor) -> Result<Conclusion, RunError> {
    match conductor.conduct().await {
        Ok(reason) => conductor.conclude(reason).await,
        // What was kept for the end suffices for a verdict.
        Err(RunError::Journal(JournalError::Full { .. })) => {
            conductor.out_of_room();
            conductor.conclude(FinishReason::Infra).await
        }
        Err(error) => {
            // The evidence cannot be written, so nothing more can be learned; what was made must go all the same.
            let failure = conductor.conclude(FinishReason::Infra).await;
            failure.and(Err(error))
        }
    }
}

/// What stands before there is a run.
pub(super) struct Begun {
    screen: Progress,
    clock: RunClock,
    masks: Arc<Masks>,
}

impl Begun {
    pub(super) fn note(&mut self, line: &str) {
        self.screen.note(self.clock.elapsed(), line);
    }
}

pub(super) fn begin(
    begun: Begun,
    plan: Plan,
    docker: Docker,
    directory: RunDirectory,
    lock: RunLock,
    record: RunRecord,
    signals: Signals,
) -> Result<Conductor, RunError> {
    let journal = Writer::create(
        &directory.path().join("journal"),
        Settings::for_budget(plan.budget.journal),
    )?;
    let judge = Judge::new(&plan);
    assemble(
        begun,
        plan,
        docker,
        directory,
        lock,
        record,
        signals,
        (Some(journal), judge, Curves::default()),
    )
}

#[expect(
    clippy::too_many_arguments,
    reason = "the parts of a run, put together in one place"
)]
fn assemble(
    begun: Begun,
    plan: Plan,
    docker: Docker,
    directory: RunDirectory,
    lock: RunLock,
    record: RunRecord,
    signals: Signals,
    (journal, judge, curves): (Option<Writer>, Judge, Curves),
) -> Result<Conductor, RunError> {
    end_reserve::keep(&directory);
    let (sink, observations) = Sink::new(QUEUE);
    let observers = Observers::new(
        docker.clone(),
        &record.run,
        &plan,
        directory.path(),
        sink.clone(),
        Arc::clone(&begun.masks),
    )?;
    let desk = super::alerting::desk(&plan, &record.run, &judge, directory.path());
    let faults = Faults::new(&plan, directory.path().to_owned(), record.engine.clone());
    let snapshots = Snapshots::of(&directory, &plan);
    let recovering = Recovering::of(&plan);
    Ok(Conductor {
        clock: begun.clock,
        journal,
        appended: Elapsed::default(),
        judge,
        curves,
        checkpoints: Checkpoints::default(),
        desk,
        screen: begun.screen,
        masks: begun.masks,
        restarts: Restarts::new(plan.restart),
        evidence: Evidence::start(),
        cost: CostMeter::new(observers.costs(), sink),
        observers,
        observations,
        signals,
        plan,
        docker,
        directory,
        record,
        images: None,
        helper: None,
        lock,
        stage: Stage::Prepare,
        stage_at: Elapsed::default(),
        launched: None,
        launching: None,
        endless: false,
        metrics: None,
        metrics_at: Elapsed::default(),
        page: None,
        sought: None,
        pause_at: None,
        started_at: Elapsed::default(),
        soak_started: None,
        settle_started: None,
        turns: None,
        cost_at: Elapsed::default(),
        live_at: Elapsed::default(),
        ticked_at: Elapsed::default(),
        starved_told: false,
        restarts_due: mpsc::channel(64),
        starting: 0,
        faults_wait_for_lines: faults.wait_for_lines(),
        faults,
        snapshots,
        recovering,
        healed_at: None,
    })
}

impl Conductor {
    /// The first entries of a journal.
    pub(super) fn open_journal(&mut self) -> Result<(), RunError> {
        let plan = serde_json::to_value(&self.plan).map_err(RunError::Encode)?;
        let event = Event::RunStarted {
            format: FORMAT,
            run: self.record.run.clone(),
            canarynet: env!("CARGO_PKG_VERSION").to_owned(),
            wall: RunClock::wall(),
            plan,
        };
        self.clock = RunClock::start();
        self.record(event)?;
        self.enter(Stage::Prepare)
    }

    /// Starts the network beside the loop, so that what its containers do is seen from the first one on.
    pub(super) fn launch(&mut self, images: Images, secrets: Secrets, filling: Option<Filling>) {
        self.images = Some(images.clone());
        self.observers.watch_engine();
        let docker = self.docker.clone();
        let plan = self.plan.clone();
        let run = self.record.run.clone();
        let state = self.directory.path().display().to_string();
        let life = life(&plan, self.endless || self.pause_at.is_some());
        self.stage = Stage::Start;
        let launching = async move {
            let request = Launching {
                docker: &docker,
                run: &run,
                plan: &plan,
                state,
                life,
                images: &images,
                secrets: &secrets,
                filling,
            };
            launch_network(request).await
        };
        self.launching = Some(launching.boxed_local());
    }
}

/// Takes a run over whose owner is gone, and goes on to its end.
///
/// # Errors
/// When it has an owner, nothing of it is left, or its journal cannot be continued.
pub async fn attach(request: AttachRequest) -> Result<Conclusion, RunError> {
    let AttachRequest {
        docker,
        directory,
        mut record,
        json,
        metrics,
        page,
    } = request;
    let signals = Signals::install().map_err(RunError::Signals)?;
    let lock = directory.lock()?;
    let cannot = |why: String| RunError::Attach {
        run: record.name.clone(),
        why,
    };
    if record.state == RunState::Finished {
        return Err(cannot("it is over".to_owned()));
    }
    pause::let_go(&docker, &directory).await;
    let launched = engine::reattach(&docker, &record.run).await;
    let screen = Progress::start(json, false).map_err(RunError::Screen)?;
    let (judged, told) = judge_again(&directory, &record)?;
    let Judged {
        plan,
        judge,
        curves,
        past,
    } = judged;
    let secrets = Secrets::read(&plan).map_err(|error| cannot(error.to_string()))?;
    let masks = Arc::new(secrets.masks());
    let found = found(&plan, &judge, &past.stages, launched);
    let (journal, last) = match &found {
        // What is finished is not written to any more.
        Found::Over { .. } => (None, judge.world().now),
        _ => {
            let folder = directory.path().join(JOURNAL_FOLDER);
            let settings = Settings::for_budget(plan.budget.journal);
            let (journal, resumed) = Writer::resume(&folder, settings)?;
            if resumed.next != past.next() {
                let (next, judged) = (resumed.next, past.next());
                return Err(cannot(format!(
                    "its journal goes on at entry {next}, and it was judged up to entry {judged}"
                )));
            }
            (Some(journal), resumed.last)
        }
    };
    // Time that nobody watched is a gap in the journal, not in the run's clock: windows restart after `Attached`.
    let clock = RunClock::resume(last.as_duration());
    let ended = judge.world().wall(last);
    let _ = std::fs::remove_file(directory.path().join(STOP_REQUEST));
    if journal.is_some() {
        record.state = RunState::Running;
        directory.write_record(&record)?;
    }
    let mut conductor = assemble(
        Begun {
            screen,
            clock,
            masks,
        },
        plan,
        docker,
        directory,
        lock,
        record,
        signals,
        (journal, judge, curves),
    )?;
    conductor.note(&told);
    conductor.checkpoints = Checkpoints::after(past);
    conductor.metrics = metrics;
    conductor.endless = conductor.record.endless;
    conductor.serve(page);
    conductor.record(Event::Attached {
        wall: RunClock::wall(),
    })?;
    conductor.alert_again();
    let launched = match found {
        Found::Over { reason, launched } => {
            return conductor.conclude_again(reason, launched).await;
        }
        Found::Gone { why } => return conductor.end_without(&why).await,
        Found::Half => {
            let capabilities = conductor.checkpoints.past.capabilities.clone();
            return conductor.launch_again(secrets, capabilities).await;
        }
        Found::Network(launched) => *launched,
    };
    let before = conductor.checkpoints.past.journalled(ended);
    conductor.observers.goes_on_from(before);
    conductor.observers.watch_engine();
    if let Some(reason) = conductor.engine_was_gone(&launched).await? {
        conductor.launched = Some(launched);
        return conductor.conclude(reason).await;
    }
    conductor.helper = conductor.helper_as_launched(&launched).await;
    conductor.resume_network(launched)?;
    end(conductor).await
}
