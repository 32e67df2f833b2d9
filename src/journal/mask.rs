//! Secrets taken out of texts before they are kept. Pure.
//!
//! A secret is known by its value, by each line of a value of several lines, and by the way JSON writes them.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use aho_corasick::{AhoCorasick, MatchKind};
use serde_json::Value;

use super::event::Event;

/// Shortest text that is masked: a shorter one is in too much that is none.
pub const SHORTEST: usize = 8;

/// What is taken out of texts, and what stands there instead. Cheap while there is nothing to mask.
#[derive(Default)]
pub struct Masks {
    finder: Option<AhoCorasick>,
    patterns: Vec<Vec<u8>>,
    /// For each pattern.
    instead: Vec<String>,
}

impl fmt::Debug for Masks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Masks({})", self.patterns.len())
    }
}

impl Masks {
    /// Of secrets by name.
    #[must_use]
    pub fn new(secrets: &BTreeMap<String, Vec<u8>>) -> Self {
        let (mut patterns, mut instead) = (Vec::new(), Vec::new());
        for (name, value) in secrets {
            for text in forms(value) {
                if text.len() >= SHORTEST && !patterns.contains(&text) {
                    patterns.push(text);
                    instead.push(format!("[secret {name}]"));
                }
            }
        }
        let finder = (!patterns.is_empty()).then(|| {
            AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                .build(&patterns)
        });
        Self {
            // Building fails only beyond two billion states; secrets are bounded.
            finder: finder.and_then(Result::ok),
            patterns,
            instead,
        }
    }

    /// Whether a text holds a secret; its name in brackets.
    #[must_use]
    pub fn found(&self, text: &[u8]) -> Option<&str> {
        let found = self.finder.as_ref()?.find(text)?;
        self.instead
            .get(found.pattern().as_usize())
            .map(String::as_str)
    }

    /// A text without secrets.
    #[must_use]
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match &self.finder {
            Some(finder) if finder.is_match(text) => finder.replace_all(text, &self.instead).into(),
            _ => text.into(),
        }
    }

    /// A line without secrets, also without the beginning of one where `cut` bytes of its end are missing.
    #[must_use]
    pub fn line<'a>(&self, line: &'a [u8], cut: u64) -> Cow<'a, [u8]> {
        let Some(finder) = &self.finder else {
            return line.into();
        };
        let mut masked: Cow<'a, [u8]> = if finder.is_match(line) {
            finder.replace_all_bytes(line, &self.instead).into()
        } else {
            line.into()
        };
        if cut > 0 {
            let begun = self.patterns.iter().filter_map(|pattern| {
                let lengths = (1..pattern.len()).rev();
                lengths
                    .into_iter()
                    .find(|length| masked.ends_with(&pattern[..*length]))
            });
            if let Some(length) = begun.max() {
                let kept = masked.len() - length;
                masked.to_mut().truncate(kept);
            }
        }
        masked
    }

    /// A fact without secrets.
    #[must_use]
    pub fn event(&self, event: Event) -> Event {
        let Some(finder) = &self.finder else {
            return event;
        };
        let Ok(mut value) = serde_json::to_value(&event) else {
            return event;
        };
        if !self.clear(finder, &mut value) {
            return event;
        }
        // Texts stay texts; one that may not be any text (a node's name) cannot hold a secret that is masked.
        serde_json::from_value(value).unwrap_or_else(|_| Event::Infra {
            what: "secrets".to_owned(),
            detail: "a fact is left out: it held a secret where it cannot be masked".to_owned(),
            fatal: false,
        })
    }

    /// Clears all texts within a value; whether there was anything.
    fn clear(&self, finder: &AhoCorasick, value: &mut Value) -> bool {
        match value {
            Value::String(text) if finder.is_match(text.as_str()) => {
                *text = finder.replace_all(text, &self.instead);
                true
            }
            Value::Array(values) => values
                .iter_mut()
                .fold(false, |any, value| self.clear(finder, value) | any),
            Value::Object(values) => values
                .values_mut()
                .fold(false, |any, value| self.clear(finder, value) | any),
            _ => false,
        }
    }
}

/// The texts by which a value is known.
fn forms(value: &[u8]) -> Vec<Vec<u8>> {
    let whole = value.trim_ascii_end();
    let lines = whole.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let mut forms: Vec<Vec<u8>> = [whole]
        .into_iter()
        .chain(lines)
        .map(<[u8]>::to_vec)
        .collect();
    for form in forms.clone() {
        let Ok(text) = String::from_utf8(form) else {
            continue;
        };
        // A text as JSON cannot fail.
        let written = serde_json::to_string(&text).unwrap_or_default();
        let inner = written
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        forms.extend(inner.map(|inner| inner.as_bytes().to_vec()));
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ids::NodeName, ids::ShardId, journal::event::LogClass};

    fn masks() -> Masks {
        let secrets = [
            ("TOKEN", "s3cret-\"value\""),
            ("KEY", "-----BEGIN-----\nabcdefghij\nxy\n"),
        ];
        let secrets = secrets.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        Masks::new(&secrets.into())
    }

    #[test]
    fn values_their_lines_and_what_json_makes_of_them_are_masked() {
        let masks = masks();
        for (text, masked) in [
            ("a s3cret-\"value\" b", "a [secret TOKEN] b"),
            (r#"{"t":"s3cret-\"value\""}"#, r#"{"t":"[secret TOKEN]"}"#),
            ("abcdefghij", "[secret KEY]"),
            ("xy s3cret", "xy s3cret"),
        ] {
            assert_eq!(masks.text(text), masked);
            assert_eq!(masks.line(text.as_bytes(), 0), masked.as_bytes());
        }
        assert_eq!(masks.found(b"-----BEGIN-----"), Some("[secret KEY]"));
        assert_eq!(Masks::default().text("s3cret"), "s3cret");
        assert!(!format!("{masks:?}").contains("s3cret"));
    }

    #[test]
    fn the_beginning_of_a_secret_that_a_cut_line_ends_with_goes_too() {
        let masks = masks();
        assert_eq!(masks.line(b"long abcdefgh", 7).as_ref(), b"long ");
        assert_eq!(masks.line(b"long abcdefgh", 0).as_ref(), b"long abcdefgh");
    }

    #[test]
    fn facts_are_masked_and_others_stay_as_they_are() {
        let masks = masks();
        let said = |message: &str| Event::Log {
            node: NodeName::of(ShardId(0), 1),
            level: "error".into(),
            rule: "panic".into(),
            class: LogClass::Fatal,
            message: message.to_owned(),
            error: Some("abcdefghij".to_owned()),
            time: None,
            at: None,
        };
        let masked = masks.event(said("it is s3cret-\"value\""));
        let Event::Log { message, error, .. } = masked else {
            panic!("{masked:?}")
        };
        assert_eq!(message, "it is [secret TOKEN]");
        assert_eq!(error.as_deref(), Some("[secret KEY]"));
        let tick = Event::WatchPaused;
        assert_eq!(masks.event(tick.clone()), tick);
    }
}
