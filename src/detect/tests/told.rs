//! Detectors of what nodes tell of themselves: firing, quiet, excused and at the boundary, from journals by hand.

use super::{by_entry::Script, *};
use crate::{
    ids::{Height, ViewId},
    journal::{
        Event,
        effect::Effect,
        event::{
            BlockContent, ContainerChange, FaultStep, Figures, Ledger, Mode, NodeHead, Origin,
            Position, Sample, Stage,
        },
    },
    plan::LogBaseline,
};

/// Two shards of four that soak from the first second on, with a block of each every 200 ms.
struct Chain {
    script: Script,
    millis: u64,
    height: u64,
    shards: u64,
    /// What each block of shard 0 holds, and who signed the one before.
    transactions: u32,
    signed: &'static str,
    leader: [&'static str; 2],
    view_changes: u64,
    view: u64,
}

impl Chain {
    fn new() -> Self {
        Self::of(1)
    }

    fn of(shards: u64) -> Self {
        let mut script = Script::default();
        script.add(
            0,
            Event::Stage {
                stage: Stage::Start,
            },
        );
        for shard in 0..shards {
            for index in 0..4 {
                script.add(
                    0,
                    Event::Container {
                        node: node(shard, index),
                        change: ContainerChange::Started,
                        requested: true,
                    },
                );
            }
        }
        for stage in [Stage::WarmUp, Stage::Soak] {
            script.add(500, Event::Stage { stage });
        }
        Self {
            script,
            millis: 1_000,
            height: 0,
            shards,
            transactions: 5,
            signed: "0f",
            leader: ["s0-n00", "s0-n00"],
            view_changes: 0,
            view: 0,
        }
    }

    /// So many blocks, with positions of all nodes every fifth.
    fn blocks(&mut self, count: u64) -> &mut Self {
        for _ in 0..count {
            self.height += 1;
            self.millis += 200;
            self.view += 1 + std::mem::take(&mut self.view_changes);
            for shard in 0..self.shards {
                let content = BlockContent {
                    transactions: Some(self.transactions),
                    receipts: Some(0),
                    signed: Some(self.signed.into()),
                };
                self.script.add(
                    self.millis,
                    Event::Block {
                        shard: ShardId(shard),
                        height: Height(self.height),
                        hash: format!("{shard:02x}{:06x}", self.height).into(),
                        view: Some(ViewId(self.view)),
                        epoch: Some(crate::ids::Epoch(self.height / 100)),
                        leader: Some(self.leader[0].into()),
                        signers: Some(4),
                        committee: Some(4),
                        time: None,
                        node: node(shard, 0),
                        content: Some(content),
                    },
                );
                if self.height.is_multiple_of(5) {
                    self.heads(shard, self.height + 1);
                }
            }
        }
        self
    }

    fn heads(&mut self, shard: u64, agreeing: u64) -> &mut Self {
        let (height, view) = (self.height, self.view);
        let head = |index| NodeHead {
            node: node(shard, index),
            height: Height(height),
            view: Some(ViewId(view + 1)),
            // The first node tells what the test wants.
            agreeing: Some(Height(if index == 0 { agreeing } else { height + 1 })),
            mode: Some(Mode::Normal),
            leads: Some(index == 0),
        };
        self.script.add(
            self.millis,
            Event::Heads {
                shard: ShardId(shard),
                nodes: (0..4).map(head).collect(),
            },
        );
        self
    }

    fn add(&mut self, event: Event) -> &mut Self {
        self.script.add(self.millis, event);
        self
    }

    fn figures(&mut self, index: u32, change: impl FnOnce(&mut Figures)) -> &mut Self {
        let mut figures = Figures {
            node: Some(node(0, index)),
            ..Figures::default()
        };
        change(&mut figures);
        self.add(Event::Figures(Box::new(figures)))
    }

    fn ledger(&mut self, shard: u64, index: u32, change: impl FnOnce(&mut Ledger)) -> &mut Self {
        let height = self.height;
        let mut ledger = Ledger {
            node: Some(node(shard, index)),
            height: Some(Height(height)),
            ..Ledger::default()
        };
        change(&mut ledger);
        self.add(Event::Ledger(Box::new(ledger)))
    }

    fn fault(&mut self, index: u32, effect: Effect, step: FaultStep) -> &mut Self {
        let (id, kind) = ("f1".into(), "any".into());
        let step = match step {
            FaultStep::Acknowledged => {
                let requested = FaultStep::Requested {
                    targets: vec![node(0, index)],
                    takes: vec![node(0, index)],
                    effects: vec![effect],
                    lasts: Duration::from_secs(9),
                };
                self.add(Event::Fault {
                    id: std::sync::Arc::clone(&id),
                    kind: std::sync::Arc::clone(&kind),
                    step: requested,
                });
                FaultStep::Acknowledged
            }
            step => step,
        };
        self.add(Event::Fault { id, kind, step })
    }

