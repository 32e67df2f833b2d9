//! The kinds of predecessors, one rule each, in one table.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::{
    disk_level::{DiskLevel, HIGH},
    processor::{BUSY, Processor},
};
use crate::{
    detect::{
        detector::Wants,
        finding::Severity,
        findings::{ChangeKind, FindingChange},
        world::{Node, World},
    },
    ids::NodeName,
    journal::{
        Entry, Event,
        effect::RECOVERY,
        event::{ContainerChange, FaultStep, LogClass, Mode},
        text::clean,
    },
    time::Elapsed,
};

/// What a rule may look at.
pub(super) struct Look<'a> {
    pub(super) entry: &'a Entry,
    /// The world that holds the entry already.
    pub(super) world: &'a World,
    /// Findings that changed at this entry.
    pub(super) changes: &'a [FindingChange],
    /// By the node's place.
    pub(super) processors: &'a [Processor],
    /// By the node's place.
    pub(super) disks: &'a [DiskLevel],
}

/// What a rule saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Draft {
    /// Place of the shard.
    pub(super) shard: usize,
    /// Place of the node.
    pub(super) node: Option<usize>,
    pub(super) at: Elapsed,
    pub(super) what: String,
    /// What is the same kind on the same node with the same key is the same.
    pub(super) key: u64,
    /// The finding's own kind, where the rule is about findings; a mark has it already.
    #[serde(skip)]
    kind: Option<&'static str>,
}

/// One kind of predecessor.
pub(super) struct Rule {
    kind: &'static str,
    /// Whether a story can begin with it: what breaks, against what follows from something broken.
    pub(super) begins: bool,
    /// The entries that it is asked about, beside those at which a finding changed.
    pub(super) wants: Wants,
    pub(super) of: fn(&Look<'_>) -> Vec<Draft>,
}

impl Rule {
    pub(super) fn kind_of(&self, draft: &Draft) -> &'static str {
        draft.kind.unwrap_or(self.kind)
    }
}

/// All kinds. Of two at one moment the earlier in the table comes first.
pub(super) const RULES: &[Rule] = &[
    Rule {
        kind: "fault",
        begins: true,
        wants: Wants::OTHERS,
        of: fault,
    },
    Rule {
        kind: "failed-write",
        begins: true,
        wants: Wants::LOGS,
        of: failed_write,
    },
    Rule {
        kind: "broken",
        begins: true,
        wants: Wants::NONE,
        of: broken,
    },
    Rule {
        kind: "disk-level",
        begins: true,
        wants: Wants::SAMPLES,
        of: disk_level,
    },
    Rule {
        kind: "processor",
        begins: false,
        wants: Wants::SAMPLES,
        of: processor,
    },
    Rule {
        kind: "state",
        begins: false,
        wants: Wants::NONE,
        of: state,
    },
    Rule {
        kind: "view-change",
        begins: false,
        wants: Wants::HEADS,
        of: view_change,
    },
    Rule {
        kind: "sync-mode",
        begins: false,
        wants: Wants::HEADS,
        of: sync_mode,
    },
    Rule {
        kind: "started-again",
        begins: false,
        wants: Wants::CONTAINERS,
        of: started_again,
    },
    Rule {
        kind: "healed",
        begins: false,
        wants: Wants::OTHERS,
        of: healed,
    },
];

/// Places of the rules that want an entry of each class, so that nearly all entries are asked about two of them at most.
pub(super) static BY_CLASS: LazyLock<Vec<Vec<usize>>> = LazyLock::new(|| {
    let wanting = |class: Wants| {
        let all = RULES.iter().enumerate();
        all.filter(move |(_, rule)| rule.wants.meets(class))
            .map(|(place, _)| place)
            .collect()
    };
    Wants::classes().map(wanting).collect()
});
/// Places of all rules.
pub(super) static ALL: LazyLock<Vec<usize>> = LazyLock::new(|| (0..RULES.len()).collect());

