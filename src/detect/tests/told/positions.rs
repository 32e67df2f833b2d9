//! Where sources of one node say that it stands.

use super::*;

#[test]
fn a_node_that_agrees_on_what_does_not_follow_its_head_is_found_when_it_lasts() {
    let mut chain = Chain::new();
    chain.blocks(20);
    let odd = |chain: &mut Chain, seconds: u64| {
        for _ in 0..seconds {
            chain.blocks(5);
            // A second entry of that second replaces what the chain's own said.
            chain.heads(0, 270_110);
        }
    };
    // The blocks' own positions agree: nothing lasts.
    odd(&mut chain, 20);
    chain.is_quiet();
    let mut stands = Chain::new();
    stands.blocks(20);
    for _ in 0..4 {
        stands.millis += 1_000;
        stands.heads(0, 22);
    }
    let findings = stands.findings();
    let mismatch = one(&findings, "height-mismatch");
    assert_eq!(
        (mismatch.severity, &mismatch.nodes[..]),
        (Severity::Critical, &[node(0, 0)][..])
    );
    assert!(
        mismatch.summary.contains("has block 20 and agrees on 22"),
        "{}",
        mismatch.summary
    );
    stands.heads(0, 21);
    assert!(one(&stands.findings(), "height-mismatch").end.is_some());
}

fn position(origin: Origin, height: u64) -> Position {
    Position {
        node: node(0, 1),
        origin,
        height: Some(Height(height)),
        agreeing: None,
        view: None,
        hash: None,
        age: Duration::ZERO,
    }
}

#[test]
fn metrics_that_stay_behind_what_rpc_shows_are_found() {
    let told = |behind: u64| {
        let mut chain = Chain::new();
        chain.blocks(20);
        for _ in 0..5 {
            chain.blocks(10);
            let height = chain.height - behind;
            chain.add(Event::Position(position(Origin::Metrics, height)));
        }
        chain
    };
    told(0).is_quiet();
    let finding = told(3).finds("height-mismatch", Severity::Critical);
    assert!(
        finding.summary.contains("by its metrics"),
        "{}",
        finding.summary
    );
}

#[test]
fn a_log_ahead_of_the_chain_is_found_and_one_behind_is_not() {
    let told = |height: fn(u64) -> u64| {
        let mut chain = Chain::new();
        chain.blocks(20);
        for _ in 0..8 {
            chain.blocks(5);
            let height = height(chain.height);
            chain.add(Event::Position(position(Origin::Log, height)));
        }
        chain
    };
    told(|height| height - 4).is_quiet();
    let finding = told(|height| height + 1_000).finds("height-mismatch", Severity::Critical);
    assert!(
        finding.summary.contains("its log says"),
        "{}",
        finding.summary
    );
}

#[test]
fn a_disk_that_lacks_what_was_shown_is_found_at_once() {
    let read = |height: u64, age: u64, hash: Option<&str>| {
        let mut chain = Chain::new();
        chain.blocks(100);
        chain.add(Event::Position(Position {
            hash: hash.map(Into::into),
            age: Duration::from_secs(age),
            ..position(Origin::Disk, height)
        }));
        chain
    };
    // At 21 s the shard is at 100, ten seconds before it was at 50.
    read(50, 10, None).is_quiet();
    read(100, 0, Some("00000064")).is_quiet();
    let lacks = read(40, 10, None).finds("height-mismatch", Severity::Critical);
    assert!(
        lacks.summary.contains("its disk has 40"),
        "{}",
        lacks.summary
    );
    let other = read(100, 0, Some("beef")).finds("height-mismatch", Severity::Critical);
    assert!(
        other.summary.contains("another block 100"),
        "{}",
        other.summary
    );
}
