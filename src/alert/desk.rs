//! The task that sends: fed through a bounded queue that never blocks who feeds it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tokio::{
    sync::{
        mpsc::{self, error::TrySendError},
        watch,
    },
    task::{JoinHandle, JoinSet},
    time::{sleep_until, timeout},
};

use super::{
    ledger::Ledger,
    notice::{About, Notice, State},
    outbox::{Outbox, Sent},
    send::send,
};
use crate::{
    detect::{Severity, findings::FindingChange},
    plan::alerts::{AlertVerdict, Alerts},
    time::Elapsed,
};

/// Notices between the watch and the task.
const QUEUE: usize = 1_024;

/// Takes what is to be told and sends it, beside the watch.
#[derive(Debug)]
pub struct Desk {
    ledger: Ledger,
    alerts: Alerts,
    to: Option<mpsc::Sender<(Option<usize>, Notice)>>,
    task: Option<JoinHandle<Outbox>>,
    give_up: watch::Sender<bool>,
    dropped: u64,
    held: Vec<FindingChange>,
}

impl Desk {
    /// A desk for these receivers; without any it does nothing. Must be called within a runtime.
    #[must_use]
    pub fn open(alerts: &Alerts, about: About) -> Self {
        let mut desk = Self {
            ledger: Ledger::new(about),
            alerts: alerts.clone(),
            to: None,
            task: None,
            give_up: watch::Sender::new(false),
            dropped: 0,
            held: Vec::new(),
        };
        if !alerts.routes.is_empty() {
            let (to, from) = mpsc::channel(QUEUE);
            desk.to = Some(to);
            let given_up = desk.give_up.subscribe();
            desk.task = Some(tokio::spawn(work(Outbox::new(alerts), from, given_up)));
        }
        desk
    }

    /// A finding changed. `leader` led its shard last; a `drill` is the canary's own doing.
    pub fn finding(&mut self, change: &FindingChange, leader: Option<&str>, drill: bool) {
        if self.to.is_some()
            && let Some(notice) = self.ledger.step(change, leader, drill)
        {
            self.put(None, notice);
        }
    }

    /// Holds a change back until it is known what it is of; answers whether there is room for it.
    pub fn hold(&mut self, change: &FindingChange) -> bool {
        let room = self.held.len() < QUEUE;
        if room && self.to.is_some() {
            self.held.push(change.clone());
        }
        room
    }

    /// What was held back.
    pub fn take_held(&mut self) -> Vec<FindingChange> {
        std::mem::take(&mut self.held)
    }

    /// The run is over: heartbeats, and the verdict for those who want to be told of this one.
    pub fn verdict(&mut self, verdict: AlertVerdict, summary: &str) {
        let about = self.ledger.about().clone();
        let heartbeat = about.notice(State::Heartbeat, "heartbeat", Severity::Info, summary);
        self.put(None, heartbeat);
        let severity = match verdict {
            AlertVerdict::Pass => Severity::Info,
            AlertVerdict::Fail => Severity::Critical,
            AlertVerdict::Infra | AlertVerdict::Inconclusive => Severity::Minor,
        };
        let wants = |place: &usize| self.alerts.routes[*place].verdicts.contains(&verdict);
        let places: Vec<usize> = (0..self.alerts.routes.len()).filter(wants).collect();
        for place in places {
            let notice = about.notice(State::Firing, "verdict", severity, summary);
            self.put(Some(place), notice);
        }
    }

    /// Sends a notice to every receiver, whatever they want: `canarynet alert test`.
    pub fn everybody(&mut self, notice: &Notice) {
        for place in 0..self.alerts.routes.len() {
            self.put(Some(place), notice.clone());
        }
    }

    fn put(&mut self, place: Option<usize>, notice: Notice) {
        let Some(to) = &self.to else { return };
        match to.try_send((place, notice)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => {
                self.dropped = self.dropped.saturating_add(1);
            }
        }
    }

    /// Waits until all is sent, at most so long; says what was not.
    pub async fn close(&mut self, longest: Duration) -> Vec<String> {
        self.to = None;
        let Some(mut task) = self.task.take() else {
            return Vec::new();
        };
        let outbox = match timeout(longest, &mut task).await {
            Ok(outbox) => outbox,
            // What is under way is given up: the task says what it still had.
            Err(_) => {
                self.give_up.send_replace(true);
                task.await
            }
        };
        let mut problems = outbox.map_or_else(
            |_| vec!["the task that sends alerts broke off".to_owned()],
            |outbox| outbox.problems(),
        );
        if self.dropped > 0 {
            problems.push(format!(
                "{} alerts were dropped: too many at once",
                self.dropped
            ));
        }
        problems
    }
}

/// Until nothing comes any more and all is sent, or it is given up.
async fn work(
    mut outbox: Outbox,
    mut from: mpsc::Receiver<(Option<usize>, Notice)>,
    mut given_up: watch::Receiver<bool>,
) -> Outbox {
    let begun = Instant::now();
    let mut sending: JoinSet<(usize, Sent)> = JoinSet::new();
    let mut places = BTreeMap::new();
    let mut open = true;
    loop {
        let now = Elapsed::default() + begun.elapsed();
        for (place, route, notice) in outbox.due(now) {
            let task = sending.spawn(async move { (place, send(&route, &notice).await) });
            places.insert(task.id(), place);
        }
        if !open && outbox.is_empty() {
            return outbox;
        }
        let wake = outbox.next().filter(|_| open || !outbox.is_empty());
        let wake = wake.map(|at| begun + at.as_duration());
        tokio::select! {
            put = from.recv(), if open => match put {
                Some((None, notice)) => outbox.offer(&notice, Elapsed::default() + begun.elapsed()),
                Some((Some(place), notice)) => {
                    outbox.offer_to(place, &notice, Elapsed::default() + begun.elapsed());
                }
                None => open = false,
            },
            Some(done) = sending.join_next_with_id() => {
                let now = Elapsed::default() + begun.elapsed();
                match done {
                    Ok((task, (place, sent))) => {
                        places.remove(&task);
                        outbox.done(place, sent, now);
                    }
                    // A panic of one try is one more reason to try again.
                    Err(error) => if let Some(place) = places.remove(&error.id()) {
                        outbox.done(place, Sent::Later("the try broke off".to_owned()), now);
                    },
                }
            }
            _ = given_up.changed() => return outbox,
            () = sleep_until(wake.unwrap_or(begun).into()), if wake.is_some() => {}
        }
    }
}
