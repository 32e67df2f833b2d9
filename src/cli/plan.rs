//! `plan`: what would be done, before anything is done.

use std::process::ExitCode;

use super::{
    Failure,
    arguments::{
        Common, PlanArguments, PlanCheckArguments, PlanOptions, PlanReachArguments, PlanVerb,
    },
    print, print_json, state_folder,
};
use crate::{
    exit::Exit,
    plan::{Plan, PlanError, PlanRequest, Program, check, image, reach, resolve::Sources, schema},
    profile::shipped::{self, PLANS, Shipped},
    run::baseline,
    time::RunClock,
};

/// Loads a plan as the command line asks for it; everything that is wrong with it is bad input.
pub(super) fn load(
    common: &Common,
    plan: &str,
    options: &PlanOptions,
    duration: Option<std::time::Duration>,
) -> Result<Plan, Failure> {
    let plan = resolved(&sources(common, plan, options, duration)?)?;
    locked(&plan, options)?;
    Ok(plan)
}

/// Refuses a plan whose images may move, where the options ask for that.
pub(super) fn locked(plan: &Plan, options: &PlanOptions) -> Result<(), Failure> {
    match image::unlocked(plan).filter(|_| options.locked) {
        Some(why) => Err(Failure::usage(why)),
        None => Ok(()),
    }
}

/// The layers of a plan, for a verb that puts one of its own on them.
pub(super) fn sources(
    common: &Common,
    plan: &str,
    options: &PlanOptions,
    duration: Option<std::time::Duration>,
) -> Result<Sources, Failure> {
    crate::plan::load::sources(&request(common, plan, options, duration))
        .map_err(|error| bad(&error))
}

/// The plan of these layers; what cannot work is bad input.
pub(super) fn resolved(sources: &Sources) -> Result<Plan, Failure> {
    let plan = crate::plan::resolved(sources).map_err(|error| bad(&error))?;
    let refusals = check::check(&plan).refusals;
    if refusals.is_empty() {
        return Ok(plan);
    }
    Err(Failure::usage(format!(
        "the plan cannot work:\n{}",
        refusals.join("\n")
    )))
}

fn bad(error: &PlanError) -> Failure {
    Failure::usage("the plan cannot be used").because(error)
}

pub(super) fn request(
    common: &Common,
    plan: &str,
    options: &PlanOptions,
    duration: Option<std::time::Duration>,
) -> PlanRequest {
    let program = match (&options.binary, &options.image) {
        (Some(path), _) => Some(Program::Binary(path.clone())),
        (None, Some(image)) => Some(Program::Image(image.clone())),
        (None, None) => None,
    };
    PlanRequest {
        plan: plan.to_owned(),
        profile: options.profile.clone(),
        program,
        set: options.set.clone(),
        soak_for: duration,
        seed: options.seed.clone(),
        keep: None,
        allow_helper: options.allow_helper,
        // A variable that is no Unicode cannot be named in a plan.
        environment: std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
        // Without a folder of runs there is no baseline in it, and a plan that names one says so.
        baselines: state_folder(common)
            .ok()
            .map(|state| baseline::folder(&state)),
        date: RunClock::wall().to_string().chars().take(10).collect(),
    }
}

pub(super) fn plan(common: &Common, verb: PlanArguments) -> Result<ExitCode, Failure> {
    match verb.verb {
        PlanVerb::Check(verb) => check_plan(common, &verb),
        PlanVerb::Reach(verb) => reach_height(common, &verb),
        PlanVerb::Schema => print(schema::plan_schema().as_bytes()),
        PlanVerb::List => list(common, PLANS),
        PlanVerb::Show { name } => show("plan", PLANS, &name),
    }
}

fn check_plan(common: &Common, verb: &PlanCheckArguments) -> Result<ExitCode, Failure> {
    let plan = crate::plan::load(&request(common, &verb.plan, &verb.options, verb.duration))
        .map_err(|error| bad(&error))?;
    locked(&plan, &verb.options)?;
    if verb.resolved {
        return print_json(&plan);
    }
    if verb.schedule {
        return print_schedule(common, &plan);
    }
    let report = check::check(&plan);
    if common.json {
        print_json(&report)?;
    } else {
        print(report.to_string().as_bytes())?;
    }
    Ok(if report.refusals.is_empty() {
        Exit::Pass
    } else {
        Exit::Usage
    }
    .into())
}

/// All faults in the order in which they fire: the same bytes for the same plan and seed.
fn print_schedule(common: &Common, plan: &Plan) -> Result<ExitCode, Failure> {
    if common.json {
        return print_json(&plan.schedule);
    }
    let mut text = String::new();
    for fault in &plan.schedule {
        text.push_str(&format!(
            "{:<24} {:<20} at {:<12} for {:<10} on {}\n",
            fault.id,
            fault.kind,
            fault.trigger.to_string(),
            crate::time::human(fault.lasts),
            fault.target
        ));
    }
    if let Some(drill) = &plan.drill {
        text.push_str(&format!(
            "{:<24} {:<20} at {:<12} for {:<10} on shard {}\n",
            "drill",
            "pause, untold",
            crate::time::human(drill.at),
            crate::time::human(drill.lasts),
            drill.shard
        ));
    }
    if text.is_empty() {
        text.push_str("the plan has no faults\n");
    }
    print(text.as_bytes())
}

fn reach_height(common: &Common, verb: &PlanReachArguments) -> Result<ExitCode, Failure> {
    let answer = reach::reach(
        &request(common, &verb.plan, &verb.options, None),
        verb.height,
        verb.within,
    )
    .map_err(|error| bad(&error))?;
    if common.json {
        print_json(&answer)?;
    } else {
        print(answer.to_string().as_bytes())?;
    }
    let possible = matches!(answer.needs, reach::Reach::Possible { .. });
    Ok(if possible { Exit::Pass } else { Exit::Fail }.into())
}

pub(super) fn list(common: &Common, shipped: &[Shipped]) -> Result<ExitCode, Failure> {
    for item in shipped {
        if common.json {
            print_json(&serde_json::json!({ "name": item.name, "about": item.about() }))?;
        } else {
            print(format!("{:<18} {}\n", item.name, item.about()).as_bytes())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn show(what: &str, list: &[Shipped], name: &str) -> Result<ExitCode, Failure> {
    let names: Vec<_> = list.iter().map(|item| item.name).collect();
    let item = shipped::find(list, name).ok_or_else(|| {
        Failure::usage(format!(
            "no shipped {what} {name:?}; there are: {}",
            names.join(", ")
        ))
    })?;
    print(item.text.as_bytes())
}
