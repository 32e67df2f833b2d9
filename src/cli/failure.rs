//! How a verb fails: an exit code and a chain of causes, printed once.

use std::{error::Error, fmt::Write as _};

use crate::{exit::Exit, journal::text::clean};

/// A failed verb.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    message: String,
    causes: Vec<String>,
}

impl Failure {
    /// Bad input or usage (exit 2).
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            message: message.into(),
            causes: Vec::new(),
        }
    }

    /// The host, the engine or the canary could not do the work (exit 3).
    #[must_use]
    pub fn infra(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Infra,
            message: message.into(),
            causes: Vec::new(),
        }
    }

    /// A signal ended it (exit 130 or 143).
    #[must_use]
    pub fn interrupted(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            causes: Vec::new(),
        }
    }

    /// Adds an error and its chain of causes.
    #[must_use]
    pub fn because(mut self, error: &dyn Error) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            let text = error.to_string();
            // Some libraries repeat their cause in their own text.
            if !self.causes.last().is_some_and(|last| last.contains(&text)) {
                self.causes.push(text);
            }
            next = error.source();
        }
        self
    }

    /// The exit code.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// `error: what` and one line for each cause, harmless for a terminal.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::from("error: ");
        push_lines(&mut text, &self.message, "       ");
        for cause in &self.causes {
            let _ = write!(text, "  because ");
            push_lines(&mut text, cause, "          ");
        }
        text
    }
}

/// Messages may have several lines (a list of what was wrong); each is cleaned by itself.
fn push_lines(text: &mut String, message: &str, indent: &str) {
    for (index, line) in message.lines().take(60).enumerate() {
        if index > 0 {
            text.push_str(indent);
        }
        text.push_str(&clean(line, 2_000));
        text.push('\n');
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::infra("input or output failed").because(&error)
    }
}