/// Findings that tell of something broken on a node.
const BROKEN: &[&str] = &[
    "ghost-bytes",
    "disk-full",
    "inodes-full",
    "disk-error",
    "disk-read-only",
    "disk-hang",
    "slow-fsync",
    "db-corruption",
    "crash",
    "oom-kill",
    "hung",
];

/// Findings that tell of a node whose state is wrong: something broke it.
const STATE: &[&str] = &[
    "height-mismatch",
    "invalid-announce",
    "commit-signatures-lost",
    "double-proposal",
    "fork",
    "height-regression",
    "stuck-syncing",
];

fn broken(look: &Look<'_>) -> Vec<Draft> {
    found(look, BROKEN)
}

fn state(look: &Look<'_>) -> Vec<Draft> {
    found(look, STATE)
}

/// Findings of these kinds that opened, from the moment on that their condition held.
fn found(look: &Look<'_>, kinds: &[&'static str]) -> Vec<Draft> {
    let opened = look.changes.iter().filter(|change| {
        change.kind == ChangeKind::Opened && change.finding.severity > Severity::Info
    });
    opened
        .filter_map(|change| {
            let finding = &change.finding;
            let kind = kinds.iter().find(|kind| **kind == finding.kind)?;
            let node = look.world.node(finding.nodes.first()?)?;
            let mut draft = on(look, node, finding.summary.clone());
            (draft.at, draft.kind) = (finding.start, Some(*kind));
            Some(draft)
        })
        .collect()
}

fn fault(look: &Look<'_>) -> Vec<Draft> {
    let Event::Fault {
        kind,
        step: FaultStep::Requested { targets, .. },
        ..
    } = &look.entry.event
    else {
        return Vec::new();
    };
    // What is done about a finding did not bring it about.
    if **kind == *RECOVERY {
        return Vec::new();
    }
    let places = targets.iter().filter_map(|node| look.world.node(node));
    places
        .map(|place| on(look, place, format!("{kind} {}", with_role(look, place))))
        .collect()
}

fn healed(look: &Look<'_>) -> Vec<Draft> {
    let Event::Fault {
        id,
        kind,
        step: FaultStep::Healed,
    } = &look.entry.event
    else {
        return Vec::new();
    };
    if **kind == *RECOVERY {
        return Vec::new();
    }
    let faults = look.world.expectation.faults().iter();
    let takes = faults
        .filter(|fault| fault.id == *id)
        .flat_map(|fault| &fault.takes);
    takes
        .filter_map(|node| look.world.node(node))
        .map(|place| {
            on(
                look,
                place,
                format!("{kind} healed on {}", name(look, place)),
            )
        })
        .collect()
}

fn failed_write(look: &Look<'_>) -> Vec<Draft> {
    let Event::Log {
        node,
        class:
            LogClass::DiskFull | LogClass::DiskError | LogClass::DiskReadOnly | LogClass::Corruption,
        message,
        error,
        ..
    } = &look.entry.event
    else {
        return Vec::new();
    };
    let said = match error {
        Some(error) => format!("{message}: {error}"),
        None => message.clone(),
    };
    here(look, node, |place| {
        format!("{} says {}", name(look, place), clean(&said, 160))
    })
}

/// A data disk that is nearly full.
fn disk_level(look: &Look<'_>) -> Vec<Draft> {
    sampled(
        look,
        |place| look.disks[place].rose,
        |place| {
            format!(
                "the data disk of {} passed {HIGH} %",
                with_role(look, place)
            )
        },
    )
}

/// A node that uses all of the processor time it may, at two looks in a row.
fn processor(look: &Look<'_>) -> Vec<Draft> {
    sampled(
        look,
        |place| look.processors[place].busy == BUSY,
        |place| format!("{} uses all of its processor time", name(look, place)),
    )
}

