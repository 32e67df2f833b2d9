//! The whole-screen view of `canarynet watch`: drawn at 80x24, fed from a journal that grows and from one that is over.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    missing_docs,
    reason = "a test may end at what it did not expect; its name says what it checks"
)]

use std::{
    fs,
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use canarynet::{
    ids::{NodeName, ShardId},
    journal::{
        Settings, Writer,
        generate::{Generator, Incident, Shape, What},
    },
    watch::{Next, Pane, Reading, Screen, Source, View, draw, press, tail},
};
use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
};

fn follow(directory: &Path, state: &'static str) -> Reading {
    Reading::start(Source {
        directory: directory.to_owned(),
        name: "night/7".to_owned(),
        state: Box::new(move || state.to_owned()),
    })
    .unwrap()
}

fn wait(reading: &Reading, what: &str, holds: impl Fn(&View) -> bool) -> Arc<View> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let view = reading.newest();
        if holds(&view) {
            return view;
        }
        assert!(Instant::now() < deadline, "{what} never came: {view:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What stands on a terminal of this size.
fn drawn(view: &View, screen: &mut Screen, (width, height): (u16, u16)) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, view, screen)).unwrap();
    terminal.backend().to_string()
}

fn key(code: KeyCode, screen: &mut Screen, view: &View) -> Next {
    press(KeyEvent::new(code, KeyModifiers::NONE), screen, view)
}

/// Two shards, of which one loses two of its four nodes.
fn generated() -> Generator {
    let shape = Shape {
        shards: 2,
        soak: Duration::from_secs(90),
        ..Shape::default()
    };
    let begin = Generator::soak_start(&shape);
    let kill = |index, after| Incident {
        at: begin + Duration::from_secs(after),
        what: What::Exit(NodeName::of(ShardId(1), index), 1),
    };
    Generator::new(&shape, 7, vec![kill(0, 40), kill(1, 41)])
}

#[test]
fn a_journal_is_followed_as_it_grows() {
    let run = tempfile::tempdir().unwrap();
    let reading = follow(run.path(), "running");
    assert!(wait(&reading, "a first view", |_| true).shards.is_empty());
    let mut entries = generated();
    let journal = run.path().join("journal");
    let mut writer = Writer::create(&journal, Settings::for_budget(64 << 20)).unwrap();
    for entry in entries.by_ref() {
        let at = entry.elapsed;
        writer.append(at, entry.event).unwrap();
        if at > canarynet::time::Elapsed::from_secs(20) {
            break;
        }
    }
    writer.flush().unwrap();
    let view = wait(&reading, "the first half", |view| {
        view.shards.len() == 2 && view.shards[0].height.is_some()
    });
    assert!(view.findings.is_empty(), "{:?}", view.findings);
    let before = view.shards[0].height;
    for entry in entries {
        writer.append(entry.elapsed, entry.event).unwrap();
    }
    writer.finish().unwrap();
    let view = wait(&reading, "the stall", |view| {
        view.shards
            .first()
            .is_some_and(|shard| shard.height > before)
            && view
                .findings
                .iter()
                .any(|row| row.words.starts_with("stall"))
    });
    assert!(view.nodes.iter().any(|node| !node.runs), "{:?}", view.nodes);
}

