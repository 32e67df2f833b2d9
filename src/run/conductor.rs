//! The only loop of a run: every input there can be, in one closed enum, in one order, into one journal.
//!
//! ```text
//!  prepare -> start -> warm up -> soak -> settle -> (collect, tear down: conclude.rs)
//!                 \________\_______\________\--- signal, stop request, deadline, engine gone ---> end
//! ```
//! Invariant: whatever happens is journalled first and judged by the entry that was written, never by the input.

use std::{sync::Arc, time::Duration};

use futures_util::future::LocalBoxFuture;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

pub(super) use super::error::chain;
use super::{
    cost::CostMeter,
    directory::{RunDirectory, RunLock, RunRecord, RunState},
    error::RunError,
    evidence::Evidence,
    faults::{Done, Faults},
    live::{LiveStatus, STOP_REQUEST},
    live_page::Follower,
    observe::Observers,
    pause::PauseAt,
    restart::{Decision, Restarts},
    signal::{Interrupt, Signals},
    snapshots::{Came, Snapshots},
};
use crate::{
    alert::Desk,
    detect::{ChangeKind, FindingChange, Judge, judgement::StageStart},
    engine::{Docker, EngineError, Launched, launch::Images},
    ids::NodeName,
    journal::{
        self, Entry, Event, Writer,
        event::{ContainerChange, FinishReason, Stage},
        mask::Masks,
    },
    plan::Plan,
    probe::{events::Operation, sink::ProbeEvent},
    report::{
        Curves, openmetrics,
        progress::{self, Progress},
        status::Live,
    },
    repro::Sought,
    serve::Metrics,
    time::{Elapsed, RunClock},
};

/// How often the slow things are done: live view, cost, stop requests.
const HOUSEKEEPING: Duration = Duration::from_millis(250);

/// How often the live view is written for `status`.
const LIVE_EVERY: Duration = Duration::from_millis(500);

/// How often the metrics page is rendered: Prometheus asks every few seconds at most.
const METRICS_EVERY: Duration = Duration::from_secs(2);

/// A tick carries wall time; one comes at least this often, so that a suspended machine is seen.
const WALL_EVERY: Duration = Duration::from_secs(10);

/// How often costs are journalled.
const COST_EVERY: Duration = Duration::from_secs(10);

/// The same while watching is off: that stretch lasts seconds, and the engine's rise by watching rests on it.
const COST_EVERY_UNWATCHED: Duration = Duration::from_millis(500);

/// Every input of the loop.
enum Input {
    /// A probe saw something.
    Observed(Event),
    /// All containers run, or could not be started.
    Launched(Result<Launched, EngineError>),
    /// Operations of a fault were done.
    Fault(Done),
    /// A node's wait before its restart is over.
    RestartDue(NodeName),
    /// Work for a snapshot was done.
    Snapshot(Came),
    /// A signal came.
    Signal(Interrupt),
    /// Time passed.
    Tick,
    /// A little more time passed.
    Housekeeping,
}

