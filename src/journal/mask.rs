//! Secrets taken out of texts before they are kept. Pure.
//!
//! A secret is known by its value, by each line of a value of several lines, and by the ways in which JSON and what makes
//! texts harmless write them. A text may end, or be cut, within a long secret: its beginning is masked as well.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use aho_corasick::{AhoCorasick, Input, MatchKind};
use serde_json::Value;

use super::{event::Event, text::clean_bytes};

/// Shortest text that is masked: a shorter one is in too much that is none.
pub const SHORTEST: usize = 8;

/// How much of a longer form is enough to know it by: a text may have been cut within a secret.
const HEAD: usize = 16;

/// What is taken out of texts, and what stands there instead. Cheap while there is nothing to mask.
#[derive(Default)]
pub struct Masks {
    /// Finds the beginnings of forms.
    finder: Option<AhoCorasick>,
    /// The forms of each beginning, never none.
    forms: Vec<Vec<Form>>,
}

/// A text that is masked.
struct Form {
    text: Vec<u8>,
    /// What stands there instead.
    instead: String,
}

/// A form, or its beginning, within a text.
struct Found<'a> {
    start: usize,
    end: usize,
    form: &'a Form,
    /// A form that is there as a whole.
    whole: Option<&'a Form>,
}

impl fmt::Debug for Masks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let forms: usize = self.forms.iter().map(Vec::len).sum();
        write!(formatter, "Masks({forms})")
    }
}

impl Masks {
    /// Of secrets by name.
    #[must_use]
    pub fn new(secrets: &BTreeMap<String, Vec<u8>>) -> Self {
        let mut heads: BTreeMap<Vec<u8>, Vec<Form>> = BTreeMap::new();
        for (name, value) in secrets {
            for text in forms(value) {
                if text.len() < SHORTEST {
                    continue;
                }
                let head = text[..text.len().min(HEAD)].to_vec();
                let same = heads.entry(head).or_default();
                if same.iter().all(|form| form.text != text) {
                    let instead = format!("[secret {name}]");
                    same.push(Form { text, instead });
                }
            }
        }
        let finder = (!heads.is_empty()).then(|| {
            AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                .build(heads.keys())
        });
        Self {
            // Building fails only beyond two billion states; secrets are bounded.
            finder: finder.and_then(Result::ok),
            forms: heads.into_values().collect(),
        }
    }

