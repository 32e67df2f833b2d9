//! Recorded answers, of the shapes that the projects document, as the probes of the shipped profiles read them.

use std::time::Duration;

use canarynet::{
    ids::{Height, ShardId, ViewId},
    journal::event::Mode,
    plan::Plan,
    profile::{
        dialect::{self, Reply},
        reads::{self, Known},
    },
    time::Elapsed,
};

fn recorded(path: &str) -> Vec<u8> {
    crate::file(&format!("data/recorded/{path}")).into_bytes()
}

fn harmony(path: &str) -> Result<Reply, String> {
    let plan = crate::plan("harmony", &[]);
    let dialect = dialect::find(&plan.network.probe.dialect).unwrap();
    let reply = dialect.read(&recorded(&format!("harmony/{path}")));
    reply.map_err(|bad| bad.into_text())
}

#[test]
fn harmony_tells_head_signers_view_and_mode() {
    let reply = harmony("healthy.json").unwrap();
    let (head, status) = (reply.head.unwrap(), reply.status.unwrap());
    assert_eq!(
        (head.height, head.view, head.shard),
        (Height(57), Some(ViewId(59)), Some(ShardId(0)))
    );
    assert_eq!(head.signers, Some(6), "of the bitmap 3f");
    assert_eq!(
        (status.mode, status.leads),
        (Some(Mode::Normal), Some(true))
    );
    assert_eq!(
        (status.agreeing, status.view),
        (Some(Height(58)), Some(ViewId(60)))
    );

    let changing = harmony("view_changing.json").unwrap().status.unwrap();
    assert_eq!(
        (changing.mode, changing.view),
        (Some(Mode::ViewChanging), Some(ViewId(63)))
    );

    // The fault of July 2019: what it agrees on is not what follows its disk.
    let apart = harmony("memory_is_not_disk.json").unwrap();
    let (head, status) = (apart.head.unwrap(), apart.status.unwrap());
    assert_eq!(
        (head.height, status.agreeing, status.mode),
        (Height(57), Some(Height(61)), Some(Mode::Syncing))
    );

    let old = harmony("of_2020.json").unwrap();
    assert_eq!(old.head.unwrap().height, Height(57));
    let status = old.status.unwrap();
    assert_eq!(
        (status.mode, status.view, status.leads),
        (None, None, Some(true))
    );

    let later = harmony("unknown_mode.json").unwrap().status.unwrap();
    assert_eq!(later.mode, Some(Mode::Other));
    let refused = harmony("refused.json").unwrap_err();
    assert!(
        refused.contains("-32000") && refused.contains("greater than"),
        "{refused}"
    );
}

/// `hmyv2_inSync` is true in every case and `hmyv2_syncing` the wrong way round: neither is asked, and neither would count.
#[test]
fn what_lies_is_never_asked() {
    let lies: serde_json::Value = serde_json::from_slice(&recorded("harmony/lies.json")).unwrap();
    let plan = crate::plan("harmony", &[]);
    let dialect = dialect::find(&plan.network.probe.dialect).unwrap();
    let mut asked = dialect.poll(&[Height(1)], true).into_owned();
    asked.extend(dialect.poll(&[], false).into_owned());
    asked.extend(dialect.headers(&[Height(1), Height(2)]));
    let asked = String::from_utf8(asked).unwrap();
    for lie in lies.as_array().unwrap() {
        let method = lie["method"].as_str().unwrap();
        assert!(!asked.contains(method), "{method} is asked: {asked}");
    }
    // An answer that says nothing but "in sync" is no head.
    let reply = dialect.read(&recorded("harmony/lies.json"));
    assert!(
        reply.is_err() || reply.is_ok_and(|reply| reply.head.is_none() && reply.status.is_none())
    );
}

/// What a node tells whose answers, by a part of their request, are these; a request without an answer is silent.
fn told(plan: &Plan, answers: &[(&str, &str)]) -> Result<Reply, String> {
    let reads = &plan.network.probe.reads;
    let mut known = Known::new(reads);
    for request in &reads.requests {
        let asked = format!(
            "{} {}",
            request.path,
            request.body.as_deref().unwrap_or_default()
        );
        let answer = answers.iter().find(|(part, _)| asked.contains(part));
        let Some((_, path)) = answer else { continue };
        let told = reads::read(request, &recorded(path)).map_err(|bad| bad.into_text())?;
        known.take(request, told, Elapsed::from_secs(1));
    }
    let reply = known.reply(Elapsed::from_secs(1), Duration::from_secs(3));
    reply.map_err(|bad| bad.into_text())
}