    fn judgement(&self) -> Judgement {
        self.judged_against(None)
    }

    fn judged_against(&self, baseline: Option<LogBaseline>) -> Judgement {
        let mut shape = shape();
        shape.shards = self.shards;
        let mut plan = shape.plan();
        plan.log_baseline = baseline;
        taken_over(&plan, self.script.entries())
    }

    fn findings(&self) -> Vec<Finding> {
        self.judgement().findings
    }

    fn kinds(&self) -> Vec<(String, Severity, bool)> {
        let findings = self.findings();
        let kind = |finding: &Finding| {
            (
                finding.kind.clone(),
                finding.severity,
                finding.excused_by.is_some(),
            )
        };
        findings.iter().map(kind).collect()
    }

    fn is_quiet(&self) {
        assert_eq!(self.kinds(), []);
    }

    fn finds(&self, kind: &str, severity: Severity) -> Finding {
        let findings = self.findings();
        assert_eq!(
            self.kinds(),
            [(kind.to_owned(), severity, false)],
            "{findings:#?}"
        );
        findings[0].clone()
    }
}

// ---- cross-shard-stall ----

fn crossing(chain: &mut Chain, sent: u64, received: u64) {
    chain.ledger(1, 0, |ledger| {
        ledger.sent = vec![(ShardId(0), sent, sent * 9)]
    });
    chain.ledger(0, 0, |ledger| {
        ledger.received = vec![(ShardId(1), received, received * 9)]
    });
}

/// Receipts that wait at shard 0 for so many blocks.
fn stuck(blocks: u64) -> Chain {
    let mut chain = Chain::of(2);
    chain.blocks(10);
    crossing(&mut chain, 5, 5);
    for _ in 0..blocks / 10 {
        chain.blocks(10);
        crossing(&mut chain, 8, 5);
    }
    chain
}

#[test]
fn receipts_that_do_not_move_are_found_after_the_window_and_not_before() {
    // 16.2 s are 81 blocks.
    stuck(80).is_quiet();
    let mut chain = stuck(100);
    let finding = chain.finds("cross-shard-stall", Severity::Critical);
    assert_eq!(finding.shard, Some(ShardId(0)));
    assert!(
        finding
            .summary
            .starts_with("3 batches of receipts of shard 1"),
        "{}",
        finding.summary
    );
    chain.blocks(5);
    crossing(&mut chain, 9, 9);
    assert!(chain.findings()[0].end.is_some());
}

#[test]
fn receipts_that_move_slowly_are_no_stall() {
    let mut chain = Chain::of(2);
    for round in 0..20 {
        chain.blocks(20);
        crossing(&mut chain, 10 + round, 5 + round);
    }
    chain.is_quiet();
}

#[test]
fn a_shard_that_stands_is_no_stall_between_shards() {
    let mut chain = Chain::of(2);
    chain.blocks(10);
    crossing(&mut chain, 8, 5);
    // Nothing comes from either shard for a long time.
    chain.millis += 60_000;
    crossing(&mut chain, 8, 5);
    assert!(
        chain
            .findings()
            .iter()
            .all(|finding| finding.kind != "cross-shard-stall")
    );
}

#[test]
fn a_link_that_stays_behind_is_a_stall_between_shards() {
    let mut chain = Chain::of(2);
    chain.blocks(10);
    for _ in 0..25 {
        chain.blocks(10);
        chain.ledger(0, 1, |ledger| ledger.links = vec![(ShardId(1), Height(7))]);
    }
    let finding = chain.finds("cross-shard-stall", Severity::Critical);
    assert!(
        finding.summary.contains("takes no note"),
        "{}",
        finding.summary
    );
}

#[test]
fn a_fault_excuses_what_does_not_cross_and_only_as_long_as_it_lasts() {
    let mut chain = Chain::of(2);
    chain.blocks(10);
    crossing(&mut chain, 5, 5);
    chain.fault(1, Effect::CutOff, FaultStep::Acknowledged);
    for _ in 0..10 {
        chain.blocks(10);
        crossing(&mut chain, 8, 5);
    }
    assert_eq!(
        chain.kinds(),
        [("cross-shard-stall".to_owned(), Severity::Critical, true)]
    );
    chain.fault(1, Effect::CutOff, FaultStep::Healed);
    for _ in 0..20 {
        chain.blocks(10);
        crossing(&mut chain, 8, 5);
    }
    assert_eq!(
        chain.kinds(),
        [("cross-shard-stall".to_owned(), Severity::Critical, false)]
    );
}

// ---- leader-flapping ----

fn leads(chain: &mut Chain, rounds: usize, by_view: bool) {
    for _ in 0..rounds {
        for leader in ["s0-n00", "s0-n01"] {
            chain.leader = [leader; 2];
            chain.view_changes = u64::from(by_view && leader == "s0-n01");
            chain.blocks(4);
        }
    }
}

#[test]
fn a_lead_that_goes_to_and_fro_with_view_changes_is_flapping() {
    let mut chain = Chain::new();
    chain.blocks(100);
    leads(&mut chain, 4, true);
    let findings = chain.findings();
    let flapping = one(&findings, "leader-flapping");
    assert_eq!(flapping.severity, Severity::Major);
    assert_eq!(flapping.nodes.len(), 2);
    assert!(flapping.end.is_none());
    chain.blocks(120);
    assert!(one(&chain.findings(), "leader-flapping").end.is_some());
}

#[test]
fn a_lead_that_changes_in_turn_is_not() {
    let mut chain = Chain::new();
    chain.blocks(100);
    leads(&mut chain, 10, false);
    chain.is_quiet();
    let mut round = Chain::new();
    round.blocks(100);
    for turn in 0..40 {
        round.leader = [["s0-n00", "s0-n01", "s0-n02", "s0-n03"][turn % 4]; 2];
        round.view_changes = u64::from(turn % 9 == 8);
        round.blocks(1);
    }
    assert!(
        round
            .findings()
            .iter()
            .all(|finding| finding.kind != "leader-flapping")
    );
}

#[test]
fn few_returns_are_not_flapping() {
    let mut chain = Chain::new();
    chain.blocks(100);
    leads(&mut chain, 2, true);
    assert!(
        chain
            .findings()
            .iter()
            .all(|finding| finding.kind != "leader-flapping")
    );
}

// ---- idle-validator ----

#[test]
fn a_validator_that_never_signs_is_idle() {
    let mut chain = Chain::new();
    chain.signed = "07";
    chain.blocks(140);
    let findings = chain.findings();
    let idle = one(&findings, "idle-validator");
    assert_eq!(
        (idle.severity, &idle.nodes[..]),
        (Severity::Major, &[node(0, 3)][..])
    );
    chain.signed = "0f";
    chain.blocks(100);
    assert!(one(&chain.findings(), "idle-validator").end.is_some());
}

#[test]
fn who_signs_more_than_pays_is_not_idle_and_below_it_is_minor() {
    let share = |of: u64| {
        let mut chain = Chain::new();
        for block in 0..200 {
            chain.signed = if block % 20 < of { "0f" } else { "07" };
            chain.blocks(1);
        }
        let findings = chain.findings();
        findings
            .iter()
            .find(|finding| finding.kind == "idle-validator")
            .map(|f| f.severity)
    };
    assert_eq!(share(15), None, "75 %");
    assert_eq!(share(13), Some(Severity::Minor), "65 %");
    assert_eq!(share(6), Some(Severity::Major), "30 %");
}

#[test]
fn a_node_that_was_down_is_not_idle() {
    let mut chain = Chain::new();
    chain.signed = "07";
    chain.blocks(60);
    for change in [
        ContainerChange::Killed { signal: 9 },
        ContainerChange::Died { exit_code: 137 },
    ] {
        chain.add(Event::Container {
            node: node(0, 3),
            change,
            requested: false,
        });
    }
    chain.blocks(100);
    chain.add(Event::Container {
        node: node(0, 3),
        change: ContainerChange::Started,
        requested: false,
    });
    chain.signed = "0f";
    chain.blocks(100);
    assert!(
        chain
            .findings()
            .iter()
            .all(|finding| finding.kind != "idle-validator")
    );
}

#[test]
fn a_fault_on_the_node_excuses_its_silence() {
    let mut chain = Chain::new();
    chain.blocks(10);
    chain.fault(3, Effect::CpuStarved, FaultStep::Acknowledged);
    chain.signed = "07";
    chain.blocks(150);
    let findings = chain.findings();
    assert!(one(&findings, "idle-validator").excused_by.is_some());
}

// ---- load ----

fn waits(chain: &mut Chain, seconds: f64) {
    chain.figures(1, |figures| figures.oldest = Some((seconds * 1e6) as u64));
}

#[test]
fn a_transaction_that_no_block_takes_is_found_after_the_window() {
    // 16.2 s.
    let mut chain = Chain::new();
    chain.blocks(100);
    waits(&mut chain, 16.1);
    chain.is_quiet();
    chain.blocks(2);
    waits(&mut chain, 16.5);
    let finding = chain.finds("tx-not-included", Severity::Major);
    assert_eq!(finding.nodes, [node(0, 1)]);
    chain.blocks(2);
    waits(&mut chain, 0.3);
    assert!(chain.findings()[0].end.is_some());
}

#[test]
fn a_stall_is_no_transaction_that_is_not_included() {
    let mut chain = Chain::new();
    chain.blocks(100);
    chain.millis += 60_000;
    chain.blocks(20);
    waits(&mut chain, 64.0);
    assert!(
        chain
            .findings()
            .iter()
            .all(|finding| finding.kind != "tx-not-included")
    );
}

#[test]
fn a_fault_in_the_shard_excuses_transactions_that_wait() {
    let mut chain = Chain::new();
    chain.blocks(100);
    chain.fault(1, Effect::CutOff, FaultStep::Acknowledged);
    chain.blocks(2);
    waits(&mut chain, 17.0);
    assert_eq!(
        chain.kinds(),
        [("tx-not-included".to_owned(), Severity::Major, true)]
    );
}

fn ready(chain: &mut Chain, count: u64) {
    for index in 0..4 {
        chain.figures(index, |figures| figures.ready = Some(count));
    }
}

#[test]
fn empty_blocks_while_transactions_wait_are_found() {
    let mut chain = Chain::new();
    chain.blocks(10);
    chain.transactions = 0;
    chain.blocks(1);
    ready(&mut chain, 7);
    chain.blocks(19);
    ready(&mut chain, 7);
    chain.is_quiet();
    chain.blocks(1);
    ready(&mut chain, 8);
    let finding = chain.finds("empty-blocks", Severity::Major);
    assert_eq!(finding.heights, Some((Height(11), Height(31))));
    chain.transactions = 3;
    chain.blocks(1);
    assert!(chain.findings()[0].end.is_some());
}

#[test]
fn empty_blocks_without_load_or_with_a_falling_pool_are_nothing() {
    let mut idle = Chain::new();
    idle.transactions = 0;
    for _ in 0..10 {
        idle.blocks(25);
        ready(&mut idle, 0);
    }
    idle.is_quiet();
    let mut falling = Chain::new();
    falling.transactions = 0;
    for round in 0..10 {
        falling.blocks(25);
        ready(&mut falling, 100 - round);
    }
    falling.is_quiet();
    let mut alone = Chain::new();
    alone.transactions = 0;
    for _ in 0..10 {
        alone.blocks(25);
        for index in 0..4 {
            alone.figures(index, |figures| figures.ready = Some(u64::from(index == 0)));
        }
    }
    alone.is_quiet();
}

#[test]
fn a_generator_that_is_late_is_the_canarys_and_excused_by_a_fault_on_its_node() {
    let told = |chain: &mut Chain, made: u64, missed: u64| {
        chain.figures(2, |figures| {
            figures.made = Some(made);
            figures.held_back = Some(0);
            figures.missed = Some(missed);
        });
    };
    let late = |faulted: bool| {
        let mut chain = Chain::new();
        chain.blocks(5);
        if faulted {
            chain.fault(2, Effect::CpuStarved, FaultStep::Acknowledged);
        }
        told(&mut chain, 100, 0);
        chain.blocks(25);
        told(&mut chain, 190, 10);
        assert_eq!(chain.kinds(), [], "a tenth is allowed");
        chain.blocks(25);
        told(&mut chain, 240, 60);
        chain
    };
    let chain = late(false);
    let finding = chain.finds("canary-overloaded", Severity::Info);
    assert_eq!(finding.nodes, [node(0, 2)]);
    let judgement = chain.judgement();
    let share = judgement.coverage.load_share.unwrap();
    assert!((share - 240.0 / 300.0).abs() < 1e-9, "{share}");
    let excused = late(true);
    assert_eq!(
        excused.kinds(),
        [("canary-overloaded".to_owned(), Severity::Info, true)]
    );
    assert_eq!(excused.judgement().coverage.load_share, Some(1.0));
}

#[test]
fn load_that_is_not_offered_is_infra_and_inclusion_is_a_limit() {
    let mut chain = Chain::new();
    chain.blocks(5);
    for (made, missed) in [(0, 0), (800, 200)] {
        chain.figures(2, |figures| {
            figures.made = Some(made);
            figures.held_back = Some(0);
            figures.missed = Some(missed);
            figures.inclusion = vec![(250_000, made), (900_000, made / 10)];
        });
        chain.blocks(5);
    }
    let judgement = chain.judgement();
    assert_eq!(judgement.measures["tx-inclusion.p50"].value, 250.0);
    assert_eq!(judgement.measures["tx-inclusion.p95"].value, 900.0);
    let mut plan = shape().plan();
    let outcome = |plan: &crate::plan::Plan| {
        let verdict = crate::verdict::decide(plan, &judgement);
        let gate = verdict
            .gates
            .iter()
            .find(|gate| gate.gate == "load offered");
        gate.map(|gate| gate.outcome)
    };
    assert_eq!(outcome(&plan), None, "not asked for");
    plan.gate.coverage.exercised.load_share = 0.9;
    assert_eq!(outcome(&plan), Some(crate::verdict::Outcome::Infra));
    plan.gate.coverage.exercised.load_share = 0.8;
    assert_eq!(outcome(&plan), Some(crate::verdict::Outcome::Pass));
}

// ---- ledgers ----

#[test]
fn a_node_that_holds_another_state_is_found_by_its_own_block_and_by_the_others() {
    let mut own = Chain::new();
    own.blocks(10);
    own.ledger(0, 1, |ledger| {
        ledger.state = Some("aa".into());
        ledger.block_state = Some("bb".into());
    });
    let finding = own.finds("state-mismatch", Severity::Critical);
    assert!(
        finding.summary.contains("its own block 10"),
        "{}",
        finding.summary
    );
    let mut others = Chain::new();
    others.blocks(10);
    for (index, state) in [(0, "aa"), (1, "aa"), (2, "cc")] {
        others.ledger(0, index, |ledger| ledger.state = Some(state.into()));
    }
    let finding = others.finds("state-mismatch", Severity::Critical);
    assert_eq!(finding.nodes, [node(0, 2), node(0, 0)]);
    others.blocks(1);
    others.ledger(0, 2, |ledger| ledger.state = Some("dd".into()));
    assert!(
        others.findings()[0].end.is_some(),
        "another height, and nobody contradicts"
    );
}

#[test]
fn states_of_different_heights_may_differ_and_no_fault_excuses_a_mismatch() {
    let mut chain = Chain::new();
    for height in 0..100_u64 {
        chain.blocks(1);
        let state = format!("{height:04x}");
        for index in 0..2 {
            chain.ledger(0, index, |ledger| {
                ledger.state = Some(state.as_str().into());
                ledger.block_state = Some(state.as_str().into());
            });
        }
    }
    chain.is_quiet();
    chain.fault(3, Effect::LostWrites, FaultStep::Acknowledged);
    chain.ledger(0, 3, |ledger| ledger.state = Some("ffff".into()));
    chain.finds("state-mismatch", Severity::Critical);
}

#[test]
fn transactions_that_are_gone_are_found_and_those_still_to_come_are_not() {
    let executed = |chain: &mut Chain, index, transfers| {
        chain.ledger(0, index, |ledger| ledger.transfers = Some(transfers));
    };
    let mut chain = Chain::new();
    chain.blocks(10);
    executed(&mut chain, 0, 500);
    // A node that is behind has executed fewer.
    chain.ledger(0, 1, |ledger| {
        ledger.height = Some(Height(9));
        ledger.transfers = Some(450);
    });
    chain.is_quiet();
    chain.blocks(5);
    executed(&mut chain, 2, 499);
    let finding = chain.finds("tx-lost", Severity::Critical);
    assert_eq!(finding.heights, Some((Height(10), Height(15))));
    chain.blocks(5);
    executed(&mut chain, 2, 500);
    assert!(chain.findings()[0].end.is_some());
}

fn sums(chain: &mut Chain, shard: u64, balance: u64, rewards: u64, sent: u64, received: u64) {
    let other = ShardId(1 - shard);
    chain.ledger(shard, 0, |ledger| {
        ledger.balance = Some(balance);
        ledger.rewards = Some(rewards);
        ledger.sent = vec![(other, sent, sent * 10)];
        ledger.received = vec![(other, received, received * 10)];
    });
}

#[test]
fn value_is_conserved_through_rewards_and_receipts_in_flight() {
    let mut chain = Chain::of(2);
    chain.blocks(10);
    sums(&mut chain, 0, 1_000, 0, 0, 0);
    sums(&mut chain, 1, 2_000, 0, 0, 0);
    chain.blocks(5);
    // Shard 0 paid 7 and sent 30; shard 1 has received 20 of them.
    sums(&mut chain, 0, 977, 7, 3, 0);
    sums(&mut chain, 1, 2_020, 0, 0, 2);
    chain.is_quiet();
    chain.blocks(5);
    sums(&mut chain, 1, 2_031, 0, 0, 3);
    let finding = chain.finds("value-not-conserved", Severity::Critical);
    assert!(
        finding.summary.starts_with("1 too much"),
        "{}",
        finding.summary
    );
    assert_eq!(finding.shard, Some(ShardId(1)));
}

#[test]
fn receipts_are_worth_the_same_on_both_sides() {
    let mut chain = Chain::of(2);
    chain.blocks(10);
    chain.ledger(0, 0, |ledger| ledger.sent = vec![(ShardId(1), 3, 30)]);
    chain.ledger(0, 0, |ledger| ledger.sent = vec![(ShardId(1), 4, 45)]);
    chain.ledger(1, 0, |ledger| ledger.received = vec![(ShardId(0), 3, 30)]);
    chain.is_quiet();
    chain.ledger(1, 1, |ledger| ledger.received = vec![(ShardId(0), 4, 44)]);
    let finding = chain.finds("value-not-conserved", Severity::Critical);
    assert!(
        finding.summary.contains("worth 45 when sent and 44"),
        "{}",
        finding.summary
    );
}

// ---- height-mismatch ----

#[test]
fn a_node_that_agrees_on_what_does_not_follow_its_head_is_found_when_it_lasts() {
    let mut chain = Chain::new();
    chain.blocks(20);
    let odd = |chain: &mut Chain, seconds: u64| {
        for _ in 0..seconds {
            chain.blocks(5);
            // A second entry of that second replaces what the chain's own said.
            chain.heads(0, 270_110);
        }
    };
    // The blocks' own positions agree: nothing lasts.
    odd(&mut chain, 20);
    chain.is_quiet();
    let mut stands = Chain::new();
    stands.blocks(20);
    for _ in 0..4 {
        stands.millis += 1_000;
        stands.heads(0, 22);
    }
    let findings = stands.findings();
    let mismatch = one(&findings, "height-mismatch");
    assert_eq!(
        (mismatch.severity, &mismatch.nodes[..]),
        (Severity::Critical, &[node(0, 0)][..])
    );
    assert!(
        mismatch.summary.contains("has block 20 and agrees on 22"),
        "{}",
        mismatch.summary
    );
    stands.heads(0, 21);
    assert!(one(&stands.findings(), "height-mismatch").end.is_some());
}

fn position(origin: Origin, height: u64) -> Position {
    Position {
        node: node(0, 1),
        origin,
        height: Some(Height(height)),
        agreeing: None,
        view: None,
        hash: None,
        age: Duration::ZERO,
    }
}

#[test]
fn metrics_that_stay_behind_what_rpc_shows_are_found() {
    let told = |behind: u64| {
        let mut chain = Chain::new();
        chain.blocks(20);
        for _ in 0..5 {
            chain.blocks(10);
            let height = chain.height - behind;
            chain.add(Event::Position(position(Origin::Metrics, height)));
        }
        chain
    };
    told(0).is_quiet();
    let finding = told(3).finds("height-mismatch", Severity::Critical);
    assert!(
        finding.summary.contains("by its metrics"),
        "{}",
        finding.summary
    );
}

#[test]
fn a_log_ahead_of_the_chain_is_found_and_one_behind_is_not() {
    let told = |height: fn(u64) -> u64| {
        let mut chain = Chain::new();
        chain.blocks(20);
        for _ in 0..8 {
            chain.blocks(5);
            let height = height(chain.height);
            chain.add(Event::Position(position(Origin::Log, height)));
        }
        chain
    };
    told(|height| height - 4).is_quiet();
    let finding = told(|height| height + 1_000).finds("height-mismatch", Severity::Critical);
    assert!(
        finding.summary.contains("its log says"),
        "{}",
        finding.summary
    );
}

#[test]
fn a_disk_that_lacks_what_was_shown_is_found_at_once() {
    let read = |height: u64, age: u64, hash: Option<&str>| {
        let mut chain = Chain::new();
        chain.blocks(100);
        chain.add(Event::Position(Position {
            hash: hash.map(Into::into),
            age: Duration::from_secs(age),
            ..position(Origin::Disk, height)
        }));
        chain
    };
    // At 21 s the shard is at 100, ten seconds before it was at 50.
    read(50, 10, None).is_quiet();
    read(100, 0, Some("00000064")).is_quiet();
    let lacks = read(40, 10, None).finds("height-mismatch", Severity::Critical);
    assert!(
        lacks.summary.contains("its disk has 40"),
        "{}",
        lacks.summary
    );
    let other = read(100, 0, Some("beef")).finds("height-mismatch", Severity::Critical);
    assert!(
        other.summary.contains("another block 100"),
        "{}",
        other.summary
    );
}

// ---- storage ----

fn sample(index: u32, stuck: f64, read_only: bool) -> Event {
    Event::Sample(Sample {
        node: Some(node(0, index)),
        disk_used: 10,
        disk_free: 90,
        visible: 10,
        stuck: (stuck * 1e6) as u64,
        read_only,
        ..Sample::default()
    })
}

#[test]
fn a_disk_that_does_not_answer_is_found_within_the_window() {
    let mut chain = Chain::new();
    chain.blocks(10);
    chain.add(sample(1, 1.9, false));
    chain.is_quiet();
    chain.blocks(5);
    chain.add(sample(1, 2.9, false));
    let finding = chain.finds("disk-hang", Severity::Major);
    assert_eq!(finding.nodes, [node(0, 1)]);
    chain.blocks(5);
    chain.add(sample(1, 0.0, false));
    assert!(chain.findings()[0].end.is_some());
    let mut excused = Chain::new();
    excused.blocks(10);
    excused.fault(1, Effect::DiskHang, FaultStep::Acknowledged);
    excused.add(sample(1, 4.0, false));
    assert_eq!(
        excused.kinds(),
        [("disk-hang".to_owned(), Severity::Major, true)]
    );
}

#[test]
fn a_mount_that_turned_read_only_is_found() {
    let mut chain = Chain::new();
    chain.blocks(10);
    chain.add(sample(1, 0.0, false)).add(sample(1, 0.0, true));
    chain.finds("disk-read-only", Severity::Major);
    chain.fault(2, Effect::DiskReadOnly, FaultStep::Acknowledged);
    chain.add(sample(2, 0.0, true));
    assert!(chain.kinds()[1].2);
}

#[test]
fn syncs_that_take_long_twice_in_a_row_are_slow() {
    let told = |means: &[u64]| {
        let mut chain = Chain::new();
        let (mut syncs, mut time) = (100, 100_000);
        for mean in [&[1_000], means].concat() {
            chain.blocks(25);
            syncs += 10;
            time += 10 * mean;
            chain.figures(1, |figures| {
                figures.syncs = Some(syncs);
                figures.sync_time = Some(time);
            });
        }
        chain
    };
    told(&[50_000, 50_000, 50_000]).is_quiet();
    told(&[51_000, 49_000, 51_000]).is_quiet();
    let finding = told(&[51_000, 60_000]).finds("slow-fsync", Severity::Minor);
    assert!(finding.summary.contains("60 ms"), "{}", finding.summary);
    assert!(told(&[51_000, 60_000, 1_000]).findings()[0].end.is_some());
}

// ---- forms of log lines ----

fn seen(id: u64, level: &str, text: &str) -> Event {
    Event::TemplateSeen {
        node: node(0, 1),
        id,
        level: level.into(),
        text: text.to_owned(),
    }
}

fn counts(index: u32, counts: &[(u64, u64)]) -> Event {
    Event::TemplateCounts {
        node: node(0, index),
        counts: counts.to_vec(),
        rest: 0,
        dropped: 0,
    }
}

#[test]
fn an_error_that_was_never_said_is_new_and_everything_is_with_a_baseline() {
    let mut chain = Chain::new();
    chain.blocks(10);
    chain.add(seen(0, "info", "all is well"));
    chain.add(seen(1, "warn", "the disk is slow again"));
    chain.add(seen(2, "error", "cannot find block <*> of peer <*>"));
    // Known but for what varies.
    chain.add(seen(3, "error", "cannot find block 7 of peer x"));
    let finding = chain.finds("new-log-template", Severity::Minor);
    assert!(
        finding.summary.contains("cannot find block"),
        "{}",
        finding.summary
    );
    let baseline = LogBaseline([("all is well".to_owned(), false)].into());
    let findings = chain.judged_against(Some(baseline)).findings;
    assert_eq!(names(&findings).len(), 2, "the warning and the error");
    let known = LogBaseline(
        [
            ("the disk is slow again".to_owned(), false),
            ("cannot find block <*> of peer <*>".to_owned(), false),
        ]
        .into(),
    );
    let findings = chain.judged_against(Some(known)).findings;
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].severity, Severity::Info);
}

