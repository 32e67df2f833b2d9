//! `[gate] limits`: conditions on measured values, like `"block-interval.p99" = "< 400ms"`.

use super::{
    Limit,
    values::{Share, Size, parse_blocks},
};
use crate::time::{Clocks, Window};

/// Base unit of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricUnit {
    /// Milliseconds; a limit is a duration, blocks or mainnet time.
    Time,
    /// A share from 0 to 1; a limit is a percentage.
    Share,
    /// Bytes; a limit is a size.
    Bytes,
    /// A plain number.
    Count,
}

/// The metrics that a limit may be set on, as the judge measures them over the soak.
pub const METRICS: &[(&str, MetricUnit)] = &[
    ("block-interval.mean", MetricUnit::Time),
    ("block-interval.p50", MetricUnit::Time),
    ("block-interval.p99", MetricUnit::Time),
    ("block-interval.max", MetricUnit::Time),
    ("recovery.p50", MetricUnit::Time),
    ("recovery.p99", MetricUnit::Time),
    ("recovery.max", MetricUnit::Time),
    ("catch-up.p50", MetricUnit::Time),
    ("catch-up.p99", MetricUnit::Time),
    ("catch-up.max", MetricUnit::Time),
    ("first-block.max", MetricUnit::Time),
    ("tx-inclusion.p50", MetricUnit::Time),
    ("tx-inclusion.p95", MetricUnit::Time),
    ("tx-inclusion.p99", MetricUnit::Time),
    ("epoch-boundary.p50", MetricUnit::Time),
    ("epoch-boundary.p99", MetricUnit::Time),
    ("epoch-boundary.max", MetricUnit::Time),
    ("rewards.least", MetricUnit::Share),
    ("load.offered", MetricUnit::Share),
    ("view-changes.per-1000-blocks", MetricUnit::Count),
    ("signers.mean", MetricUnit::Share),
    ("disk-used.max", MetricUnit::Share),
    ("disk-full.forecast", MetricUnit::Time),
    ("memory.max", MetricUnit::Bytes),
    ("memory.per-1000-blocks", MetricUnit::Bytes),
    ("acceleration", MetricUnit::Count),
    ("canary.cpu", MetricUnit::Share),
    ("canary.memory", MetricUnit::Bytes),
    ("canary.lag", MetricUnit::Time),
    ("engine.cpu-rise", MetricUnit::Share),
    ("observer.slower", MetricUnit::Share),
    ("restarts", MetricUnit::Count),
    ("blind", MetricUnit::Share),
    ("lines-lost", MetricUnit::Share),
];

/// Parses a condition on a metric.
///
/// # Errors
/// What is wrong and what is allowed.
pub fn parse(metric: &str, text: &str, clocks: &Clocks) -> Result<Limit, String> {
    let general = of_all_kinds(metric);
    let known = general.as_deref().unwrap_or(metric);
    let Some((_, unit)) = METRICS.iter().find(|(name, _)| *name == known) else {
        let names: Vec<&str> = METRICS.iter().map(|(name, _)| *name).collect();
        let hint = super::error::did_you_mean(metric, names.iter().copied());
        return Err(format!(
            "is no metric{hint}; there are {}",
            names.join(", ")
        ));
    };
    let trimmed = text.trim();
    let (below, bound) = match (trimmed.strip_prefix('<'), trimmed.strip_prefix('>')) {
        (Some(bound), _) => (true, bound.trim()),
        (_, Some(bound)) => (false, bound.trim()),
        _ => {
            return Err(format!(
                "{text:?} is no condition: write `< BOUND` or `> BOUND`"
            ));
        }
    };
    let value = match unit {
        MetricUnit::Time => time(bound, clocks),
        MetricUnit::Share => bound.parse::<Share>().ok().map(|share| share.0),
        MetricUnit::Bytes => bound.parse::<Size>().ok().map(|size| size.0 as f64),
        MetricUnit::Count => bound
            .parse::<f64>()
            .ok()
            .filter(|number| number.is_finite() && *number >= 0.0),
    };
    let value = value.ok_or_else(|| {
        let allowed = match unit {
            MetricUnit::Time => "a duration, blocks or mainnet time (`< 15 blocks`)",
            MetricUnit::Share => "a percentage (`< 80 %`)",
            MetricUnit::Bytes => "a size (`< 40 MiB`)",
            MetricUnit::Count => "a number (`< 5`)",
        };
        format!("{bound:?} is no bound for `{metric}`: write {allowed}")
    })?;
    Ok(Limit {
        text: trimmed.to_owned(),
        below,
        value,
    })
}

/// `recovery.p99` of `recovery.disk-fill.p99`: times after heals are measured by kind too.
fn of_all_kinds(metric: &str) -> Option<String> {
    let (measure, rest) = metric.split_once('.')?;
    let (kind, quantile) = rest.split_once('.')?;
    let by_kind = ["recovery", "catch-up"].contains(&measure);
    (by_kind && crate::fault::kinds::kind(kind).is_some()).then(|| format!("{measure}.{quantile}"))
}

fn time(bound: &str, clocks: &Clocks) -> Option<f64> {
    // Checked here as well: a window's own count of blocks may be any number.
    if bound.contains("block") {
        parse_blocks(bound)?;
    }
    Some(bound.parse::<Window>().ok()?.resolve(clocks).as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn bounds_are_in_the_metrics_base_unit() {
        let clocks = Clocks {
            block_interval: Duration::from_millis(200),
            mainnet_block_interval: Duration::from_secs(8),
            view_change_timeout: Duration::from_millis(675),
            view_change_slot: Duration::ZERO,
            view_change_timeout_max: Duration::from_millis(2_700),
        };
        let limit =
            |metric, text| parse(metric, text, &clocks).map(|limit| (limit.below, limit.value));
        assert_eq!(limit("recovery.p99", "< 15 blocks"), Ok((true, 3_000.0)));
        assert_eq!(limit("block-interval.mean", "<210ms"), Ok((true, 210.0)));
        assert_eq!(limit("recovery.max", "< 1m mainnet"), Ok((true, 1_500.0)));
        assert_eq!(limit("signers.mean", "> 90 %"), Ok((false, 0.9)));
        assert_eq!(limit("memory.max", "< 40 MiB"), Ok((true, 41_943_040.0)));
        assert_eq!(limit("acceleration", "> 39.5"), Ok((false, 39.5)));
        assert_eq!(
            limit("recovery.disk-fill.p99", "< 15 blocks"),
            Ok((true, 3_000.0))
        );
        assert_eq!(limit("catch-up.kill.max", "< 4s"), Ok((true, 4_000.0)));
        for metric in ["recovery.kil.p99", "recovery.kill", "blind.kill.p99"] {
            assert!(limit(metric, "< 4s").unwrap_err().contains("is no metric"));
        }
        for (metric, text) in [
            ("acceleration", "> inf"),
            ("acceleration", "> NaN"),
            ("recovery.p99", "< 99999999999999 blocks"),
            ("memory.max", "< 3"),
        ] {
            assert!(limit(metric, text).is_err(), "{metric} {text}");
        }
    }
}
