//! `shrink`: the smallest plan that still shows a finding of a run. What to try next is decided by
//! [`crate::repro::shrink::search`]; here tries are made, told, and the best so far is kept on disk.

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use super::{
    Failure,
    arguments::{Common, ShrinkArguments},
    network, print_json, print_line,
    repro::{allow, case_failed, child_options, confined, load_image, open, repeated, try_failed},
    runtime, state_folder,
};
use crate::{
    exit::Exit,
    plan::Plan,
    report::text::{count, plain},
    repro::{
        Sought,
        case::{Case, read_faults, read_stages},
        comparison::Try,
        regression,
        shrink::{
            Limits, Problem, Shape,
            recipe::{Recipe, Record},
            search::{End, Next, Search, Step, Told},
        },
        tries::{Bench, TryError},
    },
    run::signal::Interrupt,
    time::human,
};

pub(super) fn shrink(common: &Common, verb: &ShrinkArguments) -> Result<ExitCode, Failure> {
    let (mut case, manifest) = open(common, &verb.run)?;
    allow(&mut case, verb.allow_helper)?;
    let finding = case
        .finding(verb.finding.as_deref())
        .map_err(|error| case_failed(&error))?
        .finding
        .clone();
    let output = output(verb, &finding.id)?;
    let faults = read_faults(&case.directory).map_err(|error| case_failed(&error))?;
    let stages = read_stages(&case.directory).map_err(|error| case_failed(&error))?;
    let cannot =
        |error: &dyn std::error::Error| Failure::usage("the run cannot be shrunk").because(error);
    regression::check(&case.plan.schedule).map_err(|error| cannot(&error))?;
    let record = Record {
        plan: &case.plan,
        layers: case.layers.as_ref(),
        finding: &finding,
        faults: &faults,
        stages: &stages,
    };
    let (recipe, problem) = Recipe::of(&record).map_err(|error| cannot(&error))?;
    let mut whole = recipe
        .plan(&problem.whole)
        .map_err(|error| cannot(&error))?;
    confined(case.foreign, &mut whole, verb.allow_helper)?;
    runtime()?.block_on(async {
        let docker = network::connect(common, None).await?;
        let image = manifest
            .as_ref()
            .and_then(|manifest| manifest.image.as_ref());
        if let Some(image) = image {
            load_image(&docker, &case.directory, image).await?;
        }
        let (program, note) = case
            .recorded_program(&docker)
            .await
            .map_err(|error| case_failed(&error))?;
        if let Some(note) = note
            && !common.json
        {
            print_line(&plain(&note, 300))?;
        }
        let mut recorded = case.plan.clone();
        let notes = case
            .put_recorded_versions(&docker, &mut recorded)
            .await
            .map_err(|error| case_failed(&error))?;
        for note in notes.iter().filter(|_| !common.json) {
            print_line(&plain(note, 300))?;
        }
        recorded.network.program = program;
        let bench = Bench::new(&state_folder(common)?, &finding.id, child_options(common))
            .map_err(|error| try_failed(&error))?;
        let mut work = Work {
            common,
            verb,
            sought: Sought::of(&finding),
            finding: finding.id.clone(),
            case: &case,
            recipe,
            problem,
            recorded,
            bench,
            output,
            tries: 0,
        };
        work.run().await
    })
}

/// Where the plan is written.
fn output(verb: &ShrinkArguments, finding: &str) -> Result<PathBuf, Failure> {
    let path = verb
        .output
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("shrunk-{}.toml", plain(finding, 40))));
    if path
        .extension()
        .is_some_and(|extension| extension == "toml")
    {
        Ok(path)
    } else {
        Err(Failure::usage(format!(
            "--output {} is to end in .toml: `canarynet soak` takes it for the name of a shipped plan else",
            path.display()
        )))
    }
}

/// One shrinking.
struct Work<'a> {
    common: &'a Common,
    verb: &'a ShrinkArguments,
    sought: Sought,
    finding: String,
    case: &'a Case,
    recipe: Recipe,
    problem: Problem,
    /// The recorded plan with the builds that its nodes ran.
    recorded: Plan,
    bench: Bench,
    output: PathBuf,
    tries: u64,
}

