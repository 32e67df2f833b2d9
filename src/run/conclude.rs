//! The end of a run: verdict, findings and JUnit are on disk first, then everything is removed.

use std::{path::PathBuf, time::Duration};

use super::{
    arm,
    conductor::{Conductor, chain},
    directory::RunState,
    end_reserve,
    error::RunError,
    judged_twice::Comparison,
};
use crate::{
    detect::{DETECTORS, Judgement},
    engine::{self, launch::NodeImage},
    exit::Exit,
    journal::{
        Event, JOURNAL_FOLDER,
        event::{FinishReason, Stage},
        text::clean,
    },
    plan::{Keep, NetworkPlan, Plan, Program, image::moving},
    report::{self, Curves, Fact, Look, REPORTERS, ReportInput, progress::Progress},
    time::RunClock,
    verdict::{self, Outcome, Verdict},
};

/// Longest wait for what is still on its way when a run ends in order.
const DRAIN: Duration = Duration::from_millis(1_000);

/// ... and when a signal ended it: verdict and reports are to be on disk within three seconds of the signal.
const DRAIN_INTERRUPTED: Duration = Duration::from_millis(300);

/// Open files of a node by default.
const OPEN_FILES: u64 = 1_024;

/// Where the sweep of `canarynet faults` comes from, as its plan says.
pub(crate) const FAULTS: &str = "canarynet faults";

/// The file that says what the run came to.
const VERDICT: &str = "verdict.json";

/// Longest wait for the terminal to take the last lines.
const SCREEN: Duration = Duration::from_millis(500);

/// What a run came to.
#[derive(Debug)]
pub struct Conclusion {
    /// The exit code.
    pub exit: Exit,
    /// The last lines for the terminal.
    pub summary: String,
    /// For `--json`.
    pub verdict: Verdict,
    /// What it was decided from.
    pub judgement: Judgement,
    /// The run's directory.
    pub directory: PathBuf,
    /// For a workflow's list of errors.
    pub annotations: String,
}

impl Conductor {
    /// Drains, judges, writes, tears down.
    ///
    /// # Errors
    /// When the reports cannot be written; the teardown was tried all the same.
    pub(super) async fn conclude(mut self, reason: FinishReason) -> Result<Conclusion, RunError> {
        let interrupted = self.signals.first();
        end_reserve::release(&self.directory);
        // A launch that was under way is given up; what it made is found by its labels.
        self.launching = None;
        let collected = self.collect(reason, interrupted.is_some()).await;
        if let Err(error) = &collected {
            // Judge what was written: a finding in it still counts.
            self.note(&format!(
                "the journal ended early: {}",
                clean(&chain(error), 400)
            ));
        }
        self.end_snapshots();
        let judgement = self.judge.judgement();
        let verdict = verdict::decide(&self.plan, &judgement);
        let keep = match self.plan.keep {
            Keep::Always => self.launched.is_some(),
            Keep::OnFail => {
                self.launched.is_some() && verdict.outcome != Outcome::Pass && interrupted.is_none()
            }
            Keep::Never => false,
        };
        let exit = interrupted.map_or(verdict.exit(), super::signal::Interrupt::exit);
        let mut input = self.report_input(judgement, verdict, exit);
        input.curves = std::mem::take(&mut self.curves);
        if keep {
            input.kept = Some(format!(
                "the network still runs; canarynet down {} removes it",
                self.record.name
            ));
        }
        let written = self.write_reports(&input);
        // What did not find its way into the journal cannot be judged from it.
        let comparison = collected.is_ok().then(|| {
            let journal = self.directory.path().join(JOURNAL_FOLDER);
            Comparison::start(journal, input.judgement.clone())
        });
        self.last_page(&input).await;
        self.last_alerts(&input, interrupted.is_some()).await;
        self.evidence.finish();
        let unhealed = self.heal_before_teardown().await;
        let left = if keep {
            Vec::new()
        } else {
            self.tear_down().await
        };
        if !keep && left.is_empty() {
            arm::forget(self.directory.path());
        }
        let otherwise = match comparison {
            Some(comparison) => comparison.outcome(&mut self.signals).await,
            None => None,
        };
        // A run that leaves something behind is no pass, whatever it found, nor one that was judged in two ways.
        let whole = left.is_empty() && unhealed.is_empty() && written.is_ok();
        let exit = match exit {
            Exit::Pass if !whole || otherwise.is_some() => Exit::Infra,
            Exit::Inconclusive if otherwise.is_some() => Exit::Infra,
            exit => exit,
        };
        self.checkpoints.end(&self.directory).await;
        self.record.state = RunState::Finished;
        self.record.exit = Some(exit as u8);
        self.record.verdict =
            Some(report::terminal::outcome_word(input.verdict.outcome).to_lowercase());
        self.record.kept = keep;
        self.record.unhealed = unhealed.clone();
        self.directory.write_record(&self.record)?;
        // A report that found no room is told and missed; without a verdict there is nothing to tell of.
        if !self.directory.path().join(VERDICT).is_file() {
            written?;
        }
        let directory = self.directory.path().to_owned();
        finish_screen(self.screen);
        let mut summary = report::terminal::render(&input, Look::of(&console::Term::stdout()));
        if let Some(how) = &otherwise {
            summary.push_str(&format!(
                "an error of canarynet itself: {}\n",
                clean(how, 400)
            ));
        }
        for problem in &left {
            summary.push_str(&format!("left behind: {}\n", clean(problem, 400)));
        }
        for fault in &unhealed {
            summary.push_str(&format!("not healed: {}\n", clean(fault, 400)));
        }
        Ok(Conclusion {
            exit,
            summary,
            directory,
            annotations: report::annotations::render(&input),
            verdict: input.verdict,
            judgement: input.judgement,
        })
    }

