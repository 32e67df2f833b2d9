//! What log lines mean, as a profile types it, and what can be wrong with that.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::error::did_you_mean;
use crate::journal::event::LogClass;

/// A rule that classifies log lines of the profile's chain. All its conditions must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogRule {
    /// The rule's name, shown in findings.
    pub name: String,
    /// Text that the message (or the raw line, where there are no fields) contains, case-sensitive; of several, one is
    /// enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Texts>,
    /// Text that the error field (or the raw line, where there are no fields) contains; of several, one is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Texts>,
    /// Other fields and their values; of several values, one is enough. A number and the same number as text are equal.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, Texts>,
    /// Regular expression that the message (or the raw line, where there are no fields) matches; it needs `message`,
    /// `error` or `level` beside it, by which its lines are found cheaply. In a raw line the groups `message`, `error`
    /// and `level` say which part is what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Lowest level: debug, info, warn, error, fatal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// What a matching line means.
    pub class: LogClass,
}

/// One text, or several of which one is enough.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Texts(pub Vec<String>);

impl Texts {
    /// One text.
    #[must_use]
    pub fn one(text: &str) -> Self {
        Self(vec![text.to_owned()])
    }
}

impl Serialize for Texts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => serializer.serialize_str(one),
            all => all.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextsVisitor)
    }
}

struct TextsVisitor;

impl<'de> de::Visitor<'de> for TextsVisitor {
    type Value = Texts;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text or a list of texts")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Texts, E> {
        Ok(Texts::one(text))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Texts, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = items.next_element::<String>()? {
            texts.push(text);
        }
        Ok(Texts(texts))
    }
}

impl JsonSchema for Texts {
    fn schema_name() -> Cow<'static, str> {
        "Texts".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A text, or a list of which one is enough.",
            "anyOf": [
                { "type": "string", "minLength": 1 },
                { "type": "array", "minItems": 1, "items": { "type": "string", "minLength": 1 } }
            ]
        })
    }
}

/// Memory that one compiled expression may take: some hundred times what any rule needs.
const LARGEST_PATTERN: usize = 1 << 20;

/// Levels that a rule may name.
const LEVELS: [&str; 5] = ["debug", "info", "warn", "error", "fatal"];

/// Fields that a rule has keys of its own for.
const OWN_KEYS: &[(&str, &str)] = &[
    ("message", "message"),
    ("msg", "message"),
    ("_msg", "message"),
    ("error", "error"),
    ("err", "error"),
    ("level", "level"),
    ("lvl", "level"),
];

/// Groups that a rule's pattern may name.
const GROUPS: [&str; 3] = ["message", "error", "level"];

/// A regular expression, bounded in memory; it never takes more than linear time.
///
/// # Errors
/// Why the text is none, on one line.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    let built = regex::RegexBuilder::new(pattern)
        .size_limit(LARGEST_PATTERN)
        .build();
    built.map_err(|error| {
        let text = error.to_string();
        // The crate draws a picture of several lines; the last one says what is wrong.
        let why = text.lines().last().unwrap_or_default();
        let why = why.trim_start_matches("error: ");
        format!(
            "{pattern:?} is no regular expression: {why} (a literal `[`, `(`, `.` or `*` needs a backslash; in TOML write patterns in single quotes)"
        )
    })
}

/// What is wrong with a rule: the key within it, empty for the whole, and why.
pub(crate) fn check_rule(rule: &LogRule) -> Result<(), (&'static str, String)> {
    for (key, texts) in [("message", &rule.message), ("error", &rule.error)] {
        check_texts(texts.as_ref()).map_err(|why| (key, why))?;
    }
    for (field, values) in &rule.fields {
        let own = OWN_KEYS.iter().find(|(name, _)| name == field);
        if let Some((_, key)) = own {
            return Err((
                "fields",
                format!("write `{key}` instead of the field {field:?}"),
            ));
        }
        check_texts(Some(values)).map_err(|why| ("fields", format!("{field:?} {why}")))?;
    }
    if rule.message.is_none() && rule.error.is_none() && rule.level.is_none() {
        let only = match (&rule.pattern, rule.fields.is_empty()) {
            (None, true) => "matches every line: it needs",
            _ => "looks at every line closely: it needs, beside `pattern` and `fields`,",
        };
        return Err((
            "",
            format!("rule {:?} {only} `message`, `error` or `level`", rule.name),
        ));
    }
    if let Some(level) = &rule.level
        && !LEVELS.contains(&level.as_str())
    {
        let hint = did_you_mean(level, LEVELS);
        let all = LEVELS.join(", ");
        return Err(("level", format!("{level:?} is no level{hint}: {all}")));
    }
    if let Some(pattern) = &rule.pattern {
        let regex = compile(pattern).map_err(|why| ("pattern", why))?;
        check_groups(&regex).map_err(|why| ("pattern", why))?;
    }
    Ok(())
}

fn check_texts(texts: Option<&Texts>) -> Result<(), String> {
    match texts {
        Some(Texts(texts)) if texts.is_empty() || texts.iter().any(String::is_empty) => {
            Err("needs at least one text, and none of them empty".to_owned())
        }
        _ => Ok(()),
    }
}

fn check_groups(regex: &Regex) -> Result<(), String> {
    let mut names = regex.capture_names().flatten();
    let Some(unknown) = names.find(|name| !GROUPS.contains(name)) else {
        return Ok(());
    };
    let (hint, all) = (did_you_mean(unknown, GROUPS), GROUPS.join(", "));
    Err(format!(
        "group {unknown:?} means nothing here{hint}; there are: {all}"
    ))
}
