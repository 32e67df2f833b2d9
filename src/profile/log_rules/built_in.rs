//! Rules that hold for every chain: what operating systems, run times and storage engines say.

use super::line::Level;
use crate::journal::event::LogClass;

pub(super) struct BuiltIn {
    pub(super) name: &'static str,
    pub(super) class: LogClass,
    /// Lowest level; a line that tells no level passes, if the rule has a text.
    pub(super) level: Level,
    pub(super) texts: &'static [&'static str],
    /// The texts count only at the start of a line without fields.
    pub(super) line_start: bool,
}

/// Below `warn` these texts stand in lines that tell of a recovery, or quote what once was.
const LOWEST: Level = Level::Warn;

/// Tried in this order, after the profile's own.
pub(super) const RULES: &[BuiltIn] = &[
    BuiltIn {
        name: "no-space-left",
        class: LogClass::DiskFull,
        level: LOWEST,
        texts: &["no space left on device", "disk quota exceeded"],
        line_start: false,
    },
    BuiltIn {
        name: "read-only-file-system",
        class: LogClass::DiskReadOnly,
        level: LOWEST,
        texts: &["read-only file system"],
        line_start: false,
    },
    BuiltIn {
        name: "input-output-error",
        class: LogClass::DiskError,
        level: LOWEST,
        texts: &["input/output error"],
        line_start: false,
    },
    BuiltIn {
        name: "corruption",
        class: LogClass::Corruption,
        level: LOWEST,
        texts: &["corruption", "checksum mismatch"],
        line_start: false,
    },
    BuiltIn {
        name: "too-many-open-files",
        class: LogClass::Error,
        level: LOWEST,
        texts: &["too many open files"],
        line_start: false,
    },
    // What Go and Rust say when a process ends by itself.
    BuiltIn {
        name: "panic",
        class: LogClass::Fatal,
        level: LOWEST,
        texts: &["panic:", "fatal error:", "thread '"],
        line_start: true,
    },
    BuiltIn {
        name: "fatal",
        class: LogClass::Fatal,
        level: Level::Fatal,
        texts: &[],
        line_start: false,
    },
    BuiltIn {
        name: "error",
        class: LogClass::Error,
        level: Level::Error,
        texts: &[],
        line_start: false,
    },
];
