//! A certificate: what a run showed, bound by hashes to its plan, its build and its journal. Pure.
//!
//! It says who ran, not who says so: the digest finds a changed statement, and no forger who computes it anew. Releases
//! sign the file with what they sign everything else with.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use sha2::{Digest as _, Sha256};

use crate::{
    detect::judgement::{AccelerationView, Measured},
    ids::{Height, RunId, ShardId},
    run::machine::NodeImage,
    time::WallTime,
    verdict::{GateResult, Outcome},
};

/// Version of the format.
pub const FORMAT: u32 = 1;

/// What a run showed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// [`FORMAT`].
    pub format: u32,
    /// Version of canarynet that ran it.
    pub canarynet: String,
    /// Version of canarynet that judged it again and certified it.
    pub certified_by: String,
    /// When, in milliseconds since 1970-01-01 UTC.
    pub certified: WallTime,
    /// The run.
    pub run: RunId,
    /// Its name.
    pub name: String,
    /// When it began, in milliseconds since 1970-01-01 UTC.
    pub started: WallTime,
    /// The soak plan's name.
    pub plan: String,
    /// The profile's name.
    pub profile: String,
    /// The seed.
    pub seed: String,
    /// What the nodes ran, short.
    pub program: String,
    /// The build under test by content; `None` where an older version made the run.
    pub image: Option<NodeImage>,
    /// ... and the other builds that nodes ran or could be given: by version, else by reference.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub versions: BTreeMap<String, NodeImage>,
    /// First and last height of each shard.
    pub heights: BTreeMap<ShardId, (Option<Height>, Option<Height>)>,
    /// Acceleration and mainnet time; durations are microseconds.
    pub acceleration: AccelerationView,
    /// What the run exercised.
    pub coverage: Measured,
    /// `pass`, `fail`, `infra` or `inconclusive`, judged again from the journal.
    pub outcome: Outcome,
    /// Every gate with asked, measured and outcome.
    pub gates: Vec<GateResult>,
    /// Findings that neither a fault excuses nor a waiver covers, by severity.
    pub findings: BTreeMap<String, u64>,
    /// SHA-256 of files of the run, by path.
    pub files: BTreeMap<String, String>,
}

/// A statement with its digest, as it is on disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Certificate {
    /// SHA-256 of the statement's bytes.
    pub sha256: String,
    /// The statement, byte for byte as it was hashed.
    pub statement: Box<RawValue>,
}

/// A certificate that says nothing.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// No JSON of this shape.
    #[error("it is no certificate")]
    Shape(#[from] serde_json::Error),
    /// The digest does not match.
    #[error("its statement was changed after it was made")]
    Changed,
    /// Of a later version.
    #[error("it has format {0}, this version reads up to {FORMAT}")]
    Newer(u64),
}

fn digest(statement: &RawValue) -> String {
    hex::encode(Sha256::digest(statement.get().as_bytes()))
}

impl Certificate {
    /// Seals a statement.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn seal(statement: &Statement) -> Result<Self, serde_json::Error> {
        let statement = serde_json::value::to_raw_value(statement)?;
        Ok(Self {
            sha256: digest(&statement),
            statement,
        })
    }

    /// Reads a certificate and checks its digest. Answers the statement as data, so that one of the same format with
    /// more in it can be checked too.
    ///
    /// # Errors
    /// When it is none, was changed, or is of a later format.
    pub fn open(bytes: &[u8]) -> Result<Value, CertificateError> {
        let certificate: Self = serde_json::from_slice(bytes)?;
        if digest(&certificate.statement) != certificate.sha256 {
            return Err(CertificateError::Changed);
        }
        let statement: Value = serde_json::from_str(certificate.statement.get())?;
        match statement.get("format").and_then(Value::as_u64) {
            Some(format) if format > u64::from(FORMAT) => Err(CertificateError::Newer(format)),
            _ => Ok(statement),
        }
    }
}

