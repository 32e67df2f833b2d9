//! What the canary and its watcher say to each other: one JSON value a line.

use std::{collections::BTreeMap, net::Ipv4Addr, path::PathBuf, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    ids::{Height, NodeName, ShardId},
    journal::{
        event::{Event, ProbeError},
        text,
    },
    plan::{
        MetricNames, NodeAddress, Plan, Role,
        foreign::{Quorum, Reads},
    },
    probe::spool::{Came, Moment, Told},
    time::micros,
};

/// Longest line in either direction, in bytes: the heads of a shard of some thousand nodes.
pub const MAX_LINE: usize = 1 << 20;

/// The first line that a watcher reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatcherConfig {
    /// The RPC family; empty where `reads` tells.
    pub dialect: String,
    /// What is asked without a dialect.
    #[serde(default)]
    pub reads: Reads,
    /// How often each node is asked.
    #[serde(with = "micros")]
    pub interval: Duration,
    /// Deadline of one request.
    #[serde(with = "micros")]
    pub deadline: Duration,
    /// All nodes.
    pub nodes: Vec<WatchedNode>,
    /// How much of a shard's voting power makes a block.
    #[serde(default)]
    pub quorum: Quorum,
    /// The newest blocks that the journal already has, one a shard at most: what follows them is not missed.
    #[serde(default)]
    pub known: Vec<KnownBlock>,
    /// What of a metrics page tells what.
    #[serde(default)]
    pub metrics: MetricNames,
    /// Where it keeps what it sees without an owner; nowhere: it ends with its owner.
    #[serde(default)]
    pub spool: Option<PathBuf>,
    /// The owner wants to be told what a watcher without one has kept there; else that is thrown away.
    #[serde(default)]
    pub unattended: bool,
}

/// A node to ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchedNode {
    /// Its name.
    pub name: NodeName,
    /// Its shard.
    pub shard: ShardId,
    /// Its voting power; 0 for one that does not vote.
    #[serde(default)]
    pub power: u64,
    /// Its address in the management network.
    pub address: Ipv4Addr,
    /// Port of its RPC.
    pub rpc_port: u16,
    /// Port of its metrics page, if it has one.
    pub metrics_port: Option<u16>,
}

/// A block that needs no telling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownBlock {
    /// Its shard.
    pub shard: ShardId,
    /// Its height.
    pub height: Height,
    /// Its hash.
    pub hash: Arc<str>,
}

impl WatcherConfig {
    /// All nodes of a plan that have an address.
    #[must_use]
    pub fn new(plan: &Plan, addresses: &BTreeMap<NodeName, NodeAddress>) -> Self {
        let probe = &plan.network.probe;
        let nodes = plan.network.nodes.iter().filter_map(|node| {
            Some(WatchedNode {
                name: node.name.clone(),
                shard: node.shard,
                power: match node.role {
                    Role::Validator => node.voting_power,
                    Role::Explorer => 0,
                },
                address: addresses.get(&node.name)?.management,
                rpc_port: probe.rpc_port,
                metrics_port: probe.metrics_port,
            })
        });
        Self {
            dialect: probe.dialect.clone(),
            reads: probe.reads.clone(),
            interval: probe.interval,
            deadline: probe.deadline,
            nodes: nodes.collect(),
            quorum: plan.network.foreign.quorum,
            known: Vec::new(),
            metrics: probe.metrics.clone(),
            spool: None,
            unattended: false,
        }
    }
}

/// Every further line that a watcher reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WatcherCommand {
    /// Ask nobody.
    Pause {},
    /// Go on.
    Resume {},
}

/// Every line that a watcher writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WatcherMessage {
    /// A fact about a node or a shard.
    Event(Event),
    /// What the watcher costs since its container started; once a second.
    Cost {
        /// CPU time in microseconds.
        cpu: u64,
        /// Memory in bytes.
        memory: u64,
        /// Messages thrown away because nobody read them.
        dropped: u64,
    },
    /// A line of what was kept while there was no owner; before all else.
    Spooled {
        /// When.
        at: Moment,
        /// What.
        told: Told,
    },
    /// The end of it.
    SpoolEnd {
        /// What it came to.
        came: Came,
        /// Now.
        now: Moment,
    },
}

