//! The run itself: waivers, cost, versions and how to repeat it.

use super::section::Section;
use crate::{
    report::{
        Fact, ReportInput, climbs, faults, terminal,
        text::{bytes, markdown, percent, plain, plural},
    },
    time::human,
};

pub(super) fn waived(input: &ReportInput) -> String {
    let mut section = Section::new("Waived", 1_500);
    let waivers = &input.plan.gate.waive;
    if waivers.is_empty() {
        section.line("The plan waives nothing.");
    }
    for waiver in waivers {
        let used = input
            .judgement
            .findings
            .iter()
            .filter(|finding| finding.waived.is_some() && finding.kind == waiver.finding)
            .count();
        section.line(&format!(
            "- {} until {}: {} ({})",
            markdown(&waiver.finding, 40),
            markdown(&waiver.until, 20),
            markdown(&waiver.because, 160),
            plural(used as u64, "finding")
        ));
    }
    section.finish(0, "plan.json")
}

pub(super) fn faults(input: &ReportInput) -> String {
    let Some(words) = faults::words(input) else {
        return String::new();
    };
    let mut section = Section::new("Faults", 3_000);
    let views = &input.judgement.faults;
    section.line(&words);
    section.line("");
    if !views.is_empty() {
        section.heading(&[
            "kind",
            "fired",
            "effective",
            "skipped",
            "healed",
            "first block after heal (median / p99 / worst)",
            "all nodes caught up (median / p99 / worst)",
        ]);
        for row in &input.judgement.kinds {
            section.row(&[
                markdown(&row.kind, 40),
                row.fired.to_string(),
                row.effective.to_string(),
                row.skipped.to_string(),
                row.healed.to_string(),
                faults::spread(&row.first_block, row.late),
                faults::spread(&row.caught_up, row.never_caught_up),
            ]);
        }
        let budget = input.plan.thresholds.recovery;
        section.line(&format!(
            "\nRecovery budget: the first block within {} of a heal, all nodes level within {}.\n",
            human(budget),
            human(budget * 3)
        ));
    }
    let mut left = 0;
    for view in views {
        let problem = match (&view.skipped, &view.heal_failed, view.effective) {
            (Some(why), ..) => format!("skipped: {why}"),
            (_, Some(why), _) => format!("not healed: {why}"),
            (_, _, Some(false)) => format!("no effect: {}", view.proof),
            _ => continue,
        };
        if left < 20 {
            section.line(&format!(
                "- {} {}",
                markdown(&view.id, 60),
                markdown(&problem, 160)
            ));
        }
        left += 1;
    }
    section.finish(usize::saturating_sub(left, 20), "journal/")
}

/// What the recovery ladder tried; nothing where none was set off.
pub(super) fn recovery(input: &ReportInput) -> String {
    let climbs = climbs::lines(input, markdown);
    if climbs.is_empty() {
        return String::new();
    }
    let mut section = Section::new("What would bring it back", 1_400);
    for line in &climbs {
        section.line(&format!("- {line}"));
    }
    section.line("");
    section.heading(climbs::HEADING);
    section.rows(climbs::rows(input, markdown), |row| row);
    section.finish(0, "verdict.json")
}

/// What the plan's faults need of the machine; nothing where they need nothing.
pub(super) fn capabilities(input: &ReportInput) -> String {
    let tried = &input.judgement.capabilities;
    if tried.is_empty() {
        return String::new();
    }
    let mut section = Section::new("What the machine can do", 1_000);
    section.heading(&["what", "can", "how it was proved", "remedy"]);
    section.rows(tried, |capability| {
        let remedy = capability.remedy.as_deref();
        vec![
            markdown(&capability.id, 40),
            if capability.able { "yes" } else { "NO" }.to_owned(),
            markdown(&capability.proof, 200),
            remedy.map_or_else(|| "-".to_owned(), |remedy| markdown(remedy, 160)),
        ]
    });
    section.finish(0, "verdict.json")
}

pub(super) fn cost(input: &ReportInput) -> String {
    let mut section = Section::new("What watching cost", 1_000);
    let cost = &input.judgement.cost;
    section.line(&terminal::cost_words(input));
    if cost.samples == 0 {
        return section.finish(0, "verdict.json");
    }
    section.line("");
    section.heading(&["part", "share of one core"]);
    for (part, share) in [
        ("canary", cost.canary_cpu_share),
        ("watcher", cost.watcher_cpu_share),
        ("samplers", cost.samplers_cpu_share),
        ("helper", cost.helper_cpu_share),
    ] {
        section.row(&[part.to_owned(), percent(share)]);
    }
    let engine = |share: Option<f64>| share.map_or_else(|| "not seen".to_owned(), percent);
    section.row(&[
        "engine, while watching".to_owned(),
        engine(cost.engine_cpu_share),
    ]);
    section.row(&[
        "engine, watching off".to_owned(),
        engine(cost.engine_cpu_share_unwatched),
    ]);
    if let Some(observer) = cost.observer {
        section.row(&[
            "block interval watched, unwatched".to_owned(),
            format!(
                "{:.1} ms, {:.1} ms",
                observer.watched_interval, observer.unwatched_interval
            ),
        ]);
    }
    let slope = cost.memory_slope.map_or_else(
        || "too short for a slope".to_owned(),
        |slope| {
            format!(
                "{} an hour ({} to {} at 95 %)",
                signed(slope.bytes_per_hour),
                signed(slope.low),
                signed(slope.high)
            )
        },
    );
    section.line(&format!(
        "\nMemory {} (peak {}), {slope}; longest wait of an observation {}; budget {} of a core and {}.",
        bytes(cost.memory),
        bytes(cost.memory_peak),
        human(cost.lag),
        percent(input.plan.budget.cpu_share),
        bytes(input.plan.budget.memory),
    ));
    section.finish(0, "verdict.json")
}

/// Bytes that came or went.
fn signed(value: f64) -> String {
    let sign = if value < 0.0 { "-" } else { "+" };
    format!("{sign}{}", bytes(value.abs() as u64))
}

pub(super) fn versions(input: &ReportInput) -> String {
    let mut section = Section::new("Versions", 1_500);
    section.heading(&["what", "value"]);
    let canarynet = Fact::new("canarynet", input.judgement.canarynet.clone());
    let program = Fact::new("nodes", input.program.clone());
    for fact in [&canarynet, &program].into_iter().chain(&input.facts) {
        section.row(&[markdown(&fact.name, 40), markdown(&fact.value, 160)]);
    }
    section.finish(0, "verdict.json")
}

pub(super) fn reproduce(input: &ReportInput) -> String {
    let mut section = Section::new("How to reproduce", 2_500);
    section.line("```sh");
    let words: Vec<String> = input.reproduce.iter().map(|word| quoted(word)).collect();
    // One line that begins with our own name cannot close the fence.
    section.line(&plain(&words.join(" "), 1_000));
    section.line(&format!(
        "canarynet judge {}   # the same verdict from the journal alone",
        input.run
    ));
    section.line("```");
    section.line(&format!(
        "Everything is in {}.",
        markdown(&input.run_directory, 120)
    ));
    if let Some(kept) = &input.kept {
        section.line(&format!("\nKept: {}.", markdown(kept, 120)));
    }
    section.text
}

/// A word for a POSIX shell.
pub(crate) fn quoted(word: &str) -> String {
    let word = plain(word, 400);
    let safe =
        |character: char| character.is_ascii_alphanumeric() || "-_./=:,@%+".contains(character);
    if !word.is_empty() && word.chars().all(safe) {
        return word;
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}
