use proptest::prelude::*;

use super::*;
use crate::profile::dialect::MAX_HEADERS;

fn heads() -> Heads {
    Heads::new((0..4).map(|index| (NodeName::of(ShardId(0), index), ShardId(0))))
}

fn header(height: u64, branch: u64) -> Header {
    Header {
        height: Height(height),
        hash: format!("{branch:08x}{height:016x}").into(),
        shard: Some(ShardId(0)),
        view: Some(ViewId(height)),
        epoch: None,
        leader: Some(format!("one1owner{}", height % 4).into()),
        signers: Some(4),
        committee: Some(4),
        time: None,
        content: None,
    }
}

fn reply(node: usize, height: u64, branch: u64) -> Reply {
    Reply {
        head: Some(header(height, branch)),
        status: Some(Status {
            shard: Some(ShardId(0)),
            view: Some(ViewId(height.saturating_add(1))),
            agreeing: Some(Height(height.saturating_add(1))),
            mode: Some(Mode::Normal),
            leads: Some(node == 0),
            address: Some(format!("one1owner{node}").into()),
        }),
        headers: Vec::new(),
        ledger: None,
    }
}

fn ask(heads: &mut Heads, node: usize, height: u64, millis: u64) -> (Vec<Event>, Option<Fetch>) {
    let mut events = Vec::new();
    let fetch = heads
        .answered(
            node,
            reply(node, height, 0),
            Elapsed::from_millis(millis),
            &mut events,
        )
        .unwrap();
    (events, fetch)
}

fn heights(events: &[Event]) -> Vec<u64> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Block { height, .. } => Some(height.0),
            _ => None,
        })
        .collect()
}

fn fetch_of(fetch: Option<Fetch>) -> Vec<u64> {
    fetch.map_or_else(Vec::new, |fetch| {
        fetch.heights.iter().map(|height| height.0).collect()
    })
}

#[test]
fn a_block_is_written_once_with_its_leader_by_name() {
    let mut heads = heads();
    assert_eq!(heights(&ask(&mut heads, 1, 5, 0).0), [5]);
    assert!(ask(&mut heads, 0, 5, 1).0.is_empty());
    let (events, _) = ask(&mut heads, 0, 6, 2);
    let [Event::Block { leader, node, .. }] = &*events else {
        panic!("{events:?}")
    };
    assert_eq!(
        leader.as_deref(),
        Some("one1owner2"),
        "node 2 was not met yet"
    );
    assert_eq!(node.as_str(), "s0-n00");
    ask(&mut heads, 3, 6, 3);
    let (events, _) = ask(&mut heads, 0, 7, 4);
    let [Event::Block { leader, .. }] = &*events else {
        panic!("{events:?}")
    };
    assert_eq!(leader.as_deref(), Some("s0-n03"));
}

#[test]
fn skipped_blocks_are_fetched_and_written_in_order() {
    let mut heads = heads();
    ask(&mut heads, 0, 10, 0);
    let (events, fetch) = ask(&mut heads, 1, 13, 1);
    assert!(events.is_empty(), "13 waits for what is before it");
    assert_eq!(fetch_of(fetch), [11, 12]);
    // Another node shows 12 and 14 meanwhile: nothing is asked for twice.
    let (events, fetch) = ask(&mut heads, 2, 14, 2);
    assert!(events.is_empty() && fetch.is_none());
    let mut events = Vec::new();
    let next = heads.fetched(1, vec![header(12, 0), header(11, 0)], &mut events);
    assert_eq!(heights(&events), [11, 12, 13, 14]);
    assert!(next.is_none());
}