impl Work<'_> {
    async fn run(&mut self) -> Result<ExitCode, Failure> {
        self.say(&format!(
            "{}  {} of {}: {}; {} at most, tries in {}",
            plain(&self.finding, 30),
            plain(&self.sought.fingerprint, 80),
            plain(&self.case.plan.name, 60),
            self.recipe.words(&self.problem.whole),
            human(self.verb.budget),
            self.bench.folder().display()
        ))?;
        let mut search = Search::new(
            self.problem.clone(),
            Limits {
                tries: self.verb.tries,
                least: self.verb.confirm.0,
                of: self.verb.confirm.1,
                budget: self.verb.budget,
            },
        );
        let began = Instant::now();
        let mut interrupt = None;
        let end = loop {
            let (shape, step) = match search.next(began.elapsed()) {
                Next::Done(end) => break Some(end),
                Next::Try { shape, step } => (shape, step),
            };
            let left = self.verb.budget.saturating_sub(began.elapsed());
            let before = Instant::now();
            let told = match self.attempt(&shape, step, left).await {
                Ok(told) => told,
                Err(Stopped::By(signal)) => {
                    interrupt = Some(signal);
                    break None;
                }
                Err(Stopped::Failed(failure)) => return Err(failure),
            };
            let best = search.best().cloned();
            search.told(told, before.elapsed());
            if search.best() != best.as_ref() {
                self.write(&search, false)?;
            }
        };
        self.write(&search, true)?;
        self.conclude(&search, end, interrupt, began.elapsed())
    }

    /// One try, told as it comes.
    async fn attempt(
        &mut self,
        shape: &Shape,
        step: Step,
        left: Duration,
    ) -> Result<Told, Stopped> {
        let words = self.recipe.words(shape);
        let plan = match self.recipe.plan(shape) {
            Ok(plan) => plan,
            Err(error) => {
                let why = format!(
                    "  {:<9} {words}  there is no such plan: {error}",
                    word(step)
                );
                self.say(&plain(&why, 400))?;
                return Ok(Told::Impossible);
            }
        };
        let mut plan = repeated(plan);
        confined(self.case.foreign, &mut plan, self.verb.allow_helper)?;
        put_builds(&self.recorded, &mut plan);
        let one = match self.bench.attempt_within(&plan, &self.sought, left).await {
            Ok(one) => one,
            Err(TryError::Interrupted(interrupt)) => return Err(Stopped::By(interrupt)),
            Err(error) => return Err(Stopped::Failed(try_failed(&error))),
        };
        self.tries += 1;
        if self.common.json {
            print_json(&serde_json::json!({
                "try": self.tries, "step": step, "shape": shape, "outcome": one,
            }))?;
        }
        let (told, said) = match &one {
            Try::Shown { after, soaked, .. } => {
                let said = format!("shown after {:.1} s", after.as_secs_f64());
                (Told::Shown { soaked: *soaked }, said)
            }
            Try::Clean { others } if others.is_empty() => (Told::Clean, "not shown".to_owned()),
            Try::Clean { others } => {
                let others: Vec<&str> = others.iter().map(String::as_str).collect();
                (Told::Clean, format!("not shown, but {}", others.join(", ")))
            }
            Try::Void { why } => (Told::Void, format!("does not count: {why}")),
        };
        self.say(&plain(&format!("  {:<9} {words}  {said}", word(step)), 400))?;
        Ok(told)
    }

    /// Writes the best so far, if there is any.
    fn write(&self, search: &Search, over: bool) -> Result<(), Failure> {
        let Some(best) = search.best() else {
            return Ok(());
        };
        let cannot = |error: &dyn std::error::Error| {
            Failure::infra("the smallest plan cannot be written").because(error)
        };
        let layers = self.recipe.layers(best).map_err(|error| cannot(&error))?;
        let (shown, counted) = search.confirmation();
        let sure = match (over, counted) {
            (false, _) => "The smallest so far; the search went on.".to_owned(),
            (true, 0) => "The smallest that was found; it was not confirmed.".to_owned(),
            (true, _) => format!("It showed the finding in {shown} of {counted} tries."),
        };
        let head = [
            format!(
                "{} of {}, seed {}, shrunk from {} to {}.",
                plain(&self.sought.fingerprint, 100),
                plain(&self.case.plan.name, 60),
                plain(&self.case.plan.seed, 60),
                self.recipe.words(&self.problem.whole),
                self.recipe.words(best),
            ),
            format!(
                "{sure} The program is the one that the profile names; another one: --binary PATH."
            ),
        ];
        regression::write(&self.output, &layers, &head).map_err(|error| cannot(&error))
    }

    fn conclude(
        &self,
        search: &Search,
        end: Option<End>,
        interrupt: Option<Interrupt>,
        took: Duration,
    ) -> Result<ExitCode, Failure> {
        let best = search.best();
        let (shown, counted) = search.confirmation();
        if self.common.json {
            print_json(&serde_json::json!({
                "sought": self.sought,
                "from": self.problem.whole,
                "to": best,
                "end": end,
                "confirmed": search.is_confirmed(),
                "shown": shown,
                "counted": counted,
                "tries": self.tries,
                "plan": best.map(|_| &self.output),
            }))?;
        }
        self.say(&format!("from  {}", self.recipe.words(&self.problem.whole)))?;
        match best {
            Some(best) => self.tell(best)?,
            None => self.say("to    nothing: no try showed the finding")?,
        }
        let why = match end {
            None => "interrupted",
            Some(End::Smallest) => "nothing smaller shows it",
            Some(End::Budget) => "the budget is spent; --budget gives more",
            Some(End::NeverShown) => "the recorded plan did not show it again",
            Some(End::Void) => "tries did not count, one after the other",
        };
        let confirmed = match counted {
            0 => String::new(),
            _ => format!("confirmed {shown} of {counted}, "),
        };
        self.say(&format!(
            "      {confirmed}{} tries in {}: {why}",
            count(self.tries),
            human(took)
        ))?;
        if best.is_some() {
            self.say(&format!("plan  canarynet soak {}", self.output.display()))?;
        }
        Ok(match (interrupt, end) {
            (Some(interrupt), _) => interrupt.exit(),
            (None, Some(End::Void)) => Exit::Infra,
            _ if search.is_confirmed() => Exit::Pass,
            _ => Exit::Inconclusive,
        }
        .into())
    }

    /// The smallest, with its faults.
    fn tell(&self, best: &Shape) -> Result<(), Failure> {
        self.say(&format!("to    {}", self.recipe.words(best)))?;
        for fault in self.recipe.faults(best) {
            let line = format!(
                "      {} on {} at {} for {}",
                fault.kind,
                fault.target,
                fault.trigger,
                human(fault.lasts)
            );
            self.say(&plain(&line, 200))?;
        }
        Ok(())
    }

    /// A line for people.
    fn say(&self, line: &str) -> Result<(), Failure> {
        if !self.common.json {
            print_line(line)?;
        }
        Ok(())
    }
}

