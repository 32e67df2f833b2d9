//! The store on a real disk, and on one that is really full.

use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::reference_node::chain::{Payload, Proposal, Rules};
use crate::reference_node::consensus::{Lock, PersistedView};
use crate::reference_node::crypto::{Crypto, FakeCrypto};
use crate::reference_node::genesis::{Genesis, GenesisConfig};
use crate::reference_node::types::{Bitmap, Certificate, Header, NodeId, Phase, VotePayload};

const SHARD: ShardId = ShardId(0);

/// A chain of empty blocks, each final as soon as it is made.
struct Chain {
    genesis: Genesis,
    crypto: FakeCrypto,
    head: CommittedBlock,
    state: ChainState,
}

impl Chain {
    fn new() -> Self {
        let genesis = Genesis::new(GenesisConfig::default()).unwrap();
        let head = CommittedBlock {
            block: Arc::new(genesis.block(SHARD)),
            certificate: None,
        };
        let state = genesis.state(SHARD);
        Self {
            genesis,
            crypto: FakeCrypto::new(NodeId::new(0, 0)),
            head,
            state,
        }
    }

    fn certify(&self, header: &Header) -> Certificate {
        let payload = VotePayload {
            phase: Phase::Commit,
            shard: SHARD,
            height: header.height,
            view: header.view,
            block: header.hash(),
        };
        let committee = self.genesis.committee(SHARD, header.epoch);
        let mut signers = Bitmap::new(committee.len());
        (0..committee.len()).for_each(|position| signers.insert(position));
        let votes: Vec<_> = committee
            .nodes(&signers)
            .map(|node| FakeCrypto::new(node).sign_vote(&payload))
            .collect();
        Certificate {
            payload,
            signers,
            signature: self.crypto.aggregate(&votes).unwrap(),
        }
    }

    /// The next block as the write that the core asks for.
    fn grow(&mut self) -> Write {
        let parent = &self.head.block.header;
        let epoch = self.genesis.epoch_of(parent.height + 1);
        let proposal = Proposal {
            parent,
            state: &self.state,
            last_commit: self.head.certificate.clone(),
            leader: self.genesis.committee(SHARD, epoch).at(0),
            view: parent.view + 1,
            timestamp_ms: parent.timestamp_ms + 200,
            payload: &Payload::default(),
        };
        let built = Rules {
            genesis: &self.genesis,
            crypto: &self.crypto,
        }
        .build_block(proposal)
        .unwrap();
        let certificate = Some(self.certify(&built.block.header));
        let previous = std::mem::replace(&mut self.state, built.state);
        self.head = CommittedBlock {
            block: Arc::new(built.block),
            certificate,
        };
        Write::Block {
            committed: self.head.clone(),
            previous,
            state: self.state.clone(),
        }
    }
}

struct Opened {
    store: Store,
    recovered: Recovered,
    results: channel::UnboundedReceiver<Done>,
    next: WriteId,
}

impl Opened {
    fn write(&mut self, write: Write) -> Result<(), String> {
        self.next += 1;
        self.store.write(self.next, write);
        let done = self.results.blocking_recv().unwrap();
        assert_eq!(done.id, self.next, "answers come in the order asked");
        done.result
    }

    fn blocks(&self, from: Height, count: u32, bytes: usize) -> Range {
        run(self.store.blocks(from, count, bytes)).unwrap()
    }
}

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

fn settings(directory: &std::path::Path, retention: Option<u64>) -> Settings {
    Settings {
        defects: Defects::default(),
        directory: directory.to_path_buf(),
        network: Hash::ZERO,
        shard: SHARD,
        retention,
    }
}

fn open(settings: Settings) -> Result<Opened, StoreError> {
    let (sender, results) = channel::unbounded_channel();
    let chain = Chain::new();
    // The thread of an earlier handle may still be closing the file.
    for _ in 0..200 {
        let genesis = || (chain.head.clone(), chain.state.clone());
        match Store::open(settings.clone(), genesis, sender.clone()) {
            Err(StoreError::Database {
                operation: "open",
                cause,
                ..
            }) if cause.contains("already open") => {
                thread::sleep(std::time::Duration::from_millis(10));
            }
            result => {
                return result.map(|(store, recovered)| Opened {
                    store,
                    recovered,
                    results,
                    next: 0,
                });
            }
        }
    }
    panic!("the file stays open");
}

