//! What real nodes of the profiles `etcd` and `alto` wrote, and what each line is taken for.

use canarynet::{journal::event::LogClass, profile::log_rules::RuleSet};

/// The rule and the class of each line, none where it means nothing.
fn found(profile: &str, lines: &[&str]) -> Vec<Option<(String, LogClass)>> {
    let rules = RuleSet::new(&crate::plan(profile, &[]).network.log_rules).unwrap();
    let found = lines.iter().map(|line| {
        let found = rules.classify(line.as_bytes())?;
        Some((found.rule.to_string(), found.class))
    });
    found.collect()
}

fn known(rule: &str, class: LogClass) -> Option<(String, LogClass)> {
    Some((rule.to_owned(), class))
}

#[test]
fn what_etcd_says_of_elections_and_of_its_end_over_a_full_disk() {
    let lines = [
        r#"{"level":"fatal","ts":"2026-11-27T02:26:06.098Z","caller":"backend/batch_tx.go:248","msg":"failed to commit tx","error":"write /data/member/member/snap/db: no space left on device"}"#,
        r#"{"level":"info","caller":"raft/raft.go:719","msg":"ee7d became candidate at term 4"}"#,
        r#"{"level":"info","caller":"raft/node.go:327","msg":"raft.node: ee7d elected leader b66b at term 2"}"#,
        r#"{"level":"info","caller":"embed/etcd.go:1","msg":"ready to serve client requests"}"#,
    ];
    assert_eq!(
        found("etcd", &lines),
        [
            known("no-space-left", LogClass::DiskFull),
            known("candidate", LogClass::ViewChangeStarted),
            known("elected", LogClass::ViewChangeFinished),
            None,
        ]
    );
}

/// Two alarms are raised by the same words: a member without room can be given some, one with damaged data is another matter.
#[test]
fn etcds_alarm_of_damaged_data_is_none_of_a_full_disk() {
    let lines = [
        r#"{"level":"warn","ts":"2026-11-27T05:51:36.090Z","caller":"etcdserver/apply.go:636","msg":"alarm raised","alarm":"NOSPACE","from":"8e9e05c52164694d"}"#,
        r#"{"level":"warn","ts":"2026-11-27T05:51:36.142Z","caller":"etcdserver/util.go:121","msg":"failed to apply request","took":"4.22µs","request":"header:<ID:11452269141698467078 > put:<key:\"a\" value_size:1 >","response":"","error":"etcdserver: no space"}"#,
        r#"{"level":"warn","ts":"2026-11-27T05:51:36.191Z","caller":"etcdserver/apply.go:667","msg":"alarm disarmed","alarm":"NOSPACE","from":"8e9e05c52164694d"}"#,
        r#"{"level":"warn","ts":"2026-11-27T05:51:36.214Z","caller":"etcdserver/apply.go:636","msg":"alarm raised","alarm":"CORRUPT","from":"8e9e05c52164694d"}"#,
        r#"{"level":"warn","ts":"2026-11-27T05:51:36.232Z","caller":"etcdserver/util.go:121","msg":"failed to apply request","took":"2.084µs","request":"header:<ID:11452269141698467082 > put:<key:\"a\" value_size:1 >","response":"","error":"etcdserver: corrupt cluster"}"#,
    ];
    assert_eq!(
        found("etcd", &lines),
        [
            known("alarm", LogClass::DiskFull),
            known("quota", LogClass::DiskFull),
            None,
            known("alarm-corrupt", LogClass::Corruption),
            known("refuses-corrupt", LogClass::Corruption),
        ]
    );
}

/// A panic is plain text between lines of JSON. Of a write that failed it is not said why: it may be another reason.
#[test]
fn what_alto_says_of_a_full_disk_before_it_ends() {
    let lines = [
        r#"{"timestamp":"2026-11-27T02:26:06.098Z","level":"INFO","fields":{"message":"finalized block","height":"409"}}"#,
        r#"{"timestamp":"2026-11-27T06:48:54.273668Z","level":"ERROR","fields":{"message":"task panicked","err":"\"unable to append to journal: Runtime(WriteFailed)\""},"target":"commonware_runtime::utils::handle","line_number":365}"#,
        "thread 'tokio-rt-worker' (3233) panicked at runtime/src/utils/handle.rs:120:13:",
        "failed to sync proposed block at (0, 115): io error: No space left on device (os error 28)",
    ];
    assert_eq!(
        found("alto", &lines),
        [
            None,
            known("error", LogClass::Error),
            known("panic", LogClass::Fatal),
            known("no-space-left", LogClass::DiskFull),
        ]
    );
}
