//! `repro`: the recorded plan again, until the same finding appears, or so many times; with a second build in turn.

mod log_level;
mod pausing;
mod versions;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::ValueEnum as _;
use sha2::{Digest as _, Sha256};

use super::{
    Failure,
    arguments::{Common, ReproArguments},
    bundle, judge, network, print_json, print_line, runtime, snapshot, state_folder,
};
use crate::{
    bundle::{BundledImage, Manifest},
    detect::Finding,
    engine::Docker,
    exit::Exit,
    plan::{Keep, Plan, Program, Recorded},
    report::text::plain,
    repro::{
        Sought,
        case::{BUNDLES, Case, CaseError},
        comparison::{Decision, Tally, Try, decide},
        confine::confine,
        regression,
        tries::{Bench, TryError},
    },
    run,
};

/// Tries until the finding comes, where nothing is said.
const UNTIL: u32 = 3;

/// Tries of each build, where nothing is said.
const EACH: u32 = 10;

/// Tries beyond those asked for, where some did not count.
const SPARE: u32 = 3;

pub(super) fn case_failed(error: &CaseError) -> Failure {
    match error {
        CaseError::Engine(_) | CaseError::Read { .. } => {
            Failure::infra("the run cannot be repeated").because(error)
        }
        _ => Failure::usage("the run cannot be repeated").because(error),
    }
}

pub(super) fn try_failed(error: &TryError) -> Failure {
    match error {
        TryError::Interrupted(interrupt) => {
            Failure::interrupted(interrupt.exit(), error.to_string())
        }
        TryError::Io { .. } => Failure::infra("a repetition could not be made").because(error),
    }
}

/// What is to be repeated; a bundle is unpacked beside the runs, once.
pub(super) fn open(common: &Common, text: &str) -> Result<(Case, Option<Manifest>), Failure> {
    if !bundle::is_bundle(text) {
        let directory = judge::locate(common, text)?;
        let case = Case::open(&directory, false).map_err(|error| case_failed(&error))?;
        return Ok((case, None));
    }
    let path = Path::new(text);
    let head = crate::bundle::head(path).map_err(|error| bundle::failed(&error))?;
    let identity = serde_json::to_vec(&head)
        .map_err(|error| Failure::infra("cannot write JSON").because(&error))?;
    let name = hex::encode(&Sha256::digest(&identity)[..8]);
    let folder = state_folder(common)?.root().join(BUNDLES).join(name);
    // The name follows from the checksums of all files, and only whole bundles are ever given it.
    let manifest = if folder.is_dir() {
        head
    } else {
        crate::bundle::unpack(path, &folder).map_err(|error| bundle::failed(&error))?
    };
    let case = Case::open(&folder, true).map_err(|error| case_failed(&error))?;
    Ok((case, Some(manifest)))
}

/// A plan from elsewhere gets nothing of this machine, and helper containers only if somebody here says so.
pub(super) fn allow(case: &mut Case, helper: bool) -> Result<(), Failure> {
    let foreign = case.foreign;
    confined(foreign, &mut case.plan, helper)
}

/// The same of a plan that was made from its layers: they may say other things than the recorded plan.
pub(super) fn confined(foreign: bool, plan: &mut Plan, helper: bool) -> Result<(), Failure> {
    if foreign {
        confine(plan, helper).map_err(|why| Failure::usage(plain(&why, 400)))?;
    }
    Ok(())
}

/// Gives the engine the image of a bundle, unless it has it.
pub(super) async fn load_image(
    docker: &Docker,
    folder: &Path,
    image: &BundledImage,
) -> Result<(), Failure> {
    let cannot = |error: &dyn std::error::Error| {
        Failure::infra("cannot load the bundle's image").because(error)
    };
    let Some(file) = &image.file else {
        return Ok(());
    };
    let known = docker
        .image(&image.reference)
        .await
        .map_err(|error| cannot(&error))?;
    if known.is_some() {
        return Ok(());
    }
    let path = folder.join(file);
    crate::bundle::image::check(&path, &image.reference).map_err(|why| {
        Failure::usage(format!(
            "the bundle's image is not given to the engine: {why}"
        ))
    })?;
    docker
        .load_image(&path)
        .await
        .map_err(|error| cannot(&error))
}

