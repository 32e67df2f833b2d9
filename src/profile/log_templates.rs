//! Forms of log lines: the message with what varies replaced by `<*>`, found as lines come (after Drain, He et al.
//! 2017). Pure, deterministic, in bounded memory whatever the lines say.
//!
//! ```text
//!   line --> message + keys --> words, what varies masked --> forms of the same length and first word
//!                                                               |  more than half of the words equal: that form,
//!                                                               |  words that differ become <*>
//!                                                               '- none: a new form; the one longest unseen goes
//! ```

use std::collections::BTreeMap;

use serde::{
    Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    dialect::lenient::Text,
    log_rules::{Level, line},
};
use crate::journal::text;

/// Forms that are kept; the one longest unseen makes room.
pub const MOST_TEMPLATES: usize = 2_000;
/// Longest text of a form, in bytes.
pub const MOST_TEXT: usize = 300;
/// Words of a message that are looked at; a longer one differs by its start.
const MOST_WORDS: usize = 40;
/// Keys of a line with fields that are part of its form.
const MOST_KEYS: usize = 24;
/// Different first words of one length before further ones count as varying.
const MOST_FIRST_WORDS: usize = 100;
/// Hexadecimal letters in a row that are a hash and no word.
const HEX_WORD: usize = 8;

/// What stands for anything.
pub const ANYTHING: &str = "<*>";

/// A line's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mined {
    /// Its number, never used again for another form.
    pub id: u64,
    /// It was not known until this line.
    pub new: bool,
}

/// The forms of a run.
#[derive(Debug, Default)]
pub struct Miner {
    templates: BTreeMap<u64, Template>,
    /// Ids by length and first word.
    groups: BTreeMap<(usize, Box<str>), Vec<u64>>,
    /// Different first words of each length.
    first_words: BTreeMap<usize, usize>,
    /// Moment of last use to id: the first one goes when there is no room.
    by_use: BTreeMap<u64, u64>,
    moment: u64,
    next: u64,
}

#[derive(Debug)]
struct Template {
    words: Vec<Box<str>>,
    level: Level,
    used: u64,
    group: Box<str>,
}

impl Miner {
    /// The form of a line. Of two lines that are equal but for what varies, both have the same.
    pub fn mine(&mut self, line: &[u8]) -> Mined {
        let (words, level) = words_of(line);
        self.moment += 1;
        let group = self.group_of(&words);
        let ids = self.groups.get(&(words.len(), group.clone()));
        let best = ids.into_iter().flatten().copied().find(|id| {
            self.templates
                .get(id)
                .is_some_and(|template| is_similar(&template.words, &words))
        });
        match best {
            Some(id) => {
                self.meet(id, &words);
                Mined { id, new: false }
            }
            None => Mined {
                id: self.add(words, level, group),
                new: true,
            },
        }
    }

    /// The text of a form and the level of its first line.
    #[must_use]
    pub fn text(&self, id: u64) -> Option<(String, Level)> {
        let template = self.templates.get(&id)?;
        Some((join(&template.words), template.level))
    }

    /// Number of forms that are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.templates.len()
    }

    /// Whether no line was seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.templates.is_empty()
    }

    fn group_of(&self, words: &[Box<str>]) -> Box<str> {
        let first = words.first().map_or("", |word| word);
        let key = (words.len(), first.into());
        let crowded = self.first_words.get(&words.len()).copied().unwrap_or(0) >= MOST_FIRST_WORDS;
        if crowded && !self.groups.contains_key(&key) {
            return ANYTHING.into();
        }
        key.1
    }

    fn meet(&mut self, id: u64, words: &[Box<str>]) {
        let Some(template) = self.templates.get_mut(&id) else {
            return;
        };
        for (known, word) in template.words.iter_mut().zip(words) {
            if known != word && &**known != ANYTHING {
                *known = ANYTHING.into();
            }
        }
        self.by_use.remove(&template.used);
        template.used = self.moment;
        self.by_use.insert(self.moment, id);
    }

    fn add(&mut self, words: Vec<Box<str>>, level: Level, group: Box<str>) -> u64 {
        while self.templates.len() >= MOST_TEMPLATES {
            let Some((_, oldest)) = self.by_use.pop_first() else {
                break;
            };
            self.forget(oldest);
        }
        let id = self.next;
        self.next += 1;
        let ids = self.groups.entry((words.len(), group.clone())).or_default();
        if ids.is_empty() {
            *self.first_words.entry(words.len()).or_default() += 1;
        }
        ids.push(id);
        self.by_use.insert(self.moment, id);
        let used = self.moment;
        let template = Template {
            words,
            level,
            used,
            group,
        };
        self.templates.insert(id, template);
        id
    }

    fn forget(&mut self, id: u64) {
        let Some(template) = self.templates.remove(&id) else {
            return;
        };
        let length = template.words.len();
        let key = (length, template.group);
        let Some(ids) = self.groups.get_mut(&key) else {
            return;
        };
        ids.retain(|known| *known != id);
        if ids.is_empty() {
            self.groups.remove(&key);
            if let Some(count) = self.first_words.get_mut(&length) {
                *count -= 1;
            }
        }
    }
}

