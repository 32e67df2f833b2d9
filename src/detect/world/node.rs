//! What is known of one node.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::disk::Disk;
use crate::{
    ids::{Height, NodeName, Seq, ViewId},
    journal::event::{ContainerChange, LogClass, Mode, NodeHead, ProbeError, ProbeKind, Sample},
    plan::Role,
    time::Elapsed,
};

/// After a death that looks like a kill: the engine's word on who sent it, or on memory, may come this much later,
/// because the two travel by different threads of the engine.
pub(in crate::detect) const HAND_GRACE: Duration = Duration::from_millis(500);
/// Exit code after SIGKILL.
const KILLED: i64 = 137;
/// A signal that is not followed by the end for this long did not cause it. Longer than any stop timeout in use.
const KILL_REACH: Duration = Duration::from_secs(30);
/// An engine in trouble takes containers along within this time.
const ENGINE_REACH: Duration = Duration::from_secs(10);

/// Whether the container runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Container {
    /// Never started.
    #[default]
    Absent,
    /// Runs.
    Running,
    /// Frozen.
    Paused,
    /// Ended.
    Ended,
}

/// Whose doing an end was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hand {
    /// Not decided yet: the engine may still say.
    Undecided,
    /// The node itself.
    Itself,
    /// Somebody through the engine, not the canary.
    Outside,
    /// The canary, on purpose.
    Canary,
    /// The engine broke.
    Engine,
}

/// The end of a node's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Down {
    /// When.
    pub since: Elapsed,
    /// The entry that said so.
    pub seq: Seq,
    /// Its exit code.
    pub exit_code: i64,
    /// Whose doing.
    pub hand: Hand,
    /// The kernel ended it for memory.
    pub out_of_memory: bool,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Kill {
    at: Elapsed,
    seq: Seq,
    signal: u32,
    requested: bool,
}

/// One probe of a node.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Probe {
    /// Last moment it is known to have worked.
    pub answered_at: Option<Elapsed>,
    /// Since when it fails; `None` while it works or was never heard of.
    pub failing_since: Option<Elapsed>,
    /// The entry that told of the failure.
    pub seq: Option<Seq>,
    /// The other side refused: it is there and does not listen.
    pub refused: bool,
}

/// What is known of one node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// Place of its shard in the world.
    pub shard: usize,
    /// Its role.
    pub role: Role,
    /// Its voting power.
    pub power: u64,
    /// Whether it runs.
    pub container: Container,
    /// The entry that told of its container's last change.
    pub container_seq: Option<Seq>,
    /// When it was started first.
    pub first_start: Option<Elapsed>,
    /// When it was started last.
    pub started_at: Elapsed,
    /// Starts.
    pub starts: u64,
    /// Its last end; stands until it is started again.
    pub down: Option<Down>,
    /// The last moment at which it is known to have been down or frozen.
    pub last_down_at: Option<Elapsed>,
    /// Since when it is frozen, and whether the canary asked for it.
    pub paused: Option<(Elapsed, bool)>,
    /// Its head.
    pub height: Option<Height>,
    /// The height it agrees on and the view it wants there.
    pub wants: Option<(Height, ViewId)>,
    /// Its mode and since when.
    pub mode: Option<(Mode, Elapsed)>,
    /// Whether it takes itself for the leader.
    pub leads: Option<bool>,
    /// RPC probe.
    pub rpc: Probe,
    /// Log probe.
    pub log: Probe,
    /// Sampler.
    pub sampler: Probe,
    /// Its disk.
    pub disk: Disk,
    /// Its last severe log lines: class and entry, newest last.
    pub severe: Vec<(LogClass, Seq, Elapsed)>,
    kill: Option<Kill>,
    out_of_memory_at: Option<(Elapsed, Seq)>,
}

impl Node {
    pub(super) fn new(name: NodeName, shard: usize, role: Role, power: u64) -> Self {
        Self {
            name,
            shard,
            role,
            power,
            container: Container::Absent,
            container_seq: None,
            first_start: None,
            started_at: Elapsed::default(),
            starts: 0,
            down: None,
            last_down_at: None,
            paused: None,
            height: None,
            wants: None,
            mode: None,
            leads: None,
            rpc: Probe::default(),
            log: Probe::default(),
            sampler: Probe::default(),
            disk: Disk::default(),
            severe: Vec::new(),
            kill: None,
            out_of_memory_at: None,
        }
    }