/// Options of every verb that children get too.
pub(super) fn child_options(common: &Common) -> Vec<OsString> {
    // Tries of one command are one after another, and what holds the machine is its caller's to say.
    let mut options = vec!["--no-reserve".into()];
    let mut add = |flag: &str, value: OsString| {
        let mut word = OsString::from(flag);
        word.push(value);
        options.push(word);
    };
    if let Some(engine) = &common.engine {
        add("--engine=", engine.into());
    }
    let orphan = common
        .on_orphan
        .and_then(|action| action.to_possible_value());
    if let Some(orphan) = orphan {
        add("--on-orphan=", orphan.get_name().into());
    }
    options
}

/// A build, as people call it and as a plan.
struct Build {
    name: String,
    plan: Plan,
    layers: Option<Recorded>,
    tally: Tally,
}

pub(super) fn repro(common: &Common, verb: &ReproArguments) -> Result<ExitCode, Failure> {
    let (mut case, manifest) = open(common, &verb.run)?;
    allow(&mut case, verb.allow_helper)?;
    let told = case
        .finding(verb.finding.as_deref())
        .map_err(|error| case_failed(&error))?;
    let (id, sought) = (told.finding.id.clone(), Sought::of(&told.finding));
    let shard = told.finding.shard.unwrap_or_default();
    let rung = rung(common, &case, verb, &told.finding)?;
    if let Some((plan, line)) = rung {
        case.plan = plan;
        if !common.json {
            print_line(&line)?;
        }
    }
    let mut options = child_options(common);
    if let Some(height) = verb.pause_at {
        options.push(pausing::option(shard, height)?);
    }
    if let Some(level) = &verb.log_level {
        log_level::put(&mut case, level)?;
        allow(&mut case, verb.allow_helper)?;
    }
    let given = given(&case, verb)?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let docker = network::connect(common, None).await?;
        let image = manifest
            .as_ref()
            .and_then(|manifest| manifest.image.as_ref());
        if let Some(image) = image {
            load_image(&docker, &case.directory, image).await?;
        }
        let recorded = recorded(common, &case, &docker).await?;
        let mut bench =
            Bench::new(&state_folder(common)?, &id, options).map_err(|error| try_failed(&error))?;
        if !common.json {
            print_line(&format!(
                "{}  {} of {}, tries in {}",
                plain(&id, 30),
                plain(&sought.fingerprint, 80),
                plain(&case.plan.name, 60),
                bench.folder().display()
            ))?;
        }
        match given {
            None if verb.pause_at.is_some() => {
                pausing::pause(common, verb, &mut bench, &sought, recorded).await
            }
            None => again(common, verb, &mut bench, &sought, recorded).await,
            Some(mut given) => {
                versions::same(&case.plan, &recorded.plan, &mut given.plan);
                compare(common, verb, &mut bench, (&id, &sought), [recorded, given]).await
            }
        }
    })
}

/// From where the run is repeated, if not from its beginning.
fn rung(
    common: &Common,
    case: &Case,
    verb: &ReproArguments,
    finding: &Finding,
) -> Result<Option<(Plan, String)>, Failure> {
    if verb.from_start && case.plan.begun().is_none() {
        return Ok(None);
    }
    case.from_rung(finding, &snapshot::folder(common)?)
        .map_err(|error| case_failed(&error))
}

/// The recorded build.
async fn recorded(common: &Common, case: &Case, docker: &Docker) -> Result<Build, Failure> {
    let (program, note) = case
        .recorded_program(docker)
        .await
        .map_err(|error| case_failed(&error))?;
    if let Some(note) = note
        && !common.json
    {
        print_line(&plain(&note, 300))?;
    }
    let mut plan = repeated(case.plan.clone());
    let notes = case
        .put_recorded_versions(docker, &mut plan)
        .await
        .map_err(|error| case_failed(&error))?;
    for note in notes.iter().filter(|_| !common.json) {
        print_line(&plain(note, 300))?;
    }
    let name = plain(&run::program(&plan), 60);
    plan.network.program = program;
    Ok(Build {
        name,
        plan,
        layers: case.layers.clone(),
        tally: Tally::default(),
    })
}

