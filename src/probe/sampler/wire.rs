//! What a sampler writes: one line a fact, its kind first.
//!
//! - `S2` and sixteen numbers: a sample;
//! - `L FILE FLAG BYTES`: a line of the followed file with this index, `c` if it was cut, else `-`;
//! - `D FILE BYTES`: so much of that file was skipped because it grew faster than it is read;
//! - `E TEXT`: the sampler's own trouble.
//!
//! A sampler runs beside the node, so its lines are as hostile as the node's own.

use std::io::Write as _;

use crate::journal::{event::Sample, text};

/// Most files that are followed on one node.
pub const MAX_FILES: usize = 16;

/// A line, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line<'a> {
    /// A look at the resources.
    Sample {
        /// The figures; the node's name and incarnation are for the reader to fill in.
        sample: Sample,
        /// When the node's process started, in clock ticks since boot; zero if it is not there.
        started: u64,
    },
    /// A line of a followed file.
    Log {
        /// Which file.
        file: usize,
        /// Whether its end is missing.
        cut: bool,
        /// The line without its end.
        line: &'a [u8],
    },
    /// Bytes of a followed file that were skipped.
    Skipped {
        /// Which file.
        file: usize,
        /// How many.
        bytes: u64,
    },
    /// The sampler's own trouble; clean.
    Complaint(String),
}

/// Appends a sample.
pub(super) fn write_sample(output: &mut Vec<u8>, sample: &Sample, started: u64) {
    let numbers = [
        sample.memory,
        sample.charged,
        sample.memory_limit,
        sample.cpu,
        sample.disk_used,
        sample.disk_free,
        sample.visible,
        sample.inodes_free,
        sample.inodes,
        sample.open_files,
        sample.pids,
        sample.sampler_memory,
        sample.sampler_cpu,
        sample.stuck,
        sample.read_only.into(),
        started,
    ];
    output.extend_from_slice(b"S2");
    for number in numbers {
        // Writing to a Vec cannot fail.
        let _ = write!(output, " {number}");
    }
    output.push(b'\n');
}

pub(super) fn write_line(output: &mut Vec<u8>, file: usize, cut: bool, line: &[u8]) {
    let _ = write!(output, "L {file} {} ", if cut { 'c' } else { '-' });
    output.extend_from_slice(line);
    output.push(b'\n');
}

pub(super) fn write_skipped(output: &mut Vec<u8>, file: usize, bytes: u64) {
    let _ = writeln!(output, "D {file} {bytes}");
}

pub(super) fn write_complaint(output: &mut Vec<u8>, complaint: &str) {
    let _ = writeln!(output, "E {}", text::clean(complaint, 200));
}

/// Reads a line without its end; `None` if no sampler of this version wrote it.
#[must_use]
pub fn read(line: &[u8]) -> Option<Line<'_>> {
    let (kind, rest) = split(line)?;
    match kind {
        b"S2" => read_sample(rest),
        b"L" => {
            let (file, rest) = split(rest)?;
            let file = number(file).and_then(file_index)?;
            let (flag, line) = split(rest)?;
            let cut = match flag {
                b"c" => true,
                b"-" => false,
                _ => return None,
            };
            Some(Line::Log { file, cut, line })
        }
        b"D" => {
            let (file, bytes) = split(rest)?;
            let file = number(file).and_then(file_index)?;
            let bytes = number(bytes)?;
            Some(Line::Skipped { file, bytes })
        }
        b"E" => Some(Line::Complaint(text::clean_bytes(rest, 200))),
        _ => None,
    }
}

fn read_sample(rest: &[u8]) -> Option<Line<'_>> {
    let mut numbers = [0; 16];
    let mut words = rest.split(|byte| *byte == b' ');
    for place in &mut numbers {
        *place = number(words.next()?)?;
    }
    if words.next().is_some() {
        return None;
    }
    let [
        memory,
        charged,
        memory_limit,
        cpu,
        disk_used,
        disk_free,
        visible,
        inodes_free,
        inodes,
        open_files,
        pids,
        sampler_memory,
        sampler_cpu,
        stuck,
        read_only,
        started,
    ] = numbers;
    let sample = Sample {
        node: None,
        memory,
        charged,
        memory_limit,
        cpu,
        disk_used,
        disk_free,
        visible,
        inodes_free,
        inodes,
        open_files,
        pids,
        sampler_memory,
        sampler_cpu,
        incarnation: 0,
        stuck,
        read_only: read_only != 0,
    };
    Some(Line::Sample { sample, started })
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    Some((&bytes[..space], &bytes[space + 1..]))
}

fn number(bytes: &[u8]) -> Option<u64> {
    // A leading sign would parse.
    bytes.first().filter(|first| first.is_ascii_digit())?;
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

fn file_index(number: u64) -> Option<usize> {
    usize::try_from(number)
        .ok()
        .filter(|index| *index < MAX_FILES)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn complaints_are_clean_and_nonsense_is_refused() {
        let mut output = Vec::new();
        write_complaint(&mut output, "no\nway\u{1b}");
        let Some(Line::Complaint(text)) = read(output.trim_ascii_end()) else {
            panic!("{output:?}")
        };
        assert_eq!(text, "no way\u{fffd}");
        for bad in [
            &b""[..],
            b"S2",
            b"S2 1 2 3",
            b"S2 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 0 17",
            b"S2 1 2 3 4 5 6 7 8 9 10 11 12 13 14 0 +16",
            b"S2 1 2 3 4 5 6 7 8 9 10 11 12 13 14 0 99999999999999999999",
            b"L 99 - x",
            b"L 0 ? x",
            b"L 0",
            b"D 0 -1",
            b"Z 1",
        ] {
            assert_eq!(read(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }

        #[test]
        fn samples_and_lines_round_trip(numbers in any::<[u64; 4]>(), started in any::<u64>(), cut in any::<bool>(), file in 0..MAX_FILES,
            text in prop::collection::vec(any::<u8>().prop_filter("line ends frame", |byte| *byte != b'\n'), 0..100)) {
            let sample = Sample { memory: numbers[0], cpu: numbers[1], pids: numbers[2], sampler_cpu: numbers[3], stuck: numbers[1], read_only: cut, ..Sample::default() };
            let mut output = Vec::new();
            write_sample(&mut output, &sample, started);
            prop_assert_eq!(read(&output[..output.len() - 1]), Some(Line::Sample { sample, started }));
            output.clear();
            write_line(&mut output, file, cut, &text);
            prop_assert_eq!(read(&output[..output.len() - 1]), Some(Line::Log { file, cut, line: &text }));
        }
    }
}
