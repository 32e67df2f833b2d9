//! Faults in reports: one line a kind, with how many were effective and how long their shards took to come back.

use std::{collections::BTreeMap, time::Duration};

use super::{ReportInput, text::plain};
use crate::{detect::judgement::FaultView, time::human};

/// All faults of one kind.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct KindRow {
    pub(super) kind: String,
    pub(super) fired: usize,
    pub(super) effective: usize,
    pub(super) skipped: usize,
    pub(super) healed: usize,
    /// Sorted times from the heal to the first block of each shard.
    pub(super) first_block: Vec<Duration>,
    /// ... and until all nodes had caught up.
    pub(super) caught_up: Vec<Duration>,
}

/// One row a kind, in the order in which the kinds first fired.
pub(super) fn rows(faults: &[FaultView]) -> Vec<KindRow> {
    let mut rows: Vec<KindRow> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for fault in faults {
        let place = *places.entry(&fault.kind).or_insert_with(|| {
            rows.push(KindRow {
                kind: plain(&fault.kind, 40),
                ..KindRow::default()
            });
            rows.len() - 1
        });
        let row = &mut rows[place];
        if fault.skipped.is_some() {
            row.skipped += 1;
            continue;
        }
        row.fired += 1;
        row.effective += usize::from(fault.effective == Some(true));
        row.healed += usize::from(fault.healed.is_some());
        row.first_block.extend(fault.first_block.map(|time| time.0));
        row.caught_up.extend(fault.caught_up.map(|time| time.0));
    }
    for row in &mut rows {
        row.first_block.sort_unstable();
        row.caught_up.sort_unstable();
    }
    rows
}

/// Median, 99th percentile and worst of sorted times.
pub(super) fn spread(times: &[Duration]) -> String {
    let at = |share: f64| {
        let place = ((times.len() as f64 * share).ceil() as usize).clamp(1, times.len()) - 1;
        human(times[place])
    };
    match times {
        [] => "-".to_owned(),
        [only] => human(*only),
        _ => format!("{} / {} / {}", at(0.5), at(0.99), at(1.0)),
    }
}

/// One line on all faults, empty where there were none.
pub(super) fn words(input: &ReportInput) -> Option<String> {
    let faults = &input.judgement.faults;
    if faults.is_empty() && input.judgement.drills.is_empty() {
        return None;
    }
    let mut parts = Vec::new();
    if !faults.is_empty() {
        let rows = rows(faults);
        let sum = |count: fn(&KindRow) -> usize| rows.iter().map(count).sum::<usize>();
        let fired = sum(|row| row.fired);
        parts.push(format!(
            "{} of {fired} effective, {} recovered",
            sum(|row| row.effective),
            sum(|row| row.first_block.len()),
        ));
        let skipped = sum(|row| row.skipped);
        if skipped > 0 {
            parts.push(format!("{skipped} skipped"));
        }
        let mut all: Vec<Duration> = rows.into_iter().flat_map(|row| row.first_block).collect();
        all.sort_unstable();
        if let Some(worst) = all.last() {
            parts.push(format!(
                "first block at worst {} after a heal (budget {})",
                human(*worst),
                human(input.plan.thresholds.recovery)
            ));
        }
    }
    for drill in &input.judgement.drills {
        parts.push(match drill.found {
            Some(found) => format!("drill found in {}", human(found.since(drill.begins))),
            None => "drill NOT found".to_owned(),
        });
    }
    Some(parts.join(" · "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_are_of_sorted_times() {
        let times: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(spread(&times), "50 ms / 99 ms / 100 ms");
        assert_eq!(spread(&times[..1]), "1 ms");
        assert_eq!(spread(&[]), "-");
    }
}
