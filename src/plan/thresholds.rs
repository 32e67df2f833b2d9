//! The default windows and thresholds, each as the largest of a few terms, and each with its reason.
//!
//! B is the block interval, V the view-change timeout, S the view-change slot and V_max the longest timeout, all as in
//! force in the canary. The terms are data, so that `plan check` can say which of them decided.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Thresholds,
    foreign::{Leaders, Quorum},
};
use crate::time::{Clocks, Window, micros};

/// Clocks and the size of a committee: all that the defaults depend on.
#[derive(Debug, Clone, Copy)]
pub struct Basis {
    /// The clocks in force.
    pub clocks: Clocks,
    /// Validators of a shard.
    pub validators: u32,
    /// How leaders follow each other.
    pub leaders: Leaders,
    /// How many must agree.
    pub quorum: Quorum,
    /// Time between two questions to a node, and the deadline of one.
    pub probe: Duration,
}

/// One term of a window.
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    /// As formula: `20 B`, `1.5 V + S`.
    pub text: String,
    /// In wall time.
    pub wall: Duration,
}

/// A window with the terms of which the largest holds.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowRule {
    /// Its key in a plan: `stall.after`.
    pub key: &'static str,
    /// The terms.
    pub terms: Vec<Term>,
}

impl WindowRule {
    /// The term that decides.
    #[must_use]
    pub fn deciding(&self) -> Option<&Term> {
        // The first of equals, as formulas are read.
        self.terms.iter().rev().max_by_key(|term| term.wall)
    }

    /// The window's length.
    #[must_use]
    pub fn wall(&self) -> Duration {
        self.deciding().map_or(Duration::ZERO, |term| term.wall)
    }
}

/// `view-change-loop`: one view change is a dead leader, two are two of them in a row; three at one height mean that
/// changing the leader does not help.
pub const VIEW_CHANGE_LOOP: u64 = 3;

/// ... where leaders are drawn: how improbable so many dead ones in a row at one height must be. Two days of blocks at a
/// second each, with as many dead as may be, have about one by chance.
const BY_CHANCE: f64 = 1e-5;

/// `view-change-storm`: a dead validator costs one view change per turn, and turns change once per epoch (in the order
/// of a hundred blocks), which is 1 %. Five times that is no longer a matter of single dead leaders.
pub const VIEW_CHANGE_STORM_SHARE: f64 = 0.05;

/// `slow-blocks`: see the terms of `rates.window` for why two view changes within the window stay below it.
pub const SLOW_BLOCKS_FACTOR: f64 = 1.5;

/// `node-lagging`: below ten blocks a node is one gossip round or one retry behind, at any block interval.
pub const LAG_BLOCKS: u64 = 10;

/// A warning sign only: the first failed write is the finding.
pub const DISK_USED_SHARE: f64 = 0.9;

/// `crash-loop`: once is an accident, twice a coincidence.
pub const CRASH_LOOP_EXITS: u32 = 3;

/// Thresholds of all findings about growth (`memory-growth` and its like).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrendThresholds {
    /// Blocks left out at the soak's beginning and after each start of a node.
    pub warm_up: u64,
    /// A shorter stretch, in blocks, is not judged: it may lie on one tooth of a garbage collector or a compaction.
    pub least: u64,
    /// Growth is a finding when what it eats up is gone within this much *mainnet* time.
    #[serde(with = "micros")]
    pub horizon: Duration,
    /// Growth over the judged stretch below this share of where it began is none.
    pub rise: f64,
    /// `cpu-creep`, and `log-flood` by growth: the multiple of the beginning's level that must not be reached.
    pub creep_factor: f64,
    /// `log-flood` at this multiple of a node's usual log volume.
    pub flood_factor: f64,
}

impl Default for TrendThresholds {
    fn default() -> Self {
        TRENDS
    }
}

/// The defaults of trends.
pub const TRENDS: TrendThresholds = TrendThresholds {
    // An epoch in the order of a hundred blocks: caches, pools and connections were all used once.
    warm_up: 100,
    // More than two hours of mainnet, and more than three minutes at 200 ms: collectors and compactions have come around
    // by then, also those that come by the clock (Go's: every two minutes at least).
    least: 1000,
    // A month: a network that is restarted with each release runs no longer, and what lasts longer than a month can be
    // seen coming on mainnet itself.
    horizon: Duration::from_secs(30 * 86_400),
    // What is smaller is lost in pages, file system blocks and the noise of a machine.
    rise: 0.05,
    // Twice the work for a block within a month.
    creep_factor: 2.0,
    // Ordinary bursts (a view change, a restart) stay far below it over half a minute.
    flood_factor: 10.0,
};

