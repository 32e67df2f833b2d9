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

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $name(Arc<str>);

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
    }
}
