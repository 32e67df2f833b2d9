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
    check(&plan.schedule)?;
    let explicit = layers
        .with_schedule(&plan.schedule, plan.drill.as_ref())?
        .beginning(plan.begun());
    let mut head = vec![format!(
        "{}, found in {} with seed {}; every fault of its schedule is written out.",
        clean(&sought.fingerprint, 100),
        clean(&plan.name, 60),
        clean(&plan.seed, 100)
    )];
    head.extend(notes.iter().cloned());
    let path = folder.join(format!("{}.toml", super::file_name(name, 60)));
    write(&path, &explicit, &head)?;
    Ok(path)
}

/// Whether every fault can be written as `[[fault]]`.
///
/// # Errors
/// The first that cannot.
pub fn check(schedule: &[PlannedFault]) -> Result<(), KeepError> {
    // In `[[fault]]` these are the fault's own, whatever its kind's parameters are called.
    let hidden = |fault: &&PlannedFault| {
        ["every", "jitter"]
            .iter()
            .any(|key| fault.parameters.get(key).is_some())
    };
    match schedule.iter().find(hidden) {
        Some(fault) => Err(KeepError::Parameter(fault.id.clone())),
        None => Ok(()),
    }
}

/// Writes a plan with these comments above it, and its profile beside it: `NAME.toml` and `NAME.profile.toml`.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, layers: &Recorded, head: &[String]) -> Result<(), KeepError> {
    let profile = path.with_extension("profile.toml");
    let name = profile.file_name().unwrap_or_default().to_string_lossy();
    let texts = layers.texts(&format!("./{name}"))?;
    let mut text: String = head
        .iter()
        .map(|line| format!("# {}\n", clean(line, 300)))
        .collect();
    text.push('\n');
    text.push_str(&texts.plan);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| KeepError::Write { path, source }
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed(folder))?;
    }
    for (path, text) in [(&*profile, texts.profile), (path, text)] {
        std::fs::write(path, text).map_err(failed(path))?;
    }
    Ok(())
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