#[test]
fn what_a_fault_makes_nodes_say_is_excused() {
    let mut chain = Chain::new();
    chain.blocks(10);
    chain.fault(0, Effect::DiskFull, FaultStep::Acknowledged);
    chain.add(seen(2, "error", "no space left on device"));
    assert_eq!(
        chain.kinds(),
        [("new-log-template".to_owned(), Severity::Minor, true)]
    );
}

/// Lines of two forms for so many periods of ten seconds, then of the first only.
fn talks(chain: &mut Chain, periods: u64, both: bool) {
    for _ in 0..periods {
        chain.blocks(50);
        for index in 0..4 {
            let said: &[(u64, u64)] = if both {
                &[(0, 50), (1, 50)]
            } else {
                &[(0, 50)]
            };
            chain.add(counts(index, said));
        }
    }
}

#[test]
fn a_heartbeat_that_stops_is_missed_after_the_window() {
    let mut chain = Chain::new();
    chain.blocks(1);
    chain
        .add(seen(0, "info", "a"))
        .add(seen(1, "info", "BINGO"));
    talks(&mut chain, 6, true);
    talks(&mut chain, 2, false);
    chain.is_quiet();
    talks(&mut chain, 1, false);
    let finding = chain.finds("log-template-vanished", Severity::Minor);
    assert!(finding.summary.contains("BINGO"), "{}", finding.summary);
    talks(&mut chain, 1, true);
    assert!(chain.findings()[0].end.is_some());
}

