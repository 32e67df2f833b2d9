//! The newest lines of a node's log, from the last bytes of its newest file.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::Path,
};

use crate::{ids::NodeName, journal::text::clean_bytes, probe::logs::raw};

/// Bytes that are looked at: some hundred lines.
const BYTES: u64 = 64 * 1024;
/// Lines kept.
const LINES: usize = 400;
/// Longest line shown.
pub(super) const LINE: u16 = 2_000;

/// The newest whole lines, oldest first, harmless for a terminal; none where there is no log.
#[must_use]
pub fn tail(folder: &Path, node: &NodeName) -> Vec<String> {
    let Some((_, path)) = raw::files(folder, node).pop() else {
        return Vec::new();
    };
    let Ok(bytes) = last_bytes(&path) else {
        return Vec::new();
    };
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
    let lines: Vec<&[u8]> = bytes[..whole].split(|byte| *byte == b'\n').collect();
    let from = lines.len().saturating_sub(LINES);
    let lines = lines[from..].iter().filter(|line| !line.is_empty());
    lines
        .map(|line| clean_bytes(line, usize::from(LINE)))
        .collect()
}

/// The end of a file, from the first line that begins in it.
fn last_bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let from = size.saturating_sub(BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(BYTES).read_to_end(&mut bytes)?;
    if from > 0 {
        let begin = bytes.iter().position(|byte| *byte == b'\n');
        bytes.drain(..begin.map_or(bytes.len(), |place| place + 1));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_whole_and_harmless_lines_of_the_newest_file() {
        let folder = tempfile::tempdir().unwrap();
        let node: NodeName = "s0-n01".parse().unwrap();
        assert!(tail(folder.path(), &node).is_empty());
        fs::write(folder.path().join("s0-n01.log"), "old\n").unwrap();
        let mut text = "x".repeat(100_000);
        text.push_str("\nfirst\n\u{1b}[31mred\n\nsecond\nunfinis");
        fs::write(folder.path().join("s0-n01.log.2"), text).unwrap();
        let lines = tail(folder.path(), &node);
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert_eq!((lines[0].as_str(), lines[2].as_str()), ("first", "second"));
        assert!(!lines[1].contains('\u{1b}'), "{:?}", lines[1]);
    }
}
