//! A log line taken apart: JSON as log15, zerolog, zap, CometBFT and Rust's tracing write it, logfmt levels, plain text.

use std::{borrow::Cow, fmt, time::UNIX_EPOCH};

use serde::{
    Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{profile::dialect::lenient::Text, time::WallTime};

/// How loud a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For developers.
    Debug,
    /// The ordinary course.
    Info,
    /// Heals by itself.
    Warn,
    /// Somebody has to know.
    Error,
    /// The process ends.
    Fatal,
}

impl Level {
    /// The word of a journal entry.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Fatal => "fatal",
        }
    }

    /// From any of the words that loggers use, log15's cut ones among them.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        const WORDS: [(&str, Level); 18] = [
            ("trace", Level::Debug),
            ("trce", Level::Debug),
            ("debug", Level::Debug),
            ("dbug", Level::Debug),
            ("dbg", Level::Debug),
            ("info", Level::Info),
            ("inf", Level::Info),
            ("notice", Level::Info),
            ("warn", Level::Warn),
            ("warning", Level::Warn),
            ("wrn", Level::Warn),
            ("error", Level::Error),
            ("eror", Level::Error),
            ("err", Level::Error),
            ("fatal", Level::Fatal),
            ("panic", Level::Fatal),
            ("crit", Level::Fatal),
            ("critical", Level::Fatal),
        ];
        let mut found = WORDS
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(word));
        found.next().map(|(_, level)| *level)
    }
}

/// The parts of a line that rules look at.
#[derive(Debug, PartialEq, Eq, Default)]
pub(in crate::profile) struct Line<'a> {
    pub(in crate::profile) level: Option<Level>,
    /// The message, or the whole line where there are no fields.
    pub(in crate::profile) message: Cow<'a, str>,
    pub(in crate::profile) error: Option<Cow<'a, str>>,
    pub(in crate::profile) time: Option<WallTime>,
    /// Whether there were fields.
    pub(in crate::profile) structured: bool,
    /// The wanted fields that it has, by their place in the list of those.
    fields: Vec<(usize, Cow<'a, str>)>,
}

/// The level of a line that begins with it, as zerolog's do: cheaper than any search.
pub(super) fn leading_level(line: &[u8]) -> Option<Level> {
    let rest = line.strip_prefix(b"{\"level\":\"")?;
    match rest {
        [b'i', b'n', b'f', b'o', b'"', ..] => Some(Level::Info),
        [b'd', b'e', b'b', b'u', b'g', b'"', ..] => Some(Level::Debug),
        [b'w', b'a', b'r', b'n', b'"', ..] => Some(Level::Warn),
        [b'e', b'r', b'r', b'o', b'r', b'"', ..] => Some(Level::Error),
        [b'f', b'a', b't', b'a', b'l', b'"', ..] => Some(Level::Fatal),
        _ => None,
    }
}

impl<'a> Line<'a> {
    /// Takes a line apart; of its other fields, those in `wanted` are kept.
    pub(in crate::profile) fn parse(bytes: &'a [u8], wanted: &[String]) -> Self {
        let trimmed = bytes.trim_ascii();
        if trimmed.first() == Some(&b'{') {
            let mut line = Line {
                structured: true,
                ..Line::default()
            };
            if read_fields(trimmed, wanted, &mut line, true).is_ok() {
                return line;
            }
        }
        let message = String::from_utf8_lossy(trimmed);
        Self {
            level: guess_level(&message),
            message,
            ..Self::default()
        }
    }

    /// The value of a wanted field; of one that comes twice, the last.
    pub(in crate::profile) fn field(&self, place: usize) -> Option<&str> {
        let mut same = self.fields.iter().rev();
        same.find(|(field, _)| *field == place)
            .map(|(_, value)| &**value)
    }
}

fn read_fields<'a>(
    json: &'a [u8],
    wanted: &[String],
    line: &mut Line<'a>,
    outer: bool,
) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    deserializer.deserialize_map(LineVisitor {
        line,
        wanted,
        outer,
    })?;
    deserializer.end()
}

struct LineVisitor<'w, 'a> {
    line: &'w mut Line<'a>,
    wanted: &'w [String],
    /// Whether this is the line itself, and not a table within it.
    outer: bool,
}

