//! Cells: a case with a seed, as the plan and the profile of one soak.

use std::time::Duration;

use super::cases::{Case, DEFECTS, PAIRS, plan_text, profile_text};
use crate::fault::kinds::{KINDS, KindInfo, Need};

/// Stands for all cases of a healthy network; their ids begin with it.
pub const HEALTHY: &str = "healthy";
/// Longest soak of a healthy cell: what is broken by chance is met by many short ones sooner than by one long.
const LONGEST: u64 = 90;
/// Shortest: a fault, its heal and its recovery must fit.
const SHORTEST: u64 = 20;
/// What a cell takes beside its soak: launch, warm-up, settling, teardown. For estimates only.
const OVERHEAD: Duration = Duration::from_secs(15);

/// What is asked of a matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Seeds of each case with defects.
    pub seeds: u32,
    /// Healthy soak in all, divided over the healthy cells; none if zero.
    pub healthy_for: Duration,
    /// Only these cases; all if empty. `healthy` stands for all healthy ones.
    pub only: Vec<String>,
    /// Only what CI runs.
    pub reduced: bool,
    /// Whether cases whose faults need the privileged helper are run.
    pub helper: bool,
}

/// One soak of the matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Unique in the matrix, a folder's name: `fd-leak.3`.
    pub id: String,
    /// The case: a defect's id, a pair's, or that of a healthy network.
    pub case: String,
    /// No defect: every finding above `minor` that nothing excuses is a false alarm.
    pub healthy: bool,
    /// Its number among the seeds, from 1.
    pub seed: u32,
    /// Length of the soak.
    pub soak: Duration,
    /// The profile's text.
    pub profile: String,
    /// The plan's text.
    pub plan: String,
    /// Findings that must be there; `a|b` is either.
    pub expected: Vec<String>,
}

impl Cell {
    /// What it is expected to take, with launch and teardown.
    #[must_use]
    pub fn estimate(&self) -> Duration {
        self.soak + OVERHEAD
    }

    fn of(case: &Case, seed: u32) -> Self {
        Self {
            id: format!("{}.{seed}", case.id),
            case: case.id.to_owned(),
            healthy: false,
            seed,
            soak: Duration::from_secs(case.seconds),
            profile: case.profile_text(),
            plan: case.plan_text(Some(&seed_text(seed))),
            expected: case
                .expected
                .iter()
                .map(|&kinds| kinds.to_owned())
                .collect(),
        }
    }

    fn healthy(case: &Healthy, seed: u32, seconds: u64) -> Self {
        let id = case.id();
        let (disk, rest) = (case.disk(), case.plan(seed));
        Self {
            id: format!("{id}.{seed}"),
            profile: profile_text(&id, &[], &disk),
            plan: plan_text(Some(&seed_text(seed)), seconds, case.needs_helper(), &rest),
            case: id,
            healthy: true,
            seed,
            soak: Duration::from_secs(seconds),
            expected: Vec::new(),
        }
    }
}

fn seed_text(seed: u32) -> String {
    format!("matrix-{seed}")
}

/// A healthy network and what is done to it.
#[derive(Debug, Clone, Copy)]
enum Healthy {
    Quiet,
    Kind(&'static KindInfo),
    Chaos,
}

impl Healthy {
    fn all() -> Vec<Self> {
        let kinds = KINDS.iter().map(Self::Kind);
        [Self::Quiet, Self::Chaos]
            .into_iter()
            .chain(kinds)
            .collect()
    }

    fn id(&self) -> String {
        match self {
            Self::Quiet => format!("{HEALTHY}-quiet"),
            Self::Chaos => format!("{HEALTHY}-chaos"),
            Self::Kind(info) => format!("{HEALTHY}-{}", info.kind),
        }
    }

    fn needs(&self, need: Need) -> bool {
        matches!(self, Self::Kind(info) if info.needs.contains(&need))
    }

    fn needs_helper(&self) -> bool {
        self.needs(Need::Helper)
    }

    /// The disk that its fault needs.
    fn disk(&self) -> String {
        let kind = if self.needs(Need::FaultyDisk) {
            "faulty"
        } else if self.needs(Need::BlockDisk) {
            "ext4"
        } else {
            return String::new();
        };
        format!("[disk]\nkind = \"{kind}\"\n")
    }

