//! Faults in reports: one line a kind, with how many were effective and how long their shards took to come back.

use super::ReportInput;
use crate::{
    detect::judgement::{KindView, Spread},
    time::human,
};

/// Median, 99th percentile and worst; how many came too late or never, if any did.
pub(super) fn spread(times: &Spread, late: u64) -> String {
    let words = match times.count {
        0 => "-".to_owned(),
        1 => human(times.longest),
        _ => format!(
            "{} / {} / {}",
            human(times.p50),
            human(times.p99),
            human(times.longest)
        ),
    };
    match late {
        0 => words,
        late => format!("{words}, {late} TOO LATE"),
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
        let kinds = &input.judgement.kinds;
        let sum = |count: fn(&KindView) -> u64| kinds.iter().map(count).sum::<u64>();
        let fired = sum(|kind| kind.fired);
        parts.push(format!(
            "{} of {fired} effective, {} recovered",
            sum(|kind| kind.effective),
            sum(|kind| kind.first_block.count),
        ));
        let skipped = sum(|kind| kind.skipped);
        if skipped > 0 {
            parts.push(format!("{skipped} SKIPPED"));
        }
        let longest = |spread: fn(&KindView) -> Spread| {
            let measured = kinds.iter().map(spread).filter(|spread| spread.count > 0);
            measured.map(|spread| spread.longest).max()
        };
        if let Some(worst) = longest(|kind| kind.first_block) {
            parts.push(format!(
                "first block at worst {} after a heal (budget {})",
                human(worst),
                human(input.plan.thresholds.recovery)
            ));
        }
        if let Some(worst) = longest(|kind| kind.caught_up) {
            parts.push(format!("all caught up after {}", human(worst)));
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
    use std::time::Duration;

    use super::*;

    #[test]
    fn spreads_are_of_sorted_times() {
        let times: Vec<Duration> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(
            spread(&Spread::of(times.clone()), 0),
            "50 ms / 99 ms / 100 ms"
        );
        assert_eq!(spread(&Spread::of(times[..1].to_vec()), 0), "100 ms");
        assert_eq!(spread(&Spread::of(Vec::new()), 2), "-, 2 TOO LATE");
    }
}