/// Whether two texts are of one form: as many words, and more than half of them equal or anything.
#[must_use]
pub fn is_same_form(one: &str, other: &str) -> bool {
    let words = |text: &str| text.split(' ').map(Box::from).collect::<Vec<Box<str>>>();
    is_similar(&words(one), &words(other))
}

/// More than half: what varies is masked already, so two messages of two words that share one are two messages.
fn is_similar(one: &[Box<str>], other: &[Box<str>]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let equal = one
        .iter()
        .zip(other)
        .filter(|(a, b)| a == b || &***a == ANYTHING || &***b == ANYTHING)
        .count();
    equal * 2 > one.len() || one.is_empty()
}

fn join(words: &[Box<str>]) -> String {
    let mut text = String::new();
    for word in words {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
    }
    text::clean(&text, MOST_TEXT)
}

/// The words of a line's message, masked, with its keys as the last one; and its level.
fn words_of(bytes: &[u8]) -> (Vec<Box<str>>, Level) {
    let trimmed = bytes.trim_ascii();
    let fields = (trimmed.first() == Some(&b'{'))
        .then(|| Fields::read(trimmed))
        .flatten();
    match fields {
        Some(fields) => {
            let mut words = masked(&fields.message);
            if !fields.keys.is_empty() {
                words.push(format!("{{{}}}", fields.keys.join(",")).into());
            }
            (words, fields.level.unwrap_or(Level::Info))
        }
        None => {
            let message = String::from_utf8_lossy(trimmed);
            let level = line::guess_level(&message).unwrap_or(Level::Info);
            (masked(&message), level)
        }
    }
}

fn masked(message: &str) -> Vec<Box<str>> {
    message
        .split_whitespace()
        .take(MOST_WORDS)
        .map(mask)
        .collect()
}

/// Replaces what varies in a word: runs of letters and digits with a digit in them (numbers, addresses, durations,
/// names with numbers), and long runs of hexadecimal letters.
fn mask(word: &str) -> Box<str> {
    let joins =
        |character: char| character.is_alphanumeric() || matches!(character, '.' | ':' | '-' | '_');
    let mut masked = String::with_capacity(word.len().min(MOST_TEXT));
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        if masked.len() > MOST_TEXT {
            break;
        }
        if !joins(first) {
            masked.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let end = rest.find(|c| !joins(c)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        // What only closes a sentence is no part of a number.
        let core = run.trim_end_matches(['.', ':', '-', '_']);
        let is_hash = core.len() >= HEX_WORD && core.bytes().all(|byte| byte.is_ascii_hexdigit());
        if core.bytes().any(|byte| byte.is_ascii_digit()) || is_hash {
            masked.push_str(ANYTHING);
            masked.push_str(&run[core.len()..]);
        } else {
            masked.push_str(run);
        }
        rest = after;
    }
    masked.into()
}

/// What of a line with fields is its form: message, level, and the other keys in order.
#[derive(Default)]
struct Fields {
    message: String,
    level: Option<Level>,
    keys: Vec<String>,
}

impl Fields {
    fn read(json: &[u8]) -> Option<Self> {
        let mut fields = Fields::default();
        fields.add(json, true)?;
        fields.keys.sort_unstable();
        fields.keys.dedup();
        Some(fields)
    }

    fn add(&mut self, json: &[u8], outer: bool) -> Option<()> {
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let visitor = FieldsVisitor {
            fields: self,
            outer,
        };
        deserializer.deserialize_map(visitor).ok()?;
        deserializer.end().ok()
    }
}

struct FieldsVisitor<'f> {
    fields: &'f mut Fields,
    /// Whether this is the line itself, and not a table within it.
    outer: bool,
}

