//! What goes into an image: files with their places, found by following an executable's needs.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use lddtree::DependencyAnalyzer;
use sha2::{Digest as _, Sha256};

use super::{TOOLBOX, check_executable};
use crate::engine::error::EngineError;

/// How an executable is linked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Linkage {
    /// File name of its loader; `None` if it is static.
    pub loader: Option<String>,
}

/// One file of an image.
#[derive(Debug, Clone)]
pub(super) enum Item {
    /// A copy of a local file.
    File { source: PathBuf, mode: u32 },
    /// Bytes made here.
    Bytes { bytes: Vec<u8>, mode: u32 },
    /// Another name of a file of the image.
    Link { of: String },
    /// An empty folder.
    Folder { mode: u32 },
}

/// The files of an image by path, without leading slash.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    pub(super) items: BTreeMap<String, Item>,
    /// Name of the executable in `/bin` that is the entry point.
    pub(super) entry_point: String,
    pub(super) linkage: Linkage,
}

impl Contents {
    /// What every image has: an empty `/tmp` and names for the two users that matter, which programs look up.
    pub(super) fn new() -> Self {
        let mut contents = Self::default();
        contents
            .items
            .insert("tmp".to_owned(), Item::Folder { mode: 0o1777 });
        for (path, text) in [
            (
                "etc/passwd",
                "root:x:0:0::/:/bin/false\nnode:x:1000:1000::/tmp:/bin/false\nnobody:x:65534:65534::/:/bin/false\n",
            ),
            ("etc/group", "root:x:0:\nnode:x:1000:\nnogroup:x:65534:\n"),
            (
                "etc/nsswitch.conf",
                "passwd: files\ngroup: files\nhosts: files dns\n",
            ),
        ] {
            contents.items.insert(
                path.to_owned(),
                Item::Bytes {
                    bytes: text.as_bytes().to_vec(),
                    mode: 0o644,
                },
            );
        }
        contents
    }

    /// Adds an executable and all that the loader will ask for.
    pub(super) fn add_executable(
        &mut self,
        source: &Path,
        target: &str,
        architecture: &str,
    ) -> Result<Linkage, EngineError> {
        check_executable(source, architecture)?;
        let refuse = |why: String| EngineError::Pack {
            path: source.to_owned(),
            why,
        };
        let tree = DependencyAnalyzer::default()
            .analyze(source)
            .map_err(|error| refuse(format!("its libraries cannot be read: {error}")))?;
        let mut missing = Vec::new();
        for library in tree.libraries.values() {
            match &library.realpath {
                Some(real) => {
                    let name = base_name(&library.name);
                    self.add_file(real, &format!("lib/{name}"), 0o755)?;
                }
                None => missing.push(base_name(&library.name).to_owned()),
            }
        }
        if !missing.is_empty() {
            missing.sort();
            return Err(refuse(format!(
                "this machine does not have the libraries it needs: {}; install them, or link it statically",
                missing.join(", ")
            )));
        }
        let loader = match &tree.interpreter {
            Some(interpreter) => Some(self.add_loader(Path::new(interpreter))?),
            None => None,
        };
        self.add_file(source, target, 0o755)?;
        Ok(Linkage { loader })
    }

    /// The loader is wanted at its own path, and beside the libraries for use by hand.
    fn add_loader(&mut self, interpreter: &Path) -> Result<String, EngineError> {
        let real = interpreter
            .canonicalize()
            .map_err(|source| EngineError::Read {
                path: interpreter.to_owned(),
                source,
            })?;
        let name = base_name(&interpreter.to_string_lossy()).to_owned();
        let flat = format!("lib/{name}");
        self.add_file(&real, &flat, 0o755)?;
        let place = interpreter
            .to_string_lossy()
            .trim_start_matches('/')
            .to_owned();
        if place != flat {
            self.items.insert(place, Item::Link { of: flat });
        }
        Ok(name)
    }

