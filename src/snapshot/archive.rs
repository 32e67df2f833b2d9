//! A tree of files from one tar stream into another: only what data is made of, within bounds.

use std::{
    cell::Cell,
    io::{self, Read, Write},
    path::{Component, Path, PathBuf},
    rc::Rc,
};

use sha2::{Digest as _, Sha256};
use tar::EntryType;

use crate::plan::AGE_FILE;

/// Most entries of one tree: more inodes than a small disk has.
const MOST_ENTRIES: u64 = 4_000_000;
/// Most bytes that an entry may have before its data: names, and what else is told about it.
const HEADERS: u64 = 1 << 20;
/// Permissions that are kept: of user, group and others, and the sticky bit. Nothing that gives rights away.
const MODES: u32 = 0o1777;

/// What was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Copied {
    /// Files, folders and links.
    pub entries: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Who owns what is written; as it was for `None`.
pub type Owner = Option<(u32, u32)>;

/// Copies files, folders and links; anything else (sockets, pipes, devices) is left out, as are names that lead out of
/// the tree.
///
/// # Errors
/// What reading or writing said; a tree of more than `most` bytes, counted as the files say that they are long.
pub fn copy(from: impl Read, to: impl Write, owner: Owner, most: u64) -> io::Result<Copied> {
    let allowed = Rc::new(Cell::new(HEADERS));
    let mut input = tar::Archive::new(Allowed {
        from,
        allowed: Rc::clone(&allowed),
    });
    let mut output = tar::Builder::new(to);
    let mut copied = Copied::default();
    let mut entries = input.entries()?;
    loop {
        // Names and other extensions are read whole into memory before an entry can be looked at.
        allowed.set(HEADERS);
        let Some(entry) = entries.next() else { break };
        let mut entry = entry?;
        allowed.set(u64::MAX);
        one(&mut entry, &mut output, &mut copied, owner, most)?;
        // What was not wanted is over before the next one is looked for.
        io::copy(&mut entry, &mut io::sink())?;
    }
    allowed.set(u64::MAX);
    output.into_inner()?.flush()?;
    // What follows the end of the archive belongs to the stream all the same: who writes it waits until it is taken.
    io::copy(&mut input.into_inner(), &mut io::sink())?;
    Ok(copied)
}

/// A reader that gives so many bytes and then fails.
struct Allowed<R> {
    from: R,
    allowed: Rc<Cell<u64>>,
}

impl<R: Read> Read for Allowed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        let left = self.allowed.get().checked_sub(read as u64);
        let left = left.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("what stands before a file in it is longer than {HEADERS} bytes"),
            )
        })?;
        self.allowed.set(left);
        Ok(read)
    }
}

/// Copies one entry, or leaves it out.
fn one(
    entry: &mut tar::Entry<'_, impl Read>,
    output: &mut tar::Builder<impl Write>,
    copied: &mut Copied,
    owner: Owner,
    most: u64,
) -> io::Result<()> {
    let Some(path) = within(&entry.path()?) else {
        return Ok(());
    };
    // What makes a disk old is made anew where the data goes on.
    if path == Path::new(AGE_FILE) {
        return Ok(());
    }
    let kind = match entry.header().entry_type() {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => EntryType::Regular,
        kind @ (EntryType::Directory | EntryType::Symlink | EntryType::Link) => kind,
        _ => return Ok(()),
    };
    copied.entries += 1;
    copied.bytes = copied
        .bytes
        .saturating_add(if kind.is_file() { entry.size() } else { 0 });
    if copied.entries > MOST_ENTRIES || copied.bytes > most {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it holds more than {MOST_ENTRIES} files or, as they say, {most} bytes"),
        ));
    }
    let mut header = header(entry.header(), kind, owner)?;
    match kind {
        EntryType::Regular => {
            header.set_size(entry.size());
            let mut data = Read::take(&mut *entry, header.size()?);
            output.append_data(&mut header, &path, &mut data)?;
            if data.limit() > 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        EntryType::Directory => output.append_data(&mut header, &path, io::empty())?,
        _ => {
            let Some(target) = entry.link_name()? else {
                return Ok(());
            };
            // A hard link names another file of the tree; a symbolic one is a text that nobody follows here.
            let target = if kind == EntryType::Link {
                match within(&target) {
                    Some(target) => target,
                    None => return Ok(()),
                }
            } else {
                target.into_owned()
            };
            output.append_link(&mut header, &path, target)?;
        }
    }
    Ok(())
}