    /// Whether its process is known to run and is not frozen.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.container == Container::Running
    }

    /// Whether it runs, and its last answer came at this moment or later.
    pub(super) fn answered_since(&self, moment: Elapsed) -> bool {
        self.runs()
            && self.rpc.failing_since.is_none()
            && self.rpc.answered_at.is_some_and(|at| at >= moment)
    }

    /// Whether it runs, its last answer came at this moment or later, and its log and its disk are seen.
    pub(super) fn is_well(&self, moment: Elapsed) -> bool {
        self.down.is_none()
            && self.log.failing_since.is_none()
            && self.sampler.failing_since.is_none()
            && self.answered_since(moment)
    }

    /// Whether it is known to be down or frozen now, or was until `before`.
    #[must_use]
    pub fn was_down_since(&self, before: Elapsed) -> bool {
        matches!(self.container, Container::Ended | Container::Paused)
            || self.last_down_at.is_some_and(|at| at >= before)
    }

    /// When the kernel last ended a process of it for memory.
    #[must_use]
    pub fn out_of_memory(&self) -> Option<(Elapsed, Seq)> {
        self.out_of_memory_at
    }

    /// Its state in a few words, for causes: `None` if nothing is wrong that the world knows of.
    #[must_use]
    pub fn trouble(&self, now: Elapsed, hung: Duration) -> Option<String> {
        let ago = |since: Elapsed| crate::time::human(now.since(since));
        if let Some(down) = self.down {
            let who = match down.hand {
                Hand::Outside => "was ended by an outside hand",
                Hand::Canary => "was ended by the canary",
                Hand::Engine => "ended with the engine",
                Hand::Itself if down.out_of_memory => "was ended by the kernel for memory",
                Hand::Itself | Hand::Undecided => "ended by itself",
            };
            return Some(format!(
                "{} {who} (exit {}) {} before",
                self.name,
                down.exit_code,
                ago(down.since)
            ));
        }
        if let Some((since, _)) = self.paused {
            return Some(format!("{} was frozen {} before", self.name, ago(since)));
        }
        if let Some(since) = self.disk.full_since {
            return Some(format!(
                "{}'s disk was full {} before",
                self.name,
                ago(since)
            ));
        }
        let silent = self.rpc.failing_since?;
        (self.runs() && now.since(silent) >= hung)
            .then(|| format!("{} answers nothing since {} before", self.name, ago(silent)))
    }

    pub(super) fn fold_container(
        &mut self,
        change: ContainerChange,
        requested: bool,
        now: Elapsed,
        seq: Seq,
        engine_trouble: Option<Elapsed>,
    ) {
        self.container_seq = Some(seq);
        match change {
            ContainerChange::Started => self.fold_start(now),
            ContainerChange::Killed { signal } => {
                self.kill = Some(Kill {
                    at: now,
                    seq,
                    signal,
                    requested,
                });
                self.blame(now);
            }
            ContainerChange::Died { exit_code } => {
                self.container = Container::Ended;
                self.paused = None;
                self.leads = None;
                let engine = engine_trouble.is_some_and(|at| now.since(at) <= ENGINE_REACH);
                let hand = if requested {
                    Hand::Canary
                } else if engine {
                    Hand::Engine
                } else {
                    Hand::Undecided
                };
                self.down = Some(Down {
                    since: now,
                    seq,
                    exit_code,
                    hand,
                    out_of_memory: false,
                });
                self.blame(now);
            }
            ContainerChange::OutOfMemory => {
                self.out_of_memory_at = Some((now, seq));
                self.blame(now);
            }
            ContainerChange::Paused => {
                self.container = Container::Paused;
                self.paused = Some((now, requested));
            }
            ContainerChange::Unpaused => {
                self.container = Container::Running;
                self.paused = None;
                self.last_down_at = Some(now);
                // What it did not answer while it was frozen is not held against it.
                self.rpc.failing_since = self.rpc.failing_since.map(|_| now);
                self.started_at = now;
            }
            ContainerChange::Destroyed => self.container = Container::Ended,
        }
    }

    fn fold_start(&mut self, now: Elapsed) {
        self.container = Container::Running;
        self.starts += 1;
        self.first_start.get_or_insert(now);
        self.started_at = now;
        if self.down.take().is_some() {
            self.last_down_at = Some(now);
        }
        self.paused = None;
        self.kill = None;
        self.out_of_memory_at = None;
        self.rpc = Probe::default();
        self.disk.fold_start();
        self.wants = None;
        self.mode = None;
        self.leads = None;
    }

    /// Decides whose doing an undecided end was, as far as it is known by now.
    fn blame(&mut self, now: Elapsed) {
        let Some(down) = self.down.as_mut() else {
            return;
        };
        if down.hand != Hand::Undecided {
            return;
        }
        // The kernel kills. Who ended otherwise outlived the process that was ended for memory, and did it by itself.
        if let Some((at, _)) = self.out_of_memory_at
            && down.exit_code == KILLED
            && down.since.since(at) <= KILL_REACH
        {
            down.out_of_memory = true;
            down.hand = Hand::Itself;
            return;
        }
        if let Some(kill) = self.kill
            && down.since.since(kill.at) <= KILL_REACH
            && (ends(kill.signal) || down.exit_code == 128 + i64::from(kill.signal))
        {
            down.hand = if kill.requested {
                Hand::Canary
            } else {
                Hand::Outside
            };
            return;
        }
        // SIGKILL and SIGTERM come from outside the process; their sender may not have been told yet. All other
        // ends are its own.
        let may_be_sent = matches!(down.exit_code, KILLED | 143);
        if !may_be_sent || now.since(down.since) >= HAND_GRACE {
            down.hand = Hand::Itself;
        }
    }

    /// Time passed.
    pub(super) fn advance(&mut self, now: Elapsed) {
        if self.down.is_some_and(|down| down.hand == Hand::Undecided) {
            self.blame(now);
        }
    }

    /// No more entries will come: what is undecided stays the node's own doing.
    pub(super) fn decide(&mut self) {
        if let Some(down) = self.down.as_mut()
            && down.hand == Hand::Undecided
        {
            down.hand = Hand::Itself;
        }
    }

    /// The entry of the signal that ended it, if one did.
    #[must_use]
    pub fn kill_seq(&self) -> Option<Seq> {
        self.kill.map(|kill| kill.seq)
    }

    pub(super) fn fold_head(&mut self, head: &NodeHead, now: Elapsed) {
        self.answered(now);
        self.height = Some(head.height);
        self.leads = head.leads;
        self.wants = head.view.map(|view| {
            (
                head.agreeing
                    .unwrap_or(Height(head.height.0.saturating_add(1))),
                view,
            )
        });
        self.mode = match (head.mode, self.mode) {
            (Some(mode), Some((before, since))) if mode == before => Some((mode, since)),
            (Some(mode), _) => Some((mode, now)),
            (None, _) => None,
        };
    }

    /// Its RPC answered.
    pub(super) fn answered(&mut self, now: Elapsed) {
        if self.container == Container::Absent {
            // A journal that begins after the start (a re-attached run): who answers runs.
            self.container = Container::Running;
            self.first_start.get_or_insert(now);
            self.started_at = now;
        }
        self.rpc.answered_at = Some(now);
        self.rpc.failing_since = None;
        self.rpc.refused = false;
    }

    pub(super) fn fold_probe_answered(&mut self, probe: ProbeKind, now: Elapsed) {
        match probe {
            ProbeKind::Rpc => self.answered(now),
            ProbeKind::Log => self.log.works(now),
            ProbeKind::Sampler => self.sampler.works(now),
            ProbeKind::Metrics | ProbeKind::Other | ProbeKind::Position => {}
        }
    }

    pub(super) fn fold_probe_failed(
        &mut self,
        probe: ProbeKind,
        error: &ProbeError,
        now: Elapsed,
        seq: Seq,
    ) {
        let probe = match probe {
            ProbeKind::Rpc => &mut self.rpc,
            ProbeKind::Log => &mut self.log,
            ProbeKind::Sampler => &mut self.sampler,
            ProbeKind::Metrics | ProbeKind::Other | ProbeKind::Position => return,
        };
        if probe.failing_since.is_none() {
            probe.failing_since = Some(now);
            probe.seq = Some(seq);
        }
        probe.refused = *error == ProbeError::Refused;
    }

    pub(super) fn fold_log(&mut self, class: &LogClass, now: Elapsed, seq: Seq) {
        self.disk.fold_log(class, now);
        if matches!(
            class,
            LogClass::Fatal
                | LogClass::Error
                | LogClass::DiskFull
                | LogClass::DiskError
                | LogClass::DiskReadOnly
                | LogClass::Corruption
        ) {
            if self.severe.len() == 5 {
                self.severe.remove(0);
            }
            self.severe.push((class.clone(), seq, now));
        }
    }

    pub(super) fn fold_sample(&mut self, sample: &Sample, now: Elapsed) {
        self.sampler.works(now);
        self.disk.fold_sample(sample, now);
    }
}

impl Probe {
    fn works(&mut self, now: Elapsed) {
        self.answered_at = Some(now);
        self.failing_since = None;
        self.refused = false;
    }
}

/// Signals by which people end processes, whatever the exit code: INT, QUIT, ABRT, KILL, TERM. Any other explains only
/// the exit code of its own number (a hang-up is often a request to reload).
fn ends(signal: u32) -> bool {
    matches!(signal, 2 | 3 | 6 | 9 | 15)
}