#[test]
fn what_nobody_tells_is_given_up_after_two_attempts() {
    let mut heads = heads();
    ask(&mut heads, 0, 10, 0);
    assert_eq!(fetch_of(ask(&mut heads, 1, 13, 1).1), [11, 12]);
    let mut events = Vec::new();
    assert_eq!(
        fetch_of(heads.fetched(1, Vec::new(), &mut events)),
        [11, 12],
        "asked again"
    );
    assert!(heads.fetched(1, Vec::new(), &mut events).is_none());
    assert_eq!(heights(&events), [13]);
    // A pruned block in the middle costs only itself.
    ask(&mut heads, 0, 16, 2);
    let mut events = Vec::new();
    heads.fetched(0, vec![header(14, 0)], &mut events);
    assert_eq!(heights(&events), [14, 16]);
}

#[test]
fn a_long_gap_is_fetched_in_batches_and_a_longer_one_is_left_out() {
    let mut heads = heads();
    ask(&mut heads, 0, 10, 0);
    let (_, mut fetch) = ask(&mut heads, 0, 10 + MAX_GAP, 1);
    let mut written = Vec::new();
    let mut rounds = 0;
    while let Some(next) = fetch {
        assert!(next.heights.len() <= MAX_HEADERS);
        let headers = next.heights.iter().map(|height| header(height.0, 0));
        let mut events = Vec::new();
        fetch = heads.fetched(0, headers.collect(), &mut events);
        written.extend(heights(&events));
        rounds += 1;
        assert!(rounds < 20);
    }
    assert_eq!(written, (11..=10 + MAX_GAP).collect::<Vec<_>>());
    let far = 10 + MAX_GAP + MAX_GAP + 1;
    let (events, fetch) = ask(&mut heads, 0, far, 2);
    assert_eq!((heights(&events), fetch), (vec![far], None));
}

#[test]
fn contradictions_are_written_once_each() {
    let mut heads = heads();
    ask(&mut heads, 0, 10, 0);
    let contradicting = |heads: &mut Heads, node: usize, height: u64, branch: u64| {
        let mut events = Vec::new();
        let now = Elapsed::from_millis(1);
        let _ = heads.answered(node, reply(node, height, branch), now, &mut events);
        let was = |event: &Event| match event {
            Event::Head { was, .. } => Some(was.map(|was| was.0)),
            _ => None,
        };
        events.iter().filter_map(was).collect::<Vec<_>>()
    };
    assert_eq!(contradicting(&mut heads, 1, 10, 7), [None], "a fork");
    assert!(contradicting(&mut heads, 1, 10, 7).is_empty(), "the same");
    assert_eq!(
        contradicting(&mut heads, 0, 9, 0),
        [Some(10)],
        "a lower head"
    );
    assert!(contradicting(&mut heads, 0, 9, 0).is_empty());
}

#[test]
fn a_dead_branch_is_found_by_comparing() {
    let mut heads = heads();
    // Node 0 shows its own block 10 first and stays there; the others never show their block 10 as a head.
    let mut events = Vec::new();
    let now = Elapsed::from_millis(0);
    heads
        .answered(0, reply(0, 10, 7), now, &mut events)
        .unwrap();
    for node in 1..4 {
        ask(&mut heads, node, 11, 1);
    }
    assert_eq!(heads.comparison(1, Elapsed::from_secs(2)), Some(Height(10)));
    assert_eq!(
        heads.comparison(1, Elapsed::from_secs(2)),
        None,
        "once a round"
    );
    let mut answer = reply(1, 11, 0);
    answer.headers = vec![header(10, 0)];
    let mut events = Vec::new();
    heads
        .answered(1, answer, Elapsed::from_secs(2), &mut events)
        .unwrap();
    assert!(
        matches!(&*events, [Event::Head { node, height: Height(10), .. }] if node.as_str() == "s0-n01"),
        "{events:?}"
    );
}

