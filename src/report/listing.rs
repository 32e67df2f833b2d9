//! The tables of `canarynet runs` and `canarynet doctor`. The rows serialise as they are for `--json`.

use std::time::Duration;

use serde::Serialize;

use super::{
    look::{Look, Tone},
    table::{Cell, Table},
    text::plain,
};
use crate::{
    ids::RunId,
    time::{WallTime, human, micros},
};

/// One run, as `canarynet runs` lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunRow {
    /// Its id.
    pub run: RunId,
    /// The soak plan's name.
    pub plan: String,
    /// Where it stands.
    pub state: RunState,
    /// The verdict's word (`pass`, `fail`, `infra`, `inconclusive`), once there is one.
    pub outcome: Option<String>,
    /// When it started.
    pub started: Option<WallTime>,
    /// How long it ran, or runs.
    #[serde(with = "micros")]
    pub duration: Duration,
    /// Mainnet time of its blocks.
    #[serde(with = "micros")]
    pub mainnet: Duration,
    /// Findings in short: `1 critical, 2 minor`.
    pub findings: String,
    /// Containers, networks and volumes that it still has in the engine.
    pub objects: u64,
    /// Its directory, if it was found.
    pub directory: Option<String>,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// Its owner lives and holds its lock.
    Running,
    /// It has objects in the engine and nobody owns it.
    Ownerless,
    /// It ended in order; objects that it still has were kept on purpose.
    Ended,
    /// Its owner ended before the verdict; nothing of it is left in the engine.
    Broken,
}

impl RunState {
    /// The word shown, and how it looks.
    fn cell(self) -> Cell {
        match self {
            Self::Running => Cell::toned(Tone::Good, "running"),
            Self::Ownerless => Cell::toned(Tone::Warning, "ownerless"),
            Self::Ended => "ended".into(),
            Self::Broken => Cell::toned(Tone::Bad, "broken"),
        }
    }
}

/// How an outcome's word looks.
pub(super) fn outcome_tone(word: &str) -> Tone {
    match word.to_ascii_lowercase().as_str() {
        "pass" => Tone::Good,
        "fail" => Tone::Bad,
        _ => Tone::Warning,
    }
}

/// The table of runs, newest as the caller ordered them.
#[must_use]
pub fn runs(rows: &[RunRow], look: Look) -> String {
    if rows.is_empty() {
        return "no runs\n".to_owned();
    }
    let mut table = Table::new(&[
        "run",
        "plan",
        "state",
        "verdict",
        "started (UTC)",
        ">wall",
        ">mainnet",
        "findings",
        ">objects",
    ]);
    for row in rows {
        let verdict = row.outcome.as_deref().map_or_else(
            || Cell::from("-"),
            |word| Cell::toned(outcome_tone(word), plain(word, 20)),
        );
        let started = row.started.map_or_else(
            || "-".to_owned(),
            |wall| {
                wall.to_string()
                    .chars()
                    .take(19)
                    .collect::<String>()
                    .replace('T', " ")
            },
        );
        table.row(vec![
            row.run.to_string().into(),
            plain(&row.plan, 40).into(),
            row.state.cell(),
            verdict,
            started.into(),
            human(row.duration).into(),
            human(row.mainnet).into(),
            plain(&row.findings, 60).into(),
            row.objects.to_string().into(),
        ]);
    }
    let mut text = table.lines(look).join("\n");
    text.push('\n');
    let ownerless = rows
        .iter()
        .filter(|row| row.state == RunState::Ownerless)
        .count();
    if ownerless > 0 {
        text.push_str(&look.fit(
            "ownerless: `canarynet runs attach RUN` goes on with it, `canarynet clean RUN` removes it",
        ));
        text.push('\n');
    }
    text
}

/// One answer of `canarynet doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DoctorRow {
    /// What was looked at: `engine`, `ext4 disks`, ...
    pub what: String,
    /// What came out.
    pub state: DoctorState,
    /// What was seen.
    pub detail: String,
    /// What to do about it, where something can be done.
    pub remedy: Option<String>,
}