/// A plan that is repeated leaves nothing behind, whatever was kept of the recorded run.
pub(super) fn repeated(mut plan: Plan) -> Plan {
    plan.keep = Keep::Never;
    plan.ladder = None;
    plan
}

/// The second build, where one is asked for.
fn given(case: &Case, verb: &ReproArguments) -> Result<Option<Build>, Failure> {
    if verb.with.is_none() && verb.with_set.is_empty() {
        return Ok(None);
    }
    let program = match &verb.with {
        Some(text) if Path::new(text).is_file() => {
            Some(Program::Binary(std::path::absolute(text)?))
        }
        Some(text) if text.starts_with(['/', '.']) => {
            return Err(Failure::usage(format!("{text} is no file")));
        }
        Some(text) => Some(Program::Image(text.clone())),
        None => None,
    };
    let unusable = |error: &dyn std::error::Error| {
        Failure::usage("the second build cannot be made of these values").because(error)
    };
    let layers = case
        .layers
        .as_ref()
        .map(|layers| layers.with(&verb.with_set, program.as_ref()))
        .transpose()
        .map_err(|error| unusable(&error))?;
    let mut plan = match &layers {
        Some(layers) if !verb.with_set.is_empty() => layers
            .resolve_as(&case.plan)
            .map_err(|error| unusable(&error))?,
        None if !verb.with_set.is_empty() => {
            return Err(Failure::usage(
                "the run was made by an older version, which did not keep what its plan was made from: --with works, --with-set does not",
            ));
        }
        _ => case.plan.clone(),
    };
    confined(case.foreign, &mut plan, verb.allow_helper)?;
    let mut names: Vec<String> = verb.with.iter().chain(&verb.with_set).cloned().collect();
    names.iter_mut().for_each(|name| *name = plain(name, 60));
    match program {
        Some(program) => plan.network.program = program,
        // Values change what the recorded program does: its build stays the recorded one.
        None => plan.network.program.clone_from(&case.plan.network.program),
    }
    let packs = verb.with.is_some() && matches!(plan.network.program, Program::Binary(_));
    if case.foreign && packs && !plan.network.foreign.programs.is_empty() {
        return Err(Failure::usage(
            "the plan of this bundle packs further files beside the nodes' program, and none of this machine are given to it: --with takes an image here",
        ));
    }
    Ok(Some(Build {
        name: names.join(" "),
        plan: repeated(plan),
        layers,
        tally: Tally::default(),
    }))
}

async fn attempt(
    common: &Common,
    bench: &mut Bench,
    sought: &Sought,
    build: &mut Build,
) -> Result<(), Failure> {
    let one = bench
        .attempt(&build.plan, sought)
        .await
        .map_err(|error| try_failed(&error))?;
    if !common.json {
        let said = match &one {
            Try::Shown { after, .. } => format!("shown after {:.1} s", after.as_secs_f64()),
            Try::Clean { others } if others.is_empty() => "not shown".to_owned(),
            Try::Clean { others } => {
                let others: Vec<&str> = others.iter().map(String::as_str).collect();
                format!("not shown, but {}", plain(&others.join(", "), 200))
            }
            Try::Void { why } => format!("does not count: {}", plain(why, 300)),
        };
        print_line(&format!("  {}  {said}", build.name))?;
    }
    build.tally.tries.push(one);
    Ok(())
}

