//! Defects: bugs of a node that a profile switches on, so that a canary can be seen to catch them. All off by default.
//!
//! A defect is one variant here and one narrow hook where it bites; what takes more than a line is in
//! `consensus::defective` (the pure ones) or in [`leaks`]. Nothing that judges reads any of this.

pub mod leaks;

use std::str::FromStr;

use clap::ValueEnum;

/// One bug. The first line of each says what the node does, then what part of July 2019 it stands for, and what
/// exposes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Defect {
    /// The signatures on the newest block are kept in memory only: a leader that was restarted cannot propose.
    ///
    /// "The last commit signatures are not persisted in DB and once the leader is restarted, the last commit
    /// signatures are gone." A restart of the leader shows it; a restart of the whole shard stops the shard for good.
    LoseCommitSignatures,
    /// Consensus moves on before the block is on disk: after a failed write memory and disk disagree for ever.
    ///
    /// "The failure of committing new block into disk made block number in consensus object inconsistent with the
    /// current block number in disk, causing invalid Announce message sent from leader." A full disk of the leader.
    HeadBeforeDisk,
    /// A new leader cannot take over what a dead one has begun: views climb for ever.
    ///
    /// "The crashed leader triggered view change on the shard, but the view change protocol did not succeed." A leader
    /// that ends between its announcement and the end of that block.
    ViewChangeCannotRecover,
    /// A failed write, or a message that cannot be read, ends the process.
    ///
    /// "Don't exit the program if not fatal errors." A full disk.
    ExitOnNonfatal,
    /// A node that fell behind never leaves sync mode.
    ///
    /// "Fix issue that nodes stuck in sync mode." A node that was down for some blocks.
    StuckSyncing,
    /// What waits for an answer is said once and never again.
    ///
    /// "Consensus message-level retry." Lost messages.
    NoMessageRetry,
    /// The log is never rotated, and an uncompressed archive of it grows beside it on the data disk.
    ///
    /// "Clean up log files on disk regularly", and "when the log grows big" the scraper takes the disk. Time.
    NoLogRotation,
    /// Some memory is never given back after each block.
    ///
    /// What only a program that runs for long comes to; the canary was asked for because of such bugs. Time.
    MemoryLeak,
    /// A file stays open after each block.
    ///
    /// As `memory-leak`. Time.
    FdLeak,
    /// What a leader does for a block takes a little longer with every height.
    ///
    /// As `memory-leak`: "issues related long-running program". Time.
    BlockTimeCreep,
    /// Leaders say heights in 16 bits: at height 65,536 they say 0, and nobody follows.
    ///
    /// The seed's chain stopped at height 270,109: some heights are only reached by a faster clock. An initial height
    /// near 65,500.
    HeightOverflow,
    /// A leader proposes two blocks at one height and view.
    ///
    /// Not of that day; what the safety rules are for. Nothing is needed.
    Equivocate,
    /// A node that hears no quorum for long makes a block of its own, and keeps to it when it hears the others again.
    ///
    /// "No forks were created": here one is. A partition, or any fault that silences the others.
    ForkOnHeal,
    /// After a restart a node pushes no receipts to other shards any more.
    ///
    /// Shards that stop take others with them. A restart of a whole shard.
    CrossShardLeak,
    /// A validator answers, follows and never signs.
    ///
    /// "Monitor block rewards for 2/3 of nodes." Nothing is needed.
    IdleSigner,
    /// Blocks are reported before they are synced: what a sudden end takes back was already served.
    ///
    /// "Failure to commit block into disk", seen by others as a chain that goes back. A kill or a power cut.
    TornWrite,
}

impl Defect {
    /// Its id, in kebab-case.
    #[must_use]
    pub fn id(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }

    /// The ids of all of them.
    #[must_use]
    pub fn ids() -> Vec<String> {
        Self::value_variants()
            .iter()
            .map(|defect| defect.id())
            .collect()
    }
}

/// The defects of one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Defects(u32);

impl Defects {
    /// Whether it has this one.
    #[must_use]
    pub fn has(self, defect: Defect) -> bool {
        self.0 & (1 << defect as u32) != 0
    }
}

impl FromIterator<Defect> for Defects {
    fn from_iter<T: IntoIterator<Item = Defect>>(defects: T) -> Self {
        let bits = defects.into_iter();
        Self(bits.fold(0, |bits, defect| bits | 1 << defect as u32))
    }
}

/// `none`, or ids with commas between them.
impl FromStr for Defects {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ids = text.split(',').map(str::trim);
        ids.filter(|id| !id.is_empty() && *id != "none")
            .map(|id| <Defect as ValueEnum>::from_str(id, false))
            .collect::<Result<_, _>>()
            .map_err(|_| format!("`{text}` are no defects: {}", Defect::ids().join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_and_written() {
        for defect in Defect::value_variants() {
            let one: Defects = defect.id().parse().unwrap();
            for other in Defect::value_variants() {
                assert_eq!(one.has(*other), other == defect);
            }
        }
        assert_eq!(Defect::LoseCommitSignatures.id(), "lose-commit-signatures");
        let two: Defects = "equivocate, fd-leak".parse().unwrap();
        assert!(two.has(Defect::Equivocate) && two.has(Defect::FdLeak));
        assert!(!two.has(Defect::MemoryLeak));
        assert_eq!("none".parse(), Ok(Defects::default()));
        assert_eq!("".parse(), Ok(Defects::default()));
        assert!(
            "equivocat"
                .parse::<Defects>()
                .unwrap_err()
                .contains("idle-signer")
        );
    }
}
