//! Annotations of a workflow: one `::error::` line for each finding that fails the gate, so that it stands in the list of
//! the check and not only in a log.

use super::{
    ReportInput, Standing, subject, terminal,
    text::{clock, plain},
};
use crate::verdict::Outcome;

/// A forge shows ten annotations of a step; the verdict is one of them.
const MOST: usize = 9;

/// The lines, each with its end; none for a pass.
#[must_use]
pub fn render(input: &ReportInput) -> String {
    if input.verdict.outcome == Outcome::Pass {
        return String::new();
    }
    let word = terminal::outcome_word(input.verdict.outcome);
    let command = match input.verdict.outcome {
        Outcome::Inconclusive => "warning",
        _ => "error",
    };
    let reason = input.verdict.reasons.first();
    let reason = reason.map_or_else(String::new, |reason| plain(&reason.text, 300));
    let mut lines = line(
        command,
        &format!("canarynet {word}"),
        &format!("{}: {reason}", input.run),
    );
    let failing = input.ranked();
    let failing = failing
        .iter()
        .filter(|(standing, _)| *standing == Standing::Fails);
    for (_, finding) in failing.take(MOST) {
        let title = format!("{} {}", plain(&finding.kind, 60), subject(finding));
        let leader = input.curves.leaders.get(&finding.id);
        let leader = leader.map_or_else(String::new, |leader| {
            format!(" (leader {})", plain(leader, 40))
        });
        let text = format!(
            "since {} UTC{leader}: {}",
            clock(input.wall(finding.start)),
            plain(&finding.summary, 300)
        );
        lines.push_str(&line("error", &title, &text));
    }
    lines
}

fn line(command: &str, title: &str, text: &str) -> String {
    format!("::{command} title={}::{}\n", property(title), data(text))
}

/// A text after the command: nothing in it begins another one.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// A value of the command: nothing in it begins another value or the text.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_a_command() {
        let line = line("error", "a,b::c%", "x\n::set-output name=a::b\r%0A");
        assert_eq!(
            line,
            "::error title=a%2Cb%3A%3Ac%25::x%0A::set-output name=a::b%0D%250A\n"
        );
    }
}