    /// Adds one local file.
    pub(super) fn add_file(
        &mut self,
        source: &Path,
        target: &str,
        mode: u32,
    ) -> Result<(), EngineError> {
        let source = source.canonicalize().map_err(|error| EngineError::Read {
            path: source.to_owned(),
            source: error,
        })?;
        self.items
            .insert(target.to_owned(), Item::File { source, mode });
        Ok(())
    }

    /// Names the executable that the image runs.
    pub(super) fn set_entry_point(&mut self, name: &str, linkage: Linkage) {
        name.clone_into(&mut self.entry_point);
        self.linkage = linkage;
    }

    /// Adds the toolbox: the entry point and its libraries once more, as hard links.
    pub(super) fn add_toolbox(&mut self) -> Result<(), EngineError> {
        let folder = TOOLBOX.trim_start_matches('/');
        let links: Vec<(String, String)> = self
            .items
            .iter()
            .filter(|(_, item)| matches!(item, Item::File { .. }))
            .filter_map(|(path, _)| {
                if let Some(name) = path.strip_prefix("lib/") {
                    Some((format!("{folder}/lib/{name}"), path.clone()))
                } else if *path == format!("bin/{}", self.entry_point) {
                    Some((format!("{folder}/canarynet"), path.clone()))
                } else {
                    None
                }
            })
            .collect();
        for (place, of) in links {
            self.items.insert(place, Item::Link { of });
        }
        Ok(())
    }

    /// The hash of paths, modes and bytes: 16 hexadecimal digits.
    pub(super) fn hash(&self) -> Result<String, EngineError> {
        let mut hash = Sha256::new();
        // Changes of the image's configuration must make a new image, too.
        hash.update(b"canarynet image 1\0");
        hash.update(self.entry_point.as_bytes());
        for (path, item) in &self.items {
            hash.update([0]);
            hash.update(path.as_bytes());
            hash.update([0]);
            match item {
                Item::File { source, mode } => {
                    hash.update(mode.to_le_bytes());
                    hash_file(&mut hash, source)?;
                }
                Item::Bytes { bytes, mode } => {
                    hash.update(mode.to_le_bytes());
                    hash.update(bytes);
                }
                Item::Link { of } => hash.update(of.as_bytes()),
                Item::Folder { mode } => hash.update(mode.to_le_bytes()),
            }
        }
        Ok(hex::encode(&hash.finalize()[..8]))
    }
}

fn hash_file(hash: &mut Sha256, path: &Path) -> Result<(), EngineError> {
    let read = |source: io::Error| EngineError::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(read)?;
    let mut buffer = vec![0_u8; 256 * 1024];
    loop {
        match file.read(&mut buffer).map_err(read)? {
            0 => return Ok(()),
            count => hash.update(&buffer[..count]),
        }
    }
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_executable_brings_its_loader_and_libraries_and_the_hash_follows_the_content() {
        let own = std::env::current_exe().unwrap();
        let architecture = std::env::consts::ARCH;
        let mut contents = Contents::new();
        let linkage = contents
            .add_executable(&own, "bin/canarynet", architecture)
            .unwrap();
        contents.set_entry_point("canarynet", linkage.clone());
        contents.add_toolbox().unwrap();
        if let Some(loader) = &linkage.loader {
            assert!(contents.items.contains_key(&format!("lib/{loader}")));
            assert!(
                contents
                    .items
                    .contains_key(&format!(".canarynet/lib/{loader}"))
            );
        }
        assert!(contents.items.contains_key(".canarynet/canarynet"));
        let before = contents.hash().unwrap();
        assert_eq!(before, contents.hash().unwrap());
        assert_eq!(before.len(), 16);

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "one").unwrap();
        contents.add_file(&file, "etc/extra", 0o644).unwrap();
        let one = contents.hash().unwrap();
        std::fs::write(&file, "two").unwrap();
        assert_ne!(one, contents.hash().unwrap());
        assert_ne!(one, before);
    }
}