impl Basis {
    /// Votes that may be missing: less than a third.
    #[must_use]
    pub fn tolerated(&self) -> u32 {
        self.validators.saturating_sub(1) / 3
    }

    /// View changes that a healthy shard with as many dead validators as it tolerates makes within the window of
    /// rates: up to two epoch boundaries fall into it, each may begin with all dead validators' turns; three more are
    /// chance. So one dead validator of four (two view changes at most) is far from the five of a storm.
    #[must_use]
    pub fn storm_least(&self) -> u64 {
        2 * u64::from(self.tolerated().max(1)) + 3
    }

    /// View changes at one height that dead leaders do not explain, with as many dead as still leave a quorum.
    #[must_use]
    pub fn loop_views(&self) -> u32 {
        let dead: f64 = match (self.leaders, self.quorum) {
            (Leaders::InTurn, _) => return u32::try_from(VIEW_CHANGE_LOOP).unwrap_or(u32::MAX),
            (Leaders::Drawn, Quorum::TwoThirds) => 1.0 / 3.0,
            (Leaders::Drawn, Quorum::Majority) => 0.5,
        };
        (BY_CHANCE.ln() / dead.ln()).ceil() as u32
    }

    /// Dead leaders in a row that make no stall.
    fn dead_in_a_row(&self) -> u32 {
        self.loop_views() - 1
    }

    /// Between all signers and a bare quorum: half a vote above the quorum, half a vote below all. One missing of four
    /// is noticed (3 of 4 is the bare quorum); single late votes in a mean over many blocks are not.
    #[must_use]
    pub fn low_signers_share(&self) -> f64 {
        let validators = f64::from(self.validators.max(1));
        let quorum = f64::from(self.validators * 2 / 3 + 1);
        (quorum + 0.5).min(validators - 0.5) / validators
    }

    pub(super) fn term(&self, text: &str, wall: Duration) -> Term {
        Term {
            text: text.to_owned(),
            wall,
        }
    }

    pub(super) fn blocks(&self, count: u64) -> Term {
        self.term(&format!("{count} B"), self.clocks.blocks(count))
    }

    pub(super) fn wall(&self, text: &str, seconds: u64) -> Term {
        self.term(text, Duration::from_secs(seconds))
    }

    fn mainnet(&self, text: &str, span: Duration) -> Term {
        self.term(text, Window::Mainnet(span).resolve(&self.clocks))
    }

    /// 1.5 V + S: a dead leader's turn with half of it to spare.
    pub(super) fn one_view(&self) -> Term {
        let Clocks {
            view_change_timeout: view,
            view_change_slot: slot,
            ..
        } = self.clocks;
        self.term("1.5 V + S", (view * 3 / 2).saturating_add(slot))
    }

    fn views(&self, count: u32) -> Term {
        let wall =
            (self.clocks.view_change_timeout * count).saturating_add(self.clocks.view_change_slot);
        self.term(&format!("{count} V + S"), wall)
    }

    fn longest_views(&self, count: u32) -> Term {
        let wall = (self.clocks.view_change_timeout_max * count)
            .saturating_add(self.clocks.view_change_slot);
        let text = if count == 1 {
            "V_max + S".to_owned()
        } else {
            format!("{count} V_max + S")
        };
        self.term(&text, wall)
    }

    fn recovery_terms(&self) -> Vec<Term> {
        vec![self.blocks(10), self.longest_views(2)]
    }

    /// Three times the recovery budget: the time to 90 % of the normal rate.
    pub(super) fn recovered_rate(&self) -> Term {
        let recovery = WindowRule {
            key: "",
            terms: self.recovery_terms(),
        }
        .wall();
        self.term("3 recovery budgets", recovery.saturating_mul(3))
    }

