//! `canarynet logs NODE`: the raw lines that the run kept of a node, also while it runs and after the node is gone.

use std::{
    collections::VecDeque,
    fs::File,
    io::{BufRead as _, BufReader},
    ops::RangeInclusive,
    path::Path,
    process::ExitCode,
    time::Duration,
};

use super::{
    Failure,
    arguments::{Common, LogsArguments},
    print_line, state_folder,
};
use crate::{ids::NodeName, journal::text::clean_bytes, probe::logs::raw};

/// Longest line shown; the rest of a longer one is cut.
const LINE_MOST: usize = 64 * 1024;

pub(super) fn logs(common: &Common, verb: &LogsArguments) -> Result<ExitCode, Failure> {
    let (directory, record) = state_folder(common)?
        .find(&verb.run)
        .map_err(|error| Failure::usage("no such run").because(&error))?;
    let node: NodeName = verb
        .node
        .parse()
        .map_err(|error| Failure::usage("no such node").because(&error))?;
    let heights = verb.height.as_deref().map(parse_heights).transpose()?;
    let folder = directory.path().join("logs");
    let kept = raw::files(&folder, &node);
    if kept.is_empty() {
        let known = node_names(&folder).join(", ");
        return Err(Failure::usage(format!(
            "run {} kept no log of {node}; it has: {known}",
            record.name
        )));
    }
    let wanted = |line: &[u8]| {
        heights
            .as_ref()
            .is_none_or(|range| line_height(line).is_some_and(|height| range.contains(&height)))
    };
    let mut tail = Tail {
        lines: VecDeque::new(),
        most: verb.tail,
    };
    let mut newest = None;
    for (number, path) in kept {
        let Ok(file) = File::open(&path) else {
            continue;
        };
        let mut lines = Lines::new(file);
        while let Some(line) = lines.next_line()? {
            if wanted(&line) && !tail.push(&line)? {
                return Ok(ExitCode::SUCCESS);
            }
        }
        newest = Some((number, lines));
    }
    let listened_to = tail.flush()?;
    match newest {
        Some((number, lines)) if verb.follow && listened_to => {
            follow(lines, number, &folder, &node, wanted)
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Prints as lines come, over files, until nobody reads any more.
fn follow(
    mut lines: Lines,
    mut number: u64,
    folder: &Path,
    node: &NodeName,
    wanted: impl Fn(&[u8]) -> bool,
) -> Result<ExitCode, Failure> {
    loop {
        while let Some(line) = lines.next_line()? {
            if wanted(&line) && !print_line(&clean_bytes(&line, LINE_MOST))? {
                return Ok(ExitCode::SUCCESS);
            }
        }
        // Files are never renamed, so the next one has a higher number.
        let next = raw::files(folder, node)
            .into_iter()
            .find(|(later, _)| *later > number);
        if let Some((later, path)) = next
            && let Ok(file) = File::open(&path)
        {
            (number, lines) = (later, Lines::new(file));
            continue;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Keeps the last lines, or prints at once when all are wanted.
struct Tail {
    lines: VecDeque<String>,
    most: Option<usize>,
}

impl Tail {
    /// `false` when nobody reads any more.
    fn push(&mut self, line: &[u8]) -> Result<bool, Failure> {
        let line = clean_bytes(line, LINE_MOST);
        let Some(most) = self.most else {
            return print_line(&line);
        };
        self.lines.push_back(line);
        if self.lines.len() > most {
            self.lines.pop_front();
        }
        Ok(true)
    }

    fn flush(&mut self) -> Result<bool, Failure> {
        for line in self.lines.drain(..) {
            if !print_line(&line)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whole lines of a file that may still grow, in bounded memory.
struct Lines {
    reader: BufReader<File>,
    partial: Vec<u8>,
}

impl Lines {
    fn new(file: File) -> Self {
        Self {
            reader: BufReader::new(file),
            partial: Vec::new(),
        }
    }

    fn next_line(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok(None);
            }
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(buffer.len(), |position| position + 1);
            let room = LINE_MOST.saturating_sub(self.partial.len());
            self.partial
                .extend_from_slice(&buffer[..end.unwrap_or(taken).min(room)]);
            self.reader.consume(taken);
            if end.is_some() {
                return Ok(Some(std::mem::take(&mut self.partial)));
            }
        }
    }
}

fn node_names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .filter_map(|entry| {
            entry
                .file_name()
                .to_str()
                .and_then(|name| name.strip_suffix(".log"))
                .map(str::to_owned)
        })
        .collect();
    names.sort();
    names.truncate(64);
    names
}

fn parse_heights(text: &str) -> Result<RangeInclusive<u64>, Failure> {
    let error = || {
        Failure::usage(format!(
            "--height {text:?}: write two heights as A..B, for example 120..130"
        ))
    };
    let (from, to) = text.split_once("..").ok_or_else(error)?;
    let to = to.strip_prefix('=').unwrap_or(to);
    let range =
        from.trim().parse().map_err(|_| error())?..=to.trim().parse().map_err(|_| error())?;
    if range.is_empty() {
        Err(error())
    } else {
        Ok(range)
    }
}

/// The height that a JSON line speaks of, under any of the names that the three dialects use.
fn line_height(line: &[u8]) -> Option<u64> {
    let value: serde_json::Value = serde_json::from_slice(line).ok()?;
    ["myBlock", "blockNum", "BlockNum", "blockNumber", "height"]
        .iter()
        .find_map(|key| {
            let field = value.get(key)?;
            field.as_u64().or_else(|| field.as_str()?.parse().ok())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_are_read_from_every_dialect() {
        assert_eq!(
            line_height(br#"{"BlockNum":"270108","MsgBlockNum":270109,"myBlock":270109}"#),
            Some(270_109)
        );
        assert_eq!(line_height(br#"{"blockNum":22}"#), Some(22));
        assert_eq!(line_height(b"plain"), None);
        assert_eq!(parse_heights("1..3").ok(), Some(1..=3));
        assert!(parse_heights("3..1").is_err());
        assert!(parse_heights("x").is_err());
    }

    #[test]
    fn a_growing_file_is_read_on() {
        use std::io::Write as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut file = File::create(&path).unwrap();
        write!(file, "one\ntw").unwrap();
        let mut lines = Lines::new(File::open(&path).unwrap());
        assert_eq!(lines.next_line().unwrap().as_deref(), Some(&b"one"[..]));
        assert_eq!(lines.next_line().unwrap(), None);
        writeln!(file, "o").unwrap();
        assert_eq!(lines.next_line().unwrap().as_deref(), Some(&b"two"[..]));
    }
}