/// The recorded build alone: until it comes, or so many times.
async fn again(
    common: &Common,
    verb: &ReproArguments,
    bench: &mut Bench,
    sought: &Sought,
    mut build: Build,
) -> Result<ExitCode, Failure> {
    let wanted = u64::from(verb.times.unwrap_or(UNTIL));
    while build.tally.counted() < wanted && build.tally.void() < u64::from(SPARE) {
        attempt(common, bench, sought, &mut build).await?;
        if verb.times.is_none() && build.tally.shown() > 0 {
            break;
        }
    }
    let tally = &build.tally;
    if common.json {
        print_json(
            &serde_json::json!({ "sought": sought, "tries": tally.tries, "shown": tally.shown(), "counted": tally.counted() }),
        )?;
    } else {
        print_line(&format!(
            "recorded  {}  {}",
            build.name,
            tally.line(&sought.fingerprint)
        ))?;
    }
    Ok(match (tally.shown(), tally.counted()) {
        (_, 0) => Exit::Infra,
        (0, _) => Exit::Inconclusive,
        _ => Exit::Pass,
    }
    .into())
}

/// Both builds in turn, so that what changes on the machine meanwhile meets both.
async fn compare(
    common: &Common,
    verb: &ReproArguments,
    bench: &mut Bench,
    (id, sought): (&str, &Sought),
    [mut recorded, mut given]: [Build; 2],
) -> Result<ExitCode, Failure> {
    if verb.with.is_none() {
        given.plan.network.program = recorded.plan.network.program.clone();
    }
    let wanted = u64::from(verb.times.unwrap_or(EACH));
    for build in [0, 1].into_iter().cycle() {
        let build = if build == 0 {
            &mut recorded
        } else {
            &mut given
        };
        if build.tally.counted() < wanted && build.tally.void() < u64::from(SPARE) {
            attempt(common, bench, sought, build).await?;
        }
        let done = |build: &Build| {
            build.tally.counted() >= wanted || build.tally.void() >= u64::from(SPARE)
        };
        if done(&recorded) && done(&given) {
            break;
        }
    }
    let decision = decide(&recorded.tally, &given.tally);
    let kept = keep(verb, id, sought, &recorded, &given)?;
    if common.json {
        print_json(&serde_json::json!({
            "sought": sought,
            "recorded": recorded.tally.tries,
            "given": given.tally.tries,
            "decision": decision,
            "kept": kept,
        }))?;
    } else {
        tell(&recorded, &given, sought, decision, kept.as_deref())?;
    }
    Ok(match decision {
        _ if recorded.tally.counted() == 0 || given.tally.counted() == 0 => Exit::Infra,
        Decision::Fixed { .. } => Exit::Pass,
        Decision::NotFixed => Exit::Fail,
        Decision::FailsOtherwise | Decision::NotEnoughTries { .. } => Exit::Inconclusive,
    }
    .into())
}

fn tell(
    recorded: &Build,
    given: &Build,
    sought: &Sought,
    decision: Decision,
    kept: Option<&Path>,
) -> Result<(), Failure> {
    let width = recorded
        .name
        .chars()
        .count()
        .max(given.name.chars().count());
    for (who, build) in [("recorded", recorded), ("yours", given)] {
        let line = build.tally.line(&sought.fingerprint);
        print_line(&format!("{who:<9} {:<width$}  {line}", build.name))?;
        for (other, count) in build.tally.others() {
            print_line(&format!("          also {} in {count}", plain(&other, 80)))?;
        }
    }
    let kept = kept.map_or_else(String::new, |path| format!("; kept as {}", path.display()));
    print_line(&format!(
        "{}, same schedule, alternating{kept}",
        decision.words()
    ))?;
    Ok(())
}

/// Keeps the case with the given build, which is to pass it from now on.
fn keep(
    verb: &ReproArguments,
    id: &str,
    sought: &Sought,
    recorded: &Build,
    given: &Build,
) -> Result<Option<PathBuf>, Failure> {
    let Some(layers) = given.layers.as_ref().filter(|_| recorded.tally.shown() > 0) else {
        return Ok(None);
    };
    let count = |build: &Build| format!("{} of {}", build.tally.shown(), build.tally.counted());
    let notes = [
        format!(
            "{} showed it in {}, {} in {}.",
            recorded.name,
            count(recorded),
            given.name,
            count(given)
        ),
        "It is to pass with the program that the profile names; another one: --binary PATH."
            .to_owned(),
    ];
    regression::keep(&verb.keep_in, id, layers, &given.plan, sought, &notes)
        .map(Some)
        .map_err(|error| Failure::infra("the case cannot be kept").because(&error))
}
