//! Who gets which notice, when, and again if it did not arrive. Pure: "now" comes in.
//!
//! Each receiver has a queue of its own, so that one that is down delays no other. What cannot be delivered stays in
//! its place until it can: the wait between two tries doubles up to [`LONGEST_WAIT`]. A full queue refuses what is new
//! and counts it.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::notice::{Notice, State};
use crate::{
    plan::alerts::{AlertKind, AlertRoute, Alerts},
    time::Elapsed,
};

/// Notices that may wait for one receiver.
pub const QUEUE: usize = 512;
/// Wait after the first failure.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// Longest wait between two tries: a receiver that is back is told within this time.
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// How often an Alertmanager is told again of what lasts: it forgets what it does not hear of for five minutes.
const REPEAT: Duration = Duration::from_secs(60);

/// What became of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// It arrived.
    Arrived,
    /// It may arrive later: no connection, no answer, an error of the server.
    Later(String),
    /// It never will: the receiver says that it is wrong.
    Refused(String),
}

/// All receivers.
#[derive(Debug, Clone)]
pub struct Outbox {
    lanes: Vec<Lane>,
}

#[derive(Debug, Clone)]
struct Lane {
    route: AlertRoute,
    drills: bool,
    heartbeats: bool,
    queue: VecDeque<Notice>,
    /// What was told to be firing, and when last.
    open: BTreeMap<String, (Notice, Elapsed)>,
    busy: bool,
    tries: u32,
    next: Elapsed,
    lost: u64,
    problem: Option<String>,
}

impl Outbox {
    /// Empty queues for all receivers of a plan.
    #[must_use]
    pub fn new(alerts: &Alerts) -> Self {
        let lane = |(place, route): (usize, &AlertRoute)| Lane {
            route: route.clone(),
            drills: alerts.drill_to.contains(&place),
            heartbeats: alerts.heartbeat_to.contains(&place),
            queue: VecDeque::new(),
            open: BTreeMap::new(),
            busy: false,
            tries: 0,
            next: Elapsed::default(),
            lost: 0,
            problem: None,
        };
        Self {
            lanes: alerts.routes.iter().enumerate().map(lane).collect(),
        }
    }

    /// Puts a notice before all receivers that want it.
    pub fn offer(&mut self, notice: &Notice, now: Elapsed) {
        for lane in &mut self.lanes {
            if lane.wants(notice) {
                lane.put(notice.clone(), now);
            }
        }
    }

    /// Puts a notice before one receiver, whatever it wants.
    pub fn offer_to(&mut self, place: usize, notice: &Notice, now: Elapsed) {
        if let Some(lane) = self.lanes.get_mut(place) {
            lane.put(notice.clone(), now);
        }
    }

    /// What is to be sent now: the receiver's place, the receiver and the notice. Each is busy until [`Self::done`].
    pub fn due(&mut self, now: Elapsed) -> Vec<(usize, AlertRoute, Notice)> {
        let mut due = Vec::new();
        for (place, lane) in self.lanes.iter_mut().enumerate() {
            lane.repeat(now);
            if !lane.busy
                && now >= lane.next
                && let Some(notice) = lane.queue.front()
            {
                lane.busy = true;
                due.push((place, lane.route.clone(), notice.clone()));
            }
        }
        due
    }

    /// When something is due next, if anything waits.
    #[must_use]
    pub fn next(&self) -> Option<Elapsed> {
        let waits = self.lanes.iter().filter(|lane| !lane.busy);
        waits
            .filter_map(|lane| {
                let idle = lane.repeats() && lane.queue.is_empty();
                let repeat = idle.then(|| lane.open.values()).into_iter().flatten();
                let repeat = repeat.map(|(_, at)| *at + REPEAT).min();
                let queued = (!lane.queue.is_empty()).then_some(lane.next);
                [repeat, queued].into_iter().flatten().min()
            })
            .min()
    }

