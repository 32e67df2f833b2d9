//! The tables of `canarynet faults`: what became of each kind of fault on a healthy network, and what each left behind.

use std::time::Duration;

use serde::Serialize;

use super::{
    look::{Look, Tone},
    table::{Cell, Table},
    text::plain,
};
use crate::{
    detect::{Judgement, Severity, judgement::FaultView},
    plan::Plan,
    time::{Elapsed, human, micros},
};

/// One kind of fault on one kind of disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SweepRow {
    /// The kind.
    pub kind: String,
    /// The kind of disk.
    pub disk: String,
    /// Why it was not done at all.
    pub not_done: Option<String>,
    /// Whether its effect was seen.
    pub effective: bool,
    /// What was read back.
    pub proof: String,
    /// Findings above `minor` that nothing excuses, from its start to the next fault's.
    pub findings: Vec<String>,
    /// From the heal to the first block of each of its shards, in microseconds.
    pub first_block: Option<u64>,
    /// ... and until every node had the newest block.
    pub caught_up: Option<u64>,
    /// The recovery budget: the first block is owed within it, level nodes within three of it.
    #[serde(with = "micros")]
    pub budget: Duration,
}

impl SweepRow {
    /// One that was not done.
    #[must_use]
    pub fn not_done(kind: &str, disk: &str, why: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            disk: disk.to_owned(),
            not_done: Some(plain(why, 400)),
            effective: false,
            proof: String::new(),
            findings: Vec::new(),
            first_block: None,
            caught_up: None,
            budget: Duration::ZERO,
        }
    }

    /// Whether it was really effective, nothing unexcused was found, and the shard was back in time.
    #[must_use]
    pub fn well(&self) -> bool {
        let within = |time: Option<u64>, budget: Duration| {
            time.is_some_and(|time| Duration::from_micros(time) <= budget)
        };
        self.not_done.is_none()
            && self.effective
            && self.findings.is_empty()
            && within(self.first_block, self.budget)
            && within(self.caught_up, self.budget * 3)
    }
}

/// The rows of one run, in the order in which its faults fired; what was found beside any fault comes last.
#[must_use]
pub fn rows(disk: &str, plan: &Plan, judgement: &Judgement) -> Vec<SweepRow> {
    let faults = &judgement.faults;
    let fired = |fault: &&FaultView| fault.skipped.is_none();
    let starts: Vec<Elapsed> = faults
        .iter()
        .filter(fired)
        .map(|fault| fault.requested)
        .collect();
    let mut rows: Vec<SweepRow> = faults.iter().map(|fault| row(disk, plan, fault)).collect();
    let mut beside = Vec::new();
    for finding in &judgement.findings {
        let counts = finding.severity > Severity::Minor
            && finding.excused_by.is_none()
            && finding.waived.is_none();
        if !counts {
            continue;
        }
        let words = plain(&format!("{} ({})", finding.kind, finding.summary), 200);
        let of = starts.iter().rfind(|start| finding.noticed >= **start);
        let place = of.and_then(|start| {
            faults
                .iter()
                .position(|fault| fault.skipped.is_none() && fault.requested == *start)
        });
        match place {
            Some(place) => rows[place].findings.push(words),
            None => beside.push(words),
        }
    }
    if !beside.is_empty() {
        let mut row = SweepRow::not_done("-", disk, "");
        row.not_done = None;
        row.findings = beside;
        rows.push(row);
    }
    rows
}

fn row(disk: &str, plan: &Plan, fault: &FaultView) -> SweepRow {
    let kind = plain(&fault.kind, 40);
    if let Some(why) = &fault.skipped {
        return SweepRow::not_done(&kind, disk, why);
    }
    let micros =
        |time: crate::plan::SoakTime| u64::try_from(time.0.as_micros()).unwrap_or(u64::MAX);
    SweepRow {
        kind,
        disk: disk.to_owned(),
        not_done: None,
        effective: fault.effective == Some(true),
        proof: plain(&fault.proof, 300),
        findings: Vec::new(),
        first_block: fault.first_block.map(micros),
        caught_up: fault.caught_up.map(micros),
        budget: plan.thresholds.recovery,
    }
}

