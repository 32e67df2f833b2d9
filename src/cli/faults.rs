//! `canarynet faults`: every kind of fault on a healthy network, on every kind of disk that this machine may have, in one
//! table; and the same many times in a row, to see that nothing is left behind.

use std::process::ExitCode;

use toml::{Table, Value};

use super::{
    Failure,
    arguments::{Common, FaultsArguments},
    clean, network, plan, print, print_json, print_line, runtime,
    soak::secrets_failed,
    state_folder,
};
use crate::{
    exit::Exit,
    fault::{
        effect::Effect,
        kinds::{Cast, KINDS, KindInfo, kind},
        needs::Permits,
        operation::Operation,
    },
    ids::{NodeName, ShardId},
    plan::{
        DiskKind, Plan,
        error::{Place, did_you_mean},
        faults::OnMissing,
        source::Layer,
    },
    report::{
        Look,
        sweep::{self, SweepRow},
    },
    run::{
        self, RunError, SoakRequest,
        endurance::{EnduranceRequest, Endured, endure},
        reserving::Reserving,
    },
};

/// The plan that is swept.
const PLAN: &str = "faults";

/// What one network is for.
struct Round {
    disk: String,
    kinds: Vec<&'static KindInfo>,
    plan: Plan,
}

/// Kinds that no network of this command can do, with the reason.
type Impossible = Vec<(&'static KindInfo, String)>;

pub(super) fn faults(common: &Common, verb: &FaultsArguments) -> Result<ExitCode, Failure> {
    let (rounds, impossible) = rounds(common, verb)?;
    if rounds.is_empty() {
        let why: Vec<String> = impossible
            .iter()
            .map(|(info, why)| format!("{} {why}", info.kind))
            .collect();
        return Err(Failure::usage(format!(
            "nothing can be done: {}",
            why.join("; ")
        )));
    }
    runtime()?.block_on(async {
        match verb.times {
            Some(times) => endurance(common, verb, rounds, &impossible, times).await,
            None => table(common, verb, rounds, &impossible).await,
        }
    })
}

/// One network for each kind of disk, each kind of fault on the first that permits it; those that are about disks on all.
fn rounds(common: &Common, verb: &FaultsArguments) -> Result<(Vec<Round>, Impossible), Failure> {
    let asked = asked(verb)?;
    let mut left: Vec<&KindInfo> = asked.clone();
    let mut why: Vec<(&str, String)> = Vec::new();
    let mut rounds = Vec::new();
    for disk in disks(verb)? {
        let base = load(common, verb, &disk, None)?;
        // All other disks are made by the helper.
        if base.network.disk.kind != DiskKind::Tmpfs && !base.allow_helper {
            continue;
        }
        let permits = Permits::of(&base);
        let mut kinds = Vec::new();
        for info in &asked {
            match permits.rules_out_kind(info) {
                Some(reason) => why.push((info.kind, reason.to_owned())),
                None if is_about_disks(info) || left.iter().any(|of| of.kind == info.kind) => {
                    kinds.push(*info);
                }
                None => {}
            }
        }
        left.retain(|info| !kinds.iter().any(|done| done.kind == info.kind));
        if !kinds.is_empty() {
            let plan = load(common, verb, &disk, Some(&kinds))?;
            rounds.push(Round { disk, kinds, plan });
        }
    }
    let reason = |info: &KindInfo| {
        let found = why.iter().rfind(|(kind, _)| *kind == info.kind);
        found.map_or(
            "needs a kind of disk that is not among those asked for",
            |(_, why)| why.as_str(),
        )
    };
    let impossible = left.into_iter().map(|info| (info, reason(info).to_owned()));
    Ok((rounds, impossible.collect()))
}

/// Which kinds were asked for: named, one of each back end, or all.
fn asked(verb: &FaultsArguments) -> Result<Vec<&'static KindInfo>, Failure> {
    if verb.kinds.is_empty() {
        let mut seen = Vec::new();
        let first_of_its_kind = |info: &&KindInfo| {
            let back_end = back_end(info);
            let new = !seen.contains(&back_end);
            seen.push(back_end);
            new || !verb.reduced
        };
        return Ok(KINDS.iter().filter(first_of_its_kind).collect());
    }
    let named = verb.kinds.iter().map(|name| {
        kind(name).ok_or_else(|| {
            let hint = did_you_mean(name, KINDS.iter().map(|info| info.kind));
            Failure::usage(format!(
                "{name:?} is no kind of fault{hint}; `canarynet fault` lists all"
            ))
        })
    });
    named.collect()
}

