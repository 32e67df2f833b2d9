//! Live progress through a terminal, a pipe and as JSON.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a test may end at what it did not expect; its name says what it checks"
)]

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use canarynet::{
    detect::{ChangeKind, FindingChange, Severity},
    journal::event::Stage,
    report::{
        Look, ReportInput,
        progress::{Mode, Progress},
        status::Live,
    },
    time::Elapsed,
};
use indicatif::{ProgressDrawTarget, TermLike};

#[path = "report_golden/input.rs"]
mod input;

/// A pipe, and a terminal that keeps what was written but moves no cursor.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TermLike for Kept {
    fn width(&self) -> u16 {
        100
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        writeln!(self.clone(), "{line}")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        write!(self.clone(), "{text}")
    }

    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Half a minute of a soak at ten looks a second, with a finding at second 12 and its end at second 20.
fn run(progress: &mut Progress, input: &ReportInput) {
    let mut finding = input::finding("st-1", "stall", Severity::Critical, 1, &[input::name(1, 2)]);
    finding.summary = "no block\u{1b}[31m".to_owned();
    let change = |kind| FindingChange {
        kind,
        finding: finding.clone(),
    };
    for tenth in 0..300_u64 {
        let mut live = Live::of(&input.plan, &input.run, &input.judgement);
        live.elapsed = Elapsed::from_millis(tenth * 100);
        live.stage = live.stage.map(|mut start| {
            start.at = Elapsed::default();
            start.stage = if tenth < 45 {
                Stage::WarmUp
            } else {
                Stage::Soak
            };
            start
        });
        progress.live(&live);
        match tenth {
            120 => progress.finding(live.elapsed, &change(ChangeKind::Opened)),
            135 => progress.finding(live.elapsed, &change(ChangeKind::Paged)),
            200 => progress.finding(live.elapsed, &change(ChangeKind::Closed)),
            250 => progress.note(live.elapsed, "two lines\nas one"),
            _ => {}
        }
    }
}

fn told(mode: Mode) -> String {
    let kept = Kept::default();
    let mut progress = Progress::to(mode, Look::PLAIN, Box::new(kept.clone())).unwrap();
    run(&mut progress, &input::pass());
    assert!(progress.finish(Duration::from_secs(10)));
    kept.text()
}

#[test]
fn a_pipe_gets_a_line_every_ten_seconds_and_at_changes() {
    let text = told(Mode::Plain);
    let lines: Vec<&str> = text.lines().collect();
    let starts: Vec<&str> = lines.iter().map(|line| &line[..8]).collect();
    assert_eq!(
        starts,
        [
            "00:00:00", "00:00:04", "00:00:12", "00:00:13", "00:00:14", "00:00:20", "00:00:24",
            "00:00:25"
        ],
        "{text}"
    );
    assert!(
        lines[0].starts_with("00:00:00 warm up 0 s | 0: 1,520 201 ms view 1520 4/4 31 % | 1: "),
        "{text}"
    );
    assert!(
        lines[1].contains(" soak 4.5 s of 5m00s (2 %) = 3h16m of mainnet at 39.4x"),
        "{text}"
    );
    assert_eq!(
        lines[2],
        "00:00:12 CRITICAL stall s1-n02: no block\u{fffd}[31m  st-1"
    );
    assert_eq!(
        lines[3],
        "00:00:13 PAGE stall s1-n02: no block\u{fffd}[31m  st-1"
    );
    assert_eq!(
        lines[5],
        "00:00:20 ended stall s1-n02: after 3m32s = 2h21m of mainnet  st-1"
    );
    assert_eq!(lines[7], "00:00:25 two lines as one");
}

#[test]
fn machines_get_an_object_a_line() {
    let text = told(Mode::Json);
    let mut kinds = std::collections::BTreeMap::new();
    for line in text.lines() {
        assert!(!line.chars().any(char::is_control));
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        *kinds
            .entry(object["progress"].as_str().unwrap().to_owned())
            .or_insert(0) += 1;
        if object["progress"] == "live" {
            assert_eq!(object["content"]["shards"][1]["height"], 1_519);
        }
    }
    // Once a second for half a minute, and once more at the change of stage, after which seconds count anew.
    assert_eq!(kinds["live"], 31, "{kinds:?}");
    assert_eq!(kinds["finding-opened"], 1);
    assert_eq!(kinds["finding-closed"], 1);
    assert_eq!(kinds["note"], 1);
}

#[test]
fn the_quiet_hear_findings_only() {
    assert_eq!(told(Mode::Quiet).lines().count(), 3);
}

#[test]
fn a_terminal_shows_shards_the_state_and_findings_above() {
    let kept = Kept::default();
    let target = ProgressDrawTarget::term_like(Box::new(kept.clone()));
    let look = Look {
        colour: false,
        width: Some(100),
    };
    let mut progress = Progress::on(look, 24, target).unwrap();
    run(&mut progress, &input::pass());
    assert!(progress.finish(Duration::from_secs(10)));
    let text = kept.text();
    assert!(
        text.contains("shard 0    1,520         201/233 ms"),
        "{text}"
    );
    assert!(text.contains("soak 4."), "{text}");
    assert!(
        text.contains("00:00:12 CRITICAL stall s1-n02: no block\u{fffd}[31m"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn the_run_is_asked_for_a_state_only_when_it_would_be_shown() {
    let kept = Kept::default();
    let mut progress = Progress::to(Mode::Plain, Look::PLAIN, Box::new(kept)).unwrap();
    let input = input::pass();
    let mut live = Live::of(&input.plan, &input.run, &input.judgement);
    live.elapsed = Elapsed::from_secs(20);
    let stage = live.stage.map(|start| start.stage);
    assert!(progress.wants(live.elapsed, stage));
    progress.live(&live);
    assert!(!progress.wants(Elapsed::from_millis(29_999), stage));
    assert!(progress.wants(Elapsed::from_secs(30), stage));
    assert!(progress.wants(Elapsed::from_secs(21), Some(Stage::TearDown)));
}
