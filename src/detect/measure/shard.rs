//! What is measured of one shard.

use std::{collections::VecDeque, time::Duration};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::{
    detect::{
        judgement::{Intervals, Recovery, ShardView, Sight, Traffic},
        world::{Shard, World},
    },
    ids::{Epoch, Height, ViewId},
    time::{Elapsed, whole_micros},
};

/// Histograms count in tenths of a millisecond, up to an hour, to three digits.
const TICK_MICROS: u64 = 100;
const LONGEST_TICKS: u64 = 36_000_000;
/// Intervals of the display's quantiles: the last few minutes at most, at canary intervals.
const RECENT: usize = 256;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Times {
    #[serde(with = "super::counts")]
    histogram: Histogram<u32>,
    sum: Duration,
    blocks: u64,
    longest: Duration,
}

/// An empty one.
pub(super) fn histogram() -> Histogram<u32> {
    Histogram::new_with_bounds(1, LONGEST_TICKS, 3)
        .expect("invariant: the bounds are constants that hdrhistogram accepts")
}

impl Times {
    pub(super) fn new() -> Self {
        Self {
            histogram: histogram(),
            sum: Duration::ZERO,
            blocks: 0,
            longest: Duration::ZERO,
        }
    }

    pub(super) fn add(&mut self, time: Duration, blocks: u64) {
        self.sum = self.sum.saturating_add(time);
        self.blocks = self.blocks.saturating_add(blocks);
        if blocks == 1 {
            self.histogram.saturating_record(ticks(time));
            self.longest = self.longest.max(time);
        }
    }

    fn quantile(&self, quantile: f64) -> Duration {
        if self.histogram.is_empty() {
            return Duration::ZERO;
        }
        let ticks = self.histogram.value_at_quantile(quantile);
        // The histogram answers the end of a step, which may lie beyond what was ever seen.
        Duration::from_micros(ticks.saturating_mul(TICK_MICROS)).min(self.longest)
    }

    pub(super) fn intervals(&self) -> Intervals {
        Intervals {
            count: self.blocks,
            mean: if self.blocks == 0 {
                Duration::ZERO
            } else {
                self.sum.div_f64(self.blocks as f64)
            },
            p50: self.quantile(0.5),
            p99: self.quantile(0.99),
            longest: self.longest,
        }
    }
}

fn ticks(time: Duration) -> u64 {
    (whole_micros(time) / TICK_MICROS).clamp(1, LONGEST_TICKS)
}

/// What is measured of one shard.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ShardMeasure {
    whole: Times,
    recovery: Times,
    recent: VecDeque<Duration>,
    /// Height and time at which the soak began for this shard, and the last block within it.
    pub soak: Option<((Height, Elapsed), (Height, Elapsed))>,
    signers: (u64, u64, u64),
    view_changes: u64,
    pub leader_turns: u64,
    first_epoch: Option<Epoch>,
    stalls: u64,
}

impl ShardMeasure {
    pub fn new() -> Self {
        Self {
            whole: Times::new(),
            recovery: Times::new(),
            recent: VecDeque::with_capacity(RECENT),
            soak: None,
            signers: (0, 0, 0),
            view_changes: 0,
            leader_turns: 0,
            first_epoch: None,
            stalls: 0,
        }
    }

    /// The soak begins: what is measured is about it from now on.
    pub fn begin_soak(&mut self, shard: &Shard, now: Elapsed) {
        self.whole = Times::new();
        self.signers = (0, 0, 0);
        let height = shard.best.as_ref().map_or(Height(0), |best| best.height);
        self.soak = Some(((height, now), (height, now)));
    }

    /// A block came. What a drill makes of blocks is in no statistic.
    pub fn block(&mut self, shard: &Shard, now: Elapsed, soaking: bool, drilled: bool) {
        let (Some(new), Some(best)) = (shard.new_block, &shard.best) else {
            return;
        };
        if self.first_epoch.is_none() {
            self.first_epoch = best.epoch;
        }
        if soaking && let Some((_, last)) = &mut self.soak {
            *last = (best.height, now);
        }
        if drilled {
            return;
        }
        if let Some(interval) = new.interval {
            self.whole.add(interval, new.blocks);
            if new.blocks == 1 {
                if self.recent.len() == RECENT {
                    self.recent.pop_front();
                }
                self.recent.push_back(interval);
            }
        }
        self.view_changes = self.view_changes.saturating_add(new.view_changes);
        self.leader_turns += u64::from(new.turned);
        if let Some((signers, committee)) = new.signers {
            self.signers.0 += u64::from(signers);
            self.signers.1 += u64::from(committee);
            self.signers.2 += 1;
        }
    }

