//! `upgrade`: a node is stopped and goes on as another build, or with other options, on the same data.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cast, Fault};
use crate::fault::{
    effect::Effect,
    operation::{Build, Operation, ProcessOp},
};
use crate::plan::values::Span;

fn grace() -> Span {
    Span(std::time::Duration::from_secs(5))
}

/// Parameters of `upgrade`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Typed")]
pub struct Parameters {
    typed: Typed,
}

/// ... as typed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Typed {
    /// A version of the plan (`[[versions]]`, or `base` for the profile's own): its build, and its options beside the
    /// profile's command. Excludes `image` and `binary`.
    version: Option<String>,
    /// An image, pulled as the profile's are. Default: the one that runs.
    image: Option<String>,
    /// A local executable (relative to the plan), packed with the libraries it needs. Excludes `image`.
    binary: Option<PathBuf>,
    /// Options of the program, each with another value: `{ "--defects" = "none" }`.
    #[serde(default)]
    options: BTreeMap<String, String>,
    /// Whether the heal puts back what ran before. Default false: the heal only sees to it that the node runs.
    #[serde(default)]
    back: bool,
    /// Time to stop before it is killed. Default `5s`.
    #[serde(default = "grace")]
    grace: Span,
}

impl TryFrom<Typed> for Parameters {
    type Error = &'static str;

    fn try_from(typed: Typed) -> Result<Self, &'static str> {
        if typed.image.is_some() && typed.binary.is_some() {
            return Err("`image` and `binary` exclude each other");
        }
        Ok(Self { typed })
    }
}

impl Parameters {
    fn build(&self) -> Build {
        match (&self.typed.image, &self.typed.binary) {
            (Some(image), _) => Build::Image(image.clone()),
            (None, Some(binary)) => Build::Binary(binary.clone()),
            (None, None) if self.typed.version.is_some() => Build::Base,
            (None, None) => Build::Same,
        }
    }
}

impl Fault for Parameters {
    fn breaks(&self, cast: &Cast<'_>) -> Vec<Operation> {
        // All stop before the first one goes on: replacing takes turns, stopping does not.
        let mut operations = cast.on_each(|node| Operation::Process {
            node,
            what: ProcessOp::Stop {
                grace: self.typed.grace.0,
            },
        });
        operations.extend(cast.on_each(|node| Operation::Process {
            node,
            what: ProcessOp::Replace {
                build: self.build(),
                options: self.typed.options.clone(),
                version: self.typed.version.clone(),
            },
        }));
        operations
    }

    fn heals(&self, cast: &Cast<'_>) -> Vec<Operation> {
        cast.on_each(|node| Operation::Process {
            node,
            what: ProcessOp::Restore {
                back: self.typed.back,
            },
        })
    }

    fn binary(&self) -> Option<&Path> {
        self.typed.binary.as_deref()
    }

    fn image(&self) -> Option<&str> {
        self.typed.image.as_deref()
    }

    fn effects(&self) -> &'static [Effect] {
        &[Effect::Down, Effect::OtherBuild]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_build_at_most() {
        let parse = |value| serde_json::from_value::<Parameters>(value).map(|typed| typed.build());
        assert_eq!(parse(serde_json::json!({})).unwrap(), Build::Same);
        let image = parse(serde_json::json!({ "image": "node:2" })).unwrap();
        assert_eq!(image, Build::Image("node:2".to_owned()));
        let base = parse(serde_json::json!({ "version": "base" })).unwrap();
        assert_eq!(base, Build::Base);
        let both = serde_json::json!({ "image": "node:2", "binary": "./node" });
        assert!(parse(both).unwrap_err().to_string().contains("exclude"));
    }
}
