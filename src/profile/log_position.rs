//! Where a node stands, by its own log: the line by which it says that it has a new block. Pure.

use std::fmt;

use aho_corasick::AhoCorasick;
use regex::bytes::{Regex, RegexBuilder};
use serde::{
    Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};

use super::dialect::lenient::Text;
use crate::{
    ids::{Height, ViewId},
    plan::LogPosition,
};

/// Largest compiled expression, in bytes.
const LARGEST: usize = 1 << 20;

/// Finds positions in lines.
#[derive(Debug)]
pub struct PositionReader {
    how: How,
}

#[derive(Debug)]
enum How {
    Fields(Fields),
    Pattern(Regex),
}

#[derive(Debug)]
struct Fields {
    texts: AhoCorasick,
    height: String,
    hash: Option<String>,
}

/// A position that a line told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Height of the block.
    pub height: Option<Height>,
    /// The view.
    pub view: Option<ViewId>,
    /// Its hash, lower-case hex without prefix.
    pub hash: Option<String>,
}

impl PositionReader {
    /// Made ready for searching; `None` when there is nothing to search for.
    #[must_use]
    pub fn new(plan: &LogPosition) -> Option<Self> {
        let how = match &plan.pattern {
            Some(pattern) => How::Pattern(compile(pattern).ok()?),
            None if plan.messages.iter().all(String::is_empty) => return None,
            None => How::Fields(Fields {
                texts: AhoCorasick::new(&plan.messages).ok()?,
                height: plan.height.clone(),
                hash: plan.hash.clone(),
            }),
        };
        Some(Self { how })
    }

    /// What a line tells, if it is such a line.
    #[must_use]
    pub fn read(&self, line: &[u8]) -> Option<Told> {
        match &self.how {
            How::Fields(fields) => {
                if !fields.texts.is_match(line) {
                    return None;
                }
                let mut deserializer = serde_json::Deserializer::from_slice(line.trim_ascii());
                deserializer.deserialize_map(fields).ok().flatten()
            }
            How::Pattern(pattern) => {
                let found = pattern.captures(line)?;
                let text = |name| std::str::from_utf8(found.name(name)?.as_bytes()).ok();
                let number = |name| text(name)?.parse().ok();
                let told = Told {
                    height: number("height").map(Height),
                    view: number("view").map(ViewId),
                    hash: text("hash").and_then(read_hash),
                };
                (told.height.is_some() || told.view.is_some()).then_some(told)
            }
        }
    }
}

/// A pattern made ready.
///
/// # Errors
/// What is wrong with it.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(pattern).size_limit(LARGEST).build();
    let regex = built.map_err(|error| error.to_string())?;
    let tells = |name: &str| matches!(name, "height" | "view");
    if regex.capture_names().flatten().any(tells) {
        Ok(regex)
    } else {
        Err("there is no group `(?P<height>...)` or `(?P<view>...)`".to_owned())
    }
}

fn read_hash(text: &str) -> Option<String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let is_hash =
        (8..=128).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| digits.to_ascii_lowercase())
}

impl<'de> Visitor<'de> for &Fields {
    type Value = Option<Told>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a log line's fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let (mut height, mut hash) = (None, None);
        while let Some(Text(key)) = fields.next_key()? {
            if *key == *self.height {
                height = fields.next_value::<Text<'_>>()?.0.parse().ok();
            } else if Some(&*key) == self.hash.as_deref() {
                hash = read_hash(&fields.next_value::<Text<'_>>()?.0);
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        Ok(height.map(|height| Told {
            height: Some(Height(height)),
            view: None,
            hash,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader() -> PositionReader {
        PositionReader::new(&LogPosition {
            messages: vec![
                "CONSENSUS REACHED".to_owned(),
                "Reached Consensus".to_owned(),
            ],
            height: "blockNum".to_owned(),
            hash: Some("blockHash".to_owned()),
            pattern: None,
            deadline: None,
        })
        .unwrap()
    }

    #[test]
    fn the_lines_of_leaders_and_validators_tell_a_height() {
        let hash = "AB".repeat(32);
        for (number, message) in [
            ("57", "HOORAY!!!!!!! CONSENSUS REACHED!!!!!!!"),
            ("\"57\"", "BINGO !!! Reached Consensus"),
        ] {
            let line = format!(
                r#"{{"level":"info","myBlock":58,"blockNum":{number},"blockHash":"0x{hash}","message":"{message}"}}"#
            );
            let told = reader().read(line.as_bytes()).unwrap();
            assert_eq!(told.height, Some(Height(57)));
            assert_eq!(told.hash, Some(hash.to_lowercase()));
        }
    }

    #[test]
    fn other_lines_and_bad_ones_tell_nothing() {
        for line in [
            r#"{"blockNum":57,"message":"Sent Announce"}"#,
            r#"{"blockNum":"x","message":"BINGO !!! Reached Consensus"}"#,
            r#"{"blockNum":-1,"message":"BINGO !!! Reached Consensus"}"#,
            "BINGO !!! Reached Consensus blockNum=57",
            r#"{"blockNum":57,"message":"BINGO !!! Reached Consensus""#,
            "",
        ] {
            assert_eq!(reader().read(line.as_bytes()), None, "{line}");
        }
        let odd = br#"{"blockNum":5,"blockHash":"<b>","message":"BINGO !!! Reached Consensus"}"#;
        assert_eq!(reader().read(odd).unwrap().hash, None);
        let nothing = LogPosition {
            messages: Vec::new(),
            height: "h".to_owned(),
            hash: None,
            pattern: None,
            deadline: None,
        };
        assert!(PositionReader::new(&nothing).is_none());
    }

    #[test]
    fn a_pattern_reads_lines_of_any_form() {
        let plan = |pattern: &str| LogPosition {
            messages: Vec::new(),
            height: String::new(),
            hash: None,
            pattern: Some(pattern.to_owned()),
            deadline: None,
        };
        let pattern = r"(?:height=|block )(?P<height>\d+)(?: .*view (?P<view>\d+))?";
        let reader = PositionReader::new(&plan(pattern)).unwrap();
        let told = reader
            .read(b"\xff committed block 7 at last, view 9")
            .unwrap();
        assert_eq!((told.height, told.view), (Some(Height(7)), Some(ViewId(9))));
        let told = reader.read(b"height=8").unwrap();
        assert_eq!((told.height, told.view), (Some(Height(8)), None));
        assert_eq!(reader.read(b"block 99999999999999999999999"), None);
        for bad in ["(", "no group", r"(?P<hash>[0-9a-f]+)"] {
            assert!(compile(bad).is_err(), "{bad}");
            assert!(PositionReader::new(&plan(bad)).is_none(), "{bad}");
        }
    }
}