    /// The disk of the run directory is full, beyond what the journal kept free: what is kept for the end is given to it.
    pub(super) fn out_of_room(&mut self) {
        end_reserve::release(&self.directory);
        let detail =
            "the file system of the run directory is full, and what was kept free is used up"
                .to_owned();
        // What cannot be written even now is told by the exit code alone.
        let _ = self.record(Event::Infra {
            what: "journal".to_owned(),
            detail,
            fatal: true,
        });
    }

    async fn collect(&mut self, reason: FinishReason, hurry: bool) -> Result<(), RunError> {
        self.cost_entry()?;
        self.enter(Stage::Collect)?;
        // What the engine has already handed over is read within a few turns; a further signal shortens that.
        let drain = if hurry { DRAIN_INTERRUPTED } else { DRAIN };
        tokio::select! {
            () = tokio::time::sleep(drain) => {}
            _ = self.signals.next() => {}
        }
        self.observers.stop().await;
        while let Ok(observed) = self.observations.try_recv() {
            self.record(observed.event)?;
        }
        self.record(Event::RunFinished {
            reason,
            wall: RunClock::wall(),
        })?;
        if let Some(journal) = self.journal.take() {
            journal.finish()?;
        }
        Ok(())
    }

    fn write_reports(&mut self, input: &ReportInput) -> Result<(), RunError> {
        let mut first = None;
        for reporter in REPORTERS {
            // The smallest and most needed come first: what a full disk has no room for is the rest.
            let written = (reporter.render)(input).map_err(RunError::Render);
            let written = written.and_then(|text| {
                let written = self.directory.write(reporter.file, text.as_bytes());
                written.map_err(RunError::from)
            });
            if let Err(error) = written {
                self.note(&clean(
                    &format!("{}: {}", reporter.file, chain(&error)),
                    400,
                ));
                first.get_or_insert(error);
            }
        }
        self.record.state = RunState::TearingDown;
        let recorded = self.directory.write_record(&self.record);
        match first {
            Some(error) => Err(error),
            None => Ok(recorded?),
        }
    }

    /// Removes all that the run made; says what could not be removed.
    async fn tear_down(&mut self) -> Vec<String> {
        self.note("removing what the run made");
        match engine::teardown(&self.docker, &self.record.run).await {
            Ok(done) => done.left,
            Err(error) => vec![chain(&error)],
        }
    }

