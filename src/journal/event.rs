//! The closed set of facts that a journal can hold.
//!
//! Invariant: only facts. Whatever can be computed from the journal (findings, verdicts, rates) is never in it.
//! Text that nodes, the engine or users control was stripped of control characters and cut before it came here
//! ([`crate::journal::text::clean`]); readers may rely on that for journals that this program wrote, and renderers
//! must still not.
//!
//! The format is a public interface: a changed variant raises [`FORMAT`], and readers accept all older ones.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

pub use super::told::{BlockContent, DiskLevel, Figures, Ledger, Origin, Position};
use super::{
    capability::Capability, effect::Effect, recovery::RecoveryStep, unattended::Unattended,
};
use crate::{
    ids::{Epoch, Height, NodeName, RunId, Seq, ShardId, ViewId},
    time::{Elapsed, WallTime, micros},
};

/// Version of the journal's format, written in [`Event::RunStarted`].
pub const FORMAT: u32 = 2;

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Place in the total order.
    pub seq: Seq,
    /// When the canary learned it, since the run started.
    #[serde(rename = "t")]
    pub elapsed: Elapsed,
    /// The fact.
    #[serde(rename = "e")]
    pub event: Event,
}

/// A fact about the run, the network or the canary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    // ---- the run ----
    /// First entry of every journal. The plan is opaque here, so that the journal knows no other module.
    RunStarted {
        /// Format of this journal, [`FORMAT`].
        format: u32,
        /// The run.
        run: RunId,
        /// Version of the program that writes.
        canarynet: String,
        /// Wall time at elapsed zero.
        wall: WallTime,
        /// The resolved plan (`plan.json`).
        plan: serde_json::Value,
    },
    /// A stage of the run begins.
    Stage {
        /// Which one.
        stage: Stage,
    },
    /// Nothing else was written for a while: only time has passed. Absence is judged by these.
    Tick {
        /// Wall time, so that a jump between the clocks (a suspended machine) can be seen.
        wall: WallTime,
    },
    /// A signal reached the canary.
    Signal {
        /// `SIGINT` or `SIGTERM`.
        name: String,
    },
    /// Another process of the canary took the run over; nothing since the entry before is in the journal, unless
    /// [`Event::Unattended`] tells of it.
    Attached {
        /// Wall time now.
        wall: WallTime,
    },
    /// What the watcher saw of a shard while nobody was attached.
    Unattended(Box<Unattended>),
    /// The container engine answers nothing any more. The run's clock stands still, and nothing is observed, until
    /// [`Event::EngineReturned`] or the run's end.
    EngineAway {
        /// Wall time now.
        wall: WallTime,
    },
    /// The engine answers again. What had ended with it is started again by the canary: nodes that do not come back
    /// from that in their recovery budget are a finding like any other.
    EngineReturned {
        /// Wall time now.
        wall: WallTime,
        /// How long it was away, by wall time.
        #[serde(with = "micros")]
        away: Duration,
        /// Nodes whose containers had ended with it.
        ended: Vec<NodeName>,
    },
    /// Watching was switched off on purpose (to measure its cost); nothing is seen until [`Event::WatchResumed`].
    WatchPaused,
    /// Watching goes on.
    WatchResumed,
    /// From here on the journal leaves facts out, to keep its budget or because its disk is full. State changes,
    /// blocks with another leader or view, and changes of mode are always written. Windows of detectors widen by what
    /// may be missing.
    Thinned {
        /// One block entry in this many is written; 0 when none is (the disk is full), so that nobody can say
        /// whether blocks come.
        blocks: u64,
        /// One unchanged [`Event::Heads`] in this many.
        heads: u64,
        /// One [`Event::Sample`] of a node in this many.
        samples: u64,
        /// Whether notes and counts of log lines are written.
        notes: bool,
        /// Entries left out so far.
        left_out: u64,
    },
    /// The last entry of a run that ended in order.
    RunFinished {
        /// Why it ended.
        reason: FinishReason,
        /// Wall time at the end.
        wall: WallTime,
    },

    // ---- nodes and the engine ----
    /// The engine reported a change of a node's container.
    Container {
        /// Whose.
        node: NodeName,
        /// What happened.
        change: ContainerChange,
        /// Whether the canary had asked for it. What it did not ask for was the node itself or an outside hand.
        requested: bool,
    },
    /// The canary starts a node again, by the profile's restart policy.
    Restart {
        /// Which.
        node: NodeName,
        /// 1 for the first restart.
        attempt: u32,
        /// Wait before it.
        #[serde(with = "micros")]
        delay: Duration,
    },
    /// Something that faults of the plan need of the machine was tried.
    Capability(Capability),
    /// A step in the life of an injected fault.
    Fault {
        /// Its id in the schedule.
        id: Arc<str>,
        /// Its kind.
        #[serde(deserialize_with = "repeated")]
        kind: Arc<str>,
        /// The step.
        step: FaultStep,
    },
    /// The canary tests itself: it paused a shard's nodes, or let them go on. The judge excuses nothing by this; at
    /// the end, what it found of it is set apart.
    Drill {
        /// The shard.
        shard: ShardId,
        /// Its nodes.
        nodes: Vec<NodeName>,
        /// `true` when it begins, `false` when it ends.
        begins: bool,
    },
    /// The canary tries what would bring a shard back that stands still, because the plan asks for it.
    Recovery {
        /// The shard.
        shard: ShardId,
        /// What happened.
        what: RecoveryStep,
    },
    /// A node is about to run another version of its program than it did, or than the others do; told where it starts.
    Version {
        /// The node.
        node: NodeName,
        /// The plan's name for the version; else the image or executable that a fault put there.
        version: String,
    },
    /// Something of the host, the engine or the canary broke: never a finding against a node.
    Infra {
        /// What: `engine`, `helper`, `watcher`, `sampler`, `journal`, `host-disk`, ...
        what: String,
        /// What it said.
        detail: String,
        /// Whether the run cannot go on.
        fatal: bool,
    },

    /// The process that serves a node's FUSE disk ended, unasked: the canary's fault. What the node says of its disk
    /// from a moment before on is nothing of its own.
    DiskServerEnded {
        /// Whose disk.
        node: NodeName,
        /// The exit code.
        exit_code: i64,
    },

    // ---- the chain ----
    /// A shard's block seen for the first time on any of its nodes.
    Block {
        /// The shard.
        shard: ShardId,
        /// Its height.
        height: Height,
        /// Its hash, hex without prefix.
        #[serde(deserialize_with = "shared")]
        hash: Arc<str>,
        /// The view it was committed in, where the chain tells.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        view: Option<ViewId>,
        /// Its epoch.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        epoch: Option<Epoch>,
        /// Who proposed it: a node of the run, or the chain's own address if no node owned up to it.
        #[serde(
            skip_serializing_if = "Option::is_none",
            default,
            deserialize_with = "repeated_option"
        )]
        leader: Option<Arc<str>>,
        /// How many signed the block *before* it (known only from this block).
        #[serde(skip_serializing_if = "Option::is_none", default)]
        signers: Option<u32>,
        /// How many could have signed.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        committee: Option<u32>,
        /// The block's own timestamp in milliseconds since 1970, where it has millisecond precision.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        time: Option<WallTime>,
        /// The node it was first seen on.
        node: NodeName,
        /// What it holds, where the chain tells.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        content: Option<BlockContent>,
    },
    /// One node's head that contradicts what was seen: another hash at a height already journalled as
    /// [`Event::Block`], or a height lower than the node's own last head. Ordinary heads come in [`Event::Heads`].
    Head {
        /// The node.
        node: NodeName,
        /// Its shard.
        shard: ShardId,
        /// The head's height.
        height: Height,
        /// The head's hash.
        hash: Arc<str>,
        /// The leader, if told.
        #[serde(
            skip_serializing_if = "Option::is_none",
            default,
            deserialize_with = "repeated_option"
        )]
        leader: Option<Arc<str>>,
        /// The height of the node's own last head, where that was higher: it went back.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        was: Option<Height>,
    },
    /// Where the answering nodes of a shard stand: once a second, and whenever a node's mode or leader flag
    /// changes, or its view moves while its height does not.
    Heads {
        /// The shard.
        shard: ShardId,
        /// The nodes that answered since the last such entry.
        nodes: Vec<NodeHead>,
    },
    /// Where a node stands by another source: every few seconds, and when a disk was read.
    Position(Position),
    /// What a node's ledger adds up to: one node of a shard every two seconds, in turn.
    Ledger(Box<Ledger>),
    /// Figures of a node's metrics page, every few seconds.
    Figures(Box<Figures>),

    // ---- probes ----
    /// A node's probe answers again after a failure (or for the first time).
    ProbeAnswered {
        /// The node.
        node: NodeName,
        /// Which probe.
        probe: ProbeKind,
        /// How long it answered nothing, zero the first time.
        #[serde(with = "micros")]
        silent_for: Duration,
    },
    /// A node's probe failed after it had answered (or from the start). Written at the change and every ten
    /// seconds while it lasts.
    ProbeFailed {
        /// The node.
        node: NodeName,
        /// Which probe.
        probe: ProbeKind,
        /// How it failed.
        error: ProbeError,
        /// Failures in a row.
        failures: u64,
    },
    /// The whole observation path of a shard or of all (`None`) is gone or back (the watcher, not the nodes).
    Sight {
        /// Whether the canary sees.
        seeing: bool,
        /// Why, for people.
        detail: String,
    },

    // ---- logs ----
    /// A log line that a rule of the profile, or a built-in one, classified.
    Log {
        /// Whose.
        node: NodeName,
        /// Level in lower case: debug, info, warn, error, fatal.
        #[serde(deserialize_with = "repeated")]
        level: Arc<str>,
        /// The rule's name.
        #[serde(deserialize_with = "repeated")]
        rule: Arc<str>,
        /// What it means.
        class: LogClass,
        /// The message, cleaned, at most 400 bytes.
        message: String,
        /// The error text of the line, if it has one; cleaned, at most 400 bytes.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        error: Option<String>,
        /// The node's own timestamp, if it has one.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        time: Option<WallTime>,
        /// Where the raw line is kept: file below `logs/` and byte offset.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        at: Option<LogPlace>,
    },
    /// Lines of a node since the run started; every ten seconds and at the end.
    LogCount {
        /// Whose.
        node: NodeName,
        /// Lines read.
        lines: u64,
        /// Bytes read.
        bytes: u64,
        /// Lines known to be lost before they were read.
        lost: u64,
        /// Lines read but cut at the line limit.
        cut: u64,
    },
    /// A log line of a form that was not seen before in this run.
    TemplateSeen {
        /// Whose.
        node: NodeName,
        /// Its number in this run.
        id: u64,
        /// Level of the line in lower case; `info` where it tells none.
        #[serde(deserialize_with = "repeated")]
        level: Arc<str>,
        /// The form: the message with what varies as `<*>`; cleaned, at most 300 bytes.
        text: String,
    },
    /// How often lines of each form came since the entry before; every ten seconds.
    TemplateCounts {
        /// Whose.
        node: NodeName,
        /// Number of the form and lines of it; the most frequent ones.
        counts: Vec<(u64, u64)>,
        /// Lines of further forms.
        rest: u64,
        /// Lines that were not looked at, to keep the budget, since the run started.
        dropped: u64,
    },

    // ---- resources ----
    /// What the sampler inside a node saw.
    Sample(Sample),
    /// What a node's FUSE disk has acknowledged and would lose with its power; at most once a second, at a change.
    Unsynced {
        /// Whose disk.
        node: NodeName,
        /// Bytes of its files.
        bytes: u64,
        /// Files that have changed since they were synced.
        files: u64,
        /// Names that have changed since their folder was synced.
        names: u64,
        /// How long ago the first of these changes came.
        #[serde(with = "micros")]
        oldest: Duration,
        /// The file with most of these bytes, from the top of the disk; cleaned, at most 200 bytes.
        most: String,
        /// Bytes since the start that were never asked to be synced, and that only time has brought to the disk.
        written_back: u64,
    },
    /// A node's data disk was filled before its start, because the profile says so.
    DiskAged(Box<DiskLevel>),
    /// What the canary, its containers and the engine cost.
    Cost(Cost),
    /// Room on the file system that holds the engine's data and on that of the run directory.
    HostDisk {
        /// Bytes free where the engine keeps its data.
        engine_free: u64,
        /// Bytes free where the run directory is.
        run_free: u64,
    },
}

