//! The log path beside others on the same file in one run: what our rules cost, what the quickest search tool of this
//! machine needs for the same texts, and what the incident's own pipeline needed, with memory, disk and ghost bytes of
//! each.
//!
//! `cargo bench --bench logs -- [MIB] [FOLDER]`: generates a JSON log of so many MiB (default 128; the promise is about
//! 1024) below the folder, which is removed at the end: as healthy nodes say it, as nodes say it that are out of step, and
//! once more as the incident's history. `rg` is Debian's ripgrep.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{BufWriter, Read, Write},
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use canarynet::{
    plan::{self, LogRule, PlanRequest},
    probe::logs::splitter::Splitter,
    profile::{log_rules::RuleSet, log_templates::Miner, shipped},
};
use flate2::{Compression, write::GzEncoder};

/// Tells this program, started again, what to measure in a process of its own.
const ROLE: &str = "CANARYNET_BENCH_LOGS";
/// How the engine hands a log over: in pieces.
const CHUNK: usize = 64 << 10;
/// Rounds of each; the best counts, since others use this machine too.
const ROUNDS: usize = 3;
/// Lines of a second of which the follower looks at the form, and the pace at which a node of the profile talks.
const MINED: usize = 20_000;

fn main() {
    if let Some(role) = std::env::var_os(ROLE) {
        return play(&role.to_string_lossy());
    }
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let mebibytes: u64 = arguments
        .first()
        .and_then(|size| size.parse().ok())
        .unwrap_or(128);
    let parent = arguments
        .get(1)
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(parent).expect("a temporary folder");
    let files = generate(folder.path(), mebibytes << 20);
    println!(
        "{mebibytes} MiB of JSON lines; the incident's history is the same lines, three quarters of them gzipped\n"
    );
    println!(
        "{:<44} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "", "seconds", "cpu s", "MiB/s", "memory", "disk", "ghost"
    );
    let bench = Bench {
        folder: folder.path(),
        size: mebibytes as f64,
    };
    let texts = RuleSet::new(&rules()).expect("rules").texts();
    for (what, file) in [
        ("healthy nodes, a bad line now and then", &files.plain),
        ("nodes of the incident, each fourth line bad", &files.sick),
    ] {
        println!("{what}:");
        let scanned = bench.run("all rules of the shipped profiles", || ours("scan", file));
        bench.run("the same, line by line as a follower has them", || {
            ours("follow", file)
        });
        let rg = bench.run("rg -c with the same texts", || search("rg", &texts, file));
        bench.run("grep -c with the same texts", || {
            search("grep", &texts, file)
        });
        if let (Some(ours), Some(rg)) = (scanned, rg) {
            println!(
                "ours / rg: {:.2} of its time\n",
                ours.as_secs_f64() / rg.as_secs_f64()
            );
        }
    }
    bench.run("tac; zcat | tac | grep | python (incident)", || {
        incident(folder.path())
    });
    forms(&files.plain);
}

/// All rules of the shipped profiles, in one set.
fn rules() -> Vec<LogRule> {
    let mut rules: Vec<LogRule> = Vec::new();
    for shipped in shipped::PLANS {
        let request = PlanRequest {
            plan: shipped.name.to_owned(),
            date: "2026-11-22".to_owned(),
            ..PlanRequest::default()
        };
        let plan = plan::load(&request).expect("a shipped plan");
        for rule in plan.network.log_rules {
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
    }
    rules
}

/// What this program does when it was started to be measured.
fn play(role: &str) {
    let (what, path) = role.split_once(':').expect("a role and a path");
    let rules = RuleSet::new(&rules()).expect("rules");
    let mut file = File::open(path).expect("the log");
    let mut chunk = vec![0; CHUNK];
    let (mut lines, mut found) = (0_u64, 0_u64);
    let mut splitter = Splitter::default();
    // Of a line that has not ended yet.
    let mut held = 0;
    loop {
        assert!(held < CHUNK, "a line that is longer than a piece");
        let length = file.read(&mut chunk[held..]).expect("the log");
        if length == 0 {
            break;
        }
        let filled = held + length;
        match what {
            "scan" => {
                let whole = chunk[..filled].iter().rposition(|byte| *byte == b'\n');
                let end = whole.map_or(0, |at| at + 1);
                rules.scan(&chunk[..end], |_, _| found += 1);
                chunk.copy_within(end..filled, 0);
                held = filled - end;
            }
            _ => splitter.push(&chunk[..length], |line, _| {
                lines += 1;
                found += u64::from(rules.classify(line).is_some());
            }),
        }
    }
    println!("{found} of {lines}");
}

fn ours(role: &str, file: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.env(ROLE, format!("{role}:{}", file.display()));
    command
}

fn search(tool: &str, texts: &[String], file: &Path) -> Command {
    let mut command = Command::new(tool);
    command.args(["-c", "-F"]).env("LC_ALL", "C");
    for text in texts {
        command.args(["-e", text]);
    }
    command.arg(file);
    command
}

/// The script of July 2019, on a folder laid out as it was.
fn incident(folder: &Path) -> Command {
    let python = "import sys, json, collections\n\
        per_minute = collections.Counter()\n\
        for line in sys.stdin:\n\
        \x20   entry = json.loads(line)\n\
        \x20   per_minute[entry.get('time', entry.get('t', ''))[:16]] += 1\n\
        print(len(per_minute))\n";
    let history = folder.join("history");
    let script = format!(
        "{{ tac {0}/*.log; zcat {0}/*.log.gz | tac; }} | grep Signers | python3 -c \"$SCRIPT\"",
        history.display()
    );
    let mut command = Command::new("bash");
    command
        .args(["-c", &script])
        .env("SCRIPT", python)
        // On a node, its own data disk.
        .env("TMPDIR", &history);
    command
}

struct Bench<'a> {
    folder: &'a Path,
    size: f64,
}

