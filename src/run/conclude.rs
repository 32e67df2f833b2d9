//! The end of a run: verdict, findings and JUnit are on disk first, then everything is removed.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{
    conductor::{Conductor, chain},
    directory::RunState,
    error::RunError,
};
use crate::{
    engine,
    exit::Exit,
    journal::{
        Event,
        event::{FinishReason, Stage},
        text::clean,
    },
    plan::Keep,
    report::{self, ReportInput},
    time::RunClock,
    verdict::{self, Outcome, Verdict},
};

/// Longest wait for what is still on its way when a run ends in order.
const DRAIN: Duration = Duration::from_millis(1_500);

/// ... and when a signal ended it: verdict and reports are to be on disk within three seconds of the signal.
const DRAIN_INTERRUPTED: Duration = Duration::from_millis(300);

/// What a run came to.
#[derive(Debug)]
pub struct Conclusion {
    /// The exit code.
    pub exit: Exit,
    /// The last lines for the terminal.
    pub summary: String,
    /// For `--json`.
    pub verdict: Verdict,
}

impl Conductor {
    /// Drains, judges, writes, tears down.
    ///
    /// # Errors
    /// When the reports cannot be written; the teardown was tried all the same.
    pub(super) async fn conclude(mut self, reason: FinishReason) -> Result<Conclusion, RunError> {
        let interrupted = self.signals.first();
        self.abort_launch().await;
        let journal_broken = self.collect(reason, interrupted.is_some()).await.err();
        if let Some(error) = journal_broken {
            // Judge what was written: a finding in it still counts.
            self.screen.line(&format!("the journal ended early: {}", clean(&chain(&error), 400)));
        }
        let judgement = self.judge.finish();
        let verdict = verdict::decide(&self.plan, &judgement);
        let input = ReportInput {
            plan: self.plan.clone(),
            judgement,
            verdict: verdict.clone(),
            run: self.record.run.clone(),
            name: self.record.name.clone(),
            directory: self.directory.path().to_owned(),
            facts: self.facts(),
        };
        let written = self.write_reports(&input);
        let keep = match self.plan.keep {
            Keep::Always => true,
            Keep::OnFail => verdict.outcome != Outcome::Pass && interrupted.is_none(),
            Keep::Never => false,
        };
        let left = if keep { Vec::new() } else { self.tear_down().await };
        let exit = match (interrupted, left.is_empty()) {
            (Some(interrupt), _) => interrupt.exit(),
            // A run that leaves something behind is no pass, whatever it found.
            (None, false) if verdict.exit() == Exit::Pass => Exit::Infra,
            _ => verdict.exit(),
        };
        self.record.state = RunState::Finished;
        self.record.exit = Some(exit as u8);
        self.record.verdict = Some(format!("{:?}", verdict.outcome).to_lowercase());
        self.record.kept = keep;
        self.directory.write_record(&self.record)?;
        written?;
        self.screen.finish();
        let mut summary = report::terminal(&input);
        for problem in &left {
            summary.push_str(&format!("left behind: {}\n", clean(problem, 400)));
        }
        if keep {
            summary.push_str(&format!("kept       the network still runs; `canarynet down {}` removes it\n", self.record.name));
        }
        Ok(Conclusion { exit, summary, verdict })
    }

    /// A launch that was under way is given up; what it made is found by its labels.
    async fn abort_launch(&mut self) {
        if let Some(handle) = self.launching.take() {
            handle.abort();
            let _ = handle.await;
        }
    }

    async fn collect(&mut self, reason: FinishReason, hurry: bool) -> Result<(), RunError> {
        self.enter(Stage::Collect)?;
        self.observers.stop();
        let deadline = Instant::now() + if hurry { DRAIN_INTERRUPTED } else { DRAIN };
        // All senders are gone when the last observer has ended: then the queue says so.
        while let Ok(Some(observed)) = timeout_at(deadline, self.observations.recv()).await {
            self.record(observed.event)?;
        }
        self.record(Event::RunFinished { reason, wall: RunClock::wall() })?;
        self.journal.finish()?;
        Ok(())
    }

    fn write_reports(&mut self, input: &ReportInput) -> Result<(), RunError> {
        for (name, bytes) in report::files(input) {
            self.directory.write(name, &bytes)?;
        }
        self.record.state = RunState::TearingDown;
        self.directory.write_record(&self.record)?;
        Ok(())
    }

    /// Removes all that the run made; says what could not be removed.
    async fn tear_down(&mut self) -> Vec<String> {
        self.screen.stage(Stage::TearDown);
        match engine::teardown(&self.docker, &self.record.run).await {
            Ok(done) => done.left,
            Err(error) => vec![chain(&error)],
        }
    }

    fn facts(&self) -> Vec<(String, String)> {
        let info = self.docker.info();
        let mut facts = vec![
            ("canarynet".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("engine".to_owned(), format!("{} (API {})", info.version, info.api)),
            ("machine".to_owned(), format!("{} {}, {} processors, {} MiB", info.os, info.arch, info.cpus, info.memory >> 20)),
        ];
        if let Some(launched) = &self.launched {
            let disk = launched.nodes.values().next().map(|node| &node.disk);
            if let Some(disk) = disk {
                facts.push(("disk".to_owned(), format!("{:?}, {} usable bytes", disk.kind, disk.usable_bytes).to_lowercase()));
            }
            facts.push(("image".to_owned(), launched.image.clone()));
        }
        facts
    }
}
