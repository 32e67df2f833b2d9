//! The engine's events about node containers, and whether the canary had asked for them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures_util::StreamExt;

use super::{
    Context,
    access::{Access, Notice},
};
use crate::{
    ids::{NodeName, RunId},
    journal::event::{ContainerChange, Event},
    time::WallTime,
};

/// A request not followed by its event within this time was not carried out.
const EXPIRES: Duration = Duration::from_secs(30);
/// Wait before the engine is asked again for its events.
const RECONNECT: Duration = Duration::from_millis(500);
/// A stream that lived for so long was well.
const LIVED: Duration = Duration::from_secs(3);
/// Events of the last second that may come again after a reconnect.
const REMEMBERED: usize = 256;
/// How long before the end of a journal the events of a run that is taken over are asked for again: whoever wrote it may
/// have been killed with some of them in its hands.
const LOOK_BACK: Duration = Duration::from_secs(5);
/// Changes that a journal has from so long before its end may be among those that are asked for again: more than
/// [`LOOK_BACK`], as both clocks are read with some delay.
pub const JOURNALLED: Duration = Duration::from_secs(7);
/// By so much an entry's time may be before the engine's of the same change.
const CLOCKS_DIFFER: Duration = Duration::from_secs(1);

/// What the canary does to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Starts it.
    Start,
    /// Stops or kills it.
    Stop,
    /// Freezes it.
    Pause,
    /// Thaws it.
    Unpause,
    /// Removes it, killing it first if it runs.
    Remove,
}

/// The register of what the canary is about to do: marked before it acts, so that no event overtakes it.
#[derive(Debug, Clone, Default)]
pub struct Requested {
    marks: Arc<Mutex<BTreeMap<(NodeName, Operation), Instant>>>,
}

impl Requested {
    /// Announces an operation on a node; holds for 30 seconds or until the event that completes it.
    pub fn mark(&self, node: &NodeName, operation: Operation) {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        marks.retain(|_, at| at.elapsed() < EXPIRES);
        marks.insert((node.clone(), operation), Instant::now());
    }

    /// Takes an announcement back: the operation failed.
    pub fn unmark(&self, node: &NodeName, operation: Operation) {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        marks.remove(&(node.clone(), operation));
    }

    /// Whether the canary had asked for this change. The event that completes an operation uses its mark up.
    fn explains(&self, node: &NodeName, change: ContainerChange) -> bool {
        use ContainerChange as Change;
        // A stop is a kill and a death; a removal may be all three.
        let (operations, completes): (&[Operation], &[Operation]) = match change {
            Change::Started => (&[Operation::Start], &[Operation::Start]),
            Change::Killed { .. } => (&[Operation::Stop, Operation::Remove], &[]),
            Change::Died { .. } => (&[Operation::Stop, Operation::Remove], &[Operation::Stop]),
            Change::Paused => (&[Operation::Pause], &[Operation::Pause]),
            Change::Unpaused => (&[Operation::Unpause], &[Operation::Unpause]),
            Change::Destroyed => (&[Operation::Remove], &[Operation::Remove]),
            Change::OutOfMemory => (&[], &[]),
        };
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let explained = operations.iter().any(|operation| {
            marks
                .get(&(node.clone(), *operation))
                .is_some_and(|at| at.elapsed() < EXPIRES)
        });
        for operation in completes {
            marks.remove(&(node.clone(), *operation));
        }
        explained
    }
}

/// Where the events of a run go on that somebody else has watched.
///
/// By their times alone they are not told apart: a journal has milliseconds at which its writer got hold of a change, the
/// engine nanoseconds at which it happened, and the last entry may well be that very change.
#[derive(Debug, Clone, Default)]
pub struct Journalled {
    /// When the journal ended.
    pub until: WallTime,
    /// The changes of its last seven seconds, oldest first.
    pub changes: Vec<(NodeName, ContainerChange)>,
}

impl Journalled {
    fn nanos(&self) -> u64 {
        self.until.0.saturating_mul(1_000_000)
    }

    /// Whether the journal has this change. Every entry stands for one.
    fn has(&mut self, notice: &Notice) -> bool {
        let Some(node) = &notice.node else {
            return notice.time_nanos <= self.nanos();
        };
        if notice.time_nanos > self.nanos().saturating_add(nanos(CLOCKS_DIFFER)) {
            return false;
        }
        let same = |(known, change): &(NodeName, ContainerChange)| {
            known == node && *change == notice.change
        };
        let place = self.changes.iter().position(same);
        place.map(|place| self.changes.remove(place)).is_some()
    }
}

