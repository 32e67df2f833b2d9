//! The network of a run, as the plan renders it.

use std::{collections::BTreeMap, time::Duration};

use super::{conductor::chain, start::Filling};
use crate::{
    engine::{
        self, Docker, EngineError, LaunchRequest, Launched, RenderedNode, launch::Images,
        owner::Owner,
    },
    ids::RunId,
    plan::Plan,
    profile::{beside, render},
};

/// Starts all containers of a run.
///
/// # Errors
/// When the engine cannot, or the plan's templates say nothing that it could.
pub(super) async fn launch_network(
    docker: &Docker,
    run: &RunId,
    plan: &Plan,
    state: String,
    life: Duration,
    images: &Images,
    filling: Option<Filling>,
) -> Result<Launched, EngineError> {
    let render = |node: &crate::plan::NodePlan, addresses: &BTreeMap<_, _>| {
        let failed = |error: render::RenderError| chain(&error);
        let environment = render::environment(plan, node, addresses).map_err(failed)?;
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Ok(RenderedNode {
            command: render::command(plan, node, addresses).map_err(failed)?,
            environment: environment
                .iter()
                .filter_map(|entry| entry.split_once('='))
                .map(owned)
                .collect(),
        })
    };
    let beside =
        |addresses: &BTreeMap<_, _>| beside::render(plan, addresses).map_err(|error| chain(&error));
    let request = LaunchRequest {
        run,
        network: &plan.network,
        allow_helper: plan.allow_helper,
        state,
        owner: Owner::this_process(),
        time_to_live: life,
        images,
        render: &render,
        beside: Some(&beside),
        fill: filling.as_ref().map(|filling| &filling.fill),
    };
    engine::launch(docker, request, |_progress| {}).await
}
