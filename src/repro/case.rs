//! What is repeated: a run's directory, or a bundle unpacked into one.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::Sought;
use crate::{
    bundle::RUNG,
    detect::{
        Finding,
        judgement::{FaultView, StageStart},
    },
    engine::{Docker, EngineError},
    plan::{Begun, Plan, Program, Recorded, Start, check, whole},
    report::{
        Standing,
        json::{FindingsFile, ToldFinding},
        text::count,
    },
    run::{
        directory::RunDirectory,
        machine::{Machine, NodeImage},
        snapshots,
    },
    snapshot::{SnapshotError, SnapshotFolder, Stored},
};

/// Folder of unpacked bundles in the folder of runs; no plan's folder begins with a dot.
pub const BUNDLES: &str = ".bundles";

/// Longest JSON file of a run directory that is read whole.
const LONGEST: u64 = 256 << 20;

/// A run that cannot be repeated.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// A file of it that cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A file that this version does not understand.
    #[error("{} cannot be understood", path.display())]
    Understand {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Its plan asks for what it may not have.
    #[error("its plan cannot be run: {0}")]
    Refused(String),
    /// No such finding.
    #[error("{text}; it has: {known}")]
    Finding {
        /// What is wrong.
        text: String,
        /// What there is.
        known: String,
    },
    /// The engine.
    #[error("the container engine could not be asked for the recorded image")]
    Engine(#[from] EngineError),
    /// The snapshot that it began from, or the rung that it carries.
    #[error("the snapshot that it is to begin from cannot be used")]
    Snapshot(#[from] SnapshotError),
    /// The recorded build is nowhere.
    #[error("the recorded build is not here: {0}")]
    Build(String),
}

/// A run to be repeated.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its directory.
    pub directory: PathBuf,
    /// The plan as it was resolved, schedule and all.
    pub plan: Plan,
    /// What it was made from; `None` where an older version made it.
    pub layers: Option<Recorded>,
    /// The machine and the image; `None` where an older version made it.
    pub machine: Option<Machine>,
    /// Its findings.
    pub findings: Vec<ToldFinding>,
    /// It came in a bundle: nothing in it may name a file of this machine.
    pub foreign: bool,
}

/// Reads one JSON file of bounded length.
fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, CaseError> {
    let failed = |source| CaseError::Read {
        path: path.to_owned(),
        source,
    };
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > LONGEST {
        let source = std::io::Error::other(format!("{length} bytes, more than {LONGEST}"));
        return Err(failed(source));
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    serde_json::from_slice(&bytes).map_err(|source| CaseError::Understand {
        path: path.to_owned(),
        source,
    })
}

/// Reads a resolved plan and checks it as one that was typed.
///
/// # Errors
/// When it cannot be read or cannot work.
pub fn read_plan(path: &Path) -> Result<Plan, CaseError> {
    let plan: Plan = read(path)?;
    whole::check(&plan).map_err(CaseError::Refused)?;
    let refusals = check::check(&plan).refusals;
    if refusals.is_empty() {
        Ok(plan)
    } else {
        Err(CaseError::Refused(refusals.join("; ")))
    }
}

/// The findings of a run that has ended.
///
/// # Errors
/// When they cannot be read.
pub fn read_findings(directory: &Path) -> Result<Vec<ToldFinding>, CaseError> {
    let file: FindingsFile = read(&directory.join("findings.json"))?;
    Ok(file.findings)
}

/// What became of a run's faults, by its findings file.
///
/// # Errors
/// When it cannot be read.
pub fn read_faults(directory: &Path) -> Result<Vec<FaultView>, CaseError> {
    let file: FindingsFile = read(&directory.join("findings.json"))?;
    Ok(file.faults)
}

/// When the stages of a run that has ended began.
///
/// # Errors
/// When its verdict cannot be read.
pub fn read_stages(directory: &Path) -> Result<Vec<StageStart>, CaseError> {
    /// The one part of `verdict.json` that is of interest.
    #[derive(serde::Deserialize)]
    struct Stages {
        stages: Vec<StageStart>,
    }
    let file: Stages = read(&directory.join("verdict.json"))?;
    Ok(file.stages)
}

/// Blocks that a run that has ended saw in its soak.
///
/// # Errors
/// When its verdict cannot be read.
pub fn read_blocks(directory: &Path) -> Result<u64, CaseError> {
    /// The one part of `verdict.json` that is of interest.
    #[derive(serde::Deserialize)]
    struct Verdict {
        coverage: Coverage,
    }
    #[derive(serde::Deserialize)]
    struct Coverage {
        blocks: u64,
    }
    let file: Verdict = read(&directory.join("verdict.json"))?;
    Ok(file.coverage.blocks)
}

impl Case {
    /// Reads a run's directory.
    ///
    /// # Errors
    /// When plan or findings cannot be read.
    pub fn open(directory: &Path, foreign: bool) -> Result<Self, CaseError> {
        let layers = directory.join("layers.json");
        let layers = if layers.is_file() {
            Some(read(&layers)?)
        } else {
            None
        };
        let plan = read_plan(&directory.join("plan.json"))?;
        // By name or lineage it would be a snapshot of this machine, which is none of a stranger's.
        if foreign && matches!(plan.start, Start::Named(_) | Start::Lineage(_)) {
            return Err(CaseError::Refused(
                "it begins from a snapshot that the bundle does not carry".to_owned(),
            ));
        }
        Ok(Self {
            plan,
            layers,
            machine: Machine::read(&RunDirectory::at(directory.to_owned())),
            findings: read_findings(directory)?,
            directory: directory.to_owned(),
            foreign,
        })
    }

    /// The finding that is meant: by id or a prefix of it, by kind, by fingerprint; without a text the worst that failed
    /// the gate.
    ///
    /// # Errors
    /// When there is none, or several are meant.
    pub fn finding(&self, text: Option<&str>) -> Result<&ToldFinding, CaseError> {
        let unknown = |text: String| {
            let mut known: Vec<String> = self
                .findings
                .iter()
                .take(20)
                .map(|told| format!("{} ({})", told.finding.id, told.finding.fingerprint()))
                .collect();
            if known.is_empty() {
                known.push("no finding".to_owned());
            }
            CaseError::Finding {
                text,
                known: known.join(", "),
            }
        };
        let Some(text) = text else {
            let failing = self
                .findings
                .iter()
                .filter(|told| told.standing == Standing::Fails);
            // Of equally bad ones the first: what follows may follow from it.
            return failing
                .rev()
                .max_by_key(|told| told.finding.severity)
                .ok_or_else(|| unknown("nothing in it failed the gate".to_owned()));
        };
        let exact = |told: &&ToldFinding| {
            told.finding.id == text
                || told.finding.kind == text
                || told.finding.fingerprint() == text
        };
        if let Some(found) = self.findings.iter().find(exact) {
            return Ok(found);
        }
        let mut starting = self
            .findings
            .iter()
            .filter(|told| told.finding.id.starts_with(text));
        match (starting.next(), starting.next()) {
            (Some(found), None) => Ok(found),
            (None, _) => Err(unknown(format!("{text:?} is no finding of this run"))),
            (Some(_), Some(_)) => Err(unknown(format!("{text:?} are several findings"))),
        }
    }

    /// The plan from the last rung before a finding on, that the run made or began from; with the rung's name and height.
    /// `None` where it is to be done from its beginning.
    ///
    /// # Errors
    /// When the snapshot that the run began from is not here, or the rung does not fit.
    pub fn from_rung(
        &self,
        finding: &Finding,
        folder: &SnapshotFolder,
    ) -> Result<Option<(Plan, String)>, CaseError> {
        let made = snapshots::made(&RunDirectory::at(self.directory.clone()));
        let lost = |begun: &Begun| CaseError::Snapshot(SnapshotError::NotFound(begun.name.clone()));
        let Some(rung) = snapshots::before(&made, finding.start) else {
            return self
                .plan
                .begun()
                .filter(|_| self.foreign)
                .map_or(Ok(None), |begun| Err(lost(begun)));
        };
        let carried = self.directory.join(RUNG);
        // A snapshot of this machine may have the same name and be another one: what is foreign brings its own.
        let stored = if self.foreign || carried.is_dir() {
            Stored::read(&carried)
        } else {
            folder.find(&rung.name)
        };
        let stored = stored.ok().filter(|stored| {
            let first = self.plan.begun().filter(|begun| begun.name == rung.name);
            stored.manifest.name == rung.name
                && first.is_none_or(|begun| begun.identity == stored.identity)
        });
        let Some(stored) = stored else {
            // Without it the run is done from its beginning, unless that is a snapshot, too.
            return self.plan.begun().map_or(Ok(None), |begun| Err(lost(begun)));
        };
        stored.manifest.fits(&self.plan)?;
        let soaked = rung.soaked.map_or(Duration::ZERO, |soaked| soaked.0);
        let told = format!("from rung {} at height {}", rung.name, count(rung.height.0));
        let plan = self.plan.clone().from_rung(stored.begun(), soaked);
        Ok(Some((plan, told)))
    }

    /// What to look for.
    ///
    /// # Errors
    /// As [`Self::finding`].
    pub fn sought(&self, text: Option<&str>) -> Result<Sought, CaseError> {
        Ok(Sought::of(&self.finding(text)?.finding))
    }

    /// The program that the recorded nodes ran, as this engine can run it, and what a person should know of it.
    ///
    /// # Errors
    /// When it is nowhere, and nothing may stand in for it.
    pub async fn recorded_program(
        &self,
        docker: &Docker,
    ) -> Result<(Program, Option<String>), CaseError> {
        if let Some(machine) = &self.machine
            && holds(docker, &machine.image).await?
        {
            return Ok((Program::Image(machine.image.reference.clone()), None));
        }
        match &self.plan.network.program {
            Program::Itself => {
                let note = format!(
                    "the recorded image is not here; the reference node of this canarynet {} stands in for it",
                    env!("CARGO_PKG_VERSION")
                );
                Ok((Program::Itself, Some(note)))
            }
            Program::Image(image) => {
                let note = self.machine.as_ref().map(|_| {
                    format!(
                        "{image} is not the image that was recorded, or not here: its digest differs"
                    )
                });
                Ok((Program::Image(image.clone()), note))
            }
            Program::Binary(path) if !self.foreign && path.is_file() => {
                let note = format!(
                    "the recorded image is not here; {} as it is now stands in for it",
                    path.display()
                );
                Ok((Program::Binary(path.clone()), Some(note)))
            }
            Program::Binary(path) => {
                let name = path
                    .file_name()
                    .unwrap_or(path.as_os_str())
                    .to_string_lossy();
                Err(CaseError::Build(format!(
                    "{name} was packed on another machine; take a bundle made with --images"
                )))
            }
        }
    }

    /// Puts the builds that nodes of the plan's other versions ran into a plan; answers what a person should know of
    /// those that this engine does not have.
    ///
    /// # Errors
    /// When the engine cannot be asked.
    pub async fn put_recorded_versions(
        &self,
        docker: &Docker,
        plan: &mut Plan,
    ) -> Result<Vec<String>, CaseError> {
        let mut notes = Vec::new();
        let Some(machine) = &self.machine else {
            return Ok(notes);
        };
        for version in &mut plan.network.versions {
            let recorded = machine.versions.get(&version.name);
            let (Some(image), Some(program)) = (recorded, &mut version.program) else {
                continue;
            };
            if holds(docker, image).await? {
                *program = Program::Image(image.reference.clone());
            } else {
                notes.push(format!(
                    "the recorded build of version {} is not here; what its plan names now stands in for it",
                    version.name
                ));
            }
        }
        Ok(notes)
    }
}

/// Whether the engine has just this image.
async fn holds(docker: &Docker, image: &NodeImage) -> Result<bool, EngineError> {
    let found = docker.image(&image.reference).await?;
    Ok(
        found
            .is_some_and(|facts| facts.id == image.digest || facts.digests.contains(&image.digest)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        detect::{Severity, finding::Finding},
        ids::ShardId,
        time::Elapsed,
    };

    fn told(id: &str, kind: &str, severity: Severity, standing: Standing) -> ToldFinding {
        let finding = Finding {
            id: id.to_owned(),
            kind: kind.to_owned(),
            severity,
            shard: Some(ShardId(0)),
            nodes: Vec::new(),
            start: Elapsed::default(),
            noticed: Elapsed::default(),
            end: None,
            heights: None,
            duration: std::time::Duration::ZERO,
            mainnet: std::time::Duration::ZERO,
            summary: String::new(),
            evidence: Vec::new(),
            excused_by: None,
            waived: None,
            causes: Vec::new(),
            chain: Vec::new(),
            raised: None,
        };
        ToldFinding {
            standing,
            fingerprint: finding.fingerprint(),
            finding,
            recovered_by: None,
        }
    }

    fn case() -> Case {
        let plan = crate::plan::load(&crate::plan::PlanRequest {
            plan: "smoke".to_owned(),
            ..crate::plan::PlanRequest::default()
        });
        Case {
            directory: PathBuf::new(),
            plan: plan.unwrap(),
            layers: None,
            machine: None,
            findings: vec![
                told("lo-1111", "low-signers", Severity::Major, Standing::Fails),
                told("st-1f3a", "stall", Severity::Critical, Standing::Fails),
                told(
                    "nr-2222",
                    "no-recovery",
                    Severity::Critical,
                    Standing::Fails,
                ),
                told("st-1f00", "stall", Severity::Critical, Standing::Excused),
            ],
            foreign: false,
        }
    }

    #[test]
    fn a_plan_that_was_resolved_is_checked_like_one_that_was_typed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.json");
        let write = |plan: &Plan| std::fs::write(&path, serde_json::to_vec(plan).unwrap()).unwrap();
        let mut plan = case().plan;
        write(&plan);
        assert_eq!(read_plan(&path).unwrap(), plan);
        plan.network.limits.memory = 0;
        write(&plan);
        let error = read_plan(&path).unwrap_err().to_string();
        assert!(error.contains("network.limits.memory"), "{error}");
    }

    #[test]
    fn findings_are_meant_by_id_kind_and_fingerprint() {
        let case = case();
        let id = |text| case.finding(text).unwrap().finding.id.clone();
        assert_eq!(id(None), "st-1f3a", "the first of the worst");
        assert_eq!(id(Some("nr")), "nr-2222");
        assert_eq!(id(Some("no-recovery")), "nr-2222");
        assert_eq!(id(Some("low-signers shard 0")), "lo-1111");
        assert!(case.finding(Some("st-1f")).is_err(), "several");
        let error = case.finding(Some("fork")).unwrap_err().to_string();
        assert!(error.contains("st-1f3a (stall shard 0)"), "{error}");
    }

    #[test]
    fn only_as_bad_and_unexcused_is_the_same() {
        let case = case();
        let sought = case.sought(None).unwrap();
        assert!(sought.is(&case.findings[1].finding));
        assert!(!sought.is(&case.findings[2].finding));
        let mut other = case.findings[1].finding.clone();
        other.severity = Severity::Minor;
        assert!(!sought.is(&other));
        other.severity = Severity::Critical;
        other.excused_by = Some("f1-kill".to_owned());
        assert!(!sought.is(&other));
    }
}
