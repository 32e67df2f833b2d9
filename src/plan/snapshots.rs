//! Where a chain begins, and the snapshots that a run makes by itself.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Plan, PlanError, SoakTime,
    faults::Trigger,
    manifest::Manifest,
    resolve::{self, Sources},
    values::Size,
};
use crate::{
    ids::{Height, ShardId},
    time::{Clocks, Window},
};

/// Longest name of a snapshot or lineage: it becomes a folder's name.
const LONGEST_NAME: usize = 80;
/// Rungs of a lineage that are kept where nothing is said, and how many may be asked for.
const KEEP: u32 = 8;
const KEEP_MOST: u32 = 1_000;
/// Bytes of a lineage where nothing is said.
const BUDGET: u64 = 20 << 30;
/// Shortest soak from a rung on, in blocks.
const SHORTEST: u64 = 100;
/// Most blocks between two rungs: beyond any run.
const MOST_BLOCKS: u64 = 1_000_000_000;

/// Where the chain begins, as typed: one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartManifest {
    /// The newest rung of this lineage that a healthy stretch followed; genesis while there is none.
    pub lineage: Option<String>,
    /// This snapshot: its name, or the path of its folder.
    pub snapshot: Option<String>,
}

/// Snapshots that the run makes by itself, as typed: a ladder of them, thinned out towards its beginning.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SnapshotManifest {
    /// A rung whenever the highest shard has made so many blocks more: `10000 blocks`, or the blocks of a time.
    pub every: Option<Window>,
    /// Most rungs of the lineage. Default 8.
    pub keep: Option<u32>,
    /// Most bytes of all its rungs. Default `20 GiB`.
    pub budget: Option<Size>,
    /// The lineage. Default: that of `start`, else the plan's name.
    pub lineage: Option<String>,
}

/// Where the chain begins.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// At genesis.
    #[default]
    Genesis,
    /// The newest good rung of a lineage: to be looked for before the start.
    Lineage(String),
    /// A snapshot by name or path: to be looked for before the start.
    Named(String),
    /// A snapshot that was found and fits.
    Snapshot(Box<Begun>),
}

/// A snapshot that a chain begins from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Begun {
    /// Its name.
    pub name: String,
    /// Its folder on this machine.
    pub folder: PathBuf,
    /// SHA-256 of its manifest, by which it is known again elsewhere.
    pub identity: String,
    /// The seed that its keys and genesis follow from.
    pub seed: String,
    /// Where its shards stand.
    pub heights: Vec<ShardHeight>,
    /// The chain's age in mainnet time.
    pub age: SoakTime,
}

/// A shard and its height.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardHeight {
    /// The shard.
    pub shard: ShardId,
    /// The height of its newest block.
    pub height: Height,
}

/// The ladder of snapshots that a run makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ladder {
    /// Whose rungs they are.
    pub lineage: String,
    /// Blocks between two rungs.
    pub every: u64,
    /// Most rungs.
    pub keep: u32,
    /// Most bytes.
    pub budget: u64,
}

impl Plan {
    /// What the network's keys and genesis follow from: the seed of the snapshot that it begins from, else the plan's.
    #[must_use]
    pub fn network_seed(&self) -> &str {
        match &self.start {
            Start::Snapshot(begun) => &begun.seed,
            _ => &self.seed,
        }
    }

    /// What is left of this plan from a rung on that its run made after so much of the soak: what was due before is left
    /// out, what was due later comes as much earlier, and no new rungs are made.
    #[must_use]
    pub fn from_rung(mut self, begun: Begun, soaked: Duration) -> Self {
        let height = begun.heights.iter().map(|shard| shard.height.0).max();
        let earlier = |at: &mut Duration| match at.checked_sub(soaked) {
            Some(left) => {
                *at = left;
                true
            }
            None => false,
        };
        self.schedule.retain_mut(|fault| match &mut fault.trigger {
            Trigger::After(at) => earlier(at),
            Trigger::Height(at) => height.is_none_or(|height| *at > height),
            Trigger::Log(_) => true,
        });
        self.drill = self
            .drill
            .filter(|drill| drill.at >= soaked)
            .map(|mut drill| {
                drill.at -= soaked;
                drill
            });
        let shortest = self.clocks.blocks(SHORTEST);
        self.soak = self
            .soak
            .map(|soak| SoakTime(soak.0.saturating_sub(soaked).max(shortest)));
        self.start = Start::Snapshot(Box::new(begun));
        self.ladder = None;
        self
    }

    /// The snapshot that the chain begins from.
    #[must_use]
    pub fn begun(&self) -> Option<&Begun> {
        match &self.start {
            Start::Snapshot(begun) => Some(begun),
            _ => None,
        }
    }
}

/// Whether a text can name a snapshot or a lineage: it becomes the name of a folder.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let first = |byte: &u8| byte.is_ascii_alphanumeric();
    text.len() <= LONGEST_NAME
        && text.bytes().all(good)
        && text.as_bytes().first().is_some_and(first)
}