    /// The first form in a text from a place on, as much of it as is there.
    fn next(&self, text: &[u8], from: usize) -> Option<Found<'_>> {
        let finder = self.finder.as_ref()?;
        let found = finder.find(Input::new(text).range(from..))?;
        let (start, rest) = (found.start(), &text[found.start()..]);
        let forms = self.forms.get(found.pattern().as_usize())?;
        let (length, form) = forms
            .iter()
            .map(|form| (common(&form.text, rest), form))
            .max_by_key(|(length, _)| *length)?;
        Some(Found {
            start,
            end: start + length,
            form,
            whole: forms.iter().find(|form| rest.starts_with(&form.text)),
        })
    }

    /// A text without secrets; `None` if it holds none.
    fn masked(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut masked = Vec::new();
        let mut at = 0;
        while let Some(found) = self.next(text, at) {
            masked.extend_from_slice(&text[at..found.start]);
            masked.extend_from_slice(found.form.instead.as_bytes());
            at = found.end;
        }
        if at == 0 {
            return None;
        }
        masked.extend_from_slice(&text[at..]);
        Some(masked)
    }

    /// The same of a text; where a secret's beginning ends within a character, the rest of that is no text any more.
    fn masked_text(&self, text: &str) -> Option<String> {
        let masked = self.masked(text.as_bytes())?;
        Some(String::from_utf8_lossy(&masked).into_owned())
    }

    /// Whether a text holds a whole secret; its name in brackets.
    #[must_use]
    pub fn found(&self, text: &[u8]) -> Option<&str> {
        let mut from = 0;
        while let Some(found) = self.next(text, from) {
            if let Some(whole) = found.whole {
                return Some(&whole.instead);
            }
            from = found.start + 1;
        }
        None
    }

    /// A text without secrets, also without the beginning of a long one.
    #[must_use]
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.masked_text(text)
            .map_or(Cow::Borrowed(text), Cow::Owned)
    }

    /// A line without secrets, also without the first bytes of one where `cut` bytes of its end are missing.
    #[must_use]
    pub fn line<'a>(&self, line: &'a [u8], cut: u64) -> Cow<'a, [u8]> {
        let mut masked = self.masked(line).map_or(Cow::Borrowed(line), Cow::Owned);
        if cut > 0 {
            let begun = self.forms.iter().flatten().filter_map(|form| {
                // More than that is found anywhere.
                let lengths = (1..form.text.len().min(HEAD)).rev();
                lengths
                    .into_iter()
                    .find(|length| masked.ends_with(&form.text[..*length]))
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
        if self.finder.is_none() {
            return event;
        }
        let Ok(mut value) = serde_json::to_value(&event) else {
            return event;
        };
        if !self.clear(&mut value) {
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
    fn clear(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) => {
                let masked = self.masked_text(text);
                let any = masked.is_some();
                if let Some(masked) = masked {
                    *text = masked;
                }
                any
            }
            Value::Array(values) => values
                .iter_mut()
                .fold(false, |any, value| self.clear(value) | any),
            Value::Object(values) => values
                .values_mut()
                .fold(false, |any, value| self.clear(value) | any),
            _ => false,
        }
    }
}

/// How many bytes two texts begin with alike.
fn common(one: &[u8], other: &[u8]) -> usize {
    let same = one
        .iter()
        .zip(other)
        .take_while(|(one, other)| one == other);
    same.count()
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
        // What is told of a text was made harmless before.
        forms.push(clean_bytes(&form, usize::MAX).into_bytes());
        let Ok(text) = String::from_utf8(form) else {
            continue;
        };
        // A text as JSON cannot fail.
        let written = serde_json::to_string(&text).unwrap_or_default();
        let inner = written
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .unwrap_or_default();
        // Some writers make JSON safe for pages, too.
        let paged = inner
            .replace('<', "\\u003c")
            .replace('>', "\\u003e")
            .replace('&', "\\u0026");
        forms.extend([inner.as_bytes().to_vec(), paged.into_bytes()]);
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
    fn tabs_that_became_spaces_and_json_made_safe_for_pages_are_masked() {
        let secrets = [("T", "a<b>c&\td\"e"), ("K", "line one\nline two")];
        let secrets = secrets.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let masks = Masks::new(&secrets.into());
        for text in [
            "a<b>c&\td\"e",
            "a<b>c& d\"e",
            r#"a<b>c&\td\"e"#,
            r#"a\u003cb\u003ec\u0026\td\"e"#,
        ] {
            assert_eq!(masks.text(text), "[secret T]");
        }
        assert_eq!(masks.text("line one line two"), "[secret K]");
    }

    #[test]
    fn the_beginning_of_a_long_secret_is_masked_wherever_it_stands() {
        let long = "0123456789abcdefghijklmnopqrstuvwxyz";
        let secrets = [("LONG", long), ("TEXT", "0123456789abcdeäö!")];
        let secrets = secrets.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let masks = Masks::new(&secrets.into());
        for length in HEAD..=long.len() {
            let cut = &long[..length];
            assert_eq!(masks.text(&format!("is {cut}")), "is [secret LONG]");
            let within = format!("{cut}/{cut}#");
            assert_eq!(masks.text(&within), "[secret LONG]/[secret LONG]#");
        }
        let short = &long[..HEAD - 1];
        assert_eq!(masks.text(short), short);
        assert_eq!(
            masks.line(format!("is {short}").as_bytes(), 1),
            b"is ".as_slice()
        );
        // Only a whole one is reason to refuse a plan.
        assert_eq!(masks.found(&long.as_bytes()[..30]), None);
        let twice = format!("{}{long}", &long[..30]);
        assert_eq!(masks.found(twice.as_bytes()), Some("[secret LONG]"));
        // A character that begins like one of the secret.
        let masked = masks.text("0123456789abcdeäß");
        assert!(masked.starts_with("[secret TEXT]"), "{masked}");
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
