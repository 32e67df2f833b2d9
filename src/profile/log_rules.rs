//! What log lines mean: the profile's rules first, in their order, then the built-in ones. Pure.
//!
//! Nearly all lines of a healthy node mean nothing, so a line is searched once for the texts of all rules together,
//! and only a line that holds one of them, or names a level from error up, is parsed at all.

mod built_in;
mod line;

use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use crate::{
    journal::{event::LogClass, text},
    plan::LogRule,
    time::WallTime,
};
pub use line::Level;
use line::Line;

/// Longest message or error text of a classified line, in bytes.
const MAX_TEXT: usize = 400;
/// How levels from error up are written: zerolog, log15, logfmt, and plain words.
const LOUD: &[&str] = &[
    r#":"error""#,
    r#":"fatal""#,
    r#":"panic""#,
    r#":"eror""#,
    r#":"crit""#,
    r#": "error""#,
    r#": "fatal""#,
    "=error",
    "=fatal",
    "=panic",
    "=eror",
    "=crit",
    "ERR",
    "FATAL",
    "PANIC",
    "CRIT",
    "E[20",
];

/// All rules of a network, made ready for searching.
#[derive(Debug)]
pub struct RuleSet {
    rules: Vec<Rule>,
    /// Texts of rules and loud levels; a line without any of them matches no rule.
    texts: AhoCorasick,
    /// The texts alone, for lines whose level is read cheaply.
    quiet_texts: AhoCorasick,
    /// The lowest level that some rule takes without any text.
    bare_level: Level,
}

/// What a rule made of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classified {
    /// The rule's place in its set.
    pub index: usize,
    /// Its name.
    pub rule: Arc<str>,
    /// What the line means.
    pub class: LogClass,
    /// The line's level; what tells none is an error if its rule says so, else `info`.
    pub level: Level,
    /// The message, clean, at most 400 bytes.
    pub message: String,
    /// The error text, clean, at most 400 bytes.
    pub error: Option<String>,
    /// The line's own time.
    pub time: Option<WallTime>,
}

#[derive(Debug)]
struct Rule {
    name: Arc<str>,
    class: LogClass,
    level: Option<Level>,
    message: Option<String>,
    error: Option<String>,
    /// Any of these in message or error; empty means no condition.
    anywhere: Vec<String>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// A text that only counts at the start of a line without fields (`panic:`).
    LineStart,
}

/// Why rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// The level is none of the five.
    #[error("log rule {rule:?}: unknown level {level:?}; allowed: debug, info, warn, error, fatal")]
    Level {
        /// The rule.
        rule: String,
        /// What it says.
        level: String,
    },
    /// The rule would match every line.
    #[error("log rule {rule:?} needs `message`, `error` or `level`")]
    Empty {
        /// The rule.
        rule: String,
    },
    /// All texts together are too much for one search.
    #[error("the texts of the log rules cannot be searched for")]
    Search(#[source] aho_corasick::BuildError),
}

impl RuleSet {
    /// Makes the profile's rules ready, with the built-in ones after them.
    ///
    /// # Errors
    /// When a rule has no condition or an unknown level.
    pub fn new(profile: &[LogRule]) -> Result<Self, RuleError> {
        let mut rules = Vec::with_capacity(profile.len() + built_in::RULES.len());
        for rule in profile {
            rules.push(Rule::from_profile(rule)?);
        }
        rules.extend(built_in::RULES.iter().map(Rule::from));
        let bare = rules.iter().filter(|rule| rule.texts().next().is_none());
        let bare_level = bare.filter_map(|rule| rule.level).min();
        let mut texts: Vec<String> = Vec::new();
        for text in rules.iter().flat_map(Rule::texts) {
            let escaped = serde_json::to_string(text).unwrap_or_default();
            let escaped = escaped.trim_matches('"').to_owned();
            texts.push(text.to_owned());
            if escaped != *text {
                texts.push(escaped);
            }
        }
        let quiet_texts = search(&texts)?;
        texts.extend(LOUD.iter().map(|text| (*text).to_owned()));
        Ok(Self {
            rules,
            texts: search(&texts)?,
            quiet_texts,
            bare_level: bare_level.unwrap_or(Level::Error),
        })
    }

