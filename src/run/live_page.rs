//! The page of `soak --serve`: what the loop gives for it, and what it may ask of the run.
//!
//! ```text
//!  loop: judgement and curves, copied  --->  rendered on a thread of its own  --->  serve::Page
//! ```
//! Only while somebody looks, one rendering at a time, and each leaves at least nine times its own length to others: a
//! page that is expensive comes less often, and the loop never waits for it.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    by_hand::{self, Wish},
    conductor::Conductor,
    directory::RunDirectory,
    error::chain,
    live::STOP_REQUEST,
};
use crate::{
    detect::judgement::StageStart,
    journal::text::clean,
    plan::Plan,
    report::{
        ReportInput,
        html::live::{self, LivePage, Moment},
    },
    serve::{self, Hands, Page},
    time::Elapsed,
    verdict,
};

/// The file in the run's directory that holds the page's address, for its owner alone.
const ADDRESS: &str = "page.url";

/// Between two states, at least: faster than this nobody reads.
const EVERY: Duration = Duration::from_secs(1);
/// A state is followed by the next after so many times what it cost.
const SHARE: u32 = 10;
/// Bytes that a browser takes in a second without pains.
const BYTES: usize = 1 << 18;
/// Longest time between two states.
const RARELY: Duration = Duration::from_secs(15);
/// Longest wait at the end for browsers to take the last state.
const LAST_WAIT: Duration = Duration::from_millis(700);
/// Longest wait for the first word on a fault that was asked for.
const FIRST_WORD: Duration = Duration::from_secs(5);

/// The page, and when its next state is due.
#[derive(Debug)]
pub(super) struct Follower {
    page: Arc<Page>,
    busy: Arc<AtomicBool>,
    /// Milliseconds until the next state.
    pace: Arc<AtomicU64>,
    shown_at: Option<Elapsed>,
    directory: PathBuf,
}

