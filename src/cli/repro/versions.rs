//! Builds of the plan's other versions, in a second build.

use crate::plan::Plan;

/// Gives a second build the recorded builds of the plan's other versions, but for those that it names another one for.
pub(super) fn same(typed: &Plan, recorded: &Plan, given: &mut Plan) {
    for version in &mut given.network.versions {
        let named = |plan: &Plan| {
            let versions = &plan.network.versions;
            let version = versions.iter().find(|other| other.name == version.name);
            version.map(|other| other.program.clone())
        };
        if named(typed).as_ref() == Some(&version.program)
            && let Some(program) = named(recorded)
        {
            version.program = program;
        }
    }
}
