//! The journal: the append-only record of all facts of a run, the only input of the judge.
//!
//! One writer gives the total order. A journal is a folder of numbered segments, one compact JSON line an entry
//! (`000000.jsonl`, the finished ones compressed to `000000.jsonl.zst`), readable with `zstdcat` and `jq`.

pub mod capability;
mod compressor;
pub mod effect;
mod eight_bytes;
mod error;
pub mod event;
pub mod generate;
pub mod mask;
mod read_ahead;
mod reader;
pub mod recovery;
pub mod room;
mod segments;
mod text_lines;
mod thinning;
pub mod told;
pub mod unattended;
mod usual_lines;
mod writer;

pub mod text;

pub use capability::Capability;
pub use error::JournalError;
pub use event::{Entry, Event};
pub use read_ahead::ReadAhead;
pub use reader::{ReadError, Reader};
pub use room::Room;
pub use segments::JOURNAL_FOLDER;
pub use thinning::{Thinness, Thinning};
pub use writer::{Resumed, Settings, Writer, Written};