    /// Number of rules; [`Classified::index`] is below it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// The name of the rule at this place.
    #[must_use]
    pub fn name(&self, index: usize) -> Option<&Arc<str>> {
        self.rules.get(index).map(|rule| &rule.name)
    }

    /// Never: the built-in rules are always there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What the first matching rule makes of a line; `None` for a line that means nothing.
    #[must_use]
    pub fn classify(&self, line: &[u8]) -> Option<Classified> {
        let candidate = match line::leading_level(line) {
            Some(level) => level >= self.bare_level || self.quiet_texts.is_match(line),
            None => self.bare_level < Level::Error || self.texts.is_match(line),
        };
        if !candidate {
            return None;
        }
        let line = Line::parse(line);
        let (index, rule) = self
            .rules
            .iter()
            .enumerate()
            .find(|(_, rule)| rule.matches(&line))?;
        let loud = rule.level.unwrap_or(Level::Info);
        Some(Classified {
            index,
            rule: Arc::clone(&rule.name),
            class: rule.class.clone(),
            level: line.level.unwrap_or(loud),
            message: text::clean(&line.message, MAX_TEXT),
            error: line.error.map(|error| text::clean(&error, MAX_TEXT)),
            time: line.time,
        })
    }
}

/// A table of all states: some hundred kibibytes, and one look-up a byte. Left to itself the library chooses the
/// small form for this many texts, which is six times slower.
fn search(texts: &[String]) -> Result<AhoCorasick, RuleError> {
    AhoCorasick::builder()
        .kind(Some(AhoCorasickKind::DFA))
        .build(texts)
        .map_err(RuleError::Search)
}

impl Rule {
    fn from_profile(rule: &LogRule) -> Result<Self, RuleError> {
        let level = match &rule.level {
            None => None,
            Some(level) => Some(Level::parse(level).ok_or_else(|| RuleError::Level {
                rule: text::clean(&rule.name, 80),
                level: text::clean(level, 80),
            })?),
        };
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let (message, error) = (given(&rule.message), given(&rule.error));
        if message.is_none() && error.is_none() && level.is_none() {
            return Err(RuleError::Empty {
                rule: text::clean(&rule.name, 80),
            });
        }
        Ok(Self {
            name: text::clean(&rule.name, 80).into(),
            class: rule.class.clone(),
            level,
            message,
            error,
            anywhere: Vec::new(),
            kind: Kind::Plain,
        })
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        // One text that must be there is enough to find the line.
        let needed = self.message.as_deref().or(self.error.as_deref());
        needed
            .into_iter()
            .chain(self.anywhere.iter().map(String::as_str))
    }

    fn matches(&self, line: &Line<'_>) -> bool {
        // A line that tells no level may be of any.
        let loud_enough = match (self.level, line.level) {
            (Some(lowest), Some(level)) => level >= lowest,
            (Some(_), None) => self.texts().next().is_some(),
            (None, _) => true,
        };
        let error = if line.structured {
            line.error.as_deref().unwrap_or("")
        } else {
            &line.message
        };
        let holds = |text: &str| match self.kind {
            Kind::Plain => line.message.contains(text) || error.contains(text),
            Kind::LineStart => !line.structured && line.message.starts_with(text),
        };
        loud_enough
            && self
                .message
                .as_deref()
                .is_none_or(|text| line.message.contains(text))
            && self
                .error
                .as_deref()
                .is_none_or(|text| error.contains(text))
            && (self.anywhere.is_empty() || self.anywhere.iter().any(|text| holds(text)))
    }
}

impl From<&built_in::BuiltIn> for Rule {
    fn from(rule: &built_in::BuiltIn) -> Self {
        // Operating systems and libraries write these texts in small letters, C programs with a capital.
        let spellings = |text: &&str| {
            let mut capital = (*text).to_owned();
            if let Some(first) = capital.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            [(*text).to_owned(), capital, text.to_ascii_uppercase()]
        };
        let line_start = rule.line_start;
        Self {
            name: rule.name.into(),
            class: rule.class.clone(),
            level: Some(rule.level),
            message: None,
            error: None,
            anywhere: if line_start {
                rule.texts.iter().map(|text| (*text).to_owned()).collect()
            } else {
                rule.texts.iter().flat_map(spellings).collect()
            },
            kind: if line_start {
                Kind::LineStart
            } else {
                Kind::Plain
            },
        }
    }
}

#[cfg(test)]
mod tests;
