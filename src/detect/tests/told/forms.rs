//! Forms of log lines.

use super::*;

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
