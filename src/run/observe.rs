//! All probes of a run: started, paused, stopped.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet};

use super::load::{LoadSource, run_load};
use crate::{
    engine::{Docker, Launched, labels, launch::SPOOL, room},
    ids::{NodeName, RunId},
    journal::{
        event::{Event, LogClass},
        mask::Masks,
    },
    plan::{DiskKind, LogRule, Plan, Texts, faults::Trigger},
    probe::{
        Context,
        cost::CostBook,
        events::{self, Journalled, Requested},
        logs::{
            LogSource,
            forms::{Forms, SharedMiner},
            node_log::NodeLog,
            raw::RawLogs,
            run_logs,
        },
        sampling::{SamplerLaunch, run_sampler},
        signals::Signals,
        sink::Sink,
        unsynced::run_unsynced,
        watcher::protocol::{KnownBlock, WatcherConfig},
        watching::{WatcherLaunch, run_watcher},
    },
    profile::{
        log_position::PositionReader,
        log_rules::{RuleError, RuleSet},
    },
};

use super::cost::free_bytes;

/// How often the room on the engine's and the run directory's file systems is looked at. A disk that fills at
/// 100 MiB/s loses 3 GiB meanwhile; the preflight keeps more than half a GiB free.
const ROOM_EVERY: Duration = Duration::from_secs(30);

/// How often a node's resources are looked at.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// The probes of a run.
#[derive(Debug)]
pub(super) struct Observers {
    context: Context<Docker>,
    pause: watch::Sender<bool>,
    requested: Requested,
    run: RunId,
    directory: Arc<Path>,
    rules: Arc<RuleSet>,
    masks: Arc<Masks>,
    logs: Vec<NodeLog>,
    raw: Option<RawLogs>,
    logs_since: i64,
    /// Where the journal of a run ended that was taken over.
    taken_over: Option<Journalled>,
    tasks: JoinSet<()>,
}

impl Observers {
    /// # Errors
    /// When a log rule of the plan cannot be used.
    pub(super) fn new(
        docker: Docker,
        run: &RunId,
        plan: &Plan,
        directory: &Path,
        sink: Sink,
        masks: Arc<Masks>,
    ) -> Result<Self, RuleError> {
        let (pause, paused) = watch::channel(false);
        let context = Context {
            access: docker,
            sink,
            signals: Signals::new(plan.network.nodes.iter().map(|node| node.name.clone())),
            costs: CostBook::default(),
            paused,
        };
        Ok(Self {
            rules: Arc::new(RuleSet::new(&rules(plan))?),
            context,
            pause,
            requested: Requested::default(),
            run: run.clone(),
            directory: directory.into(),
            masks,
            logs: Vec::new(),
            raw: None,
            logs_since: 0,
            taken_over: None,
            tasks: JoinSet::new(),
        })
    }

    pub(super) fn costs(&self) -> CostBook {
        self.context.costs.clone()
    }

    /// The register of what the canary does itself.
    pub(super) fn requested(&self) -> &Requested {
        &self.requested
    }

