//! `gate`: a run's decision in a few lines, and what a run leaves where it runs in CI.

use std::{
    fs::OpenOptions,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use super::{
    Failure,
    arguments::{Common, GateArguments, OnInconclusive},
    judge::locate,
    print, print_json, print_line, retry,
};
use crate::{
    exit::Exit,
    journal::text::clean,
    report::{json::VerdictFile, terminal::outcome_word},
    run::Conclusion,
    verdict::Outcome,
};

/// Reasons printed.
const MOST_REASONS: usize = 12;

/// What CI keeps of a run: all but the raw logs and the journal, which may be gigabytes.
const ARTIFACTS: &[&str] = &[
    "plan.json",
    "verdict.json",
    "findings.json",
    "summary.json",
    "junit.xml",
    "report.md",
    "report.html",
    "evidence",
];

pub(super) fn gate(common: &Common, verb: &GateArguments) -> Result<ExitCode, Failure> {
    let run = locate(common, &verb.run)?;
    let mut verdict = verdict_of(&run);
    let infra = match &verdict {
        Ok(verdict) => verdict.outcome == Outcome::Infra,
        Err(_) => true,
    };
    if infra && verb.on_infra.retries > 0 {
        verdict = verdict_of(&retry::repeat(common, &run, verb.on_infra.retries)?);
    }
    let verdict = verdict?;
    // An interrupted run has a verdict, but its exit code says that it was not the whole of it.
    let exit = match (verdict.outcome, verb.on_inconclusive) {
        (Outcome::Pass, _) if verdict.exit_code != 0 => Exit::Inconclusive as u8,
        (Outcome::Pass, _) | (Outcome::Inconclusive, OnInconclusive::Warn) => Exit::Pass as u8,
        (Outcome::Fail, _) => Exit::Fail as u8,
        (Outcome::Infra, _) => Exit::Infra as u8,
        (Outcome::Inconclusive, OnInconclusive::Fail) => Exit::Inconclusive as u8,
    };
    let reasons = verdict.reasons.iter().take(MOST_REASONS);
    let lines: Vec<String> = reasons
        .map(|reason| {
            let word = outcome_word(reason.outcome).to_lowercase();
            format!("{word}: {}", clean(&reason.text, 400))
        })
        .collect();
    if common.json {
        return print_json(&serde_json::json!({
            "run": verdict.run,
            "outcome": verdict.outcome,
            "exit": exit,
            "reasons": lines,
        }))
        .map(|_| ExitCode::from(exit));
    }
    print_line(&format!(
        "{}  {}",
        outcome_word(verdict.outcome),
        verdict.run
    ))?;
    for line in lines {
        print_line(&format!("  {line}"))?;
    }
    if verdict.outcome == Outcome::Pass && exit != 0 {
        print_line("  the run was interrupted: this is not the whole of it")?;
    }
    Ok(ExitCode::from(exit))
}

fn verdict_of(run: &Path) -> Result<VerdictFile, Failure> {
    let path = run.join("verdict.json");
    let unreadable = |error: &dyn std::error::Error| {
        Failure::infra(format!(
            "{} cannot be read: no verdict, no decision",
            path.display()
        ))
        .because(error)
    };
    let bytes = std::fs::read(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure::infra(format!(
            "{} has no verdict: it goes on (`canarynet wait` ends with its decision), or it was ended by force \
             (`canarynet runs` tells)",
            run.display()
        )),
        _ => unreadable(&error),
    })?;
    serde_json::from_slice(&bytes).map_err(|error| unreadable(&error))
}

/// After a run: annotations and step summary where GitHub's variables are set, artifacts where they are asked for. What
/// cannot be written is told and changes no verdict.
pub(super) fn leave(
    conclusion: &Conclusion,
    artifacts: Option<&Path>,
    json: bool,
) -> Result<(), Failure> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if !json && set("GITHUB_ACTIONS").is_some_and(|value| value == "true") {
        print(conclusion.annotations.as_bytes())?;
    }
    let summary = set("GITHUB_STEP_SUMMARY").map(PathBuf::from);
    let told = summary.map(|path| append(&conclusion.directory.join("report.md"), &path));
    let kept = artifacts.map(|folder| collect(&conclusion.directory, folder));
    for (what, done) in [("the step summary", told), ("the artifacts", kept)] {
        if let Some(Err(error)) = done {
            let line = format!("{what} could not be written: {error}\n");
            let _ = std::io::stderr().lock().write_all(line.as_bytes());
        }
    }
    Ok(())
}

fn append(from: &Path, to: &Path) -> std::io::Result<()> {
    let text = std::fs::read(from)?;
    let mut file = OpenOptions::new().create(true).append(true).open(to)?;
    file.write_all(&text)?;
    file.write_all(b"\n")
}

fn collect(run: &Path, folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for name in ARTIFACTS {
        copy(&run.join(name), &folder.join(name))?;
    }
    Ok(())
}

/// Copies a file or a folder of files; what is not there is not missed, and links are not followed.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let Ok(kind) = std::fs::symlink_metadata(from).map(|found| found.file_type()) else {
        return Ok(());
    };
    if kind.is_file() {
        std::fs::copy(from, to)?;
    } else if kind.is_dir() {
        std::fs::create_dir_all(to)?;
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifacts_are_reports_and_evidence_and_no_logs() {
        let run = tempfile::tempdir().unwrap();
        let folder = tempfile::tempdir().unwrap();
        for name in ["evidence/st-1", "logs", "journal"] {
            std::fs::create_dir_all(run.path().join(name)).unwrap();
        }
        for name in [
            "report.html",
            "evidence/st-1/lines.txt",
            "logs/s0-n00.log",
            "journal/000001.jsonl",
        ] {
            std::fs::write(run.path().join(name), "x").unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", run.path().join("evidence/link")).unwrap();
        let to = folder.path().join("a/b");
        collect(run.path(), &to).unwrap();
        assert!(to.join("report.html").is_file() && to.join("evidence/st-1/lines.txt").is_file());
        for name in ["logs", "journal", "evidence/link"] {
            assert!(!to.join(name).exists(), "{name}");
        }
        let summary = folder.path().join("summary.md");
        std::fs::write(&summary, "before\n").unwrap();
        append(&run.path().join("report.html"), &summary).unwrap();
        assert_eq!(std::fs::read_to_string(&summary).unwrap(), "before\nx\n");
    }
}
