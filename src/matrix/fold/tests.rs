use super::*;
use crate::{matrix::render, plan::SoakTime, report::Look, time::Elapsed};

fn cell(case: &str, seed: u32, expected: &[&str]) -> Cell {
    Cell {
        id: format!("{case}.{seed}"),
        case: case.to_owned(),
        healthy: expected.is_empty(),
        seed,
        soak: Duration::from_secs(20),
        profile: String::new(),
        plan: String::new(),
        expected: expected.iter().map(|&kind| kind.to_owned()).collect(),
    }
}

fn record(cell: &Cell, findings: Vec<Found>) -> Record {
    Record {
        format: crate::matrix::record::FORMAT,
        hash: "h".to_owned(),
        cell: cell.id.clone(),
        run: format!("runs/{}/1", cell.case),
        outcome: if findings.is_empty() {
            Outcome::Pass
        } else {
            Outcome::Fail
        },
        reason: None,
        block_interval: Duration::from_millis(100),
        mainnet_block_interval: Duration::from_secs(8),
        soak: Duration::from_secs(20),
        watched: Duration::from_secs(20),
        faults: vec![("kill".to_owned(), 2)],
        findings,
    }
}

fn found(kind: &str, cause: u64, condition: u64) -> Found {
    Found {
        id: format!("{kind}-1"),
        kind: kind.to_owned(),
        severity: Severity::Critical,
        standing: Standing::Fails,
        summary: "it |happened| <b>".to_owned(),
        at: Elapsed::from_millis(cause),
        cause: "kill took effect".to_owned(),
        from_cause: Duration::from_millis(cause),
        from_condition: Duration::from_millis(condition),
        window: (kind == "stall").then_some(SoakTime(Duration::from_secs(2))),
    }
}

fn matrix(of: &[(Cell, Vec<Found>)], healthy_for: u64) -> Matrix {
    let cells: Vec<Cell> = of.iter().map(|(cell, _)| cell.clone()).collect();
    let records: Vec<Record> = of
        .iter()
        .map(|(cell, findings)| record(cell, findings.clone()))
        .collect();
    let done: Vec<Done<'_>> = cells
        .iter()
        .zip(&records)
        .map(|(cell, record)| Done { cell, record })
        .collect();
    fold(&cells, &done, Vec::new(), Duration::from_secs(healthy_for))
}

fn outcome(matrix: &Matrix, words: &str) -> Option<Outcome> {
    let promise = matrix
        .promises
        .iter()
        .find(|promise| promise.promise.contains(words))?;
    Some(promise.outcome)
}

#[test]
fn recall_and_delays_are_over_all_seeds() {
    let expected = ["stall|no-recovery", "height-mismatch"];
    let cells = [
        (cell("a", 1, &expected), vec![found("stall", 2_500, 2_050)]),
        (
            cell("a", 2, &expected),
            vec![
                found("stall", 2_700, 2_090),
                found("height-mismatch", 900, 100),
            ],
        ),
        (cell("a", 3, &expected), vec![found("crash", 300, 0)]),
    ];
    let matrix = matrix(&cells, 0);
    let case = &matrix.cases[0];
    assert_eq!((case.runs, case.detected, case.complete), (3, 2, 1));
    let row = |kind: &str| case.findings.iter().find(|row| row.kind == kind).unwrap();
    assert_eq!(row("stall").found, 2);
    assert!((row("stall").recall - 2.0 / 3.0).abs() < 1e-9);
    assert!((row("stall").from_cause.blocks - 25.0).abs() < 1e-9);
    assert_eq!(row("stall").from_cause.mainnet, Duration::from_secs(200));
    assert!(!row("crash").expected && row("no-recovery").found == 0);
    assert_eq!(outcome(&matrix, "every defect"), Some(Outcome::Fail));
    assert_eq!(outcome(&matrix, "liveness"), Some(Outcome::Pass));
    assert_eq!(outcome(&matrix, "healthy"), None, "none was asked for");
}

#[test]
fn what_is_late_breaks_a_promise() {
    let late = |kind: &str, cause, condition| {
        let cells = [(cell("a", 1, &[kind]), vec![found(kind, cause, condition)])];
        matrix(&cells, 0)
    };
    assert_eq!(
        outcome(&late("stall", 0, 2_100), "liveness"),
        Some(Outcome::Pass)
    );
    assert_eq!(
        outcome(&late("stall", 0, 2_101), "liveness"),
        Some(Outcome::Fail)
    );
    assert_eq!(
        outcome(&late("disk-full", 2_000, 0), "storage"),
        Some(Outcome::Pass)
    );
    assert_eq!(
        outcome(&late("disk-full", 2_001, 0), "storage"),
        Some(Outcome::Fail)
    );
    assert_eq!(
        outcome(&late("fork", 9_000, 200), "safety"),
        Some(Outcome::Pass)
    );
    assert_eq!(
        outcome(&late("fork", 9_000, 201), "safety"),
        Some(Outcome::Fail)
    );
    assert_eq!(outcome(&late("fork", 9_000, 200), "storage"), None);
}

