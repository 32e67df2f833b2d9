//! What a resolved plan must be that did not come from files: one that a run kept, or that came in a bundle. Whoever
//! resolves makes such plans only; whoever reads one checks it again. Pure.

use std::collections::BTreeSet;

use super::{Plan, Program, image::Reference, network, versions};
use crate::fault::{kinds::kind, target};

/// Longest id of a fault: it becomes part of a file's name.
const LONGEST_ID: usize = 80;

/// How holds begin that snapshots put on nodes: they are armed like faults, in the same folder.
pub const HOLDS: &str = "snapshot-";
/// What the canary's test of itself is armed as.
const DRILL: &str = "drill";

/// Checks a plan as it was resolved: ranges, names and paths.
///
/// # Errors
/// The first value that no resolving makes, with its key.
pub fn check(plan: &Plan) -> Result<(), String> {
    network::check(&plan.network)
        .map_err(|(key, message)| format!("`network.{key}`: {message}"))?;
    let clocks = &plan.clocks;
    if clocks.block_interval.is_zero() || clocks.mainnet_block_interval.is_zero() {
        return Err("`clocks`: a block interval of zero".to_owned());
    }
    let load = &plan.load;
    if !(load.rate >= 0.0 && load.rate.is_finite() && (0.0..=1.0).contains(&load.cross_shard)) {
        return Err("`load`: a rate of at least zero, a share from 0 to 1".to_owned());
    }
    builds(plan)?;
    schedule(plan)
}

/// Names of versions and secrets, and references of images.
fn builds(plan: &Plan) -> Result<(), String> {
    let network = &plan.network;
    for version in &network.versions {
        if !versions::is_name(&version.name) {
            return Err(format!("`network.versions`: {:?} is no name", version.name));
        }
    }
    for secret in &network.secrets {
        if !network::is_secret(&secret.name) {
            return Err(format!("`network.secrets`: {:?} is no name", secret.name));
        }
    }
    let own = std::iter::once(&network.program);
    let others = network.versions.iter();
    for program in own.chain(others.filter_map(|version| version.program.as_ref())) {
        if let Program::Image(image) = program {
            Reference::parse(image).map_err(|message| format!("`network`: {message}"))?;
        }
    }
    Ok(())
}

fn schedule(plan: &Plan) -> Result<(), String> {
    let mut ids = BTreeSet::new();
    for fault in &plan.schedule {
        let id = &fault.id;
        if !is_id(id) || !ids.insert(id) {
            return Err(format!(
                "`schedule`: {id:?} is no id of a fault of its own: up to {LONGEST_ID} small letters, digits and `-`"
            ));
        }
        let bad = |message: &str| Err(format!("`schedule`, {id}: {message}"));
        let Some(info) = kind(&fault.kind) else {
            return bad(&format!("{:?} is no kind of fault", fault.kind));
        };
        if let Some(unknown) = info.unknown(&fault.parameters) {
            return bad(&format!("{unknown:?} is no parameter of {}", fault.kind));
        }
        if let Err(error) = (info.parse)(&fault.parameters) {
            return bad(&error.to_string());
        }
        if let Err(message) = target::check(&fault.target, &plan.network.nodes) {
            return bad(&message);
        }
    }
    let drill = plan.drill.as_ref();
    match drill.filter(|drill| drill.shard.0 >= plan.network.shards) {
        Some(drill) => Err(format!("`drill`: there is no shard {}", drill.shard)),
        None => Ok(()),
    }
}

