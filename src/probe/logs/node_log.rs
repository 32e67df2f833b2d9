//! What becomes of one node's lines, wherever they were read: kept raw, classified, counted, and known by their forms.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{bucket::Bucket, forms::Forms, overdue::Overdue, raw::RawLog};
use crate::{
    ids::NodeName,
    journal::{
        event::{Event, LogClass, Origin, Position, ProbeError, ProbeKind},
        mask::Masks,
    },
    probe::{signals::NodeSignals, sink::Sink},
    profile::{log_position::PositionReader, log_rules::RuleSet},
};

/// Classified lines a second of one rule that go into the journal.
const RATE: u32 = 50;
/// The same for lines that are only worth counting.
const NOTE_RATE: u32 = 2;
/// How often counts are written.
const COUNT_EVERY: Duration = Duration::from_secs(10);
/// Ticks between two lines that are read for where the node stands.
const POSITION_EVERY: u32 = 5;

/// One node's log; cheap to clone. Lines of its standard output and of followed files meet here.
#[derive(Debug, Clone)]
pub struct NodeLog {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    node: NodeName,
    rules: Arc<RuleSet>,
    /// One for each rule, made when it first matches.
    buckets: Vec<Option<Bucket>>,
    raw: Option<RawLog>,
    sink: Sink,
    counts: Counts,
    counted: Instant,
    forms: Option<Forms>,
    position: Option<Arc<PositionReader>>,
    masks: Arc<Masks>,
    overdue: Option<(Overdue, Arc<NodeSignals>)>,
    /// Ticks until the next line that tells a position is read.
    position_due: u32,
}

/// Figures of one node since the run started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Lines read.
    pub lines: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Lines known to be lost before they were read.
    pub lost: u64,
    /// Lines read but cut.
    pub cut: u64,
}

