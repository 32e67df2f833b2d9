//! Packets that come later: by the kernel's own queue, else by a process that holds them.

use std::{
    io,
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use super::{
    Break, End, Say, filter,
    hold::{self, Holder},
    round_trip,
    traffic_control::{self, Queues, Wait},
};
use crate::fault::operation::{Outcome, link::Direction};

/// A peer that takes so much longer than it should does not answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// How late.
pub(super) struct Late {
    delay: Duration,
    jitter: Duration,
    lasts: Duration,
}

impl Late {
    pub(super) fn new(delay: Duration, jitter: Duration, lasts: Duration) -> Self {
        Self {
            delay,
            jitter: jitter.min(delay),
            lasts,
        }
    }

    /// Breaks and proves it; where packets are held by this process, stays until the time is over.
    pub(super) fn break_links(&self, end: &End<'_>, say: Say<'_>) -> Result<Outcome, io::Error> {
        let before = round_trip::quickest(&end.what.peers, self.deadline());
        match Queues::make(end, Wait::Time(self.delay, self.jitter)) {
            Ok(_) => return Ok(self.proof(end, before, "by the kernel's own queue")),
            // The kernel has none; its reason is no more than that.
            Err(_) => traffic_control::remove(&end.what.fault, end.what.address)?,
        }
        let mut holder = Holder::new(self.delay, self.jitter)?;
        hold::set_rules(end)?;
        thread::scope(|scope| {
            scope.spawn(|| say(&self.proof(end, before, "by a process that holds them")));
            let over = Instant::now() + self.lasts;
            holder.run(over, || filter::remove(&end.what.fault))
        })?;
        Ok(Outcome {
            effective: true,
            proof: format!("its time is over, {} packets were held", holder.count()),
        })
    }

    fn deadline(&self) -> Duration {
        (self.delay + self.jitter) * 2 + PATIENCE
    }

    /// By the peer that answered soonest before.
    fn proof(&self, end: &End<'_>, before: Option<(Ipv4Addr, Duration)>, how: &str) -> Outcome {
        let after = |peer| round_trip::median(peer, self.deadline());
        let Some((before, after)) = before.and_then(|(peer, time)| Some((time, after(peer)?)))
        else {
            return Outcome {
                effective: false,
                proof: "no peer answers, so that nothing could be measured".to_owned(),
            };
        };
        let ways = if end.what.direction == Direction::Both {
            2
        } else {
            1
        };
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        Outcome {
            // Half of what is expected on average: a few questions are asked, and jitter is drawn.
            effective: after.saturating_sub(before) >= self.delay * ways / 2,
            proof: format!(
                "there and back in {:.1} ms, before in {:.1} ms, {how}",
                milliseconds(after),
                milliseconds(before)
            ),
        }
    }
}

/// Delays packets by the kernel's own queue, and takes the queue away again.
///
/// # Errors
/// Why it cannot, as the kernel says it.
pub(crate) fn kernel_delays(what: &Break) -> Result<(), io::Error> {
    let made = Queues::make(&End::of(what)?, Wait::Time(PATIENCE, Duration::ZERO));
    traffic_control::remove(&what.fault, what.address)?;
    made.map(drop)
}