/// Gives a plan that was made smaller the builds of the recorded one. A version that nobody runs any more may be gone.
fn put_builds(recorded: &Plan, plan: &mut Plan) {
    plan.network.program.clone_from(&recorded.network.program);
    for version in &mut plan.network.versions {
        let mut known = recorded.network.versions.iter();
        if let Some(known) = known.find(|known| known.name == version.name) {
            version.program.clone_from(&known.program);
        }
    }
}

/// Why a try did not come to its end.
enum Stopped {
    By(Interrupt),
    Failed(Failure),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// A step in one word.
fn word(step: Step) -> &'static str {
    match step {
        Step::Start => "recorded",
        Step::Shards => "shards",
        Step::Episodes => "faults",
        Step::Nodes => "nodes",
        Step::Load => "load",
        Step::Earlier => "sooner",
        Step::Soak => "shorter",
        Step::Confirm => "confirm",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        journal::generate::Shape as Network,
        plan::{Program, VersionPlan},
    };

    #[test]
    fn tries_are_made_with_the_recorded_builds_of_all_versions() {
        let version = |name: &str, image: &str| VersionPlan {
            name: name.to_owned(),
            program: Some(Program::Image(image.to_owned())),
            options: std::collections::BTreeMap::default(),
            nodes: Vec::new(),
        };
        let mut recorded = Network::default().plan();
        let mut plan = recorded.clone();
        recorded.network.program = Program::Image("node@recorded".to_owned());
        recorded.network.versions = vec![version("gone", "a"), version("next", "next@recorded")];
        plan.network.versions = vec![version("next", "next:latest")];
        put_builds(&recorded, &mut plan);
        assert_eq!(plan.network.program, recorded.network.program);
        assert_eq!(plan.network.versions, recorded.network.versions[1..]);
    }
}