/// What happens to an injected fault, in this order; it can end at any step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultStep {
    /// It fires; its targets as resolved.
    Requested {
        /// The nodes that it is done to.
        targets: Vec<NodeName>,
        /// The nodes that cannot be counted on while it is in force.
        takes: Vec<NodeName>,
        /// What it does to them.
        effects: Vec<Effect>,
        /// When it is to heal.
        #[serde(with = "micros")]
        lasts: Duration,
    },
    /// All that breaks was done.
    Acknowledged,
    /// Its effect was read back.
    Effective {
        /// What was read.
        proof: String,
        /// The nodes that this is about; none: all of them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        nodes: Vec<NodeName>,
    },
    /// It had no effect, or has none any more after it had one: never to be taken for survived.
    Ineffective {
        /// What was read, or what failed.
        why: String,
        /// The nodes that this is about; none: all of them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        nodes: Vec<NodeName>,
    },
    /// It did not fire.
    Skipped {
        /// Why.
        why: String,
    },
    /// Healing begins.
    HealRequested,
    /// All that heals was done.
    Healed,
    /// Something that heals failed; the network may still be broken.
    HealFailed {
        /// What.
        why: String,
    },
}

impl FaultStep {
    /// Its effect was read back on all nodes.
    #[must_use]
    pub fn effective(proof: String) -> Self {
        let nodes = Vec::new();
        Self::Effective { proof, nodes }
    }