#[test]
fn what_was_written_is_recovered() {
    let directory = tempfile::tempdir().unwrap();
    let mut chain = Chain::new();
    let mut opened = open(settings(directory.path(), None)).unwrap();
    assert!(opened.recovered.fresh);
    for _ in 0..5 {
        opened.write(chain.grow()).unwrap();
    }
    let lock = Lock {
        height: 6,
        view: 9,
        certificate: chain.head.certificate.clone().unwrap(),
        block: Arc::clone(&chain.head.block),
    };
    opened.write(Write::Lock(lock.clone())).unwrap();
    opened
        .write(Write::View(PersistedView { height: 6, view: 9 }))
        .unwrap();
    drop(opened);
    let again = open(settings(directory.path(), None)).unwrap().recovered;
    assert!(!again.fresh);
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(path(directory.path()), path(copy.path())).unwrap();
    assert_eq!(
        head(copy.path()).unwrap(),
        Head {
            height: 5,
            hash: chain.head.block.hash()
        }
    );
    assert!(head(&directory.path().join("none")).is_err());
    assert_eq!(again.head, chain.head);
    assert_eq!(again.state.root(), chain.state.root());
    assert_eq!(again.lock, Some(lock));
    assert_eq!(again.view, Some(PersistedView { height: 6, view: 9 }));
}

#[test]
fn old_blocks_are_pruned_and_ranges_have_no_gap() {
    let directory = tempfile::tempdir().unwrap();
    let mut chain = Chain::new();
    let mut opened = open(settings(directory.path(), Some(20))).unwrap();
    for _ in 0..50 {
        opened.write(chain.grow()).unwrap();
    }
    let all = opened.blocks(31, 1_000, usize::MAX);
    assert_eq!(all.oldest, 31);
    assert_eq!(all.blocks.len(), 20);
    assert!(
        all.blocks
            .iter()
            .zip(31..)
            .all(|(block, height)| block.block.header.height == height)
    );
    assert!(
        opened.blocks(30, 10, usize::MAX).blocks.is_empty(),
        "a pruned height is not answered by a later one"
    );
    assert_eq!(opened.blocks(40, 3, usize::MAX).blocks.len(), 3);
    assert_eq!(
        opened.blocks(40, 100, 0).blocks.len(),
        1,
        "at least one, whatever the bytes"
    );
    let size = crate::reference_node::types::encode(&all.blocks[15]).len();
    assert_eq!(opened.blocks(40, 100, 3 * size).blocks.len(), 3);
    assert!(opened.blocks(51, 1, usize::MAX).blocks.is_empty());
}

#[test]
fn only_the_next_block_or_the_head_again_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let mut chain = Chain::new();
    let mut opened = open(settings(directory.path(), None)).unwrap();
    let (first, second, third) = (chain.grow(), chain.grow(), chain.grow());
    assert!(
        opened
            .write(second.clone())
            .unwrap_err()
            .contains("does not follow")
    );
    opened.write(first.clone()).unwrap();
    opened.write(first.clone()).unwrap();
    opened.write(second).unwrap();
    assert!(opened.write(first).is_err());
    opened.write(third).unwrap();
    assert_eq!(
        opened
            .store
            .counters()
            .reopened
            .load(std::sync::atomic::Ordering::Relaxed),
        0
    );
}

#[test]
fn a_snapshot_replaces_the_chain() {
    let directory = tempfile::tempdir().unwrap();
    let mut chain = Chain::new();
    let mut opened = open(settings(directory.path(), None)).unwrap();
    opened.write(chain.grow()).unwrap();
    for _ in 0..30 {
        chain.grow();
    }
    opened
        .write(Write::Snapshot {
            head: chain.head.clone(),
            state: chain.state.clone(),
        })
        .unwrap();
    opened.write(chain.grow()).unwrap();
    assert_eq!(opened.blocks(31, 10, usize::MAX).blocks.len(), 2);
    assert_eq!(opened.blocks(1, 10, usize::MAX).oldest, 31);
    drop(opened);
    let again = open(settings(directory.path(), None)).unwrap().recovered;
    assert_eq!(again.head, chain.head);
    assert_eq!(again.state.root(), chain.state.root());
}

#[test]
fn a_store_of_another_network_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(settings(directory.path(), None)).unwrap());
    let other = Settings {
        network: Hash::of(&[b"other"]),
        ..settings(directory.path(), None)
    };
    let error = open(other).err().unwrap();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    assert!(!error.is_transient());
}

