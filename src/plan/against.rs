//! `[gate] against`: a baseline, and how much worse than it each metric may be.
//!
//! The baseline's values become part of the plan, so that a journal alone suffices to judge.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::limits::METRICS;

/// The key that names the baseline.
const BASELINE: &str = "baseline";

/// Runs that this one is held against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Against {
    /// The baseline's name, as typed.
    pub baseline: String,
    /// Its runs.
    pub runs: Vec<Side>,
    /// How much worse each metric may be.
    pub tolerances: Vec<Tolerance>,
}

/// What is compared of a run: its seed and its measures, in base units.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// Seed of the run.
    pub seed: String,
    /// Values by metric.
    pub values: BTreeMap<String, f64>,
}

/// How much more of a metric is allowed: `+5 %` is 0.05; a negative number, `-5 %`, where less is worse.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tolerance {
    /// The metric.
    pub metric: String,
    /// Allowed relative change.
    pub change: f64,
}

impl Tolerance {
    /// Reads a metric and `+5 %` or `-5 %`; the sign says which direction is worse and must be there.
    ///
    /// # Errors
    /// What is allowed.
    pub fn parse(metric: &str, change: &str) -> Result<Self, String> {
        if !METRICS.iter().any(|(known, _)| *known == metric) {
            let names: Vec<&str> = METRICS.iter().map(|(name, _)| *name).collect();
            let hint = super::error::did_you_mean(metric, names.iter().copied());
            return Err(format!(
                "{metric:?} is no metric{hint}; there are {}",
                names.join(", ")
            ));
        }
        let change = parse_change(change).ok_or_else(|| {
            format!(
                "{change:?} is no tolerance: write `+5 %`, or `-5 %` of a metric of which less is worse"
            )
        })?;
        Ok(Self {
            metric: metric.to_owned(),
            change,
        })
    }
}

fn parse_change(text: &str) -> Option<f64> {
    let number = text.trim().strip_suffix('%')?.trim_end();
    if !number.starts_with(['+', '-']) {
        return None;
    }
    let percent: f64 = number.parse().ok()?;
    (percent.is_finite() && percent > -100.0).then_some(percent / 100.0)
}

/// What a baseline's file must hold; the rest of it is for people.
#[derive(Debug, Deserialize)]
struct File {
    runs: Vec<Run>,
}

#[derive(Debug, Deserialize)]
struct Run {
    seed: String,
    measures: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Value {
    value: f64,
}

/// The runs in a baseline's file.
///
/// # Errors
/// Why it is none.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Side>, String> {
    let file: File = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if file.runs.is_empty() {
        return Err("it has no run".to_owned());
    }
    let side = |run: Run| Side {
        seed: run.seed,
        values: run
            .measures
            .into_iter()
            .map(|(metric, measure)| (metric, measure.value))
            .collect(),
    };
    Ok(file.runs.into_iter().map(side).collect())
}

/// The file of a baseline's name: a slash makes no folder, so that names cannot lead out.
#[must_use]
pub fn file_name(name: &str) -> String {
    format!("{}.json", name.replace('/', ","))
}

/// Resolves the table as typed; `runs` are those of its baseline.
///
/// # Errors
/// The key and what is wrong with it.
pub(super) fn resolve(
    typed: &BTreeMap<String, String>,
    runs: Option<&Vec<Side>>,
) -> Result<Against, (String, String)> {
    let key = |name: &str| super::source::join("gate.against", name);
    let missing = || {
        (
            key(BASELINE),
            "name a baseline that `canarynet baseline save` made, or its file".to_owned(),
        )
    };
    let baseline = typed.get(BASELINE).ok_or_else(missing)?.clone();
    let runs = runs.ok_or_else(missing)?.clone();
    let mut tolerances = Vec::new();
    for (metric, change) in typed.iter().filter(|(metric, _)| *metric != BASELINE) {
        let tolerance =
            Tolerance::parse(metric, change).map_err(|message| (key(metric), message))?;
        tolerances.push(tolerance);
    }
    Ok(Against {
        baseline,
        runs,
        tolerances,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerances_have_a_sign_and_a_percentage() {
        for (text, change) in [
            ("+5 %", Some(0.05)),
            ("-2.5%", Some(-0.025)),
            ("5 %", None),
            ("+5", None),
            ("-100 %", None),
            ("+NaN %", None),
        ] {
            let parsed = Tolerance::parse("memory.max", text);
            assert_eq!(
                parsed.ok().map(|tolerance| tolerance.change),
                change,
                "{text}"
            );
        }
        let error = Tolerance::parse("memory.mix", "+5 %").unwrap_err();
        assert!(error.contains("memory.max"), "{error}");
    }

    #[test]
    fn what_is_wrong_with_a_baseline_is_told() {
        let good = br#"{"runs":[{"seed":"a","measures":{"memory.max":{"value":2.0,"unit":"bytes"}},"x":1}]}"#;
        let runs = parse(good).unwrap();
        assert_eq!(runs[0].values["memory.max"], 2.0);
        for bad in ["{", r#"{"runs":[]}"#, r#"{"runs":[{"seed":1}]}"#] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        let metric = ("memory.max".to_owned(), "+5 %".to_owned());
        let baseline = (BASELINE.to_owned(), "release/v1".to_owned());
        let typed = BTreeMap::from([metric.clone(), baseline]);
        let against = resolve(&typed, Some(&runs)).unwrap();
        assert_eq!((against.runs.len(), against.tolerances.len()), (1, 1));
        let (key, _) = resolve(&BTreeMap::from([metric]), None).unwrap_err();
        assert_eq!(key, "gate.against.baseline");
        assert_eq!(file_name("../../x"), "..,..,x.json");
    }
}