/// What this machine can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DoctorState {
    /// It works.
    Works,
    /// It works in part, or another way is taken.
    Limited,
    /// It does not, and runs do without it.
    Missing,
    /// It does not, and nothing can run.
    Broken,
}

/// The doctor's table, remedies below the answers that have one.
#[must_use]
pub fn doctor(rows: &[DoctorRow], look: Look) -> String {
    let mut table = Table::new(&["", "what", "seen"]);
    for row in rows {
        let (tone, word) = match row.state {
            DoctorState::Works => (Tone::Good, "works"),
            DoctorState::Limited => (Tone::Warning, "limited"),
            DoctorState::Missing => (Tone::Warning, "missing"),
            DoctorState::Broken => (Tone::Bad, "BROKEN"),
        };
        table.row(vec![
            Cell::toned(tone, word),
            plain(&row.what, 40).into(),
            plain(&row.detail, 400).into(),
        ]);
    }
    let mut text = String::new();
    let lines = table.lines(look);
    // The first line is the heading, which says nothing that the columns do not.
    for (line, row) in lines.iter().skip(1).zip(rows) {
        text.push_str(line);
        text.push('\n');
        if let Some(remedy) = &row.remedy {
            let remedy = look.fit(&format!("          remedy: {}", plain(remedy, 400)));
            text.push_str(&look.paint(Tone::Strong, &remedy));
            text.push('\n');
        }
    }
    let worst = rows.iter().map(|row| row.state).max();
    text.push_str(match worst {
        None | Some(DoctorState::Works) => "all works\n",
        Some(DoctorState::Limited | DoctorState::Missing) => {
            "runs work here, with the limits above\n"
        }
        Some(DoctorState::Broken) => "no run can work here until what is BROKEN is mended\n",
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(run: &str, state: RunState, outcome: Option<&str>) -> RunRow {
        RunRow {
            run: run.parse().unwrap(),
            plan: "smoke".to_owned(),
            state,
            outcome: outcome.map(str::to_owned),
            started: Some(WallTime(1_574_304_544_000)),
            duration: Duration::from_secs(92),
            mainnet: Duration::from_secs(3_680),
            findings: "none".to_owned(),
            objects: 0,
            directory: None,
        }
    }

    #[test]
    fn runs_say_how_to_deal_with_the_ownerless() {
        let rows = [
            row("smoke-2", RunState::Ownerless, None),
            row("smoke-1", RunState::Ended, Some("pass")),
        ];
        let text = runs(&rows, Look::PLAIN);
        assert_eq!(
            text,
            "run       plan    state       verdict   started (UTC)          wall   mainnet   findings   objects\n\
             smoke-2   smoke   ownerless   -         2019-11-21 02:49:04   1m32s     1h01m   none             0\n\
             smoke-1   smoke   ended       pass      2019-11-21 02:49:04   1m32s     1h01m   none             0\n\
             ownerless: `canarynet runs attach RUN` goes on with it, `canarynet clean RUN` removes it\n"
        );
        assert_eq!(runs(&[], Look::PLAIN), "no runs\n");
        assert!(!runs(&rows[1..], Look::PLAIN).contains("ownerless"));
    }

    #[test]
    fn the_doctor_gives_the_remedy_and_the_sum() {
        let rows = [
            DoctorRow {
                what: "engine".to_owned(),
                state: DoctorState::Works,
                detail: "20.10".to_owned(),
                remedy: None,
            },
            DoctorRow {
                what: "ext4 disks".to_owned(),
                state: DoctorState::Missing,
                detail: "helper not \u{1b}[31mallowed".to_owned(),
                remedy: Some("--allow-helper".to_owned()),
            },
        ];
        assert_eq!(
            doctor(&rows, Look::PLAIN),
            "works     engine       20.10\n\
             missing   ext4 disks   helper not \u{fffd}[31mallowed\n          \
             remedy: --allow-helper\n\
             runs work here, with the limits above\n"
        );
    }
}
