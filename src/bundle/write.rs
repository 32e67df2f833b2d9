//! Packs a run directory. Everything is read twice: once for the manifest, which comes first, once into the archive.

use std::{
    fs::{self, File},
    io::{Read, Seek as _, SeekFrom, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use super::{
    BundleError, FORMAT, IMAGE, MANIFEST, RUNG,
    manifest::{BundledImage, FileLine, Manifest, Part, check_path},
};
use crate::{run::directory::RunRecord, time::RunClock};

/// Files of a run directory that always go into a bundle, where they are there.
const FILES: [&str; 12] = [
    "run.json",
    "plan.json",
    "layers.json",
    "machine.json",
    "verdict.json",
    "findings.json",
    "summary.json",
    "templates.json",
    "rungs.json",
    "report.md",
    "junit.xml",
    "output.txt",
];

/// Folders of a run directory that go into a bundle. Not `faults`: heals are of use only where the run was.
const FOLDERS: [&str; 3] = ["journal", "evidence", "logs"];

/// Most bytes of one log, its newest: some hundred thousand lines.
const LOG: u64 = 4 << 20;

/// Most bytes of all logs together.
const LOGS: u64 = 128 << 20;

/// Compression: the default is as fast as a disk, and journals are compressed already.
const LEVEL: i32 = 3;

/// What is packed.
#[derive(Debug)]
pub struct Contents<'a> {
    /// The run directory.
    pub directory: &'a Path,
    /// Its record.
    pub record: &'a RunRecord,
    /// The seed, for the manifest.
    pub seed: &'a str,
    /// What is left out.
    pub without: &'a [Part],
    /// The nodes' image, if the run recorded it.
    pub image: Option<BundledImage>,
    /// Its archive on this machine, to be packed too.
    pub archive: Option<&'a Path>,
    /// Folder of the snapshot that the run's worst finding is repeated from.
    pub rung: Option<&'a Path>,
}

impl Contents<'_> {
    /// What would be packed, in order.
    ///
    /// # Errors
    /// When a file cannot be read or has no place in a bundle.
    pub fn manifest(&self) -> Result<Manifest, BundleError> {
        let mut paths = Vec::new();
        for name in FILES {
            if self.directory.join(name).is_file() {
                paths.push(name.to_owned());
            }
        }
        for name in FOLDERS {
            self.walk(name, &mut paths)?;
        }
        if self.rung.is_some() {
            self.walk(RUNG, &mut paths)?;
            paths.retain(|path| path.strip_prefix(RUNG) != Some("/lock"));
        }
        paths.retain(|path| Part::of(path).is_none_or(|part| !self.without.contains(&part)));
        let logs = paths.iter().filter(|path| is_log(path)).count() as u64;
        let log = LOG.min(LOGS / logs.max(1));
        let mut files = Vec::new();
        for path in paths {
            let most = if is_log(&path) { log } else { u64::MAX };
            files.push(line(&self.source(&path), path, most)?);
        }
        let mut image = self.image.clone();
        if let (Some(image), Some(archive)) = (&mut image, self.archive) {
            image.file = Some(IMAGE.to_owned());
            files.push(line(archive, IMAGE.to_owned(), u64::MAX)?);
        }
        let mut without = self.without.to_vec();
        without.sort_unstable();
        without.dedup();
        Ok(Manifest {
            format: FORMAT,
            canarynet: env!("CARGO_PKG_VERSION").to_owned(),
            run: self.record.run.clone(),
            name: self.record.name.clone(),
            plan: self.record.plan.clone(),
            profile: self.record.profile.clone(),
            seed: self.seed.to_owned(),
            verdict: self.record.verdict.clone(),
            packed: RunClock::wall(),
            without,
            image,
            files,
        })
    }

    /// All regular files under a folder; links are not followed, and not packed.
    fn walk(&self, folder: &str, paths: &mut Vec<String>) -> Result<(), BundleError> {
        let whole = self.source(folder);
        let entries = match fs::read_dir(&whole) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(BundleError::io("read", &whole)(error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(BundleError::io("read", &whole))?;
            let kind = entry.file_type().map_err(BundleError::io("read", &whole))?;
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if kind.is_dir() || kind.is_file() {
                check_path(&path).map_err(|why| BundleError::Path {
                    path: path.clone(),
                    why,
                })?;
                found.push((path, kind.is_dir()));
            }
        }
        found.sort_unstable();
        for (path, is_folder) in found {
            if is_folder {
                self.walk(&path, paths)?;
            } else {
                paths.push(path);
            }
        }
        Ok(())
    }

    fn source(&self, path: &str) -> PathBuf {
        match (self.archive, self.rung) {
            (Some(archive), _) if path == IMAGE => archive.to_owned(),
            (_, Some(rung)) if path == RUNG => rung.to_owned(),
            (_, Some(rung)) => match path
                .strip_prefix(RUNG)
                .and_then(|rest| rest.strip_prefix('/'))
            {
                Some(rest) => rung.join(rest),
                None => self.directory.join(path),
            },
            _ => self.directory.join(path),
        }
    }
}

fn is_log(path: &str) -> bool {
    Part::of(path) == Some(Part::Logs)
}

/// Size and checksum of a file, or of its last `most` bytes.
fn line(source: &Path, path: String, most: u64) -> Result<FileLine, BundleError> {
    let mut file = File::open(source).map_err(BundleError::io("open", source))?;
    let whole = file
        .metadata()
        .map_err(BundleError::io("look at", source))?
        .len();
    let cut = whole.saturating_sub(most);
    file.seek(SeekFrom::Start(cut))
        .map_err(BundleError::io("read", source))?;
    let mut hash = Hashing::new(file.take(whole - cut));
    std::io::copy(&mut hash, &mut std::io::sink()).map_err(BundleError::io("read", source))?;
    Ok(FileLine {
        path,
        size: hash.read,
        sha256: hash.digest(),
        cut,
    })
}

/// Writes a bundle in one step: it is there whole or not at all.
///
/// # Errors
/// When something cannot be read or written, or changed meanwhile.
pub fn write(
    contents: &Contents<'_>,
    manifest: &Manifest,
    output: &Path,
) -> Result<(), BundleError> {
    let folder = match output.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let temporary = tempfile::NamedTempFile::new_in(folder)
        .map_err(BundleError::io("create a file in", folder))?;
    let failed = || BundleError::io("write", output);
    let encoder = zstd::Encoder::new(temporary.as_file(), LEVEL).map_err(failed())?;
    let mut archive = tar::Builder::new(encoder);
    let text = serde_json::to_vec_pretty(manifest)
        .map_err(std::io::Error::from)
        .map_err(failed())?;
    append(&mut archive, MANIFEST, text.len() as u64, text.as_slice()).map_err(failed())?;
    for file in &manifest.files {
        let source = contents.source(&file.path);
        let mut opened = File::open(&source).map_err(BundleError::io("open", &source))?;
        opened
            .seek(SeekFrom::Start(file.cut))
            .map_err(BundleError::io("read", &source))?;
        let mut hash = Hashing::new(opened.take(file.size));
        append(&mut archive, &file.path, file.size, &mut hash).map_err(failed())?;
        if hash.read != file.size || hash.digest() != file.sha256 {
            return Err(BundleError::Changed {
                path: file.path.clone(),
            });
        }
    }
    let encoder = archive.into_inner().map_err(failed())?;
    let mut file = encoder.finish().map_err(failed())?;
    file.flush()
        .and_then(|()| file.sync_all())
        .map_err(failed())?;
    temporary
        .persist(output)
        .map_err(|error| BundleError::io("write", output)(error.error))?;
    Ok(())
}

/// An entry without owner, time or extension: equal contents give equal bundles.
fn append(
    archive: &mut tar::Builder<impl Write>,
    path: &str,
    size: u64,
    data: impl Read,
) -> std::io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_path(path)?;
    header.set_size(size);
    header.set_mode(0o644);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    archive.append(&header, data)
}

/// Hashes what is read through it.
pub(super) struct Hashing<R> {
    inner: R,
    hash: Sha256,
    /// Bytes read so far.
    pub(super) read: u64,
}

impl<R> Hashing<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
            read: 0,
        }
    }

    /// In hexadecimal digits.
    pub(super) fn digest(self) -> String {
        hex::encode(self.hash.finalize())
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(&buffer[..count]);
        self.read += count as u64;
        Ok(count)
    }
}