/// Follows the engine's events of a run until nobody listens; asks again when the stream ends. They begin now, or where
/// the journal of the owner before ended, as far as the engine still knows them.
pub async fn run_events<A: Access>(
    context: Context<A>,
    run: RunId,
    requested: Requested,
    before: Option<Journalled>,
) {
    let mut last = match &before {
        Some(before) => before.nanos().saturating_sub(nanos(LOOK_BACK)),
        None => now_nanos(),
    };
    let mut before = before.unwrap_or_default();
    let mut recent: Vec<Notice> = Vec::new();
    let mut complained = false;
    let mut versions = BTreeMap::new();
    while !context.sink.is_closed() {
        let since = i64::try_from(last / 1_000_000_000).unwrap_or_default();
        let begun = Instant::now();
        let mut notices = context.access.events(&run, since);
        let mut reason = "the stream of events ended".to_owned();
        while let Some(notice) = notices.next().await {
            match notice {
                Ok(notice) => {
                    complained = false;
                    if recent.contains(&notice)
                        || notice.time_nanos / 1_000_000_000 < since.unsigned_abs()
                    {
                        continue;
                    }
                    last = last.max(notice.time_nanos);
                    if recent.len() == REMEMBERED {
                        recent.remove(0);
                    }
                    recent.push(notice.clone());
                    if before.has(&notice) {
                        continue;
                    }
                    pass_on(&context, &requested, &mut versions, notice);
                }
                Err(error) => {
                    reason = error.chain();
                    break;
                }
            }
        }
        // One that lived for a while was well, whether or not there was anything to tell.
        complained &= begun.elapsed() < LIVED;
        if !complained {
            complained = true;
            context.sink.offer(Event::Infra {
                what: "engine".to_owned(),
                detail: reason,
                fatal: false,
            });
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

fn pass_on<A: Access>(
    context: &Context<A>,
    requested: &Requested,
    versions: &mut BTreeMap<NodeName, String>,
    notice: Notice,
) {
    if let Some(node) = notice.serves_disk_of
        && let ContainerChange::Died { exit_code } = notice.change
    {
        context
            .sink
            .offer(Event::DiskServerEnded { node, exit_code });
    }
    let Some(node) = notice.node else { return };
    if let Some(signals) = context.signals.node(&node) {
        match notice.change {
            ContainerChange::Started => signals.set_running(true),
            ContainerChange::Died { .. } => signals.set_running(false),
            ContainerChange::Destroyed => {
                signals.set_running(false);
                signals.count_removed();
            }
            _ => {}
        }
    }
    // Told before the start that brings it, and only when it is another one.
    if notice.change == ContainerChange::Started
        && let Some(version) = notice.version
        && versions.get(&node) != Some(&version)
    {
        versions.insert(node.clone(), version.clone());
        let node = node.clone();
        context.sink.offer(Event::Version { node, version });
    }
    let requested = requested.explains(&node, notice.change);
    context.sink.offer(Event::Container {
        node,
        change: notice.change,
        requested,
    });
}

fn now_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    nanos(since.unwrap_or_default())
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use futures_util::{
        future::BoxFuture,
        stream::{self, BoxStream},
    };
    use tokio::sync::watch;

    use super::*;
    use crate::{
        ids::ShardId,
        probe::{
            access::{AccessError, LogChunk, Session},
            cost::CostBook,
            signals::Signals,
            sink::Sink,
        },
    };

    /// An engine whose events are lists, one a connection; the last connection stays open.
    #[derive(Clone)]
    struct Engine(Arc<Mutex<VecDeque<Vec<Notice>>>>);

    impl Access for Engine {
        fn follow_logs(
            &self,
            _: &str,
            _: i64,
        ) -> BoxStream<'static, Result<LogChunk, AccessError>> {
            stream::pending().boxed()
        }

        fn exec(
            &self,
            _: &str,
            _: &[String],
            _: Option<&str>,
        ) -> BoxFuture<'static, Result<Session, AccessError>> {
            Box::pin(async { Err(AccessError::NotRunning) })
        }

        fn events(&self, _: &RunId, _: i64) -> BoxStream<'static, Result<Notice, AccessError>> {
            match self.0.lock().unwrap().pop_front() {
                Some(notices) => stream::iter(notices.into_iter().map(Ok)).boxed(),
                None => stream::pending().boxed(),
            }
        }
    }

    #[tokio::test]
    async fn events_survive_a_reconnect_without_doubles_and_set_the_signals() {
        let node = NodeName::of(ShardId(0), 1);
        let now = now_nanos();
        let notice = |nanos: u64, change| Notice {
            node: Some(node.clone()),
            serves_disk_of: None,
            version: Some("next".to_owned()),
            change,
            time_nanos: now + nanos,
        };
        let killed = notice(1, ContainerChange::Killed { signal: 9 });
        let died = notice(2, ContainerChange::Died { exit_code: 137 });
        let started = notice(3_000_000_000, ContainerChange::Started);
        let connections = [
            vec![killed.clone(), died.clone()],
            vec![killed, died, started],
        ];
        let (sink, mut receiver) = Sink::new(100);
        let (_pause, paused) = watch::channel(false);
        let signals = Signals::new([node.clone()]);
        let context = Context {
            access: Engine(Arc::new(Mutex::new(connections.into()))),
            sink,
            signals: signals.clone(),
            costs: CostBook::default(),
            paused,
        };
        let requested = Requested::default();
        requested.mark(&node, Operation::Start);
        tokio::spawn(run_events(
            context,
            "run-1".parse().unwrap(),
            requested,
            None,
        ));
        let mut changes = Vec::new();
        let (mut infra, mut versions) = (0, Vec::new());
        while changes.len() < 3 {
            match receiver.recv().await.unwrap().event {
                Event::Container {
                    change, requested, ..
                } => {
                    changes.push((change, requested));
                }
                Event::Infra { .. } => infra += 1,
                Event::Version { node, version } => {
                    assert_eq!(changes.len(), 2, "before the start that brings it");
                    versions.push(format!("{node} {version}"));
                }
                other => panic!("{other:?}"),
            }
        }
        let expected = [
            (ContainerChange::Killed { signal: 9 }, false),
            (ContainerChange::Died { exit_code: 137 }, false),
            (ContainerChange::Started, true),
        ];
        assert_eq!((changes.as_slice(), infra), (&expected[..], 1));
        assert_eq!(versions, [format!("{node} next")]);
        assert!(signals.node(&node).unwrap().running());
    }

    #[test]
    fn what_a_journal_has_is_told_once_and_what_its_writer_lost_is_told() {
        let node = NodeName::of(ShardId(0), 1);
        let notice = |millis: u64, change| Notice {
            node: Some(node.clone()),
            serves_disk_of: None,
            version: None,
            change,
            time_nanos: millis * 1_000_000,
        };
        let (killed, died) = (
            ContainerChange::Killed { signal: 9 },
            ContainerChange::Died { exit_code: 137 },
        );
        let mut before = Journalled {
            until: WallTime(10_000),
            changes: vec![
                (node.clone(), killed),
                (node.clone(), ContainerChange::Started),
            ],
        };
        assert!(before.has(&notice(9_000, killed)));
        assert!(!before.has(&notice(9_001, died)), "lost with its writer");
        let started = ContainerChange::Started;
        assert!(
            before.has(&notice(10_002, started)),
            "its entry was the last, and has no more than milliseconds"
        );
        assert!(!before.has(&notice(10_003, started)), "another one");
        before.changes.push((node.clone(), killed));
        assert!(!before.has(&notice(11_500, killed)), "long after");
        let mut server = notice(9_999, died);
        server.node = None;
        assert!(before.has(&server));
        server.time_nanos = 10_001_000_000;
        assert!(!before.has(&server));
    }

    #[test]
    fn a_stop_explains_its_kill_and_its_death_and_no_later_one() {
        let node = NodeName::of(ShardId(0), 1);
        let other = NodeName::of(ShardId(0), 2);
        let requested = Requested::default();
        let killed = ContainerChange::Killed { signal: 15 };
        let died = ContainerChange::Died { exit_code: 0 };
        assert!(!requested.explains(&node, died));
        requested.mark(&node, Operation::Stop);
        assert!(requested.explains(&node, killed));
        assert!(!requested.explains(&other, died));
        assert!(requested.explains(&node, died));
        assert!(!requested.explains(&node, died), "the mark is used up");
        requested.mark(&node, Operation::Remove);
        assert!(requested.explains(&node, died));
        assert!(requested.explains(&node, ContainerChange::Destroyed));
        assert!(!requested.explains(&node, ContainerChange::Destroyed));
        requested.mark(&node, Operation::Start);
        requested.unmark(&node, Operation::Start);
        assert!(!requested.explains(&node, ContainerChange::Started));
    }
}
