//! The root file system of an image as a stream, in bounded memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Write},
};

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::mpsc;

use super::contents::{Contents, Item};

/// Bytes handed over at once.
const CHUNK: usize = 256 * 1024;
/// Chunks in flight; the writer waits when the engine is slow.
const CHUNKS: usize = 4;

/// Streams the archive; the writing happens on a thread that may block.
pub(super) fn stream(
    contents: Contents,
) -> impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static {
    let (sender, receiver) = mpsc::channel(CHUNKS);
    tokio::task::spawn_blocking(move || {
        let mut writer = ChannelWriter {
            sender: sender.clone(),
            buffer: Vec::with_capacity(CHUNK),
        };
        let written = write(&contents, &mut writer).and_then(|()| writer.flush());
        if let Err(error) = written {
            // A receiver that went away has its own error already.
            let _gone = sender.blocking_send(Err(error));
        }
    });
    futures_util::stream::unfold(receiver, |mut receiver| async move {
        let item = receiver.recv().await?;
        Some((item, receiver))
    })
}

/// Writes the archive: folders first, then files, then links, because a link's file must come before it.
fn write(contents: &Contents, writer: &mut impl Write) -> io::Result<()> {
    let mut archive = tar::Builder::new(writer);
    let mut folders: BTreeMap<String, u32> = BTreeMap::new();
    for (path, item) in &contents.items {
        if let Item::Folder { mode } = item {
            folders.insert(path.clone(), *mode);
        }
        for parent in parents(path) {
            folders.entry(parent).or_insert(0o755);
        }
    }
    for (path, mode) in &folders {
        let mut header = header(tar::EntryType::Directory, 0, *mode);
        archive.append_data(&mut header, format!("{path}/"), io::empty())?;
    }
    for (path, item) in &contents.items {
        match item {
            Item::File { source, mode } => {
                let file = File::open(source)?;
                let size = file.metadata()?.len();
                let mut header = header(tar::EntryType::Regular, size, *mode);
                // Exactly the announced bytes, also if somebody appends to the file meanwhile.
                archive.append_data(&mut header, path, io::Read::take(file, size))?;
            }
            Item::Bytes { bytes, mode } => {
                let mut header = header(tar::EntryType::Regular, bytes.len() as u64, *mode);
                archive.append_data(&mut header, path, bytes.as_slice())?;
            }
            Item::Link { .. } | Item::Folder { .. } => {}
        }
    }
    for (path, item) in &contents.items {
        if let Item::Link { of } = item {
            let mut header = header(tar::EntryType::Link, 0, 0o755);
            archive.append_link(&mut header, path, of)?;
        }
    }
    archive.finish()
}

/// Owner and time are fixed: the same content is the same archive.
fn header(kind: tar::EntryType, size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn parents(path: &str) -> BTreeSet<String> {
    path.match_indices('/')
        .map(|(at, _)| path[..at].to_owned())
        .collect()
}

struct ChannelWriter {
    sender: mpsc::Sender<Result<Bytes, io::Error>>,
    buffer: Vec<u8>,
}

impl Write for ChannelWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK));
        self.sender
            .blocking_send(Ok(Bytes::from(full)))
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn the_archive_holds_every_item_and_links_follow_their_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, vec![7_u8; CHUNK * 2 + 5]).unwrap();
        let mut contents = Contents::new();
        contents.add_file(&file, "bin/z", 0o755).unwrap();
        contents.items.insert(
            "a/link".to_owned(),
            Item::Link {
                of: "bin/z".to_owned(),
            },
        );

        let chunks: Vec<_> = stream(contents).collect().await;
        let bytes: Vec<u8> = chunks
            .into_iter()
            .flat_map(|chunk| chunk.unwrap())
            .collect();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let seen: Vec<(String, tar::EntryType, u64)> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                (
                    entry.path().unwrap().to_string_lossy().into_owned(),
                    entry.header().entry_type(),
                    entry.size(),
                )
            })
            .collect();
        let at = |name: &str| seen.iter().position(|(path, ..)| path == name).unwrap();
        assert!(at("a/") < at("bin/z") && at("bin/z") < at("a/link"));
        assert_eq!(seen[at("bin/z")].2, (CHUNK * 2 + 5) as u64);
        assert_eq!(seen[at("a/link")].1, tar::EntryType::Link);
        at("tmp/");
    }
}