    /// Faults one after the other, with time for the network to recover between them. What hits the leader is hardest
    /// to bear; every second seed takes any validator.
    fn plan(&self, seed: u32) -> String {
        // What the machine lacks is told, and is no failure of the judge.
        let skip = "on_missing = \"skip\"\n";
        match self {
            Self::Quiet => String::new(),
            Self::Kind(info) => {
                let target = if seed % 2 == 1 { "leader" } else { "one" };
                format!(
                    "{skip}[[fault]]\nkind = \"{}\"\ntarget = \"{target}\"\nevery = \"13s\"\nfor = \"4s\"\n",
                    info.kind
                )
            }
            Self::Chaos => {
                let weights: Vec<String> = KINDS
                    .iter()
                    .filter(|info| info.needs.is_empty() && info.kind != "upgrade")
                    .map(|info| format!("{} = 1", info.kind))
                    .collect();
                format!(
                    "{skip}[chaos]\ngap = \"4s..8s\"\nfor = \"2s..5s\"\nweights = {{ {} }}\n",
                    weights.join(", ")
                )
            }
        }
    }

    fn in_reduced(&self) -> bool {
        match self {
            Self::Quiet => true,
            Self::Kind(info) => info.kind == "kill",
            Self::Chaos => false,
        }
    }
}

/// Ids of all cases, and the word for all healthy ones.
#[must_use]
pub fn case_ids() -> Vec<String> {
    let mut ids = vec![HEALTHY.to_owned()];
    ids.extend(DEFECTS.iter().chain(PAIRS).map(|case| case.id.to_owned()));
    ids.extend(Healthy::all().iter().map(Healthy::id));
    ids
}

/// A case that the options rule out, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NotDone {
    /// The case, or the cell.
    pub what: String,
    /// Why not.
    pub why: String,
}

/// The cells of a matrix in the order in which they are run: the first seed of everything, then the second. What is
/// ended early has seen all cases a few times, and not a few cases often.
#[must_use]
pub fn cells(request: &Request) -> (Vec<Cell>, Vec<NotDone>) {
    let mut not_done = Vec::new();
    let mut permitted = |id: &str, helper: bool| {
        let permitted = request.helper || !helper;
        if !permitted {
            not_done.push(NotDone {
                what: id.to_owned(),
                why: "needs --allow-helper".to_owned(),
            });
        }
        permitted
    };
    let cases: Vec<&Case> = DEFECTS
        .iter()
        .chain(PAIRS)
        .filter(|case| wanted(request, case.id) && (case.always || !request.reduced))
        .filter(|case| permitted(case.id, case.helper))
        .collect();
    let healthy: Vec<Healthy> = Healthy::all()
        .into_iter()
        .filter(|_| !request.healthy_for.is_zero())
        .filter(|case| wanted(request, &case.id()) || wanted_by_name(request, HEALTHY))
        .filter(|case| case.in_reduced() || !request.reduced)
        .filter(|case| permitted(&case.id(), case.needs_helper()))
        .collect();
    let (rounds, seconds) = division(request.healthy_for, healthy.len());
    let mut cells = Vec::new();
    for seed in 1..=request.seeds.max(rounds) {
        if seed <= request.seeds {
            cells.extend(cases.iter().map(|case| Cell::of(case, seed)));
        }
        if seed <= rounds {
            cells.extend(
                healthy
                    .iter()
                    .map(|case| Cell::healthy(case, seed, seconds)),
            );
        }
    }
    (cells, not_done)
}

fn wanted(request: &Request, id: &str) -> bool {
    request.only.is_empty() || wanted_by_name(request, id)
}

fn wanted_by_name(request: &Request, id: &str) -> bool {
    request.only.iter().any(|only| only == id)
}

