//! How large a journal becomes, and from when on its budget makes it thinner.
//!
//! Pure arithmetic, from what was measured: sixteen reference nodes in four shards at 200 ms, at 50 tx/s a shard, wrote 2430
//! compressed bytes a second. A thinner journal costs coverage, so that it is told before a run of weeks and not after.

use std::{fmt, time::Duration};

use serde::Serialize;

use super::{Plan, Program, values::human_size};
use crate::{
    journal::Thinness,
    time::{human, micros},
};

/// Compressed bytes of one entry, as measured.
mod entry {
    /// A block, with its signers.
    pub(super) const BLOCK: f64 = 59.0;
    /// The heads of a shard.
    pub(super) const HEADS: f64 = 40.0;
    /// A sample of a node.
    pub(super) const SAMPLE: f64 = 41.0;
    /// Where a node says that it stands.
    pub(super) const POSITION: f64 = 14.0;
    /// Figures of a node's metrics page.
    pub(super) const FIGURES: f64 = 66.0;
    /// The ledger of a shard.
    pub(super) const LEDGER: f64 = 81.0;
    /// Counts of a node's log lines, and of their forms.
    pub(super) const COUNT: f64 = 20.0;
}

/// All else that a run writes: ticks, costs, faults, lines that mean something.
const REST: f64 = 15.0;

/// Raw bytes of the log of a reference node, for each block.
const LOG_OF_BLOCK: f64 = 940.0;

/// Bytes that a journal takes each second, by what is left out of it together.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rates {
    blocks: f64,
    heads: f64,
    samples: f64,
    counts: f64,
    rest: f64,
}

impl Rates {
    fn of(plan: &Plan) -> Self {
        let network = &plan.network;
        let interval = plan.clocks.block_interval.as_secs_f64().max(1e-3);
        let (shards, nodes) = (network.shards as f64, network.nodes.len() as f64);
        let only = |told: bool| if told { 1.0 } else { 0.0 };
        let figures = only(network.probe.metrics_port.is_some());
        // A node says where it stands with a block or two, every two and a half seconds at most.
        let positions = only(network.probe.log.is_some()) * (1.0 / interval).min(0.4);
        let of_node = entry::SAMPLE
            + positions * entry::POSITION
            + figures * entry::FIGURES / 5.0
            + entry::COUNT / 10.0;
        Self {
            blocks: shards / interval * entry::BLOCK,
            heads: shards * entry::HEADS,
            samples: nodes * of_node + shards * entry::LEDGER / 2.0,
            counts: nodes * entry::COUNT / 10.0,
            rest: REST,
        }
    }

    fn under(&self, thin: Thinness) -> f64 {
        let of = |rate: f64, k: u64| if k == 0 { 0.0 } else { rate / k as f64 };
        of(self.blocks, thin.blocks)
            + of(self.heads, thin.heads)
            + of(self.samples, thin.samples)
            + if thin.notes {
                self.counts
            } else {
                self.counts / 6.0
            }
            + self.rest
    }
}

/// From some moment on a journal is written thinner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ThinnedFrom {
    /// The moment, since the run's start, in microseconds.
    #[serde(with = "micros")]
    pub after: Duration,
    /// One block in this many is written.
    pub blocks: u64,
    /// One unchanged look at heads in this many.
    pub heads: u64,
    /// One sample in this many.
    pub samples: u64,
}

/// What a journal comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JournalCheck {
    /// Bytes on disk that a day of this network takes, nothing left out.
    pub a_day: u64,
    /// Bytes on disk of the whole run, nothing left out.
    pub whole: u64,
    /// The budget.
    pub budget: u64,
    /// When it is written thinner, and how; empty where it never is.
    pub thinned: Vec<ThinnedFrom>,
    /// How far back raw logs reach at the run's end, in microseconds; `None` where nobody knows how much nodes say.
    #[serde(with = "option_micros")]
    pub logs_reach: Option<Duration>,
}

/// Serde of a [`Duration`] that may be missing, as whole microseconds.
mod option_micros {
    use std::time::Duration;

    use serde::Serializer;

    pub(super) fn serialize<S: Serializer>(
        span: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => super::micros::serialize(span, serializer),
            None => serializer.serialize_none(),
        }
    }
}

impl JournalCheck {
    /// Of a run of this plan that lasts so long.
    #[must_use]
    pub fn of(plan: &Plan, lasts: Duration) -> Self {
        let rates = Rates::of(plan);
        let (budget, seconds) = (plan.budget.journal, lasts.as_secs_f64());
        let whole = rates.under(Thinness::NONE);
        let mut thinned = Vec::new();
        let (mut used, mut at) = (0.0, 0.0);
        let mut now = Thinness::NONE;
        loop {
            // The policy changes where half of what was left is used up.
            let half = used + (1.0 - used) / 2.0;
            at += (half - used) * budget as f64 / rates.under(now).max(1e-6);
            used = half;
            let next = Thinness::for_share(used + (1.0 - used) / 4.0);
            if at >= seconds || next == now {
                break;
            }
            now = next;
            thinned.push(ThinnedFrom {
                after: Duration::from_secs_f64(at),
                blocks: now.blocks,
                heads: now.heads,
                samples: now.samples,
            });
        }
        Self {
            a_day: (whole * 86_400.0) as u64,
            whole: (whole * seconds) as u64,
            budget,
            thinned,
            logs_reach: logs_reach(plan),
        }
    }

    /// The budget that leaves nothing out, in whole hundreds of mebibytes.
    #[must_use]
    pub fn enough(&self) -> u64 {
        const STEP: u64 = 100 << 20;
        // Half of it is to be left at the end.
        self.whole.saturating_mul(2).div_ceil(STEP).max(1) * STEP
    }