impl<'de> Visitor<'de> for FieldsVisitor<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a log line's fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let fields = self.fields;
        while let Some(Text(key)) = map.next_key()? {
            match &*key {
                "level" | "lvl" => fields.level = Level::parse(&map.next_value::<Text<'_>>()?.0),
                "message" | "msg" => fields.message = map.next_value::<Text<'_>>()?.0.into_owned(),
                "time" | "t" => {
                    map.next_value::<IgnoredAny>()?;
                }
                // Rust's tracing has message and fields in a table of their own.
                "fields" if self.outer => {
                    let inner = map.next_value::<&RawValue>()?.get().as_bytes();
                    if inner.first() == Some(&b'{') {
                        // It was read as JSON before, so this fails for depth only, and then the rest of the line holds.
                        let _ = fields.add(inner, false);
                    }
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    // A key with a number in it is a value, whatever the logger thinks.
                    if fields.keys.len() < MOST_KEYS {
                        fields.keys.push(mask(&key).into());
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(lines: &[&str]) -> Vec<String> {
        let mut miner = Miner::default();
        let ids: Vec<u64> = lines
            .iter()
            .map(|line| miner.mine(line.as_bytes()).id)
            .collect();
        let mut distinct = ids.clone();
        distinct.sort_unstable();
        distinct.dedup();
        distinct
            .into_iter()
            .map(|id| miner.text(id).unwrap().0)
            .collect()
    }

    #[test]
    fn what_varies_is_masked_and_the_rest_kept() {
        assert_eq!(
            texts(&[
                "peer s0-n01 (10.1.2.3:9000) left after 1.5s, height=57.",
                "peer s3-n02 (10.9.2.3:9000) left after 20ms, height=58.",
            ]),
            ["peer <*> (<*>) left after <*>, height=<*>."]
        );
        assert_eq!(texts(&["hash deadbeef", "hash cafecafe"]), ["hash <*>"]);
        assert_eq!(texts(&["a decade faded"]), ["a decade faded"]);
        assert_eq!(texts(&["", "  "]), [""]);
    }

    #[test]
    fn json_lines_are_known_by_message_and_keys() {
        assert_eq!(
            texts(&[
                r#"{"level":"info","blockNum":57,"blockHash":"0xab","time":"x","message":"BINGO !!! 57"}"#,
                r#"{"level":"info","blockHash":"0xcd","blockNum":58,"time":"y","message":"BINGO !!! 58"}"#,
                r#"{"level":"info","blockNum":58,"time":"y","message":"Sent 58"}"#,
            ]),
            ["BINGO !!! <*> {blockHash,blockNum}", "Sent <*> {blockNum}"]
        );
        assert_eq!(
            texts(&[
                r#"{"timestamp":"x","level":"INFO","fields":{"message":"finalized block","height":"4"},"target":"application","line_number":150}"#,
                r#"{"timestamp":"y","level":"INFO","fields":{"message":"finalized block","height":"5"},"target":"application","line_number":150}"#,
                r#"{"timestamp":"y","level":"INFO","fields":{"message":"loaded peers","peers":4},"target":"validator","line_number":241}"#,
                r#"{"fields":"none","msg":"of a table"}"#,
            ]),
            [
                "finalized block {height,line_number,target,timestamp}",
                "loaded peers {line_number,peers,target,timestamp}",
                "of a table",
            ]
        );
        let mut miner = Miner::default();
        let id = miner.mine(br#"{"lvl":"eror","msg":"no"}"#).id;
        assert_eq!(miner.text(id), Some(("no".to_owned(), Level::Error)));
    }

    #[test]
    fn messages_that_differ_in_few_words_are_one_form() {
        let lines = [
            "connection to alice was closed by the other side",
            "connection to bob was closed by the other side",
        ];
        assert_eq!(
            texts(&lines),
            ["connection to <*> was closed by the other side"]
        );
        assert_eq!(
            texts(&["Node started", "Node stopped"]).len(),
            2,
            "half is not enough"
        );
        assert!(is_same_form(
            "connection to <*> was closed by the other side",
            lines[1]
        ));
        assert!(!is_same_form("Node started", "Node stopped"));
        assert!(!is_same_form("a b c", "a b"));
    }

    #[test]
    fn memory_is_bounded_and_the_form_longest_unseen_goes() {
        let mut miner = Miner::default();
        let kept = miner.mine(b"keep me please").id;
        for round in 0..20_000_u32 {
            // Words without digits, all different: nothing can be masked or merged.
            let word: String = round
                .to_string()
                .bytes()
                .map(|digit| char::from(digit - b'0' + b'g'))
                .collect();
            miner.mine(format!("{word}x {word}y {word}z").as_bytes());
            if round % 500 == 0 {
                assert_eq!(miner.mine(b"keep me please").id, kept);
            }
        }
        assert!(miner.len() <= MOST_TEMPLATES);
        assert_eq!(miner.by_use.len(), miner.len());
        let grouped: usize = miner.groups.values().map(Vec::len).sum();
        assert_eq!(grouped, miner.len());
        assert!(miner.groups.values().all(|ids| !ids.is_empty()));
        assert_eq!(
            miner.first_words.values().sum::<usize>(),
            miner.groups.len()
        );
    }

    #[test]
    fn the_same_lines_give_the_same_forms() {
        let lines: Vec<String> = (0..500)
            .map(|index| format!("worker {} says {} to {}", index % 7, index % 3, index))
            .collect();
        let run = || {
            let mut miner = Miner::default();
            let ids: Vec<_> = lines
                .iter()
                .map(|line| miner.mine(line.as_bytes()))
                .collect();
            (ids, miner.len())
        };
        assert_eq!(run(), run());
        assert_eq!(run().1, 1);
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_form(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..40)) {
            let mut miner = Miner::default();
            for line in &lines {
                let mined = miner.mine(line);
                let (text, _) = miner.text(mined.id).unwrap();
                prop_assert!(text.len() <= MOST_TEXT && !text.chars().any(char::is_control));
                prop_assert_eq!(miner.mine(line).id, mined.id, "the same line has the same form");
            }
        }
    }
}
