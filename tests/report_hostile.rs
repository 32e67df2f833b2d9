//! Reports from hostile journals: nothing that a node, plan or engine says reaches a terminal, page or parser as more
//! than text, and no number of findings makes a report grow beyond its bound.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a test may end at what it did not expect; its name says what it checks"
)]

use canarynet::{
    detect::{
        Finding, Severity,
        judgement::{Doubt, MemorySlope},
    },
    ids::{Height, Seq, ShardId},
    journal::{
        Entry, Event,
        event::{LogClass, LogPlace, ProbeError, ProbeKind},
    },
    report::{Fact, Look, REPORTERS, ReportInput, markdown, status, terminal},
    time::{Elapsed, WallTime},
    verdict::Outcome,
};
use proptest::prelude::*;

#[path = "report_golden/input.rs"]
mod input;

/// Everything that somebody else controls says `text`.
fn hostile(text: &str, mut input: ReportInput) -> ReportInput {
    let say = || text.to_owned();
    input.run_directory = say();
    input.program = say();
    input.kept = Some(say());
    input.reproduce = vec![say(), say()];
    input.facts.push(Fact::new(say(), say()));
    input.detectors.push(say());
    input.plan.name = say();
    input.plan.seed = say();
    input.plan.profile = say();
    for lever in &mut input.plan.levers {
        lever.clock = say();
        lever.lever = say();
        lever.hides = Some(say());
        lever.canary *= 3;
    }
    for waiver in &mut input.plan.gate.waive {
        waiver.finding = say();
        waiver.until = say();
        waiver.because = say();
    }
    for finding in &mut input.judgement.findings {
        finding.id = say();
        finding.kind = say();
        finding.summary = say();
        finding.causes = vec![say(); 8];
        finding.waived = finding.waived.as_ref().map(|_| say());
    }
    let judgement = &mut input.judgement;
    judgement.canarynet = say();
    judgement.suppressed.insert(say(), 3);
    for page in &mut judgement.pages {
        page.finding = say();
    }
    for shard in &mut judgement.shards {
        shard.leader = Some(say());
    }
    for infra in &mut judgement.infra {
        infra.what = say();
        infra.detail = say();
    }
    judgement.doubts.push(Doubt {
        detector: say(),
        shard: Some(ShardId(0)),
        node: None,
        from: Elapsed::default(),
        until: None,
        why: say(),
        decisive: false,
    });
    for reason in &mut input.verdict.reasons {
        reason.text = say();
    }
    for gate in &mut input.verdict.gates {
        gate.gate = say();
        gate.asked = say();
        gate.measured = say();
    }
    input.verdict.warnings.push(say());
    let events = [
        Event::Log {
            node: input::name(1, 2),
            level: text.into(),
            rule: text.into(),
            class: LogClass::Error,
            message: say(),
            error: Some(say()),
            time: None,
            at: Some(LogPlace {
                file: text.into(),
                offset: 1,
            }),
        },
        Event::Sight {
            seeing: false,
            detail: say(),
        },
        Event::Head {
            node: input::name(1, 2),
            shard: ShardId(1),
            height: Height(1),
            hash: text.into(),
            leader: None,
            was: None,
        },
        Event::ProbeFailed {
            node: input::name(1, 2),
            probe: ProbeKind::Rpc,
            error: ProbeError::BadAnswer(say()),
            failures: 2,
        },
        Event::Signal { name: say() },
    ];
    input.entries.extend(events.map(|event| Entry {
        seq: Seq(9_000),
        elapsed: Elapsed::from_secs(120),
        event,
    }));
    input
}

/// Marks that change how a line is shown without being seen.
fn invisible(character: char) -> bool {
    matches!(
        character,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}' | '\u{ad}'
    )
}

fn check_harmless(what: &str, text: &str) {
    let bad = text
        .chars()
        .find(|character| (character.is_control() && *character != '\n') || invisible(*character));
    assert!(bad.is_none(), "{what} holds {bad:?}:\n{text:?}");
}

