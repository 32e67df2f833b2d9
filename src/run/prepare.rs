//! The beginning of a run, or of taking one over: everything up to the loop.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::sync::mpsc;

use super::{
    conclude::Conclusion,
    conductor::{Conductor, chain},
    cost::CostMeter,
    directory::{RunDirectory, RunLock, RunRecord, RunState, StateFolder},
    error::RunError,
    evidence::Evidence,
    faults::Faults,
    live::STOP_REQUEST,
    observe::Observers,
    restart::Restarts,
    signal::Signals,
};
use crate::{
    detect::Judge,
    engine::{
        self, Docker, EngineError, LaunchRequest, Launched, RenderedNode, launch::Images,
        owner::Owner,
    },
    ids::{RunId, ShardId},
    journal::{
        Event, Reader, Settings, Writer,
        event::{FORMAT, FinishReason, Stage},
        text::clean,
    },
    plan::Plan,
    probe::{sink::Sink, watcher::protocol::KnownBlock},
    profile::render,
    report::progress::Progress,
    time::{Elapsed, RunClock, WallTime},
};

/// Observations that may wait for the journal; at the busiest the default plan makes some hundred a second.
const QUEUE: usize = 16 * 1024;

/// How much longer than its plan a run's remains are taken for somebody's, where its lock cannot be seen.
const LIFE_MARGIN: Duration = Duration::from_secs(15 * 60);

/// The same for a run without an end of its own.
const LIFE_ENDLESS: Duration = Duration::from_secs(7 * 86_400);

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
}

/// Does a run from its first container to its last.
///
/// # Errors
/// When it could not be begun, or its evidence could not be kept.
pub async fn soak(request: SoakRequest) -> Result<Conclusion, RunError> {
    let signals = Signals::install().map_err(RunError::Signals)?;
    let SoakRequest {
        plan,
        docker,
        engine,
        state,
        directory,
        linux_binary,
        json,
        endless,
    } = request;
    let screen = Progress::start(json, false).map_err(RunError::Screen)?;
    let clock = RunClock::start();
    let mut begun = Begun { screen, clock };
    begun.note("packing images and checking the machine");
    let images = engine::launch::prepare(
        &docker,
        &plan.network,
        plan.allow_helper,
        linux_binary.as_deref(),
    )
    .await?;
    let (directory, lock, record) = own_directory(&state, directory, &plan, engine)?;
    engine::preflight(
        &docker,
        &record.run,
        &plan.network,
        plan.allow_helper,
        &images,
    )
    .await?;
    begun.note(&format!(
        "run {} in {}",
        record.name,
        directory.path().display()
    ));
    let mut conductor = begin(begun, plan, docker, directory, lock, record, signals)?;
    conductor.endless = endless;
    conductor.open_journal()?;
    conductor.launch(images);
    end(conductor).await
}

async fn end(mut conductor: Conductor) -> Result<Conclusion, RunError> {
    match conductor.conduct().await {
        Ok(reason) => conductor.conclude(reason).await,
        Err(error) => {
            // The evidence cannot be written, so nothing more can be learned; what was made must go all the same.
            let failure = conductor.conclude(FinishReason::Infra).await;
            failure.and(Err(error))
        }
    }
}

/// What stands before there is a run.
struct Begun {
    screen: Progress,
    clock: RunClock,
}

impl Begun {
    fn note(&mut self, line: &str) {
        self.screen.note(self.clock.elapsed(), line);
    }
}

