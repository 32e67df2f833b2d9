//! When an answer, or the lack of one, is worth telling. Pure: "now" is an argument.

use std::{mem, time::Duration};

use crate::{
    ids::NodeName,
    journal::event::{Event, ProbeError, ProbeKind},
    time::Elapsed,
};

/// A failure that lasts is told again this often.
const REPEAT: Duration = Duration::from_secs(10);
/// Another kind of failure is told at once, but not more often than this.
const CHANGE: Duration = Duration::from_secs(1);
/// Of a node that answers and shows nothing it is said this often that it does: nobody counts older answers as fresh.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct ProbeState {
    node: NodeName,
    probe: ProbeKind,
    standing: Standing,
    /// When it was last told that it answers.
    told: Option<Elapsed>,
}

#[derive(Debug)]
enum Standing {
    Unknown,
    Answers,
    Fails {
        since: Elapsed,
        told: Elapsed,
        error: ProbeError,
        failures: u64,
    },
}

impl ProbeState {
    pub(super) fn new(node: NodeName, probe: ProbeKind) -> Self {
        Self {
            node,
            probe,
            standing: Standing::Unknown,
            told: None,
        }
    }

    pub(super) fn answered(&mut self, now: Elapsed) -> Option<Event> {
        let silent_for = match mem::replace(&mut self.standing, Standing::Answers) {
            Standing::Answers => return None,
            Standing::Unknown => Duration::ZERO,
            Standing::Fails { since, .. } => now.since(since),
        };
        Some(self.tell(now, silent_for))
    }

    /// It answered, and what it said makes no entry of its own.
    pub(super) fn answered_nothing(&mut self, now: Elapsed) -> Option<Event> {
        let changed = self.answered(now);
        let due = self.told.is_none_or(|told| now.since(told) >= SIGN_OF_LIFE);
        changed.or_else(|| due.then(|| self.tell(now, Duration::ZERO)))
    }

    fn tell(&mut self, now: Elapsed, silent_for: Duration) -> Event {
        self.told = Some(now);
        Event::ProbeAnswered {
            node: self.node.clone(),
            probe: self.probe,
            silent_for,
        }
    }

    pub(super) fn failed(&mut self, error: ProbeError, now: Elapsed) -> Option<Event> {
        let (since, failures, tell) = match &self.standing {
            Standing::Unknown | Standing::Answers => (now, 1, true),
            Standing::Fails {
                since,
                told,
                error: last,
                failures,
            } => {
                let other = mem::discriminant(last) != mem::discriminant(&error);
                let wait = if other { CHANGE } else { REPEAT };
                (*since, failures + 1, now.since(*told) >= wait)
            }
        };
        let told = match &self.standing {
            Standing::Fails { told, .. } if !tell => *told,
            _ => now,
        };
        let event = tell.then(|| Event::ProbeFailed {
            node: self.node.clone(),
            probe: self.probe,
            error: error.clone(),
            failures,
        });
        // The kind last told is kept until another one is told.
        let error = match mem::replace(&mut self.standing, Standing::Unknown) {
            Standing::Fails { error, .. } if !tell => error,
            _ => error,
        };
        self.standing = Standing::Fails {
            since,
            told,
            error,
            failures,
        };
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ShardId;

    #[test]
    fn changes_are_told_once_and_what_lasts_every_ten_seconds() {
        let mut state = ProbeState::new(NodeName::of(ShardId(0), 0), ProbeKind::Rpc);
        let at = Elapsed::from_millis;
        let told = |event: Option<Event>| {
            event.map(|event| match event {
                Event::ProbeFailed { failures, .. } => format!("failed {failures}"),
                Event::ProbeAnswered { silent_for, .. } => format!("answered {silent_for:?}"),
                other => panic!("{other:?}"),
            })
        };
        assert_eq!(told(state.answered(at(0))).as_deref(), Some("answered 0ns"));
        assert_eq!(told(state.answered(at(100))), None);
        assert_eq!(
            told(state.failed(ProbeError::Refused, at(200))).as_deref(),
            Some("failed 1")
        );
        assert_eq!(
            told(state.failed(ProbeError::Deadline, at(300))),
            None,
            "too soon"
        );
        assert_eq!(
            told(state.failed(ProbeError::Deadline, at(1_200))).as_deref(),
            Some("failed 3")
        );
        assert_eq!(told(state.failed(ProbeError::Deadline, at(5_000))), None);
        assert_eq!(
            told(state.failed(ProbeError::Deadline, at(11_200))).as_deref(),
            Some("failed 5")
        );
        assert_eq!(
            told(state.answered(at(12_200))).as_deref(),
            Some("answered 12s")
        );
        assert_eq!(told(state.answered_nothing(at(12_900))), None);
        assert_eq!(
            told(state.answered_nothing(at(13_200))).as_deref(),
            Some("answered 0ns")
        );
        assert_eq!(told(state.answered_nothing(at(13_900))), None);
    }
}
