use proptest::prelude::*;

use super::*;
use crate::profile::dialect::MAX_HEADERS;

fn heads() -> Heads {
    with_powers([1; 4])
}

fn with_powers<const COUNT: usize>(powers: [u64; COUNT]) -> Heads {
    let members = powers.into_iter().zip(0..).map(|(power, index)| Member {
        name: NodeName::of(ShardId(0), index),
        shard: ShardId(0),
        power,
    });
    Heads::new(members, Quorum::TwoThirds)
}

/// Two nodes show this height, so that it is known.
fn begin(height: u64) -> Heads {
    let mut heads = heads();
    assert!(ask(&mut heads, 0, height, 0).0.is_empty(), "one alone");
    assert_eq!(heights(&ask(&mut heads, 1, height, 0).0), [height]);
    heads
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
    let mut heads = begin(5);
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
    let mut heads = begin(10);
    let (events, fetch) = ask(&mut heads, 1, 13, 1);
    assert!(events.is_empty() && fetch.is_none(), "one node's word");
    let (events, fetch) = ask(&mut heads, 2, 14, 2);
    assert!(events.is_empty(), "both wait for what is before them");
    assert_eq!(fetch_of(fetch), [11, 12]);
    // Another node shows 14 meanwhile: nothing is asked for twice.
    let (events, fetch) = ask(&mut heads, 3, 14, 3);
    assert!(events.is_empty() && fetch.is_none());
    let mut events = Vec::new();
    let told = vec![header(12, 0), header(11, 0)];
    let next = heads.fetched(2, told, Elapsed::from_millis(4), &mut events);
    assert_eq!(heights(&events), [11, 12, 13, 14]);
    assert!(next.is_none());
}

#[test]
fn what_nobody_tells_is_given_up_after_two_attempts() {
    let mut heads = begin(10);
    let at = Elapsed::from_millis;
    ask(&mut heads, 0, 13, 1);
    assert_eq!(fetch_of(ask(&mut heads, 1, 13, 1).1), [11, 12]);
    let mut events = Vec::new();
    assert!(
        heads.fetched(1, Vec::new(), at(2), &mut events).is_none(),
        "another one is to be asked"
    );
    assert!(ask(&mut heads, 1, 13, 3).1.is_none());
    assert_eq!(fetch_of(ask(&mut heads, 2, 13, 4).1), [11, 12]);
    assert!(heads.fetched(2, Vec::new(), at(5), &mut events).is_none());
    assert_eq!(heights(&events), [13]);
    // A pruned block in the middle costs only itself.
    ask(&mut heads, 0, 16, 6);
    assert_eq!(fetch_of(ask(&mut heads, 1, 16, 7).1), [14, 15]);
    let mut events = Vec::new();
    heads.fetched(1, vec![header(14, 0)], at(8), &mut events);
    assert_eq!(heights(&events), [14, 16]);
}

#[test]
fn a_node_that_is_alone_is_asked_again_a_moment_later() {
    let mut heads = begin(10);
    assert_eq!(fetch_of(ask(&mut heads, 1, 12, 1).1), [11]);
    let mut events = Vec::new();
    heads.fetched(1, Vec::new(), Elapsed::from_millis(2), &mut events);
    assert!(ask(&mut heads, 1, 12, 100).1.is_none());
    assert_eq!(fetch_of(ask(&mut heads, 1, 12, 202).1), [11]);
    heads.fetched(
        1,
        vec![header(11, 0)],
        Elapsed::from_millis(203),
        &mut events,
    );
    assert_eq!(heights(&events), [11, 12]);
}