    /// What became of the receiver's foremost notice.
    pub fn done(&mut self, place: usize, sent: Sent, now: Elapsed) {
        let Some(lane) = self.lanes.get_mut(place) else {
            return;
        };
        lane.busy = false;
        match sent {
            Sent::Arrived => {
                lane.tries = 0;
                lane.problem = None;
                if let Some(notice) = lane.queue.pop_front() {
                    lane.arrived(notice, now);
                }
            }
            Sent::Later(why) => {
                lane.pause(now);
                lane.problem = Some(why);
            }
            Sent::Refused(why) => {
                if let Some(notice) = lane.queue.pop_front() {
                    lane.refused(&notice, now);
                }
                lane.pause(now);
                lane.lost = lane.lost.saturating_add(1);
                lane.problem = Some(why);
            }
        }
    }

    /// Whether everything was sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lanes
            .iter()
            .all(|lane| lane.queue.is_empty() && !lane.busy)
    }

    /// A line for each receiver that did not get all it should have.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let missing = self
            .lanes
            .iter()
            .filter(|lane| lane.lost > 0 || !lane.queue.is_empty());
        missing
            .map(|lane| {
                let why = lane.problem.as_deref().unwrap_or("the run ended first");
                let (waiting, lost) = (lane.queue.len(), lane.lost);
                format!(
                    "alerts to {}: {waiting} not delivered, {lost} lost: {why}",
                    lane.route.name
                )
            })
            .collect()
    }
}

impl Lane {
    fn wants(&self, notice: &Notice) -> bool {
        match (notice.state, notice.kind.as_str()) {
            (State::Heartbeat, _) => self.heartbeats,
            _ if notice.drill => self.drills,
            // What was told to be so is told to be over.
            (State::Resolved, _) => self.open.contains_key(&notice.key) || self.waits_for(notice),
            _ => self.route.from.is_some_and(|from| notice.severity >= from),
        }
    }

    fn waits_for(&self, notice: &Notice) -> bool {
        let firing = |waiting: &Notice| waiting.key == notice.key && waiting.state == State::Firing;
        self.queue.iter().any(firing)
    }

    fn put(&mut self, notice: Notice, now: Elapsed) {
        // Of two that wait and say the same, the newer is told; the foremost may be under way.
        let from = usize::from(self.busy);
        let of_key = |waiting: &&mut Notice| waiting.key == notice.key;
        let last = self.queue.iter_mut().skip(from).rfind(of_key);
        if let Some(waiting) = last.filter(|last| last.state == notice.state && last.was.is_none())
        {
            *waiting = Notice {
                was: None,
                ..notice
            };
        } else if self.queue.len() >= QUEUE {
            self.lost = self.lost.saturating_add(1);
        } else {
            if self.queue.is_empty() && self.tries == 0 {
                self.next = now;
            }
            self.queue.push_back(notice);
        }
    }

    fn arrived(&mut self, notice: Notice, now: Elapsed) {
        match notice.state {
            State::Firing => {
                self.open.insert(
                    notice.key.clone(),
                    (
                        Notice {
                            was: None,
                            ..notice
                        },
                        now,
                    ),
                );
            }
            State::Resolved => {
                self.open.remove(&notice.key);
            }
            State::Heartbeat => {}
        }
    }

    /// What was refused is not said again at once: what lasts when its time comes, what is over never.
    fn refused(&mut self, notice: &Notice, now: Elapsed) {
        match notice.state {
            State::Firing => {
                if let Some((_, told)) = self.open.get_mut(&notice.key) {
                    *told = now;
                }
            }
            State::Resolved => {
                self.open.remove(&notice.key);
            }
            State::Heartbeat => {}
        }
    }

    /// A receiver that did not take something is left alone for a while, each time for longer.
    fn pause(&mut self, now: Elapsed) {
        let wait = FIRST_WAIT.saturating_mul(1 << self.tries.min(16));
        self.tries = self.tries.saturating_add(1);
        self.next = now + wait.min(LONGEST_WAIT);
    }

    fn repeats(&self) -> bool {
        self.route.kind == AlertKind::Alertmanager
    }

    fn repeat(&mut self, now: Elapsed) {
        if !self.repeats() || self.busy || !self.queue.is_empty() {
            return;
        }
        let old = self
            .open
            .values()
            .filter(|(_, at)| now.since(*at) >= REPEAT);
        let again: Vec<Notice> = old.map(|(notice, _)| notice.clone()).take(QUEUE).collect();
        self.queue.extend(again);
    }
}

#[cfg(test)]
#[path = "outbox/tests.rs"]
mod tests;