#[test]
fn standing_is_written_every_second_and_at_changes() {
    let mut heads = heads();
    let tick = |heads: &mut Heads, millis: u64| {
        let mut events = Vec::new();
        heads.tick(Elapsed::from_millis(millis), &mut events);
        events
    };
    assert!(tick(&mut heads, 0).is_empty(), "nobody answered");
    ask(&mut heads, 0, 5, 1);
    assert_eq!(tick(&mut heads, 2).len(), 1);
    ask(&mut heads, 0, 6, 500);
    ask(&mut heads, 1, 6, 500);
    assert!(
        tick(&mut heads, 501).is_empty(),
        "a new block is no change of standing"
    );
    let events = tick(&mut heads, 1_002);
    assert!(
        matches!(&*events, [Event::Heads { nodes, .. }] if nodes.len() == 2),
        "{events:?}"
    );
    let mut changed = reply(1, 6, 0);
    changed.status.as_mut().unwrap().view = Some(ViewId(9));
    heads
        .answered(1, changed, Elapsed::from_millis(1_060), &mut Vec::new())
        .unwrap();
    let events = tick(&mut heads, 1_061);
    assert!(
        matches!(&*events, [Event::Heads { nodes, .. }] if nodes[0].view == Some(ViewId(9))),
        "{events:?}"
    );
}

#[test]
fn lies_are_refused_and_do_not_hide_the_truth() {
    let mut heads = heads();
    ask(&mut heads, 0, 10, 0);
    let mut events = Vec::new();
    let now = Elapsed::from_millis(1);
    assert!(
        heads
            .answered(1, reply(1, u64::MAX, 0), now, &mut events)
            .is_err()
    );
    let mut foreign = reply(1, 11, 0);
    foreign.head.as_mut().unwrap().shard = Some(ShardId(3));
    assert!(heads.answered(1, foreign, now, &mut events).is_err());
    assert!(
        heads
            .answered(1, Reply::default(), now, &mut events)
            .is_err()
    );
    assert!(events.is_empty());
    assert_eq!(heights(&ask(&mut heads, 0, 11, 2).0), [11]);
}

#[test]
fn a_liar_who_comes_first_is_outvoted() {
    let mut heads = heads();
    ask(&mut heads, 3, u64::MAX, 0);
    ask(&mut heads, 0, 10, 1);
    assert_eq!(heights(&ask(&mut heads, 1, 11, 2).0), [11]);
    assert_eq!(heights(&ask(&mut heads, 2, 12, 3).0), [12]);
    let again = heads.answered(
        3,
        reply(3, u64::MAX, 0),
        Elapsed::from_millis(4),
        &mut Vec::new(),
    );
    assert!(again.is_err());
}

proptest! {
    #[test]
    fn blocks_are_unique_and_memory_is_bounded(
        steps in prop::collection::vec((0usize..5, 0u64..3, any::<u64>(), 0u64..700, 0u8..6), 1..300)
    ) {
        let mut heads = heads();
        let mut seen = std::collections::BTreeSet::new();
        let mut events = Vec::new();
        let mut height = 100u64;
        for (time, (node, branch, wild, step, kind)) in steps.into_iter().enumerate() {
            let now = Elapsed::from_millis(time as u64 * 30);
            let at = match kind {
                0 => wild,
                1 => height.saturating_sub(step),
                2 => height.saturating_add(step),
                _ => { height += step % 3; height }
            };
            let fetch = heads.answered(node, reply(node, at, branch), now, &mut events);
            if let Ok(Some(fetch)) = fetch {
                let told = fetch.heights.iter().filter(|height| height.0 % 3 != step % 3);
                heads.fetched(node, told.map(|height| header(height.0, branch)).collect(), &mut events);
            }
            heads.comparison(node, now);
            heads.tick(now, &mut events);
        }
        for event in events {
            if let Event::Block { height, hash, .. } = event {
                prop_assert!(seen.insert((height, hash)), "{} twice", height);
            }
        }
        let shard = &heads.shards[&ShardId(0)];
        let size = format!("{shard:?}").len();
        prop_assert!(size < 400_000, "{}", size);
    }
}