#[test]
fn what_comes_now_and_then_is_not_missed_and_a_stall_is_none() {
    let mut chain = Chain::new();
    chain.blocks(1);
    chain
        .add(seen(0, "info", "a"))
        .add(seen(1, "info", "epoch"));
    for _ in 0..6 {
        talks(&mut chain, 1, true);
        talks(&mut chain, 2, false);
    }
    talks(&mut chain, 6, false);
    chain.is_quiet();
    let mut stalled = Chain::new();
    stalled.blocks(1);
    stalled.add(seen(0, "info", "a"));
    talks(&mut stalled, 6, false);
    for _ in 0..6 {
        stalled.millis += 10_000;
        for index in 0..4 {
            stalled.add(counts(index, &[]));
        }
    }
    assert!(
        stalled
            .findings()
            .iter()
            .all(|finding| finding.kind != "log-template-vanished")
    );
}

#[test]
fn a_heartbeat_of_the_baseline_that_never_comes_is_missed() {
    let mut chain = Chain::new();
    chain.blocks(1);
    chain.add(seen(0, "info", "a"));
    talks(&mut chain, 8, false);
    chain.is_quiet();
    let baseline = LogBaseline(
        [
            ("a".to_owned(), true),
            ("BINGO !!!".to_owned(), true),
            ("rare".to_owned(), false),
        ]
        .into(),
    );
    let findings = chain.judged_against(Some(baseline)).findings;
    assert_eq!(
        names(&findings),
        [("log-template-vanished", Severity::Minor, "")]
    );
    assert!(findings[0].summary.contains("BINGO !!!"));
}

