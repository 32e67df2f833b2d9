//! How fast a journal is judged, with and without parsing, and in how much memory; and what a checkpoint saves.
//!
//! `cargo bench --bench judge -- [DAYS] [FOLDER] [MIB]`: generates the journal of a healthy network (16 nodes in 4 shards,
//! 200 ms blocks) of so many days (default 1; the promise is about 30), judges it from its compressed segments, and
//! fails if memory is not bounded or a healthy network has a finding. A journal that is there already is used again. With
//! a budget in MiB it is written thinner, as a run's is.

use std::{
    cell::Cell,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use canarynet::{
    detect::{
        Judge,
        kept::{self, Bytes},
        plan_of,
        statistics::{Confidence, Line},
    },
    ids::Seq,
    journal::{
        Entry, Event, ReadAhead, ReadError, Reader,
        generate::{Request, Shape, generate_journal},
    },
    report::Curves,
    time::Elapsed,
};

/// Peak memory that judging may take.
const MEMORY_LIMIT_MIB: u64 = 64;
/// Longest time to take a run over, whatever its length.
const TAKEN_OVER: Duration = Duration::from_secs(2);
/// Entries after the checkpoint: ten minutes of a network of this size; fewer of a short journal.
const AFTER: u64 = 60_000;
/// Bytes that an entry may take on disk on average.
const BYTES_LIMIT: f64 = 120.0;
/// Entries that are in memory at once where only the judging of them is timed.
const BATCH: usize = 4_096;

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
            budget: arguments
                .get(2)
                .and_then(|mib| mib.parse::<u64>().ok())
                .map_or(u64::MAX / 2, |mib| mib << 20),
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
    let (mut findings, mut blocks) = (0, 0);
    let facts = Cell::new(0_u64);
    let mut resident = Vec::new();
    let mut judged = |entries: &mut dyn Iterator<Item = Result<Entry, ReadError>>,
                      mut curves: Option<Curves>| {
        let first = entries.next().expect("an entry").expect("readable");
        let plan = plan_of(&first).expect("a plan").expect("the first entry");
        let mut judge = Judge::new(&plan);
        judge.step(&first);
        let mut count = 1;
        facts.set(1);
        for entry in entries {
            let entry = entry.expect("readable");
            let changes = judge.step(&entry);
            if let Some(curves) = &mut curves {
                curves.step(&entry, judge.world(), &changes);
                let hour = entry.elapsed.as_duration().as_secs() / 3_600;
                if hour >= resident.len() as u64 {
                    resident.push((hour as f64 / 24.0, resident_bytes()));
                }
            }
            count += 1;
            // Positions are a fact about each of the nodes.
            facts.update(|facts| match &entry.event {
                Event::Heads { nodes, .. } => facts + nodes.len() as u64,
                _ => facts + 1,
            });
        }
        let judgement = judge.finish();
        findings = judgement.findings.len();
        blocks = judgement.coverage.blocks;
        count
    };
    let begun = Instant::now();
    let one = measure("parsed and judged on one thread", || {
        let reader = Reader::open(&directory).expect("the journal");
        judged(&mut ReadAhead::here(reader), None)
    });
    println!(
        "that is {:.0} facts about single nodes/s",
        facts.get() as f64 / begun.elapsed().as_secs_f64()
    );
    let two = measure("parsed (own thread), judged and drawn", || {
        let reader = Reader::open(&directory).expect("the journal");
        let mut entries = ReadAhead::start(reader).expect("a thread");
        judged(&mut entries, Some(Curves::default()))
    });
    let memory = peak_memory_mib();
    without_parsing(&directory);
    let after = AFTER.min(lines / 10) + 1;
    let taken_over = taken_over(&directory, lines.saturating_sub(after));
    println!(
        "{blocks} blocks, {} facts about single nodes, {findings} findings, peak memory {memory} MiB",
        facts.get()
    );
    tell_slope(&resident);
    let ok = findings == 0
        && memory < MEMORY_LIMIT_MIB
        && taken_over < TAKEN_OVER
        && on_disk <= BYTES_LIMIT
        && [parsed, one, two].iter().all(|count| *count == lines);
    if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What who takes a run over does: the journal judged from its start, and on from a checkpoint after so many entries.
/// Answers how long the latter took.
#[expect(clippy::print_stdout, reason = "a benchmark exists to print")]
fn taken_over(directory: &Path, checkpoint: u64) -> Duration {
    let begun = Instant::now();
    let mut entries = Reader::open(directory)
        .expect("the journal")
        .map(|entry| entry.expect("readable"));
    let first = entries.next().expect("an entry");
    let plan = plan_of(&first).expect("a plan").expect("the first entry");
    let (mut judge, mut curves) = (Judge::new(&plan), Curves::default());
    let mut known = None;
    for entry in std::iter::once(first).chain(entries) {
        let changes = judge.step(&entry);
        curves.step(&entry, judge.world(), &changes);
        if entry.seq == Seq(checkpoint) {
            let start = Instant::now();
            let judged = Bytes(judge.keep().expect("a state"));
            let state = kept::write(&(judged, &curves)).expect("a state");
            let kept = start.elapsed();
            let sealed = zstd::bulk::compress(&state, 1).expect("compressed");
            println!(
                "checkpoint after {} entries: {} KiB in {:.1} ms; compressed {} KiB in {:.1} ms",
                checkpoint + 1,
                state.len() >> 10,
                kept.as_secs_f64() * 1e3,
                sealed.len() >> 10,
                (start.elapsed() - kept).as_secs_f64() * 1e3
            );
            known = Some((sealed, state.len()));
        }
    }
    let whole = begun.elapsed();
    let (sealed, length) = known.expect("an entry after which there is a checkpoint");
    let begun = Instant::now();
    let state = zstd::bulk::decompress(&sealed, length).expect("a state");
    let (Bytes(judged), mut again): (Bytes, Curves) = kept::read(&state).expect("a state");
    let mut restored = Judge::restore(&plan, &judged).expect("a judge");
    let read = begun.elapsed();
    let mut more = 0;
    let reader = Reader::open_before(directory, Some(Seq(checkpoint))).expect("the journal");
    for entry in reader.map(|entry| entry.expect("readable")) {
        if entry.seq > Seq(checkpoint) {
            let changes = restored.step(&entry);
            again.step(&entry, restored.world(), &changes);
            more += 1;
        }
    }
    let took = begun.elapsed();
    assert_eq!(
        restored.keep().expect("a state"),
        judge.keep().expect("a state")
    );
    assert_eq!(again, curves);
    println!(
        "taken over: from the start in {:.1} s, from the checkpoint in {:.2} s ({:.1} ms to restore it, {more} entries more)",
        whole.as_secs_f64(),
        took.as_secs_f64(),
        read.as_secs_f64() * 1e3
    );
    took
}

/// What this process has in memory, in bytes.
fn resident_bytes() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("a Linux kernel");
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(f64::NAN) * 4_096.0
}

