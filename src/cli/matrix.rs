//! `canarynet matrix`: every cell as a soak of its own in a child process, and what all of them say together.
//!
//! A cell's folder holds its plan, its profile, what its soak printed, its run and, once it is done, `cell.json`. A child
//! has a process group of its own: a Ctrl-C reaches this process alone, which passes it on once.

mod child;

use std::{
    collections::{BTreeMap, VecDeque},
    path::{Path, PathBuf},
    process::{ExitCode, ExitStatus},
    time::Duration,
};

use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use tokio::{sync::watch, task::JoinSet};

use super::{
    Failure,
    arguments::{Common, MatrixArguments},
    print, print_json, print_line, runtime, state_folder,
};
use crate::{
    exit::Exit,
    matrix::{
        self, Cell, Done, Matrix, Record, Request,
        cell::{HEALTHY, NotDone, case_ids, cells},
        record::{self, Left},
        render,
    },
    plan::error::did_you_mean,
    report::Look,
    run::{
        directory::{RunDirectory, StateFolder},
        signal::{Interrupt, Signals},
    },
    time::human,
    verdict::Outcome,
};

/// Folder of all cells, in the state folder.
const FOLDER: &str = "matrix";
/// Healthy soak of a case, where only some cases are asked for.
const OF_EACH: Duration = Duration::from_secs(120);
const RECORD: &str = "cell.json";
/// Folder of a cell's run.
const RUNS: &str = "runs";
/// A soak that is not over so long after its estimate is asked to end.
const PATIENCE: Duration = Duration::from_secs(180);
/// Soaks that failed without a record, one after the other, after which the machine is at fault. Some fail without one
/// because the machine lacks what their disks need; they follow on each other.
const FAILED_IN_A_ROW: usize = 12;

pub(super) fn matrix(common: &Common, verb: &MatrixArguments) -> Result<ExitCode, Failure> {
    let request = request(verb)?;
    let (cells, not_done) = cells(&request);
    let root = state_folder(common)?.root().join(FOLDER).join("cells");
    let mut folders = Folders::of(&cells, &root)?;
    if !verb.no_resume {
        folders.take_up();
    }
    if verb.dry_run {
        return dry_run(common, verb, &cells, &folders, &not_done);
    }
    if cells.is_empty() {
        let why = not_done
            .iter()
            .map(|case| format!("{} {}", case.what, case.why));
        return Err(Failure::usage(format!(
            "no cell can be run: {}",
            why.collect::<Vec<_>>().join("; ")
        )));
    }
    let ended = runtime()?.block_on(run_all(common, verb, &cells, &mut folders))?;
    let all: Vec<Done<'_>> = cells
        .iter()
        .filter_map(|cell| {
            let record = folders.records.get(&cell.id)?;
            Some(Done { cell, record })
        })
        .collect();
    let failed = !ended.failed.is_empty();
    let mut not_done = not_done;
    not_done.extend(ended.failed);
    let matrix = matrix::fold(&cells, &all, not_done, request.healthy_for);
    tell(common, verb, &matrix, &root)?;
    Ok(exit(&matrix, ended.interrupt, failed).into())
}

fn request(verb: &MatrixArguments) -> Result<Request, Failure> {
    let known = case_ids();
    if let Some(unknown) = verb.only.iter().find(|only| !known.contains(only)) {
        let hint = did_you_mean(unknown, known.iter().map(String::as_str));
        return Err(Failure::usage(format!(
            "{unknown:?} is no case{hint}; known are {}",
            known.join(", ")
        )));
    }
    let (seeds, healthy) = if verb.reduced {
        (1, Duration::from_secs(40))
    } else {
        (5, Duration::from_secs(3600))
    };
    // Where only some were named, what is theirs of the hour of all.
    let named = verb
        .only
        .iter()
        .filter(|only| only.starts_with("healthy-"))
        .count();
    let healthy = if named == 0 || verb.only.iter().any(|only| only == HEALTHY) {
        healthy
    } else {
        healthy.min(OF_EACH * u32::try_from(named).unwrap_or(u32::MAX))
    };
    // Healthy time that nobody asked for is no promise when only defects were named.
    let no_healthy =
        !verb.only.is_empty() && !verb.only.iter().any(|only| only.starts_with("healthy"));
    Ok(Request {
        seeds: verb.seeds.unwrap_or(seeds),
        healthy_for: match verb.healthy_for {
            _ if no_healthy => Duration::ZERO,
            Some(asked) => asked,
            None => healthy,
        },
        only: verb.only.clone(),
        reduced: verb.reduced,
        helper: verb.allow_helper,
    })
}

/// Where cells are kept, and what they came to.
struct Folders {
    root: PathBuf,
    hashes: BTreeMap<String, String>,
    records: BTreeMap<String, Record>,
}

