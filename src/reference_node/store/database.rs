//! The tables, and what one transaction does to them.
//!
//! | table  | key         | value                                                         |
//! |--------|-------------|---------------------------------------------------------------|
//! | blocks | height      | block and commit certificate                                  |
//! | state  | row key     | row of the state after the head; changed rows are overwritten |
//! | meta   | name        | `network`, `head` (height), `lock`, `view`                    |

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use redb::{Durability, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde::de::DeserializeOwned;

use super::backend::{Backend, Counters};
use super::{FILE, Range, Settings, StoreError, words};
use crate::reference_node::chain::{ChainState, StateChanges, StateRow};
use crate::reference_node::consensus::{CommittedBlock, Lock, PersistedView, Recovered};
use crate::reference_node::{
    defects::{Defect, Defects},
    types::{Hash, Height, ShardId, decode, encode},
};

const BLOCKS: TableDefinition<Height, &[u8]> = TableDefinition::new("blocks");
const STATE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("state");
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");

/// Pages that redb keeps in memory. The working set of a block is a few dozen pages; the rest is the page cache's.
const CACHE_BYTES: usize = 512 * 1_024;
/// A stored value is never larger; what is larger is damage.
const VALUE_LIMIT: usize = 16 * 1_024 * 1_024;
/// Old blocks removed with one new block: one in the steady state, more after `retention` was lowered, and few
/// enough that the transaction stays short.
const PRUNED_AT_ONCE: usize = 16;

/// `torn-write`: heights from one synced transaction to the next. A sudden end costs up to so many blocks.
const TORN: u64 = 32;

/// The name of a file that is not whole yet.
const UNFINISHED: &str = "reference.redb.new";

/// How much of the file is checked when it is opened.
enum Care {
    /// Every page, so that damage is an error of the start and not a surprise later.
    Everything,
    /// What redb has to look at: after a failed write of ours every moment counts.
    AsNeeded,
}

/// The open file.
pub(super) struct Database {
    inner: redb::Database,
    path: PathBuf,
    counters: Arc<Counters>,
    retention: Option<u64>,
    /// Most transactions are not synced (`torn-write`).
    torn: bool,
    /// The stored head.
    pub(super) head: Height,
    head_hash: Hash,
}

/// An error of redb, of whatever step.
type Failure = redb::Error;

impl Database {
    /// Opens or creates, and reads everything that the core starts from.
    pub(super) fn open_and_recover(
        settings: &Settings,
        counters: &Arc<Counters>,
        genesis: impl FnOnce() -> (CommittedBlock, ChainState),
    ) -> Result<(Self, Recovered), StoreError> {
        let path = settings.directory.join(FILE);
        let failed = |source| StoreError::Directory {
            path: settings.directory.clone(),
            source,
        };
        fs::create_dir_all(&settings.directory).map_err(failed)?;
        let fresh = !path.try_exists().map_err(failed)?;
        if fresh {
            let (head, state) = genesis();
            Self::create(settings, counters, &head, &state)?;
            File::open(&settings.directory)
                .and_then(|directory| directory.sync_all())
                .map_err(failed)?;
        }
        let mut database = Self::open_file(&path, settings, counters, Care::Everything)?;
        let recovered = database.recover(settings, fresh)?;
        database.head = recovered.head.block.header.height;
        database.head_hash = recovered.head.block.hash();
        Ok((database, recovered))
    }

    /// Opens again after a failure: only the head is read, the core knows the rest.
    pub(super) fn reopen(
        settings: &Settings,
        counters: &Arc<Counters>,
    ) -> Result<Self, StoreError> {
        let path = settings.directory.join(FILE);
        let mut database = Self::open_file(&path, settings, counters, Care::AsNeeded)?;
        let head = database.read_head()?;
        database.head = head.block.header.height;
        database.head_hash = head.block.hash();
        Ok(database)
    }

    fn open_file(
        path: &Path,
        settings: &Settings,
        counters: &Arc<Counters>,
        care: Care,
    ) -> Result<Self, StoreError> {
        counters.forget_complaint();
        let failed = |operation, cause: Failure| failure(operation, path, &cause, counters);
        let backend =
            Backend::open(path, counters).map_err(|error| failed("open", Failure::Io(error)))?;
        let inner = redb::Builder::new()
            .set_cache_size(CACHE_BYTES)
            .set_check_integrity_on_open(matches!(care, Care::Everything))
            .create_with_backend(backend)
            .map_err(|error| failed("open", error.into()))?;
        Ok(Self {
            inner,
            path: path.to_path_buf(),
            counters: Arc::clone(counters),
            retention: settings.retention,
            torn: settings.defects.has(Defect::TornWrite),
            head: 0,
            head_hash: Hash::ZERO,
        })
    }

    /// Makes the file under another name, so that one with the right name is always whole: a start that is killed or
    /// finds no room half-way leaves nothing that the next start stumbles over.
    fn create(
        settings: &Settings,
        counters: &Arc<Counters>,
        head: &CommittedBlock,
        state: &ChainState,
    ) -> Result<(), StoreError> {
        let failed = |source| StoreError::Directory {
            path: settings.directory.clone(),
            source,
        };
        let unfinished = settings.directory.join(UNFINISHED);
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let rows = all_rows(state);
        let mut database = Self::open_file(&unfinished, settings, counters, Care::AsNeeded)?;
        database.transaction("create", |transaction| {
            put_chain(transaction, head, &rows)?;
            let mut meta = transaction.open_table(META)?;
            meta.insert("network", settings.network.as_bytes())?;
            Ok(())
        })?;
        drop(database);
        fs::rename(&unfinished, settings.directory.join(FILE)).map_err(failed)
    }

    fn recover(&self, settings: &Settings, fresh: bool) -> Result<Recovered, StoreError> {
        let network = self
            .stored("network")?
            .ok_or(StoreError::Missing("network"))?;
        let head = self.read_head()?;
        if network != settings.network.as_bytes() || head.block.header.shard != settings.shard {
            return Err(StoreError::Foreign {
                path: self.path.clone(),
            });
        }
        let state = self.state_of(&head)?;
        let oldest = self.oldest()?;
        self.counters.oldest.store(oldest, Ordering::Relaxed);
        Ok(Recovered {
            fresh,
            head,
            state,
            lock: self.stored_value::<Lock>("lock")?,
            view: self.stored_value::<PersistedView>("view")?,
        })
    }

    /// The head of the file that is there, whatever its network, after the checks of a node's start.
    pub(super) fn look(directory: &Path) -> Result<CommittedBlock, StoreError> {
        let path = directory.join(FILE);
        if !path.exists() {
            return Err(StoreError::Missing("file"));
        }
        let settings = Settings {
            defects: Defects::default(),
            directory: directory.to_path_buf(),
            network: Hash::ZERO,
            shard: ShardId::BEACON,
            retention: None,
        };
        let database = Self::open_file(&path, &settings, &Arc::default(), Care::Everything)?;
        let head = database.read_head()?;
        database.state_of(&head)?;
        Ok(head)
    }

    /// The state after the head, which commits to it.
    fn state_of(&self, head: &CommittedBlock) -> Result<ChainState, StoreError> {
        let rows = self.read("read state of", |transaction| {
            let table = transaction.open_table(STATE)?;
            let mut rows = Vec::new();
            for row in table.iter()? {
                let (key, value) = row?;
                rows.push((key.value().to_vec(), value.value().to_vec()));
            }
            Ok(rows)
        })?;
        let header = &head.block.header;
        let state = ChainState::from_rows(header.shard, rows).map_err(StoreError::State)?;
        if state.root() == header.state_root {
            Ok(state)
        } else {
            Err(StoreError::StateMismatch(header.height))
        }
    }

    fn read_head(&self) -> Result<CommittedBlock, StoreError> {
        let height: Height = self
            .stored_value("head")?
            .ok_or(StoreError::Missing("head"))?;
        let range = self.blocks(height, 1, 0)?;
        range
            .blocks
            .into_iter()
            .next()
            .ok_or(StoreError::Missing("head block"))
    }

    /// Replaces the stored lock.
    pub(super) fn put_lock(&mut self, lock: &Lock) -> Result<(), StoreError> {
        self.put_meta("lock", &encode(lock))
    }

    /// Replaces the stored view.
    pub(super) fn put_view(&mut self, view: &PersistedView) -> Result<(), StoreError> {
        self.put_meta("view", &encode(view))
    }

    /// Appends a block with what it changed in the state. The stored head may already be this very block: a failed
    /// write may have left its content behind, and then it is written once more, because only a finished
    /// transaction is known to be durable.
    pub(super) fn put_block(
        &mut self,
        committed: &CommittedBlock,
        changes: &StateChanges,
    ) -> Result<(), StoreError> {
        let height = committed.block.header.height;
        let hash = committed.block.hash();
        let follows = self.head.checked_add(1) == Some(height)
            && committed.block.header.parent == self.head_hash;
        let repeats = self.head == height && self.head_hash == hash;
        if !follows && !repeats {
            return Err(StoreError::OutOfOrder {
                height,
                head: self.head,
            });
        }
        let bytes = encode(committed);
        let keep_from = self
            .retention
            .map_or(0, |retention| (height + 1).saturating_sub(retention));
        let oldest = self.transaction("write", |transaction| {
            let mut blocks = transaction.open_table(BLOCKS)?;
            blocks.insert(height, bytes.as_slice())?;
            let mut removed = 0;
            let mut oldest = height;
            loop {
                let Some(first) = first_height(&blocks)? else {
                    break;
                };
                oldest = first;
                if first >= keep_from || removed == PRUNED_AT_ONCE {
                    break;
                }
                blocks.remove(first)?;
                removed += 1;
            }
            let mut state = transaction.open_table(STATE)?;
            for key in &changes.delete {
                state.remove(key.as_slice())?;
            }
            for (key, value) in &changes.put {
                state.insert(key.as_slice(), value.as_slice())?;
            }
            let mut meta = transaction.open_table(META)?;
            meta.insert("head", encode(&height).as_slice())?;
            Ok(oldest)
        })?;
        self.head = height;
        self.head_hash = hash;
        self.counters.oldest.store(oldest, Ordering::Relaxed);
        Ok(())
    }

    /// Replaces the chain by a head and its state. Lock and view stay: they carry their height.
    pub(super) fn put_snapshot(
        &mut self,
        head: &CommittedBlock,
        state: &ChainState,
    ) -> Result<(), StoreError> {
        let rows = all_rows(state);
        self.transaction("write snapshot to", |transaction| {
            transaction.delete_table(BLOCKS)?;
            transaction.delete_table(STATE)?;
            put_chain(transaction, head, &rows)
        })?;
        self.head = head.block.header.height;
        self.head_hash = head.block.hash();
        self.counters.oldest.store(self.head, Ordering::Relaxed);
        Ok(())
    }

    /// Consecutive blocks from `from` on, at most `count` and about `bytes` of them, but at least one.
    pub(super) fn blocks(
        &self,
        from: Height,
        count: u32,
        bytes: usize,
    ) -> Result<Range, StoreError> {
        let (raw, oldest) = self.read("read blocks of", |transaction| {
            let table = transaction.open_table(BLOCKS)?;
            let oldest = first_height(&table)?.unwrap_or(0);
            let mut raw = Vec::new();
            let mut left = bytes;
            for (entry, expected) in table.range(from..)?.zip(from..).take(count as usize) {
                let (key, value) = entry?;
                let value = value.value();
                if key.value() != expected || (!raw.is_empty() && value.len() > left) {
                    break;
                }
                left = left.saturating_sub(value.len());
                raw.push(value.to_vec());
            }
            Ok((raw, oldest))
        })?;
        let blocks = raw
            .iter()
            .map(|value| decoded("block", value))
            .collect::<Result<_, _>>()?;
        Ok(Range { blocks, oldest })
    }

    fn oldest(&self) -> Result<Height, StoreError> {
        self.read("read blocks of", |transaction| {
            Ok(first_height(&transaction.open_table(BLOCKS)?)?.unwrap_or(0))
        })
    }

    fn put_meta(&mut self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.transaction("write", |transaction| {
            transaction.open_table(META)?.insert(name, value)?;
            Ok(())
        })
    }

    fn stored(&self, name: &'static str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read("read", |transaction| match transaction.open_table(META) {
            Ok(meta) => Ok(meta.get(name)?.map(|value| value.value().to_vec())),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        })
    }

    fn stored_value<T: DeserializeOwned>(
        &self,
        name: &'static str,
    ) -> Result<Option<T>, StoreError> {
        self.stored(name)?
            .map(|bytes| decoded(name, &bytes))
            .transpose()
    }

    /// One durable transaction, counted.
    fn transaction<T>(
        &mut self,
        operation: &'static str,
        change: impl FnOnce(&redb::WriteTransaction) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        let started = Instant::now();
        let result = (|| {
            let mut transaction = self.inner.begin_write()?;
            if self.torn && !self.head.is_multiple_of(TORN) {
                // Without savepoints this cannot be refused; were it, the transaction would be one more that is synced.
                let _ = transaction.set_durability(Durability::None);
            }
            let value = change(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })();
        if result.is_ok() {
            let spent = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            Counters::add(&self.counters.commits, 1);
            Counters::add(&self.counters.commit_microseconds, spent);
        }
        result.map_err(|cause: Failure| failure(operation, &self.path, &cause, &self.counters))
    }

    fn read<T>(
        &self,
        operation: &'static str,
        look: impl FnOnce(&redb::ReadTransaction) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        (|| look(&self.inner.begin_read()?))()
            .map_err(|cause: Failure| failure(operation, &self.path, &cause, &self.counters))
    }
}

