//! How fast a journal is judged, with and without parsing, and in how much memory.
//!
//! `cargo bench --bench judge -- [DAYS] [FOLDER]`: generates the journal of a healthy network (16 nodes in 4 shards,
//! 200 ms blocks) of so many days (default 1; the promise is about 30), judges it from its compressed segments, and
//! fails if memory is not bounded or a healthy network has a finding. A journal that is there already is used again.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use canarynet::{
    detect::{Judge, plan_of},
    journal::{
        Entry, Event, ReadAhead, ReadError, Reader,
        generate::{Generator, Request, Shape, generate_journal},
    },
};

/// Peak memory that judging may take.
const MEMORY_LIMIT_MIB: u64 = 64;
/// Bytes that an entry may take on disk on average.
const BYTES_LIMIT: f64 = 120.0;

#[expect(clippy::print_stdout, reason = "a benchmark exists to print")]
fn main() -> ExitCode {
    // `cargo bench` and `cargo test --benches` add flags of the standard harness.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let days: f64 = arguments
        .first()
        .and_then(|days| days.parse().ok())
        .unwrap_or(1.0);
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let directory = arguments
        .get(1)
        .map_or_else(|| temporary.path().join("journal"), PathBuf::from);
    let shape = Shape {
        soak: Duration::from_secs_f64(days * 86_400.0),
        ..Shape::default()
    };
    if !directory.exists() {
        let start = Instant::now();
        let generated = generate_journal(&Request {
            directory: directory.clone(),
            shape,
            seed: 1,
            // Nothing is left out: this measures the judge, not the thinning.
            budget: u64::MAX / 2,
        })
        .expect("a journal");
        println!(
            "generated {days} days: {} entries, {:.1} MiB compressed, {:.0} entries/s written",
            generated.facts,
            generated.bytes as f64 / 1048576.0,
            generated.facts as f64 / start.elapsed().as_secs_f64()
        );
    }
    let mut raw = 0;
    let lines = measure("lines only (decompressed)", || {
        lines_only(&directory, &mut raw)
    });
    let on_disk = bytes_on_disk(&directory) as f64 / lines as f64;
    println!(
        "{on_disk:.1} bytes an entry on disk, {:.1} as text",
        raw as f64 / lines as f64
    );
    let parsed = measure("parsed", || {
        Reader::open(&directory)
            .expect("the journal")
            .filter(|entry| entry.is_ok())
            .count() as u64
    });
    let (mut findings, mut blocks, mut facts) = (0, 0, 0);
    let mut judged = |entries: &mut dyn Iterator<Item = Result<Entry, ReadError>>| {
        let first = entries.next().expect("an entry").expect("readable");
        let plan = plan_of(&first).expect("a plan").expect("the first entry");
        let mut judge = Judge::new(&plan);
        judge.step(&first);
        let mut count = 1;
        facts = 1;
        for entry in entries {
            let entry = entry.expect("readable");
            judge.step(&entry);
            count += 1;
            // Positions are a fact about each of the nodes.
            facts += match &entry.event {
                Event::Heads { nodes, .. } => nodes.len() as u64,
                _ => 1,
            };
        }
        let judgement = judge.finish();
        findings = judgement.findings.len();
        blocks = judgement.coverage.blocks;
        count
    };
    let one = measure("parsed and judged on one thread", || {
        judged(&mut Reader::open(&directory).expect("the journal"))
    });
    let two = measure("parsed (own thread) and judged", || {
        let reader = Reader::open(&directory).expect("the journal");
        judged(&mut ReadAhead::start(reader).expect("a thread"))
    });
    let memory = peak_memory_mib();
    without_parsing(&shape);
    println!(
        "{blocks} blocks, {facts} facts about single nodes, {findings} findings, peak memory {memory} MiB"
    );
    let ok = findings == 0
        && memory < MEMORY_LIMIT_MIB
        && on_disk <= BYTES_LIMIT
        && [parsed, one, two].iter().all(|count| *count == lines);
    if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn bytes_on_disk(directory: &Path) -> u64 {
    let files = std::fs::read_dir(directory).expect("the journal");
    files
        .filter_map(|file| file.ok()?.metadata().ok())
        .map(|file| file.len())
        .sum()
}

fn lines_only(directory: &Path, bytes: &mut usize) -> u64 {
    let mut reader = Reader::open(directory).expect("the journal");
    let mut count = 0;
    while let Some(line) = reader.next_line(|line, _, _| line.len()) {
        *bytes += line.expect("readable") + 1;
        count += 1;
    }
    count
}

/// The judge alone, over entries that are in memory already.
fn without_parsing(shape: &Shape) {
    let entries: Vec<_> = Generator::new(shape, 1, Vec::new()).take(200_000).collect();
    measure("judged without parsing", || {
        let mut judge = Judge::new(&shape.plan());
        for entry in &entries {
            judge.step(entry);
        }
        entries.len() as u64
    });
}

#[expect(clippy::print_stdout, reason = "a benchmark exists to print")]
fn measure(what: &str, work: impl FnOnce() -> u64) -> u64 {
    let (start, used) = (Instant::now(), processor_seconds());
    let count = work();
    let seconds = start.elapsed().as_secs_f64();
    // On a machine that others use too, processor time is what the code costs.
    let used = (processor_seconds() - used).max(0.001);
    println!(
        "{what}: {count} entries, {:.0} entries/s; of processor time {:.0} entries/s",
        count as f64 / seconds,
        count as f64 / used
    );
    count
}

/// Processor time of this process, in seconds (the kernel counts in hundredths).
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_whitespace()
        .collect();
    let ticks = |place: usize| {
        fields
            .get(place)
            .and_then(|field| field.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    (ticks(11) + ticks(12)) / 100.0
}

/// The most memory this process ever had, from the kernel.
fn peak_memory_mib() -> u64 {
    std::fs::read_to_string("/proc/self/status")
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
        .unwrap_or(0)
        / 1024
}
