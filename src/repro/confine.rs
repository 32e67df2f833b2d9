//! What a plan that came in a bundle may have of this machine: nothing that its maker names. Pure.

use crate::{
    fault::kinds::kind,
    plan::{Plan, Program, alerts::Alerts, image::Pull},
};

/// Takes from a stranger's plan what reaches beyond its own containers and can be left out: nothing is pulled with this
/// machine's credentials, and nobody is told of findings.
///
/// # Errors
/// What it asks for that cannot be left out, and what to do: secrets, files to be packed, and privileged helper
/// containers unless `helper` allows them.
pub fn confine(plan: &mut Plan, helper: bool) -> Result<(), String> {
    if plan.allow_helper && !helper {
        return Err(
            "the plan of this bundle uses privileged helper containers; --allow-helper allows them"
                .to_owned(),
        );
    }
    if let Some(secret) = plan.network.secrets.first() {
        return Err(format!(
            "the plan of this bundle asks for secrets of this machine ({:?}), which a bundle never gets: write a plan of your own for such nodes, and `canarynet soak` it",
            secret.name
        ));
    }
    let packed = |program: &Option<Program>| matches!(program, Some(Program::Binary(_)));
    let mut versions = plan.network.versions.iter();
    if let Some(version) = versions.find(|version| packed(&version.program)) {
        return Err(format!(
            "version {:?} of this bundle's plan is a file of the machine that made it, and no file of this one is packed in its place: take a run whose versions are images",
            version.name
        ));
    }
    let packs = |name: &str, parameters| {
        kind(name)
            .and_then(|info| (info.parse)(parameters).ok())
            .is_some_and(|fault| fault.binary().is_some())
    };
    let mut faults = plan.schedule.iter();
    if let Some(fault) = faults.find(|fault| packs(&fault.kind, &fault.parameters)) {
        return Err(format!(
            "fault {:?} of this bundle's plan packs a file of the machine that made it, and no file of this one is packed in its place: take a run whose upgrades are images",
            fault.id
        ));
    }
    plan.network.images.pull = Pull::Never;
    plan.alerts = Alerts::default();
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, time::Duration};

    use super::*;
    use crate::{
        journal::generate::Shape,
        plan::{
            faults::{PlannedFault, Trigger},
            secrets::{SecretPlan, SecretSource},
            versions::VersionPlan,
        },
    };

    #[test]
    fn a_strangers_plan_gets_nothing_of_this_machine() {
        let harmless = Shape::default().plan();
        let refused = |plan: &Plan| confine(&mut plan.clone(), false).unwrap_err();
        let mut plan = harmless.clone();
        plan.network.images.pull = Pull::Always;
        confine(&mut plan, false).unwrap();
        assert_eq!(plan.network.images.pull, Pull::Never);

        let mut plan = harmless.clone();
        plan.allow_helper = true;
        assert!(refused(&plan).contains("--allow-helper"));
        confine(&mut plan, true).unwrap();

        let mut plan = harmless.clone();
        plan.network.secrets = vec![SecretPlan {
            name: "KEY".to_owned(),
            from: SecretSource::File("/etc/shadow".into()),
        }];
        assert!(refused(&plan).contains("\"KEY\""));

        let mut plan = harmless.clone();
        plan.network.versions = vec![VersionPlan {
            name: "next".to_owned(),
            program: Some(Program::Binary(PathBuf::from("/bin/true"))),
            options: std::collections::BTreeMap::default(),
            nodes: Vec::new(),
        }];
        assert!(refused(&plan).contains("version \"next\""));
        plan.network.versions[0].program = Some(Program::Image("node:2".to_owned()));
        confine(&mut plan, false).unwrap();

        let mut plan = harmless;
        plan.schedule = vec![PlannedFault {
            id: "f1-upgrade".to_owned(),
            kind: "upgrade".to_owned(),
            parameters: serde_json::json!({ "binary": "/bin/true" }),
            trigger: Trigger::After(Duration::ZERO),
            lasts: Duration::from_secs(1),
            target: "leader".parse().unwrap(),
            seed: 1,
            drawn: false,
        }];
        assert!(refused(&plan).contains("fault \"f1-upgrade\""));
        plan.schedule[0].parameters = serde_json::json!({ "image": "node:2" });
        confine(&mut plan, false).unwrap();
    }
}
