//! Checkpoints: what was concluded so far, in a file, so that who takes a run over need not judge weeks of it again.
//!
//! ```text
//!  loop: flush the journal --> judge, curves, past in bytes --> (beside the loop) compressed, sealed, renamed into place
//!  attach: checkpoint --> is it of this build, this run, this journal? --> judge what came after its entry
//! ```
//! A cache and never an authority: whatever is wrong with it, the journal is judged from its start.
//!
//! Invariant: a checkpoint knows no entry that the operating system does not have: the journal is flushed first, in the
//! same turn of the loop, and no checkpoint is made while entries are held back. What a kill takes with it comes after
//! it. After a power cut the file may know more than the journal does; then its last entry is not there.

use std::{
    io::{self, Read as _},
    sync::OnceLock,
    time::Duration,
};

use futures_util::FutureExt as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;

use super::{
    conductor::{Conductor, chain},
    directory::RunDirectory,
    error::RunError,
    past::{Past, state_of},
};
use crate::{
    detect::kept::KeptError,
    ids::{RunId, Seq},
    time::Elapsed,
};

/// The file in the run's directory.
pub(super) const FILE: &str = "checkpoint";

/// What the file begins with. The number changes with what follows it, the state left aside: that is this build's own.
const MAGIC: &[u8] = b"canarynet checkpoint 1\n";
/// Bytes of the hash after it, over all that follows.
const HASH: usize = 32;
/// The state of a thousand nodes is a tenth of this; more is no state.
const LARGEST: u64 = 1 << 30;

/// Longest time between two checkpoints: what is judged in a second or less when the run is taken over.
const EVERY: Duration = Duration::from_secs(600);
/// Shortest time between two: with a small budget segments are small.
const LEAST: Duration = Duration::from_secs(10);

/// Why a checkpoint is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// The file cannot be read.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    /// It is cut or changed, or no checkpoint at all.
    #[error("it is damaged")]
    Damaged,
    /// Another program made it.
    #[error("it is of another build, of version {0}")]
    Build(String),
    /// It is another run's.
    #[error("it is of run {0}")]
    Run(RunId),
    /// It does not fit this plan or these detectors.
    #[error("it does not fit")]
    State(#[source] KeptError),
    /// The journal does not have what it knows.
    #[error("its last entry {0} is not in the journal")]
    NotInJournal(Seq),
}

/// What a checkpoint is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// Version of the program.
    pub(super) canarynet: String,
    /// The program itself: a hash of its file.
    pub(super) build: String,
    /// The run.
    pub(super) run: RunId,
    /// The last entry that it knows.
    pub(super) seq: Seq,
    /// ... and the time of that entry.
    pub(super) elapsed: Elapsed,
}

/// A checkpoint that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub(super) head: Head,
    /// See [`state_of`].
    pub(super) state: Vec<u8>,
}

impl Checkpoint {
    /// The bytes of its file. The state is compressed at the fastest level: its size is what matters less.
    pub(super) fn seal(&self) -> io::Result<Vec<u8>> {
        let mut body = postcard::to_stdvec(&self.head).map_err(io::Error::other)?;
        body.extend(zstd::bulk::compress(&self.state, 1)?);
        let hash = Sha256::digest(&body);
        Ok([MAGIC, &hash[..], &body].concat())
    }

    /// From the bytes of its file.
    pub(super) fn open(bytes: &[u8], build: &str, run: &RunId) -> Result<Self, Refusal> {
        let sealed = bytes.strip_prefix(MAGIC).ok_or(Refusal::Damaged)?;
        let (hash, body) = sealed.split_at_checked(HASH).ok_or(Refusal::Damaged)?;
        if Sha256::digest(body)[..] != *hash {
            return Err(Refusal::Damaged);
        }
        let (head, state) =
            postcard::take_from_bytes::<Head>(body).map_err(|_| Refusal::Damaged)?;
        if head.build != build {
            return Err(Refusal::Build(head.canarynet));
        }
        if head.run != *run {
            return Err(Refusal::Run(head.run));
        }
        let mut raw = Vec::new();
        zstd::Decoder::new(state)
            .and_then(|decoder| decoder.take(LARGEST).read_to_end(&mut raw))
            .map_err(|_| Refusal::Damaged)?;
        Ok(Self { head, state: raw })
    }
}

