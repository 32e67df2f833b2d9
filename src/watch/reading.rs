//! The thread that follows a journal and judges it as the run's own loop does.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    Source,
    view::{FindingRow, View, node_row},
};
use crate::{
    detect::{Finding, Judge, Judgement, plan_of},
    ids::RunId,
    journal::{Entry, Event, Reader},
    plan::Plan,
    report::{
        Look, Standing, look,
        status::{self, Live},
        subject,
        text::{clock, plain, span},
    },
};

/// How often a new view is made.
const EVERY: Duration = Duration::from_millis(400);
/// Wait for more of a journal that was read to its end.
const WAIT: Duration = Duration::from_millis(200);
/// Findings shown.
const MOST_FINDINGS: usize = 200;
/// Steps of a finding's chain.
const MOST_STEPS: usize = 20;

/// Follows a journal until it is dropped.
pub struct Reading {
    newest: Arc<Mutex<Arc<View>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Reading {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn start(source: Source) -> io::Result<Self> {
        let first = View {
            title: plain(&source.name, 60),
            state: (source.state)(),
            status: "the journal is being read".to_owned(),
            ..View::default()
        };
        let newest = Arc::new(Mutex::new(Arc::new(first)));
        let stop = Arc::new(AtomicBool::new(false));
        let (to, ended) = (Arc::clone(&newest), Arc::clone(&stop));
        let thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || Follower::new(source, to).follow(&ended))?;
        Ok(Self {
            newest,
            stop,
            thread: Some(thread),
        })
    }

    /// The newest view.
    #[must_use]
    pub fn newest(&self) -> Arc<View> {
        let newest = self.newest.lock();
        Arc::clone(&newest.unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Judging {
    run: RunId,
    plan: Plan,
    judge: Judge,
}

struct Follower {
    source: Source,
    judging: Option<Judging>,
    damaged: Option<String>,
    to: Arc<Mutex<Arc<View>>>,
    shown: Instant,
}

impl Follower {
    fn new(source: Source, to: Arc<Mutex<Arc<View>>>) -> Self {
        Self {
            source,
            judging: None,
            damaged: None,
            to,
            shown: Instant::now(),
        }
    }

    fn follow(mut self, ended: &AtomicBool) {
        let mut reader = None;
        let mut whole = false;
        while !ended.load(Ordering::Relaxed) {
            if reader.is_none() {
                reader = Reader::open(&self.source.directory.join("journal")).ok();
            }
            match reader.as_mut().and_then(Reader::next) {
                Some(Ok(entry)) => {
                    whole = false;
                    self.step(&entry);
                }
                Some(Err(error)) => self.damaged = Some(plain(&error.to_string(), 200)),
                None => {
                    // The first time, so that a run that is over is shown as soon as it is read.
                    if !whole {
                        whole = true;
                        self.show(true);
                    }
                    thread::sleep(WAIT);
                }
            }
            if self.shown.elapsed() >= EVERY {
                self.show(whole);
            }
        }
    }

    fn step(&mut self, entry: &Entry) {
        match (&mut self.judging, &entry.event) {
            (None, Event::RunStarted { run, .. }) => match plan_of(entry) {
                Ok(Some(plan)) => {
                    let mut judge = Judge::new(&plan);
                    judge.step(entry);
                    self.judging = Some(Judging {
                        run: run.clone(),
                        plan,
                        judge,
                    });
                }
                Ok(None) => {}
                Err(error) => self.damaged = Some(plain(&error.to_string(), 200)),
            },
            (Some(judging), _) => {
                judging.judge.step(entry);
            }
            (None, _) => {}
        }
    }

    fn show(&mut self, whole: bool) {
        self.shown = Instant::now();
        let mut view = View {
            title: plain(&self.source.name, 60),
            state: (self.source.state)(),
            status: "nothing is in the journal yet".to_owned(),
            ..View::default()
        };
        if let Some(judging) = &self.judging {
            judging.show(whole, &mut view);
        }
        if let Some(damaged) = &self.damaged {
            view.status = format!("the journal is damaged: {damaged}");
        }
        *self.to.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
    }
}

impl Judging {
    fn show(&self, whole: bool, view: &mut View) {
        let judgement = self.judge.judgement();
        let live = Live::of(&self.plan, &self.run, &judgement);
        view.title = format!(
            "{}  {}  seed {}",
            view.title,
            plain(&self.plan.profile, 30),
            plain(&self.plan.seed, 24)
        );
        view.status = status::status_line(&live, Look::PLAIN);
        if !whole {
            view.status = format!(
                "reading, at {}: {}",
                span(live.elapsed.as_duration()),
                view.status
            );
        }
        view.now = judgement.last;
        view.nodes = judgement.nodes.iter().map(node_row).collect();
        let mut findings: Vec<&Finding> = judgement.findings.iter().collect();
        findings.sort_by_key(|finding| {
            (
                finding.end.is_some(),
                finding.excused_by.is_some() || finding.waived.is_some(),
                std::cmp::Reverse(finding.severity),
                std::cmp::Reverse(finding.noticed),
            )
        });
        view.more_findings = findings.len().saturating_sub(MOST_FINDINGS);
        findings.truncate(MOST_FINDINGS);
        let row = |finding: &&Finding| self.row(&judgement, finding);
        view.findings = findings.iter().map(row).collect();
        view.shards = judgement.shards;
    }

    fn row(&self, judgement: &Judgement, finding: &Finding) -> FindingRow {
        let at = |at: crate::time::Elapsed| clock(judgement.started.plus(at.as_duration()));
        let lasted = match finding.end {
            None => format!("since {}, not ended", at(finding.start)),
            Some(_) if finding.duration.is_zero() => format!("at {}", at(finding.start)),
            Some(_) => format!("at {} for {}", at(finding.start), span(finding.duration)),
        };
        let kind = plain(&finding.kind, 40);
        let standing = Standing::of(finding, &self.plan.gate);
        let mut details = vec![
            format!(
                "{kind} {}: {}",
                subject(finding),
                plain(&finding.summary, 400)
            ),
            format!(
                "{} (UTC); {}; {}",
                lasted,
                look::severity(finding.severity),
                standing.word()
            ),
        ];
        if let Some(fault) = &finding.excused_by {
            details.push(format!("excused by {}", plain(fault, 200)));
        }
        if let Some(because) = &finding.waived {
            details.push(format!("waived: {}", plain(because, 200)));
        }
        for cause in finding.chain.iter().take(MOST_STEPS) {
            details.push(format!("{} {}", at(cause.at), plain(&cause.what, 300)));
        }
        if finding.chain.is_empty() {
            let causes = finding.causes.iter().take(MOST_STEPS);
            details.extend(causes.map(|cause| plain(cause, 300)));
        }
        details.push(format!("canarynet explain {kind}"));
        FindingRow {
            id: plain(&finding.id, 40),
            severity: finding.severity,
            open: finding.end.is_none(),
            words: format!("{kind} {} {lasted}", subject(finding)),
            details,
        }
    }
}