    pub(super) fn report_input(
        &self,
        judgement: Judgement,
        verdict: Verdict,
        exit: Exit,
    ) -> ReportInput {
        let mut facts = machine_facts(self.docker.info());
        if let Some(launched) = &self.launched {
            facts.push(Fact::new("disks", launched.disk_reason.clone()));
            let took = launched.timings.created_to_started.as_secs_f64();
            facts.push(Fact::new(
                "start",
                format!("{} nodes in {took:.1} s", launched.nodes.len()),
            ));
            facts.extend(
                launched
                    .notes
                    .iter()
                    .map(|note| Fact::new("not checked", note.clone())),
            );
        }
        if let Some(images) = &self.images {
            let moving = moving(&self.plan);
            let told = |image: &NodeImage| {
                let moves = moving.contains(&image.reference.as_str());
                let word = if moves { ", a tag that may move" } else { "" };
                format!("{} ({}){word}", image.reference, image.digest)
            };
            facts.push(Fact::new("image", told(&images.node)));
            let others = images.versions.iter();
            facts.extend(
                others.map(|(name, image)| Fact::new(format!("image of {name}"), told(image))),
            );
        }
        facts.extend(deviations(&self.plan.network).map(|text| Fact::new("less strict", text)));
        ReportInput {
            run: self.record.run.clone(),
            run_directory: self.directory.path().display().to_string(),
            program: program(&self.plan),
            detectors: detector_ids(),
            entries: Vec::new(),
            reproduce: reproduce(&self.plan),
            kept: None,
            curves: Curves::default(),
            exit_code: exit as u8,
            plan: self.plan.clone(),
            judgement,
            verdict,
            facts,
        }
    }
}

fn finish_screen(screen: Progress) {
    let _ = screen.finish(SCREEN);
}

/// What the engine is.
fn machine_facts(info: &engine::EngineInfo) -> Vec<Fact> {
    let (major, minor) = info.api;
    vec![
        Fact::new("canarynet", env!("CARGO_PKG_VERSION")),
        Fact::new(
            "engine",
            format!(
                "{}, API {major}.{minor}, {}",
                info.version, info.storage_driver
            ),
        ),
        Fact::new(
            "machine",
            format!(
                "{} {}, {} processors, {} MiB",
                info.architecture,
                info.kernel,
                info.cpus,
                info.memory >> 20
            ),
        ),
    ]
}

/// In what the containers of the nodes are less strict than by default.
fn deviations(network: &NetworkPlan) -> impl Iterator<Item = String> {
    let root = network.user.starts_with("0:");
    let capabilities = network.capabilities.join(", ");
    let scratch: Vec<&str> = network.scratch.keys().map(String::as_str).collect();
    let files = network.limits.open_files;
    [
        root.then(|| format!("the nodes run as {}", network.user)),
        (!network.read_only_root).then(|| "their root file systems can be written".to_owned()),
        (!capabilities.is_empty()).then(|| format!("they have the capabilities {capabilities}")),
        (!scratch.is_empty()).then(|| format!("they can write {}", scratch.join(", "))),
        (files > OPEN_FILES).then(|| format!("they may open {files} files")),
    ]
    .into_iter()
    .flatten()
}

/// Ids of all detectors, in the order of their table.
#[must_use]
pub(crate) fn detector_ids() -> Vec<String> {
    DETECTORS
        .iter()
        .map(|detector| detector.id.to_owned())
        .collect()
}

/// What the nodes run, short.
#[must_use]
pub(crate) fn program(plan: &Plan) -> String {
    match &plan.network.program {
        Program::Itself => format!("reference node {}", env!("CARGO_PKG_VERSION")),
        Program::Binary(path) => path
            .file_name()
            .unwrap_or(path.as_os_str())
            .to_string_lossy()
            .into_owned(),
        Program::Image(image) => image.clone(),
    }
}

/// The command that repeats a run.
#[must_use]
pub(crate) fn reproduce(plan: &Plan) -> Vec<String> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let mut words: Vec<String> = match plan.name.strip_prefix("faults-") {
        // Made by `canarynet faults`, and no plan that could be named.
        Some(disk) if plan.origins.get("sweep").is_some_and(|by| by == FAULTS) => {
            let kinds: Vec<&str> = plan
                .schedule
                .iter()
                .map(|fault| fault.kind.as_str())
                .collect();
            let helper = if plan.allow_helper {
                "--allow-helper"
            } else {
                ""
            };
            let kinds = kinds.join(",");
            words(&[
                "canarynet",
                "faults",
                "--disk",
                disk,
                "--kind",
                &kinds,
                "--seed",
                &plan.seed,
                helper,
            ])
        }
        _ => words(&["canarynet", "soak", &plan.name, "--seed", &plan.seed]),
    };
    words.retain(|word| !word.is_empty());
    match &plan.network.program {
        Program::Itself => {}
        Program::Binary(path) => words.extend(["--binary".to_owned(), path.display().to_string()]),
        Program::Image(image) => words.extend(["--image".to_owned(), image.clone()]),
    }
    words
}
