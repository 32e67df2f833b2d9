//! What a snapshot says of itself, and whether it fits a plan. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{SHARED_MOST, SnapshotError};
use crate::{
    ids::{Height, NodeName, ShardId},
    plan::{NodePlan, Plan, Program, ShardHeight, SoakTime},
    report::text::bytes,
    time::WallTime,
};

/// Differences that are told.
const MOST_TOLD: usize = 8;

/// `manifest.json` of a snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`super::FORMAT`].
    pub format: u32,
    /// Its name.
    pub name: String,
    /// The lineage that it is a rung of.
    pub lineage: Option<String>,
    /// When it was made.
    pub made: WallTime,
    /// Version of canarynet that made it.
    pub canarynet: String,
    /// The run that it was made of, `plan/number`.
    pub run: String,
    /// What the nodes ran, for people: reference and content.
    pub program: String,
    /// The network.
    pub shape: Shape,
    /// What its keys and genesis follow from.
    pub seed: String,
    /// Third octets of the data and the management network: programs that keep addresses in their data need the same.
    pub subnets: [u8; 2],
    /// Where its shards stood.
    pub heights: Vec<ShardHeight>,
    /// The chain's age in mainnet time.
    pub age: SoakTime,
    /// How long the nodes stood still for it.
    pub pause: SoakTime,
    /// Each node's disk.
    pub nodes: BTreeMap<NodeName, Part>,
    /// The folder that all nodes share, where there is one.
    pub shared: Option<Part>,
}

/// A tree of files in one archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its file in the snapshot's folder.
    pub file: String,
    /// Files, folders and links in it.
    pub entries: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Bytes of the archive.
    pub packed: u64,
    /// SHA-256 of the archive in hexadecimal digits.
    pub sha256: String,
}

/// What must be the same for a network to go on with the data of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// The profile's name.
    pub profile: String,
    /// Number of shards.
    pub shards: u64,
    /// All nodes.
    pub nodes: Vec<NodePlan>,
    /// Where the data disk is mounted.
    pub disk_path: String,
}

impl Shape {
    /// Of a plan.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        Self {
            profile: plan.profile.clone(),
            shards: plan.network.shards,
            nodes: plan.network.nodes.clone(),
            disk_path: plan.network.disk.path.clone(),
        }
    }

    /// Of which lineages are made: the same for the same profile and shape.
    #[must_use]
    pub fn key(&self) -> String {
        // A struct of texts and numbers always has a JSON form.
        let text = serde_json::to_vec(self).unwrap_or_default();
        hex::encode(&Sha256::digest(&text)[..8])
    }

    fn differences(&self, plan: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut differs = |what: &str, ours: &str, theirs: &str| {
            if ours != theirs {
                lines.push(format!(
                    "{what}: the snapshot has {ours}, the plan has {theirs}"
                ));
            }
        };
        differs("profile", &self.profile, &plan.profile);
        differs("shards", &self.shards.to_string(), &plan.shards.to_string());
        let (ours, theirs) = (self.nodes.len(), plan.nodes.len());
        differs("nodes", &ours.to_string(), &theirs.to_string());
        differs("disk.path", &self.disk_path, &plan.disk_path);
        for (ours, theirs) in self.nodes.iter().zip(&plan.nodes) {
            differs("a node", &described(ours), &described(theirs));
        }
        lines.truncate(MOST_TOLD);
        lines
    }
}

fn described(node: &NodePlan) -> String {
    format!(
        "{} ({:?}, shard {}, voting power {})",
        node.name, node.role, node.shard, node.voting_power
    )
}

impl Manifest {
    /// Whether a plan's network can go on with this data.
    ///
    /// # Errors
    /// Every difference, and every disk that is too small.
    pub fn fits(&self, plan: &Plan) -> Result<(), SnapshotError> {
        let mut differences = self.shape.differences(&Shape::of(plan));
        if differences.is_empty() {
            for node in &plan.network.nodes {
                match self.nodes.get(&node.name) {
                    None => {
                        differences.push(format!("{}: the snapshot has no disk of it", node.name))
                    }
                    Some(part) if part.bytes > plan.network.disk.size => differences.push(format!(
                        "disk.size: {} has {} of data, the plan's disks hold {}",
                        node.name,
                        bytes(part.bytes),
                        bytes(plan.network.disk.size)
                    )),
                    Some(_) => {}
                }
            }
            if let Some(part) = &self.shared
                && part.bytes > SHARED_MOST
            {
                differences.push(format!(
                    "the shared folder holds {}, the most is {}",
                    bytes(part.bytes),
                    bytes(SHARED_MOST)
                ));
            }
            differences.truncate(MOST_TOLD);
        }
        if differences.is_empty() {
            return Ok(());
        }
        Err(SnapshotError::Misfit {
            name: self.name.clone(),
            differences,
        })
    }

    /// The highest shard's height.
    #[must_use]
    pub fn height(&self) -> Height {
        self.heights
            .iter()
            .map(|shard| shard.height)
            .max()
            .unwrap_or_default()
    }

    /// Bytes of all its archives.
    #[must_use]
    pub fn packed(&self) -> u64 {
        let parts = self.nodes.values().chain(&self.shared);
        parts.fold(0, |sum, part| sum.saturating_add(part.packed))
    }

