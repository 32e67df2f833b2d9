//! How a text may look where it is going: colours and width. Decided once at the edge, so that renderers are pure.

use console::Style;

use crate::detect::finding::Severity;

/// Whether colours are used, and how wide a line may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Escape sequences for colours may be written.
    pub colour: bool,
    /// Columns; lines are cut there. `None`: as long as they are (a file, a pipe).
    pub width: Option<u16>,
}

/// What a colour says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// All is well.
    Good,
    /// Needs a look.
    Warning,
    /// Is broken.
    Bad,
    /// Headings and what should stand out.
    Strong,
    /// What may be skipped.
    Faint,
}

impl Look {
    /// No colours, no limit: files, pipes and tests.
    pub const PLAIN: Self = Self {
        colour: false,
        width: None,
    };

    /// The decision from the stream and the environment: `NO_COLOR` (not empty) always wins, `CLICOLOR_FORCE` is
    /// next, else colours need a terminal that can do them.
    ///
    /// `width` is the terminal's, if the stream is one; `variable` looks up the environment.
    #[must_use]
    pub fn decide(width: Option<u16>, variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
        let forced =
            variable("CLICOLOR_FORCE").is_some_and(|value| !value.is_empty() && value != "0");
        let capable = width.is_some()
            && variable("TERM").is_none_or(|term| term != "dumb")
            && variable("CLICOLOR").is_none_or(|value| value != "0");
        Self {
            colour: !set("NO_COLOR") && (forced || capable),
            // Narrower than this nothing can be read anyway, and zero is what a broken terminal says.
            width: width.map(|columns| columns.max(40)),
        }
    }

    /// The decision for a terminal of the `console` crate.
    #[must_use]
    pub fn of(terminal: &console::Term) -> Self {
        let width = terminal.features().is_attended().then(|| terminal.size().1);
        Self::decide(width, |name| std::env::var(name).ok())
    }

    /// The text in a tone, or as it is where colours are off. The text must be harmless already.
    #[must_use]
    pub fn paint(self, tone: Tone, text: &str) -> String {
        if !self.colour || text.is_empty() {
            return text.to_owned();
        }
        let style = Style::new().force_styling(true);
        let style = match tone {
            Tone::Good => style.green().bold(),
            Tone::Warning => style.yellow(),
            Tone::Bad => style.red().bold(),
            Tone::Strong => style.bold(),
            Tone::Faint => style.dim(),
        };
        style.apply_to(text).to_string()
    }

    /// The line cut at the width, colours intact.
    #[must_use]
    pub fn fit(self, line: &str) -> String {
        match self.width {
            Some(width) => console::truncate_str(line, usize::from(width), "...").into_owned(),
            None => line.to_owned(),
        }
    }
}

/// The tone of a severity.
#[must_use]
pub fn tone(severity: Severity) -> Tone {
    match severity {
        Severity::Critical | Severity::Major => Tone::Bad,
        Severity::Minor => Tone::Warning,
        Severity::Info => Tone::Faint,
    }
}

/// The word for a severity; `critical` is shouted on terminals.
#[must_use]
pub fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::Major => "major",
        Severity::Minor => "minor",
        Severity::Info => "info",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(width: Option<u16>, variables: &[(&str, &str)]) -> Look {
        Look::decide(width, |name| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn no_color_wins_and_pipes_are_plain() {
        assert!(decide(Some(80), &[]).colour);
        assert!(!decide(Some(80), &[("NO_COLOR", "1")]).colour);
        assert!(decide(Some(80), &[("NO_COLOR", "")]).colour);
        assert!(!decide(Some(80), &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]).colour);
        assert!(!decide(Some(80), &[("TERM", "dumb")]).colour);
        assert_eq!(decide(None, &[]), Look::PLAIN);
        assert!(decide(None, &[("CLICOLOR_FORCE", "1")]).colour);
        assert!(!decide(None, &[("CLICOLOR_FORCE", "0")]).colour);
        assert_eq!(decide(Some(0), &[]).width, Some(40));
    }

    #[test]
    fn colours_only_where_allowed() {
        assert_eq!(Look::PLAIN.paint(Tone::Bad, "FAIL"), "FAIL");
        let coloured = Look {
            colour: true,
            width: Some(40),
        };
        assert!(coloured.paint(Tone::Bad, "FAIL").contains("\u{1b}["));
        let line = coloured.fit(&coloured.paint(Tone::Bad, &"x".repeat(100)));
        assert_eq!(console::measure_text_width(&line), 40);
    }
}