/// The most that a group of processes had at once.
#[derive(Debug, Default, Clone, Copy)]
struct Peak {
    memory: u64,
    disk: u64,
    ghost: u64,
}

impl Bench<'_> {
    /// Runs it some times; prints and answers the best time. `None` where it is not installed.
    fn run(&self, what: &str, command: impl Fn() -> Command) -> Option<Duration> {
        let mut best: Option<(Duration, f64)> = None;
        let mut peak = Peak::default();
        for _ in 0..ROUNDS {
            let before = children_seconds();
            let (took, now) = self.once(command())?;
            let used = children_seconds() - before;
            peak.memory = peak.memory.max(now.memory);
            peak.disk = peak.disk.max(now.disk);
            peak.ghost = peak.ghost.max(now.ghost);
            if best.is_none_or(|(before, _)| took < before) {
                best = Some((took, used));
            }
        }
        let (took, used) = best?;
        let mebibytes = |bytes: u64| bytes as f64 / 1_048_576.0;
        println!(
            "{what:<44} {:>9.2} {used:>9.2} {:>9.0} {:>7.1} M {:>7.1} M {:>7.1} M",
            took.as_secs_f64(),
            self.size / took.as_secs_f64(),
            mebibytes(peak.memory),
            mebibytes(peak.disk),
            mebibytes(peak.ghost),
        );
        Some(took)
    }

    fn once(&self, mut command: Command) -> Option<(Duration, Peak)> {
        let visible = folder_bytes(self.folder);
        let begun = Instant::now();
        let child = command
            .stdin(Stdio::null())
            // A pipe, whose few bytes nobody reads: grep stops at its first match where nobody can listen at all.
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn();
        let Ok(mut child) = child else {
            println!("{:?} is not installed", command.get_program());
            return None;
        };
        let group = child.id();
        let mut peak = Peak::default();
        let status = loop {
            let now = look(group);
            peak.memory = peak.memory.max(now.memory);
            peak.ghost = peak.ghost.max(now.ghost);
            let grown = folder_bytes(self.folder).saturating_sub(visible);
            peak.disk = peak.disk.max(grown + now.ghost);
            if let Some(status) = child.try_wait().expect("a child") {
                break status;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let took = begun.elapsed();
        // grep answers 1 when it finds nothing.
        assert!(status.code().is_some_and(|code| code <= 1), "{status}");
        Some((took, peak))
    }
}

/// Memory of a group of processes, and the files that they hold open although nobody can see them any more.
fn look(group: u32) -> Peak {
    let mut peak = Peak::default();
    let mut counted = BTreeSet::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let folder = process.path();
        let stat = fs::read_to_string(folder.join("stat")).unwrap_or_default();
        let fields = stat.rsplit(')').next().unwrap_or_default();
        if fields.split_whitespace().nth(2) != Some(&group.to_string()) {
            continue;
        }
        let status = fs::read_to_string(folder.join("status")).unwrap_or_default();
        let resident = |field: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok())
                .unwrap_or(0)
        };
        peak.memory += (resident("RssAnon:") + resident("RssShmem:")) * 1024;
        for file in fs::read_dir(folder.join("fd"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let gone = fs::read_link(file.path())
                .is_ok_and(|link| link.to_string_lossy().ends_with(" (deleted)"));
            if gone
                && let Ok(metadata) = fs::metadata(file.path())
                && metadata.is_file()
                && counted.insert((metadata.dev(), metadata.ino()))
            {
                peak.ghost += metadata.blocks() * 512;
            }
        }
    }
    peak
}

fn folder_bytes(folder: &Path) -> u64 {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes += folder_bytes(&entry.path()),
            Ok(metadata) => bytes += metadata.blocks() * 512,
            Err(_) => {}
        }
    }
    bytes
}

/// Processor time of all children that have ended, in seconds.
fn children_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
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
    (ticks(13) + ticks(14)) / 100.0
}

