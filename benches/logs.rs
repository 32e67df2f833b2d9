//! Lines a second that the log rules classify, beside the quickest search tool of this machine on the same file.
//!
//! Run with `cargo bench --bench logs`.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    fs,
    hint::black_box,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use canarynet::profile::log_rules::RuleSet;

const LINES: usize = 400_000;
const ROUNDS: usize = 5;

fn main() {
    let file = generate();
    let rules = RuleSet::new(&[]).expect("the built-in rules are valid");
    let lines: Vec<&[u8]> = file.split(|byte| *byte == b'\n').collect();
    let mut found = 0;
    let best = best_of(|| {
        found = lines
            .iter()
            .filter(|line| black_box(rules.classify(line)).is_some())
            .count();
    });
    let megabytes = file.len() as f64 / 1e6;
    println!("{LINES} lines, {megabytes:.0} MB, {found} of them classified");
    report("classify", best, megabytes);
    let healthy: Vec<&[u8]> = lines
        .iter()
        .copied()
        .filter(|line| rules.classify(line).is_none())
        .collect();
    let best = best_of(|| {
        for line in &healthy {
            black_box(rules.classify(line));
        }
    });
    let each = best.as_secs_f64() / healthy.len() as f64;
    println!("a line that means nothing costs {:.0} ns", each * 1e9);
    search(&file, megabytes);
}

fn report(what: &str, best: Duration, megabytes: f64) {
    let seconds = best.as_secs_f64();
    println!(
        "{what}: {:.2} million lines/s, {:.0} MB/s",
        LINES as f64 / seconds / 1e6,
        megabytes / seconds
    );
}

fn best_of(mut run: impl FnMut()) -> Duration {
    let rounds = (0..ROUNDS).map(|_| {
        let begun = Instant::now();
        run();
        begun.elapsed()
    });
    rounds.min().unwrap_or_default()
}

/// The same texts, searched for by `rg`, or by `grep` where that is missing; its start is part of the figure.
fn search(file: &[u8], megabytes: f64) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("node.log");
    fs::write(&path, file).expect("room for the file");
    let texts = [
        "no space left on device",
        "No space left on device",
        "read-only file system",
        "input/output error",
        "corruption",
        "checksum mismatch",
        "too many open files",
        "panic:",
        "fatal error:",
        r#""level":"error""#,
        r#""level":"fatal""#,
        r#""lvl":"eror""#,
        r#""lvl":"crit""#,
    ];
    for tool in ["rg", "grep"] {
        let mut command = Command::new(tool);
        command.args(["-c", "-F"]).env("LC_ALL", "C");
        for text in texts {
            command.args(["-e", text]);
        }
        // Read from a pipe: grep stops at the first match when nobody looks.
        command.arg(&path).stdout(Stdio::piped());
        if command.output().is_err() {
            println!("{tool} is not installed");
            continue;
        }
        let best = best_of(|| {
            let _ = command.output();
        });
        report(tool, best, megabytes);
    }
}

/// What a healthy node says, with a bad line now and then, in all three dialects.
fn generate() -> Vec<u8> {
    let mut file = Vec::new();
    for index in 0..LINES {
        let height = index / 4;
        let line = match index % 1_000 {
            7 => format!(
                r#"{{"err":"write harmony_db_0/{height}.log: no space left on device","lvl":"eror","msg":"Failed to write trie to disk","t":"2019-09-14T23:54:06.986637942Z"}}"#
            ),
            8 => format!(
                r#"{{"level":"error","shardID":0,"myBlock":{height},"error":"missing trie node","time":"2026-11-22T10:01:00Z","message":"[finalCommit] failed"}}"#
            ),
            9 => "plain text of a library without any meaning".to_owned(),
            _ => match index % 4 {
                0 => format!(
                    r#"{{"level":"info","shardID":0,"myBlock":{height},"myViewID":{height},"phase":"Commit","mode":"Normal","blockNum":{height},"epochNum":4,"ViewId":{height},"blockHash":"0x{height:064x}","numTxns":0,"numStakingTxns":0,"caller":"/src/harmony/consensus/consensus_v2.go:282","time":"2026-11-22T10:00:00.123456789Z","message":"HOORAY!!!!!!! CONSENSUS REACHED!!!!!!!"}}"#
                ),
                1 => format!(
                    r#"{{"level":"info","shardID":0,"myBlock":{height},"myViewID":{height},"phase":"Prepare","mode":"Normal","MsgViewID":{height},"MsgBlockNum":{height},"caller":"/src/harmony/consensus/validator.go:99","time":"2026-11-22T10:00:00.1Z","message":"[OnAnnounce] Announce message Added"}}"#
                ),
                2 => format!(
                    r#"{{"BlockNum":"{height}","MsgBlockNum":{height},"ip":"","lvl":"dbug","mode":"Sycning","msg":"[OnAnnounce] BlockNum not match","myBlock":{height},"myViewID":{height},"phase":"Announce","port":"9000","t":"2019-07-24T05:30:49.631456691Z"}}"#
                ),
                _ => format!(
                    r#"{{"level":"debug","port":"9000","ip":"0.0.0.0","myBlock":{height},"phase":2,"mode":"Normal","caller":"/src/harmony/consensus/leader.go:269","time":"2020-05-25T08:15:11.319035726Z","message":"[OnCommit] Received new commit message"}}"#
                ),
            },
        };
        file.extend_from_slice(line.as_bytes());
        file.push(b'\n');
    }
    file
}
