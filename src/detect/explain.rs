//! What a finding means, from the documentation of its detector: one text for those who read code and those who are
//! paged.

use serde::Serialize;

use super::{
    causes::signatures::families_of,
    detector::{DETECTORS, DetectorInfo},
};

/// A detector's documentation, by its four headings; a paragraph is one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The finding's id.
    pub id: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Heading and text, in order.
    pub sections: Vec<(String, String)>,
    /// Commands that show more, with `NODE` and `RUN` to fill in.
    pub look: &'static [&'static str],
    /// Families of bugs that show themselves so.
    pub families: Vec<FamilyLine>,
}

/// A family of bugs, as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FamilyLine {
    /// Its id.
    pub id: &'static str,
    /// One line.
    pub title: &'static str,
    /// Where it was met before.
    pub met: &'static str,
    /// What to look at first.
    pub look: &'static str,
}

/// Explains a finding; `None` for an id without a detector.
#[must_use]
pub fn explain(id: &str) -> Option<Explanation> {
    let info = DETECTORS.iter().find(|info| info.id == id)?;
    Some(Explanation {
        id: info.id,
        summary: info.summary,
        sections: sections(info),
        look: look(info.id),
        families: families_of(info.id)
            .map(|family| FamilyLine {
                id: family.id,
                title: family.title,
                met: family.met,
                look: family.look,
            })
            .collect(),
    })
}

/// The sections of the module's documentation.
fn sections(info: &DetectorInfo) -> Vec<(String, String)> {
    let mut sections: Vec<(String, String)> = Vec::new();
    let header = info
        .source
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(str::trim);
    for line in header {
        if let Some(heading) = line.strip_prefix("# ") {
            sections.push((heading.to_owned(), String::new()));
        } else if let Some((_, text)) = sections.last_mut()
            && !line.is_empty()
        {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(line);
        }
    }
    sections
}

/// First commands, by what the finding is about.
fn look(id: &str) -> &'static [&'static str] {
    const STORAGE: &[&str] = &[
        "canarynet report RUN --format markdown        disks of all nodes, faults in force",
        "canarynet logs NODE --run RUN                 the first write that failed",
        "canarynet rpc NODE hmyv2_latestHeader         does memory agree with the others?",
    ];
    const CONSENSUS: &[&str] = &[
        "canarynet status RUN                          height, view and leader of each shard",
        "canarynet logs NODE --run RUN --height A..B   what the leader said at the height that waits",
        "canarynet rpc NODE hmyv2_getNodeMetadata      mode and view of a node",
    ];
    const PROCESS: &[&str] = &[
        "canarynet logs NODE --run RUN --tail 50       its last words",
        "canarynet runs show RUN                       state and exit of each node",
    ];
    const CANARY: &[&str] = &[
        "canarynet doctor                              what this machine can do",
        "canarynet report RUN --format markdown        the canary's own cost and what it could not see",
    ];
    const RESOURCES: &[&str] = &[
        "canarynet report RUN --format markdown        slopes with their intervals, per node",
        "canarynet compare RUN BASELINE                was it so before?",
    ];
    match id {
        "oom-kill" | "crash" | "crash-loop" | "hung" => PROCESS,
        "blind" | "log-lines-lost" | "fault-ineffective" | "canary-overloaded" => CANARY,
        "memory-growth" | "fd-growth" | "disk-growth" | "cpu-creep" | "log-flood"
        | "block-time-creep" => RESOURCES,
        _ if id.starts_with("disk") || id.starts_with("inodes") => STORAGE,
        "ghost-bytes" | "db-corruption" | "slow-fsync" | "unsynced-data" => STORAGE,
        _ => CONSENSUS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_detector_explains_itself_under_the_four_headings() {
        for info in DETECTORS {
            let explanation = explain(info.id).unwrap();
            let headings: Vec<&str> = explanation
                .sections
                .iter()
                .map(|(heading, _)| heading.as_str())
                .collect();
            assert_eq!(
                headings,
                [
                    "What it reports",
                    "Why it matters",
                    "Evidence",
                    "When it stays quiet"
                ],
                "{}",
                info.id
            );
            for (heading, text) in &explanation.sections {
                let first = text.chars().next();
                assert!(
                    first.is_some_and(|letter| letter.is_uppercase() || "\"`".contains(letter))
                        && text.ends_with(['.', ')']),
                    "{}: {heading}: {text}",
                    info.id
                );
            }
            assert!(!explanation.look.is_empty());
        }
        assert_eq!(explain("no-such"), None);
    }
}