/// Where a kind's operations are carried out, and what they need.
fn back_end(info: &KindInfo) -> String {
    let family = operations(info)
        .first()
        .map_or("none", |operation| match operation {
            Operation::Process { .. } => "process",
            Operation::Inside { .. } => "inside",
            Operation::Disk { .. } => "disk",
            Operation::Faulty { .. } => "faulty",
            Operation::Link { .. } => "link",
        });
    format!("{family} {:?}", info.needs)
}

/// What a kind does to some node, with its default parameters.
fn operations(info: &KindInfo) -> Vec<Operation> {
    let any = [NodeName::of(ShardId(0), 0)];
    let cast = Cast {
        fault: "any",
        targets: &any,
        nodes: &[],
        quorum: Default::default(),
        duration: std::time::Duration::ZERO,
        seed: 0,
    };
    (info.parse)(&serde_json::json!({})).map_or_else(|_| Vec::new(), |fault| fault.breaks(&cast))
}

fn is_about_disks(info: &KindInfo) -> bool {
    let about = |effect: &Effect| {
        matches!(
            effect,
            Effect::DiskFull
                | Effect::InodesFull
                | Effect::DiskSlow
                | Effect::DiskHang
                | Effect::DiskErrors
                | Effect::DiskReadOnly
                | Effect::LostWrites
                | Effect::GhostBytes
        )
    };
    (info.parse)(&serde_json::json!({})).is_ok_and(|fault| fault.effects().iter().any(about))
}

/// All kinds of disks, by the profile's own schema, or those asked for.
fn disks(verb: &FaultsArguments) -> Result<Vec<String>, Failure> {
    fn words(schema: &serde_json::Value, found: &mut Vec<String>) {
        match schema {
            serde_json::Value::Object(map) => {
                for (key, value) in map {
                    match (key.as_str(), value) {
                        ("const", serde_json::Value::String(word)) => found.push(word.clone()),
                        ("enum", serde_json::Value::Array(list)) => {
                            found.extend(
                                list.iter()
                                    .filter_map(|word| Some(word.as_str()?.to_owned())),
                            );
                        }
                        (_, value) => words(value, found),
                    }
                }
            }
            serde_json::Value::Array(list) => list.iter().for_each(|value| words(value, found)),
            _ => {}
        }
    }
    let mut known = Vec::new();
    words(schemars::schema_for!(DiskKind).as_value(), &mut known);
    known.retain(|word| word != "auto");
    if verb.disks.is_empty() {
        return Ok(known);
    }
    if let Some(unknown) = verb.disks.iter().find(|disk| !known.contains(disk)) {
        let hint = did_you_mean(unknown, known.iter().map(String::as_str));
        return Err(Failure::usage(format!(
            "{unknown:?} is no kind of disk{hint}; known are {}",
            known.join(", ")
        )));
    }
    Ok(verb.disks.clone())
}

/// Size of xfs disks.
const XFS_SIZE: &str = "\"256 MiB\"";

