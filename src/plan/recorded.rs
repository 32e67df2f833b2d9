//! A plan and its profile as typed, all layers merged: what a run keeps beside its resolved plan (`layers.json`), so
//! that it can be changed and resolved again, or written as a plan that people can read.

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::{
    Begun, Plan, PlanError, Program, Side,
    error::Place,
    faults::{PlannedDrill, PlannedFault, Trigger, Who},
    load,
    resolve::{Sources, resolve},
    source::Layer,
    values::human_duration,
};

/// Version of the file.
const FORMAT: u32 = 1;

/// Merged layers of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// Version of the file.
    pub format: u32,
    /// The plan's name.
    pub name: String,
    /// The profile's name, where it does not name itself.
    pub profile_name: String,
    /// The plan.
    pub plan: Table,
    /// The profile.
    pub profile: Table,
    /// Runs of the baseline that the gate names.
    #[serde(default)]
    pub baseline: Option<Vec<Side>>,
}

/// A plan and its profile as texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts {
    /// The plan; it names its profile by a path beside it.
    pub plan: String,
    /// The profile.
    pub profile: String,
}

impl Recorded {
    /// Of layers that were read.
    #[must_use]
    pub fn of(sources: &Sources) -> Self {
        Self {
            format: FORMAT,
            name: sources.name.clone(),
            profile_name: sources.profile_name.clone(),
            plan: sources.plan.table.clone(),
            profile: sources.profile.table.clone(),
            baseline: sources.baseline.clone(),
        }
    }

    /// As layers that can be resolved; all values come from "the recorded run".
    #[must_use]
    pub fn sources(&self) -> Sources {
        let layer = |table: &Table| Layer {
            table: table.clone(),
            places: table
                .keys()
                .map(|key| (key.clone(), Place::whole("the recorded run")))
                .collect(),
        };
        Sources {
            name: self.name.clone(),
            profile_name: self.profile_name.clone(),
            plan: layer(&self.plan),
            profile: layer(&self.profile),
            baseline: self.baseline.clone(),
        }
    }

    /// With values and a program put over it.
    ///
    /// # Errors
    /// When a key is unknown or a value does not fit.
    pub fn with(&self, set: &[String], program: Option<&Program>) -> Result<Self, PlanError> {
        let mut sources = self.sources();
        load::put_over(&mut sources, set, program)?;
        Ok(Self {
            plan: sources.plan.table,
            profile: sources.profile.table,
            ..self.clone()
        })
    }

    /// The plan, resolved again.
    ///
    /// # Errors
    /// The first value that is wrong.
    pub fn resolve(&self) -> Result<Plan, PlanError> {
        resolve(&self.sources())
    }

    /// The plan of these layers with the schedule of a recorded one: what was drawn then is done again, whatever a
    /// change of the layers would have drawn.
    ///
    /// # Errors
    /// The first value that is wrong.
    pub fn resolve_as(&self, recorded: &Plan) -> Result<Plan, PlanError> {
        let mut plan = self.resolve()?;
        plan.schedule.clone_from(&recorded.schedule);
        plan.drill.clone_from(&recorded.drill);
        plan.seed.clone_from(&recorded.seed);
        if plan.start != recorded.start {
            // From the same snapshot on, and no longer.
            plan.start.clone_from(&recorded.start);
            (plan.soak, plan.until_height) = (recorded.soak, recorded.until_height);
        }
        plan.deadline = plan.deadline.max(recorded.deadline);
        plan.log_baseline.clone_from(&recorded.log_baseline);
        plan.network.disk.thin |= recorded.network.disk.thin;
        plan.network.disk.kind = recorded.network.disk.kind;
        Ok(plan)
    }

    /// Beginning where a resolved plan begins, and making no snapshots of its own.
    #[must_use]
    pub fn beginning(mut self, begun: Option<&Begun>) -> Self {
        self.plan.remove("snapshot");
        self.plan.remove("start");
        if let Some(begun) = begun {
            let name = Value::from(begun.name.clone());
            let start = Table::from_iter([("snapshot".to_owned(), name)]);
            self.plan.insert("start".to_owned(), start.into());
        }
        self
    }

    /// With every fault of a schedule written out, instead of what it was computed from.
    ///
    /// # Errors
    /// When a fault's parameters cannot be written as TOML.
    pub fn with_schedule(
        &self,
        schedule: &[PlannedFault],
        drill: Option<&PlannedDrill>,
    ) -> Result<Self, toml::ser::Error> {
        let mut recorded = self.clone();
        for key in ["chaos", "sweep", "fault", "drill"] {
            recorded.plan.remove(key);
        }
        let faults = schedule.iter().map(fault).collect::<Result<Vec<_>, _>>()?;
        if !faults.is_empty() {
            recorded.plan.insert("fault".to_owned(), faults.into());
        }
        if let Some(drill) = drill {
            let mut table = Table::new();
            table.insert("at".to_owned(), human_duration(drill.at).into());
            table.insert("for".to_owned(), human_duration(drill.lasts).into());
            let shard = i64::try_from(drill.shard.0).unwrap_or_default();
            table.insert("shard".to_owned(), shard.into());
            recorded.plan.insert("drill".to_owned(), table.into());
        }
        Ok(recorded)
    }

