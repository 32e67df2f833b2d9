//! Detectors of what nodes tell of themselves: firing, quiet, excused and at the boundary, from journals by hand.

mod coverage;
mod forms;
mod leaders;
mod ledgers;
mod load;
mod positions;
mod receipts;
mod storage;

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
