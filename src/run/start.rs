//! Where a chain begins: the snapshot that a plan means, whether it fits, and what its disks are filled with.

use super::error::RunError;
use crate::{
    engine::launch::Fill,
    plan::{Begun, Plan, Start},
    snapshot::{
        SnapshotError, SnapshotFolder, Stored, folder::Held, ladder,
        manifest::is_bound_to_addresses,
    },
};

/// What a network's disks are filled with. The snapshot is not removed as long as this is there.
#[derive(Debug)]
pub(super) struct Filling {
    pub(super) fill: Fill,
    _held: Held,
}

/// Finds the snapshot that a plan, or a person (`from`), asks for, and puts it into the plan. Answers what was chosen, for
/// people.
///
/// # Errors
/// When there is none, or it does not fit the plan.
pub fn choose(
    plan: &mut Plan,
    folder: &SnapshotFolder,
    from: Option<&str>,
) -> Result<Option<String>, SnapshotError> {
    let start = from.map_or_else(|| plan.start.clone(), |name| Start::Named(name.to_owned()));
    let (stored, why) = match start {
        Start::Genesis => return Ok(None),
        Start::Named(name) => (folder.find(&name)?, String::new()),
        Start::Snapshot(begun) => (known(folder, &begun)?, String::new()),
        Start::Lineage(lineage) => {
            let mut rungs = folder.rungs(&lineage);
            let all = rungs.len();
            rungs.retain(|rung| rung.manifest.fits(plan).is_ok());
            let newest: Vec<_> = rungs.iter().map(Stored::rung).collect();
            let good = ladder::newest_good(&newest).map(|rung| rung.name.clone());
            let place = rungs
                .iter()
                .position(|rung| Some(&rung.manifest.name) == good.as_ref());
            let Some(place) = place else {
                plan.start = Start::Genesis;
                return Ok(Some(format!(
                    "lineage {lineage}: none of its {all} rungs is of this network and was followed by a healthy stretch; the chain begins at genesis"
                )));
            };
            (rungs.swap_remove(place), format!("lineage {lineage}: "))
        }
    };
    stored.manifest.fits(plan)?;
    let begun = stored.begun();
    let told = format!(
        "{why}the chain goes on from snapshot {} at height {}, {} mainnet time old",
        begun.name,
        crate::report::text::count(stored.manifest.height().0),
        crate::time::human(begun.age.0)
    );
    owe_less(plan, &stored);
    plan.start = Start::Snapshot(Box::new(begun));
    Ok(Some(told))
}

/// Blocks that are there already are not owed, where the plan did not say how many are.
fn owe_less(plan: &mut Plan, stored: &Stored) {
    if plan.soak.is_some()
        || plan.origins.contains_key("gate.coverage.blocks")
        || plan.begun().is_some()
    {
        return;
    }
    let Some(until) = plan.until_height.filter(|until| *until > 0) else {
        return;
    };
    let left = until.saturating_sub(stored.manifest.height().0);
    let blocks = u128::from(plan.gate.coverage.blocks) * u128::from(left) / u128::from(until);
    plan.gate.coverage.blocks = u64::try_from(blocks).unwrap_or(u64::MAX);
}

/// A snapshot that was chosen before: where it was then, or one of the same content under its name here.
fn known(folder: &SnapshotFolder, begun: &Begun) -> Result<Stored, SnapshotError> {
    let same = |stored: &Stored| stored.identity == begun.identity;
    let there = Stored::read(&begun.folder).ok().filter(same);
    let here = || folder.find(&begun.name).ok().filter(same);
    there
        .or_else(here)
        .ok_or_else(|| SnapshotError::NotFound(begun.name.clone()))
}

/// Takes hold of the snapshot that a plan's chain begins from.
pub(super) fn open(plan: &Plan) -> Result<Option<Filling>, RunError> {
    let Some(begun) = plan.begun() else {
        return Ok(None);
    };
    let stored = Stored::read(&begun.folder)?;
    let held = stored.hold()?;
    if stored.identity != begun.identity {
        return Err(SnapshotError::NotFound(begun.name.clone()).into());
    }
    stored.manifest.fits(plan)?;
    Ok(Some(Filling {
        fill: Fill {
            folder: stored.path,
            nodes: stored.manifest.nodes,
            shared: stored.manifest.shared,
            subnets: stored.manifest.subnets,
            bound: is_bound_to_addresses(plan),
        },
        _held: held,
    }))
}
