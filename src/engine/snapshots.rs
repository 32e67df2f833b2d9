//! Trees of files of containers, kept in compressed archives and given back; in bounded memory.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read},
    path::Path,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc;

use super::{docker::Docker, error::EngineError};
use crate::snapshot::{
    Part,
    archive::{self, Hashed, Owner},
};

/// Bytes handed over at once.
const CHUNK: usize = 256 << 10;
/// Chunks in flight; who is faster waits.
const CHUNKS: usize = 4;
/// Compression: the fastest, because the network stands still meanwhile.
const LEVEL: i32 = 1;

/// A tree and where it is.
#[derive(Debug, Clone)]
pub struct Tree {
    /// The container.
    pub container: String,
    /// The folder in it.
    pub folder: String,
}

/// Writes what is under a folder of a container into an archive of this name in a folder of this machine. The container
/// may be frozen or not run; its files must not change.
///
/// # Errors
/// What the engine said, a tree that claims more than `most` bytes, a deadline that passed, or why the archive cannot be
/// written.
pub async fn save(
    docker: &Docker,
    tree: &Tree,
    into: &Path,
    name: &str,
    most: u64,
    deadline: Duration,
) -> Result<Part, EngineError> {
    let path = into.join(name);
    let (sender, receiver) = mpsc::channel(CHUNKS);
    let packing = {
        let (path, name) = (path.clone(), name.to_owned());
        tokio::task::spawn_blocking(move || pack(receiver, &path, &name, most))
    };
    let mut chunks = Box::pin(docker.download(&tree.container, &tree.folder));
    let feeding = async move {
        while let Some(chunk) = chunks.next().await {
            let failed = chunk.is_err();
            // Who packs has gone away with an error of its own, which is told below.
            if sender.send(chunk).await.is_err() || failed {
                break;
            }
        }
    };
    let work = async {
        feeding.await;
        packing.await
    };
    let too_late = || EngineError::Deadline {
        operation: "save the files of container",
        subject: tree.container.clone(),
        deadline,
    };
    let packed = tokio::time::timeout(deadline, work)
        .await
        .map_err(|_| too_late())?;
    let packed = packed.map_err(|error| EngineError::inside("packing", &error.to_string()))?;
    packed.map_err(|source| EngineError::Write { path, source })
}

/// Packs a stream of tar into a file, on a thread that may block.
fn pack(
    chunks: mpsc::Receiver<Result<Bytes, EngineError>>,
    path: &Path,
    name: &str,
    most: u64,
) -> io::Result<Part> {
    let file = Hashed::new(BufWriter::with_capacity(CHUNK, File::create(path)?));
    let mut encoder = zstd::Encoder::new(file, LEVEL)?;
    let copied = archive::copy(ChannelReader::new(chunks), &mut encoder, None, most)?;
    let (file, packed, sha256) = encoder.finish()?.finish();
    file.into_inner().map_err(io::IntoInnerError::into_error)?;
    Ok(Part {
        file: name.to_owned(),
        entries: copied.entries,
        bytes: copied.bytes,
        packed,
        sha256,
    })
}

/// Fills a folder of a container from an archive; all of it belongs to `owner` then. The archive is checked as it goes:
/// one that is damaged fails, and what was filled from it must not be used.
///
/// # Errors
/// What the engine said, a damaged archive, or a deadline that passed.
pub async fn fill(
    docker: &Docker,
    tree: &Tree,
    from: &Path,
    part: &Part,
    owner: Owner,
    deadline: Duration,
) -> Result<(), EngineError> {
    let path = from.join(&part.file);
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(CHUNKS);
    let unpacking = {
        let (part, path) = (part.clone(), path.clone());
        tokio::task::spawn_blocking(move || unpack(&path, &part, owner, sender))
    };
    let uploaded = docker
        .upload(&tree.container, &tree.folder, stream(receiver), deadline)
        .await;
    let unpacked = unpacking
        .await
        .map_err(|error| EngineError::inside("unpacking", &error.to_string()))?;
    match (unpacked, uploaded) {
        // Nobody reads any more: what the engine said is why.
        (Err(error), Err(engine)) if error.kind() == io::ErrorKind::BrokenPipe => Err(engine),
        (Err(source), _) => Err(EngineError::Read { path, source }),
        (Ok(()), uploaded) => uploaded,
    }
}

fn stream(
    receiver: mpsc::Receiver<io::Result<Bytes>>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    futures_util::stream::unfold(receiver, |mut receiver| async move {
        let item = receiver.recv().await?;
        Some((item, receiver))
    })
}

