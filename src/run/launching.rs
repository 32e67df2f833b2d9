//! The network of a run, as the plan renders it.

use std::{collections::BTreeMap, time::Duration};

use super::{conductor::chain, secrets::Secrets, start::Filling};
use crate::{
    engine::{
        self, Docker, EngineError, LaunchRequest, Launched, RenderedNode, launch::Images,
        owner::Owner,
    },
    ids::RunId,
    plan::Plan,
    profile::{beside, render},
};

/// All that containers of a run are started with.
pub(super) struct Launching<'a> {
    /// The engine.
    pub(super) docker: &'a Docker,
    /// The run.
    pub(super) run: &'a RunId,
    /// Its plan.
    pub(super) plan: &'a Plan,
    /// Its directory, for the labels.
    pub(super) state: String,
    /// How long what it makes may live.
    pub(super) life: Duration,
    /// Its images.
    pub(super) images: &'a Images,
    /// What its nodes are told in secret.
    pub(super) secrets: &'a Secrets,
    /// What its disks begin with; nothing, without it.
    pub(super) filling: Option<Filling>,
}

/// Starts all containers of a run.
///
/// # Errors
/// When the engine cannot, or the plan's templates say nothing that it could.
pub(super) async fn launch_network(launching: Launching<'_>) -> Result<Launched, EngineError> {
    let Launching {
        docker,
        run,
        plan,
        state,
        life,
        images,
        secrets,
        filling,
    } = launching;
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
        secrets: Some(secrets.values()),
        fill: filling.as_ref().map(|filling| &filling.fill),
    };
    engine::launch(docker, request, |_progress| {}).await
}
