//! Values as people write them in TOML: sizes, shares, durations, blocks, rates, seeds.
//!
//! Each is a text with a unit, parsed once, with an error that says what is allowed. A bare number is refused
//! wherever a unit could be meant in two ways.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Longest span of time that is accepted: a hundred years. Keeps all later arithmetic far from overflow.
pub const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Largest size that is accepted: an exbibyte.
const LARGEST: f64 = (1_u64 << 60) as f64;

/// Most blocks that are accepted: beyond any chain, and far from overflow when multiplied.
const MOST_BLOCKS: u64 = 1_000_000_000_000;

/// Why a text is no value of its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}: write {allowed}")]
pub struct ValueError {
    what: &'static str,
    text: String,
    allowed: &'static str,
}

macro_rules! text_value {
    ($(#[$doc:meta])* $name:ident($inner:ty), $what:literal, $allowed:literal, $parse:ident, $show:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
        pub struct $name(pub $inner);

        impl FromStr for $name {
            type Err = ValueError;

            fn from_str(text: &str) -> Result<Self, ValueError> {
                $parse(text.trim()).map(Self).ok_or_else(|| ValueError {
                    what: $what,
                    text: text.chars().take(80).collect(),
                    allowed: $allowed,
                })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(&$show(self.0))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(TextVisitor { allowed: $allowed, parse: str::parse })
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "description": concat!("A ", $what, ": ", $allowed, ".") })
            }
        }
    };
}

text_value! {
    /// Bytes: `64 MiB`.
    Size(u64), "size", "a number with a unit, like `64 MiB`, `1.5 GiB` or `512 B`", parse_size, human_size
}
text_value! {
    /// A share from 0 to 1, written as a percentage: `10 %`.
    Share(f64), "share", "a percentage from `0 %` to `100 %`", parse_share, show_share
}
text_value! {
    /// A duration of wall time (or, where the key says so, of mainnet time): `8h30m`.
    Span(Duration), "duration", "a duration like `200ms`, `8h` or `1m 30s`", parse_span, human_duration
}
text_value! {
    /// A number of blocks: `200 blocks`.
    Blocks(u64), "number of blocks", "a number like `200 blocks`", parse_blocks, show_blocks
}
text_value! {
    /// Transfers per second and shard: `50 tx/s per shard`.
    Rate(f64), "rate", "a rate like `50 tx/s per shard`, at most 10000 tx/s", parse_rate, show_rate
}

struct TextVisitor<T> {
    allowed: &'static str,
    parse: fn(&str) -> Result<T, ValueError>,
}

impl<T> de::Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.allowed)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).map_err(E::custom)
    }
}

/// Units of sizes, the binary ones first: [`human_size`] writes only those.
const UNITS: [(&str, f64); 9] = [
    ("TiB", 1_099_511_627_776.0),
    ("GiB", 1_073_741_824.0),
    ("MiB", 1_048_576.0),
    ("KiB", 1_024.0),
    ("TB", 1e12),
    ("GB", 1e9),
    ("MB", 1e6),
    ("kB", 1e3),
    ("B", 1.0),
];

/// A number without sign, exponent, infinity or NaN.
fn parse_number(text: &str) -> Option<f64> {
    let text = text.trim().replace('_', "");
    let plain = !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
    plain.then(|| text.parse().ok()).flatten()
}

fn parse_size(text: &str) -> Option<u64> {
    let (unit, factor) = UNITS.iter().find(|(unit, _)| text.ends_with(unit))?;
    let bytes = parse_number(&text[..text.len() - unit.len()])? * factor;
    (bytes <= LARGEST).then_some(bytes.round() as u64)
}

/// Bytes for people and for [`Size`]: the largest binary unit that shows them exactly to two decimals or better.
#[must_use]
pub fn human_size(bytes: u64) -> String {
    for (unit, factor) in &UNITS[..4] {
        let value = bytes as f64 / factor;
        if value < 1.0 {
            continue;
        }
        let rounded = format!("{value:.2}");
        return format!(
            "{} {unit}",
            rounded.trim_end_matches('0').trim_end_matches('.')
        );
    }
    format!("{bytes} B")
}

fn parse_share(text: &str) -> Option<f64> {
    let percent = parse_number(text.strip_suffix('%')?)?;
    (percent <= 100.0).then_some(percent / 100.0)
}