    /// A stall began.
    pub fn stalled(&mut self) {
        self.stalls += 1;
    }

    /// It ended; it had begun at `start`.
    pub fn recovered(&mut self, shard: &Shard, start: Elapsed, now: Elapsed) {
        let from = match shard.quorum_since {
            Some(since) if since > start && since <= now => since,
            _ => start,
        };
        self.recovery.add(now.since(from), 1);
    }

    /// Epochs completed.
    pub fn epochs(&self, shard: &Shard) -> u64 {
        let last = shard.best.as_ref().and_then(|best| best.epoch);
        match (self.first_epoch, last) {
            (Some(first), Some(last)) => last.0.saturating_sub(first.0),
            _ => 0,
        }
    }

    /// Blocks since the first one seen, that one included.
    pub fn blocks(&self, shard: &Shard) -> u64 {
        match (shard.first, &shard.best) {
            (Some((first, _)), Some(best)) => {
                best.height.0.saturating_sub(first.0).saturating_add(1)
            }
            _ => 0,
        }
    }

    pub fn view(&self, shard: &Shard, world: &World, stalled: bool, open: [u32; 4]) -> ShardView {
        let best = shard.best.as_ref();
        let blocks = self.blocks(shard);
        let view_changes = self.view_changes.saturating_add(shard.views_at_height);
        let nodes = || shard.nodes.iter().map(|&node| &world.nodes[node]);
        let told = self.signers.2;
        let share = |value: u64, of: u64| (of > 0).then(|| value as f64 / of as f64);
        ShardView {
            shard: shard.id,
            sight: if world.watch_paused || shard.unseen_since.is_some() && best.is_some() {
                Sight::Blind
            } else if best.is_none() {
                Sight::Waiting
            } else if stalled {
                Sight::Stalled
            } else {
                Sight::Progressing
            },
            first_height: shard.first.map(|(height, _)| height),
            height: best.map(|best| best.height),
            first_block: shard.first.map(|(_, at)| at),
            last_block: best.map(|best| best.at),
            epoch: best.and_then(|best| best.epoch),
            view: best
                .and_then(|best| best.view)
                .map(|view| ViewId(view.0.saturating_add(shard.views_at_height))),
            leader: best
                .and_then(|best| best.leader.as_deref())
                .map(|leader| crate::journal::text::clean(leader, 64)),
            signers: shard.signers,
            recent: self.recent_intervals(),
            whole: self.whole.intervals(),
            signers_mean: share(self.signers.0, told),
            signers_share: share(self.signers.0, self.signers.1),
            view_changes,
            view_changes_per_1000: view_changes as f64 * 1000.0 / blocks.max(1) as f64,
            leader_turns: self.leader_turns,
            validators: (
                nodes().filter(|node| node.power > 0 && node.runs()).count() as u32,
                nodes().filter(|node| node.power > 0).count() as u32,
            ),
            disk_share: nodes()
                .filter_map(|node| {
                    share(
                        node.disk.used,
                        node.disk.used.saturating_add(node.disk.free),
                    )
                })
                .max_by(f64::total_cmp),
            recovery: self.recovery(),
            traffic: Traffic::default(),
            open,
        }
    }

    pub fn recovery(&self) -> Recovery {
        let times = self.recovery.intervals();
        Recovery {
            stalls: self.stalls,
            recovered: times.count,
            p50: times.p50,
            p99: times.p99,
            longest: times.longest,
        }
    }

    fn recent_intervals(&self) -> Intervals {
        let mut sorted: Vec<Duration> = self.recent.iter().copied().collect();
        sorted.sort_unstable();
        let at = |quantile: f64| {
            let place = (sorted.len() as f64 * quantile).ceil() as usize;
            sorted
                .get(place.saturating_sub(1))
                .copied()
                .unwrap_or_default()
        };
        Intervals {
            count: sorted.len() as u64,
            mean: sorted
                .iter()
                .sum::<Duration>()
                .checked_div(sorted.len() as u32)
                .unwrap_or_default(),
            p50: at(0.5),
            p99: at(0.99),
            longest: sorted.last().copied().unwrap_or_default(),
        }
    }
}