    /// It had no effect on any node.
    #[must_use]
    pub fn ineffective(why: String) -> Self {
        let nodes = Vec::new();
        Self::Ineffective { why, nodes }
    }
}

/// The stages of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Images, preflight.
    Prepare,
    /// Containers are made and started.
    Start,
    /// Until every shard has made its warm-up blocks.
    WarmUp,
    /// The watched time that gates are about.
    Soak,
    /// Load has ended; what is in flight arrives.
    Settle,
    /// Evidence and logs are collected.
    Collect,
    /// Everything is removed.
    TearDown,
}

/// Why a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FinishReason {
    /// The plan was done.
    Completed,
    /// A signal, or `canarynet stop`.
    Interrupted,
    /// The plan's deadline passed first.
    Deadline,
    /// The plan ends a run at its first finding over the gate.
    StoppedOnFailure,
    /// Host, engine or canary could not go on.
    Infra,
}

/// A change of a container, as the engine told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContainerChange {
    /// It runs.
    Started,
    /// A signal was sent through the engine; comes before `Died` if that ended it.
    Killed {
        /// The signal's number.
        signal: u32,
    },
    /// Its main process ended.
    Died {
        /// 137 after SIGKILL or an OOM kill.
        exit_code: i64,
    },
    /// The kernel killed a process of it for memory.
    OutOfMemory,
    /// Frozen.
    Paused,
    /// Thawed.
    Unpaused,
    /// Removed.
    Destroyed,
}