    /// All windows, in the order in which they are shown.
    #[must_use]
    pub fn windows(&self) -> Vec<WindowRule> {
        let rule = |key, terms| WindowRule { key, terms };
        vec![
            rule("stall.suspected", vec![self.blocks(5), self.one_view()]),
            // One leader's death must not be a stall; two in a row and twenty lost blocks are. Where leaders are drawn,
            // as many in a row as are no chance.
            rule(
                "stall.after",
                vec![self.blocks(20), self.views(self.dead_in_a_row())],
            ),
            // The incident's own rule: one mainnet minute without a block pages at once.
            rule(
                "stall.page",
                vec![
                    self.mainnet("1m mainnet", Duration::from_secs(60)),
                    self.one_view(),
                ],
            ),
            rule(
                "no-recovery.after",
                vec![self.blocks(10), self.longest_views(2)],
            ),
            // Containers of one run start within seconds of each other, on a loaded machine within some more; a slow
            // chain gets fifty blocks, and a bad first leader the longest timeouts.
            rule(
                "never-started.after",
                vec![
                    self.wall("30 s", 30),
                    self.blocks(50),
                    self.longest_views(2),
                ],
            ),
            // While a view change is under way nobody leads, which may last the longest timeout: not before a stall.
            rule(
                "no-leader.after",
                vec![
                    self.blocks(20),
                    self.views(self.dead_in_a_row()),
                    self.longest_views(1),
                ],
            ),
            rule("rates.window", self.rate_terms()),
            // A node one view change behind is not lagging.
            rule("node-lagging.time", vec![self.one_view()]),
            rule("node-lagging.budget", vec![self.recovered_rate()]),
            // A hundred blocks to fetch a hundred blocks (an epoch), or the budget of a recovery.
            rule(
                "stuck-syncing.after",
                vec![self.blocks(100), self.recovered_rate()],
            ),
            // An hour and forty minutes of mainnet, and never so short that a slow restart falls out of it.
            rule(
                "crash-loop.window",
                vec![
                    self.mainnet("100m mainnet", Duration::from_secs(6_000)),
                    self.wall("60 s", 60),
                ],
            ),
            // A busy machine or a slow disk keeps a node silent for seconds; ten are more than that at any block interval.
            rule("hung.after", vec![self.blocks(20), self.wall("10 s", 10)]),
            // Three probes in a row, as nobody is blind for one lost answer; five seconds bridge an engine's hiccup.
            rule(
                "blind.after",
                vec![
                    self.wall("5 s", 5),
                    self.term("3 probes", self.probe.saturating_mul(3)),
                ],
            ),
            rule("trends.warm-up", vec![self.blocks(TRENDS.warm_up)]),
            rule("trends.least", vec![self.blocks(TRENDS.least)]),
            rule(
                "trends.horizon",
                vec![self.mainnet("30d mainnet", TRENDS.horizon)],
            ),
        ]
    }

    /// Long enough for a mean (a hundred blocks, ten seconds for the noise of a machine), and so long that the turns of
    /// two dead leaders, 1.5 V + S each, take at most a quarter of it: the mean interval is then 1.33 B at most.
    fn rate_terms(&self) -> Vec<Term> {
        let eight = self.one_view().wall.saturating_mul(8);
        vec![
            self.blocks(100),
            self.wall("10 s", 10),
            self.term("8 (1.5 V + S)", eight),
        ]
    }

    /// The defaults.
    #[must_use]
    pub fn thresholds(&self) -> Thresholds {
        let windows = self.windows();
        let wall = |key: &str| {
            let rule = windows.iter().find(|rule| rule.key == key);
            rule.map_or(Duration::ZERO, WindowRule::wall)
        };
        Thresholds {
            stall_suspected: wall("stall.suspected"),
            stall: wall("stall.after"),
            page: wall("stall.page"),
            recovery: wall("no-recovery.after"),
            never_started: wall("never-started.after"),
            view_change_loop: u64::from(self.loop_views()),
            view_change_storm_share: VIEW_CHANGE_STORM_SHARE,
            view_change_storm_least: self.storm_least(),
            rate_window: wall("rates.window"),
            slow_blocks_factor: SLOW_BLOCKS_FACTOR,
            no_leader: wall("no-leader.after"),
            low_signers_share: self.low_signers_share(),
            lag_blocks: LAG_BLOCKS,
            lag_time: wall("node-lagging.time"),
            lag_budget: wall("node-lagging.budget"),
            syncing: wall("stuck-syncing.after"),
            disk_used_share: DISK_USED_SHARE,
            crash_loop_exits: CRASH_LOOP_EXITS,
            crash_loop_window: wall("crash-loop.window"),
            hung: wall("hung.after"),
            blind: wall("blind.after"),
            trends: TRENDS,
            told: Some(self.told()),
        }
    }
}

