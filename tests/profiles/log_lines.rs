//! Every line of `tests/data/harmony_log_lines.toml` is taken for what the file says.

use std::collections::BTreeMap;

use canarynet::{
    journal::event::LogClass,
    profile::{log_position::PositionReader, log_rules::RuleSet},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    line: Vec<Whole>,
    symptoms: Vec<Symptoms>,
    raw: Vec<Raw>,
}

/// A line as it stood in a log.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    from: String,
    line: String,
    rule: Option<String>,
    class: Option<LogClass>,
    height: Option<u64>,
}

/// Messages, to be written as lines.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Symptoms {
    from: String,
    level: String,
    messages: Vec<String>,
    error: Option<String>,
    #[serde(default)]
    fields: BTreeMap<String, Value>,
    #[serde(default = "all_dialects")]
    dialects: Vec<Dialect>,
    rule: Option<String>,
    class: Option<LogClass>,
    height: Option<u64>,
}

/// Lines without fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    from: String,
    lines: Vec<String>,
    rule: Option<String>,
    class: Option<LogClass>,
    level: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Dialect {
    #[serde(rename = "log15")]
    Log15,
    #[serde(rename = "zerolog-2019")]
    EarlyZerolog,
    #[serde(rename = "zerolog")]
    Zerolog,
}

fn all_dialects() -> Vec<Dialect> {
    vec![Dialect::Log15, Dialect::EarlyZerolog, Dialect::Zerolog]
}

impl Dialect {
    /// A line as the node of that time wrote it.
    fn line(self, symptoms: &Symptoms, message: &str) -> String {
        let mut fields = Map::from_iter(symptoms.fields.clone());
        let level = symptoms.level.as_str();
        let mut own = |name: &str, value: Value| {
            fields.entry(name.to_owned()).or_insert(value);
        };
        own("myBlock", json!(58));
        own("myViewID", json!(58));
        match self {
            // Keys in the order of the alphabet.
            Self::Log15 => {
                own("ip", json!(""));
                own("port", json!("9000"));
                own("mode", json!("Normal"));
                own("phase", json!("Announce"));
                let short = match level {
                    "error" => "eror",
                    "debug" => "dbug",
                    "fatal" => "crit",
                    other => other,
                };
                own("lvl", json!(short));
                own("msg", json!(message));
                own("t", json!("2019-07-24T05:30:49.631456691Z"));
                if let Some(error) = &symptoms.error {
                    own("err", json!(error));
                }
                Value::Object(fields).to_string()
            }
            // The level first and the message last.
            Self::EarlyZerolog => {
                own("ip", json!("0.0.0.0"));
                own("port", json!("9000"));
                own("mode", json!("Normal"));
                own("phase", json!(0));
                zerolog(level, &fields, symptoms, message, "2020-05-25T08:15:11Z")
            }
            Self::Zerolog => {
                own("shardID", json!(0));
                own("mode", json!("Normal"));
                own("phase", json!("Announce"));
                zerolog(
                    level,
                    &fields,
                    symptoms,
                    message,
                    "2026-11-22T10:00:27.5+01:00",
                )
            }
        }
    }
}

fn zerolog(
    level: &str,
    fields: &Map<String, Value>,
    symptoms: &Symptoms,
    message: &str,
    time: &str,
) -> String {
    let mut parts = vec![("level".to_owned(), json!(level))];
    parts.extend(fields.clone());
    if let Some(error) = &symptoms.error {
        parts.push(("error".to_owned(), json!(error)));
    }
    parts.push(("caller".to_owned(), json!("/src/harmony/consensus/x.go:1")));
    parts.push(("time".to_owned(), json!(time)));
    parts.push(("message".to_owned(), json!(message)));
    let parts: Vec<String> = parts
        .iter()
        .map(|(key, value)| format!("{}:{value}", json!(key)))
        .collect();
    format!("{{{}}}", parts.join(","))
}

/// What is wrong with what a line was taken for.
struct Check {
    rules: RuleSet,
    position: PositionReader,
    wrong: Vec<String>,
    checked: usize,
}

impl Check {
    fn new() -> Self {
        let network = crate::plan("harmony", &[]).network;
        Self {
            rules: RuleSet::new(&network.log_rules).unwrap(),
            position: PositionReader::new(network.probe.log.as_ref().unwrap()).unwrap(),
            wrong: Vec::new(),
            checked: 0,
        }
    }

    fn line(
        &mut self,
        from: &str,
        line: &str,
        expected: (Option<&str>, Option<&LogClass>, Option<&str>),
        height: Option<u64>,
    ) {
        self.checked += 1;
        let (rule, class, level) = expected;
        let found = self.rules.classify(line.as_bytes());
        let got = found.as_ref().map(|found| (&*found.rule, &found.class));
        let same = match (rule, class) {
            (Some(rule), Some(class)) => got == Some((rule, class)),
            (None, None) => got.is_none(),
            _ => panic!("{from}: `rule` and `class` stand together: {line}"),
        };
        if !same {
            self.wrong.push(format!(
                "{from}: {got:?} instead of {rule:?} {class:?}: {line}"
            ));
        }
        let told = found.as_ref().map(|found| found.level.name());
        if level.is_some() && told != level {
            self.wrong.push(format!(
                "{from}: level {told:?} instead of {level:?}: {line}"
            ));
        }
        let read = self.position.read(line.as_bytes());
        let read = read.and_then(|told| told.height).map(|height| height.0);
        if read != height {
            self.wrong.push(format!(
                "{from}: tells {read:?} instead of {height:?}: {line}"
            ));
        }
    }
}

#[test]
fn every_documented_line_of_harmony_is_taken_for_what_it_is() {
    let cases: Cases = toml::from_str(&crate::file("data/harmony_log_lines.toml")).unwrap();
    let mut check = Check::new();
    for whole in &cases.line {
        let expected = (whole.rule.as_deref(), whole.class.as_ref(), None);
        check.line(&whole.from, &whole.line, expected, whole.height);
    }
    for symptoms in &cases.symptoms {
        let expected = (symptoms.rule.as_deref(), symptoms.class.as_ref(), None);
        for message in &symptoms.messages {
            for dialect in &symptoms.dialects {
                let line = dialect.line(symptoms, message);
                check.line(&symptoms.from, &line, expected, symptoms.height);
            }
        }
    }
    for raw in &cases.raw {
        let expected = (
            raw.rule.as_deref(),
            raw.class.as_ref(),
            raw.level.as_deref(),
        );
        for line in &raw.lines {
            check.line(&raw.from, line, expected, None);
        }
    }
    assert!(check.wrong.is_empty(), "{}", check.wrong.join("\n"));
    assert!(check.checked > 500, "only {} lines", check.checked);
}

/// Every rule of the profile is met by some line: one that is not is misspelt, or stands behind one that takes its lines.
#[test]
fn every_rule_of_harmony_has_a_line_that_it_takes() {
    let cases: Cases = toml::from_str(&crate::file("data/harmony_log_lines.toml")).unwrap();
    let named = |rule: &str| {
        let is = |named: &Option<String>| named.as_deref() == Some(rule);
        cases.line.iter().any(|case| is(&case.rule))
            || cases.symptoms.iter().any(|case| is(&case.rule))
            || cases.raw.iter().any(|case| is(&case.rule))
    };
    let rules = crate::plan("harmony", &[]).network.log_rules;
    let idle: Vec<_> = rules.iter().filter(|rule| !named(&rule.name)).collect();
    assert!(idle.is_empty(), "{idle:#?}");
    assert!(rules.len() > 40);
}
