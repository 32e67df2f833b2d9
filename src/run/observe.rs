//! All probes of a run: started, paused, stopped.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinSet};

use crate::{
    engine::{Docker, Launched, room},
    ids::RunId,
    journal::event::Event,
    plan::Plan,
    probe::{
        Context,
        cost::CostBook,
        events::{self, Requested},
        signals::Signals,
        sink::Sink,
    },
};

use super::cost::free_bytes;

/// How often the room on the engine's and the run directory's file systems is looked at. A disk that fills at
/// 100 MiB/s loses 3 GiB meanwhile; the preflight keeps more than half a GiB free.
const ROOM_EVERY: Duration = Duration::from_secs(30);

/// The probes of a run.
#[derive(Debug)]
pub(super) struct Observers {
    context: Context<Docker>,
    pause: watch::Sender<bool>,
    requested: Requested,
    run: RunId,
    directory: Arc<Path>,
    tasks: JoinSet<()>,
}

impl Observers {
    pub(super) fn new(docker: Docker, run: &RunId, plan: &Plan, directory: &Path, sink: Sink) -> Self {
        let (pause, paused) = watch::channel(false);
        let context = Context {
            access: docker,
            sink,
            signals: Signals::new(plan.network.nodes.iter().map(|node| node.name.clone())),
            costs: CostBook::default(),
            paused,
        };
        Self {
            context,
            pause,
            requested: Requested::default(),
            run: run.clone(),
            directory: directory.into(),
            tasks: JoinSet::new(),
        }
    }

    pub(super) fn costs(&self) -> CostBook {
        self.context.costs.clone()
    }

    /// The register of what the canary does itself.
    pub(super) fn requested(&self) -> &Requested {
        &self.requested
    }

    /// The engine's events, from before the first container.
    pub(super) fn watch_engine(&mut self) {
        let (context, requested, run) = (self.context.clone(), self.requested.clone(), self.run.clone());
        self.tasks.spawn(async move { events::run_events(context, run, requested).await });
    }

    /// Everything else, when all containers run.
    pub(super) fn network_runs(&mut self, launched: &Launched, plan: &Plan) {
        let _ = (launched, plan);
        self.tasks.spawn(watch_room(self.context.clone(), launched.watcher.clone(), launched.toolbox.clone(), Arc::clone(&self.directory)));
    }

    /// Switches watching off, to measure what it costs.
    pub(super) fn pause(&self) {
        self.pause.send_replace(true);
    }

    /// Ends all probes; what they had read is in the queue afterwards.
    pub(super) async fn stop(&mut self, deadline: Instant) {
        let _ = deadline;
        self.tasks.shutdown().await;
    }
}

/// Room where the engine keeps its data and where the run directory is.
async fn watch_room(context: Context<Docker>, watcher: String, toolbox: Vec<String>, directory: Arc<Path>) {
    let mut every = tokio::time::interval(ROOM_EVERY);
    loop {
        every.tick().await;
        match room::engine_room(&context.access, &watcher, &toolbox).await {
            Ok(room) => {
                let run_free = free_bytes(&directory).unwrap_or(u64::MAX);
                context.sink.offer(Event::HostDisk { engine_free: room.free, run_free });
            }
            Err(error) => {
                let detail = crate::journal::text::clean(&super::conductor::chain(&error), 300);
                context.sink.offer(Event::Infra { what: "watcher".to_owned(), detail, fatal: false });
            }
        }
    }
}
