//! From a journal's entries through the judge and the verdict to what people read.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a test may end at what it did not expect; its name says what it checks"
)]

use canarynet::{
    detect::{DETECTORS, Judge, judgement::StageStart},
    ids::{Height, Seq, ShardId, ViewId},
    journal::{
        Entry, Event,
        event::{self, ContainerChange, FinishReason, NodeHead, Stage},
    },
    report::{Look, REPORTERS, ReportInput, status::Live, terminal, timeline},
    time::Elapsed,
    verdict,
};

#[path = "report_golden/input.rs"]
mod input;

/// Two shards make a block every 200 ms for two minutes; shard 1 stops after one, when two of its nodes end.
fn journal(stall: bool) -> Vec<Entry> {
    let plan = input::plan();
    let mut facts = vec![
        (
            0,
            Event::RunStarted {
                format: event::FORMAT,
                run: "default-212".parse().unwrap(),
                canarynet: "0.1.0".to_owned(),
                wall: input::STARTED,
                plan: serde_json::to_value(&plan).unwrap(),
            },
        ),
        (
            0,
            Event::Stage {
                stage: Stage::Start,
            },
        ),
    ];
    for node in &plan.network.nodes {
        facts.push((
            1,
            Event::Container {
                node: node.name.clone(),
                change: ContainerChange::Started,
                requested: true,
            },
        ));
    }
    facts.push((2, Event::Stage { stage: Stage::Soak }));
    for height in 1..=600_u64 {
        let at = 2_000 + height * 200;
        for shard in 0..2 {
            if stall && shard == 1 && height > 300 {
                continue;
            }
            facts.push((at, block(shard, height)));
        }
        if height % 5 == 0 {
            for shard in 0..2 {
                facts.push((
                    at,
                    heads(
                        shard,
                        if stall && shard == 1 {
                            height.min(300)
                        } else {
                            height
                        },
                    ),
                ));
            }
        }
        if stall && height == 300 {
            for index in [2, 3] {
                facts.push((
                    at + 10,
                    Event::Container {
                        node: input::name(1, index),
                        change: ContainerChange::Died { exit_code: 1 },
                        requested: false,
                    },
                ));
            }
        }
    }
    facts.push((
        122_500,
        Event::RunFinished {
            reason: FinishReason::Completed,
            wall: input::STARTED.plus(Elapsed::from_millis(122_500).as_duration()),
        },
    ));
    let entry = |(seq, (millis, event))| Entry {
        seq: Seq(seq),
        elapsed: Elapsed::from_millis(millis),
        event,
    };
    (0..).zip(facts).map(entry).collect()
}

fn block(shard: u64, height: u64) -> Event {
    Event::Block {
        shard: ShardId(shard),
        height: Height(height),
        hash: format!("{shard:02x}{height:08x}").into(),
        view: Some(ViewId(height)),
        epoch: None,
        leader: Some(input::name(shard, 1).as_str().into()),
        signers: Some(4),
        committee: Some(4),
        time: None,
        node: input::name(shard, 0),
        content: None,
    }
}

fn heads(shard: u64, height: u64) -> Event {
    let head = |index| NodeHead {
        node: input::name(shard, index),
        height: Height(height),
        view: None,
        agreeing: None,
        mode: None,
        leads: Some(index == 1),
    };
    Event::Heads {
        shard: ShardId(shard),
        nodes: (0..4).map(head).collect(),
    }
}

fn judged(entries: &[Entry]) -> ReportInput {
    let mut input = input::pass();
    let mut judge = Judge::new(&input.plan);
    for entry in entries {
        judge.step(entry);
    }
    input.judgement = judge.finish();
    input.verdict = verdict::decide(&input.plan, &input.judgement);
    input.exit_code = input.verdict.exit() as u8;
    input.detectors = DETECTORS
        .iter()
        .map(|detector| detector.id.to_owned())
        .collect();
    let wanted = timeline::wanted(&input.judgement);
    input.entries = entries
        .iter()
        .filter(|entry| wanted.contains(&entry.seq))
        .cloned()
        .collect();
    input
}

#[test]
fn a_healthy_shard_is_told_with_its_figures() {
    let input = judged(&journal(false));
    assert_eq!(
        input.judgement.findings,
        [],
        "{:#?}",
        input.judgement.findings
    );
    let summary = terminal::render(&input, Look::PLAIN);
    assert!(
        summary.contains("shard 0   1→600          200/200 ms"),
        "{summary}"
    );
    assert!(summary.contains("40x (asked 40x)"), "{summary}");
}

#[test]
fn a_stall_is_told_everywhere_with_shard_and_nodes() {
    let input = judged(&journal(true));
    let summary = terminal::render(&input, Look::PLAIN);
    let told = summary
        .lines()
        .find(|line| line.starts_with("CRITICAL stall"))
        .unwrap();
    assert!(
        told.contains("shard 1") && told.contains("s1-n02"),
        "{summary}"
    );
    assert!(told.contains("since 20:01:02 UTC"), "{summary}");
    for reporter in REPORTERS {
        let text = (reporter.render)(&input).unwrap();
        // Of many runs together no node counts, and log lines know of no stall.
        let told = match reporter.file {
            "templates.json" => true,
            "summary.json" => text.contains("stall shard 1"),
            _ => text.contains("stall") && text.contains("s1-n02"),
        };
        assert!(told, "{}: {text}", reporter.file);
    }
    let xml = canarynet::report::junit::render(&input).unwrap();
    let shard_1 = xml
        .split("<testsuite ")
        .find(|suite| suite.starts_with("name=\"shard-1\""))
        .unwrap();
    let shard_0 = xml
        .split("<testsuite ")
        .find(|suite| suite.starts_with("name=\"shard-0\""))
        .unwrap();
    assert!(
        shard_1.contains("<failure") && !shard_0.contains("<failure"),
        "{xml}"
    );
    assert_eq!(shard_0.matches("<testcase").count(), DETECTORS.len());
}

#[test]
fn the_live_state_agrees_with_the_judgement() {
    let entries = journal(true);
    let input = judged(&entries);
    let mut judge = Judge::new(&input.plan);
    for entry in &entries {
        judge.step(entry);
    }
    let stage = Some(StageStart {
        stage: Stage::Soak,
        at: Elapsed::from_secs(2),
    });
    let live = Live::from_judge(&input.plan, &input.run, &judge, input.judgement.last, stage);
    let told = Live::of(&input.plan, &input.run, &input.judgement);
    assert_eq!(live.findings, told.findings);
    assert_eq!(live.shards, told.shards);
    assert!((live.acceleration.slowest - told.acceleration.slowest).abs() < 0.5);
}
