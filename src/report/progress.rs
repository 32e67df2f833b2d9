//! Live progress of a run: bars on a terminal, plain lines elsewhere, JSON for machines.
//!
//! Never blocks the run loop: lines are made at most four times a second by the run's own clock and shown by the
//! [`Screen`]'s thread.

use std::{
    io::{self, Write},
    time::Duration,
};

use indicatif::ProgressDrawTarget;
use serde::Serialize;

use super::{
    harmless,
    look::{self, Look, Tone},
    screen::{Screen, Target},
    status::{Live, plain_line, shard_lines, status_line},
    subject,
    text::plain,
    timeline::stage_word,
};
use crate::{
    detect::{ChangeKind, FindingChange},
    journal::event::Stage,
    time::{Elapsed, human},
};

/// Faster than this nobody reads; each drawing costs the terminal and us.
const TERMINAL_PERIOD: Duration = Duration::from_millis(250);
/// A CI log of a night stays short enough to scroll.
const PLAIN_PERIOD: Duration = Duration::from_secs(10);
/// What a dashboard wants.
const JSON_PERIOD: Duration = Duration::from_secs(1);
/// Shards on a plain line.
const PLAIN_SHARDS: usize = 16;
/// Height of a terminal that does not tell its own.
const TERMINAL_ROWS: u16 = 24;

/// How progress is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Live lines for people who watch.
    Terminal,
    /// A line every ten seconds, and at every change of stage.
    Plain,
    /// One JSON object a line.
    Json,
    /// Findings only.
    Quiet,
}

/// The caller's handle.
pub struct Progress {
    mode: Mode,
    look: Look,
    rows: usize,
    /// The terminal that may be resized while the run goes on.
    terminal: Option<console::Term>,
    screen: Screen,
    last: Option<(Elapsed, Option<Stage>)>,
}