impl Folders {
    fn of(cells: &[Cell], root: &Path) -> Result<Self, Failure> {
        let program = std::fs::read(std::env::current_exe()?)?;
        let program = Sha256::digest(&program);
        let hash = |cell: &Cell| {
            let mut hash = Sha256::new();
            for part in [
                program.as_slice(),
                cell.plan.as_bytes(),
                cell.profile.as_bytes(),
            ] {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
            hex::encode(hash.finalize())
        };
        Ok(Self {
            root: root.to_owned(),
            hashes: cells
                .iter()
                .map(|cell| (cell.id.clone(), hash(cell)))
                .collect(),
            records: BTreeMap::new(),
        })
    }

    fn folder(&self, cell: &str) -> PathBuf {
        self.root.join(cell)
    }

    /// Reads what an earlier matrix did, as far as nothing has changed since. What was no verdict about the network is
    /// done again.
    fn take_up(&mut self) {
        for (cell, hash) in &self.hashes {
            let record: Option<Record> = read(&self.folder(cell).join(RECORD)).ok();
            let kept = record.filter(|record| {
                record.format == record::FORMAT
                    && record.hash == *hash
                    && record.outcome != Outcome::Infra
            });
            if let Some(record) = kept {
                self.records.insert(cell.clone(), record);
            }
        }
    }

    fn hash(&self, cell: &str) -> &str {
        self.hashes.get(cell).map_or("", String::as_str)
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    let bytes = std::fs::read(path).map_err(|error| {
        Failure::infra(format!("cannot read {}", path.display())).because(&error)
    })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Failure::infra(format!("{} is damaged", path.display())).because(&error))
}

fn dry_run(
    common: &Common,
    verb: &MatrixArguments,
    cells: &[Cell],
    folders: &Folders,
    not_done: &[NotDone],
) -> Result<ExitCode, Failure> {
    let left = |cell: &&Cell| !folders.records.contains_key(&cell.id);
    let total: Duration = cells.iter().filter(left).map(Cell::estimate).sum();
    let total = total / verb.jobs;
    if common.json {
        for cell in cells {
            print_json(&serde_json::json!({
                "cell": cell.id,
                "case": cell.case,
                "soak_seconds": cell.soak.as_secs(),
                "done": !left(&cell),
            }))?;
        }
        return Ok(Exit::Pass.into());
    }
    for cell in cells {
        let done = if left(&cell) { "" } else { "   done" };
        print_line(&format!(
            "{:<48} soak {:>8}{done}",
            cell.id,
            human(cell.soak)
        ))?;
    }
    for case in not_done {
        print_line(&format!("{:<48} not done: {}", case.what, case.why))?;
    }
    let count = cells.iter().filter(left).count();
    print_line(&format!(
        "{count} of {} cells to do, about {} at {} at a time",
        cells.len(),
        human(total),
        verb.jobs
    ))?;
    Ok(Exit::Pass.into())
}

/// How running the cells ended.
#[derive(Default)]
struct Ended {
    interrupt: Option<Interrupt>,
    failed: Vec<NotDone>,
}

/// Runs all cells that have no record yet.
async fn run_all(
    common: &Common,
    verb: &MatrixArguments,
    cells: &[Cell],
    folders: &mut Folders,
) -> Result<Ended, Failure> {
    let mut signals = Signals::install()?;
    let (tell_children, _) = watch::channel(None);
    let mut left: VecDeque<(usize, &Cell)> = cells
        .iter()
        .enumerate()
        .filter(|(_, cell)| !folders.records.contains_key(&cell.id))
        .collect();
    if left.len() < cells.len() && !common.json {
        let kept = cells.len() - left.len();
        print_line(&format!("{kept} of {} cells were done before", cells.len()))?;
    }
    let mut running = JoinSet::new();
    let mut ended = Ended::default();
    let mut in_a_row = 0;
    loop {
        let go_on = ended.interrupt.is_none() && in_a_row < FAILED_IN_A_ROW;
        while go_on
            && running.len() < verb.jobs as usize
            && let Some((place, cell)) = left.pop_front()
        {
            let child = match child::start(common, verb, cell, &folders.folder(&cell.id)) {
                Ok(child) => child,
                Err(failure) => {
                    let why = failure.render().trim().to_owned();
                    let what = cell.id.clone();
                    ended.failed.push(NotDone { what, why });
                    in_a_row += 1;
                    break;
                }
            };
            let patience = cell.estimate() + PATIENCE;
            let interrupts = tell_children.subscribe();
            running.spawn(async move { (place, child::wait(child, patience, interrupts).await) });
        }
        if running.is_empty() {
            if go_on && !left.is_empty() {
                continue;
            }
            break;
        }
        tokio::select! {
            interrupt = signals.next() => {
                ended.interrupt.get_or_insert(interrupt);
                tell_children.send_replace(Some(interrupt));
            }
            Some(joined) = running.join_next() => {
                let (place, status) = joined
                    .map_err(|error| Failure::infra("a cell was lost").because(&error))?;
                let cell = &cells[place];
                match keep(cell, folders, status) {
                    Ok(record) => {
                        in_a_row = 0;
                        let line = render::progress(cell, &record, place + 1, cells.len());
                        folders.records.insert(cell.id.clone(), record);
                        if !common.json {
                            print_line(&line)?;
                        }
                    }
                    // What was ended is no failure; it is done when the matrix goes on.
                    Err(_) if ended.interrupt.is_some() => {}
                    Err(why) => {
                        in_a_row += 1;
                        if !common.json {
                            print_line(&format!("{:>4}/{} {:<44} not done: {why}", place + 1, cells.len(), cell.id))?;
                        }
                        ended.failed.push(NotDone { what: cell.id.clone(), why });
                    }
                }
            }
        }
    }
    if in_a_row >= FAILED_IN_A_ROW && !left.is_empty() {
        ended.failed.push(NotDone {
            what: format!("{} further cells", left.len()),
            why: format!("{FAILED_IN_A_ROW} cells in a row could not be run"),
        });
    }
    Ok(ended)
}

/// Makes and writes the record of a soak that ended; the reason if it left nothing to judge.
fn keep(
    cell: &Cell,
    folders: &Folders,
    status: std::io::Result<ExitStatus>,
) -> Result<Record, String> {
    let folder = folders.folder(&cell.id);
    let code = status.map_err(|error| error.to_string())?.code();
    let verdict = [Exit::Pass, Exit::Fail, Exit::Infra, Exit::Inconclusive];
    if !verdict.iter().any(|exit| code == Some(*exit as i32)) {
        return Err(last_words(&folder, code));
    }
    let (directory, _) = StateFolder::open(Some(&folder.join(RUNS)))
        .and_then(|state| state.find("latest"))
        .map_err(|_| last_words(&folder, code))?;
    let record = record(cell, folders.hash(&cell.id), &directory)
        .map_err(|failure| format!("{}; {}", failure.render().trim(), last_words(&folder, code)))?;
    let text = serde_json::to_vec_pretty(&record).map_err(|error| error.to_string())?;
    RunDirectory::at(folder)
        .write(RECORD, &text)
        .map_err(|error| error.to_string())?;
    Ok(record)
}

fn record(cell: &Cell, hash: &str, directory: &RunDirectory) -> Result<Record, Failure> {
    let path = directory.path();
    let left = Left {
        plan: &read(&path.join("plan.json"))?,
        findings: &read(&path.join("findings.json"))?,
        verdict: &read(&path.join("verdict.json"))?,
    };
    Ok(Record::of(&cell.id, hash, path, left))
}

/// What a soak said last, and how it ended.
fn last_words(folder: &Path, code: Option<i32>) -> String {
    let path = folder.join("output.txt");
    let said = std::fs::read(&path).unwrap_or_default();
    let said = String::from_utf8_lossy(&said[said.len().saturating_sub(4_000)..]).into_owned();
    let last = said
        .lines()
        .rfind(|line| !line.trim().is_empty())
        .unwrap_or("it said nothing");
    let code = code.map_or_else(|| "a signal".to_owned(), |code| format!("exit {code}"));
    crate::journal::text::clean(
        &format!("{code}: {} ({})", last.trim(), path.display()),
        600,
    )
}

fn tell(
    common: &Common,
    verb: &MatrixArguments,
    matrix: &Matrix,
    root: &Path,
) -> Result<(), Failure> {
    let text = render::to_markdown(matrix);
    if let Some(output) = &verb.output {
        std::fs::write(output, &text).map_err(|error| {
            Failure::infra(format!("cannot write {}", output.display())).because(&error)
        })?;
    }
    // Beside the cells, so that the newest matrix is at hand without an option.
    if let Some(folder) = root.parent() {
        let directory = RunDirectory::at(folder.to_owned());
        let json = serde_json::to_vec_pretty(matrix)
            .map_err(|error| Failure::infra("cannot write JSON").because(&error))?;
        directory
            .write("matrix.md", text.as_bytes())
            .and_then(|()| directory.write("matrix.json", &json))
            .map_err(|error| Failure::infra("cannot keep the matrix").because(&error))?;
    }
    if common.json {
        print_json(matrix)?;
    } else {
        print(render::to_terminal(matrix, Look::of(&console::Term::stdout())).as_bytes())?;
    }
    Ok(())
}

/// The worst of all: a promise that is not kept, then what could not be run, then what is thin.
fn exit(matrix: &Matrix, interrupt: Option<Interrupt>, failed: bool) -> Exit {
    if let Some(interrupt) = interrupt {
        return interrupt.exit();
    }
    let any = |outcome| {
        matrix
            .promises
            .iter()
            .any(|promise| promise.outcome == outcome)
    };
    if any(Outcome::Fail) {
        Exit::Fail
    } else if failed || any(Outcome::Infra) {
        Exit::Infra
    } else if matrix.done < matrix.asked
        || !matrix.not_done.is_empty()
        || any(Outcome::Inconclusive)
    {
        Exit::Inconclusive
    } else {
        Exit::Pass
    }
}