/// All that the loop holds.
pub(super) struct Conductor {
    pub(super) plan: Plan,
    pub(super) clock: RunClock,
    /// `None` after the end: then there are no more facts.
    pub(super) journal: Option<Writer>,
    /// When the last fact was appended.
    pub(super) appended: Elapsed,
    pub(super) judge: Judge,
    /// What the report draws.
    pub(super) curves: Curves,
    /// Who is told of findings.
    pub(super) desk: Desk,
    pub(super) screen: Progress,
    /// Secrets, to be taken out of all that is kept.
    pub(super) masks: Arc<Masks>,
    pub(super) directory: RunDirectory,
    pub(super) record: RunRecord,
    /// Held as long as the run is owned.
    #[expect(dead_code, reason = "it is its being held that counts")]
    pub(super) lock: RunLock,
    pub(super) docker: Docker,
    pub(super) images: Option<Images>,
    /// Of a run that was taken over: the image in which its helpers work.
    pub(super) helper: Option<String>,
    pub(super) observers: Observers,
    pub(super) observations: mpsc::Receiver<ProbeEvent>,
    pub(super) signals: Signals,
    pub(super) restarts: Restarts,
    pub(super) cost: CostMeter,
    pub(super) evidence: Evidence,
    pub(super) stage: Stage,
    pub(super) stage_at: Elapsed,
    pub(super) launched: Option<Launched>,
    /// Polled by the loop itself; dropping it gives the launch up.
    pub(super) launching: Option<LocalBoxFuture<'static, Result<Launched, EngineError>>>,
    pub(super) endless: bool,
    /// Where metrics are served, and when they were last rendered.
    pub(super) metrics: Option<Metrics>,
    pub(super) metrics_at: Elapsed,
    /// Where the run can be followed in a browser.
    pub(super) page: Option<Follower>,
    /// The run is over when this is found: nothing more is wanted of it.
    pub(super) sought: Option<Sought>,
    /// The run stands still as soon as it is there.
    pub(super) pause_at: Option<PauseAt>,
    /// When all containers ran.
    pub(super) started_at: Elapsed,
    pub(super) soak_started: Option<Elapsed>,
    pub(super) settle_started: Option<Elapsed>,
    /// Watching is switched off and on in turns.
    pub(super) turns: Option<super::observer_ab::ObserverAb>,
    /// When costs were last journalled, and the live view last written.
    pub(super) cost_at: Elapsed,
    pub(super) live_at: Elapsed,
    /// When wall time was last journalled.
    pub(super) ticked_at: Elapsed,
    /// The full disk of the journal was told.
    pub(super) starved_told: bool,
    pub(super) restarts_due: (mpsc::Sender<NodeName>, mpsc::Receiver<NodeName>),
    pub(super) faults: Faults,
    pub(super) snapshots: Snapshots,
    /// A fault waits for a log line.
    pub(super) faults_wait_for_lines: bool,
    /// When the last fault was healed.
    pub(super) healed_at: Option<Elapsed>,
}