/// What the form of a line costs, of which only so many a second are looked at.
fn forms(file: &Path) {
    let mut start = vec![0; 16 << 20];
    let length = File::open(file).and_then(|mut file| file.read(&mut start));
    start.truncate(length.unwrap_or(0));
    let lines: Vec<&[u8]> = start.split(|byte| *byte == b'\n').take(MINED).collect();
    let mut miner = Miner::default();
    let begun = Instant::now();
    for line in &lines {
        miner.mine(line);
    }
    let each = begun.elapsed().as_secs_f64() / lines.len().max(1) as f64;
    println!(
        "the form of a line costs {:.1} us; {} forms in {} lines",
        each * 1e6,
        miner.len(),
        lines.len()
    );
}

struct Files {
    plain: PathBuf,
    /// The same as nodes say it that are out of step, as those of the incident were: each fourth line means something and
    /// is taken apart.
    sick: PathBuf,
}

/// Logs of so many bytes, and the same as a node of 2019 had it: a current file and gzipped pieces.
fn generate(folder: &Path, bytes: u64) -> Files {
    let history = folder.join("history");
    fs::create_dir_all(&history).expect("a folder");
    let plain = folder.join("node.log");
    let sick = folder.join("sick.log");
    let mut whole = BufWriter::new(File::create(&plain).expect("a file"));
    let mut out_of_step = BufWriter::new(File::create(&sick).expect("a file"));
    let mut pieces: Vec<Box<dyn Write>> = Vec::new();
    for piece in 0..3 {
        let file = File::create(history.join(format!("validator-{piece}.log.gz"))).expect("a file");
        pieces.push(Box::new(BufWriter::new(GzEncoder::new(
            file,
            Compression::fast(),
        ))));
    }
    let current = File::create(history.join("validator.log")).expect("a file");
    pieces.push(Box::new(BufWriter::new(current)));
    let mut written = 0;
    let mut index = 0;
    while written < bytes {
        let mut line = line(index);
        line.push('\n');
        whole.write_all(line.as_bytes()).expect("room");
        let said = line.replace(IN_STEP, OUT_OF_STEP);
        out_of_step.write_all(said.as_bytes()).expect("room");
        let piece = (written * 4 / bytes) as usize;
        pieces[piece.min(3)]
            .write_all(line.as_bytes())
            .expect("room");
        written += line.len() as u64;
        index += 1;
    }
    whole.flush().expect("room");
    out_of_step.flush().expect("room");
    for piece in &mut pieces {
        piece.flush().expect("room");
    }
    Files { plain, sick }
}

/// What a follower of the incident's dialect says of an announcement that it expects, and of one that it does not.
const IN_STEP: &str = r#""mode":"Normal","msg":"[OnAnnounce] Announce message Added""#;
const OUT_OF_STEP: &str = r#""mode":"Sycning","msg":"[OnAnnounce] BlockNum not match""#;

/// What a healthy node says, with a bad line now and then, in all three dialects.
fn line(index: u64) -> String {
    let height = index / 4;
    let second = index / 20 % 60;
    match index % 1_000 {
        7 => format!(
            r#"{{"err":"write harmony_db_0/{height}.log: no space left on device","lvl":"eror","msg":"Failed to write trie to disk","t":"2019-09-14T23:54:06.986637942Z"}}"#
        ),
        8 => format!(
            r#"{{"level":"error","shardID":0,"myBlock":{height},"error":"missing trie node","time":"2026-11-22T10:01:00Z","message":"[finalCommit] failed"}}"#
        ),
        9 => "plain text of a library without any meaning".to_owned(),
        _ => match index % 4 {
            0 => format!(
                r#"{{"level":"info","shardID":0,"myBlock":{height},"myViewID":{height},"phase":"Commit","mode":"Normal","blockNum":{height},"epochNum":4,"ViewId":{height},"blockHash":"0x{height:064x}","numTxns":0,"numStakingTxns":0,"Signers":4,"caller":"/src/harmony/consensus/consensus_v2.go:282","time":"2026-11-22T10:{:02}:{second:02}.123456789Z","message":"HOORAY!!!!!!! CONSENSUS REACHED!!!!!!!"}}"#,
                index / 1_200 % 60
            ),
            1 => format!(
                r#"{{"level":"info","shardID":0,"myBlock":{height},"myViewID":{height},"phase":"Prepare","mode":"Normal","MsgViewID":{height},"MsgBlockNum":{height},"caller":"/src/harmony/consensus/validator.go:99","time":"2026-11-22T10:00:00.1Z","message":"[OnAnnounce] Announce message Added"}}"#
            ),
            2 => format!(
                r#"{{"BlockNum":"{height}","MsgBlockNum":{height},"ip":"","lvl":"dbug","mode":"Normal","msg":"[OnAnnounce] Announce message Added","myBlock":{height},"myViewID":{height},"phase":"Announce","port":"9000","t":"2019-07-24T05:30:49.631456691Z"}}"#
            ),
            _ => format!(
                r#"{{"level":"debug","port":"9000","ip":"0.0.0.0","myBlock":{height},"phase":2,"mode":"Normal","caller":"/src/harmony/consensus/leader.go:269","time":"2020-05-25T08:15:11.319035726Z","message":"[OnCommit] Received new commit message"}}"#
            ),
        },
    }
}