fn header(of: &tar::Header, kind: EntryType, owner: Owner) -> io::Result<tar::Header> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(of.mode()? & MODES);
    let (uid, gid) = match owner {
        Some((uid, gid)) => (uid.into(), gid.into()),
        None => (of.uid()?, of.gid()?),
    };
    header.set_uid(uid);
    header.set_gid(gid);
    header.set_mtime(of.mtime()?);
    header.set_size(0);
    Ok(header)
}

/// A path below the root of the tree; `None` for the root itself and for what leads out of it.
fn within(path: &Path) -> Option<PathBuf> {
    let mut inside = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => inside.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    (!inside.as_os_str().is_empty()).then_some(inside)
}

/// Hashes and counts what goes through it, in either direction.
#[derive(Debug)]
pub struct Hashed<Inner> {
    inner: Inner,
    hash: Sha256,
    count: u64,
}

impl<Inner> Hashed<Inner> {
    /// Around a reader or writer.
    pub fn new(inner: Inner) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
            count: 0,
        }
    }

    /// Bytes so far, and their SHA-256 in hexadecimal digits.
    pub fn finish(self) -> (Inner, u64, String) {
        (self.inner, self.count, hex::encode(self.hash.finalize()))
    }
}

impl<Inner: Read> Read for Hashed<Inner> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(&buffer[..count]);
        self.count += count as u64;
        Ok(count)
    }
}

impl<Inner: Write> Write for Hashed<Inner> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(buffer)?;
        self.hash.update(&buffer[..count]);
        self.count += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(archive: &mut tar::Builder<Vec<u8>>, kind: EntryType, path: &str, data: &[u8]) {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o4755);
        header.set_uid(7);
        header.set_gid(7);
        header.set_mtime(11);
        header.set_size(data.len() as u64);
        // Names that the library itself would refuse.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        archive.append(&header, data).unwrap();
    }

    fn owned(header: &mut tar::Header) {
        header.set_mode(0o600);
        header.set_uid(7);
        header.set_gid(7);
        header.set_mtime(11);
    }

    fn names(bytes: &[u8]) -> Vec<String> {
        let mut archive = tar::Archive::new(bytes);
        let entries = archive.entries().unwrap();
        entries
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect()
    }

    #[test]
    fn only_files_folders_and_links_of_the_tree_are_kept() {
        let mut archive = tar::Builder::new(Vec::new());
        entry(&mut archive, EntryType::Directory, "./", b"");
        entry(&mut archive, EntryType::Directory, "./log/", b"");
        entry(&mut archive, EntryType::Regular, "./log/a", b"hello");
        entry(&mut archive, EntryType::Regular, "../../etc/cron", b"x");
        entry(&mut archive, EntryType::Regular, "/etc/passwd", b"x");
        entry(&mut archive, EntryType::Char, "./device", b"");
        entry(&mut archive, EntryType::Fifo, "./pipe", b"");
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(EntryType::Link);
        owned(&mut header);
        header.set_size(0);
        archive
            .append_link(&mut header, "./same", "./log/a")
            .unwrap();
        let bytes = archive.into_inner().unwrap();
        let mut copy_of = Vec::new();
        let copied = copy(bytes.as_slice(), &mut copy_of, Some((10, 20)), 100).unwrap();
        assert_eq!(names(&copy_of), ["log", "log/a", "same"]);
        assert_eq!((copied.entries, copied.bytes), (3, 5));
        let mut archive = tar::Archive::new(copy_of.as_slice());
        let mut entries = archive.entries().unwrap();
        let header = entries.nth(1).unwrap().unwrap().header().clone();
        assert_eq!(header.mode().unwrap(), 0o755);
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (10, 20));
        assert_eq!(header.mtime().unwrap(), 11);
        // A copy of a copy is the same.
        let mut again = Vec::new();
        copy(copy_of.as_slice(), &mut again, None, 100).unwrap();
        assert_eq!(copy_of, again);
    }

    #[test]
    fn long_names_and_bounds_hold() {
        let long = "d/".repeat(90) + "file";
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        owned(&mut header);
        archive
            .append_data(&mut header, &long, &b"abc"[..])
            .unwrap();
        let bytes = archive.into_inner().unwrap();
        let mut copy_of = Vec::new();
        copy(bytes.as_slice(), &mut copy_of, None, 3).unwrap();
        assert_eq!(names(&copy_of), [long]);
        let error = copy(bytes.as_slice(), io::sink(), None, 2).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(copy(&bytes[..600], io::sink(), None, 99).is_err(), "cut");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_get_an_answer(bytes: Vec<u8>) {
            let _ = copy(bytes.as_slice(), io::sink(), None, 1 << 20);
        }
    }
}
