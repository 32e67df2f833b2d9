//! Endurance: each kind of fault injected and healed many times in a row on one node, without waiting for the chain.
//! Afterwards everything must be as it was before: what was left behind is told line by line.
//!
//! The network is launched, and nobody watches it: what is judged here is the canary. Heals are armed and guarded as in
//! any run, so that a kill -9 in the middle leaves nothing that the guard or the next command does not heal.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    arm::{self, Armed},
    capability,
    directory::{RunDirectory, RunRecord, RunState, StateFolder},
    error::{RunError, chain},
    faults::carry_out::{heal_all, perform_all},
    launching::{Launching, launch_network},
    secrets::Secrets,
    signal::Signals,
};
use crate::{
    engine::{self, Docker, inject::Scene, inventory, labels::RunLabels, owner::Owner},
    exit::Exit,
    fault::{
        kinds::{Cast, KindInfo, Need},
        needs::needs_of,
        operation::Operation,
    },
    ids::NodeName,
    journal::{Capability, text::clean},
    plan::Plan,
    time::RunClock,
};

/// Longest wait for one operation's effect or heal.
const DEADLINE: Duration = Duration::from_secs(120);
/// How long a fault would last if nobody healed it.
const LASTS: Duration = Duration::from_secs(60);
/// Things that end by themselves a moment later (a helper that is being removed) are given this long.
const SETTLE: Duration = Duration::from_secs(10);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// Time to live on labels.
const LIFE: Duration = Duration::from_secs(2 * 3_600);
/// Failures of one kind that are told.
const TOLD: usize = 3;

/// What is to be endured.
#[derive(Debug)]
pub struct EnduranceRequest {
    /// Its network; nothing else of it is used.
    pub plan: Plan,
    /// Where.
    pub docker: Docker,
    /// The engine's address as given, for the guard.
    pub engine: Option<String>,
    /// The folder of all runs.
    pub state: StateFolder,
    /// A Linux build of this program, where the running one is none.
    pub linux_binary: Option<PathBuf>,
    /// Which kinds.
    pub kinds: Vec<&'static KindInfo>,
    /// How often each.
    pub times: u32,
}

/// What became of one kind.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Endured {
    /// The kind.
    pub kind: String,
    /// How often it was injected and healed.
    pub times: u32,
    /// Time that took, in seconds.
    pub seconds: u64,
    /// Injections whose effect was not seen.
    pub ineffective: u32,
    /// Heals that failed.
    pub unhealed: u32,
    /// What was left behind (`+`) or is missing (`-`), compared with before.
    pub left: Vec<String>,
    /// Why, of the first failures; or why it could not be done at all.
    pub why: Vec<String>,
}

impl Endured {
    fn not_done(info: &KindInfo, why: String) -> Self {
        Self {
            kind: info.kind.to_owned(),
            times: 0,
            seconds: 0,
            ineffective: 0,
            unhealed: 0,
            left: Vec::new(),
            why: vec![why],
        }
    }

    /// Whether all of it went well and nothing was left behind.
    #[must_use]
    pub fn well(&self) -> bool {
        self.times > 0 && self.ineffective == 0 && self.unhealed == 0 && self.left.is_empty()
    }
}

