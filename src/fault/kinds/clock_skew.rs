//! `clock-skew`: a node's wall clock is wrong by a constant, as far as the profile says how that is done: containers share
//! the machine's clock, so that a node which offers no way cannot honestly be given another time.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cast, Fault};
use crate::fault::{
    effect::Effect,
    operation::{InsideOp, Operation, inside::Antagonist},
};

/// A span ahead or behind: `+1s`, `-500ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Offset {
    behind: bool,
    span: Duration,
}

impl TryFrom<String> for Offset {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let allowed = || format!("{text:?} is no offset: write `+1s` or `-500ms`");
        let (behind, span) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
            (Some(span), _) => (false, span),
            (_, Some(span)) => (true, span),
            _ => return Err(allowed()),
        };
        let span = humantime::parse_duration(span).map_err(|_| allowed())?;
        let day = Duration::from_secs(86_400);
        if span.is_zero() || span > day {
            return Err(format!("{text:?} is not above zero and at most a day"));
        }
        Ok(Self { behind, span })
    }
}

impl From<Offset> for String {
    fn from(offset: Offset) -> Self {
        let sign = if offset.behind { '-' } else { '+' };
        format!("{sign}{}", humantime::format_duration(offset.span))
    }
}

fn second() -> Offset {
    Offset {
        behind: false,
        span: Duration::from_secs(1),
    }
}

/// Parameters of `clock-skew`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// By how much, ahead (`+1s`, the default) or behind (`-500ms`).
    #[serde(default = "second")]
    pub by: Offset,
}

impl Fault for Parameters {
    fn breaks(&self, cast: &Cast<'_>) -> Vec<Operation> {
        let micros = i64::try_from(self.by.span.as_micros()).unwrap_or(i64::MAX);
        let ahead = if self.by.behind { -micros } else { micros };
        cast.on_each(|node| Operation::Inside {
            node,
            what: InsideOp::Start {
                fault: cast.fault.to_owned(),
                lasts: cast.duration,
                antagonist: Antagonist::ClockSkew { ahead },
            },
        })
    }

    fn heals(&self, cast: &Cast<'_>) -> Vec<Operation> {
        cast.on_each(|node| Operation::Inside {
            node,
            what: InsideOp::End {
                fault: cast.fault.to_owned(),
            },
        })
    }

    fn breaks_again(&self) -> bool {
        true
    }

    fn effects(&self) -> &'static [Effect] {
        &[Effect::ClockOff]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_have_a_sign_and_come_back_as_they_were() {
        for text in ["+1s", "-500ms", "+2m"] {
            let offset = Offset::try_from(text.to_owned()).unwrap();
            assert_eq!(String::from(offset), text);
        }
        for bad in ["1s", "+", "+0s", "-2days", "+soon"] {
            assert!(Offset::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
