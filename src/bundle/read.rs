//! Reads a bundle that may be hostile.
//!
//! Nothing is written but what the manifest, the first entry, names: plain relative paths, each once, of the size and
//! with the checksum it says. Links, devices, folders and extended headers are refused; memory is bounded by the
//! decoder's window and one buffer, disk by the manifest's checked sum. Files are made anew in an empty folder that only
//! this process knows, which takes its name when all is there; a bundle that is wrong anywhere leaves nothing.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufReader, Read, Write},
    path::Path,
};

use super::{
    BundleError, FORMAT, MANIFEST,
    manifest::{FileLine, Manifest},
    write::Hashing,
};

/// Longest manifest: some hundred bytes for each of the most files.
const LONGEST_MANIFEST: u64 = 16 << 20;

/// Largest window of the decoder as a power of two: what our own compression needs, and 16 MiB of memory at most.
const WINDOW: u32 = 24;

type Archive = tar::Archive<zstd::Decoder<'static, BufReader<File>>>;

fn damaged(path: &Path, why: impl Into<String>) -> BundleError {
    BundleError::Damaged {
        path: path.to_owned(),
        why: why.into(),
    }
}

fn open(path: &Path) -> Result<Archive, BundleError> {
    let file = File::open(path).map_err(BundleError::io("open", path))?;
    let mut decoder = zstd::Decoder::new(file).map_err(BundleError::io("read", path))?;
    decoder
        .window_log_max(WINDOW)
        .map_err(BundleError::io("read", path))?;
    Ok(tar::Archive::new(decoder))
}

/// What a bundle says of itself; checked, but its files are not read.
///
/// # Errors
/// When it is no bundle, or its manifest is not one that may be followed.
pub fn head(path: &Path) -> Result<Manifest, BundleError> {
    let mut archive = open(path)?;
    let mut entries = archive
        .entries()
        .map_err(|error| damaged(path, error.to_string()))?
        .raw(true);
    manifest(path, entries.next())
}

fn manifest<R: Read>(
    path: &Path,
    entry: Option<std::io::Result<tar::Entry<'_, R>>>,
) -> Result<Manifest, BundleError> {
    let entry = entry.ok_or_else(|| damaged(path, "it is empty"))?;
    let mut entry = entry.map_err(|error| damaged(path, error.to_string()))?;
    let (name, size) = regular(&entry).map_err(|why| damaged(path, why))?;
    if name != MANIFEST || size > LONGEST_MANIFEST {
        return Err(damaged(path, "its first entry is no manifest"));
    }
    let mut text = Vec::new();
    entry
        .read_to_end(&mut text)
        .map_err(|error| damaged(path, error.to_string()))?;
    let format: Format = serde_json::from_slice(&text)
        .map_err(|error| damaged(path, format!("its manifest cannot be read: {error}")))?;
    if format.format > FORMAT {
        return Err(BundleError::Newer {
            path: path.to_owned(),
            found: format.format,
        });
    }
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| damaged(path, format!("its manifest cannot be read: {error}")))?;
    manifest.check().map_err(|why| damaged(path, why))?;
    Ok(manifest)
}

#[derive(serde::Deserialize)]
struct Format {
    format: u32,
}

/// Name and size of a plain file; everything else is refused.
fn regular<R: Read>(entry: &tar::Entry<'_, R>) -> Result<(String, u64), String> {
    let header = entry.header();
    if header.entry_type() != tar::EntryType::Regular {
        return Err("an entry is no plain file".to_owned());
    }
    let name = header.path_bytes();
    let name = std::str::from_utf8(&name).map_err(|_| "a name is no text".to_owned())?;
    let size = header.size().map_err(|error| error.to_string())?;
    Ok((name.to_owned(), size))
}

/// Reads a bundle to its end, and hands every file to what `open_for` answers.
fn read_all<W: Write>(
    path: &Path,
    mut open_for: impl FnMut(&FileLine) -> Result<W, BundleError>,
) -> Result<Manifest, BundleError> {
    let mut archive = open(path)?;
    let mut entries = archive
        .entries()
        .map_err(|error| damaged(path, error.to_string()))?
        .raw(true);
    let manifest = manifest(path, entries.next())?;
    for line in &manifest.files {
        let entry = entries
            .next()
            .ok_or_else(|| damaged(path, format!("{} is missing", line.path)))?;
        let entry = entry.map_err(|error| damaged(path, error.to_string()))?;
        let (name, size) = regular(&entry).map_err(|why| damaged(path, why))?;
        if name != line.path || size != line.size {
            return Err(damaged(
                path,
                format!("{} is not what the manifest says", line.path),
            ));
        }
        let mut target = open_for(line)?;
        let mut hash = Hashing::new(entry);
        std::io::copy(&mut hash, &mut target)
            .map_err(|error| damaged(path, format!("{}: {error}", line.path)))?;
        if hash.read != line.size || hash.digest() != line.sha256 {
            return Err(damaged(
                path,
                format!("the checksum of {} does not match", line.path),
            ));
        }
    }
    if entries.next().is_some() {
        return Err(damaged(path, "more is in it than the manifest says"));
    }
    Ok(manifest)
}

/// Whether a bundle is whole; writes nothing.
///
/// # Errors
/// When it is not whole, or not as its manifest says.
pub fn verify(path: &Path) -> Result<Manifest, BundleError> {
    read_all(path, |_| Ok(std::io::sink()))
}

/// Unpacks a bundle into a folder that is not there yet.
///
/// # Errors
/// When it is not whole, not as its manifest says, or cannot be written; then the folder is not there either.
pub fn unpack(path: &Path, folder: &Path) -> Result<Manifest, BundleError> {
    let parent = folder.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(BundleError::io("create", parent))?;
    let temporary = tempfile::Builder::new()
        .prefix(".unpacking-")
        .tempdir_in(parent)
        .map_err(BundleError::io("create a folder in", parent))?;
    let manifest = read_all(path, |line| {
        let target = temporary.path().join(&line.path);
        let beneath = target.parent().unwrap_or(temporary.path());
        fs::create_dir_all(beneath).map_err(BundleError::io("create", beneath))?;
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&target)
            .map_err(BundleError::io("create", &target))
    })?;
    fs::rename(temporary.path(), folder).map_err(BundleError::io("rename to", folder))?;
    Ok(manifest)
}

#[cfg(test)]
mod tests;