/// Launches the network, does all kinds, removes it, and looks for what the whole of it left behind.
///
/// # Errors
/// When the network could not be launched or be looked at.
pub async fn endure(
    request: EnduranceRequest,
    mut tell: impl FnMut(&Endured),
) -> Result<Vec<String>, RunError> {
    let EnduranceRequest {
        plan,
        docker,
        engine,
        state,
        linux_binary,
        kinds,
        times,
    } = request;
    let secrets = Secrets::read(&plan)?;
    let images = engine::launch::prepare(
        &docker,
        &plan.network,
        plan.allow_helper,
        linux_binary.as_deref(),
    )
    .await?;
    let mut signals = Signals::install().map_err(RunError::Signals)?;
    let (directory, lock, name, run) = state.create(&plan.name)?;
    let mut record = RunRecord::starting(run.clone(), name, &plan, engine.clone());
    directory.write_record(&record)?;
    let path = directory.path().display().to_string();
    engine::preflight(&docker, &run, &plan.network, plan.allow_helper, &images).await?;
    let needs: Vec<Need> = needs_of(kinds.iter().copied());
    let mut found = capability::tried(&docker, &run, &path, &plan, &images, &needs).await;
    let launched = {
        let launching = Launching {
            docker: &docker,
            run: &run,
            plan: &plan,
            state: path.clone(),
            life: LIFE,
            images: &images,
            secrets: &secrets,
            filling: None,
        };
        launch_network(launching).await?
    };
    found.extend(engine::capabilities::of_launch(&launched, &needs));
    record.state = RunState::Running;
    directory.write_record(&record)?;
    let scene = Scene {
        docker: docker.clone(),
        labels: RunLabels::new(&run, &Owner::this_process(), &path, LIFE),
        helper: images.helper_of_faults(plan.allow_helper),
        user: plan.network.user.clone(),
        disk_path: plan.network.disk.path.clone(),
        launched: Arc::new(launched),
        clock_skew: plan.network.clock_skew.clone(),
        requested: None,
    };
    let course = Course {
        plan: &plan,
        scene: &scene,
        directory: &directory,
        engine,
        found: &found,
        times,
    };
    let outcome = tokio::select! {
        outcome = course.all(&kinds, &mut tell) => outcome,
        signal = signals.next() => Err(RunError::Stopped(signal.name())),
    };
    let failed = arm::heal_left(directory.path(), arm::Left::All).await;
    let mut left = engine::teardown(&docker, &run).await?.left;
    left.extend(failed.into_iter().map(|line| format!("not healed: {line}")));
    if left.is_empty() {
        arm::forget(directory.path());
    }
    record.state = RunState::Finished;
    let exit = if left.is_empty() {
        Exit::Pass
    } else {
        Exit::Infra
    };
    record.exit = Some(exit as u8);
    record.verdict = Some("none: endurance".to_owned());
    directory.write_record(&record)?;
    drop(lock);
    outcome?;
    left.extend(settled(|| inventory::of_run(&docker, &run), &[]).await?);
    left.extend(guards(directory.path()).await);
    Ok(left)
}

/// The run of all kinds over one network.
struct Course<'a> {
    plan: &'a Plan,
    scene: &'a Scene,
    directory: &'a RunDirectory,
    engine: Option<String>,
    found: &'a [Capability],
    times: u32,
}