#[test]
fn a_line_over_and_over_is_a_storm() {
    let said = |rates: &[u64]| {
        let mut chain = Chain::new();
        chain.blocks(1);
        chain.add(seen(0, "info", "Cannot got commit signatures"));
        for lines in rates {
            chain.blocks(50);
            chain.add(counts(1, &[(0, *lines)]));
        }
        chain
    };
    said(&[50, 50, 50, 50, 240]).is_quiet();
    said(&[300, 300, 300, 300, 2_000]).is_quiet();
    said(&[50, 2_000, 50, 50, 50]).is_quiet();
    let finding = said(&[50, 50, 50, 50, 600]).finds("log-template-storm", Severity::Minor);
    assert!(
        finding.summary.contains("60 times a second"),
        "{}",
        finding.summary
    );
    assert!(said(&[50, 50, 50, 50, 600, 50]).findings()[0].end.is_some());
}

// ---- epochs and what was judged ----

#[test]
fn epochs_that_begin_late_three_times_in_a_row_are_slow_blocks() {
    let begin = |extra: &[u64]| {
        let mut chain = Chain::new();
        for extra in extra {
            let rest = 99 - chain.height % 100;
            chain.blocks(rest);
            chain.millis += extra;
            chain.blocks(2);
        }
        chain
    };
    let late = |chain: &Chain| {
        let findings = chain.findings();
        findings
            .iter()
            .filter(|finding| finding.kind == "slow-blocks")
            .count()
    };
    // The budget is 1,012 ms, a block of it 200.
    assert_eq!(late(&begin(&[800, 800, 800, 800])), 0);
    assert_eq!(late(&begin(&[900, 900, 0, 900, 900])), 0);
    let chain = begin(&[900, 900, 900]);
    assert_eq!(late(&chain), 1);
    let judgement = chain.judgement();
    assert_eq!(judgement.shards[0].traffic.boundaries.count, 3);
    assert!(judgement.measures["epoch-boundary.p50"].value > 1_000.0);
}