impl<'de> Visitor<'de> for LineVisitor<'_, 'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a log line's fields")
    }

    /// Of a field that comes twice the last one holds: loggers append, and a strict reader would lose the line.
    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let line = self.line;
        while let Some(Text(key)) = fields.next_key()? {
            match &*key {
                "level" | "lvl" => line.level = Level::parse(&fields.next_value::<Text<'_>>()?.0),
                "message" | "msg" | "_msg" => line.message = fields.next_value::<Text<'_>>()?.0,
                "error" | "err" => {
                    let Text(error) = fields.next_value()?;
                    line.error = Some(error).filter(|error| !error.is_empty());
                }
                "time" | "t" | "ts" | "timestamp" => {
                    // Within the fields it may be a moment of something else: a block's, in milliseconds.
                    let time = parse_time(&fields.next_value::<Text<'_>>()?.0);
                    line.time = if self.outer { time } else { line.time.or(time) };
                }
                // Rust's tracing has message and fields in a table of their own.
                "fields" if self.outer => {
                    let inner = fields.next_value::<&RawValue>()?.get().as_bytes();
                    if inner.first() == Some(&b'{') {
                        // It was read as JSON before, so this fails for depth only, and then the rest of the line holds.
                        let _ = read_fields(inner, self.wanted, line, false);
                    }
                }
                key => match self.wanted.iter().position(|field| field == key) {
                    Some(place) => line
                        .fields
                        .push((place, fields.next_value::<Text<'_>>()?.0)),
                    None => {
                        fields.next_value::<IgnoredAny>()?;
                    }
                },
            }
        }
        Ok(())
    }
}

/// The level of plain text, from its first words; of JSON that was cut, from its level field.
pub(in crate::profile) fn guess_level(text: &str) -> Option<Level> {
    let mut end = text.len().min(160);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let head = &text[..end];
    if head.starts_with("panic:") || head.starts_with("fatal error:") {
        return Some(Level::Fatal);
    }
    if head.starts_with("E[20") {
        return Some(Level::Error);
    }
    for mark in [r#""level":""#, r#""lvl":""#, "level=", "lvl="] {
        if let Some((_, after)) = head.split_once(mark) {
            let word = after.split(|c: char| !c.is_ascii_alphabetic()).next();
            return word.and_then(Level::parse);
        }
    }
    let mut words = head.split(|c: char| !c.is_ascii_alphabetic());
    // Only capitals: `error` in small letters is part of a sentence.
    words.find_map(|word| {
        let capitals = word.len() >= 3 && word.bytes().all(|byte| byte.is_ascii_uppercase());
        if capitals { Level::parse(word) } else { None }
    })
}

/// RFC 3339 with any number of digits of a second and any offset.
fn parse_time(text: &str) -> Option<WallTime> {
    let (seconds, mut rest) = text.split_at_checked(19)?;
    let whole = humantime::parse_rfc3339_weak(seconds).ok()?;
    let whole = whole.duration_since(UNIX_EPOCH).ok()?.as_millis();
    let mut millis = i64::try_from(whole).ok()?;
    if let Some(fraction) = rest.strip_prefix('.') {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        let three = fraction[..digits].bytes().chain(*b"000").take(3);
        millis += three.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        rest = &fraction[digits..];
    }
    let offset = match rest.as_bytes() {
        [] | [b'Z'] => 0,
        [sign @ (b'+' | b'-'), a, b, b':', c, d] => {
            let digit = |byte: &u8| (*byte as char).to_digit(10).map(i64::from);
            let minutes = (digit(a)? * 10 + digit(b)?) * 60 + digit(c)? * 10 + digit(d)?;
            if *sign == b'+' { minutes } else { -minutes }
        }
        _ => return None,
    };
    let utc = millis - offset * 60_000;
    u64::try_from(utc).ok().map(WallTime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_every_offset() {
        let millis = |text| parse_time(text).map(|time| time.to_string());
        let utc = Some("2021-01-29T21:19:19.875Z".to_owned());
        assert_eq!(millis("2021-01-29T15:19:19.875714011-06:00"), utc);
        assert_eq!(millis("2021-01-29T21:19:19.875Z"), utc);
        assert_eq!(
            millis("2021-01-29T21:19:19Z").as_deref(),
            Some("2021-01-29T21:19:19.000Z")
        );
        for bad in [
            "",
            "yesterday",
            "2021-01-29T21:19:19.8+6",
            "2021-99-29T21:19:19Z",
            "1969-12-31T23:59:59Z",
            "2021-01-29T21:19:1\u{e4}",
        ] {
            assert_eq!(millis(bad), None, "{bad}");
        }
    }

    #[test]
    fn levels_of_plain_text_are_guessed_from_its_head() {
        for (text, expected) in [
            ("panic: runtime error", Some(Level::Fatal)),
            ("2026-11-22 10:00:00 ERROR disk", Some(Level::Error)),
            ("[WARN] low", Some(Level::Warn)),
            ("ts=1 level=error msg=x", Some(Level::Error)),
            (
                "E[2024-01-01|10:00:00.000] CONSENSUS FAILURE!!!",
                Some(Level::Error),
            ),
            (r#"{"level":"info","message":"cut here"#, Some(Level::Info)),
            ("an error occurred", None),
            ("", None),
        ] {
            assert_eq!(guess_level(text), expected, "{text}");
        }
    }
}
