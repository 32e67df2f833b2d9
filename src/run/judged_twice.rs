//! The judgement once more, from the journal alone: what was concluded while a run went on has to follow from what it
//! wrote down. A difference is an error of the canary, and no run passes with one.

use std::path::PathBuf;

use serde_json::{Map, Value};
use tokio::task::JoinHandle;

use super::{conductor::chain, signal::Signals};
use crate::{
    detect::{Judge, Judgement, plan_of},
    journal::Reader,
};

/// A comparison under way, beside the teardown.
pub(super) struct Comparison(JoinHandle<Result<Vec<String>, String>>);

impl Comparison {
    /// Judges the journal in this folder again and compares.
    pub(super) fn start(journal: PathBuf, live: Judgement) -> Self {
        Self(tokio::task::spawn_blocking(move || {
            Ok(differences(&live, &again(journal)?))
        }))
    }

    /// What is wrong, in one line; `None` if both judgements are the same. A further signal ends the wait: then nothing
    /// was compared, and nothing is said.
    pub(super) async fn outcome(self, signals: &mut Signals) -> Option<String> {
        let compared = tokio::select! {
            biased;
            compared = self.0 => compared,
            _ = signals.next() => return None,
        };
        match compared {
            Ok(Ok(differences)) if differences.is_empty() => None,
            Ok(Ok(differences)) => Some(format!(
                "the journal alone gives another judgement ({})",
                differences.join(", ")
            )),
            Ok(Err(why)) => Some(format!("the journal could not be judged again: {why}")),
            Err(error) => Some(format!("the journal could not be judged again: {error}")),
        }
    }
}

fn again(folder: PathBuf) -> Result<Judgement, String> {
    let mut reader = Reader::open(&folder).map_err(|error| chain(&error))?;
    let first = reader.next().ok_or("it has no entry")?;
    let first = first.map_err(|error| chain(&error))?;
    let plan = plan_of(&first).map_err(|error| chain(&error))?;
    let plan = plan.ok_or("it does not begin with its plan")?;
    let mut judge = Judge::new(&plan);
    judge.step(&first);
    for entry in reader {
        judge.step(&entry.map_err(|error| chain(&error))?);
    }
    Ok(judge.finish())
}

/// The parts in which two judgements differ, findings by their ids. They are compared as they are written: what is not a
/// number there is none in both.
fn differences(live: &Judgement, again: &Judgement) -> Vec<String> {
    let parts = |judgement| match serde_json::to_value(judgement) {
        Ok(Value::Object(parts)) => parts,
        _ => Map::new(),
    };
    let (live, again) = (parts(live), parts(again));
    let mut different = Vec::new();
    for (name, part) in &live {
        let other = again.get(name);
        if other == Some(part) {
            continue;
        }
        match (name.as_str(), part, other) {
            ("findings", Value::Array(one), Some(Value::Array(other))) => {
                let id = |finding: &&Value| finding["id"].as_str().unwrap_or("?").to_owned();
                let only = |of: &[Value], not_in: &[Value]| -> Vec<String> {
                    let missing = of.iter().filter(|finding| !not_in.contains(finding));
                    missing.map(|finding| id(&finding)).collect()
                };
                let mut ids = only(one, other);
                ids.extend(only(other, one));
                ids.sort_unstable();
                ids.dedup();
                ids.truncate(5);
                different.push(format!("findings {}", ids.join(" ")));
            }
            _ => different.push(name.clone()),
        }
    }
    let missing = again.keys().filter(|name| !live.contains_key(*name));
    different.extend(missing.cloned());
    different
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        journal::{
            Settings, Writer,
            generate::{Generator, Incident, Shape, What},
        },
        time::Elapsed,
    };

    #[tokio::test]
    async fn a_judgement_that_does_not_follow_from_the_journal_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let shape = Shape {
            shards: 1,
            ..Shape::default()
        };
        let mut judge = Judge::new(&shape.plan());
        let mut writer = Writer::create(folder.path(), Settings::for_budget(1 << 30)).unwrap();
        let incident = Incident {
            at: Generator::soak_start(&shape) + std::time::Duration::from_secs(10),
            what: What::Kill(crate::ids::NodeName::of(crate::ids::ShardId(0), 1)),
        };
        for entry in Generator::new(&shape, 7, vec![incident]) {
            for written in writer.append(entry.elapsed, entry.event).unwrap() {
                judge.step(&written);
            }
        }
        writer.finish().unwrap();
        let live = judge.finish();
        assert!(!live.findings.is_empty());
        let mut signals = Signals::install().unwrap();
        let path = folder.path().to_owned();
        let same = Comparison::start(path.clone(), live.clone());
        assert_eq!(same.outcome(&mut signals).await, None);

        let mut other = live.clone();
        other.findings[0].start = Elapsed(1);
        other.coverage.blocks += 1;
        let told = Comparison::start(path, other).outcome(&mut signals).await;
        let told = told.unwrap();
        assert!(told.contains("coverage"), "{told}");
        assert!(told.contains(&live.findings[0].id), "{told}");

        let nowhere = folder.path().join("nowhere");
        let told = Comparison::start(nowhere, live).outcome(&mut signals).await;
        assert!(told.unwrap().contains("could not be judged again"));
    }
}