#[test]
fn leaders_and_rewards_are_counted() {
    let mut chain = Chain::new();
    chain.blocks(50);
    chain.leader = ["s0-n01"; 2];
    chain.view_changes = 1;
    chain.signed = "0d";
    chain.blocks(30);
    chain.leader = ["s0-n02"; 2];
    chain.signed = "0f";
    chain.blocks(20);
    let judgement = chain.judgement();
    let part = |index: usize| judgement.nodes[index].participation;
    assert_eq!(
        (part(0).led, part(0).turns, part(0).missed_turns),
        (50, 1, 1)
    );
    assert_eq!(
        (part(1).led, part(1).turns, part(1).missed_turns),
        (30, 1, 0)
    );
    assert_eq!((part(1).signed, part(1).longest_unsigned), ((70, 100), 30));
    assert_eq!(part(1).share(), Some(0.7));
    assert_eq!(part(3).led, 0);
    assert_eq!(judgement.measures["rewards.least"].value, 0.7);
    assert_eq!(judgement.shards[0].traffic.transactions, 500);
}

#[test]
fn a_blind_source_leaves_the_coverage_of_its_detectors_only() {
    let mut chain = Chain::new();
    chain.blocks(50);
    chain.add(Event::ProbeFailed {
        node: node(0, 1),
        probe: crate::journal::event::ProbeKind::Log,
        error: crate::journal::event::ProbeError::Ended,
        failures: 1,
    });
    chain.blocks(50);
    let judgement = chain.judgement();
    let judged = |id: &str| {
        let view = judgement.detectors.iter().find(|view| view.id == id);
        view.unwrap().judged
    };
    assert_eq!(judged("stall"), 1.0);
    assert_eq!(judged("ghost-bytes"), 1.0);
    assert!(
        (0.4..0.6).contains(&judged("disk-error")),
        "{}",
        judged("disk-error")
    );
    assert!((0.4..0.6).contains(&judged("disk-full")), "needs both");
}

#[test]
fn leaders_that_a_fault_ends_are_counted() {
    let mut chain = Chain::new();
    chain.blocks(20);
    chain.fault(0, Effect::Down, FaultStep::Acknowledged);
    chain.fault(1, Effect::Down, FaultStep::Acknowledged);
    chain.fault(0, Effect::CpuStarved, FaultStep::Acknowledged);
    assert_eq!(chain.judgement().coverage.leader_kills, 1);
}
