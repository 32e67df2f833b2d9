//! Bundles: one file (`.cnb`, tar in zstd) with all that is needed to understand a run and to do it again elsewhere.
//!
//! The first entry is the manifest: path, size and SHA-256 of every file that follows. A bundle comes from somebody
//! else, so reading it trusts nothing: see [`read`].

mod error;
pub mod image;
pub mod manifest;
pub mod read;
mod write;

pub use error::BundleError;
pub use manifest::{BundledImage, FileLine, Manifest, Part};
pub use read::{head, unpack, verify};
pub use write::{Contents, write};

/// Version of the format.
pub const FORMAT: u32 = 1;

/// Name of the first entry.
const MANIFEST: &str = "manifest.json";

/// Path of the nodes' image in a bundle.
pub const IMAGE: &str = "images/node.tar";

/// Folder of a bundle with the snapshot that the run's worst finding is repeated from.
pub const RUNG: &str = "rung";