#[test]
fn damage_is_no_reason_to_try_again() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(settings(directory.path(), None)).unwrap());
    thread::sleep(std::time::Duration::from_millis(100));
    std::fs::write(path(directory.path()), vec![0xab; 100_000]).unwrap();
    let error = open(settings(directory.path(), None)).err().unwrap();
    assert!(!error.is_transient(), "{error}");
}

/// A small file system that is gone at the end of the test.
struct Small(PathBuf);

impl Small {
    /// None, and loud, where the user may not mount.
    fn mount(directory: &std::path::Path) -> Option<Self> {
        use rustix::mount::{MountFlags, mount};
        let options = Some(c"size=3m");
        match mount("tmpfs", directory, "tmpfs", MountFlags::empty(), options) {
            Ok(()) => Some(Self(directory.to_path_buf())),
            Err(error) => {
                eprintln!(
                    "SKIPPED: a full disk was NOT tested, mounting a small tmpfs needs root: {error}"
                );
                None
            }
        }
    }

    fn fill(&self) {
        use std::io::Write as _;
        let mut ballast = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.0.join("ballast"))
            .unwrap();
        while ballast.write_all(&[0; 4_096]).is_ok() {}
    }

    fn free(&self) {
        std::fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

#[test]
fn a_full_disk_loses_nothing_and_is_left_as_soon_as_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let Some(small) = Small::mount(directory.path()) else {
        return;
    };
    let mut chain = Chain::new();
    let mut opened = open(settings(directory.path(), None)).unwrap();
    for _ in 0..10 {
        opened.write(chain.grow()).unwrap();
    }
    for round in 1..=3_u64 {
        small.fill();
        // Free pages inside the file may take some more blocks.
        let (refused, error) = loop {
            let acknowledged = chain.head.clone();
            let write = chain.grow();
            if let Err(error) = opened.write(write.clone()) {
                assert_eq!(opened.recovered.head.block.header.height, 0);
                assert!(acknowledged.block.header.height < chain.head.block.header.height);
                break (write, error);
            }
        };
        assert!(error.contains("no space left on device"), "{error}");
        for _ in 0..5 {
            let error = opened.write(refused.clone()).unwrap_err();
            assert!(error.contains("no space left on device"), "{error}");
        }
        small.free();
        // Within the longest pause between two attempts to open the file.
        let started = std::time::Instant::now();
        while let Err(error) = opened.write(refused.clone()) {
            assert!(
                started.elapsed() < std::time::Duration::from_secs(2),
                "{error}"
            );
            thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(
            opened
                .store
                .counters()
                .reopened
                .load(std::sync::atomic::Ordering::Relaxed)
                >= round
        );
        opened.write(chain.grow()).unwrap();
    }
    let head = chain.head.block.header.height;
    let stored = opened.blocks(0, 1_000, usize::MAX).blocks;
    assert_eq!(
        stored.len() as u64,
        head + 1,
        "every acknowledged block is there, once"
    );
    drop(opened);
    let again = open(settings(directory.path(), None)).unwrap();
    assert_eq!(again.recovered.head, chain.head);
    assert_eq!(again.recovered.state.root(), chain.state.root());
    drop(again);
    thread::sleep(std::time::Duration::from_millis(50));
}

#[test]
fn a_start_that_was_cut_short_leaves_nothing_to_stumble_over() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("reference.redb.new"), vec![0; 10_000]).unwrap();
    let opened = open(settings(directory.path(), None)).unwrap();
    assert!(opened.recovered.fresh);
    assert!(!directory.path().join("reference.redb.new").exists());
}

#[test]
fn a_store_that_tears_loses_what_it_acknowledged_and_a_healthy_one_does_not() {
    for (defects, kept) in [("none", 40..=40), ("torn-write", 24..=39)] {
        let directory = tempfile::tempdir().unwrap();
        let mut chain = Chain::new();
        let mut opened = open(Settings {
            defects: defects.parse().unwrap(),
            ..settings(directory.path(), None)
        })
        .unwrap();
        for _ in 0..40 {
            opened.write(chain.grow()).unwrap();
        }
        // What a power cut leaves: the file as it is, and nobody who closes it.
        let after = tempfile::tempdir().unwrap();
        std::fs::copy(path(directory.path()), path(after.path())).unwrap();
        let again = open(settings(after.path(), None)).unwrap().recovered;
        let head = again.head.block.header.height;
        assert!(
            kept.contains(&head),
            "{defects}: {head} of 40 blocks are left"
        );
    }
}