/// How a value is to be to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Equal,
    NotEqual,
    Less,
    AtMost,
    More,
    AtLeast,
}

/// In the order of reading: `<=` is not `<`.
const RELATIONS: [(&str, Relation); 6] = [
    ("!=", Relation::NotEqual),
    ("<=", Relation::AtMost),
    (">=", Relation::AtLeast),
    ("=", Relation::Equal),
    ("<", Relation::Less),
    (">", Relation::More),
];

/// What a certificate must say: `coverage.blocks>=90000`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    key: String,
    relation: Relation,
    value: String,
}

impl FromStr for Requirement {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is no requirement: write KEY=VALUE, or one of != < <= > >=");
        let at = text.find(['=', '!', '<', '>']).ok_or_else(wrong)?;
        let (key, rest) = text.split_at(at);
        let (sign, relation) = RELATIONS
            .iter()
            .find(|(sign, _)| rest.starts_with(sign))
            .ok_or_else(wrong)?;
        let value = rest[sign.len()..].trim();
        if key.trim().is_empty() || value.is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            key: key.trim().to_owned(),
            relation: *relation,
            value: value.to_owned(),
        })
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = RELATIONS
            .iter()
            .find(|(_, relation)| *relation == self.relation)
            .map_or("=", |(sign, _)| sign);
        write!(formatter, "{} {sign} {}", self.key, self.value)
    }
}

/// How a requirement came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// What was asked.
    pub asked: String,
    /// What the certificate says; `None` if it says nothing of it.
    pub said: Option<String>,
    /// Whether it holds.
    pub holds: bool,
}

impl Requirement {
    /// Holds it against a statement. `age` is the time since it was certified; `mainnet` its mainnet time.
    #[must_use]
    pub fn check(&self, statement: &Value, now: WallTime) -> Checked {
        let certified = statement.get("certified").and_then(Value::as_u64);
        let found = match self.key.as_str() {
            "age" => {
                certified.map(|at| Value::from(now.0.saturating_sub(at).saturating_mul(1_000)))
            }
            "mainnet" => statement.pointer("/acceleration/mainnet").cloned(),
            key => {
                let pointer = format!("/{}", key.replace('.', "/"));
                statement.pointer(&pointer).cloned()
            }
        };
        let holds = found.as_ref().is_some_and(|found| self.holds(found));
        Checked {
            asked: self.to_string(),
            said: found.map(|found| match found {
                Value::String(text) => text,
                other => other.to_string(),
            }),
            holds,
        }
    }

    fn holds(&self, found: &Value) -> bool {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let ordering = match found {
            Value::Number(number) => {
                let Some(asked) = self.number() else {
                    return false;
                };
                number
                    .as_f64()
                    .and_then(|number| number.partial_cmp(&asked))
            }
            // A word of JSON, which has no order.
            Value::Bool(_) | Value::Null => {
                let word = found.to_string();
                return match self.relation {
                    Relation::Equal => word == self.value,
                    Relation::NotEqual => word != self.value,
                    _ => false,
                };
            }
            Value::String(text) => {
                let versions = (
                    semver::Version::parse(text),
                    semver::Version::parse(&self.value),
                );
                match (versions, self.relation) {
                    ((Ok(found), Ok(asked)), _) => Some(found.cmp(&asked)),
                    (_, Relation::Equal | Relation::NotEqual) => Some(text.cmp(&self.value)),
                    // Words have no order that anybody means.
                    _ => None,
                }
            }
            Value::Array(_) | Value::Object(_) => None,
        };
        matches!(
            (self.relation, ordering),
            (
                Relation::Equal | Relation::AtMost | Relation::AtLeast,
                Some(Equal)
            ) | (
                Relation::NotEqual | Relation::AtMost | Relation::Less,
                Some(Less)
            ) | (
                Relation::NotEqual | Relation::AtLeast | Relation::More,
                Some(Greater)
            )
        )
    }