    /// Whether every archive is in a file of the snapshot's own folder.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let mut parts = self.nodes.values().chain(&self.shared);
        parts.all(|part| crate::plan::snapshots::is_name(&part.file))
    }
}

/// Whether data goes on only under the addresses that it was made under: so it may be with any program that this one does
/// not know.
#[must_use]
pub fn is_bound_to_addresses(plan: &Plan) -> bool {
    plan.network.program != Program::Itself
}

/// The age of a chain in mainnet time: what it was when the run began, and what the highest shard has made since.
#[must_use]
pub fn age(plan: &Plan, shards: impl IntoIterator<Item = (ShardId, Height, Height)>) -> SoakTime {
    let begun = plan.begun();
    let made = shards.into_iter().map(|(shard, first, now)| {
        let from = begun.and_then(|begun| {
            let known = begun.heights.iter().find(|known| known.shard == shard);
            known.map(|known| known.height)
        });
        // The first block that was seen was made, too.
        let from = from.unwrap_or(Height(first.0.saturating_sub(1)));
        now.0.saturating_sub(from.0)
    });
    let blocks = u32::try_from(made.max().unwrap_or(0)).unwrap_or(u32::MAX);
    let before = begun.map_or_else(Default::default, |begun| begun.age.0);
    SoakTime(before.saturating_add(plan.clocks.mainnet_block_interval.saturating_mul(blocks)))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::plan::{Begun, Start, load, load::PlanRequest};

    pub(crate) fn plan() -> Plan {
        load(&PlanRequest {
            plan: "smoke".to_owned(),
            ..PlanRequest::default()
        })
        .unwrap()
    }

    pub(crate) fn manifest(plan: &Plan, name: &str, height: u64) -> Manifest {
        let part = |node: &NodePlan| Part {
            file: format!("{}.tar.zst", node.name),
            entries: 3,
            bytes: 4 << 20,
            packed: 1 << 20,
            sha256: String::new(),
        };
        let nodes = plan.network.nodes.iter();
        Manifest {
            format: super::super::FORMAT,
            name: name.to_owned(),
            lineage: None,
            made: WallTime(1),
            canarynet: "0.1.0".to_owned(),
            run: "smoke/1".to_owned(),
            program: "reference node".to_owned(),
            shape: Shape::of(plan),
            seed: "s".to_owned(),
            subnets: [4, 5],
            heights: vec![ShardHeight {
                shard: ShardId(0),
                height: Height(height),
            }],
            age: SoakTime(Duration::from_secs(height * 8)),
            pause: SoakTime(Duration::from_secs(1)),
            nodes: nodes.map(|node| (node.name.clone(), part(node))).collect(),
            shared: None,
        }
    }

    #[test]
    fn a_snapshot_fits_its_own_network_and_says_why_it_fits_no_other() {
        let plan = plan();
        let manifest = manifest(&plan, "a", 100);
        manifest.fits(&plan).unwrap();
        let mut other = plan.clone();
        other.speedup = 3.0;
        other.seed = "another".to_owned();
        manifest.fits(&other).unwrap();
        other.profile = "mine".to_owned();
        other.network.nodes.pop();
        let why = manifest.fits(&other).unwrap_err().to_string();
        assert!(
            why.contains("profile: the snapshot has reference-pair"),
            "{why}"
        );
        assert!(
            why.contains("nodes: the snapshot has 8, the plan has 7"),
            "{why}"
        );
        let mut small = plan.clone();
        small.network.disk.size = 2 << 20;
        let why = manifest.fits(&small).unwrap_err().to_string();
        assert!(why.contains("s0-n00 has 4.0 MiB of data"), "{why}");
        assert_eq!(Shape::of(&plan).key(), Shape::of(&small).key());
        assert_ne!(Shape::of(&plan).key(), Shape::of(&other).key());
    }

    #[test]
    fn ages_add_up_from_run_to_run() {
        let mut plan = plan();
        let block = plan.clocks.mainnet_block_interval;
        let shard = |first, now| [(ShardId(0), Height(first), Height(now))];
        assert_eq!(age(&plan, shard(1, 100)).0, block * 100);
        assert_eq!(age(&plan, []).0, Duration::ZERO);
        plan.start = Start::Snapshot(Box::new(Begun {
            name: "a".to_owned(),
            folder: "/x".into(),
            identity: String::new(),
            seed: "s".to_owned(),
            heights: vec![ShardHeight {
                shard: ShardId(0),
                height: Height(100),
            }],
            age: SoakTime(block * 100),
        }));
        assert_eq!(plan.network_seed(), "s");
        // Blocks between the snapshot and the first one that was seen count, too.
        assert_eq!(age(&plan, shard(103, 150)).0, block * 150);
    }

    #[test]
    fn files_of_other_folders_are_refused() {
        let plan = plan();
        let mut manifest = manifest(&plan, "a", 1);
        assert!(manifest.is_sound());
        let first = manifest.nodes.values_mut().next().unwrap();
        first.file = "../../etc/passwd".to_owned();
        assert!(!manifest.is_sound());
    }
}