/// One node's position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeHead {
    /// The node.
    pub node: NodeName,
    /// Height of its head.
    pub height: Height,
    /// The view it works in, where the chain tells (in a view change: the view it wants).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub view: Option<ViewId>,
    /// The height it is agreeing on; height + 1 in health.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub agreeing: Option<Height>,
    /// Its consensus mode.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mode: Option<Mode>,
    /// Whether it takes itself for the leader.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub leads: Option<bool>,
}

/// Consensus mode of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Takes part.
    Normal,
    /// Wants another leader.
    ViewChanging,
    /// Fetches blocks that it missed.
    Syncing,
    /// Follows without a vote.
    Listening,
    /// A word that this program does not know.
    Other,
}

/// A source of observations on one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeKind {
    /// The node's RPC.
    Rpc,
    /// Its metrics page.
    Metrics,
    /// Another request of the profile's, beside the one that tells where it stands.
    Other,
    /// Its standard output.
    Log,
    /// The sampler inside its container.
    Sampler,
    /// The log line by which it tells where it stands.
    Position,
}

/// How a probe failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeError {
    /// No answer within the deadline: the connection may stand, the node may hang.
    Deadline,
    /// Nobody listens.
    Refused,
    /// No route, or the connection broke.
    Unreachable,
    /// An answer that makes no sense; cleaned, at most 200 bytes.
    BadAnswer(String),
    /// The answer is longer than is read.
    TooLarge,
    /// The stream ended.
    Ended,
}

