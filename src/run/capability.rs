//! What the faults of a run need of the machine: tried at its start, journalled, and refused or skipped where it lacks.

use super::{conductor::Conductor, error::RunError};
use crate::{
    engine::{
        self, Docker, EngineError, Launched,
        labels::RunLabels,
        launch::{Images, NodeImage, known_image, named_image},
        owner::Owner,
    },
    fault::{
        kinds::{KindInfo, Need, kind},
        needs::{Permits, needs_of_plan},
    },
    ids::RunId,
    journal::{Capability, Event},
    plan::{
        Plan,
        faults::{OnMissing, PlannedFault},
    },
};

/// Time to live on the labels of a helper that probes.
const LIFE: std::time::Duration = std::time::Duration::from_secs(600);
/// Faults that are named in one refusal.
const MOST_NAMED: usize = 5;

/// Tries what the plan's faults need, before anything is started.
///
/// # Errors
/// When the machine lacks something and the plan does not say that its faults may be skipped.
pub(super) async fn probe(
    docker: &Docker,
    run: &RunId,
    directory: &str,
    plan: &Plan,
    images: &Images,
) -> Result<Vec<Capability>, RunError> {
    let needs = needs_of_plan(plan);
    let found = tried(docker, run, directory, plan, images, &needs).await;
    if plan.on_missing == OnMissing::Refuse
        && let Some(lacks) = lacks(plan, &found)
    {
        return Err(RunError::Missing { lacks });
    }
    Ok(found)
}

/// Tries these needs, as far as they can be tried before a launch.
pub(super) async fn tried(
    docker: &Docker,
    run: &RunId,
    directory: &str,
    plan: &Plan,
    images: &Images,
    needs: &[Need],
) -> Vec<Capability> {
    let labels = RunLabels::new(run, &Owner::this_process(), directory, LIFE);
    let image = &images.program.reference;
    engine::capabilities::probe(docker, image, &labels, Permits::of(plan), needs).await
}

/// Which faults cannot be done, each with what it lacks; `None` if all can.
fn lacks(plan: &Plan, found: &[Capability]) -> Option<String> {
    let mut words = Vec::new();
    for capability in found.iter().filter(|capability| !capability.able) {
        let of = |fault: &&PlannedFault| {
            kind(&fault.kind).is_some_and(|info| needs(info, &capability.id))
        };
        let faults: Vec<&str> = plan
            .schedule
            .iter()
            .filter(of)
            .map(|fault| fault.id.as_str())
            .collect();
        let mut named = faults[..faults.len().min(MOST_NAMED)].join(", ");
        if faults.len() > MOST_NAMED {
            named.push_str(&format!(" and {} more", faults.len() - MOST_NAMED));
        }
        words.push(format!("{named}: {}", says(capability)));
    }
    (!words.is_empty()).then(|| words.join("; "))
}

fn needs(info: &KindInfo, id: &str) -> bool {
    info.needs.iter().any(|need| need.id() == id)
}

fn says(capability: &Capability) -> String {
    let remedy = capability.remedy.as_deref().unwrap_or_default();
    format!(
        "{} is lacking: {} ({remedy})",
        capability.id, capability.proof
    )
}

/// Why a kind cannot be done on a machine of these capabilities, if it cannot. What was not tried may work.
pub(super) fn missing(info: &KindInfo, found: &[Capability]) -> Option<String> {
    let lacking = |capability: &&Capability| !capability.able && needs(info, &capability.id);
    found.iter().find(lacking).map(says)
}

impl Conductor {
    /// The record of what was tried before the launch.
    pub(super) fn capabilities(&mut self, found: Vec<Capability>) -> Result<(), RunError> {
        for capability in &found {
            if !capability.able {
                self.note(&format!(
                    "faults that need it are skipped: {}",
                    says(capability)
                ));
            }
            self.record(Event::Capability(capability.clone()))?;
        }
        self.faults.capable(found);
        Ok(())
    }

    /// ... and of what the launch itself has proved.
    pub(super) fn launch_capabilities(&mut self, launched: &Launched) -> Result<(), RunError> {
        let needs: Vec<Need> = needs_of_plan(&self.plan);
        self.capabilities(engine::capabilities::of_launch(launched, &needs))?;
        self.disks_aged(launched)
    }
}

/// Faults that a launch which failed takes with it, for its message: those that need a disk of their own.
pub(super) fn disk_faults(plan: &Plan) -> String {
    let needy = |fault: &&PlannedFault| {
        kind(&fault.kind).is_some_and(|info| info.needs.iter().any(|need| !need.by_helper()))
    };
    let faults: Vec<&str> = plan
        .schedule
        .iter()
        .filter(needy)
        .take(MOST_NAMED)
        .map(|fault| fault.id.as_str())
        .collect();
    if faults.is_empty() {
        return String::new();
    }
    format!(
        "; such disks are what these faults need: {}",
        faults.join(", ")
    )
}

/// Packs or pulls what faults of the schedule put in place of the nodes' program; answers the images, each once.
pub(super) async fn upgrades(docker: &Docker, plan: &Plan) -> Result<Vec<NodeImage>, EngineError> {
    let mut images: Vec<NodeImage> = Vec::new();
    for planned in &plan.schedule {
        let fault = kind(&planned.kind).and_then(|info| (info.parse)(&planned.parameters).ok());
        let Some(fault) = fault else { continue };
        let image = match (fault.binary(), fault.image()) {
            (Some(binary), _) => {
                let packed = engine::pack::binary_image(docker, binary, &[]).await?;
                known_image(docker, packed.reference, packed.program).await?
            }
            // One that is pulled before every run is pulled once.
            (None, Some(image)) if images.iter().any(|known| known.reference == image) => continue,
            (None, Some(image)) => named_image(docker, &plan.network, image).await?,
            (None, None) => continue,
        };
        if !images.contains(&image) {
            images.push(image);
        }
    }
    Ok(images)
}
