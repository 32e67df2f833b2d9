//! `alert test`: a test alert to every receiver of a plan, by the very desk that a run uses.

use std::{process::ExitCode, time::Duration};

use super::{
    Failure,
    arguments::{AlertArguments, AlertTestArguments, AlertVerb, Common},
    plan, print_json, print_line, runtime,
};
use crate::{
    alert::{
        Desk, State,
        notice::{About, Notice},
    },
    detect::Severity,
    exit::Exit,
    time::RunClock,
};

/// Longest wait for all receivers.
const LONGEST: Duration = Duration::from_secs(15);

pub(super) fn alert(common: &Common, verb: &AlertArguments) -> Result<ExitCode, Failure> {
    match &verb.verb {
        AlertVerb::Test(verb) => test(common, verb),
    }
}

fn test(common: &Common, verb: &AlertTestArguments) -> Result<ExitCode, Failure> {
    let plan = plan::load(common, &verb.plan, &verb.options, None)?;
    if plan.alerts.routes.is_empty() {
        return Err(Failure::usage(format!(
            "the plan {} tells nobody: it has no [[alert]]",
            plan.name
        )));
    }
    let wall = RunClock::wall();
    let about = About {
        plan: plan.name.clone(),
        run: "test".to_owned(),
        started: wall,
        report: "no report: this is a test".to_owned(),
        reproduce: format!("canarynet alert test {}", plan.name),
        seen: std::collections::BTreeMap::new(),
    };
    let summary = "a test of canarynet's alerts, begun by hand: nothing is wrong";
    let firing = about.notice(State::Firing, "test", Severity::Info, summary);
    let over = Notice {
        until: Some(wall.plus(Duration::from_secs(1))),
        ..about.notice(State::Resolved, "test", Severity::Info, summary)
    };
    let problems = runtime()?.block_on(async {
        let mut desk = Desk::open(&plan.alerts, about);
        desk.everybody(&firing);
        desk.everybody(&over);
        desk.close(LONGEST).await
    });
    let names: Vec<&str> = plan
        .alerts
        .routes
        .iter()
        .map(|route| route.name.as_str())
        .collect();
    if common.json {
        print_json(&serde_json::json!({ "receivers": names, "problems": problems }))?;
    } else if problems.is_empty() {
        print_line(&format!("arrived at {}", names.join(", ")))?;
    } else {
        for problem in &problems {
            print_line(&crate::journal::text::clean(problem, 400))?;
        }
    }
    Ok(match problems.is_empty() {
        true => Exit::Pass.into(),
        false => Exit::Infra.into(),
    })
}
