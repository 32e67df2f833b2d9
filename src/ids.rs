//! Names and numbers as types, so that a height is never taken for a view.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    };
}

number_id! {
    /// A shard's number; shard 0 is the beacon.
    ShardId
}
number_id! {
    /// A block's position in its shard's chain.
    Height
}
number_id! {
    /// One leader's turn at a height; grows over the whole chain.
    ViewId
}
number_id! {
    /// A committee's term, counted from 0.
    Epoch
}
number_id! {
    /// An entry's place in the journal's total order, counted from 0.
    Seq
}

/// Why a text is no [`NodeName`] or [`RunId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a valid {what}: 1 to 63 of a-z, 0-9 and -, a letter or digit first and last"
)]
pub struct NameError {
    what: &'static str,
    text: String,
}

/// Names become container names, host names, file names and log prefixes: the strictest of these alphabets.
fn check_name(what: &'static str, text: &str) -> Result<(), NameError> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let edge = |byte: Option<&u8>| {
        byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let bytes = text.as_bytes();
    if bytes.len() <= 63
        && bytes.iter().copied().all(inner)
        && edge(bytes.first())
        && edge(bytes.last())
    {
        return Ok(());
    }
    Err(NameError {
        what,
        text: text.chars().take(80).collect(),
    })
}

/// A shared copy of a name, checked where it was not seen lately: journals hold millions of a few names.
fn intern_name(what: &'static str, text: &[u8]) -> Result<Arc<str>, NameError> {
    thread_local! {
        static NAMES: Interned = Interned::new();
    }
    NAMES.with(|names| {
        names.find(text).map_or_else(
            || {
                let text = String::from_utf8_lossy(text);
                check_name(what, &text)?;
                Ok(names.keep(&text))
            },
            Ok,
        )
    })
}

/// Reads a name without an allocation where it was read before.
struct NameVisitor(&'static str);

impl serde::de::Visitor<'_> for NameVisitor {
    type Value = Arc<str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a {}", self.0)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Arc<str>, E> {
        intern_name(self.0, text.as_bytes()).map_err(E::custom)
    }
}

/// A shared copy of a text, the same one for the same text where it was asked for lately. For short texts of which there
/// are few.
pub(crate) fn intern(text: &str) -> Arc<str> {
    TEXTS.with(|texts| {
        let known = texts.find(text.as_bytes());
        known.unwrap_or_else(|| texts.keep(text))
    })
}

/// As [`intern`], of a text in ASCII; `None` if it is no text.
pub(crate) fn intern_ascii(text: &[u8]) -> Option<Arc<str>> {
    TEXTS.with(|texts| {
        let known = texts.find(text);
        known.or_else(|| Some(texts.keep(std::str::from_utf8(text).ok()?)))
    })
}

thread_local! {
    static TEXTS: Interned = Interned::new();
}

/// A text's length, and its first and last eight bytes as numbers; of a shorter one what overlaps or is left over. Texts
/// of up to sixteen bytes have these in common with no other text: it is quicker to compare than the texts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Ends {
    length: usize,
    head: u64,
    tail: u64,
}

impl Ends {
    #[inline]
    pub(crate) fn of(text: &[u8]) -> Self {
        let four = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
        let (head, tail) = match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
            (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
            _ => match (text.first_chunk::<4>(), text.last_chunk::<4>()) {
                (Some(head), Some(tail)) => (four(head), four(tail)),
                _ => (
                    text.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)),
                    0,
                ),
            },
        };
        Self {
            length: text.len(),
            head,
            tail,
        }
    }

    /// Whether no other text has these: no byte lies between them.
    #[inline]
    pub(crate) fn tell_all(self) -> bool {
        self.length <= 16
    }

    /// A number that follows from it: each of its bits from all of theirs.
    #[inline]
    pub(crate) fn hash(self) -> usize {
        let ends = u128::from(self.head ^ self.tail.rotate_left(32));
        let mixed = ends * 0x9e37_79b9_7f4a_7c15;
        (mixed ^ (mixed >> 64)) as usize
    }
}

/// Texts that were seen lately, each in a place that follows from it: memory is bounded, a text that shares its place with
/// another just takes turns.
struct Interned(std::cell::RefCell<Vec<Option<Seen>>>);

type Seen = (Ends, Arc<str>);

impl Interned {
    const PLACES: usize = 512;
    const LONGEST: usize = 64;

    fn new() -> Self {
        Self(std::cell::RefCell::new(vec![None; Self::PLACES]))
    }

    fn find(&self, text: &[u8]) -> Option<Arc<str>> {
        let ends = Ends::of(text);
        let known = self.0.borrow();
        let (known, shared) = known[ends.hash() % Self::PLACES].as_ref()?;
        let same = *known == ends && (ends.tell_all() || shared.as_bytes() == text);
        same.then(|| shared.clone())
    }

    fn keep(&self, text: &str) -> Arc<str> {
        let shared: Arc<str> = text.into();
        if text.len() <= Self::LONGEST {
            let ends = Ends::of(text.as_bytes());
            self.0.borrow_mut()[ends.hash() % Self::PLACES] = Some((ends, shared.clone()));
        }
        shared
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, schemars::JsonSchema)]
        #[schemars(with = "String")]
        pub struct $name(Arc<str>);

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(NameVisitor($what)).map(Self)
            }
        }

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check_name($what, text)?;
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(&self.0)
            }
        }
    };
}

text_id! {
    /// A node's name, unique in its run: `s0-n01` is node 1 of shard 0.
    NodeName, "node name"
}
text_id! {
    /// A run's id: unique on the machine, part of the name of everything that the run creates in the engine.
    RunId, "run id"
}

impl NodeName {
    /// The name with this text, if it is one.
    pub(crate) fn known(text: &[u8]) -> Option<Self> {
        intern_name("node name", text).ok().map(Self)
    }

    /// The name of the node with this index within its shard.
    #[must_use]
    pub fn of(shard: ShardId, index: u32) -> Self {
        Self(format!("s{shard}-n{index:02}").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert_eq!(NodeName::of(ShardId(3), 7).as_str(), "s3-n07");
        for bad in ["", "-a", "a-", "A", "a/b", "a\u{1b}", "ä", &"a".repeat(64)] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad:?}");
        }
        assert!(serde_json::from_str::<RunId>("\"../x\"").is_err());
        assert!(serde_json::from_str::<RunId>("7").is_err());
        let name: NodeName = serde_json::from_str("\"s0-n\\u00301\"").unwrap();
        assert_eq!(name, NodeName::of(ShardId(0), 1));
    }
}