const COMETBFT: [(&str, &str); 4] = [
    ("/status", "cometbft/status.json"),
    (
        "/dump_consensus_state",
        "cometbft/dump_consensus_state.json",
    ),
    ("/net_info", "cometbft/net_info.json"),
    ("/metrics", "cometbft/metrics.txt"),
];

fn cometbft(other: &[(&str, &str)]) -> Result<Reply, String> {
    let answers: Vec<_> = other.iter().chain(&COMETBFT).copied().collect();
    told(&crate::plan("cometbft", &[]), &answers)
}

#[test]
fn cometbft_tells_head_proposer_round_and_whether_it_catches_up() {
    let reply = cometbft(&[]).unwrap();
    let (head, status) = (reply.head.unwrap(), reply.status.unwrap());
    assert_eq!(head.height, Height(5));
    assert_eq!(
        &*head.hash,
        "790ba84c3545fccc49a5c629cee6ea58a6e875c3862175bdc11ee7af54703501"
    );
    assert_eq!(
        (status.mode, status.leads),
        (Some(Mode::Normal), Some(true))
    );
    assert_eq!(
        (status.agreeing, status.view),
        (Some(Height(6)), Some(ViewId(2)))
    );

    let behind = cometbft(&[("/status", "cometbft/status_catching_up.json")]).unwrap();
    assert_eq!(behind.status.unwrap().mode, Some(Mode::Syncing));
    // A label set is absent before its first event: the round is 0.
    let mut answers = COMETBFT;
    answers[1] = ("/metrics", "cometbft/metrics_before_the_first_round.txt");
    let first = told(&crate::plan("cometbft", &[]), &answers).unwrap();
    assert_eq!(first.status.unwrap().view, Some(ViewId(0)));
    answers[1] = ("/metrics", "cometbft/metrics.txt");
    let second = told(&crate::plan("cometbft", &[]), &answers).unwrap();
    assert_eq!(
        second.status.unwrap().view,
        Some(ViewId(2)),
        "by the metric, where the state is not told"
    );
    let genesis = cometbft(&[("/status", "cometbft/status_at_genesis.json")]).unwrap();
    let head = genesis.head.unwrap();
    assert_eq!((head.height, &*head.hash), (Height(0), ""));
    // An error page instead of the status is no answer, whatever the other ports say.
    assert!(cometbft(&[("/status", "cometbft/metrics.txt")]).is_err());
    assert!(
        told(&crate::plan("cometbft", &[]), &COMETBFT[1..]).is_err(),
        "no height"
    );
}

fn ethereum(block: &str, syncing: &str) -> Result<Reply, String> {
    let answers = [
        ("eth_getBlockByNumber", block),
        ("eth_syncing", syncing),
        ("net_peerCount", "ethereum/peers.json"),
    ];
    told(&crate::plan("ethereum-json-rpc", &[]), &answers)
}

#[test]
fn ethereum_tells_head_and_whether_it_syncs() {
    let reply = ethereum("ethereum/block.json", "ethereum/not_syncing.json").unwrap();
    let (head, status) = (reply.head.unwrap(), reply.status.unwrap());
    assert_eq!(head.height, Height(436));
    assert_eq!(
        &*head.hash,
        "e0594250efac73640aeff78ec40aaaaa87f91edb54e5af926ee71a32ef32da34"
    );
    assert_eq!(status.mode, Some(Mode::Normal));
    // An object with heights, instead of `false`.
    let syncing = ethereum("ethereum/block.json", "ethereum/syncing.json").unwrap();
    assert_eq!(syncing.status.unwrap().mode, Some(Mode::Syncing));
    // A node that says "not syncing" and has no block, or refuses the question, has no head.
    for bad in ["ethereum/no_block.json", "ethereum/refused.json"] {
        assert!(ethereum(bad, "ethereum/not_syncing.json").is_err(), "{bad}");
    }
}
