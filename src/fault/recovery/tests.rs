//! The ladder over simulated histories of one shard.

use super::*;
use crate::{journal::generate::Shape, plan::recovery::RecoveryPlan};

const BLOCK: u64 = 200;

/// One shard, its blocks and its ladder, in steps of 100 ms.
struct Shard {
    climb: Climb,
    now: u64,
    best: (u64, u64),
    /// Milliseconds from one block to the next; none come while there is none.
    interval: Option<u64>,
    finding: bool,
    busy: bool,
    /// Whether a step takes until somebody says that it is done.
    acts: bool,
    told: Vec<RecoveryStep>,
    /// Steps that cannot be tried.
    cannot: Vec<u32>,
}

impl Shard {
    fn new(steps: usize) -> Self {
        let mut plan = Shape::default().plan();
        plan.clocks.block_interval = Duration::from_millis(BLOCK);
        plan.thresholds.stall_suspected = Duration::from_secs(1);
        plan.thresholds.recovery = Duration::from_secs(5);
        plan.recovery = Some(RecoveryPlan {
            after: "stall".to_owned(),
            steps: vec![Rung::Wait; steps],
            patience: Duration::from_secs(10),
        });
        Self {
            climb: Climb::of(&plan).unwrap(),
            now: 10_000,
            best: (100, 10_000),
            interval: Some(BLOCK),
            finding: false,
            busy: false,
            acts: false,
            told: Vec::new(),
            cannot: Vec::new(),
        }
    }

    fn journal(&mut self, what: RecoveryStep) {
        self.climb.fold(Elapsed::from_millis(self.now), &what);
        self.told.push(what);
    }

    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds * 10 {
            self.now += 100;
            if let Some(interval) = self.interval
                && self.now - self.best.1 >= interval
            {
                self.best = (self.best.0 + 1, self.now);
                self.finding = false;
            }
            for _ in 0..8 {
                let look = Look {
                    now: Elapsed::from_millis(self.now),
                    best: Some((Height(self.best.0), Elapsed::from_millis(self.best.1))),
                    finding: self.finding.then_some("st-1"),
                    busy: self.busy,
                    usual: Duration::from_millis(BLOCK),
                };
                match self.climb.look(&look) {
                    None => break,
                    Some(Move::Tell(what)) => {
                        let set_off = matches!(what, RecoveryStep::SetOff { .. });
                        self.journal(what);
                        // What is set off begins with the next look.
                        if set_off {
                            break;
                        }
                    }
                    Some(Move::Begin(place)) if self.cannot.contains(&place) => {
                        self.journal(RecoveryStep::Skipped {
                            place,
                            step: String::new(),
                            why: String::new(),
                        });
                    }
                    Some(Move::Begin(place)) => {
                        self.busy = self.acts;
                        self.journal(RecoveryStep::Begun {
                            place,
                            step: String::new(),
                            nodes: Vec::new(),
                            fault: None,
                        });
                    }
                }
            }
        }
    }

    fn stalls(&mut self) {
        self.interval = None;
        self.run(4);
        self.finding = true;
    }

    fn comes_back(&mut self, interval: u64) {
        self.interval = Some(interval);
    }

    /// The steps told so far in short.
    fn story(&self) -> Vec<String> {
        let word = |what: &RecoveryStep| match what {
            RecoveryStep::SetOff { height, .. } => format!("set off at {height}"),
            RecoveryStep::Begun { place, .. } => format!("begun {place}"),
            RecoveryStep::Skipped { place, .. } => format!("skipped {place}"),
            RecoveryStep::DidNotHelp { place, .. } => format!("no help {place}"),
            RecoveryStep::BroughtBack { place, height, .. } => {
                format!("back by {place} at {height}")
            }
            RecoveryStep::NothingHelped => "nothing".to_owned(),
        };
        self.told.iter().map(word).collect()
    }
}

#[test]
fn nothing_is_done_while_blocks_come_or_no_finding_fails_the_gate() {
    let mut shard = Shard::new(2);
    shard.finding = true;
    shard.run(30);
    shard.interval = None;
    shard.finding = false;
    shard.run(30);
    assert!(
        shard.told.is_empty() && !shard.climb.climbs(),
        "{:?}",
        shard.story()
    );
}

