use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::plan::Texts;

fn rule(name: &str, message: Option<&str>, error: Option<&str>, level: Option<&str>) -> LogRule {
    LogRule {
        name: name.to_owned(),
        message: message.map(Texts::one),
        error: error.map(Texts::one),
        fields: Default::default(),
        pattern: None,
        level: level.map(str::to_owned),
        class: LogClass::Note,
    }
}

/// Made once: building the search costs more than thousands of lines.
static PROFILE: LazyLock<RuleSet> = LazyLock::new(build);

fn profile() -> &'static RuleSet {
    &PROFILE
}

fn build() -> RuleSet {
    let mut started = rule("view-change-started", Some("[startViewChange]"), None, None);
    started.class = LogClass::ViewChangeStarted;
    let mut signatures = rule(
        "signatures",
        Some("annot get commit signatures"),
        None,
        Some("error"),
    );
    signatures.class = LogClass::CommitSignaturesLost;
    RuleSet::new(&[
        started,
        signatures,
        rule("quoted", Some("say \"hi\""), None, None),
    ])
    .unwrap()
}

fn with_pattern(message: &str, pattern: &str) -> LogRule {
    let mut made = rule("pattern", Some(message), None, None);
    made.pattern = Some(pattern.to_owned());
    made
}

#[test]
fn fields_and_patterns_are_conditions_too() {
    let mut timed_out = rule("propose-timeout", Some("Timed out"), None, None);
    timed_out.fields = [(
        "step".to_owned(),
        Texts(vec!["1".to_owned(), "Propose".to_owned()]),
    )]
    .into();
    let raw = with_pattern(
        "consensus:",
        r"^\S+ (?<level>\w+) consensus: (?<message>.*?)(?: err=(?<error>.*))?$",
    );
    let mut two = rule("two", None, None, None);
    two.message = Some(Texts(vec![
        "first text".to_owned(),
        "second text".to_owned(),
    ]));
    let mut loud = raw.clone();
    loud.level = Some("error".to_owned());
    loud.name = "loud".to_owned();
    let rules = RuleSet::new(&[timed_out, two, loud, raw]).unwrap();
    let found = |line: &str| rules.classify(line.as_bytes());
    let name = |line: &str| found(line).map(|found| found.rule.to_string());
    for (line, expected) in [
        (
            r#"{"level":"info","message":"Timed out","step":"Propose"}"#,
            Some("propose-timeout"),
        ),
        (
            r#"{"level":"info","message":"Timed out","step":1}"#,
            Some("propose-timeout"),
        ),
        (
            r#"{"level":"INFO","fields":{"message":"Timed out","step":"Propose"}}"#,
            Some("propose-timeout"),
        ),
        (
            r#"{"level":"info","message":"Timed out","step":"Precommit"}"#,
            None,
        ),
        (r#"{"level":"info","message":"Timed out"}"#, None),
        (r#"{"level":"debug","_msg":"a second text"}"#, Some("two")),
        (
            "10:00 WARN consensus: proposal refused err=bad block",
            Some("pattern"),
        ),
        (
            "10:00 ERROR consensus: proposal refused err=bad block",
            Some("loud"),
        ),
        ("consensus: without a time", None),
    ] {
        assert_eq!(name(line).as_deref(), expected, "{line}");
    }
    let parts = found("10:00 WARN consensus: proposal refused err=bad block").unwrap();
    assert_eq!(
        (parts.message.as_str(), parts.error.as_deref(), parts.level),
        ("proposal refused", Some("bad block"), Level::Warn)
    );
}

fn check(line: &str, rule: &str, level: Level) {
    let found = profile().classify(line.as_bytes());
    let found = found.unwrap_or_else(|| panic!("not classified: {line}"));
    assert_eq!((&*found.rule, found.level), (rule, level), "{line}");
}

#[test]
fn lines_of_all_three_dialects_are_classified() {
    // Log15, the node of the incident: one message, two causes; the error field tells.
    check(
        r#"{"err":"write harmony_db_0/1120808.log: no space left on device","lvl":"eror","msg":"Failed to write trie to disk","t":"2019-09-14T23:54:06.986637942Z"}"#,
        "no-space-left",
        Level::Error,
    );
    check(
        r#"{"err":"open harmony_db_0/942539.ldb: too many open files","lvl":"eror","msg":"Failed to write trie to disk","t":"2019-09-15T20:31:52.020892755Z"}"#,
        "too-many-open-files",
        Level::Error,
    );
    // Early zerolog.
    check(
        r#"{"level":"error","port":"9000","ip":"0.0.0.0","error":"missing trie node 9c6d (path )","caller":"/src/syncing.go:552","time":"2019-09-15T22:56:55.896684144Z","message":"[SYNC] Error adding new block to blockchain 821743 0"}"#,
        "error",
        Level::Error,
    );
    // Zerolog now.
    check(
        r#"{"level":"warn","shardID":0,"myBlock":58,"myViewID":58,"phase":"Announce","mode":"ViewChanging","nextViewID":59,"time":"2026-11-22T10:00:27.6Z","message":"[startViewChange]"}"#,
        "view-change-started",
        Level::Warn,
    );
    check(
        r#"{"level":"error","shardID":0,"error":"write /data/harmony_db_0/000123.log: no space left on device","time":"2026-11-22T10:01:00Z","message":"[finalCommit] Leader failed to commit the confirmed block"}"#,
        "no-space-left",
        Level::Error,
    );
    check(
        r#"{"level":"error","message":"[ProposeNewBlock] Cannot get commit signatures from last block"}"#,
        "signatures",
        Level::Error,
    );
    check(
        r#"{"level":"info","message":"say \"hi\""}"#,
        "quoted",
        Level::Info,
    );
    // Plain text.
    check(
        "zerolog: could not write event: write /log: no space left on device",
        "no-space-left",
        Level::Warn,
    );
    check("No space left on device", "no-space-left", Level::Warn);
    check(
        "panic: insertChain failed to update current block",
        "panic",
        Level::Fatal,
    );
    check("2026 FATAL cannot open db", "fatal", Level::Fatal);
    check(r#"{"level":"panic","message":"x"}"#, "fatal", Level::Fatal);
}

#[test]
fn lines_that_mean_nothing_are_left_alone() {
    for line in [
        r#"{"level":"info","message":"HOORAY!!!!!!! CONSENSUS REACHED!!!!!!!"}"#,
        r#"{"level":"info","message":"writes succeed again after: no space left on device"}"#,
        r#"{"level":"debug","message":"Cannot get commit signatures from last block"}"#,
        r#"{"level":"info","message":"panic: is what a line may quote"}"#,
        r#"{"level":"info","status":"error"}"#,
        "an ordinary error in a sentence",
        "",
        "{",
    ] {
        assert_eq!(profile().classify(line.as_bytes()), None, "{line}");
    }
}

#[test]
fn what_comes_out_is_clean_and_short() {
    let line = format!(
        r#"{{"level":"error","message":"\u001b[31m{}","error":"a\u202eb","time":"2026-11-22T10:00:27.6Z"}}"#,
        "x".repeat(60_000)
    );
    let found = profile().classify(line.as_bytes()).unwrap();
    assert!(found.message.starts_with("\u{fffd}[31mx") && found.message.len() <= 400);
    assert_eq!(found.error.as_deref(), Some("a\u{fffd}b"));
    assert!(found.time.is_some());
}

#[test]
fn rules_are_checked() {
    for (bad, says) in [
        (rule("x", None, None, None), "needs"),
        (rule("x", Some(""), None, None), "needs"),
        (
            rule("x", None, None, Some("wran")),
            "no level; did you mean `warn`?",
        ),
        (with_pattern("x", "(a"), "unclosed group"),
        (with_pattern("x", "(?<mesage>a)"), "did you mean `message`?"),
    ] {
        let error = RuleSet::new(&[bad]).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let bare = RuleSet::new(&[rule("warnings", None, None, Some("warn"))]).unwrap();
    for line in [
        r#"{"level":"warn","message":"x"}"#,
        r#"{"msg":"x","lvl":"warn"}"#,
        "WARN x",
    ] {
        assert_eq!(
            &*bare.classify(line.as_bytes()).unwrap().rule,
            "warnings",
            "{line}"
        );
    }
    assert_eq!(bare.classify(b"{\"lvl\":\"info\"}"), None);
}

/// A text of more than one line is there as its escape only, and never goes over the end of a line.
#[test]
fn a_text_of_two_lines_is_found_in_one_and_takes_no_two() {
    let rules = RuleSet::new(&[rule("trace", Some("panic\nstack"), None, None)]).unwrap();
    let lines = [
        r#"{"level":"info","message":"panic\nstack of it"}"#,
        "a panic",
        "stack of it",
        r#"{"level":"error","message":"no space left on device"}"#,
    ];
    let mut found = Vec::new();
    rules.scan(lines.join("\n").as_bytes(), |start, classified| {
        found.push((start, classified.rule.to_string()));
    });
    let last = lines[..3].iter().map(|line| line.len() + 1).sum();
    let expected = [(0, "trace".to_owned()), (last, "no-space-left".to_owned())];
    assert_eq!(found, expected);
}

#[test]
fn hostile_lines_are_survived() {
    let rules = profile();
    let deep = format!(
        "{{\"level\":\"error\",\"x\":{}{}}}",
        "[".repeat(30_000),
        "]".repeat(30_000)
    );
    assert_eq!(&*rules.classify(deep.as_bytes()).unwrap().rule, "error");
    let mut huge = br#"{"level":"error","message":""#.to_vec();
    huge.resize(10 << 20, b'y');
    assert!(rules.classify(&huge).is_some());
    assert!(rules.classify(b"\0\xff\xfe ERROR \x1b[2J\0").is_some());
    assert!(rules.classify(br#"{"level":"error","level":"info","message":["a"],"message":{"b":1},"n":1e999999}"#).is_none_or(|found| found.rule.len() > 1));
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = profile().classify(&bytes);
    }

    #[test]
    fn any_text_in_any_field_comes_out_clean(message in ".{0,200}", error in ".{0,200}", level in "(error|fatal|eror|crit|panic)") {
        let line = serde_json::json!({ "lvl": level, "msg": message, "err": error, "t": message }).to_string();
        let found = profile().classify(line.as_bytes()).unwrap();
        prop_assert!(!found.message.chars().any(char::is_control));
        prop_assert!(found.message.len() <= 400);
        prop_assert!(found.error.is_none_or(|error| !error.chars().any(char::is_control)));
    }

    /// Many lines at once are the same as each of them alone.
    #[test]
    fn a_scan_finds_what_its_lines_are(picks in prop::collection::vec(0usize..8, 0..12), ended in any::<bool>()) {
        let rules = profile();
        let texts = [
            r#"{"level":"info","message":"ERR in small print"}"#,
            r#"{"level":"info","message":"write: no space left on device"}"#,
            r#"{"level":"error","message":"failed"}"#,
            r#"{"msg":"[startViewChange] say \"hi\"","lvl":"dbug"}"#,
            "panic: it ends here",
            "E[2024-01-01|10:00:00.000] CORRUPTION, no space left on device",
            "ordinary",
            "",
        ];
        let lines: Vec<&str> = picks.iter().map(|pick| texts[*pick]).collect();
        let mut whole = lines.join("\n");
        if ended {
            whole.push('\n');
        }
        let mut found = Vec::new();
        rules.scan(whole.as_bytes(), |start, classified| found.push((start, classified)));
        let mut expected = Vec::new();
        let mut start = 0;
        for line in lines {
            expected.extend(rules.classify(line.as_bytes()).map(|classified| (start, classified)));
            start += line.len() + 1;
        }
        prop_assert_eq!(found, expected);
    }

    /// The search before the parsing must not lose a line that the parsing would classify.
    #[test]
    fn the_search_loses_nothing(pick in 0usize..6, spaced in any::<bool>(), level in "(debug|info|warn|error|fatal)", first in any::<bool>()) {
        let rules = profile();
        let texts = ["[startViewChange]", "no space left on device", "Input/output error", "CORRUPTION", "x", "say \"hi\""];
        let colon = if spaced { ": " } else { ":" };
        let message = serde_json::to_string(texts[pick]).unwrap();
        let line = if first {
            format!("{{\"level\"{colon}\"{level}\",\"message\"{colon}{message}}}")
        } else {
            format!("{{\"message\"{colon}{message},\"level\"{colon}\"{level}\"}}")
        };
        let parsed = Line::parse(line.as_bytes(), &[]);
        let expected = rules.rules.iter().position(|rule| rule.matches(&parsed));
        prop_assert_eq!(rules.classify(line.as_bytes()).map(|found| found.index), expected);
    }
}
