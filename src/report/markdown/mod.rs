//! `report.md`: the report for people, a step summary or a comment, under [`LIMIT`] bytes whatever happened.
//!
//! Every section has a budget in bytes of what is written, markup and escapes included; their sum is below the limit.
//! What does not fit is counted, and the section says where all of it is.

mod events;
pub(super) mod network;
pub(crate) mod run;
mod section;
mod together;
mod traffic;

use super::{
    RenderError, ReportInput, Standing, chain, subject, terminal,
    text::{count, markdown, plural, ratio},
};
use crate::{time::human, verdict::Outcome};

/// Forges cut comments at 65,536 characters; this leaves room for what a workflow adds around the report.
pub const LIMIT: usize = 60_000;

/// Renders `report.md`.
///
/// # Errors
/// Never; the signature is that of every reporter.
pub fn render(input: &ReportInput) -> Result<String, RenderError> {
    let mut page = headline(input);
    for section in [
        events::findings,
        together::together,
        events::stories,
        run::recovery,
        events::happened,
        events::gates,
        network::shards,
        network::nodes,
        network::versions,
        network::growth,
        traffic::traffic,
        network::acceleration,
        network::not_judged,
        run::faults,
        run::capabilities,
        run::waived,
        run::cost,
        run::versions,
        run::reproduce,
    ] {
        page.push_str(&section(input));
    }
    debug_assert!(
        page.len() <= LIMIT,
        "the budgets of the sections sum to less"
    );
    Ok(page)
}

/// At most 4,000 bytes: three lines of bounded texts, the longest of which is a finding's summary.
fn headline(input: &ReportInput) -> String {
    let word = terminal::outcome_word(input.verdict.outcome);
    let worst = input
        .ranked()
        .first()
        .filter(|(standing, _)| *standing == Standing::Fails)
        .map(|(_, finding)| {
            let height = finding.heights.map_or_else(String::new, |(first, _)| {
                format!(" at height {}", count(first.0))
            });
            format!(
                ": {} {}{height} ({})",
                markdown(&finding.kind, 40),
                subject(finding),
                markdown(&finding.id, 40)
            )
        })
        .unwrap_or_default();
    let acceleration = &input.judgement.acceleration;
    let faster = if acceleration.measured > 0.0 {
        format!(
            "{}x (asked {}x)",
            ratio(acceleration.measured),
            ratio(input.plan.speedup)
        )
    } else {
        format!("asked {}x", ratio(input.plan.speedup))
    };
    format!(
        "# {word}{worst}\n\n{}\n\n`{}` · {} · {} · {faster} · seed {} · exit {}\n",
        sentence(input, markdown),
        input.run,
        markdown(&input.program, 200),
        chain::time_words(input),
        markdown(&input.plan.seed, 80),
        input.exit_code,
    )
}

/// The run in one sentence of plain words; `show` makes a text harmless where it is shown.
pub(crate) fn sentence(input: &ReportInput, show: fn(&str, usize) -> String) -> String {
    let judgement = &input.judgement;
    let reason = || {
        let reasons = &input.verdict.reasons;
        let reason = reasons
            .iter()
            .find(|reason| reason.outcome == input.verdict.outcome);
        reason.map_or_else(
            || "no reason was given".to_owned(),
            |reason| show(&reason.text, 400),
        )
    };
    let made = format!(
        "{} made {} in {}",
        plural(judgement.shards.len() as u64, "shard"),
        plural(judgement.coverage.blocks, "block"),
        chain::time_words(input)
    );
    let what = match input.verdict.outcome {
        Outcome::Pass => format!("{made}, and nothing was found that fails the gate."),
        Outcome::Fail => {
            let failing = input.ranked();
            let failing: Vec<_> = failing
                .iter()
                .filter(|(standing, _)| *standing == Standing::Fails)
                .collect();
            match failing.first() {
                None => format!("{made}, but the gate was not met: {}.", reason()),
                Some((_, finding)) => {
                    let mut words =
                        format!("{}: {}", subject(finding), show(&finding.summary, 300));
                    if !finding.duration.is_zero() {
                        let lasted = match finding.end {
                            Some(_) => "it lasted",
                            None => "it had not ended when the run did, after",
                        };
                        let (wall, mainnet) = (human(finding.duration), human(finding.mainnet));
                        words.push_str(&format!("; {lasted} {wall}, {mainnet} in mainnet time"));
                    }
                    words + "."
                }
            }
        }
        Outcome::Infra => format!(
            "The host, the engine or the canary could not do the work, so nothing is said against the network: {}.",
            reason()
        ),
        Outcome::Inconclusive => {
            format!(
                "{made}, nothing failed, but too little was seen to call it a pass: {}.",
                reason()
            )
        }
    };
    match chain::words(input) {
        Some(words) => format!("{what} Also: {}.", show(&words, 400)),
        None => what,
    }
}
