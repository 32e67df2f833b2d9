//! What is in a bundle, as its first entry says.

use serde::{Deserialize, Serialize};

use crate::{ids::RunId, time::WallTime};

/// Most files of a bundle: a journal of weeks has some hundred segments, a network some hundred logs.
const MOST_FILES: usize = 50_000;

/// Most bytes of all files together; what a run keeps is bounded well below that by its own budgets.
const MOST_BYTES: u64 = 16 << 30;

/// Longest path: what one tar header holds without extensions.
const LONGEST_PATH: usize = 100;

/// The first entry of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`super::FORMAT`].
    pub format: u32,
    /// Version of canarynet that packed it.
    pub canarynet: String,
    /// The run.
    pub run: RunId,
    /// Its name where it was made.
    pub name: String,
    /// The soak plan's name.
    pub plan: String,
    /// The profile's name.
    pub profile: String,
    /// The seed.
    pub seed: String,
    /// The verdict in one word, if the run had one.
    pub verdict: Option<String>,
    /// When it was packed, in milliseconds since 1970-01-01 UTC.
    pub packed: WallTime,
    /// What was left out on purpose.
    pub without: Vec<Part>,
    /// The nodes' image, where the run recorded it; it is in the bundle only if `file` says so.
    pub image: Option<BundledImage>,
    /// Every file that follows, in this order.
    pub files: Vec<FileLine>,
}

/// The image that the nodes ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundledImage {
    /// Its reference.
    pub reference: String,
    /// By content.
    pub digest: String,
    /// Its archive in the bundle.
    pub file: Option<String>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileLine {
    /// Relative, with slashes.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
    /// Bytes at the front that were left out, because logs are bounded.
    #[serde(default)]
    pub cut: u64,
}

/// What may be left out.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The nodes' image (which is packed only with `--images`)
    Images,
    /// Raw logs of the nodes and of the canary
    Logs,
    /// What findings cite, copied when they opened
    Evidence,
    /// The journal; without it nothing can be judged again
    Journal,
    /// The snapshot before the worst finding; without it a run that began from one cannot be repeated
    Rung,
}

impl Part {
    /// To which part a file belongs; `None` to what is always there.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        match path.split('/').next() {
            Some("images") => Some(Self::Images),
            Some("logs" | "output.txt") => Some(Self::Logs),
            Some("evidence") => Some(Self::Evidence),
            Some("journal") => Some(Self::Journal),
            Some(super::RUNG) => Some(Self::Rung),
            _ => None,
        }
    }
}

impl Manifest {
    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let sizes = self.files.iter().map(|file| file.size);
        sizes.fold(0, u64::saturating_add)
    }

    /// Checks that nothing in it can lead out of a folder, name a file twice or fill a disk.
    ///
    /// # Errors
    /// The first thing that is wrong, for people.
    pub fn check(&self) -> Result<(), String> {
        if self.files.len() > MOST_FILES {
            return Err(format!(
                "{} files, more than {MOST_FILES}",
                self.files.len()
            ));
        }
        if self.bytes() > MOST_BYTES {
            return Err(format!("{} bytes, more than {MOST_BYTES}", self.bytes()));
        }
        let mut seen = std::collections::BTreeSet::new();
        for file in &self.files {
            check_path(&file.path).map_err(|why| format!("{:?} {why}", file.path))?;
            if !seen.insert(file.path.to_ascii_lowercase()) {
                return Err(format!("{:?} is there twice", file.path));
            }
        }
        Ok(())
    }
}

/// Whether a path may be in a bundle: relative, plain names, nothing hidden, nowhere out.
///
/// # Errors
/// Why not.
pub fn check_path(path: &str) -> Result<(), &'static str> {
    if path.is_empty() || path.len() > LONGEST_PATH {
        return Err("is empty or longer than 100 bytes");
    }
    let plain = |letter: u8| letter.is_ascii_alphanumeric() || b"._-".contains(&letter);
    for name in path.split('/') {
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
            return Err("is no path of plain names");
        }
    }
    match path.split('/').count() {
        1..=4 => Ok(()),
        _ => Err("is too deep"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_nowhere_else() {
        for good in ["plan.json", "logs/s0-n00.log", "evidence/st-1f3a/a.jsonl"] {
            assert_eq!(check_path(good), Ok(()), "{good}");
        }
        let long = "a".repeat(101);
        for bad in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a//b",
            ".ssh/x",
            "a/.b",
            "a\\b",
            "a\0",
            "ä",
            "a b",
            "a/b/c/d/e",
            &long,
        ] {
            assert!(check_path(bad).is_err(), "{bad:?}");
        }
    }
}