/// This program, by a hash of its file; read once.
fn own_build() -> io::Result<&'static str> {
    static BUILD: OnceLock<String> = OnceLock::new();
    if let Some(build) = BUILD.get() {
        return Ok(build);
    }
    // By the kernel's own link: the file that runs, also where another one has its name by now.
    let file = std::fs::File::open("/proc/self/exe");
    let mut file = file.or_else(|_| std::fs::File::open(std::env::current_exe()?))?;
    let mut hash = Sha256::new();
    let mut part = vec![0; 256 * 1024];
    loop {
        match file.read(&mut part)? {
            0 => break,
            count => hash.update(&part[..count]),
        }
    }
    Ok(BUILD.get_or_init(|| hex::encode(hash.finalize())))
}

/// The checkpoint of a run, if it has one.
pub(super) fn read(directory: &RunDirectory, run: &RunId) -> Result<Option<Checkpoint>, Refusal> {
    let bytes = match std::fs::read(directory.path().join(FILE)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Refusal::Read(error)),
    };
    let build = own_build().map_err(Refusal::Read)?;
    Checkpoint::open(&bytes, build, run).map(Some)
}

/// Removes the checkpoint of a run. Best effort: one that is left is refused, or pruned with the logs.
pub(super) fn forget(directory: &RunDirectory) {
    let _ = std::fs::remove_file(directory.path().join(FILE));
}

/// What a checkpoint holds beside judge and curves, and when the next one is due.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    pub(super) past: Past,
    at: Elapsed,
    segment: u64,
    writing: Option<JoinHandle<Result<(), String>>>,
    /// It was told that one could not be written.
    told: bool,
}

impl Checkpoints {
    /// Of a run so far.
    pub(super) fn after(past: Past) -> Self {
        Self {
            past,
            ..Self::default()
        }
    }

    /// Whether the next one is due: with each segment, so that no more than one is read again, with each doubling of a
    /// young run, and every ten minutes. One at a time: where the disk is slow they come less often.
    fn is_due(&self, now: Elapsed, segment: u64) -> bool {
        let passed = now.since(self.at);
        let every = self.at.as_duration().clamp(LEAST, EVERY);
        self.writing.is_none() && (passed >= every || (segment != self.segment && passed >= LEAST))
    }

    /// Why the last one was not written, if so.
    fn problem(&mut self) -> Option<String> {
        let written = self.writing.as_mut()?.now_or_never()?;
        self.writing = None;
        match written {
            Ok(Ok(())) => None,
            Ok(Err(why)) => Some(why),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Seals it and writes it in one step, beside the loop. Not synced: a power cut may cost it, and it only saves time.
    fn write(&mut self, directory: &RunDirectory, run: &RunId, state: Vec<u8>) {
        let Some((seq, elapsed)) = self.past.last else {
            return;
        };
        let (directory, run) = (directory.clone(), run.clone());
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let head = Head {
                canarynet: env!("CARGO_PKG_VERSION").to_owned(),
                build: own_build().map_err(|error| error.to_string())?.to_owned(),
                run,
                seq,
                elapsed,
            };
            let sealed = Checkpoint { head, state }.seal();
            let sealed = sealed.map_err(|error| error.to_string())?;
            let written = directory.write(FILE, &sealed);
            written.map_err(|error| chain(&error))
        }));
    }

    /// The run is over: nobody takes it over any more.
    pub(super) async fn end(&mut self, directory: &RunDirectory) {
        if let Some(writing) = self.writing.take() {
            // Whatever came of it, it goes now.
            let _ = writing.await;
        }
        forget(directory);
    }
}

impl Conductor {
    /// Makes a checkpoint where one is due. Between two entries: judge, curves and past know the same.
    pub(super) fn checkpoint(&mut self, now: Elapsed) -> Result<(), RunError> {
        if let Some(why) = self.checkpoints.problem() {
            self.no_checkpoint(&why);
        }
        let Some(journal) = &mut self.journal else {
            return Ok(());
        };
        journal.flush()?;
        let Some(segment) = journal.settled() else {
            return Ok(());
        };
        if !self.checkpoints.is_due(now, segment) {
            return Ok(());
        }
        (self.checkpoints.at, self.checkpoints.segment) = (now, segment);
        match state_of(&self.judge, &self.curves, &self.checkpoints.past) {
            Ok(state) => {
                let run = &self.record.run;
                self.checkpoints.write(&self.directory, run, state);
            }
            Err(error) => self.no_checkpoint(&chain(&error)),
        }
        Ok(())
    }

    /// Tells once that one could not be made: the run goes on without.
    fn no_checkpoint(&mut self, why: &str) {
        if !std::mem::replace(&mut self.checkpoints.told, true) {
            self.note(&format!(
                "no checkpoint could be made: {why}; who takes this run over judges its whole journal"
            ));
        }
    }
}

#[cfg(test)]
mod tests;
