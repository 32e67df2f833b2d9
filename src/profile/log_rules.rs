//! What log lines mean: the profile's rules first, in their order, then the built-in ones. Pure.
//!
//! Nearly all lines of a healthy node mean nothing, so a line is searched once for the texts of all rules together,
//! and only a line that holds one of them, or names a level from error up, is parsed at all.

mod built_in;
pub(super) mod line;

use std::sync::Arc;

use memchr::{memchr, memrchr};
use regex::{Regex, bytes};

use crate::{
    journal::{event::LogClass, text},
    plan::{LogRule, log_rule},
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
    texts: bytes::Regex,
    /// The texts alone, for lines whose level is read cheaply.
    quiet_texts: bytes::Regex,
    /// The lowest level that some rule takes without any text.
    bare_level: Level,
    /// Fields that some rule looks at, beside level, message, error and time.
    wanted: Vec<String>,
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
    /// One of these in the message; empty means no condition, as for the next two.
    message: Vec<String>,
    /// One of these in the error.
    error: Vec<String>,
    /// One of these in message or error.
    anywhere: Vec<String>,
    /// Fields, by their place in [`RuleSet::wanted`], and the values that they may have.
    fields: Vec<(usize, Vec<String>)>,
    pattern: Option<Regex>,
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
    /// A rule makes no sense.
    #[error("log rule {rule:?}: {message}")]
    Rule {
        /// The rule.
        rule: String,
        /// What is wrong with it, and what is allowed.
        message: String,
    },
    /// All texts together are too much for one search.
    #[error("the texts of the log rules cannot be searched for")]
    Search(#[source] regex::Error),
}

impl RuleSet {
    /// Makes the profile's rules ready, with the built-in ones after them.
    ///
    /// # Errors
    /// When a rule has no condition, an unknown level, or a pattern that is none.
    pub fn new(profile: &[LogRule]) -> Result<Self, RuleError> {
        let mut rules = Vec::with_capacity(profile.len() + built_in::RULES.len());
        let mut wanted = Vec::new();
        for rule in profile {
            rules.push(Rule::from_profile(rule, &mut wanted)?);
        }
        rules.extend(built_in::RULES.iter().map(Rule::from));
        let bare = rules.iter().filter(|rule| rule.texts().next().is_none());
        let bare_level = bare.filter_map(|rule| rule.level).min();
        let mut texts: Vec<String> = Vec::new();
        for text in rules.iter().flat_map(Rule::texts) {
            let escaped = serde_json::to_string(text).unwrap_or_default();
            let escaped = escaped.trim_matches('"').to_owned();
            // A line holds no line end but an escaped one.
            if !text.contains('\n') {
                texts.push(text.to_owned());
            }
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
            wanted,
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

    /// All texts that are searched for, those of loud levels among them: for comparing with other tools.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        let texts = self.rules.iter().flat_map(Rule::texts).map(str::to_owned);
        texts
            .chain(LOUD.iter().map(|text| (*text).to_owned()))
            .collect()
    }

    /// Looks at many whole lines at once; `each` has the ones that mean something, with their places. The same as
    /// [`Self::classify`] of every line, and much quicker where few lines mean anything.
    pub fn scan(&self, lines: &[u8], mut each: impl FnMut(usize, Classified)) {
        if self.bare_level < Level::Error {
            return self.scan_slowly(lines, each);
        }
        let mut from = 0;
        // Where a text ends is enough, and cheaper to find than where it begins: none of them goes over a line's end.
        while let Some(found) = self.texts.shortest_match_at(lines, from) {
            let within = found.saturating_sub(1).max(from);
            let start = from + memrchr(b'\n', &lines[from..within]).map_or(0, |at| at + 1);
            let end = memchr(b'\n', &lines[within..]).map_or(lines.len(), |at| within + at);
            let line = &lines[start..end];
            let quiet = line::leading_level(line).is_some_and(|level| level < self.bare_level);
            if (!quiet || self.quiet_texts.is_match(line))
                && let Some(classified) = self.take_apart(line)
            {
                each(start, classified);
            }
            from = (end + 1).min(lines.len());
            if from >= lines.len() {
                return;
            }
        }
    }

    /// A rule takes lines by a level that no text tells.
    fn scan_slowly(&self, lines: &[u8], mut each: impl FnMut(usize, Classified)) {
        let mut start = 0;
        for line in lines.split(|byte| *byte == b'\n') {
            if let Some(classified) = self.classify(line) {
                each(start, classified);
            }
            start += line.len() + 1;
        }
    }

    /// What the first matching rule makes of a line; `None` for a line that means nothing.
    #[must_use]
    pub fn classify(&self, line: &[u8]) -> Option<Classified> {
        let candidate = match line::leading_level(line) {
            Some(level) => level >= self.bare_level || self.quiet_texts.is_match(line),
            None => self.bare_level < Level::Error || self.texts.is_match(line),
        };
        if candidate {
            self.take_apart(line)
        } else {
            None
        }
    }

    /// What the first matching rule makes of a line that holds some rule's text, or is loud.
    fn take_apart(&self, line: &[u8]) -> Option<Classified> {
        let line = Line::parse(line, &self.wanted);
        let (index, rule) = self
            .rules
            .iter()
            .enumerate()
            .find(|(_, rule)| rule.matches(&line))?;
        let line = rule.parts(line);
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

/// Any of these texts. The engine of regular expressions looks for them sixteen and more bytes at a time, as ripgrep does;
/// a table of states takes one byte after the other and three times as long.
fn search(texts: &[String]) -> Result<bytes::Regex, RuleError> {
    let texts: Vec<String> = texts.iter().map(|text| regex::escape(text)).collect();
    bytes::RegexBuilder::new(&texts.join("|"))
        .unicode(false)
        .build()
        .map_err(RuleError::Search)
}

impl Rule {
    fn from_profile(rule: &LogRule, wanted: &mut Vec<String>) -> Result<Self, RuleError> {
        let refused = |message: &str| RuleError::Rule {
            rule: text::clean(&rule.name, 80),
            message: text::clean(message, 400),
        };
        log_rule::check_rule(rule).map_err(|(_, message)| refused(&message))?;
        let pattern = rule.pattern.as_deref().map(log_rule::compile);
        let texts = |texts: &Option<log_rule::Texts>| match texts {
            Some(texts) => texts.0.clone(),
            None => Vec::new(),
        };
        let fields = rule.fields.iter().map(|(name, values)| {
            let known = wanted.iter().position(|field| field == name);
            let place = known.unwrap_or_else(|| {
                wanted.push(name.clone());
                wanted.len() - 1
            });
            (place, values.0.clone())
        });
        Ok(Self {
            name: text::clean(&rule.name, 80).into(),
            class: rule.class.clone(),
            level: rule.level.as_deref().and_then(Level::parse),
            message: texts(&rule.message),
            error: texts(&rule.error),
            anywhere: Vec::new(),
            fields: fields.collect(),
            pattern: pattern.transpose().map_err(|why| refused(&why))?,
            kind: Kind::Plain,
        })
    }

    /// Texts of which a matching line holds one.
    fn texts(&self) -> impl Iterator<Item = &str> {
        let needed = if self.message.is_empty() {
            &self.error
        } else {
            &self.message
        };
        needed.iter().chain(&self.anywhere).map(String::as_str)
    }

    fn matches(&self, line: &Line<'_>) -> bool {
        let error = if line.structured {
            line.error.as_deref().unwrap_or("")
        } else {
            &line.message
        };
        let any = |texts: &[String], text: &str| {
            texts.is_empty() || texts.iter().any(|needed| text.contains(needed.as_str()))
        };
        let holds = |text: &str| match self.kind {
            Kind::Plain => line.message.contains(text) || error.contains(text),
            Kind::LineStart => !line.structured && line.message.starts_with(text),
        };
        any(&self.message, &line.message)
            && any(&self.error, error)
            && (self.anywhere.is_empty() || self.anywhere.iter().any(|text| holds(text)))
            && self.fields.iter().all(|(field, values)| {
                let value = line.field(*field);
                value.is_some_and(|value| values.iter().any(|allowed| allowed == value))
            })
            && self.fits(line)
    }

    /// Whether the pattern matches and the line is loud enough. A line that tells no level may be of any.
    fn fits(&self, line: &Line<'_>) -> bool {
        let mut level = line.level;
        if let Some(pattern) = &self.pattern {
            let Some(groups) = pattern.captures(&line.message) else {
                return false;
            };
            if let Some(told) = raw_level(line, &groups) {
                level = Some(told);
            }
        }
        match (self.level, level) {
            (Some(lowest), Some(level)) => level >= lowest,
            (Some(_), None) => self.texts().next().is_some(),
            (None, _) => true,
        }
    }

    /// The line with the parts that the pattern's groups name, where it has no fields.
    fn parts<'a>(&self, mut line: Line<'a>) -> Line<'a> {
        let Some(pattern) = self.pattern.as_ref().filter(|_| !line.structured) else {
            return line;
        };
        let whole = line.message.clone();
        let Some(groups) = pattern.captures(&whole) else {
            return line;
        };
        let group = |name| {
            groups
                .name(name)
                .map(|part| part.as_str().to_owned().into())
        };
        line.level = raw_level(&line, &groups).or(line.level);
        line.error = group("error");
        if let Some(message) = group("message") {
            line.message = message;
        }
        line
    }
}

/// The level that a pattern's group names in a line without fields.
fn raw_level(line: &Line<'_>, groups: &regex::Captures<'_>) -> Option<Level> {
    let told = groups.name("level").filter(|_| !line.structured)?;
    Level::parse(told.as_str())
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
            message: Vec::new(),
            error: Vec::new(),
            fields: Vec::new(),
            pattern: None,
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
