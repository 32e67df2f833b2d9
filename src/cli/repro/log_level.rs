//! `repro --log-level`: the recorded nodes say more, where their profile has a lever for that.

use clap::ValueEnum as _;
use toml::Value;

use super::super::Failure;
use crate::{plan::Recorded, reference_node::log::Level, report::text::plain, repro::case::Case};

/// The text under `[values]` of a profile that its command takes the level from.
const VALUE: &str = "log_level";

/// First word of the command of a reference node.
const REFERENCE: &str = "reference-node";

/// Puts a level over the recorded profile; the schedule stays the recorded one.
pub(super) fn put(case: &mut Case, level: &str) -> Result<(), Failure> {
    let Some(layers) = &case.layers else {
        return Err(Failure::usage(
            "the run was made by an older version, which did not keep what its plan was made from: --log-level needs that",
        ));
    };
    if !has_lever(layers) {
        return Err(Failure::usage(format!(
            "profile {} has no lever for the level: it says `{VALUE} = ...` under [values] and writes {{{{ values.{VALUE} }}}} where the program takes it",
            plain(&case.plan.profile, 60)
        )));
    }
    let is_reference = case
        .plan
        .network
        .command
        .first()
        .is_some_and(|word| word == REFERENCE);
    if is_reference && Level::from_str(level, true).is_err() {
        let known: Vec<&str> = Level::value_variants()
            .iter()
            .map(|level| level.name())
            .collect();
        return Err(Failure::usage(format!(
            "{:?} is no level of the reference node: {}",
            plain(level, 40),
            known.join(", ")
        )));
    }
    let unusable =
        |error: &dyn std::error::Error| Failure::usage("the level cannot be set").because(error);
    // Quoted, because levels of some programs are numbers and values of a profile are texts.
    let set = format!("profile.values.{VALUE}={}", Value::String(level.to_owned()));
    let layers = layers
        .with(&[set], None)
        .map_err(|error| unusable(&error))?;
    let mut plan = layers
        .resolve_as(&case.plan)
        .map_err(|error| unusable(&error))?;
    plan.network.program.clone_from(&case.plan.network.program);
    case.plan = plan;
    case.layers = Some(layers);
    Ok(())
}

fn has_lever(layers: &Recorded) -> bool {
    let values = layers.profile.get("values").and_then(Value::as_table);
    values.is_some_and(|values| values.contains_key(VALUE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::PlanRequest;

    fn case(profile: &str) -> Case {
        let request = PlanRequest {
            plan: "smoke".to_owned(),
            profile: Some(profile.to_owned()),
            ..PlanRequest::default()
        };
        let layers = Recorded::of(&crate::plan::load::sources(&request).unwrap());
        Case {
            directory: std::path::PathBuf::new(),
            plan: layers.resolve().unwrap(),
            layers: Some(layers),
            machine: None,
            findings: Vec::new(),
            foreign: false,
        }
    }

    #[test]
    fn the_reference_node_takes_its_own_levels() {
        let mut case = case("reference-small");
        put(&mut case, "debug").unwrap();
        let rehearsal = crate::profile::rehearsal::rehearse(&case.plan, None).unwrap();
        let command = &rehearsal.nodes[0].command;
        let flag = command
            .iter()
            .position(|word| word == "--log-level")
            .unwrap();
        assert_eq!(command[flag + 1], "debug");
        let error = put(&mut case, "loud").unwrap_err().render();
        assert!(error.contains("debug, info, warn, error"), "{error}");
    }

    #[test]
    fn a_profile_without_the_value_has_no_lever() {
        let mut case = case("reference-small");
        if let Some(layers) = &mut case.layers {
            layers.profile.remove("values");
        }
        assert!(
            put(&mut case, "debug")
                .unwrap_err()
                .render()
                .contains("no lever")
        );
    }
}
