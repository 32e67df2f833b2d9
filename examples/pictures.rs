//! Makes the README's pictures from a recorded run of July 2019's replay, with a headless Chromium:
//! `cargo run --example pictures`.
//!
//! The report, the live page at the moment at which a shard has just stopped, and the whole-screen view.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "it makes pictures for people, who see what went wrong"
)]

use std::{fs, path::Path, time::Duration};

use canarynet::{
    detect::{Judge, plan_of},
    ids::RunId,
    journal::{Entry, Event, Reader},
    report::{
        Curves, Fact, ReportInput, html,
        html::live::{self, Moment},
    },
    serve::Page,
    time::Elapsed,
    verdict,
    watch::{Pane, Reading, Screen, Source, draw},
};
use ratatui::{Terminal, backend::TestBackend};

#[path = "../tests/support/browser.rs"]
mod browser;

use browser::{Browser, SIZES};

/// The recorded run: a minute of one shard.
const JOURNAL: &str = "examples/incident-2019-07";
/// Where the pictures go; the README shows two of them, and all are small.
const PICTURES: &str = "docs/pictures";
/// The live page is shown so long after the first shard was found to have stopped.
const AFTER: Duration = Duration::from_secs(3);

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries: Vec<Entry> = Reader::open(&root.join(JOURNAL))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let folder = root.join(PICTURES);
    fs::create_dir_all(&folder).unwrap();
    let Some(mut browser) = Browser::start() else {
        return;
    };

    let (whole, _) = judged(&entries, None);
    let page = tempfile::Builder::new().suffix(".html").tempfile().unwrap();
    fs::write(page.path(), html::render(&whole).unwrap()).unwrap();
    let [(laptop, ..), (phone, ..)] = SIZES;
    let size = |(_, width, height): (&str, u32, u32)| (width, height);
    let tab = browser.open(&format!("file://{}", page.path().display()), size(SIZES[0]));
    browser.picture(&tab, &folder.join(format!("report-{laptop}.png")));

    let stall = whole
        .judgement
        .findings
        .iter()
        .find(|finding| finding.kind == "stall")
        .unwrap();
    let (input, now) = judged(
        &entries,
        Some(stall.raised.unwrap_or(stall.noticed) + AFTER),
    );
    let server = Page::serve("127.0.0.1:0".parse().unwrap()).unwrap();
    let moment = Moment {
        now,
        stage: input.judgement.stages.last().copied(),
        ended: false,
    };
    let shown = live::render(&input, moment).unwrap();
    server.show(shown.document, shown.policy, shown.parts, false);
    let tab = browser.open(&server.link(), size(SIZES[1]));
    browser.wait(
        &tab,
        "document.getElementById('link').textContent === 'live'",
    );
    browser.picture(&tab, &folder.join(format!("live-{phone}.png")));

    let screen = terminal(root);
    fs::write(folder.join("watch.txt"), screen).unwrap();
    for entry in fs::read_dir(&folder).unwrap().flatten() {
        let size = entry.metadata().unwrap().len();
        eprintln!("{:>8} {}", size, entry.path().display());
    }
}

/// The run up to a moment, or all of it.
fn judged(entries: &[Entry], until: Option<Elapsed>) -> (ReportInput, Elapsed) {
    let plan = plan_of(&entries[0]).unwrap().unwrap();
    let run: RunId = match &entries[0].event {
        Event::RunStarted { run, .. } => run.clone(),
        _ => unreachable!("a journal begins with its plan"),
    };
    let mut judge = Judge::new(&plan);
    let mut curves = Curves::default();
    let mut now = Elapsed::default();
    for entry in entries {
        if until.is_some_and(|until| entry.elapsed > until) {
            break;
        }
        now = entry.elapsed;
        let changes = judge.step(entry);
        curves.step(entry, judge.world(), &changes);
    }
    let judgement = judge.finish();
    let verdict = verdict::decide(&plan, &judgement);
    let input = ReportInput {
        run,
        run_directory: "incident-2019-07/1".to_owned(),
        entries: Vec::new(),
        exit_code: verdict.exit() as u8,
        program: format!("reference node {}", env!("CARGO_PKG_VERSION")),
        facts: vec![Fact::new("canarynet", env!("CARGO_PKG_VERSION"))],
        detectors: Vec::new(),
        reproduce: vec!["canarynet".to_owned(), "soak".to_owned(), plan.name.clone()],
        kept: None,
        curves,
        plan,
        judgement,
        verdict,
    };
    (input, now)
}

/// What `canarynet watch` shows of the worst finding at the end, at 80x24.
fn terminal(root: &Path) -> String {
    let run = tempfile::tempdir().unwrap();
    let journal = run.path().join("journal");
    fs::create_dir(&journal).unwrap();
    for entry in fs::read_dir(root.join(JOURNAL)).unwrap().flatten() {
        fs::copy(entry.path(), journal.join(entry.file_name())).unwrap();
    }
    let reading = Reading::start(Source {
        directory: run.path().to_owned(),
        name: "incident-2019-07/1".to_owned(),
        state: Box::new(|| "finished: fail".to_owned()),
    })
    .unwrap();
    let mut view = reading.newest();
    while view.nodes.is_empty() || view.status.starts_with("reading") {
        std::thread::sleep(Duration::from_millis(50));
        view = reading.newest();
    }
    let mut screen = Screen::new(false);
    // The recording has no logs: the finding at length instead.
    (screen.pane, screen.zoomed) = (Pane::Findings, true);
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    terminal
        .draw(|frame| draw(frame, &view, &mut screen))
        .unwrap();
    let text = terminal.backend().to_string();
    let lines = text.lines().map(|line| line.trim_matches('"').trim_end());
    lines.collect::<Vec<_>>().join("\n") + "\n"
}