/// Memory over the days of the journal, one look an hour, the first tenth left out: what fills up is no growth.
#[expect(clippy::print_stdout, reason = "a benchmark exists to print")]
fn tell_slope(resident: &[(f64, f64)]) {
    let settled = &resident[resident.len() / 10..];
    let Some(line) = Line::of(settled, 4_096.0) else {
        println!("memory: too short for a slope");
        return;
    };
    let (low, high) = line.interval(Confidence::Report);
    println!(
        "memory over {} looks: {:.1} MiB at the end, slope {:+.1} KiB a simulated day ({:+.1} to {:+.1} at 95 %)",
        settled.len(),
        line.end / 1_048_576.0,
        line.slope / 1_024.0,
        low / 1_024.0,
        high / 1_024.0
    );
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

/// The judge alone, over entries that are in memory already: the first day, a few thousand entries at a time.
#[expect(clippy::print_stdout, reason = "a benchmark exists to print")]
fn without_parsing(directory: &Path) {
    let mut entries = Reader::open(directory)
        .expect("the journal")
        .map(|entry| entry.expect("readable"))
        .take_while(|entry| entry.elapsed < Elapsed::from_secs(86_400));
    let first = entries.next().expect("an entry");
    let plan = plan_of(&first).expect("a plan").expect("the first entry");
    let mut judge = Judge::new(&plan);
    judge.step(&first);
    let (mut count, mut spent) = (0, Duration::ZERO);
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        batch.clear();
        batch.extend(entries.by_ref().take(BATCH));
        if batch.is_empty() {
            break;
        }
        let begun = Instant::now();
        for entry in &batch {
            judge.step(entry);
        }
        spent += begun.elapsed();
        count += batch.len();
    }
    println!(
        "judged without parsing: {count} entries, {:.0} entries/s",
        count as f64 / spent.as_secs_f64()
    );
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