#[test]
fn a_node_that_does_not_tell_what_it_skipped_holds_nobody_up() {
    let mut heads = begin(10);
    let at = Elapsed::from_millis;
    assert_eq!(fetch_of(ask(&mut heads, 0, 12, 0).1), [11]);
    // It is frozen, and says nothing for a second; the others go on.
    assert!(ask(&mut heads, 1, 12, 100).1.is_none(), "patience");
    assert_eq!(fetch_of(ask(&mut heads, 2, 13, 200).1), [11]);
    let mut events = Vec::new();
    heads.fetched(2, vec![header(11, 0)], at(210), &mut events);
    assert_eq!(heights(&events), [11, 12, 13]);
    assert_eq!(heights(&ask(&mut heads, 1, 14, 300).0), [14]);
    let mut events = Vec::new();
    heads.fetched(0, Vec::new(), at(1_000), &mut events);
    assert!(events.is_empty());
    // One that is only slow is believed when it tells, though another one was asked meanwhile.
    assert_eq!(fetch_of(ask(&mut heads, 0, 16, 1_300).1), [15]);
    assert_eq!(fetch_of(ask(&mut heads, 1, 16, 1_500).1), [15]);
    heads.fetched(0, vec![header(15, 0)], at(1_600), &mut events);
    assert_eq!(heights(&events), [15, 16]);
    heads.fetched(1, Vec::new(), at(1_700), &mut events);
    assert_eq!(heights(&ask(&mut heads, 1, 17, 1_800).0), [17]);
}

#[test]
fn what_nobody_can_be_asked_for_is_left_out_at_once() {
    let mut heads = begin(10);
    assert_eq!(fetch_of(ask(&mut heads, 1, 12, 1).1), [11]);
    let mut events = Vec::new();
    heads.leave_out(1, Elapsed::from_millis(1), &mut events);
    assert_eq!(heights(&events), [12]);
}

#[test]
fn a_long_gap_is_fetched_in_batches_and_a_longer_one_is_left_out() {
    let mut heads = begin(10);
    ask(&mut heads, 0, 10 + MAX_GAP, 1);
    let (_, mut fetch) = ask(&mut heads, 1, 10 + MAX_GAP, 1);
    let mut written = Vec::new();
    let mut rounds = 0;
    while let Some(next) = fetch {
        assert!(next.heights.len() <= MAX_HEADERS);
        let headers = next.heights.iter().map(|height| header(height.0, 0));
        let mut events = Vec::new();
        fetch = heads.fetched(1, headers.collect(), Elapsed::from_millis(2), &mut events);
        written.extend(heights(&events));
        rounds += 1;
        assert!(rounds < 20);
    }
    assert_eq!(written, (11..=10 + MAX_GAP).collect::<Vec<_>>());
    let far = 10 + MAX_GAP + MAX_GAP + 1;
    ask(&mut heads, 0, far, 3);
    let (events, fetch) = ask(&mut heads, 1, far, 4);
    assert_eq!((heights(&events), fetch), (vec![far], None));
}