impl NodeLog {
    /// For one node; without `raw` the lines are not kept.
    #[must_use]
    pub fn new(node: NodeName, rules: Arc<RuleSet>, raw: Option<RawLog>, sink: Sink) -> Self {
        let buckets = vec![None; rules.len()];
        let inner = Inner {
            node,
            rules,
            buckets,
            raw,
            sink,
            counts: Counts::default(),
            counted: Instant::now(),
            forms: None,
            position: None,
            masks: Arc::default(),
            overdue: None,
            position_due: 0,
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    /// Lines are known by their forms too, and read for where the node stands.
    #[must_use]
    pub fn with_more(self, forms: Forms, position: Option<Arc<PositionReader>>) -> Self {
        {
            let mut inner = self.lock();
            inner.forms = Some(forms);
            inner.position = position;
        }
        self
    }

    /// Lines lose these secrets before anything is done with them.
    #[must_use]
    pub fn without(self, masks: Arc<Masks>) -> Self {
        self.lock().masks = masks;
        self
    }

    /// A line that tells where the node stands is owed within this time, while the node runs.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration, signals: Arc<NodeSignals>) -> Self {
        self.lock().overdue = Some((Overdue::new(deadline, Instant::now()), signals));
        self
    }

    /// Takes a line without its end; `cut` bytes of it are missing.
    pub fn line(&self, line: &[u8], cut: u64) {
        self.lock().line(line, cut, cut);
    }

    /// Takes a line whose end never came, so that a secret may have begun in it; `cut` bytes of it were thrown away.
    pub fn partial(&self, line: &[u8], cut: u64) {
        self.lock().line(line, cut, cut.max(1));
    }

    /// Counts lines that were lost before they were read.
    pub fn lost(&self, lines: u64) {
        let mut inner = self.lock();
        inner.counts.lost = inner.counts.lost.saturating_add(lines);
    }

    /// The figures.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Hands raw lines on, and writes the counts when their time has come. Call it about once a second.
    pub fn tick(&self) {
        let mut inner = self.lock();
        inner.flush();
        inner.position_due = inner.position_due.saturating_sub(1);
        if let Some(forms) = &mut inner.forms {
            forms.tick();
        }
        inner.look_for_position();
        if inner.counted.elapsed() >= COUNT_EVERY {
            inner.tell_counts();
        }
    }

    /// Writes the counts: nothing more comes.
    pub fn finish(&self) {
        let mut inner = self.lock();
        inner.flush();
        inner.tell_counts();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // Nothing below panics; a poisoned log still counts right.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Takes a line of which `cut` bytes were thrown away and at least `missing` are not there.
    fn line(&mut self, line: &[u8], cut: u64, missing: u64) {
        self.counts.lines += 1;
        self.counts.bytes += line.len() as u64 + cut + 1;
        self.counts.cut += u64::from(cut > 0);
        let masks = Arc::clone(&self.masks);
        let line = &masks.line(line, missing);
        let at = self.raw.as_mut().map(|raw| raw.write(line, cut));
        if let Some(forms) = &mut self.forms
            && let Some(seen) = forms.line(&self.node, line)
        {
            self.sink.offer(seen);
        }
        self.read_position(line);
        let Some(found) = self.rules.classify(line) else {
            return;
        };
        let now = Instant::now();
        let rate = if found.class == LogClass::Note {
            NOTE_RATE
        } else {
            RATE
        };
        let Some(bucket) = self.buckets.get_mut(found.index) else {
            return;
        };
        if !bucket
            .get_or_insert_with(|| Bucket::new(rate, now))
            .pass(now)
        {
            return;
        }
        self.sink.offer(Event::Log {
            node: self.node.clone(),
            level: found.level.name().into(),
            rule: found.rule,
            class: found.class,
            message: found.message,
            error: found.error,
            time: found.time,
            at,
        });
    }

    fn read_position(&mut self, line: &[u8]) {
        let Some(reader) = &self.position else { return };
        if self.position_due > 0 {
            return;
        }
        let Some(told) = reader.read(line) else {
            return;
        };
        self.position_due = POSITION_EVERY;
        let silent_for = match &mut self.overdue {
            Some((overdue, _)) => overdue.told(Instant::now()),
            None => None,
        };
        if let Some(silent_for) = silent_for {
            self.sink.offer(Event::ProbeAnswered {
                node: self.node.clone(),
                probe: ProbeKind::Position,
                silent_for,
            });
        }
        self.sink.offer(Event::Position(Position {
            node: self.node.clone(),
            origin: Origin::Log,
            height: told.height,
            agreeing: None,
            view: told.view,
            hash: told.hash.map(Into::into),
            age: Duration::ZERO,
        }));
    }

    fn look_for_position(&mut self) {
        let Some((overdue, signals)) = &mut self.overdue else {
            return;
        };
        if overdue.tick(Instant::now(), signals.running()) {
            self.sink.offer(Event::ProbeFailed {
                node: self.node.clone(),
                probe: ProbeKind::Position,
                error: ProbeError::Deadline,
                failures: 1,
            });
        }
    }

    fn flush(&mut self) {
        let Some(raw) = &mut self.raw else { return };
        raw.flush();
        if let Some(detail) = raw.trouble() {
            self.sink.offer(Event::Infra {
                what: "logs".to_owned(),
                detail,
                fatal: false,
            });
        }
    }

    fn tell_counts(&mut self) {
        self.counted = Instant::now();
        let Counts {
            lines,
            bytes,
            lost,
            cut,
        } = self.counts;
        self.sink.offer(Event::LogCount {
            node: self.node.clone(),
            lines,
            bytes,
            lost,
            cut,
        });
        if let Some(forms) = &mut self.forms {
            self.sink.offer(forms.take_counts(&self.node));
        }
        for index in 0..self.buckets.len() {
            let held_back = self.buckets[index]
                .as_mut()
                .map_or(0, Bucket::take_held_back);
            if held_back > 0 {
                self.tell_held_back(index, held_back);
            }
        }
    }

    fn tell_held_back(&self, index: usize, held_back: u64) {
        let Some(rule) = self.rules.name(index) else {
            return;
        };
        self.sink.offer(Event::Log {
            node: self.node.clone(),
            level: "info".into(),
            rule: Arc::clone(rule),
            class: LogClass::Note,
            message: format!("{held_back} more lines of this rule are only in the raw log"),
            error: None,
            time: None,
            at: None,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::ShardId,
        plan::LogPosition,
        probe::{logs::forms::SharedMiner, signals::Signals, sink::ProbeEvent},
    };
    use tokio::sync::mpsc::Receiver;

    fn log() -> (NodeLog, Receiver<ProbeEvent>) {
        let (sink, receiver) = Sink::new(1_000);
        let rules = Arc::new(RuleSet::new(&[]).unwrap());
        let node = NodeName::of(ShardId(0), 0);
        (NodeLog::new(node, rules, None, sink), receiver)
    }

    #[test]
    fn a_line_that_is_overdue_is_an_observation_and_so_is_the_one_that_comes_after_all() {
        let plan = LogPosition {
            messages: Vec::new(),
            height: String::new(),
            hash: None,
            pattern: Some(r"block (?P<height>\d+)".to_owned()),
            deadline: None,
        };
        let (log, mut receiver) = log();
        let node = NodeName::of(ShardId(0), 0);
        let signals = Signals::new([node.clone()]);
        let signals = Arc::clone(signals.node(&node).unwrap());
        let reader = PositionReader::new(&plan).map(Arc::new);
        let log = log
            .with_more(Forms::new(SharedMiner::default()), reader)
            .with_deadline(Duration::ZERO, signals);
        log.tick();
        log.line(b"block 7", 0);
        let mut told = Vec::new();
        while let Ok(event) = receiver.try_recv() {
            match event.event {
                Event::ProbeFailed { probe, error, .. } => {
                    told.push(format!("{probe:?} {error:?}"));
                }
                Event::ProbeAnswered { probe, .. } => told.push(format!("{probe:?} answers")),
                Event::Position(position) => told.push(format!("{:?}", position.height)),
                _ => {}
            }
        }
        assert_eq!(
            told,
            ["Position Deadline", "Position answers", "Some(Height(7))"]
        );
    }

    #[test]
    fn lines_are_counted_classified_and_held_back() {
        let (log, mut receiver) = log();
        for _ in 0..500 {
            log.line(
                br#"{"level":"error","message":"no space left on device"}"#,
                0,
            );
            log.line(b"nothing", 3);
        }
        log.lost(2);
        log.finish();
        let mut events = Vec::new();
        while let Ok(event) = receiver.try_recv() {
            events.push(event.event);
        }
        let full = |event: &&Event| {
            matches!(
                event,
                Event::Log {
                    class: LogClass::DiskFull,
                    ..
                }
            )
        };
        let written = events.iter().filter(full).count();
        assert!((50..70).contains(&written), "{written}");
        let counts = Event::LogCount {
            node: NodeName::of(ShardId(0), 0),
            lines: 1_000,
            bytes: 500 * 54 + 500 * 11,
            lost: 2,
            cut: 500,
        };
        assert!(events.contains(&counts), "{:?}", log.counts());
        let Some(Event::Log { message, .. }) = events.last() else {
            panic!("{events:?}")
        };
        assert!(message.starts_with(&format!("{} more lines", 500 - written)));
    }
}