/// The plan of the sweep on this disk, with these kinds.
fn load(
    common: &Common,
    verb: &FaultsArguments,
    disk: &str,
    kinds: Option<&[&'static KindInfo]>,
) -> Result<Plan, Failure> {
    let mut options = verb.options.clone();
    options.set.push(format!("profile.disk.kind={disk}"));
    if disk == "xfs" {
        // Its smallest is larger than the profile's disk. What was asked for comes later, and wins.
        options
            .set
            .insert(0, format!("profile.disk.size={XFS_SIZE}"));
    }
    let mut sources = plan::sources(common, PLAN, &options, None)?;
    sources.name = format!("{PLAN}-{disk}");
    let mut sweep = Table::new();
    if let Some(kinds) = kinds {
        let names = kinds.iter().map(|info| Value::from(info.kind));
        sweep.insert("kinds".to_owned(), Value::Array(names.collect()));
    }
    let mut layer = Layer::default();
    layer.table.insert("sweep".to_owned(), Value::Table(sweep));
    // What this machine lacks is a line of the table, not the end of it.
    layer.table.insert("on_missing".to_owned(), "skip".into());
    for key in ["sweep", "on_missing"] {
        let place = Place::whole(run::FAULTS);
        layer.places.insert(key.to_owned(), place);
    }
    sources.plan.put(layer);
    let plan = plan::resolved(&sources)?;
    debug_assert!(plan.on_missing == OnMissing::Skip);
    Ok(plan)
}

/// Runs one soak a disk and prints one table.
async fn table(
    common: &Common,
    verb: &FaultsArguments,
    rounds: Vec<Round>,
    impossible: &Impossible,
) -> Result<ExitCode, Failure> {
    let mut rows: Vec<SweepRow> = Vec::new();
    let mut worst = Exit::Pass;
    for Round { disk, kinds, plan } in rounds {
        let docker = network::connect(common, None).await?;
        clean::orphans(common, &docker).await?;
        let request = SoakRequest {
            metrics: None,
            page: None,
            plan: plan.clone(),
            docker,
            engine: common.engine.clone(),
            state: state_folder(common)?,
            directory: None,
            linux_binary: verb.options.linux_binary.clone(),
            json: common.json,
            endless: false,
            reserving: Reserving::Anyway,
            layers: None,
            sought: None,
            pause_at: None,
        };
        let conclusion = match run::soak(request).await {
            Ok(conclusion) => conclusion,
            Err(RunError::Interrupted(interrupt)) => {
                worst = interrupt.exit();
                break;
            }
            Err(RunError::Secret(why)) => return Err(secrets_failed(&why)),
            Err(error) => {
                let why = run::told(&error);
                rows.extend(
                    kinds
                        .iter()
                        .map(|info| SweepRow::not_done(info.kind, &disk, &why)),
                );
                continue;
            }
        };
        let mut done = sweep::rows(&disk, &plan, &conclusion.judgement);
        for info in kinds {
            if !done.iter().any(|row| row.kind == info.kind) {
                let why = "the run ended before its turn";
                done.push(SweepRow::not_done(info.kind, &disk, why));
            }
        }
        rows.extend(done);
        if conclusion.exit != Exit::Pass && !common.json {
            print(conclusion.summary.as_bytes())?;
        }
        if matches!(conclusion.exit, Exit::Interrupted | Exit::Terminated) {
            worst = conclusion.exit;
            break;
        }
    }
    rows.extend(
        impossible
            .iter()
            .map(|(info, why)| SweepRow::not_done(info.kind, "-", why)),
    );
    if common.json {
        for row in &rows {
            print_json(row)?;
        }
    } else {
        print(sweep::render(&rows, Look::of(&console::Term::stdout())).as_bytes())?;
    }
    if worst != Exit::Pass {
        return Ok(worst.into());
    }
    // What the options rule out was not asked for; what the machine lacks leaves the table thin.
    let thin = rows
        .iter()
        .any(|row| row.not_done.is_some() && row.disk != "-");
    let failed = rows.iter().any(|row| row.not_done.is_none() && !row.well());
    Ok(match (failed, thin) {
        (true, _) => Exit::Fail,
        (false, true) => Exit::Inconclusive,
        (false, false) => Exit::Pass,
    }
    .into())
}

/// Each kind many times in a row, on one network a disk.
async fn endurance(
    common: &Common,
    verb: &FaultsArguments,
    rounds: Vec<Round>,
    impossible: &Impossible,
    times: u32,
) -> Result<ExitCode, Failure> {
    let mut well = true;
    for Round { disk, kinds, plan } in rounds {
        let docker = network::connect(common, None).await?;
        clean::orphans(common, &docker).await?;
        if !common.json {
            print_line(&format!("{disk} disks, each fault {times} times"))?;
        }
        let request = EnduranceRequest {
            plan,
            docker,
            engine: common.engine.clone(),
            state: state_folder(common)?,
            linux_binary: verb.options.linux_binary.clone(),
            kinds,
            times,
        };
        let ended = endure(request, |endured| {
            well &= endured.well();
            // Nobody reading any more is no reason to leave a network behind.
            let _ = tell(common, &disk, endured);
        });
        let left = match ended.await {
            Ok(left) => left,
            Err(error @ RunError::Stopped(_)) => {
                return Err(Failure::infra("the faults could not be done").because(&error));
            }
            Err(RunError::Secret(why)) => return Err(secrets_failed(&why)),
            // Another kind of disk may do.
            Err(error) => {
                well = false;
                print_line(&format!("not done on {disk} disks: {}", run::told(&error)))?;
                continue;
            }
        };
        for line in &left {
            well = false;
            print_line(&format!("left behind at the end: {line}"))?;
        }
    }
    for (info, why) in impossible {
        print_line(&format!("{:<17} not done: it {why}", info.kind))?;
    }
    Ok(if well { Exit::Pass } else { Exit::Infra }.into())
}

fn tell(common: &Common, disk: &str, endured: &Endured) -> Result<(), Failure> {
    if common.json {
        print_json(&serde_json::json!({ "disk": disk, "endured": endured }))?;
        return Ok(());
    }
    let word = if endured.well() { "ok" } else { "NOT OK" };
    print_line(&format!(
        "{:<17} {:>4} times in {:>4} s, {} without effect, {} not healed, {} left behind   {word}",
        endured.kind,
        endured.times,
        endured.seconds,
        endured.ineffective,
        endured.unhealed,
        endured.left.len()
    ))?;
    for line in endured.why.iter().chain(&endured.left) {
        print_line(&format!("                  {line}"))?;
    }
    Ok(())
}
