//! What a plan that came in a bundle may have of this machine: nothing that its maker names. Pure.

use crate::{
    fault::kinds::kind,
    plan::{Plan, Program, alerts::Alerts, image::Pull, whole},
};

/// Takes from a stranger's plan what reaches beyond its own containers and can be left out: nothing is pulled with this
/// machine's credentials, and nobody is told of findings.
///
/// # Errors
/// What it asks for that cannot be left out, and what to do: a value that no resolving makes, nodes with more rights than
/// a process of an own user within a read-only root, secrets, files to be packed, and privileged helper containers unless
/// `helper` allows them.
pub fn confine(plan: &mut Plan, helper: bool) -> Result<(), String> {
    if plan.allow_helper && !helper {
        return Err(
            "the plan of this bundle uses privileged helper containers; --allow-helper allows them"
                .to_owned(),
        );
    }
    whole::check(plan)?;
    rights(plan)?;
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

/// With a capability, as root or with a root file system that it may fill, a container is not far from its machine.
/// Nothing allows that to a stranger: who trusts the plan makes it an own one.
fn rights(plan: &Plan) -> Result<(), String> {
    let network = &plan.network;
    let is_root = |id: &str| id.parse::<u32>().map_or(true, |id| id == 0);
    let asks = if let Some(name) = network.capabilities.first() {
        format!("the capability {name}")
    } else if network.user.split(':').any(is_root) {
        format!("user {:?}", network.user)
    } else if !network.read_only_root {
        "a root file system that can be written".to_owned()
    } else {
        return Ok(());
    };
    Err(format!(
        "the plan of this bundle asks for nodes with {asks}, which a bundle never gets: write a plan of your own for such nodes, and `canarynet soak` it"
    ))
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
    fn a_strangers_nodes_are_nobody_in_particular() {
        let refused = |change: fn(&mut Plan)| {
            let mut plan = Shape::default().plan();
            change(&mut plan);
            // Not even who allows helpers allows this.
            confine(&mut plan, true).unwrap_err()
        };
        let capable = refused(|plan| plan.network.capabilities = vec!["SYS_ADMIN".to_owned()]);
        assert!(capable.contains("SYS_ADMIN"), "{capable}");
        for user in ["0:0", "1000:0", "0:1000", "00:1", "1:000"] {
            let mut plan = Shape::default().plan();
            plan.network.user = user.to_owned();
            assert!(confine(&mut plan, true).unwrap_err().contains(user));
        }
        let writes = refused(|plan| plan.network.read_only_root = false);
        assert!(writes.contains("written"), "{writes}");
        assert!(refused(|plan| plan.network.limits.pids = 0).contains("pids"));
        assert!(refused(|plan| plan.network.limits.cpus = f64::NAN).contains("cpus"));
    }

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