    /// A number, a share, or a duration in microseconds.
    fn number(&self) -> Option<f64> {
        if let Ok(number) = self.value.replace(['_', ','], "").parse() {
            return Some(number);
        }
        if let Some(percent) = self.value.strip_suffix('%') {
            return percent
                .trim()
                .parse::<f64>()
                .ok()
                .map(|share| share / 100.0);
        }
        let duration = humantime::parse_duration(&self.value).ok()?;
        Some(duration.as_micros() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn statement() -> Statement {
        Statement {
            format: FORMAT,
            canarynet: "0.4.0".to_owned(),
            certified_by: "0.4.1".to_owned(),
            certified: WallTime(1_000_000),
            run: "nightly-212-0abcd".parse().unwrap(),
            name: "nightly/212".to_owned(),
            started: WallTime(1),
            plan: "nightly".to_owned(),
            profile: "appchain".to_owned(),
            seed: "nightly-2026-11-21".to_owned(),
            program: "appd".to_owned(),
            image: None,
            versions: BTreeMap::new(),
            heights: BTreeMap::from([(ShardId(0), (Some(Height(1)), Some(Height(270_109))))]),
            acceleration: AccelerationView {
                asked: 20.0,
                measured: 19.8,
                slowest: 0.1 + 0.2,
                mainnet: Duration::from_secs(6 * 86_400 + 5),
            },
            coverage: Measured {
                blocks: 171_937,
                blind_share: 0.0002,
                ..Measured::default()
            },
            outcome: Outcome::Pass,
            gates: Vec::new(),
            findings: BTreeMap::from([("critical".to_owned(), 0)]),
            files: BTreeMap::new(),
        }
    }

    #[test]
    fn a_certificate_is_read_as_it_was_sealed_and_a_change_is_found() {
        let certificate = Certificate::seal(&statement()).unwrap();
        let text = serde_json::to_string(&certificate).unwrap();
        let read = Certificate::open(text.as_bytes()).unwrap();
        assert_eq!(read["coverage"]["blocks"], 171_937);
        let changed = text.replace("171937", "999999");
        assert!(matches!(
            Certificate::open(changed.as_bytes()),
            Err(CertificateError::Changed)
        ));
        let outcome = text.replace("pass", "fail");
        assert!(Certificate::open(outcome.as_bytes()).is_err());
        assert!(Certificate::open(b"{}").is_err());
        let later = Statement {
            format: 9,
            ..statement()
        };
        let later = serde_json::to_vec(&Certificate::seal(&later).unwrap()).unwrap();
        assert!(matches!(
            Certificate::open(&later),
            Err(CertificateError::Newer(9))
        ));
    }

    #[test]
    fn requirements_hold_or_not() {
        let statement = serde_json::to_value(statement()).unwrap();
        let now = WallTime(1_000_000 + 3_600_000);
        let check = |text: &str| text.parse::<Requirement>().unwrap().check(&statement, now);
        for holds in [
            "outcome=pass",
            "coverage.blocks >= 90_000",
            "coverage.blind_share<1%",
            "mainnet>=6d",
            "age<2h",
            "findings.critical=0",
            "heights.0.1>=270109",
            "canarynet>=0.3.9",
            "profile != other",
        ] {
            assert!(check(holds).holds, "{holds}: {:?}", check(holds));
        }
        for fails in [
            "outcome=fail",
            "outcome!=pass",
            "coverage.blocks>=171_938",
            "mainnet>=7d",
            "age<=30m",
            "canarynet<0.4.0",
            "findings.major=0",
            "profile>a",
            "coverage.blocks=many",
            "coverage=0",
            "no.such.key=1",
        ] {
            assert!(!check(fails).holds, "{fails}");
        }
        assert_eq!(check("no.such.key=1").said, None);
        for bad in ["", "outcome", "=pass", "outcome=", "a ~ b"] {
            assert!(bad.parse::<Requirement>().is_err(), "{bad}");
        }
    }
}