/// Whether a fault of a plan may be called so: nothing that leaves the folder of armed heals, and no name that this
/// program gives itself.
fn is_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=LONGEST_ID).contains(&id.len())
        && id.bytes().all(plain)
        && !id.starts_with(HOLDS)
        && id != DRILL
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        journal::generate::Shape,
        plan::{
            faults::{PlannedFault, Trigger},
            foreign::{FileTemplate, Service},
        },
    };

    fn refused(change: impl FnOnce(&mut Plan)) -> String {
        let mut plan = Shape::default().plan();
        check(&plan).unwrap();
        change(&mut plan);
        check(&plan).unwrap_err()
    }

    #[test]
    fn values_that_no_resolving_makes_are_refused_in_resolved_plans_too() {
        let says = |change: fn(&mut Plan), what: &str| {
            let said = refused(change);
            assert!(said.contains(what), "{said}");
        };
        says(|plan| plan.network.user = "root".to_owned(), "network.user");
        says(|plan| plan.network.user = "0,size=9:0".to_owned(), "user");
        says(|plan| plan.network.limits.memory = 0, "limits.memory");
        says(|plan| plan.network.limits.cpus = 0.0, "limits.cpus");
        says(|plan| plan.network.limits.cpus = f64::NAN, "limits.cpus");
        says(|plan| plan.network.limits.pids = 0, "limits.pids");
        says(|plan| plan.network.limits.open_files = 0, "open_files");
        says(
            |plan| plan.network.disk.path = "/a/../b".to_owned(),
            "disk.path",
        );
        says(|plan| plan.network.disk.size = 0, "disk.size");
        says(|plan| plan.network.disk.inodes = Some(0), "disk.inodes");
        let scratch = |plan: &mut Plan| {
            plan.network.scratch.insert("/tmp".to_owned(), 0);
        };
        says(scratch, "scratch");
        says(
            |plan| plan.network.capabilities = vec!["a b".to_owned()],
            "capabilities",
        );
        says(
            |plan| plan.network.log_files = vec!["../x".to_owned()],
            "log_files",
        );
        let variable = |plan: &mut Plan| {
            plan.network
                .environment
                .insert("A=B".to_owned(), String::new());
        };
        says(variable, "environment");
        let file = |plan: &mut Plan| {
            plan.network.foreign.files = vec![FileTemplate {
                path: "../../etc/passwd".to_owned(),
                text: String::new(),
            }];
        };
        says(file, "network.file");
        let service = |plan: &mut Plan| {
            plan.network.foreign.services = vec![Service {
                name: "../x".to_owned(),
                program: None,
                command: Vec::new(),
                environment: std::collections::BTreeMap::default(),
            }];
        };
        says(service, "network.service");
        says(|plan| plan.network.shards = u64::MAX, "network.shards");
        says(|plan| plan.network.nodes[0].position = 1, "network.nodes");
        says(|plan| plan.network.nodes[0].position = 300, "network.nodes");
        says(|plan| plan.network.nodes.clear(), "validator");
        says(
            |plan| plan.network.probe.interval = Duration::ZERO,
            "probe.rpc.interval",
        );
        says(
            |plan| plan.network.stop_timeout = Duration::MAX,
            "stop_timeout",
        );
        says(|plan| plan.clocks.block_interval = Duration::ZERO, "clocks");
        says(|plan| plan.load.rate = f64::INFINITY, "load");
        says(
            |plan| plan.network.program = Program::Image("-x y".to_owned()),
            "no image reference",
        );
    }

    #[test]
    fn an_id_is_a_word_of_its_own_that_names_no_other_file() {
        let fault = |id: &str| PlannedFault {
            id: id.to_owned(),
            kind: "kill".to_owned(),
            parameters: serde_json::json!({}),
            trigger: Trigger::After(Duration::ZERO),
            lasts: Duration::from_secs(1),
            target: "leader".parse().unwrap(),
            seed: 1,
            drawn: false,
        };
        let mut plan = Shape::default().plan();
        plan.schedule = vec![fault("f1-kill"), fault("f2-disk-fill")];
        check(&plan).unwrap();
        let long = "f".repeat(81);
        for id in [
            "",
            "../f1",
            "a/b",
            "F1",
            "a.b",
            "snapshot-1",
            "drill",
            "f1-kill",
            &long,
        ] {
            let said = refused(|plan| plan.schedule = vec![fault("f1-kill"), fault(id)]);
            assert!(said.contains("no id of a fault"), "{id}: {said}");
        }
        let other = |change: fn(&mut PlannedFault)| {
            let mut bad = fault("f1-kill");
            change(&mut bad);
            refused(|plan| plan.schedule = vec![bad])
        };
        assert!(other(|fault| fault.kind = "burn".to_owned()).contains("no kind"));
        let unknown = other(|fault| fault.parameters = serde_json::json!({ "by": 1 }));
        assert!(unknown.contains("no parameter"), "{unknown}");
        let nobody = other(|fault| fault.target = "s9-n00".parse().unwrap());
        assert!(nobody.contains("no node"), "{nobody}");
    }
}