/// How often each healthy case is run, and how many seconds each time, so that all together are as long as asked for.
fn division(total: Duration, cases: usize) -> (u32, u64) {
    let cases = u64::try_from(cases).unwrap_or(u64::MAX);
    if cases == 0 || total.is_zero() {
        return (0, 0);
    }
    let total = total.as_secs().max(1);
    let rounds = total.div_ceil(cases * LONGEST).max(1);
    // A second more: the soak ends at a tick, and a promise of an hour is not kept by a second less.
    let seconds = total.div_ceil(cases * rounds).max(SHORTEST) + 1;
    (u32::try_from(rounds).unwrap_or(u32::MAX), seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plan::{PlanRequest, check::check, load},
        reference_node::defects::Defect,
    };

    fn everything() -> Request {
        Request {
            seeds: 5,
            healthy_for: Duration::from_secs(3600),
            only: Vec::new(),
            reduced: false,
            helper: true,
        }
    }

    #[test]
    fn every_defect_has_a_case() {
        let ids: Vec<&str> = DEFECTS.iter().map(|case| case.id).collect();
        assert_eq!(ids, Defect::ids());
    }

    #[test]
    fn every_cell_is_a_plan_that_works() {
        let folder = tempfile::tempdir().unwrap();
        let mut request = everything();
        request.seeds = 1;
        let (cells, not_done) = cells(&request);
        assert_eq!(not_done, Vec::new());
        for cell in cells.iter().filter(|cell| cell.seed <= 2) {
            std::fs::write(folder.path().join("profile.toml"), &cell.profile).unwrap();
            let path = folder.path().join("cell.toml");
            std::fs::write(&path, &cell.plan).unwrap();
            let plan = load(&PlanRequest {
                plan: path.display().to_string(),
                date: "2026-11-22".to_owned(),
                ..PlanRequest::default()
            })
            .unwrap_or_else(|error| panic!("{}: {error}: {:?}", cell.id, cell.plan));
            assert_eq!(check(&plan).refusals, Vec::<String>::new(), "{}", cell.id);
            assert_eq!(plan.soak.map(|soak| soak.0), Some(cell.soak), "{}", cell.id);
            assert!(cell.soak <= Duration::from_secs(LONGEST + 1), "{}", cell.id);
            let faults = cell.plan.contains("[[fault]]") || cell.plan.contains("[chaos]");
            assert_eq!(!plan.schedule.is_empty(), faults, "{}", cell.id);
        }
    }

    #[test]
    fn healthy_time_is_divided_over_every_kind_of_fault() {
        let (all, _) = cells(&everything());
        let healthy: Vec<&Cell> = all.iter().filter(|cell| cell.healthy).collect();
        let total: Duration = healthy.iter().map(|cell| cell.soak).sum();
        assert!(total >= Duration::from_secs(3600), "{total:?}");
        assert!(total < Duration::from_secs(3900), "{total:?}");
        for info in KINDS {
            let id = format!("healthy-{}", info.kind);
            assert!(healthy.iter().any(|cell| cell.case == id), "{id}");
        }
        let mut ids: Vec<&str> = all.iter().map(|cell| cell.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all.len());
        let of_defects = all.iter().filter(|cell| !cell.healthy).count();
        assert_eq!(of_defects, 5 * (DEFECTS.len() + PAIRS.len()));
    }

    #[test]
    fn what_is_asked_for_is_what_is_run() {
        let only = |only: &[&str], helper| {
            let request = Request {
                only: only.iter().map(|&id| id.to_owned()).collect(),
                helper,
                seeds: 2,
                healthy_for: Duration::from_secs(60),
                ..everything()
            };
            let (cells, not_done) = cells(&request);
            let ids: Vec<String> = cells.into_iter().map(|cell| cell.id).collect();
            (ids, not_done)
        };
        assert_eq!(only(&["fd-leak"], false).0, ["fd-leak.1", "fd-leak.2"]);
        assert_eq!(only(&["healthy-kill"], false).0, ["healthy-kill.1"]);
        assert!(only(&["healthy"], true).0.len() > KINDS.len());
        let (ids, not_done) = only(&["no-message-retry"], false);
        assert!(ids.is_empty() && not_done[0].why.contains("--allow-helper"));

        let reduced = Request {
            reduced: true,
            seeds: 1,
            healthy_for: Duration::from_secs(40),
            ..everything()
        };
        let reduced = cells(&reduced).0;
        assert!(reduced.len() < 8 && reduced.iter().any(|cell| cell.healthy));
        let none = Request {
            healthy_for: Duration::ZERO,
            ..everything()
        };
        assert!(cells(&none).0.iter().all(|cell| !cell.healthy));
    }
}