fn show_share(share: f64) -> String {
    // Six decimals hide that 0.07 * 100 is not 7 in binary.
    let text = format!("{:.6}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

fn parse_span(text: &str) -> Option<Duration> {
    humantime::parse_duration(text)
        .ok()
        .filter(|span| *span <= LONGEST)
}

/// A duration in the syntax of [`Span`], exact.
#[must_use]
pub fn human_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// A duration as one number and one unit (`2700ms`): what command lines and config files of nodes take.
#[must_use]
pub fn one_unit(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    for (unit, size) in [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)] {
        if nanos.is_multiple_of(size) {
            return format!("{}{unit}", nanos / size);
        }
    }
    format!("{nanos}ns")
}

/// A whole number of blocks with its unit; `None` for anything else.
#[must_use]
pub fn parse_blocks(text: &str) -> Option<u64> {
    let number = text
        .strip_suffix("blocks")
        .or_else(|| text.strip_suffix("block"))?;
    let count = number.trim().replace('_', "").parse::<u64>().ok()?;
    (count <= MOST_BLOCKS).then_some(count)
}

fn show_blocks(count: u64) -> String {
    format!("{count} blocks")
}

fn parse_rate(text: &str) -> Option<f64> {
    let text = text.strip_suffix("per shard").unwrap_or(text).trim();
    // Beyond this the generator itself is the test.
    parse_number(text.strip_suffix("tx/s")?).filter(|rate| *rate <= 10_000.0)
}

fn show_rate(rate: f64) -> String {
    format!("{rate} tx/s per shard")
}

/// What the network's keys, genesis and everything drawn follow from: a text, or a whole number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed(pub String);

impl FromStr for Seed {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        // A seed becomes an argument of every node and a word in reports.
        let fits = (1..=100).contains(&text.len());
        if fits && text.chars().all(|letter| letter.is_ascii_graphic()) {
            return Ok(Self(text.to_owned()));
        }
        Err(ValueError {
            what: "seed",
            text: text.chars().take(80).collect(),
            allowed: "1 to 100 visible ASCII characters without spaces, or a whole number",
        })
    }
}

impl Serialize for Seed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SeedVisitor;

        impl de::Visitor<'_> for SeedVisitor {
            type Value = Seed;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a seed: a text or a whole number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Seed, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Seed, E> {
                Ok(Seed(number.to_string()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Seed, E> {
                Ok(Seed(number.to_string()))
            }
        }
        deserializer.deserialize_any(SeedVisitor)
    }
}

impl schemars::JsonSchema for Seed {
    fn schema_name() -> Cow<'static, str> {
        "Seed".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "integer"], "description": "A text or a whole number." })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_mean_what_they_say() {
        assert_eq!("64 MiB".parse::<Size>().unwrap().0, 64 << 20);
        assert_eq!("1.5GiB".parse::<Size>().unwrap().0, 3 << 29);
        assert_eq!("10 MB".parse::<Size>().unwrap().0, 10_000_000);
        assert_eq!("10 %".parse::<Share>().unwrap().0, 0.1);
        assert_eq!(
            "8h30m".parse::<Span>().unwrap().0,
            Duration::from_secs(30_600)
        );
        assert_eq!("1_000 blocks".parse::<Blocks>().unwrap().0, 1_000);
        assert_eq!("50 tx/s per shard".parse::<Rate>().unwrap().0, 50.0);
        assert_eq!(one_unit(Duration::from_millis(2_700)), "2700ms");
        assert_eq!(one_unit(Duration::from_secs(27)), "27s");
        assert_eq!(one_unit(Duration::from_nanos(1_500)), "1500ns");
    }

    #[test]
    fn what_has_no_unit_or_no_sense_is_refused() {
        for bad in [
            "",
            "64",
            "64 mib",
            "-1 B",
            "1e3 B",
            "NaN B",
            "inf B",
            "9999999 TiB",
            "1.2.3 B",
        ] {
            assert!(bad.parse::<Size>().is_err(), "{bad:?}");
        }
        for bad in ["10", "101 %", "-1 %", "NaN %"] {
            assert!(bad.parse::<Share>().is_err(), "{bad:?}");
        }
        for bad in ["8", "soon", "9999999 years"] {
            assert!(bad.parse::<Span>().is_err(), "{bad:?}");
        }
        for bad in ["50", "99999 tx/s", "-1 tx/s", "50 tx/m"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad:?}");
        }
        for bad in ["", "a b", "a\u{1b}b", "é"] {
            assert!(bad.parse::<Seed>().is_err(), "{bad:?}");
        }
        let error = "64".parse::<Size>().unwrap_err().to_string();
        assert!(
            error.contains("\"64\" is no size") && error.contains("64 MiB"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_read_is_written_back(text in "\\PC{0,24}", count in 0..MOST_BLOCKS, millis in 0_u64..u64::from(u32::MAX)) {
            let _ = (text.parse::<Size>(), text.parse::<Share>(), text.parse::<Span>(), text.parse::<Rate>(), text.parse::<Seed>());
            prop_assert_eq!(Blocks(count).to_string().parse::<Blocks>().unwrap().0, count);
            let span = Span(Duration::from_millis(millis));
            prop_assert_eq!(span.to_string().parse::<Span>().unwrap(), span);
            let mebibytes = Size((millis % 1_024) << 20);
            prop_assert_eq!(mebibytes.to_string().parse::<Size>().unwrap(), mebibytes);
        }

        #[test]
        fn numbers_with_any_unit_never_panic(number in "[0-9._]{0,40}", unit in "( ?)(TiB|GiB|B|%|tx/s|blocks|h|years)") {
            let text = format!("{number}{unit}");
            let _ = (text.parse::<Size>(), text.parse::<Share>(), text.parse::<Span>(), text.parse::<Blocks>(), text.parse::<Rate>());
        }
    }
}
