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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{
        folder::tests::store,
        ladder::Standing,
        manifest::tests::{manifest, plan},
    };

    fn rung(folder: &SnapshotFolder, plan: &Plan, name: &str, height: u64, good: bool) {
        let mut of_lineage = manifest(plan, name, height);
        of_lineage.lineage = Some("night".to_owned());
        let mut stored = store(folder, &of_lineage);
        stored
            .stand(Standing {
                good,
                ..Standing::default()
            })
            .unwrap();
    }

    #[test]
    fn a_lineage_goes_on_from_its_newest_good_rung_of_this_network() {
        let state = tempfile::tempdir().unwrap();
        let folder = SnapshotFolder::of(state.path());
        let mut asked = plan();
        asked.start = Start::Lineage("night".to_owned());
        let mut chosen = asked.clone();
        let told = choose(&mut chosen, &folder, None).unwrap().unwrap();
        assert!(told.contains("begins at genesis"), "{told}");
        assert_eq!(chosen.start, Start::Genesis);
        rung(&folder, &asked, "a", 100, true);
        rung(&folder, &asked, "b", 200, true);
        rung(&folder, &asked, "c", 300, false);
        let mut other = asked.clone();
        other.profile = "another".to_owned();
        rung(&folder, &other, "d", 400, true);
        let mut chosen = asked.clone();
        let told = choose(&mut chosen, &folder, None).unwrap().unwrap();
        assert!(told.contains("snapshot b at height 200"), "{told}");
        let begun = chosen.begun().unwrap().clone();
        assert_eq!((begun.name.as_str(), chosen.network_seed()), ("b", "s"));
        // Chosen once it stays so, also elsewhere under its name, but not as another one of that name.
        choose(&mut chosen, &folder, None).unwrap();
        assert_eq!(chosen.begun().unwrap().folder, begun.folder);
        let Start::Snapshot(changed) = &mut chosen.start else {
            unreachable!("it was chosen")
        };
        changed.identity = "other".to_owned();
        assert!(choose(&mut chosen, &folder, None).is_err());
        assert!(open(&chosen).is_err());
        // By hand any of them, if it fits.
        let mut chosen = asked.clone();
        choose(&mut chosen, &folder, Some("c")).unwrap();
        assert_eq!(chosen.begun().unwrap().name, "c");
        assert!(open(&chosen).unwrap().is_some());
        assert!(choose(&mut asked.clone(), &folder, Some("d")).is_err());
    }

    #[test]
    fn blocks_that_are_there_are_not_owed() {
        let state = tempfile::tempdir().unwrap();
        let folder = SnapshotFolder::of(state.path());
        let mut plan = plan();
        (plan.soak, plan.until_height) = (None, Some(1_000));
        plan.gate.coverage.blocks = 500;
        store(&folder, &manifest(&plan, "a", 800));
        choose(&mut plan, &folder, Some("a")).unwrap();
        assert_eq!(plan.gate.coverage.blocks, 100);
        choose(&mut plan, &folder, None).unwrap();
        assert_eq!(plan.gate.coverage.blocks, 100, "once");
    }
}