/// Any text as such a name.
#[must_use]
pub fn as_name(text: &str) -> String {
    let mapped = text.chars().map(|character| {
        if character.is_ascii_alphanumeric() || "-_.".contains(character) {
            character
        } else {
            '-'
        }
    });
    let name: String = mapped.take(LONGEST_NAME).collect();
    let name = name.trim_start_matches(|first: char| !first.is_ascii_alphanumeric());
    if name.is_empty() {
        "snapshot".to_owned()
    } else {
        name.to_owned()
    }
}

/// Resolves both keys of a plan.
///
/// # Errors
/// What is missing, out of range, or names nothing.
pub(super) fn resolve(
    sources: &Sources,
    manifest: &Manifest,
    clocks: &Clocks,
) -> Result<(Start, Option<Ladder>), PlanError> {
    let name = |key: &str, text: &Option<String>| match text {
        Some(text) if !is_name(text) => Err(sources.bad(
            key,
            "is no name: up to 80 letters, digits, `-`, `_` and `.`",
        )),
        text => Ok(text.clone()),
    };
    let typed = manifest.start.clone().unwrap_or_default();
    let lineage = name("start.lineage", &typed.lineage)?;
    let start = match (lineage.clone(), typed.snapshot) {
        (Some(_), Some(_)) => {
            return Err(sources.bad("start", "`lineage` and `snapshot` exclude each other"));
        }
        (Some(lineage), None) => Start::Lineage(lineage),
        (None, Some(snapshot)) => Start::Named(snapshot),
        (None, None) => Start::Genesis,
    };
    let Some(typed) = &manifest.snapshot else {
        return Ok((start, None));
    };
    let Some(every) = typed.every else {
        return Err(sources.missing(
            "snapshot.every",
            "like `10000 blocks`, `30m` or `1d mainnet`",
        ));
    };
    let wall = resolve::window(sources, "snapshot.every", Some(every), clocks)?.unwrap_or_default();
    let blocks = match every {
        Window::Blocks(blocks) => blocks,
        _ => (wall.as_secs_f64() / clocks.block_interval.as_secs_f64()).ceil() as u64,
    };
    let keep = typed.keep.unwrap_or(KEEP);
    if !(2..=KEEP_MOST).contains(&keep) {
        return Err(sources.bad("snapshot.keep", "is from 2 to 1000 rungs"));
    }
    let own = name("snapshot.lineage", &typed.lineage)?;
    Ok((
        start,
        Some(Ladder {
            lineage: own.or(lineage).unwrap_or_else(|| as_name(&sources.name)),
            every: blocks.clamp(1, MOST_BLOCKS),
            keep,
            budget: typed.budget.map_or(BUDGET, |size| size.0),
        }),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{PlanRequest, load};

    #[test]
    fn names_are_fit_for_folders() {
        for good in ["nightly-main", "a", "v3.1_rc", "7"] {
            assert!(is_name(good), "{good}");
        }
        for bad in [
            "",
            "..",
            ".hidden",
            "a/b",
            "a b",
            "-a",
            "é",
            &"x".repeat(81),
        ] {
            assert!(!is_name(bad), "{bad}");
            assert!(is_name(&as_name(bad)), "{bad}");
        }
        assert_eq!(as_name("nightly/212"), "nightly-212");
    }

    #[test]
    fn from_a_rung_on_only_what_is_left_is_done() {
        let mut plan = load(&PlanRequest {
            plan: "faults".to_owned(),
            allow_helper: true,
            ..PlanRequest::default()
        })
        .unwrap();
        let soak = plan.soak.unwrap().0;
        plan.ladder = Some(Ladder {
            lineage: "a".to_owned(),
            every: 10,
            keep: 8,
            budget: 1,
        });
        let due = |plan: &Plan| -> Vec<Duration> {
            let faults = plan.schedule.iter();
            faults
                .filter_map(|fault| match fault.trigger {
                    Trigger::After(at) => Some(at),
                    _ => None,
                })
                .collect()
        };
        let before = due(&plan);
        assert!(before.len() > 4);
        let begun = Begun {
            name: "a".to_owned(),
            folder: "/a".into(),
            identity: String::new(),
            seed: "s".to_owned(),
            heights: Vec::new(),
            age: SoakTime(Duration::ZERO),
        };
        let cut = before[2];
        let left = plan.clone().from_rung(begun.clone(), cut);
        let shifted: Vec<Duration> = before.iter().filter_map(|at| at.checked_sub(cut)).collect();
        assert_eq!(due(&left), shifted);
        assert_eq!(left.soak.unwrap().0, soak - cut);
        assert_eq!((left.network_seed(), left.ladder.is_none()), ("s", true));
        // Beyond its end a little is left, so that something can be found.
        let late = plan.from_rung(begun, soak * 2);
        assert!(late.schedule.is_empty() && !late.soak.unwrap().0.is_zero());
    }
}