#[test]
fn an_excused_finding_was_detected_but_proves_no_defect() {
    let mut full = found("disk-full", 700, 0);
    full.standing = Standing::Excused;
    let matrix = matrix(&[(cell("a", 1, &["disk-full"]), vec![full])], 0);
    assert_eq!(matrix.cases[0].detected, 0);
    assert_eq!(outcome(&matrix, "storage"), Some(Outcome::Pass));
}

#[test]
fn one_false_alarm_is_too_many_and_few_minutes_prove_nothing() {
    let quiet = |seed| (cell("healthy-kill", seed, &[]), Vec::new());
    let well = matrix(&[quiet(1), quiet(2), quiet(3)], 60);
    assert_eq!(outcome(&well, "healthy"), Some(Outcome::Pass));
    assert_eq!(well.healthy.faults["kill"], 6);
    let bound = well.healthy.below_per_hour.unwrap();
    assert!((bound - 180.0).abs() < 1e-6, "3 in a minute: {bound}");
    let short = matrix(&[quiet(1)], 60);
    assert_eq!(outcome(&short, "healthy"), Some(Outcome::Inconclusive));

    let mut excused = found("crash", 10, 0);
    excused.standing = Standing::Excused;
    let mut small = found("node-lagging", 10, 0);
    (small.severity, small.standing) = (Severity::Minor, Standing::Tolerated);
    let tolerated = (cell("healthy-kill", 1, &[]), vec![excused, small]);
    assert_eq!(matrix(&[tolerated], 20).healthy.alarm_count, 0);

    let alarm = (cell("healthy-kill", 1, &[]), vec![found("stall", 10, 0)]);
    let alarmed = matrix(&[alarm, quiet(2), quiet(3)], 60);
    assert_eq!(outcome(&alarmed, "healthy"), Some(Outcome::Fail));
    assert_eq!(alarmed.healthy.alarms[0].kind, "stall");
}

#[test]
fn a_soak_that_the_machine_spoiled_is_no_healthy_time() {
    let cell = cell("healthy-kill", 1, &[]);
    let mut spoiled = record(&cell, Vec::new());
    spoiled.outcome = Outcome::Infra;
    let done = [Done {
        cell: &cell,
        record: &spoiled,
    }];
    let cells = std::slice::from_ref(&cell);
    let matrix = fold(cells, &done, Vec::new(), Duration::from_secs(20));
    assert!(matrix.healthy.watched.is_zero() && matrix.healthy.below_per_hour.is_none());
    assert_eq!(outcome(&matrix, "healthy"), Some(Outcome::Inconclusive));
}

#[test]
fn it_is_told_and_what_nodes_say_does_no_harm() {
    let mut hostile = found("stall", 100, 0);
    hostile.summary = "\u{1b}[2J| <script> @all".to_owned();
    hostile.cause = "<b>|".to_owned();
    let cells = [
        (cell("fd-leak", 1, &["stall"]), vec![hostile.clone()]),
        (cell("healthy-kill", 1, &[]), vec![hostile]),
    ];
    let matrix = matrix(&cells, 20);
    let text = render::to_markdown(&matrix);
    for words in [
        "**fd-leak** 1/1",
        "**stall**",
        "1 false alarm",
        "NOT KEPT",
        "| kill | 2 |",
    ] {
        assert!(text.contains(words), "{words} not in {text}");
    }
    assert!(!text.contains("<script>") && !text.contains("<b>") && !text.contains('\u{1b}'));
    let shown = render::to_terminal(&matrix, Look::PLAIN);
    assert!(shown.contains("NOT KEPT") && shown.contains("false alarm in healthy-kill.1"));
    assert!(!shown.contains('\u{1b}'));
    let json = serde_json::to_string(&matrix).unwrap();
    assert_eq!(serde_json::from_str::<Matrix>(&json).unwrap(), matrix);
}

#[test]
fn progress_says_whether_a_cell_is_well() {
    let sick = cell("fd-leak", 1, &["stall"]);
    let line = render::progress(&sick, &record(&sick, vec![found("stall", 1, 1)]), 3, 9);
    assert!(
        line.contains("3/9") && line.contains(" ok ") && line.contains("stall"),
        "{line}"
    );
    let line = render::progress(&sick, &record(&sick, Vec::new()), 3, 9);
    assert!(
        line.contains("NOT") && line.contains("nothing found"),
        "{line}"
    );
}

#[test]
fn bounds_are_those_of_the_tables() {
    for (count, bound) in [(0, 3.0), (1, 4.744), (5, 10.513), (10, 16.962)] {
        let computed = promises::upper_bound(count);
        assert!((computed - bound).abs() < 0.02, "{count}: {computed}");
    }
}