    /// The engine is away, and may take these nodes along: nothing is asked of them until they are started.
    pub(super) fn all_ended<'a>(&self, nodes: impl Iterator<Item = &'a NodeName>) {
        for signals in nodes.filter_map(|node| self.context.signals.node(node)) {
            signals.set_running(false);
        }
    }

    /// It is back, and all that ran before was started: who waits for a start looks at once.
    pub(super) fn all_started(&self) {
        self.context.signals.start_all();
    }

    /// The engine's events, from before the first container; of a run that is taken over, from where its journal ended.
    pub(super) fn watch_engine(&mut self) {
        let (context, requested, run) = (
            self.context.clone(),
            self.requested.clone(),
            self.run.clone(),
        );
        let before = self.taken_over.clone();
        self.tasks
            .spawn(async move { events::run_events(context, run, requested, before).await });
    }

    /// Everything else, when all containers run.
    pub(super) fn network_runs(
        &mut self,
        launched: &Launched,
        plan: &Plan,
        known: Vec<KnownBlock>,
    ) {
        self.tasks.spawn(watch_room(
            self.context.clone(),
            launched.watcher.clone(),
            launched.toolbox.clone(),
            Arc::clone(&self.directory),
        ));
        let addresses = launched
            .nodes
            .iter()
            .map(|(name, node)| (name.clone(), node.addresses))
            .collect();
        let watcher = WatcherLaunch {
            container: launched.watcher.clone(),
            command: verb(&launched.toolbox, "watcher"),
            user: None,
            config: WatcherConfig {
                known,
                spool: Some(SPOOL.into()),
                ..WatcherConfig::new(plan, &addresses)
            },
            unattended_since: self.taken_over.as_ref().map(|before| before.until),
        };
        self.tasks.spawn(run_watcher(self.context.clone(), watcher));
        let budget = plan.budget.logs / launched.nodes.len().max(1) as u64;
        let miner = SharedMiner::default();
        let position = plan.network.probe.log.as_ref();
        let position = position.and_then(PositionReader::new).map(Arc::new);
        self.raw = RawLogs::start(&self.directory.join("logs"), budget).ok();
        for load in self.loads(plan) {
            self.tasks.spawn(run_load(self.context.clone(), load));
        }
        for (name, node) in &launched.nodes {
            let raw = self.raw.as_ref().and_then(|raw| raw.node(name));
            let log = NodeLog::new(
                name.clone(),
                Arc::clone(&self.rules),
                raw,
                self.context.sink.clone(),
            )
            .with_more(Forms::new(Arc::clone(&miner)), position.clone())
            .without(Arc::clone(&self.masks));
            let deadline = plan.network.probe.log.as_ref();
            let deadline = deadline.and_then(|log| log.deadline);
            let log = match (deadline, self.context.signals.node(name)) {
                (Some(deadline), Some(signals)) => {
                    log.with_deadline(deadline.0, Arc::clone(signals))
                }
                _ => log,
            };
            self.logs.push(log.clone());
            let source = LogSource {
                node: name.clone(),
                container: node.container.clone(),
                since_unix_seconds: self.logs_since,
            };
            self.tasks
                .spawn(run_logs(self.context.clone(), source, log.clone()));
            let sampler = SamplerLaunch {
                node: name.clone(),
                container: node.container.clone(),
                command: verb(&launched.toolbox, "sampler"),
                user: Some(plan.network.user.clone()),
                path: plan.network.disk.path.clone(),
                interval: SAMPLE_EVERY,
                follow: plan.network.log_files.clone(),
            };
            self.tasks
                .spawn(run_sampler(self.context.clone(), sampler, log));
            if node.disk.kind == DiskKind::Faulty {
                let disk = labels::faulty_name(&self.run, name);
                self.tasks
                    .spawn(run_unsynced(self.context.clone(), name.clone(), disk));
            }
        }
    }

    /// What makes load, one on each shard.
    fn loads(&self, plan: &Plan) -> Vec<LoadSource> {
        let foreign = &plan.network.foreign;
        if foreign.load.is_none() || plan.load.rate <= 0.0 {
            return Vec::new();
        }
        let mut loads: Vec<LoadSource> = Vec::new();
        for node in &plan.network.nodes {
            let container = labels::load_name(&self.run, node.shard.0);
            if loads.iter().all(|load| load.container != container) {
                let node = node.name.clone();
                loads.push(LoadSource { node, container });
            }
        }
        loads
    }

    /// A run that is taken over: logs and the engine's events go on where its journal ended.
    pub(super) fn goes_on_from(&mut self, before: Journalled) {
        self.logs_since = i64::try_from(before.until.0 / 1_000).unwrap_or(0);
        self.taken_over = Some(before);
    }

    /// Switches watching off, to measure what it costs.
    pub(super) fn pause(&self) {
        self.pause.send_replace(true);
    }

    /// ... and on again: logs go on where they were left.
    pub(super) fn resume(&self) {
        self.pause.send_replace(false);
    }

    /// Ends all probes; what they had read is in the queue afterwards.
    pub(super) async fn stop(&mut self) {
        self.tasks.shutdown().await;
        for log in &self.logs {
            log.finish();
        }
        self.logs.clear();
        if let Some(raw) = self.raw.take() {
            raw.finish();
        }
    }
}

fn verb(toolbox: &[String], verb: &str) -> Vec<String> {
    toolbox.iter().cloned().chain([verb.to_owned()]).collect()
}

/// Room where the engine keeps its data and where the run directory is.
async fn watch_room(
    context: Context<Docker>,
    watcher: String,
    toolbox: Vec<String>,
    directory: Arc<Path>,
) {
    let mut every = tokio::time::interval(ROOM_EVERY);
    loop {
        every.tick().await;
        match room::engine_room(&context.access, &watcher, &toolbox).await {
            Ok(room) => {
                let run_free = free_bytes(&directory).unwrap_or(u64::MAX);
                context.sink.offer(Event::HostDisk {
                    engine_free: room.free,
                    run_free,
                });
            }
            Err(error) => {
                let detail = crate::journal::text::clean(&super::conductor::chain(&error), 300);
                context.sink.offer(Event::Infra {
                    what: "watcher".to_owned(),
                    detail,
                    fatal: false,
                });
            }
        }
    }
}

/// The profile's rules, and one for each text that a fault waits for: lines that no rule classifies are not told.
fn rules(plan: &Plan) -> Vec<LogRule> {
    let mut rules = plan.network.log_rules.clone();
    let mut texts: Vec<&str> = plan
        .schedule
        .iter()
        .filter_map(|fault| match &fault.trigger {
            Trigger::Log(text) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    texts.sort_unstable();
    texts.dedup();
    rules.extend(texts.into_iter().map(|text| LogRule {
        name: "fault-trigger".to_owned(),
        message: Some(Texts::one(text)),
        error: None,
        fields: Default::default(),
        pattern: None,
        level: None,
        class: LogClass::Note,
    }));
    rules
}