/// What a log rule makes of a line.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogClass {
    /// A write or sync failed for want of room ("no space left on device").
    DiskFull,
    /// A write succeeded again after such a failure.
    DiskRecovered,
    /// Another input or output error of the storage.
    DiskError,
    /// The file system went read-only.
    DiskReadOnly,
    /// The database says that its data is damaged.
    Corruption,
    /// A view change began.
    ViewChangeStarted,
    /// A view change ended with a new leader.
    ViewChangeFinished,
    /// The node left normal operation to fetch blocks.
    OutOfSync,
    /// It caught up.
    InSync,
    /// A panic, a fatal error.
    Fatal,
    /// An error that no rule knows more of.
    Error,
    /// A leader's announcement was refused.
    InvalidAnnounce,
    /// The last commit signatures are missing.
    CommitSignaturesLost,
    /// A leader proposed two blocks at one height and view.
    DoubleProposal,
    /// Only worth counting.
    Note,
}

/// Where a raw log line is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPlace {
    /// File name below the run's `logs/` folder.
    pub file: Arc<str>,
    /// Byte offset of the line's start.
    pub offset: u64,
}

/// One look at a node's resources from inside its container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sample {
    /// The node; the sampler itself does not know it and leaves the default out.
    pub node: Option<NodeName>,
    /// Resident memory of the node's processes in bytes (anonymous and shared, no page cache), the sampler's own left out.
    pub memory: u64,
    /// Memory that counts against the limit, in bytes (as the cgroup counts it).
    pub charged: u64,
    /// The cgroup's limit in bytes, 0 if there is none.
    pub memory_limit: u64,
    /// CPU time used by the container since it started, in microseconds, the sampler's own included.
    pub cpu: u64,
    /// Bytes used on the data disk (statfs).
    pub disk_used: u64,
    /// Bytes that the node may still write there.
    pub disk_free: u64,
    /// Bytes of all files that can be seen there (allocated blocks).
    pub visible: u64,
    /// Inodes still free; 0 with `inodes` 0 where the file system does not count them.
    pub inodes_free: u64,
    /// Inodes in all.
    pub inodes: u64,
    /// Open files of process 1.
    pub open_files: u64,
    /// Processes and threads in the container.
    pub pids: u64,
    /// The sampler's own memory (proportional share) in bytes.
    pub sampler_memory: u64,
    /// The sampler's own CPU time since it started, in microseconds.
    pub sampler_cpu: u64,
    /// Counts up each time the node's process was seen to have been replaced (0 until then).
    #[serde(default)]
    pub incarnation: u64,
    /// How long a thread of the node's process has been waiting for a disk without a break, in microseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stuck: u64,
    /// The data disk is mounted read-only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What watching costs, since the run started.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cost {
    /// CPU time of this program, in microseconds.
    pub canary_cpu: u64,
    /// Its memory (proportional share), in bytes.
    pub canary_memory: u64,
    /// CPU time of the watcher's container.
    pub watcher_cpu: u64,
    /// Its memory.
    pub watcher_memory: u64,
    /// CPU time of all samplers.
    pub samplers_cpu: u64,
    /// Their memory.
    pub samplers_memory: u64,
    /// CPU time of helper containers.
    pub helper_cpu: u64,
    /// CPU time of the engine's own processes, 0 where they cannot be seen.
    pub engine_cpu: u64,
    /// Bytes of the run directory.
    pub run_directory: u64,
    /// Longest time an observation waited before it was written, in microseconds, since the last such entry.
    pub lag: u64,
    /// Observations thrown away because a queue was full, since the run started.
    pub dropped: u64,
}

/// Reads a text in one allocation; serde's own way takes three.
fn shared<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
    deserializer.deserialize_str(Text(|text| Arc::from(text)))
}

/// Reads a text of which there are few, without an allocation where it was read before.
fn repeated<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
    deserializer.deserialize_str(Text(crate::ids::intern))
}

pub(super) fn repeated_option<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Arc<str>>, D::Error> {
    struct Maybe;

    impl<'de> serde::de::Visitor<'de> for Maybe {
        type Value = Option<Arc<str>>;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("a text or null")
        }

        fn visit_none<E: serde::de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_some<D: serde::Deserializer<'de>>(
            self,
            deserializer: D,
        ) -> Result<Self::Value, D::Error> {
            repeated(deserializer).map(Some)
        }
    }

    deserializer.deserialize_option(Maybe)
}

struct Text(fn(&str) -> Arc<str>);

impl serde::de::Visitor<'_> for Text {
    type Value = Arc<str>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a text")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Arc<str>, E> {
        Ok((self.0)(text))
    }
}
