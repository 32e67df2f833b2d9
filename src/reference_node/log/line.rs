//! One event as one JSON line, with the keys of Harmony's zerolog lines.
//!
//! Order of keys: level, consensus context, the event's own fields, error, time, message. Values are escaped by
//! the JSON writer, so that nothing a peer sends can break a line or reach a terminal as a control character.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::reference_node::wall;

/// Longest text of one value, in bytes: what a peer or the operating system says is cut, never repeated whole.
const TEXT_LIMIT: usize = 1_024;

/// How loud an event is. Harmony's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Level {
    /// Every vote and message.
    Debug,
    /// What a healthy node says: at most eight lines a block.
    Info,
    /// What costs time, and heals by itself.
    Warn,
    /// What an operator has to know.
    Error,
}

impl Level {
    /// The word in the line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// The value of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A JSON string.
    Text(Cow<'static, str>),
    /// A JSON number.
    Number(u64),
    /// A JSON boolean.
    Flag(bool),
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Number(number as u64)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// How loud.
    pub level: Level,
    /// Harmony's text where it has one.
    pub message: Cow<'static, str>,
    /// Further keys, in the order they are written.
    pub fields: Vec<(&'static str, Value)>,
    /// The cause of a failure, with the words of the operating system.
    pub error: Option<String>,
}

impl Event {
    /// An event without fields.
    #[must_use]
    pub fn new(level: Level, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            level,
            message: message.into(),
            fields: Vec::new(),
            error: None,
        }
    }

    /// Adds a field; the last one of a name does not replace an earlier one, so names are given once.
    #[must_use]
    pub fn field(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn error(mut self, error: impl std::fmt::Display) -> Self {
        self.error = Some(error.to_string());
        self
    }
}

/// Where consensus stands when the event happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The node's shard.
    pub shard: u32,
    /// Height being agreed (head + 1 in health).
    pub block: u64,
    /// View being agreed.
    pub view: u64,
    /// `Announce`, `Prepare` or `Commit`.
    pub phase: &'static str,
    /// `Normal`, `ViewChanging`, `Syncing` or `Listening`.
    pub mode: &'static str,
}

/// Renders the line with its final newline.
pub(super) fn render(context: Option<&Context>, event: &Event) -> String {
    let mut line = String::with_capacity(320);
    line.push_str("{\"level\":\"");
    line.push_str(event.level.name());
    line.push('"');
    if let Some(context) = context {
        // Writing to a String cannot fail.
        let _ = write!(
            line,
            ",\"shardID\":{},\"myBlock\":{},\"myViewID\":{},\"phase\":\"{}\",\"mode\":\"{}\"",
            context.shard, context.block, context.view, context.phase, context.mode
        );
    }
    for (name, value) in &event.fields {
        let _ = write!(line, ",\"{name}\":");
        match value {
            Value::Text(text) => push_text(&mut line, text),
            Value::Number(number) => {
                let _ = write!(line, "{number}");
            }
            Value::Flag(flag) => line.push_str(if *flag { "true" } else { "false" }),
        }
    }
    if let Some(error) = &event.error {
        line.push_str(",\"error\":");
        push_text(&mut line, error);
    }
    let _ = write!(
        line,
        ",\"time\":\"{}\"",
        humantime::format_rfc3339_nanos(wall::now())
    );
    line.push_str(",\"message\":");
    push_text(&mut line, &event.message);
    line.push_str("}\n");
    line
}

fn push_text(line: &mut String, text: &str) {
    let mut end = text.len().min(TEXT_LIMIT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    // A string always serialises; the empty string stands in for the impossible.
    line.push_str(&serde_json::to_string(&text[..end]).unwrap_or_else(|_| "\"\"".into()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_json_with_harmonys_keys() {
        let context = Context {
            shard: 1,
            block: 58,
            view: 60,
            phase: "Commit",
            mode: "Normal",
        };
        let event = Event::new(Level::Info, "HOORAY!!!!!!! CONSENSUS REACHED!!!!!!!")
            .field("blockNum", 57_u64)
            .field("blockHash", "0xab".to_string());
        let line = render(Some(&context), &event);
        assert!(line.ends_with("}\n"));
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(json["level"], "info");
        assert_eq!(json["myBlock"], 58);
        assert_eq!(json["myViewID"], 60);
        assert_eq!(json["shardID"], 1);
        assert_eq!(json["blockNum"], 57);
        assert_eq!(json["message"], "HOORAY!!!!!!! CONSENSUS REACHED!!!!!!!");
        assert!(line.find("\"level\"").unwrap() < line.find("\"myBlock\"").unwrap());
        assert!(line.find("\"time\"").unwrap() < line.find("\"message\"").unwrap());
    }

    #[test]
    fn hostile_text_stays_one_bounded_line_without_control_characters() {
        let hostile = format!("\u{1b}[2J\n{{\"level\":\"error\"}}{}", "ä".repeat(5_000));
        let line = render(None, &Event::new(Level::Warn, "x").field("text", hostile));
        assert_eq!(line.matches('\n').count(), 1);
        assert!(!line.contains('\u{1b}'));
        assert!(line.len() < 2_000);
        assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok());
    }
}