#[test]
fn everything_has_its_place_on_80_by_24() {
    let run = tempfile::tempdir().unwrap();
    let journal = run.path().join("journal");
    let mut writer = Writer::create(&journal, Settings::for_budget(64 << 20)).unwrap();
    for entry in generated() {
        writer.append(entry.elapsed, entry.event).unwrap();
    }
    writer.finish().unwrap();
    let logs = run.path().join("logs");
    fs::create_dir(&logs).unwrap();
    fs::write(
        logs.join("s0-n01.log"),
        "one line\n\u{1b}[31m<script>evil\u{1b}[0m\n",
    )
    .unwrap();
    let reading = follow(run.path(), "finished: fail");
    let view = wait(&reading, "the end", |view| {
        view.findings
            .iter()
            .any(|row| row.words.starts_with("stall"))
            && !view.status.starts_with("reading")
    });
    let mut screen = Screen::new(true);
    key(KeyCode::Down, &mut screen, &view);
    let node = screen.node(&view).unwrap().clone();
    assert_eq!(node.as_str(), "s0-n01");
    screen.lines = tail(&logs, &node);
    let text = drawn(&view, &mut screen, (80, 24));
    eprintln!("{text}");
    assert_eq!(text.lines().count(), 24);
    for word in [
        "night/7",
        "finished: fail",
        "shard 0",
        "shard 1",
        "nodes  2 of 8",
        "s1-n00",
        "ended",
        "findings  1 of",
        "stall",
        "log of s0-n01",
        "one line",
        "<script>evil",
        "q quit",
    ] {
        assert!(text.contains(word), "{word} is not on the screen:\n{text}");
    }
    assert!(!text.contains('\u{1b}'));

    // One part alone: the finding at length.
    for _ in 0..2 {
        if screen.pane != Pane::Findings {
            key(KeyCode::Tab, &mut screen, &view);
        }
    }
    key(KeyCode::Enter, &mut screen, &view);
    let text = drawn(&view, &mut screen, (80, 24));
    assert!(text.contains("canarynet explain"), "{text}");
    assert!(!text.contains("log of"), "{text}");
    for _ in 0..2 {
        assert_eq!(key(KeyCode::Esc, &mut screen, &view), Next::Go);
        assert!(!screen.zoomed);
    }
    // A narrow terminal keeps the state; a long line of the log is moved sideways.
    let text = drawn(&view, &mut screen, (60, 24));
    assert!(text.contains("state") && !text.contains("leader"), "{text}");
    screen.lines = vec![format!("{}end of it", "x".repeat(100))];
    assert!(!drawn(&view, &mut screen, (80, 24)).contains("end of it"));
    for _ in 0..3 {
        key(KeyCode::Right, &mut screen, &view);
    }
    let text = drawn(&view, &mut screen, (80, 24));
    assert!(text.contains("end of it"), "{text}");
    for (letter, pane) in [
        ('s', Pane::Shards),
        ('l', Pane::Log),
        ('n', Pane::Nodes),
        ('f', Pane::Findings),
    ] {
        key(KeyCode::Char(letter), &mut screen, &view);
        assert_eq!(screen.pane, pane);
    }

    // No size and no key breaks it.
    for size in [(1, 1), (10, 3), (20, 8), (300, 100)] {
        for code in [
            KeyCode::Tab,
            KeyCode::End,
            KeyCode::Home,
            KeyCode::PageUp,
            KeyCode::PageDown,
            KeyCode::Enter,
        ] {
            key(code, &mut screen, &view);
            drawn(&view, &mut screen, size);
        }
    }
    assert_eq!(key(KeyCode::Char('q'), &mut screen, &view), Next::Quit);
    let control = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(press(control, &mut screen, &view), Next::Quit);
}

#[test]
fn nothing_to_see_is_drawn_too() {
    let mut screen = Screen::new(false);
    let text = drawn(&View::default(), &mut screen, (80, 24));
    assert!(
        text.contains("nodes  none") && text.contains("findings  none"),
        "{text}"
    );
    for code in [KeyCode::Down, KeyCode::Up, KeyCode::End, KeyCode::Enter] {
        key(code, &mut screen, &View::default());
        drawn(&View::default(), &mut screen, (80, 24));
    }
}

#[test]
fn without_a_terminal_it_says_what_to_use() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("smoke/1");
    fs::create_dir_all(&run).unwrap();
    let record = r#"{"run":"smoke-1-abcde","name":"smoke/1","plan":"smoke","profile":"reference","created":1795291200000,"engine":null,"state":"finished","exit":0,"verdict":"pass"}"#;
    fs::write(run.join("run.json"), record).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_canarynet"))
        .args(["watch", "latest", "--state"])
        .arg(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("canarynet status smoke/1"), "{said}");
}