    /// As two files; `profile` is the path of the profile as the plan is to name it. What names other files or
    /// baselines of the machine it was recorded on is left out.
    ///
    /// # Errors
    /// When a value cannot be written as TOML.
    pub fn texts(&self, profile: &str) -> Result<Texts, toml::ser::Error> {
        let mut plan = self.plan.clone();
        plan.remove("log_baseline");
        if let Some(Value::Table(gate)) = plan.get_mut("gate") {
            gate.remove("against");
        }
        plan.insert("profile".to_owned(), profile.into());
        let mut of_profile = self.profile.clone();
        of_profile
            .entry("name")
            .or_insert_with(|| self.profile_name.clone().into());
        Ok(Texts {
            plan: toml::to_string_pretty(&plan)?,
            profile: toml::to_string_pretty(&of_profile)?,
        })
    }
}

/// A fault of a schedule as `[[fault]]`.
fn fault(planned: &PlannedFault) -> Result<Value, toml::ser::Error> {
    let mut table = match Value::try_from(&planned.parameters)? {
        Value::Table(parameters) => parameters,
        _ => Table::new(),
    };
    let at = match &planned.trigger {
        Trigger::After(after) => human_duration(*after),
        Trigger::Height(height) => format!("height {height}"),
        Trigger::Log(text) => format!("log {text}"),
    };
    let target = match &planned.target.who {
        Who::Nodes(nodes) => {
            let names = nodes.iter().map(|node| node.as_str().into());
            Value::Array(names.collect())
        }
        _ => planned.target.to_string().into(),
    };
    table.insert("kind".to_owned(), planned.kind.clone().into());
    table.insert("at".to_owned(), at.into());
    table.insert("for".to_owned(), human_duration(planned.lasts).into());
    table.insert("target".to_owned(), target);
    table.insert("seed".to_owned(), planned.seed.to_string().into());
    Ok(Value::Table(table))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::PlanRequest;

    fn recorded(set: &[&str]) -> Recorded {
        let request = PlanRequest {
            plan: "nightly".to_owned(),
            set: set.iter().map(|text| (*text).to_owned()).collect(),
            date: "2026-11-26".to_owned(),
            ..PlanRequest::default()
        };
        Recorded::of(&load::sources(&request).unwrap())
    }

    #[test]
    fn layers_survive_json_and_resolve_to_the_same_plan() {
        let recorded = recorded(&["speedup=20"]);
        let text = serde_json::to_string(&recorded).unwrap();
        let back: Recorded = serde_json::from_str(&text).unwrap();
        assert_eq!(back, recorded);
        let plan = back.resolve().unwrap();
        assert_eq!(plan.speedup, 20.0);
        assert!(plan.schedule.len() > 10, "the nightly has chaos");
    }

    #[test]
    fn a_schedule_that_is_written_out_is_the_same_schedule() {
        let recorded = recorded(&[]);
        let plan = recorded.resolve().unwrap();
        let explicit = recorded
            .with_schedule(&plan.schedule, plan.drill.as_ref())
            .unwrap();
        let texts = explicit.texts("./a.profile.toml").unwrap();
        let read = Recorded {
            plan: texts.plan.parse().unwrap(),
            profile: texts.profile.parse().unwrap(),
            ..recorded
        };
        let again = read.resolve().unwrap();
        assert_eq!(again.schedule.len(), plan.schedule.len());
        for (one, other) in again.schedule.iter().zip(&plan.schedule) {
            let same = PlannedFault {
                drawn: other.drawn,
                ..one.clone()
            };
            assert_eq!(&same, other);
        }
        assert_eq!(again.drill, plan.drill);
    }

    #[test]
    fn from_a_snapshot_a_change_goes_no_further_than_the_recorded_plan() {
        let recorded = recorded(&["snapshot.every=100 blocks", "start.lineage=x"]);
        let plan = recorded.resolve().unwrap();
        assert_eq!(plan.ladder.as_ref().unwrap().lineage, "x");
        let begun = Begun {
            name: "x-700".to_owned(),
            folder: "/x".into(),
            identity: String::new(),
            seed: "s".to_owned(),
            heights: Vec::new(),
            age: crate::plan::SoakTime(std::time::Duration::ZERO),
        };
        let rung = plan.from_rung(begun, std::time::Duration::from_secs(60));
        let again = recorded.resolve_as(&rung).unwrap();
        assert_eq!((again.soak, again.begun()), (rung.soak, rung.begun()));
        let kept = recorded.beginning(rung.begun()).resolve().unwrap();
        assert_eq!(kept.start, crate::plan::Start::Named("x-700".to_owned()));
        assert_eq!(kept.ladder, None);
    }

    #[test]
    fn a_change_keeps_the_schedule_and_changes_what_it_names() {
        let recorded = recorded(&["profile.defects=[\"height-overflow\"]"]);
        let plan = recorded.resolve().unwrap();
        assert_eq!(plan.network.defects.len(), 1);
        let fixed = recorded
            .with(&["profile.defects=[]".to_owned()], None)
            .unwrap()
            .resolve_as(&plan)
            .unwrap();
        assert!(fixed.network.defects.is_empty());
        assert_eq!(fixed.schedule, plan.schedule);
        assert!(
            recorded
                .with(&["profile.defect=[]".to_owned()], None)
                .is_err()
        );
    }
}