fn all(input: &ReportInput) -> Vec<(&'static str, String)> {
    let mut texts: Vec<_> = REPORTERS
        .iter()
        .map(|reporter| (reporter.file, (reporter.render)(input).unwrap()))
        .collect();
    texts.push(("the summary", terminal::render(input, Look::PLAIN)));
    let live = status::Live::of(&input.plan, &input.run, &input.judgement);
    texts.push((
        "the status",
        status::render(&live, &input.plan, Look::PLAIN),
    ));
    texts.push(("the plain line", status::plain_line(&live, 16)));
    texts
}

fn check_all(input: &ReportInput) {
    for (what, text) in all(input) {
        check_harmless(what, &text);
        match what {
            "report.md" => assert!(text.len() <= markdown::LIMIT, "{} bytes", text.len()),
            "verdict.json" | "findings.json" => {
                serde_json::from_str::<serde_json::Value>(&text).unwrap();
            }
            _ => {}
        }
    }
    let look = Look {
        colour: true,
        width: Some(80),
    };
    let coloured = terminal::render(input, look);
    check_harmless(
        "the coloured summary",
        &console::strip_ansi_codes(&coloured),
    );
}

#[test]
fn nothing_hostile_gets_through() {
    for text in [
        "\u{1b}[2J\u{1b}]0;owned\u{7}",
        "\r\n# FAIL | </td><script>alert(1)</script>",
        "]]></system-out><testcase/>\u{0}",
        "```\nrm -rf /\n```",
        "\u{202e}txet\u{2066}\u{200b}",
        "@everyone #1 https://evil.example ![x](javascript:0)",
        "",
        &"x".repeat(50_000),
        &"|@#<".repeat(10_000),
    ] {
        for input in [
            input::pass(),
            input::stall(),
            input::infra(),
            input::inconclusive(),
        ] {
            check_all(&hostile(text, input));
        }
    }
}

#[test]
fn markup_stays_text() {
    let input = hostile("</td><script>@all|`[a](b)", input::stall());
    let page = markdown::render(&input).unwrap();
    let outside_code: String = page.split("```").step_by(2).collect();
    assert!(!outside_code.contains("@all"), "{outside_code}");
    let shown = outside_code.replace("<!-- -->", "").replace("<br>", "");
    assert!(!shown.contains('<'), "{shown}");
    // Every row of a table has as many cells as its heading.
    let mut columns = 0;
    for line in page.lines() {
        let cells = line.replace("\\|", "").matches('|').count();
        match (cells, columns) {
            (0, _) => columns = 0,
            (cells, 0) => columns = cells,
            (cells, columns) => assert_eq!(cells, columns, "{line}"),
        }
    }
}

#[test]
fn a_word_cannot_leave_the_shell_or_the_code_block() {
    let mut input = input::pass();
    input.reproduce = ["canarynet", "soak", "a b'; rm -rf $HOME", "```", ""]
        .map(str::to_owned)
        .to_vec();
    let page = markdown::render(&input).unwrap();
    let line = "canarynet soak 'a b'\\''; rm -rf $HOME' '```' ''\n";
    assert!(page.contains(line), "{page}");
    assert_eq!(
        page.lines().filter(|line| line.starts_with("```")).count(),
        2
    );
}

fn many(count: usize, template: &Finding) -> Vec<Finding> {
    (0..count)
        .map(|index| Finding {
            id: format!("st-{index:04x}"),
            summary: "s|".repeat(80),
            causes: vec!["c@".repeat(50); 3],
            end: Some(Elapsed::from_secs(200)),
            ..template.clone()
        })
        .collect()
}