#[test]
fn steps_come_one_after_the_other_until_one_brings_the_shard_back() {
    let mut shard = Shard::new(3);
    shard.stalls();
    shard.run(12);
    assert_eq!(
        shard.story(),
        ["set off at 100", "begun 0", "no help 0", "begun 1"]
    );
    let begun = shard.now;
    shard.comes_back(BLOCK);
    shard.run(1);
    assert_eq!(shard.told.len(), 4, "a single block is no recovery");
    shard.run(4);
    assert_eq!(shard.story()[4], "back by 1 at 101");
    let RecoveryStep::BroughtBack { after, .. } = &shard.told[4] else {
        panic!("{:?}", shard.told);
    };
    assert!(
        *after >= Duration::from_millis(BLOCK) && *after < Duration::from_secs(3),
        "{after:?}"
    );
    assert!(begun < shard.now && !shard.climb.climbs());
    shard.run(60);
    assert_eq!(shard.told.len(), 5);
    // Another stall later is climbed from the first step on.
    shard.stalls();
    shard.run(2);
    assert_eq!(shard.story()[6], "begun 0");
    assert_eq!(shard.climb.begun(), 3);
}

#[test]
fn one_block_and_blocks_with_breaks_are_no_recovery() {
    let mut shard = Shard::new(1);
    shard.stalls();
    shard.run(2);
    // A block every two seconds: each wait is a suspected stall.
    shard.comes_back(2_000);
    shard.run(20);
    shard.finding = true;
    assert_eq!(
        shard.story(),
        ["set off at 100", "begun 0", "no help 0", "nothing"]
    );
}

#[test]
fn a_shard_that_is_back_and_slower_than_before_is_back_in_the_end() {
    let mut shard = Shard::new(2);
    shard.stalls();
    shard.run(2);
    shard.comes_back(700);
    shard.run(12);
    assert_eq!(
        shard.story(),
        ["set off at 100", "begun 0"],
        "it makes blocks: no step more"
    );
    shard.run(16);
    assert_eq!(shard.story()[2], "back by 0 at 101");
}

#[test]
fn what_cannot_be_tried_is_skipped_and_all_used_up_is_said_once() {
    let mut shard = Shard::new(3);
    shard.cannot = vec![0, 2];
    shard.stalls();
    shard.run(60);
    let story = [
        "set off at 100",
        "skipped 0",
        "begun 1",
        "no help 1",
        "skipped 2",
        "nothing",
    ];
    assert_eq!(shard.story(), story);
    assert!(!shard.climb.climbs());
    // Blocks by themselves, and then the next stall: there is a ladder again.
    shard.comes_back(BLOCK);
    shard.run(10);
    shard.stalls();
    shard.run(2);
    assert_eq!(shard.story().len(), story.len() + 3, "{:?}", shard.story());
}

#[test]
fn patience_begins_when_the_step_is_done_and_nothing_begins_while_the_shard_is_busy() {
    let mut shard = Shard::new(1);
    shard.busy = true;
    shard.stalls();
    shard.run(10);
    assert!(shard.told.is_empty(), "a fault is in force on it");
    (shard.busy, shard.acts) = (false, true);
    shard.run(1);
    assert_eq!(shard.story(), ["set off at 100", "begun 0"]);
    shard.run(30);
    assert_eq!(shard.told.len(), 2, "it is still being done");
    shard.busy = false;
    shard.run(9);
    assert_eq!(shard.told.len(), 2);
    shard.run(2);
    assert_eq!(shard.story()[2..], ["no help 0", "nothing"]);
}

#[test]
fn a_run_that_is_taken_over_goes_on_with_the_step_at_hand() {
    let mut shard = Shard::new(3);
    shard.stalls();
    shard.run(12);
    assert_eq!(shard.story()[3], "begun 1");
    let mut again = Shard::new(3);
    (again.now, again.best, again.interval) = (shard.now, shard.best, None);
    for what in &shard.told {
        again.climb.fold(Elapsed::from_millis(shard.now), what);
    }
    assert_eq!(again.climb.begun(), 2);
    assert!(again.climb.climbs());
    again.finding = true;
    again.run(12);
    assert_eq!(again.story(), ["no help 1", "begun 2"]);
}