/// The windows of resolved thresholds by the keys of [`Basis::windows`].
#[must_use]
pub fn by_key(thresholds: &Thresholds, clocks: &Clocks, key: &str) -> Option<Duration> {
    Some(match key {
        "stall.suspected" => thresholds.stall_suspected,
        "stall.after" => thresholds.stall,
        "stall.page" => thresholds.page,
        "no-recovery.after" => thresholds.recovery,
        "never-started.after" => thresholds.never_started,
        "no-leader.after" => thresholds.no_leader,
        "rates.window" => thresholds.rate_window,
        "node-lagging.time" => thresholds.lag_time,
        "node-lagging.budget" => thresholds.lag_budget,
        "stuck-syncing.after" => thresholds.syncing,
        "crash-loop.window" => thresholds.crash_loop_window,
        "hung.after" => thresholds.hung,
        "blind.after" => thresholds.blind,
        "trends.warm-up" => clocks.blocks(thresholds.trends.warm_up),
        "trends.least" => clocks.blocks(thresholds.trends.least),
        "trends.horizon" => clocks.from_mainnet(thresholds.trends.horizon),
        _ => return thresholds.told.as_ref()?.by_key(key),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basis(interval_millis: u64, speedup: u32) -> Basis {
        let clocks = Clocks {
            block_interval: Duration::from_millis(interval_millis),
            mainnet_block_interval: Duration::from_secs(8),
            view_change_timeout: Duration::from_secs(27) / speedup,
            view_change_slot: Duration::ZERO,
            view_change_timeout_max: Duration::from_secs(108) / speedup,
        };
        Basis {
            clocks,
            validators: 4,
            leaders: Leaders::InTurn,
            quorum: Quorum::TwoThirds,
            probe: Duration::from_millis(600),
        }
    }

    #[test]
    fn the_defaults_of_the_reference_at_forty_times() {
        let thresholds = basis(200, 40).thresholds();
        let millis = |duration: Duration| duration.as_micros() as f64 / 1e3;
        assert_eq!(millis(thresholds.stall_suspected), 1_012.5);
        assert_eq!(millis(thresholds.stall), 4_000.0);
        assert_eq!(millis(thresholds.page), 1_500.0);
        assert_eq!(millis(thresholds.recovery), 5_400.0);
        assert_eq!(millis(thresholds.rate_window), 20_000.0);
        assert_eq!(millis(thresholds.crash_loop_window), 150_000.0);
        assert_eq!(thresholds.view_change_storm_least, 5);
        assert_eq!(thresholds.low_signers_share, 0.875);
    }

    #[test]
    fn a_timeout_that_does_not_scale_decides_the_windows() {
        let slow = basis(200, 1);
        let deciding = |key: &str| {
            let windows = slow.windows();
            windows
                .iter()
                .find(|rule| rule.key == key)
                .unwrap()
                .deciding()
                .unwrap()
                .text
                .clone()
        };
        assert_eq!(deciding("stall.after"), "2 V + S");
        assert_eq!(deciding("stall.page"), "1.5 V + S");
        assert_eq!(deciding("rates.window"), "8 (1.5 V + S)");
    }

    #[test]
    fn where_leaders_are_drawn_a_dead_one_may_come_again_and_again() {
        let basis = Basis {
            leaders: Leaders::Drawn,
            ..basis(200, 1)
        };
        let thresholds = basis.thresholds();
        assert_eq!(thresholds.view_change_loop, 11);
        assert!(3_f64.powi(-11) < BY_CHANCE && BY_CHANCE < 3_f64.powi(-10));
        assert_eq!(thresholds.stall, Duration::from_secs(270));
        let raft = Basis {
            quorum: Quorum::Majority,
            ..basis
        };
        assert_eq!(raft.loop_views(), 17);
    }

    #[test]
    fn one_dead_validator_of_four_stays_below_all_rates_but_signers() {
        for (interval, speedup) in [(200, 40), (50, 160), (200, 1), (8_000, 1)] {
            let basis = basis(interval, speedup);
            let thresholds = basis.thresholds();
            let Clocks {
                block_interval,
                view_change_timeout,
                ..
            } = basis.clocks;
            // Two boundaries in the window at worst, one view change each.
            let lost = (view_change_timeout * 2).as_secs_f64();
            let window = thresholds.rate_window.as_secs_f64();
            let mean = block_interval.as_secs_f64() * window / (window - lost);
            assert!(mean < block_interval.as_secs_f64() * thresholds.slow_blocks_factor);
            assert!(thresholds.view_change_storm_least > 2);
            assert!(0.75 < thresholds.low_signers_share && thresholds.low_signers_share < 1.0);
        }
    }

    #[test]
    fn every_window_is_a_threshold() {
        let basis = basis(200, 40);
        for rule in basis.windows() {
            assert_eq!(
                by_key(&basis.thresholds(), &basis.clocks, rule.key),
                Some(rule.wall()),
                "{}",
                rule.key
            );
        }
        for validators in 1..100 {
            let share = Basis {
                validators,
                ..basis
            }
            .low_signers_share();
            assert!(share > 0.0 && share < 1.0, "{validators}: {share}");
        }
    }
}