#[test]
fn ten_thousand_findings_make_no_long_report() {
    let mut input = input::stall();
    let template = input.judgement.findings[1].clone();
    input.judgement.findings = many(10_000, &template);
    let waive = input.plan.gate.waive[0].clone();
    input.plan.gate.waive = vec![waive; 1_000];
    input.judgement.shards = (0..1_000).map(|number| input::shard(number, 9)).collect();
    let node = input.judgement.nodes[0].clone();
    input.judgement.nodes = vec![node; 10_000];
    input.entries = vec![input.entries[0].clone(); 10_000];
    let lever = input.plan.levers[1].clone();
    input.plan.levers = vec![lever; 1_000];
    let gate = input.verdict.gates[0].clone();
    input.verdict.gates = vec![gate; 1_000];
    input.verdict.reasons = vec![input.verdict.reasons[0].clone(); 1_000];
    input.facts = vec![input.facts[0].clone(); 1_000];
    // JUnit is bounded by shards x detectors; a thousand shards of one detector are enough here.
    input.detectors.truncate(1);
    check_all(&input);
    let page = markdown::render(&input).unwrap();
    assert!(page.contains("and 9,9") && page.contains("see `findings.json`"));
    assert!(terminal::render(&input, Look::PLAIN).lines().count() <= 40);
    assert!(canarynet::report::timeline::wanted(&input.judgement).len() <= 400);
}

#[test]
fn a_damaged_journal_panics_no_renderer() {
    let mut input = input::stall();
    input.judgement.started = WallTime(u64::MAX);
    input.judgement.last = Elapsed(u64::MAX);
    input.judgement.acceleration.measured = f64::NAN;
    input.judgement.cost.cpu_share = f64::INFINITY;
    input.judgement.cost.memory_slope = Some(MemorySlope {
        bytes_per_hour: f64::NEG_INFINITY,
        low: f64::NAN,
        high: f64::INFINITY,
    });
    input.judgement.nodes[0].disk_slope = Some(canarynet::detect::judgement::Slope {
        bytes_per_hour: f64::NAN,
        flat: false,
    });
    if let Some(memory) = &mut input.judgement.nodes[0].outlook.memory {
        memory.per_block = f64::NAN;
        memory.high = f64::INFINITY;
        memory.earliest_days = Some(f64::NAN);
    }
    input.judgement.shards[0].view_changes_per_1000 = f64::NAN;
    input.judgement.shards[0].recovery.recovered = 7;
    for finding in &mut input.judgement.findings {
        finding.start = Elapsed(u64::MAX);
        finding.end = Some(Elapsed(0));
        finding.duration = std::time::Duration::MAX;
        finding.mainnet = std::time::Duration::MAX;
        finding.heights = Some((Height(u64::MAX), Height(0)));
    }
    input.plan.clocks.block_interval = std::time::Duration::ZERO;
    input.plan.speedup = f64::NAN;
    input.judgement.shards.clear();
    input.verdict.outcome = Outcome::Fail;
    check_all(&input);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_text_reaches_an_output_with_control_characters(text in any::<String>(), long in 1_usize..300) {
        let text = text.repeat(long);
        check_all(&hostile(&text, input::stall()));
        check_all(&hostile(&text, input::infra()));
    }

    #[test]
    fn severities_and_waivers_decide_what_fails(
        severity in prop::sample::select(vec![Severity::Info, Severity::Minor, Severity::Major, Severity::Critical]),
        waived in any::<bool>(),
    ) {
        let mut input = input::pass();
        let mut finding = input::finding("x-1", "stall", severity, 0, &[]);
        finding.waived = waived.then(|| "known".to_owned());
        input.judgement.findings = vec![finding];
        let xml = canarynet::report::junit::render(&input).unwrap();
        let fails = severity >= Severity::Major && !waived;
        prop_assert_eq!(xml.contains("<failure"), fails);
        let summary = terminal::render(&input, Look::PLAIN);
        prop_assert_eq!(summary.contains("  what   stall in words"), fails);
    }
}