impl Progress {
    /// Progress on standard error: live where it is a terminal that can redraw, plain lines where not, as CI logs want
    /// it. `json` writes to standard output instead.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(json: bool, quiet: bool) -> io::Result<Self> {
        let terminal = console::Term::stderr();
        let attended =
            terminal.features().is_attended() && std::env::var("TERM").as_deref() != Ok("dumb");
        if json {
            return Self::to(Mode::Json, Look::PLAIN, Box::new(io::stdout()));
        }
        let look = Look::of(&terminal);
        if quiet || !attended {
            let mode = if quiet { Mode::Quiet } else { Mode::Plain };
            return Self::to(
                mode,
                Look {
                    width: None,
                    ..look
                },
                Box::new(io::stderr()),
            );
        }
        let mut progress = Self::on(look, TERMINAL_ROWS, ProgressDrawTarget::stderr_with_hz(8))?;
        progress.terminal = Some(terminal);
        Ok(progress)
    }

    /// Progress as lines to any stream.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn to(mode: Mode, look: Look, stream: Box<dyn Write + Send>) -> io::Result<Self> {
        Ok(Self {
            mode,
            look,
            rows: usize::MAX,
            terminal: None,
            screen: Screen::start(Target::Stream(stream))?,
            last: None,
        })
    }

    /// Live progress on a terminal of so many rows.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn on(look: Look, rows: u16, target: ProgressDrawTarget) -> io::Result<Self> {
        Ok(Self {
            mode: Mode::Terminal,
            look,
            rows: usize::from(rows),
            terminal: None,
            screen: Screen::start(Target::Terminal(target))?,
            last: None,
        })
    }

    /// Whether [`Progress::live`] would show something now: ask before making a [`Live`] that nobody sees.
    #[must_use]
    pub fn wants(&self, now: Elapsed, stage: Option<Stage>) -> bool {
        let period = match self.mode {
            Mode::Terminal => TERMINAL_PERIOD,
            Mode::Plain => PLAIN_PERIOD,
            Mode::Json => JSON_PERIOD,
            Mode::Quiet => return false,
        };
        match self.last {
            None => true,
            // At the terminal a change of stage waits for its turn, so that stages that rush by cost nothing.
            Some((_, last)) if last != stage && self.mode != Mode::Terminal => true,
            Some((at, _)) => now.since(at) >= period,
        }
    }

    /// Shows the state of the run, unless something was shown a moment ago.
    pub fn live(&mut self, live: &Live<'_>) {
        let stage = live.stage.map(|start| start.stage);
        if !self.wants(live.elapsed, stage) {
            return;
        }
        self.last = Some((live.elapsed, stage));
        match self.mode {
            Mode::Terminal => {
                self.measure();
                // Heading, the line about the rest, the status line and one to spare, lest the terminal scroll.
                let most = self.rows.saturating_sub(4).max(1);
                let mut lines = shard_lines(live, most, self.look);
                lines.push(status_line(live, self.look));
                self.screen.live(lines);
            }
            Mode::Plain => self.screen.print(plain_line(live, PLAIN_SHARDS)),
            Mode::Json => self.object("live", live.elapsed, live),
            Mode::Quiet => {}
        }
    }

    /// Takes over the size of the terminal as it is now.
    fn measure(&mut self) {
        let size = self.terminal.as_ref().and_then(console::Term::size_checked);
        if let Some((rows, columns)) = size {
            self.rows = usize::from(rows);
            self.look.width = Some(columns);
        }
    }

    /// Tells at once that a finding opened, rose, paged or ended.
    pub fn finding(&mut self, now: Elapsed, change: &FindingChange) {
        if self.mode == Mode::Json {
            let kind = match change.kind {
                ChangeKind::Opened => "finding-opened",
                ChangeKind::Raised => "finding-raised",
                ChangeKind::Paged => "finding-paged",
                ChangeKind::Closed => "finding-closed",
            };
            self.object(kind, now, &change.finding);
            return;
        }
        // What is about a moment closes as it opens; its opening has said all.
        if change.kind == ChangeKind::Closed && change.finding.duration.is_zero() {
            return;
        }
        let line = finding_line(now, change, self.look);
        self.screen.print(line);
    }

    /// Tells one line in words, for example what is being prepared.
    pub fn note(&mut self, now: Elapsed, line: &str) {
        match self.mode {
            Mode::Json => self.object("note", now, line),
            Mode::Quiet => {}
            Mode::Terminal | Mode::Plain => {
                let line = self
                    .look
                    .fit(&format!("{} {}", age(now), plain(line, 1_000)));
                self.screen.print(line);
            }
        }
    }

    /// Removes what is live and waits at most `deadline` for what was printed. Returns whether all was shown.
    pub fn finish(self, deadline: Duration) -> bool {
        self.screen.finish(deadline)
    }

    fn object(&mut self, progress: &str, elapsed: Elapsed, content: impl Serialize) {
        /// A line of `--json`.
        #[derive(Serialize)]
        struct Line<'a, T> {
            progress: &'a str,
            elapsed: Elapsed,
            content: T,
        }
        let line = Line {
            progress,
            elapsed,
            content,
        };
        // Nothing that is told here has a shape that JSON lacks, so nothing is lost.
        if let Ok(line) = harmless::compact(&line) {
            self.screen.print(line);
        }
    }
}

fn age(now: Elapsed) -> String {
    let seconds = now.0 / 1_000_000;
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// A change of a finding in one line.
fn finding_line(now: Elapsed, change: &FindingChange, look: Look) -> String {
    let finding = &change.finding;
    let severity = look::severity(finding.severity).to_uppercase();
    let kind = plain(&finding.kind, 40);
    let id = look.paint(Tone::Faint, &plain(&finding.id, 40));
    let (word, what) = match change.kind {
        ChangeKind::Opened => (
            look.paint(look::tone(finding.severity), &severity),
            plain(&finding.summary, 300),
        ),
        ChangeKind::Raised => (
            look.paint(look::tone(finding.severity), &severity),
            format!(
                "now {}: {}",
                severity.to_lowercase(),
                plain(&finding.summary, 300)
            ),
        ),
        ChangeKind::Paged => (look.paint(Tone::Bad, "PAGE"), plain(&finding.summary, 300)),
        ChangeKind::Closed => (
            look.paint(Tone::Good, "ended"),
            format!(
                "after {} = {} of mainnet",
                human(finding.duration),
                human(finding.mainnet)
            ),
        ),
    };
    look.fit(&format!(
        "{} {word} {kind} {}: {what}  {id}",
        age(now),
        subject(finding)
    ))
}

/// A stage's beginning as a line for [`Progress::note`].
#[must_use]
pub fn stage_note(stage: Stage) -> String {
    format!("stage: {}", stage_word(stage))
}