impl Conductor {
    /// Runs until the network is to be ended, whatever the reason.
    ///
    /// # Errors
    /// Only when the journal cannot be written: without evidence nothing can be judged.
    pub(super) async fn conduct(&mut self) -> Result<FinishReason, RunError> {
        let mut tick = interval(tick_interval(self.plan.clocks.block_interval));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut housekeeping = interval(HOUSEKEEPING);
        housekeeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let input = tokio::select! {
                biased;
                signal = self.signals.next() => Input::Signal(signal),
                launched = join(&mut self.launching) => Input::Launched(launched),
                Some(node) = self.restarts_due.1.recv() => Input::RestartDue(node),
                done = self.faults.next() => Input::Fault(done),
                came = self.snapshots.next() => Input::Snapshot(came),
                _ = housekeeping.tick() => Input::Housekeeping,
                Some(observed) = self.observations.recv() => {
                    self.cost.waited(observed.at);
                    Input::Observed(observed.event)
                }
                _ = tick.tick() => Input::Tick,
            };
            if let Some(reason) = self.handle(input).await? {
                return Ok(reason);
            }
        }
    }

    async fn handle(&mut self, input: Input) -> Result<Option<FinishReason>, RunError> {
        match input {
            Input::Observed(event) => {
                let disk_lost = matches!(event, Event::DiskServerEnded { .. });
                if let Some(reason) = self.with_engine(event).await? {
                    return Ok(Some(reason));
                }
                if disk_lost {
                    return Ok(Some(FinishReason::Infra));
                }
            }
            Input::Launched(Ok(launched)) => self.network_runs(launched)?,
            Input::Launched(Err(error)) => {
                let faults = super::capability::disk_faults(&self.plan);
                let detail = journal::text::clean(&(chain(&error) + &faults), 2_000);
                self.record(Event::Infra {
                    what: "engine".to_owned(),
                    detail,
                    fatal: true,
                })?;
                return Ok(Some(FinishReason::Infra));
            }
            Input::Fault(done) => self.fault_came(done)?,
            Input::Snapshot(came) => self.snapshot_came(came)?,
            Input::RestartDue(node) => self.restart(&node).await?,
            Input::Signal(interrupt) => {
                self.record(Event::Signal {
                    name: interrupt.name().to_owned(),
                })?;
                return Ok(Some(FinishReason::Interrupted));
            }
            Input::Tick => self.tick()?,
            Input::Housekeeping => {
                if self.housekeeping()? {
                    return Ok(Some(FinishReason::Interrupted));
                }
            }
        }
        if let Some(here) = self.pause_due()
            && let Some(reason) = self.stand_still(here).await?
        {
            return Ok(Some(reason));
        }
        self.advance().await
    }

    /// Journals a fact and judges the entries that were written.
    pub(super) fn record(&mut self, event: Event) -> Result<(), RunError> {
        let Some(journal) = &mut self.journal else {
            return Ok(());
        };
        let now = self.clock.elapsed();
        self.appended = now;
        for entry in journal.append(now, self.masks.event(event))? {
            let changes = self.judge.step(&entry);
            self.curves.step(&entry, self.judge.world(), &changes);
            for change in changes {
                self.tell(&entry, &change);
                self.alert(&change);
            }
        }
        Ok(())
    }

    fn tell(&mut self, entry: &Entry, change: &FindingChange) {
        // Copied again when it ends: what it cites has grown since.
        if matches!(change.kind, ChangeKind::Opened | ChangeKind::Closed) {
            if let Some(journal) = &mut self.journal {
                // What is cited may still be in the buffer; if it cannot be written, the next append says so.
                let _ = journal.flush();
            }
            self.evidence.keep(&self.directory, &change.finding);
        }
        self.screen.finding(entry.elapsed, change);
    }

    fn tick(&mut self) -> Result<(), RunError> {
        self.faults_due()?;
        let now = self.clock.elapsed();
        let quiet = now.since(self.appended) >= tick_interval(self.plan.clocks.block_interval);
        if quiet || now.since(self.ticked_at) >= WALL_EVERY {
            self.ticked_at = now;
            self.record(Event::Tick {
                wall: RunClock::wall(),
            })?;
        }
        Ok(())
    }

    pub(super) fn observed(&mut self, event: Event) -> Result<(), RunError> {
        let container = match &event {
            Event::Container {
                node,
                change,
                requested,
            } => Some((node.clone(), *change, *requested)),
            Event::Log { node, message, .. } if self.faults_wait_for_lines => {
                let (node, message) = (node.clone(), message.clone());
                self.record(event)?;
                return self.line_said(&node, &message);
            }
            _ => None,
        };
        self.record(event)?;
        match container {
            Some((node, change, requested)) => self.container_changed(&node, change, requested),
            None => Ok(()),
        }
    }

    fn container_changed(
        &mut self,
        node: &NodeName,
        change: ContainerChange,
        requested: bool,
    ) -> Result<(), RunError> {
        match change {
            ContainerChange::Started => {
                self.restarts.started(node);
                self.faults.started(node);
            }
            ContainerChange::Killed { .. } if !requested => {
                self.restarts.killed_by_outside_hand(node)
            }
            // What a fault in force holds is the schedule's: it starts the node again, or heals it.
            ContainerChange::Died { .. } if !requested && !self.faults.holds_down(node) => {
                let now = self.clock.elapsed();
                if let Decision::After { attempt, delay } = self.restarts.died(node, now) {
                    self.record(Event::Restart {
                        node: node.clone(),
                        attempt,
                        delay,
                    })?;
                    self.restart_later(node.clone(), delay);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn restart_later(&self, node: NodeName, delay: Duration) {
        let due = self.restarts_due.0.clone();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            // The receiver is gone when the run has ended, and then nothing is to be restarted.
            let _ = due.send(node).await;
        });
    }

    async fn restart(&mut self, node: &NodeName) -> Result<(), RunError> {
        let Some(handle) = self
            .launched
            .as_ref()
            .and_then(|launched| launched.nodes.get(node))
        else {
            return Ok(());
        };
        let container = handle.container.clone();
        if self.faults.holding() {
            // A node that ran beside others that stand still would not be copied at one moment with them.
            self.restart_later(node.clone(), HOUSEKEEPING);
            return Ok(());
        }
        self.observers.requested().mark(node, Operation::Start);
        if let Err(error) = self.docker.start(&container).await {
            let detail =
                journal::text::clean(&format!("restart of {node}: {}", chain(&error)), 400);
            self.record(Event::Infra {
                what: "engine".to_owned(),
                detail,
                fatal: false,
            })?;
        }
        Ok(())
    }

    fn network_runs(&mut self, launched: Launched) -> Result<(), RunError> {
        self.observers
            .network_runs(&launched, &self.plan, Vec::new());
        let containers = launched
            .nodes
            .values()
            .map(|node| node.container_id.clone())
            .chain([launched.watcher.clone()]);
        self.cost.count_engine(containers.collect());
        let took = launched.timings.created_to_started;
        let line = format!(
            "{} nodes run after {:.1} s; disks: {}",
            launched.nodes.len(),
            took.as_secs_f64(),
            launched.disk_reason
        );
        self.note(&line);
        for note in launched.notes.clone() {
            self.note(&note);
        }
        self.launch_capabilities(&launched)?;
        self.set_scene(&launched);
        self.launched = Some(launched);
        self.started_at = self.clock.elapsed();
        self.record.state = RunState::Running;
        self.directory.write_record(&self.record)?;
        self.enter(Stage::WarmUp)
    }

    pub(super) fn note(&mut self, line: &str) {
        self.screen
            .note(self.clock.elapsed(), &self.masks.text(line));
    }

    pub(super) fn enter(&mut self, stage: Stage) -> Result<(), RunError> {
        self.stage = stage;
        self.stage_at = self.clock.elapsed();
        self.note(&progress::stage_note(stage));
        self.record(Event::Stage { stage })
    }

    /// `true` when somebody asked the run to end.
    fn housekeeping(&mut self) -> Result<bool, RunError> {
        let now = self.clock.elapsed();
        self.faults_asked()?;
        self.snapshots_due()?;
        let cost_every = match self.stage {
            Stage::Settle => COST_EVERY_UNWATCHED,
            _ => COST_EVERY,
        };
        if now.since(self.cost_at) >= cost_every {
            self.cost_entry()?;
        }
        if let Some(journal) = &mut self.journal {
            journal.flush()?;
            if journal.starved() && !self.starved_told {
                self.starved_told = true;
                let detail = "the file system of the run directory is full; the journal lives on its reserve".to_owned();
                self.record(Event::Infra {
                    what: "journal".to_owned(),
                    detail,
                    fatal: false,
                })?;
            }
        }
        if now.since(self.live_at) >= LIVE_EVERY {
            self.live_at = now;
            let live = self.live(now);
            self.screen.live(&live.live());
            live.write(&self.directory);
        }
        self.publish(now);
        self.follow(now);
        Ok(self.directory.path().join(STOP_REQUEST).is_file())
    }

    /// Renders the metrics page anew, where one is served.
    fn publish(&mut self, now: Elapsed) {
        let Some(metrics) = &self.metrics else { return };
        if now.since(self.metrics_at) >= METRICS_EVERY {
            self.metrics_at = now;
            let judgement = self.judge.judgement();
            metrics.set(openmetrics::render(
                &self.plan,
                &self.record.run,
                &judgement,
            ));
        }
    }

    pub(super) fn cost_entry(&mut self) -> Result<(), RunError> {
        self.cost_at = self.clock.elapsed();
        let cost = self.cost.read(self.directory.path());
        self.record(Event::Cost(cost))
    }

    fn live(&self, now: Elapsed) -> LiveStatus {
        let stage = StageStart {
            stage: self.stage,
            at: self.stage_at,
        };
        let mut live = LiveStatus::of(Live::from_judge(
            &self.plan,
            &self.record.run,
            &self.judge,
            now,
            Some(stage),
        ));
        if self.endless {
            live.soak = None;
        }
        live
    }
}

/// Half a block, but no oftener than every 50 ms and no slower than every 100 ms: a stall is noticed within one
/// interval after its window, and ticks stay a small part of the journal.
fn tick_interval(block_interval: Duration) -> Duration {
    (block_interval / 2).clamp(Duration::from_millis(50), Duration::from_millis(100))
}

/// Waits for the launch, for ever when there is none.
async fn join(
    launching: &mut Option<LocalBoxFuture<'static, Result<Launched, EngineError>>>,
) -> Result<Launched, EngineError> {
    let Some(future) = launching else {
        return std::future::pending().await;
    };
    let outcome = future.await;
    *launching = None;
    outcome
}