impl Course<'_> {
    async fn all(
        &self,
        kinds: &[&'static KindInfo],
        tell: &mut impl FnMut(&Endured),
    ) -> Result<(), RunError> {
        // It ends by itself when the run is over.
        let _guard = arm::start_guard(self.directory.path()).map_err(RunError::Guard)?;
        for info in kinds {
            let endured = match capability::missing(info, self.found) {
                Some(why) => Endured::not_done(info, why),
                None => self.one(info).await?,
            };
            tell(&endured);
        }
        Ok(())
    }

    /// One kind, so many times, with a look around before and after.
    async fn one(&self, info: &'static KindInfo) -> Result<Endured, RunError> {
        let begun = Instant::now();
        let mut endured = Endured::not_done(info, String::new());
        endured.why.clear();
        let parameters = serde_json::json!({});
        let fault = match (info.parse)(&parameters) {
            Ok(fault) => fault,
            Err(error) => return Ok(Endured::not_done(info, error.to_string())),
        };
        let nodes = &self.plan.network.nodes;
        let targets: Vec<NodeName> = nodes
            .first()
            .map(|node| node.name.clone())
            .into_iter()
            .collect();
        let mut looked_at: Option<(BTreeSet<NodeName>, Vec<String>)> = None;
        for number in 1..=self.times {
            let id = format!("e{number}-{}", info.kind);
            let cast = Cast {
                fault: &id,
                targets: &targets,
                nodes,
                quorum: self.plan.network.foreign.quorum,
                duration: LASTS,
                seed: u64::from(number),
            };
            let (breaks, heals) = (fault.breaks(&cast), fault.heals(&cast));
            if looked_at.is_none() {
                let touched: BTreeSet<NodeName> = breaks
                    .iter()
                    .chain(&heals)
                    .map(|operation| operation.node().clone())
                    .collect();
                let before = self.look(&touched).await?;
                looked_at = Some((touched, before));
            }
            self.arm(&id, info, &heals).map_err(RunError::Guard)?;
            self.cycle(&id, &breaks, &heals, &mut endured).await;
        }
        if let Some((touched, before)) = looked_at {
            endured.left = settled(|| self.look(&touched), &before).await?;
        }
        endured.seconds = begun.elapsed().as_secs();
        Ok(endured)
    }

    async fn cycle(
        &self,
        id: &str,
        breaks: &[Operation],
        heals: &[Operation],
        endured: &mut Endured,
    ) {
        let broken = perform_all(self.scene, breaks, DEADLINE).await;
        if !broken.everywhere() {
            endured.ineffective += 1;
            let why = broken.without();
            note(endured, &format!("{id} had no effect: {why}"));
        }
        let healed = tokio::time::timeout(DEADLINE, heal_all(self.scene, heals)).await;
        let healed = healed.unwrap_or_else(|_| Err("it took too long".to_owned()));
        match healed {
            Ok(()) => arm::disarm(self.directory.path(), id),
            Err(why) => {
                endured.unhealed += 1;
                note(endured, &format!("{id} not healed: {why}"));
            }
        }
        endured.times += 1;
    }

    fn arm(&self, id: &str, info: &KindInfo, heals: &[Operation]) -> Result<(), std::io::Error> {
        Armed {
            id: id.to_owned(),
            kind: info.kind.to_owned(),
            heals: heals.to_vec(),
            by: RunClock::wall().plus(LASTS),
            breaking: false,
            run: self.scene.labels.run().clone(),
            engine: self.engine.clone(),
            helper: self.scene.helper.clone(),
            user: self.scene.user.clone(),
            disk_path: self.scene.disk_path.clone(),
        }
        .arm(self.directory.path())
    }

    /// These nodes, the run's objects in the engine, and the processes that belong to it.
    async fn look(&self, nodes: &BTreeSet<NodeName>) -> Result<Vec<String>, engine::EngineError> {
        let scene = self.scene;
        let mut lines = inventory::of_run(&scene.docker, scene.labels.run()).await?;
        for node in nodes {
            lines.extend(inventory::of_node(scene, node).await?);
        }
        lines.extend(processes_of(self.directory.path()));
        lines.sort_unstable();
        Ok(lines)
    }
}

fn note(endured: &mut Endured, line: &str) {
    if endured.why.len() < TOLD {
        endured.why.push(clean(line, 400));
    }
}

/// Looks until there is no difference any more, or what ends by itself has had its time.
async fn settled<F>(
    look: impl Fn() -> F,
    before: &[String],
) -> Result<Vec<String>, engine::EngineError>
where
    F: Future<Output = Result<Vec<String>, engine::EngineError>>,
{
    let deadline = Instant::now() + SETTLE;
    loop {
        let difference = match look().await {
            Ok(after) => inventory::difference(before, &after),
            // A node that is just starting has no inside yet.
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(error) => vec![chain(&error)],
        };
        if difference.is_empty() || Instant::now() >= deadline {
            return Ok(difference);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Processes of this machine, but this one, that name the run's directory.
fn processes_of(directory: &Path) -> Vec<String> {
    let path = directory.display().to_string();
    let own = std::process::id().to_string();
    let mut lines = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy() == own.as_str() {
            continue;
        }
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&path) {
            lines.push(format!("process of ours: {}", line.trim()));
        }
    }
    lines
}

/// What of the run's own processes is still there when its guard had time to end.
async fn guards(directory: &Path) -> Vec<String> {
    let deadline = Instant::now() + SETTLE;
    loop {
        let left = processes_of(directory);
        if left.is_empty() || Instant::now() >= deadline {
            return left;
        }
        tokio::time::sleep(LOOK).await;
    }
}
