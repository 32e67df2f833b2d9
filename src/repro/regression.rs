//! A case that is kept: a plan and its profile as texts, which any later build can be held against.

use std::path::{Path, PathBuf};

use super::Sought;
use crate::{
    journal::text::clean,
    plan::{Plan, Recorded, faults::PlannedFault},
};

/// Folder of the kept cases, in the current directory.
pub const FOLDER: &str = "soak/regressions";

/// A case that could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// A parameter that `[[fault]]` has no place for.
    #[error("fault {0} has a parameter that a fault of a plan cannot be given")]
    Parameter(String),
    /// Not as TOML.
    #[error("the plan cannot be written as TOML")]
    Encode(#[from] toml::ser::Error),
    /// Input or output.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// Writes a plan with its whole schedule, and its profile beside it; answers the plan's path.
///
/// # Errors
/// When it cannot be written.
pub fn keep(
    folder: &Path,
    name: &str,
    layers: &Recorded,
    plan: &Plan,
    sought: &Sought,
    notes: &[String],
) -> Result<PathBuf, KeepError> {
    // In `[[fault]]` these are the fault's own, whatever its kind's parameters are called.
    let hidden = |fault: &&PlannedFault| {
        ["every", "jitter"]
            .iter()
            .any(|key| fault.parameters.get(key).is_some())
    };
    if let Some(fault) = plan.schedule.iter().find(hidden) {
        return Err(KeepError::Parameter(fault.id.clone()));
    }
    let name = super::file_name(name, 60);
    let explicit = layers
        .with_schedule(&plan.schedule, plan.drill.as_ref())?
        .beginning(plan.begun());
    let texts = explicit.texts(&format!("./{name}.profile.toml"))?;
    let mut head = format!(
        "# {}, found in {} with seed {}; every fault of its schedule is written out.\n",
        clean(&sought.fingerprint, 100),
        clean(&plan.name, 60),
        clean(&plan.seed, 100)
    );
    for note in notes {
        head.push_str(&format!("# {}\n", clean(note, 300)));
    }
    std::fs::create_dir_all(folder).map_err(|source| KeepError::Write {
        path: folder.to_owned(),
        source,
    })?;
    let path = folder.join(format!("{name}.toml"));
    let profile = folder.join(format!("{name}.profile.toml"));
    for (path, text) in [
        (&profile, texts.profile),
        (&path, format!("{head}\n{}", texts.plan)),
    ] {
        std::fs::write(path, text).map_err(|source| KeepError::Write {
            path: path.clone(),
            source,
        })?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{detect::Severity, plan::PlanRequest};

    #[test]
    fn what_is_kept_is_a_plan_with_the_same_schedule() {
        let folder = tempfile::tempdir().unwrap();
        let mut request = PlanRequest {
            plan: "nightly".to_owned(),
            date: "2026-11-26".to_owned(),
            ..PlanRequest::default()
        };
        let layers = Recorded::of(&crate::plan::load::sources(&request).unwrap());
        let plan = layers.resolve().unwrap();
        let sought = Sought {
            fingerprint: "stall shard 0\n[gate]".to_owned(),
            severity: Severity::Critical,
        };
        let path = keep(folder.path(), "st/1f3a", &layers, &plan, &sought, &[]).unwrap();
        assert!(path.ends_with("st-1f3a.toml"));
        request.plan = path.display().to_string();
        let again = crate::plan::load(&request).unwrap();
        assert_eq!(again.schedule.len(), plan.schedule.len());
        assert_eq!(again.network, plan.network);
        assert_eq!(again.thresholds, plan.thresholds);
        let times = |plan: &Plan| -> Vec<_> {
            let times = plan.schedule.iter();
            times
                .map(|fault| (fault.trigger.clone(), fault.seed, fault.target.clone()))
                .collect()
        };
        assert_eq!(times(&again), times(&plan));
    }
}
