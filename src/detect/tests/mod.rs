//! Detectors by scenario: a generated run with incidents in, findings out, through one door.

mod by_entry;
mod drills;
mod engine;
mod history;
mod recovery;
mod scenarios;
mod told;
mod unattended;

use std::{borrow::Borrow, time::Duration};

use super::{Finding, Judge, Judgement, Severity};
use crate::{
    ids::{NodeName, ShardId},
    journal::{
        Entry,
        generate::{Generator, Incident, Shape, What},
    },
    plan::Plan,
    time::Elapsed,
};

/// Four validators in each of two shards, a minute of soak.
pub(super) fn shape() -> Shape {
    Shape {
        shards: 2,
        ..Shape::default()
    }
}

/// Seconds into the soak.
pub(super) fn soak(seconds: f64) -> Elapsed {
    Generator::soak_start(&shape()) + Duration::from_secs_f64(seconds)
}

pub(super) fn node(shard: u64, index: u32) -> NodeName {
    NodeName::of(ShardId(shard), index)
}

pub(super) fn at(seconds: f64, what: What) -> Incident {
    Incident {
        at: soak(seconds),
        what,
    }
}

pub(super) fn judge(entries: impl IntoIterator<Item = Entry>) -> Judgement {
    judge_with(&shape().plan(), entries)
}

pub(super) fn judge_with(plan: &Plan, entries: impl IntoIterator<Item = Entry>) -> Judgement {
    let judgement = taken_over(plan, entries);
    let decisive = judgement.doubts.iter().find(|doubt| doubt.decisive);
    assert_eq!(decisive, None, "nothing panicked");
    judgement
}

/// Judges as if the run was taken over again and again, ever more rarely: nothing that is concluded may depend on it.
pub(super) fn taken_over(
    plan: &Plan,
    entries: impl IntoIterator<Item = impl Borrow<Entry>>,
) -> Judgement {
    let mut judge = Judge::new(plan);
    let mut cut = 0;
    for (count, entry) in entries.into_iter().enumerate() {
        judge.step(entry.borrow());
        if count == cut {
            cut += count / 8 + 1;
            let kept = judge.keep().unwrap();
            judge = Judge::restore(plan, &kept).unwrap();
            assert!(judge.keep().unwrap() == kept, "kept is restored whole");
        }
    }
    judge.finish()
}

/// The one door: what happens in, all findings out.
pub(super) fn check(incidents: Vec<Incident>) -> Vec<Finding> {
    judge(Generator::new(&shape(), 7, incidents)).findings
}

/// Kind, severity and the first node of each finding, for comparing.
pub(super) fn names(findings: &[Finding]) -> Vec<(&str, Severity, &str)> {
    findings
        .iter()
        .map(|finding| {
            let node = finding.nodes.first().map_or("", NodeName::as_str);
            (finding.kind.as_str(), finding.severity, node)
        })
        .collect()
}

pub(super) fn one<'a>(findings: &'a [Finding], kind: &str) -> &'a Finding {
    let mut of = findings.iter().filter(|finding| finding.kind == kind);
    let found = of
        .next()
        .unwrap_or_else(|| panic!("no {kind} in {:#?}", names(findings)));
    assert!(of.next().is_none(), "more than one {kind}");
    found
}