fn own_directory(
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

fn begin(
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
        (journal, judge),
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
    (journal, judge): (Writer, Judge),
) -> Result<Conductor, RunError> {
    let (sink, observations) = Sink::new(QUEUE);
    let observers = Observers::new(
        docker.clone(),
        &record.run,
        &plan,
        directory.path(),
        sink.clone(),
    )?;
    let faults = Faults::new(&plan, directory.path().to_owned(), record.engine.clone());
    Ok(Conductor {
        clock: begun.clock,
        journal: Some(journal),
        appended: Elapsed::default(),
        judge,
        screen: begun.screen,
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
        lock,
        stage: Stage::Prepare,
        stage_at: Elapsed::default(),
        launched: None,
        launching: None,
        endless: false,
        started_at: Elapsed::default(),
        soak_started: None,
        settle_started: None,
        cost_at: Elapsed::default(),
        live_at: Elapsed::default(),
        ticked_at: Elapsed::default(),
        starved_told: false,
        restarts_due: mpsc::channel(64),
        faults_wait_for_lines: faults.wait_for_lines(),
        faults,
    })
}

impl Conductor {
    /// The first entries of a journal.
    fn open_journal(&mut self) -> Result<(), RunError> {
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
    fn launch(&mut self, images: Images) {
        self.images = Some(images.clone());
        self.observers.watch_engine();
        let docker = self.docker.clone();
        let plan = self.plan.clone();
        let run = self.record.run.clone();
        let state = self.directory.path().display().to_string();
        let life = match plan.soak {
            Some(soak) if !self.endless => soak.0 + plan.start_deadline + LIFE_MARGIN,
            _ => LIFE_ENDLESS,
        };
        self.stage = Stage::Start;
        let launching =
            async move { launch_network(&docker, &run, &plan, state, life, &images).await };
        self.launching = Some(launching.boxed_local());
    }
}

async fn launch_network(
    docker: &Docker,
    run: &RunId,
    plan: &Plan,
    state: String,
    life: Duration,
    images: &Images,
) -> Result<Launched, EngineError> {
    let render = |node: &crate::plan::NodePlan, addresses: &BTreeMap<_, _>| {
        let failed = |error: render::RenderError| chain(&error);
        let environment = render::environment(plan, node, addresses).map_err(failed)?;
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Ok(RenderedNode {
            command: render::command(plan, node, addresses).map_err(failed)?,
            environment: environment
                .iter()
                .filter_map(|entry| entry.split_once('='))
                .map(owned)
                .collect(),
        })
    };
    let request = LaunchRequest {
        run,
        network: &plan.network,
        allow_helper: plan.allow_helper,
        state,
        owner: Owner::this_process(),
        time_to_live: life,
        images,
        render: &render,
    };
    engine::launch(docker, request, |_progress| {}).await
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
    let launched = engine::reattach(&docker, &record.run)
        .await
        .map_err(|error| cannot(clean(&chain(&error), 400)))?;
    let screen = Progress::start(json, false).map_err(RunError::Screen)?;
    let folder = directory.path().join("journal");
    let (plan, judge, past) = judge_again(&folder, &record)?;
    let (journal, resumed) = Writer::resume(&folder, Settings::for_budget(plan.budget.journal))?;
    // Time that nobody watched is a gap in the journal, not in the run's clock: windows restart after `Attached`.
    let clock = RunClock::resume(resumed.last.as_duration());
    let _ = std::fs::remove_file(directory.path().join(STOP_REQUEST));
    record.state = RunState::Running;
    directory.write_record(&record)?;
    let ended = past.started.plus(resumed.last.as_duration());
    let mut conductor = assemble(
        Begun { screen, clock },
        plan,
        docker,
        directory,
        lock,
        record,
        signals,
        (journal, judge),
    )?;
    conductor.record(Event::Attached {
        wall: RunClock::wall(),
    })?;
    conductor.observers.logs_from(ended);
    conductor.observers.watch_engine();
    conductor.resume_network(launched, past)?;
    end(conductor).await
}

/// What is known of a run from its journal so far.
struct Past {
    started: WallTime,
    stages: Vec<(Stage, Elapsed)>,
    /// The newest block of each shard: what follows it was missed by nobody.
    blocks: BTreeMap<ShardId, KnownBlock>,
    /// Faults that were begun.
    fired: BTreeSet<String>,
}

/// Judges the journal so far, so that findings go on where they were.
fn judge_again(folder: &Path, record: &RunRecord) -> Result<(Plan, Judge, Past), RunError> {
    let unreadable = |why: String| RunError::Attach {
        run: record.name.clone(),
        why,
    };
    let mut judging = None;
    let mut past = Past {
        started: WallTime::default(),
        stages: Vec::new(),
        blocks: BTreeMap::new(),
        fired: BTreeSet::new(),
    };
    for entry in Reader::open(folder).map_err(|error| unreadable(chain(&error)))? {
        let entry = entry.map_err(|error| unreadable(chain(&error)))?;
        match &entry.event {
            Event::RunStarted { plan, wall, .. } if judging.is_none() => {
                let plan: Plan =
                    serde_json::from_value(plan.clone()).map_err(|source| RunError::Plan {
                        run: record.name.clone(),
                        source,
                    })?;
                past.started = *wall;
                judging = Some((Judge::new(&plan), plan));
            }
            Event::Fault { id, .. } => {
                past.fired.insert(id.to_string());
            }
            Event::Drill { .. } => {
                past.fired.insert("drill".to_owned());
            }
            Event::Stage { stage } => past.stages.push((*stage, entry.elapsed)),
            Event::Block {
                shard,
                height,
                hash,
                ..
            } => {
                let known = KnownBlock {
                    shard: *shard,
                    height: *height,
                    hash: Arc::clone(hash),
                };
                past.blocks.insert(*shard, known);
            }
            _ => {}
        }
        if let Some((judge, _)) = &mut judging {
            judge.step(&entry);
        }
    }
    let (judge, plan) =
        judging.ok_or_else(|| unreadable("its journal does not begin with its plan".to_owned()))?;
    Ok((plan, judge, past))
}

impl Conductor {
    fn resume_network(&mut self, launched: Launched, past: Past) -> Result<(), RunError> {
        let Past {
            stages,
            blocks,
            fired,
            ..
        } = past;
        let known = blocks.into_values().collect();
        let reached = stages.last().map_or(Stage::WarmUp, |(stage, _)| *stage);
        let soak = stages.iter().find(|(stage, _)| *stage == Stage::Soak);
        self.soak_started = soak.map(|(_, at)| *at);
        self.started_at = self.clock.elapsed();
        self.observers.network_runs(&launched, &self.plan, known);
        self.set_scene(&launched);
        self.launched = Some(launched);
        self.adopt_faults(&fired)?;
        // A settle that was interrupted is begun again; what came before the warm-up cannot be continued half-way.
        self.enter(reached.clamp(Stage::WarmUp, Stage::Soak))
    }
}