/// The table for a terminal.
#[must_use]
pub fn render(rows: &[SweepRow], look: Look) -> String {
    let mut table = Table::new(&[
        "kind",
        "disk",
        "ok",
        "effective",
        "above minor",
        ">first block",
        ">all level",
        ">budget",
        "how proved, or what is wrong",
    ]);
    for row in rows {
        let time = |time: Option<u64>| {
            time.map_or_else(
                || Cell::toned(Tone::Bad, "never"),
                |time| human(Duration::from_micros(time)).into(),
            )
        };
        if let Some(why) = &row.not_done {
            let cells = vec![
                row.kind.clone().into(),
                row.disk.clone().into(),
                Cell::toned(Tone::Warning, "not done"),
                "-".into(),
                "-".into(),
                "-".into(),
                "-".into(),
                "-".into(),
                why.clone().into(),
            ];
            table.row(cells);
            continue;
        }
        let told = if row.findings.is_empty() {
            &row.proof
        } else {
            &row.findings.join("; ")
        };
        table.row(vec![
            row.kind.clone().into(),
            row.disk.clone().into(),
            if row.well() {
                Cell::toned(Tone::Good, "yes")
            } else {
                Cell::toned(Tone::Bad, "NO")
            },
            if row.effective {
                "yes".into()
            } else {
                Cell::toned(Tone::Bad, "NO")
            },
            row.findings.len().to_string().into(),
            time(row.first_block),
            time(row.caught_up),
            human(row.budget).into(),
            plain(told, 160).into(),
        ]);
    }
    let mut text = table.lines(look).join("\n");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{detect::Finding, ids::ShardId, journal::generate::Shape, plan::SoakTime};

    fn fault(id: &str, kind: &str, second: u64) -> FaultView {
        let mut fault = FaultView::new(id, kind, Elapsed::from_secs(second));
        fault.effective = Some(true);
        fault.proof = "it was read back".to_owned();
        fault.first_block = Some(SoakTime(Duration::from_millis(200)));
        fault.caught_up = Some(SoakTime(Duration::from_millis(900)));
        fault
    }

    fn finding(kind: &str, severity: Severity, second: u64) -> Finding {
        Finding {
            id: format!("{kind}-1"),
            kind: kind.to_owned(),
            severity,
            shard: Some(ShardId(0)),
            nodes: Vec::new(),
            start: Elapsed::from_secs(second),
            noticed: Elapsed::from_secs(second),
            end: None,
            heights: None,
            duration: Duration::ZERO,
            mainnet: Duration::ZERO,
            summary: "it happened".to_owned(),
            evidence: Vec::new(),
            excused_by: None,
            waived: None,
            causes: Vec::new(),
            chain: Vec::new(),
            raised: None,
        }
    }

    #[test]
    fn each_fault_answers_for_what_was_found_until_the_next() {
        let mut judgement = Judgement {
            faults: vec![
                fault("f1-kill", "kill", 10),
                fault("f2-pause", "pause", 30),
                fault("f3-disk-fill", "disk-fill", 50),
            ],
            ..Judgement::default()
        };
        judgement.faults[2].skipped = Some("s0-n01 does not run".to_owned());
        judgement.findings = vec![
            finding("crash", Severity::Major, 29),
            finding("low-signers", Severity::Minor, 31),
            finding("hung", Severity::Major, 55),
            finding("slow-blocks", Severity::Major, 3),
        ];
        judgement.findings[2].excused_by = Some("f2-pause".to_owned());
        let plan = Shape::default().plan();
        let rows = rows("tmpfs", &plan, &judgement);
        let well: Vec<bool> = rows.iter().map(SweepRow::well).collect();
        assert_eq!(well, [false, true, false, false]);
        assert!(rows[0].findings[0].starts_with("crash"));
        assert!(rows[2].not_done.is_some());
        assert!(
            rows[3].findings[0].starts_with("slow-blocks"),
            "beside any fault"
        );
        let text = render(&rows, Look::PLAIN);
        assert_eq!(text.lines().count(), 5, "{text}");
        assert!(text.contains("s0-n01 does not run"));
    }

    #[test]
    fn late_is_not_well() {
        let plan = Shape::default().plan();
        let mut late = row("tmpfs", &plan, &fault("f1-kill", "kill", 10));
        assert!(late.well());
        late.first_block = Some(60_000_000);
        assert!(!late.well());
        late.first_block = None;
        assert!(!late.well());
        let mut hollow = row("tmpfs", &plan, &fault("f1-kill", "kill", 10));
        hollow.effective = false;
        assert!(!hollow.well());
    }
}