#[test]
fn contradictions_are_written_once_each() {
    let mut heads = begin(10);
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
    let mut heads = begin(10);
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
fn a_liar_who_comes_first_is_not_believed() {
    let mut heads = heads();
    assert!(ask(&mut heads, 3, u64::MAX, 0).0.is_empty());
    assert_eq!(heights(&ask(&mut heads, 0, 10, 1).0), [10]);
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

#[test]
fn a_height_that_one_node_alone_shows_is_no_progress() {
    for lie in [3, MAX_GAP, MAX_GAP + 88, 900_000] {
        let mut heads = begin(10);
        for round in 1..200 {
            let now = round * 100;
            let (events, fetch) = ask(&mut heads, 3, 10 + round + lie, now);
            assert!(events.is_empty() && fetch.is_none(), "{events:?}");
            let written = (0..3).flat_map(|node| {
                let (events, _) = ask(&mut heads, node, 10 + round, now + 20);
                heights(&events)
            });
            assert_eq!(written.collect::<Vec<_>>(), [10 + round], "a lie of {lie}");
        }
    }
}

#[test]
fn a_liar_who_adds_a_block_a_poll_hides_no_stall() {
    let mut heads = begin(10);
    let mut written = Vec::new();
    for round in 1..100 {
        written.extend(heights(&ask(&mut heads, 3, 10 + round, round * 100).0));
        for node in 0..3 {
            assert!(ask(&mut heads, node, 10, round * 100 + 20).0.is_empty());
        }
    }
    assert_eq!(written, [11, 12, 13], "two, and one until the others tell");
    // The others go on: so does the shard.
    for round in 1..10 {
        for node in 0..3 {
            let now = 10_000 + round * 100;
            written.extend(heights(&ask(&mut heads, node, 10 + round, now).0));
        }
    }
    assert_eq!(written, (11..20).collect::<Vec<_>>());
}

#[test]
fn a_shard_with_one_node_that_answers_goes_on() {
    let mut heads = begin(10);
    for round in 1..100 {
        let (events, _) = ask(&mut heads, 2, 10 + round, round * 100);
        assert_eq!(heights(&events), [10 + round], "block by block");
    }
    // One that is behind is no proof: without it there is a quorum.
    for round in 100..200 {
        ask(&mut heads, 3, 5, round * 100);
        let (events, _) = ask(&mut heads, 2, 10 + round, round * 100 + 50);
        assert_eq!(heights(&events), [10 + round]);
    }
    // After a stretch without sight it is waited whether others have more to say.
    let mut heads = begin(10);
    for (now, written) in [
        (9_000, false),
        (11_999, false),
        (12_000, true),
        (13_000, true),
    ] {
        let height = 9_000 + now;
        let (events, _) = ask(&mut heads, 2, height, now);
        let expected = if written { vec![height] } else { Vec::new() };
        assert_eq!(heights(&events), expected, "at {now} ms");
    }
}

#[test]
fn after_a_stretch_without_sight_two_nodes_are_enough() {
    let mut heads = begin(10);
    heads.forget_tips();
    assert!(ask(&mut heads, 3, 9_000, 60_000).0.is_empty());
    let (events, fetch) = ask(&mut heads, 2, 9_001, 60_025);
    assert_eq!((heights(&events), fetch), (vec![9_000, 9_001], None));
    let mut heads = self::heads();
    heads.know(ShardId(0), Height(10), &header(10, 0).hash);
    assert!(ask(&mut heads, 3, 9_000, 0).0.is_empty());
    assert_eq!(heights(&ask(&mut heads, 2, 9_000, 25).0), [9_000]);
}

#[test]
fn a_node_that_is_a_quorum_by_itself_needs_nobody() {
    let mut heads = with_powers([7, 1, 1, 1]);
    for round in 1..50 {
        let height = round * 5;
        let (events, fetch) = ask(&mut heads, 0, height, round * 100);
        if let Some(Fetch { heights: wanted }) = fetch {
            let told = wanted.iter().map(|height| header(height.0, 0)).collect();
            let mut events = Vec::new();
            heads.fetched(0, told, Elapsed::from_millis(round * 100), &mut events);
            assert_eq!(heights(&events).last(), Some(&height));
        } else {
            assert_eq!(heights(&events), [height]);
        }
        ask(&mut heads, 1, 1, round * 100 + 25);
        ask(&mut heads, 2, 1, round * 100 + 50);
    }
}

#[test]
fn a_chain_faster_than_polls_is_one_answer_late() {
    let mut heads = heads();
    let mut height = 1_000;
    let mut before = None;
    for round in 0..200_u64 {
        height += MAX_GAP + 100;
        let node = usize::try_from(round % 3).unwrap();
        let (events, _) = ask(&mut heads, node, height, round * 30);
        assert_eq!(heights(&events), Vec::from_iter(before));
        before = Some(height);
    }
}

#[test]
fn what_one_node_made_up_while_nobody_else_answered_is_dropped() {
    let mut heads = begin(10);
    for now in [100, 1_000, 3_200] {
        ask(&mut heads, 3, 10_000, now);
    }
    assert!(heads.shards[&ShardId(0)].known(Height(10_000)).is_some());
    ask(&mut heads, 0, 11, 3_300);
    assert_eq!(heights(&ask(&mut heads, 1, 11, 3_320).0), [11]);
    assert!(ask(&mut heads, 3, 10_001, 3_350).0.is_empty());
    assert_eq!(heights(&ask(&mut heads, 2, 12, 3_360).0), [12]);
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
                heads.fetched(node, told.map(|height| header(height.0, branch)).collect(), now, &mut events);
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