/// Reads a line of a watcher. A watcher sits in the nodes' network, so it is not believed more than they are: only
/// facts that are its to tell pass, and text is cleaned again.
#[must_use]
pub fn read_message(line: &[u8]) -> Option<WatcherMessage> {
    let mut message = serde_json::from_slice(line).ok()?;
    let passes = match &mut message {
        WatcherMessage::Event(event)
        | WatcherMessage::Spooled {
            told: Told::Event(event),
            ..
        } => is_its_to_tell(event),
        _ => true,
    };
    passes.then_some(message)
}

fn is_its_to_tell(event: &mut Event) -> bool {
    match event {
        Event::Block {
            hash,
            leader,
            content,
            ..
        } => {
            harmless(hash);
            let signed = content.as_mut().and_then(|content| content.signed.as_mut());
            leader.iter_mut().chain(signed).for_each(harmless);
        }
        Event::Head { hash, leader, .. } => {
            harmless(hash);
            leader.iter_mut().for_each(harmless);
        }
        Event::Ledger(ledger) => {
            let states = [&mut ledger.state, &mut ledger.block_state];
            states.into_iter().flatten().for_each(harmless);
        }
        Event::Position(position) => position.hash.iter_mut().for_each(harmless),
        Event::ProbeFailed {
            error: ProbeError::BadAnswer(reason),
            ..
        } => *reason = text::clean(reason, 200),
        Event::Figures(_)
        | Event::Heads { .. }
        | Event::ProbeAnswered { .. }
        | Event::ProbeFailed { .. } => {}
        _ => return false,
    }
    true
}

fn harmless(name: &mut Arc<str>) {
    let clean = |byte: u8| byte.is_ascii_graphic();
    if name.len() > 200 || !name.bytes().all(clean) {
        *name = text::clean(name, 200).into();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::journal::event::FinishReason;
    use crate::time::WallTime;

    fn block(hash: &str) -> WatcherMessage {
        WatcherMessage::Event(Event::Block {
            shard: ShardId(1),
            height: Height(7),
            hash: hash.into(),
            view: None,
            epoch: None,
            leader: Some("one1\u{1b}x".into()),
            signers: None,
            committee: None,
            time: None,
            node: NodeName::of(ShardId(1), 0),
            content: None,
        })
    }

    #[test]
    fn only_facts_of_a_watcher_pass_and_text_is_cleaned() {
        let line = serde_json::to_vec(&block("\u{1b}[2J")).unwrap();
        let Some(WatcherMessage::Event(Event::Block { hash, leader, .. })) = read_message(&line)
        else {
            panic!("no block")
        };
        assert_eq!(
            (&*hash, leader.as_deref()),
            ("\u{fffd}[2J", Some("one1\u{fffd}x"))
        );
        let foreign = WatcherMessage::Event(Event::RunFinished {
            reason: FinishReason::Completed,
            wall: WallTime(0),
        });
        assert_eq!(read_message(&serde_json::to_vec(&foreign).unwrap()), None);
        let (WatcherMessage::Event(foreign), WatcherMessage::Event(block)) = (foreign, block("a"))
        else {
            panic!("no facts")
        };
        let spooled = |event: Event| WatcherMessage::Spooled {
            at: Moment(1),
            told: Told::Event(event),
        };
        let line = serde_json::to_vec(&spooled(foreign)).unwrap();
        assert_eq!(
            read_message(&line),
            None,
            "what was kept is believed no more"
        );
        let line = serde_json::to_vec(&spooled(block)).unwrap();
        assert!(matches!(
            read_message(&line),
            Some(WatcherMessage::Spooled {
                told: Told::Event(Event::Block { leader: Some(leader), .. }),
                ..
            }) if &*leader == "one1\u{fffd}x"
        ));
        assert_eq!(
            serde_json::to_string(&WatcherCommand::Pause {}).unwrap(),
            r#"{"pause":{}}"#
        );
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..500), at in 0usize..150, with in any::<u8>()) {
            let _ = read_message(&bytes);
            let mut line = serde_json::to_vec(&block("abcdef")).unwrap();
            let length = line.len();
            line[at % length] = with;
            if let Some(WatcherMessage::Event(Event::Block { hash, .. })) = read_message(&line) {
                prop_assert!(!hash.chars().any(char::is_control));
            }
        }
    }
}