fn all_rows(state: &ChainState) -> Vec<StateRow> {
    state.rows().collect()
}

fn put_chain(
    transaction: &redb::WriteTransaction,
    head: &CommittedBlock,
    rows: &[StateRow],
) -> Result<(), Failure> {
    let height = head.block.header.height;
    transaction
        .open_table(BLOCKS)?
        .insert(height, encode(head).as_slice())?;
    let mut state = transaction.open_table(STATE)?;
    for (key, value) in rows {
        state.insert(key.as_slice(), value.as_slice())?;
    }
    transaction
        .open_table(META)?
        .insert("head", encode(&height).as_slice())?;
    Ok(())
}

fn first_height(
    blocks: &impl redb::ReadableTable<Height, &'static [u8]>,
) -> Result<Option<Height>, Failure> {
    Ok(blocks.first()?.map(|(height, _)| height.value()))
}

fn decoded<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, StoreError> {
    decode(bytes, VALUE_LIMIT).map_err(|source| StoreError::Damaged { what, source })
}

/// Puts the system's words into the error even where redb has only its own.
fn failure(
    operation: &'static str,
    path: &Path,
    cause: &Failure,
    counters: &Counters,
) -> StoreError {
    let complaint = counters.complaint();
    let cause_text = match cause {
        Failure::Io(error) => words(error),
        _ if complaint.is_empty() => cause.to_string(),
        other => format!("{complaint} ({other})"),
    };
    // An I/O error without a number is redb's own word for content that it cannot read.
    let transient = match cause {
        Failure::Io(error) => error.raw_os_error().is_some(),
        Failure::PreviousIo | Failure::DatabaseAlreadyOpen => true,
        _ => !complaint.is_empty(),
    };
    StoreError::Database {
        operation,
        path: path.to_path_buf(),
        cause: cause_text,
        transient,
    }
}
