//! What the canary and its engine tell of themselves: stages, wall time, gaps, an engine that went away.

use std::time::Duration;

use super::{Best, Hand, Node, World};
use crate::{
    ids::NodeName,
    journal::{
        Thinness,
        effect::Effect,
        event::{ContainerChange, Event, FaultStep, Stage},
        unattended::Unattended,
    },
    time::{Elapsed, WallTime},
};

/// An engine that goes away may tell of the ends of its containers before it is noticed that it goes.
const ENGINE_REACH: Duration = Duration::from_secs(10);
/// How findings name what excuses them when the engine took the nodes along.
const ENGINE: &str = "engine-restart";

impl World {
    /// Wall time at a moment not before the last that is known: standstills of the run's clock are in it.
    #[must_use]
    pub fn wall(&self, at: Elapsed) -> WallTime {
        let (wall, since) = self.last_wall.unwrap_or((self.started, Elapsed::default()));
        wall.plus(at.since(since))
    }

    /// Another owner. Half a network is not continued: it is launched again, and nothing that was started counts.
    pub(super) fn fold_attached(&mut self) {
        self.restart_windows();
        // What the owner before kept out of the journal, and a log that it could not follow, went with it: this one's
        // followers tell when they fail and nothing when they do not, unlike its watcher and its samplers.
        self.thinned = Thinness::NONE;
        for node in &mut self.nodes {
            node.log.failing_since = None;
        }
        if !matches!(self.stage, Some(Stage::Prepare | Stage::Start)) {
            return;
        }
        for node in &mut self.nodes {
            *node = Node::new(node.name.clone(), node.shard, node.role, node.power);
        }
        for shard in 0..self.shards.len() {
            self.count_power(shard);
        }
    }

    /// What was seen of a shard while nobody was attached. Heights go on, and so does the wait for the next block: the
    /// watcher has seen how long it lasts already. Rates and all that rests on single blocks began anew.
    pub(super) fn fold_unattended(&mut self, told: &Unattended) {
        let Some(&place) = self.by_shard.get(&told.shard) else {
            return;
        };
        self.touched_shard = Some(place);
        let (now, seq) = (self.now, self.seq);
        let shard = &mut self.shards[place];
        self.unattended.clone_from(&shard.best);
        self.unattended_wait = told.longest.map(|wait| wait.lasted);
        let newest = told.newest.as_ref().filter(|newest| {
            let best = shard.best.as_ref();
            best.is_none_or(|best| newest.height > best.height)
        });
        let at = now - told.waiting;
        if let Some(newest) = newest {
            shard.remember_hash(newest.height, &newest.hash);
            shard.was_at(Best {
                height: newest.height,
                at,
                seq,
                time: newest.time,
                view: newest.view,
                epoch: newest.epoch,
                leader: newest.leader.clone(),
            });
        } else if let (Some(best), false) = (&mut shard.best, told.waiting.is_zero()) {
            best.at = at;
        }
        if !told.waiting.is_zero() {
            shard.waits_since(at);
        }
        // The wait may have passed one of its windows already.
        self.next_window = now;
    }

    /// The engine is no node's doing: what ended with it is excused until the recovery budget after its return is over,
    /// as if a fault had taken it. What was watched goes on as after any gap.
    pub(super) fn fold_engine(&mut self, event: &Event) {
        self.engine_trouble = Some(self.now);
        match event {
            Event::EngineAway { wall } => {
                self.last_wall = Some((*wall, self.now));
                self.engine_away.get_or_insert(self.watch_paused);
                self.watch_paused = true;
            }
            Event::EngineReturned { wall, ended, .. } => {
                self.last_wall = Some((*wall, self.now));
                // Without a loss there is none to come back from: a journal that was tampered with.
                let Some(paused) = self.engine_away.take() else {
                    return;
                };
                self.watch_paused = paused;
                self.ended_with_engine(ended);
                self.restart_windows();
            }
            _ => {}
        }
    }

    fn ended_with_engine(&mut self, ended: &[NodeName]) {
        let mut since = self.now;
        let (now, seq, trouble) = (self.now, self.seq, self.engine_trouble);
        let mut gone = Vec::new();
        for name in ended {
            let Some(place) = self.node(name) else {
                continue;
            };
            let node = &mut self.nodes[place];
            match &mut node.down {
                Some(down)
                    if matches!(down.hand, Hand::Outside | Hand::Undecided)
                        && now.since(down.since) <= ENGINE_REACH =>
                {
                    down.hand = Hand::Engine;
                    since = since.min(down.since);
                }
                Some(_) => {}
                None => {
                    // How it ended nobody has told.
                    let change = ContainerChange::Died { exit_code: 137 };
                    node.fold_container(change, false, now, seq, trouble);
                }
            }
            gone.push(name.clone());
            self.count_power(self.nodes[place].shard);
        }
        if gone.is_empty() {
            return;
        }
        let requested = FaultStep::Requested {
            targets: Vec::new(),
            takes: gone,
            effects: vec![Effect::Down],
            lasts: Duration::ZERO,
        };
        let (id, kind) = (ENGINE.into(), ENGINE.into());
        self.expectation.fold(&id, &kind, &requested, since);
        for step in [FaultStep::Acknowledged, FaultStep::Healed] {
            self.expectation.fold(&id, &kind, &step, now);
        }
    }

    pub(super) fn restart_windows(&mut self) {
        self.gaps += 1;
        self.sight_back = self.now;
        for shard in &mut self.shards {
            shard.restart_windows(self.now);
        }
        for node in &mut self.nodes {
            // Silence during a gap was ours.
            if node.rpc.failing_since.is_some() {
                node.rpc.failing_since = Some(self.now);
            }
            if let Some(at) = &mut node.rpc.answered_at {
                *at = self.now;
            }
            if let Some((_, since)) = &mut node.mode {
                *since = self.now;
            }
        }
    }
}