impl Follower {
    /// Gives the page its run, and writes down where it is: whoever may read the file may end the run by a signal too.
    pub(super) fn new(page: Page, directory: &RunDirectory, plan: &Plan) -> Self {
        let hands = RunHands {
            directory: directory.path().to_owned(),
            plan: plan.clone(),
        };
        page.give_hands(Arc::new(hands));
        let path = directory.path().join(ADDRESS);
        let file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path);
        // Without the file the page is served all the same: its address was printed.
        if let Ok(mut file) = file {
            let _ = writeln!(file, "{}", page.link());
        }
        Self {
            page: Arc::new(page),
            busy: Arc::default(),
            pace: Arc::new(AtomicU64::new(0)),
            shown_at: None,
            directory: directory.path().to_owned(),
        }
    }

    fn is_due(&self, now: Elapsed) -> bool {
        let pace = Duration::from_millis(self.pace.load(Ordering::Relaxed));
        !self.busy.load(Ordering::Acquire)
            && self.shown_at.is_none_or(|at| now.since(at) >= pace)
            && self.page.is_wanted()
    }

    /// Renders beside the loop.
    fn show(&mut self, input: ReportInput, moment: Moment) {
        self.shown_at = Some(moment.now);
        self.busy.store(true, Ordering::Release);
        let (page, pace) = (Arc::clone(&self.page), Arc::clone(&self.pace));
        let busy = Busy(Arc::clone(&self.busy));
        tokio::task::spawn_blocking(move || {
            let begun = Instant::now();
            if let Ok(rendered) = live::render(&input, moment) {
                let bytes = rendered.document.len();
                put(&page, rendered, false);
                let next = next_after(begun.elapsed(), bytes);
                let next = u64::try_from(next.as_millis()).unwrap_or(u64::MAX);
                pace.store(next, Ordering::Relaxed);
            }
            drop(busy);
        });
    }

    /// The last state of all, and a little time for browsers to take it.
    async fn end(&self, input: &ReportInput, moment: Moment) {
        let _ = fs::remove_file(self.directory.join(ADDRESS));
        if !self.page.is_wanted() {
            return;
        }
        if let Ok(rendered) = live::render(input, moment) {
            put(&self.page, rendered, true);
        }
        let deadline = Instant::now() + LAST_WAIT;
        while self.page.clients() > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Renders again when it is dropped, also by a panic.
struct Busy(Arc<AtomicBool>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

fn put(page: &Page, rendered: LivePage, over: bool) {
    page.show(rendered.document, rendered.policy, rendered.parts, over);
}

/// How long after the begin of a state the next one may begin.
fn next_after(took: Duration, bytes: usize) -> Duration {
    let browser = Duration::from_secs((bytes / BYTES) as u64);
    (took * SHARE).max(browser).clamp(EVERY, RARELY)
}

/// Where the page of a run that goes on is, if it has one.
#[must_use]
pub fn address(directory: &RunDirectory) -> Option<String> {
    let text = fs::read_to_string(directory.path().join(ADDRESS)).ok()?;
    Some(clean(text.trim(), 200))
}

impl Conductor {
    /// From now on the run can be followed there.
    pub(super) fn serve(&mut self, page: Option<Page>) {
        self.page = page.map(|page| Follower::new(page, &self.directory, &self.plan));
    }

    /// Shows a new state, where a page is served and somebody looks.
    pub(super) fn follow(&mut self, now: Elapsed) {
        if !self.page.as_ref().is_some_and(|page| page.is_due(now)) {
            return;
        }
        let judgement = self.judge.judgement();
        let verdict = verdict::decide(&self.plan, &judgement);
        let exit = verdict.exit();
        let mut input = self.report_input(judgement, verdict, exit);
        input.curves.clone_from(&self.curves);
        let moment = Moment {
            now,
            stage: Some(StageStart {
                stage: self.stage,
                at: self.stage_at,
            }),
            ended: false,
        };
        if let Some(page) = &mut self.page {
            page.show(input, moment);
        }
    }

    /// Shows the end.
    pub(super) async fn last_page(&self, input: &ReportInput) {
        let moment = Moment {
            now: self.clock.elapsed(),
            stage: None,
            ended: true,
        };
        if let Some(page) = &self.page {
            page.end(input, moment).await;
        }
    }
}

/// What the page may ask of the run: what the verbs write, it writes.
struct RunHands {
    directory: PathBuf,
    plan: Plan,
}

impl Hands for RunHands {
    fn stop(&self) -> Result<String, String> {
        let written = fs::write(self.directory.join(STOP_REQUEST), b"stop\n");
        match written {
            Ok(()) => Ok("the run ends: verdict and reports first, then teardown".to_owned()),
            Err(error) => Err(format!("cannot ask the run to stop: {error}")),
        }
    }

    fn fault(&self, wish: &serve::Wish) -> Result<String, String> {
        let lasts = match wish.lasts.trim() {
            "" => None,
            text => {
                let parsed = humantime::parse_duration(text);
                Some(parsed.map_err(|error| format!("{:?}: {error}", clean(text, 40)))?)
            }
        };
        let asked = Wish {
            kind: wish.kind.trim(),
            target: wish.target.trim(),
            lasts,
            parameters: serde_json::Value::Object(serde_json::Map::new()),
        };
        let planned =
            by_hand::planned(&asked, &self.plan).map_err(|error| clean(&chain(&error), 400))?;
        let name = by_hand::ask(&self.directory, &planned)
            .map_err(|error| format!("cannot ask the run: {error}"))?;
        Ok(first_word(&self.directory, &name))
    }
}

/// What the run says of a fault first.
fn first_word(directory: &Path, name: &str) -> String {
    let deadline = Instant::now() + FIRST_WORD;
    while Instant::now() < deadline {
        let told = by_hand::told(directory, name);
        if told.ends_with('\n') {
            return clean_lines(&told);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    "asked; the run has not answered yet".to_owned()
}

fn clean_lines(text: &str) -> String {
    let lines: Vec<String> = text.lines().take(8).map(|line| clean(line, 200)).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_costs_much_comes_rarely() {
        let millis = Duration::from_millis;
        assert_eq!(next_after(millis(3), 100_000), EVERY);
        assert_eq!(next_after(millis(300), 100_000), millis(3_000));
        assert_eq!(next_after(millis(3), 2 << 20), Duration::from_secs(8));
        assert_eq!(next_after(millis(60_000), 0), RARELY);
    }
}