fn unpack(
    path: &Path,
    part: &Part,
    owner: Owner,
    sender: mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    let mut writer = ChannelWriter {
        sender: sender.clone(),
        buffer: Vec::with_capacity(CHUNK),
    };
    let mut checked = || {
        let file = Hashed::new(BufReader::with_capacity(CHUNK, File::open(path)?));
        let mut decoder = zstd::Decoder::with_buffer(BufReader::new(file))?;
        archive::copy(&mut decoder, &mut writer, owner, part.bytes)?;
        let mut file = decoder.finish();
        // The hash is about every byte of the file.
        io::copy(&mut file, &mut io::sink())?;
        let (_, packed, sha256) = file.into_inner().finish();
        if packed != part.packed || sha256 != part.sha256 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "its checksum is not the one of the manifest: it was changed or is damaged",
            ));
        }
        Ok(())
    };
    let outcome = checked();
    if let Err(error) = &outcome {
        // The engine must not take what came so far for all of it.
        let _gone = sender.blocking_send(Err(io::Error::new(error.kind(), error.to_string())));
    }
    outcome
}

/// Reads what comes through a channel, on a thread that may block.
struct ChannelReader {
    chunks: mpsc::Receiver<Result<Bytes, EngineError>>,
    rest: Bytes,
}

impl ChannelReader {
    fn new(chunks: mpsc::Receiver<Result<Bytes, EngineError>>) -> Self {
        Self {
            chunks,
            rest: Bytes::new(),
        }
    }
}

impl Read for ChannelReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.chunks.blocking_recv() {
                Some(Ok(chunk)) => self.rest = chunk,
                Some(Err(error)) => return Err(io::Error::other(error)),
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.rest.len());
        buffer[..count].copy_from_slice(&self.rest.split_to(count));
        Ok(count)
    }
}

/// Writes into a channel, on a thread that may block.
struct ChannelWriter {
    sender: mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
}

impl ChannelWriter {
    fn send(&mut self) -> io::Result<()> {
        let chunk = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK));
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.sender.blocking_send(Ok(chunk.into())).map_err(gone)
    }
}

impl io::Write for ChannelWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.send()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for number in 0..40_u8 {
            let mut header = tar::Header::new_gnu();
            header.set_size(30_000);
            header.set_mode(0o600);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(1);
            let bytes = vec![number; 30_000];
            archive
                .append_data(&mut header, format!("data/{number}"), bytes.as_slice())
                .unwrap();
        }
        archive.into_inner().unwrap()
    }

    fn packed(folder: &Path) -> Part {
        let (sender, receiver) = mpsc::channel(1_000);
        for chunk in tree().chunks(10_000) {
            sender.try_send(Ok(Bytes::copy_from_slice(chunk))).unwrap();
        }
        drop(sender);
        pack(receiver, &folder.join("a"), "a", 2 << 20).unwrap()
    }

    fn unpacked(folder: &Path, part: &Part) -> (io::Result<()>, Vec<u8>, bool) {
        let (sender, mut receiver) = mpsc::channel(1_000);
        let outcome = unpack(&folder.join(&part.file), part, Some((5, 6)), sender);
        let (mut bytes, mut failed) = (Vec::new(), false);
        while let Ok(chunk) = receiver.try_recv() {
            match chunk {
                Ok(chunk) => bytes.extend_from_slice(&chunk),
                Err(_) => failed = true,
            }
        }
        (outcome, bytes, failed)
    }

    #[test]
    fn what_is_saved_is_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let part = packed(folder.path());
        assert_eq!((part.entries, part.bytes), (40, 1_200_000));
        assert!(part.packed < 100_000, "{}", part.packed);
        let (outcome, bytes, failed) = unpacked(folder.path(), &part);
        outcome.unwrap();
        assert!(!failed);
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut entries = archive.entries().unwrap();
        let mut seen = 0;
        while let Some(Ok(mut entry)) = entries.next() {
            assert_eq!(entry.header().uid().unwrap(), 5);
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            assert_eq!(content, vec![seen; 30_000]);
            seen += 1;
        }
        assert_eq!(seen, 40);
    }

    #[test]
    fn what_is_damaged_is_found_and_the_engine_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let part = packed(folder.path());
        let path = folder.path().join("a");
        let good = std::fs::read(&path).unwrap();
        for at in [5, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            let (outcome, _, failed) = unpacked(folder.path(), &part);
            assert!(outcome.is_err() && failed, "at {at}");
        }
        std::fs::write(&path, &good[..good.len() / 2]).unwrap();
        assert!(unpacked(folder.path(), &part).0.is_err());
        std::fs::write(&path, [good.as_slice(), b"more"].concat()).unwrap();
        assert!(unpacked(folder.path(), &part).0.is_err());
    }

    #[test]
    fn a_stream_that_breaks_off_makes_no_archive() {
        let folder = tempfile::tempdir().unwrap();
        let (sender, receiver) = mpsc::channel(2);
        sender
            .try_send(Ok(Bytes::from(tree()[..9_000].to_vec())))
            .unwrap();
        sender
            .try_send(Err(EngineError::inside("x", "the engine went away")))
            .unwrap();
        let error = pack(receiver, &folder.path().join("a"), "a", 2 << 20).unwrap_err();
        assert!(error.to_string().contains("went away"), "{error}");
    }
}
