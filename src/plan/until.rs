//! When a soak ends: after a time, at a height, or whichever of several comes first.

use std::{borrow::Cow, fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::values::{Span, human_duration};

/// `until = "8h"`, `until = "height 300000"` or `until = { any = ["8h", "height 300000"] }`.
///
/// Invariant: at least one of the two is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Until {
    /// Wall time after which the soak ends.
    pub time: Option<Duration>,
    /// Height that every shard has reached when the soak ends.
    pub height: Option<u64>,
}

const ALLOWED: &str =
    "a duration (`8h`), a height (`height 300000`) or `{ any = [\"8h\", \"height 300000\"] }`";

impl Until {
    /// Adds one condition.
    fn add<E: de::Error>(&mut self, text: &str) -> Result<(), E> {
        let trimmed = text.trim();
        let again = || E::custom(format!("{text:?} is the second condition of its kind"));
        if let Some(height) = trimmed.strip_prefix("height ") {
            let height = height.trim().replace('_', "").parse::<u64>().ok();
            let height = height.filter(|height| (1..=1_000_000_000_000).contains(height));
            let height =
                height.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &ALLOWED))?;
            return if self.height.replace(height).is_some() {
                Err(again())
            } else {
                Ok(())
            };
        }
        let span: Span = trimmed
            .parse()
            .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &ALLOWED))?;
        if span.0.is_zero() {
            return Err(E::custom("a soak of no length soaks nothing"));
        }
        if self.time.replace(span.0).is_some() {
            Err(again())
        } else {
            Ok(())
        }
    }
}

impl<'de> Deserialize<'de> for Until {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UntilVisitor;

        impl<'de> de::Visitor<'de> for UntilVisitor {
            type Value = Until;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(ALLOWED)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Until, E> {
                let mut until = Until::default();
                until.add(text)?;
                Ok(until)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Until, A::Error> {
                let mut until = Until::default();
                while let Some(key) = map.next_key::<String>()? {
                    if key != "any" {
                        return Err(de::Error::unknown_field(&key, &["any"]));
                    }
                    for text in map.next_value::<Vec<String>>()? {
                        until.add(&text)?;
                    }
                }
                if until == Until::default() {
                    return Err(de::Error::custom("`any` needs at least one condition"));
                }
                Ok(until)
            }
        }
        deserializer.deserialize_any(UntilVisitor)
    }
}

impl Serialize for Until {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let time = self.time.map(human_duration);
        let height = self.height.map(|height| format!("height {height}"));
        match (time, height) {
            (Some(time), None) => serializer.serialize_str(&time),
            (None, Some(height)) => serializer.serialize_str(&height),
            (time, height) => {
                let any: Vec<String> = time.into_iter().chain(height).collect();
                serializer.collect_map([("any", any)])
            }
        }
    }
}

impl schemars::JsonSchema for Until {
    fn schema_name() -> Cow<'static, str> {
        "Until".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A duration (8h), a height (height 300000), or both, whichever comes first.",
            "oneOf": [
                { "type": "string" },
                {
                    "type": "object",
                    "properties": { "any": { "type": "array", "items": { "type": "string" }, "minItems": 1 } },
                    "required": ["any"],
                    "additionalProperties": false
                }
            ]
        })
    }
}