    /// What the budget costs, where it costs something.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let (first, last) = (self.thinned.first()?, self.thinned.last()?);
        let blocks = self.thinned.iter().find(|thinned| thinned.blocks > 1);
        let what = match blocks {
            None => format!(
                "one sample of a node in {} at the end: trends and causes rest on fewer",
                last.samples
            ),
            Some(blocks) => format!(
                "blocks too after {}; at the end one block in {} and one sample in {}: intervals, signers and trends rest on fewer",
                human(blocks.after),
                last.blocks,
                last.samples
            ),
        };
        Some(format!(
            "the journal is written thinner after {} ({what}); `budget.journal = \"{}\"` keeps all of it",
            human(first.after),
            human_size(self.enough())
        ))
    }
}

impl fmt::Display for JournalCheck {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "about {} a day, {} in all, of {}",
            human_size(self.a_day),
            human_size(self.whole),
            human_size(self.budget)
        )?;
        match self.thinned.first() {
            None => write!(formatter, ": nothing is left out")?,
            Some(first) => write!(formatter, ": thinner after {}", human(first.after))?,
        }
        if let Some(reach) = self.logs_reach {
            write!(formatter, "; raw logs reach back {}", human(reach))?;
        }
        Ok(())
    }
}

fn logs_reach(plan: &Plan) -> Option<Duration> {
    let a_second = LOG_OF_BLOCK * plan.network.nodes.len() as f64
        / plan.clocks.block_interval.as_secs_f64().max(1e-3);
    let reach = plan.budget.logs as f64 / a_second.max(1.0);
    let known = plan.network.program == Program::Itself;
    known.then(|| Duration::from_secs_f64(reach))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{
        Event, Settings, Writer,
        generate::{Generator, Shape},
    };

    fn shape(soak: u64) -> Shape {
        Shape {
            soak: Duration::from_secs(soak),
            ..Shape::default()
        }
    }

    /// What a writer makes of a generated run: bytes on disk, and when what was left out.
    fn written(shape: &Shape, budget: u64) -> (u64, Vec<ThinnedFrom>) {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings::for_budget(budget);
        let mut writer = Writer::create(&folder.path().join("journal"), settings).unwrap();
        let mut thinned = Vec::new();
        for entry in Generator::new(shape, 1, Vec::new()) {
            let written = writer.append(entry.elapsed, entry.event).unwrap();
            if let Some(announced) = written.announcement
                && let Event::Thinned {
                    blocks,
                    heads,
                    samples,
                    ..
                } = announced.event
            {
                thinned.push(ThinnedFrom {
                    after: announced.elapsed.as_duration(),
                    blocks,
                    heads,
                    samples,
                });
            }
        }
        writer.finish().unwrap();
        let files = std::fs::read_dir(folder.path().join("journal")).unwrap();
        let bytes = files.map(|file| file.unwrap().metadata().unwrap().len());
        (bytes.sum(), thinned)
    }

    #[test]
    fn a_generated_journal_is_as_large_as_was_said() {
        let shape = shape(600);
        let said = JournalCheck::of(&shape.plan(), shape.soak);
        assert!(said.thinned.is_empty() && said.warning().is_none());
        let (bytes, thinned) = written(&shape, 1 << 30);
        assert!(thinned.is_empty());
        let ratio = bytes as f64 / said.whole as f64;
        assert!((0.5..2.0).contains(&ratio), "{ratio}: {bytes} of {said}");
    }

    #[test]
    fn a_generated_journal_becomes_thinner_when_it_was_said() {
        let shape = shape(1_000);
        let mut plan = shape.plan();
        plan.budget.journal = 1 << 20;
        let said = JournalCheck::of(&plan, shape.soak);
        let (_, thinned) = written(&shape, plan.budget.journal);
        assert!(said.thinned.len() >= 2, "{said:?}");
        let (first, really) = (said.thinned[0], thinned[0]);
        let ratio = really.after.as_secs_f64() / first.after.as_secs_f64();
        assert!((0.4..2.5).contains(&ratio), "{ratio}: {first:?} {really:?}");
        let (last, really) = (said.thinned.last().unwrap(), thinned.last().unwrap());
        let steps = (last.samples as f64 / really.samples as f64).log2();
        // Generated entries repeat each other more than real ones, and the last steps come quickly.
        assert!(steps.abs() <= 3.0, "{last:?} {really:?}");
        // Enough is enough.
        plan.budget.journal = said.enough();
        assert!(JournalCheck::of(&plan, shape.soak).thinned.is_empty());
    }

    #[test]
    fn three_weeks_of_the_default_network_are_warned_of() {
        let mut plan = Shape::default().plan();
        let week = Duration::from_secs(7 * 86_400);
        let said = JournalCheck::of(&plan, 3 * week);
        let days = said.thinned[0].after.as_secs_f64() / 86_400.0;
        assert!((1.5..4.0).contains(&days), "{said}");
        assert!(said.thinned.is_sorted_by_key(|thinned| thinned.after));
        let warning = said.warning().unwrap();
        for word in ["thinner after", "one block in", "budget.journal"] {
            assert!(warning.contains(word), "{warning}");
        }
        assert!(said.enough() > said.whole);
        // Fewer nodes, slower blocks: the same budget lasts.
        plan.clocks.block_interval = Duration::from_secs(8);
        plan.network.nodes.truncate(4);
        plan.network.shards = 1;
        assert!(JournalCheck::of(&plan, week).thinned.is_empty());
    }
}