/// A mark on the node of a sample. Half of a journal are samples, and nearly none of them is one: the words come last.
fn sampled(
    look: &Look<'_>,
    condition: impl Fn(usize) -> bool,
    what: impl Fn(usize) -> String,
) -> Vec<Draft> {
    let Event::Sample(_) = &look.entry.event else {
        return Vec::new();
    };
    let place = look.world.touched_node.filter(|place| condition(*place));
    let mark = place.map(|place| on(look, place, what(place)));
    mark.into_iter().collect()
}

/// One mark a height, with the number of view changes so far.
fn view_change(look: &Look<'_>) -> Vec<Draft> {
    let Event::Heads { .. } = &look.entry.event else {
        return Vec::new();
    };
    let Some(place) = look.world.touched_shard else {
        return Vec::new();
    };
    let shard = &look.world.shards[place];
    if shard.view_evidence.last() != Some(&look.world.seq) {
        return Vec::new();
    }
    let height = shard
        .best
        .as_ref()
        .map_or(0, |best| best.height.0.saturating_add(1));
    let changes = match shard.views_at_height {
        1 => "1 view change".to_owned(),
        count => format!("{count} view changes"),
    };
    vec![Draft {
        shard: place,
        node: None,
        at: look.world.now,
        what: format!("{changes} at height {height}, no block"),
        key: height,
        kind: None,
    }]
}

fn sync_mode(look: &Look<'_>) -> Vec<Draft> {
    let Event::Heads { nodes, .. } = &look.entry.event else {
        return Vec::new();
    };
    let now = look.world.now;
    let syncing = |node: &Node| node.mode == Some((Mode::Syncing, now)) && node.starts > 0;
    let heads = nodes.iter().filter(|head| head.mode == Some(Mode::Syncing));
    heads
        .flat_map(|head| {
            here_if(look, &head.node, syncing, |place| {
                format!("{} is in sync mode", name(look, place))
            })
        })
        .collect()
}

fn started_again(look: &Look<'_>) -> Vec<Draft> {
    let Event::Container {
        node,
        change: ContainerChange::Started,
        ..
    } = &look.entry.event
    else {
        return Vec::new();
    };
    here_if(
        look,
        node,
        |node| node.starts > 1,
        |place| format!("{} was started again", name(look, place)),
    )
}

fn here(look: &Look<'_>, node: &NodeName, what: impl Fn(usize) -> String) -> Vec<Draft> {
    here_if(look, node, |_| true, what)
}

fn here_if(
    look: &Look<'_>,
    node: &NodeName,
    condition: impl Fn(&Node) -> bool,
    what: impl Fn(usize) -> String,
) -> Vec<Draft> {
    let place = look.world.node(node);
    place
        .filter(|place| condition(&look.world.nodes[*place]))
        .map(|place| on(look, place, what(place)))
        .into_iter()
        .collect()
}

fn on(look: &Look<'_>, place: usize, what: String) -> Draft {
    Draft {
        shard: look.world.nodes[place].shard,
        node: Some(place),
        at: look.world.now,
        what: clean(&what, 240),
        key: 0,
        kind: None,
    }
}

fn name<'a>(look: &Look<'a>, place: usize) -> &'a str {
    look.world.nodes[place].name.as_str()
}

/// A node's name, and whether it made the last block of its shard.
fn with_role(look: &Look<'_>, place: usize) -> String {
    let name = name(look, place);
    let shard = &look.world.shards[look.world.nodes[place].shard];
    let leads = shard
        .best
        .as_ref()
        .is_some_and(|best| best.leader.as_deref() == Some(name));
    if leads {
        format!("{name} (leader)")
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::detect::causes) fn draft(at: Elapsed, key: u64) -> Draft {
        Draft {
            shard: 0,
            node: Some(0),
            at,
            what: String::new(),
            key,
            kind: None,
        }
    }

    #[test]
    fn rules_about_findings_name_findings_that_exist() {
        for kind in BROKEN.iter().chain(STATE) {
            assert!(crate::plan::findings::severity(kind).is_some(), "{kind}");
        }
    }
}
