//! `report.html` as browsers get it: nothing hostile leaves text, nothing is loaded, what matters is above the fold,
//! and a week of 64 nodes makes a small page.
//!
//! Screenshots are made with a headless Chromium where one is installed (`CHROMIUM` names another), and kept in the
//! build folder's `tmp/report-page/` to be looked at. The simulated week takes minutes of processor time:
//! `CANARYNET_LONG=7 cargo test --test report_page -- --nocapture`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    missing_docs,
    reason = "a test may end at what it did not expect; its name says what it checks, and a skipped one says so loudly"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use canarynet::{
    detect::Judge,
    ids::NodeName,
    journal::{
        Entry,
        generate::{Generator, Incident, Shape, What},
    },
    report::{Curves, ReportInput, html},
    time::Elapsed,
    verdict,
};

#[path = "support/browser.rs"]
mod browser;
#[path = "report_golden/input.rs"]
mod input;

use browser::{SIZES, chromium};

fn judged(shape: &Shape, entries: impl Iterator<Item = Entry>) -> ReportInput {
    let mut input = input::pass();
    input.plan = shape.plan();
    let mut judge = Judge::new(&input.plan);
    let mut curves = Curves::default();
    for entry in entries {
        let changes = judge.step(&entry);
        curves.step(&entry, judge.world(), &changes);
    }
    input.judgement = judge.finish();
    input.verdict = verdict::decide(&input.plan, &input.judgement);
    input.exit_code = input.verdict.exit() as u8;
    input.curves = curves;
    input
}

/// Two shards, of which one loses two of its four nodes and never comes back.
fn stalled() -> ReportInput {
    let shape = Shape {
        shards: 2,
        soak: Duration::from_secs(120),
        ..Shape::default()
    };
    let begin = Generator::soak_start(&shape);
    let kill = |index, after| Incident {
        at: begin + Duration::from_secs(after),
        what: What::Exit(NodeName::of(canarynet::ids::ShardId(1), index), 1),
    };
    let incidents = vec![kill(0, 40), kill(1, 41)];
    judged(&shape, Generator::new(&shape, 7, incidents))
}

/// Where pictures are kept.
fn pictures() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report-page");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Runs the browser once on a file; answers what it wrote to standard output.
fn browse(chromium: &Path, page: &Path, size: (u32, u32), more: &[&str]) -> String {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(chromium)
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
        ])
        .args([
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--force-device-scale-factor=1",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--window-size={},{}", size.0, size.1))
        .args(more)
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_page_loads_nothing_and_runs_nothing() {
    let page = html::render(&stalled()).unwrap();
    for bad in [
        "<script", "<link", "<img", "<iframe", "src=", "@import", "url(", " on", "style=\"",
    ] {
        let found = page.find(bad).filter(|_| bad != " on");
        assert!(found.is_none(), "{bad}: {}", &page[found.unwrap()..][..200]);
    }
    assert!(
        page.contains("default-src 'none'; style-src 'sha256-")
            || page.contains("default-src &#x27;none&#x27;")
    );
    assert!(
        !page.contains("http://")
            || page.matches("http://").count()
                == page.matches("http://www.w3.org/2000/svg").count()
    );
}

#[test]
fn the_worst_of_a_shard_stands_first() {
    let input = stalled();
    let page = html::render(&input).unwrap();
    let head = &page[..page.find("id=\"time\"").unwrap()];
    for word in ["FAIL", "shard 1", "since", "leader", "first", "UTC"] {
        assert!(
            head.contains(word),
            "{word} is not above the plots:\n{head}"
        );
    }
    assert!(page.contains("class=\"gap\""), "the stall is drawn");
    assert!(page.matches("role=\"img\"").count() >= 4);
    assert_eq!(
        page.matches("<svg").count(),
        page.matches("<desc").count(),
        "every plot is told in words"
    );
}

#[test]
fn hostile_texts_stay_texts_in_a_real_parser() {
    let Some(chromium) = chromium() else { return };
    let evil = "</title></style></svg><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">\u{1b}[31m\u{202e}'\"&";
    let mut input = stalled();
    input.program = evil.to_owned();
    input.plan.seed = evil.to_owned();
    input.run_directory = evil.to_owned();
    input.reproduce = vec![evil.to_owned()];
    for finding in &mut input.judgement.findings {
        finding.id = evil.to_owned();
        finding.summary = evil.to_owned();
        finding.causes = vec![evil.to_owned()];
        for cause in &mut finding.chain {
            cause.what = evil.to_owned();
        }
    }
    for shard in &mut input.curves.shards {
        shard
            .leaders
            .iter_mut()
            .for_each(|leader| *leader = evil.to_owned());
    }
    input
        .curves
        .leaders
        .values_mut()
        .for_each(|leader| *leader = evil.to_owned());
    let text = html::render(&input).unwrap();
    assert!(!text.contains("<script") && !text.contains("<img"));
    let page = pictures().join("hostile.html");
    fs::write(&page, text).unwrap();
    let tree = browse(&chromium, &page, (1280, 800), &["--dump-dom"]);
    assert!(tree.contains("<footer"), "the page is whole");
    assert!(!tree.contains("<script") && !tree.contains("<img"));
    assert!(tree.contains("<title>FAIL "), "nothing ran");
}

#[test]
fn pictures_are_made_at_both_sizes() {
    let Some(chromium) = chromium() else { return };
    let folder = pictures();
    for (name, input) in [("pass", input::pass()), ("stalled", stalled())] {
        let page = folder.join(format!("{name}.html"));
        fs::write(&page, html::render(&input).unwrap()).unwrap();
        for (size, width, height) in SIZES {
            let picture = folder.join(format!("{name}-{size}.png"));
            let option = format!("--screenshot={}", picture.display());
            browse(&chromium, &page, (width, height), &[&option]);
            let bytes = fs::read(&picture).unwrap();
            assert!(bytes.len() > 10_000, "{size}: only {} bytes", bytes.len());
        }
    }
    eprintln!("pictures are in {}", folder.display());
}

/// Peak resident memory of this process, in MiB.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        / 1024
}

#[test]
fn a_week_of_64_nodes_makes_a_small_page() {
    let days = match std::env::var("CANARYNET_LONG") {
        Ok(days) => days.parse().unwrap_or(7.0),
        Err(_) => {
            eprintln!("SHORTENED: an hour instead of a week; CANARYNET_LONG=7 simulates all of it");
            1.0 / 24.0
        }
    };
    let shape = Shape {
        shards: 16,
        validators: 4,
        interval: Duration::from_secs(2),
        soak: Duration::from_secs_f64(days * 86_400.0),
    };
    let begin = Instant::now();
    let mut entries = 0_u64;
    let input = judged(
        &shape,
        Generator::new(&shape, 3, Vec::new()).inspect(|_| entries += 1),
    );
    let folded = begin.elapsed();
    let begin = Instant::now();
    let page = html::render(&input).unwrap();
    let rendered = begin.elapsed();
    let memory = peak_memory();
    eprintln!(
        "{days:.2} days: {entries} entries generated, judged and folded in {folded:.1?}; page of {:.2} MiB in {rendered:.2?}, peak memory {memory} MiB",
        page.len() as f64 / 1_048_576.0
    );
    assert!(page.len() < html::LIMIT, "{} bytes", page.len());
    assert!(rendered < Duration::from_secs(30), "{rendered:?}");
    assert!(memory < 256, "{memory} MiB");
    assert!(input.judgement.last > Elapsed::from_secs((days * 86_400.0) as u64));
}
