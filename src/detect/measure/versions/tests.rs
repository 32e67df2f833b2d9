use crate::{
    detect::{
        judgement::VersionView,
        tests::{at, judge, node, shape},
    },
    ids::ShardId,
    journal::{
        Event,
        generate::{Generator, Incident, What},
    },
    time::Elapsed,
};

fn becomes(shard: u64, index: u32, version: &str) -> What {
    What::Fact(Box::new(Event::Version {
        node: node(shard, index),
        version: version.to_owned(),
    }))
}

/// From before its first start.
fn from_the_start(shard: u64, index: u32, version: &str) -> Incident {
    Incident {
        at: Elapsed::default(),
        what: becomes(shard, index, version),
    }
}

fn of<'a>(views: &'a [VersionView], name: &str) -> &'a VersionView {
    let found = views.iter().find(|view| view.version == name);
    found.unwrap_or_else(|| panic!("no {name} in {views:#?}"))
}

#[test]
fn one_version_is_not_told_of() {
    let judgement = judge(Generator::new(&shape(), 7, Vec::new()));
    assert_eq!(judgement.versions, []);
}

#[test]
fn what_nodes_do_counts_for_the_version_that_they_run() {
    let mut incidents: Vec<Incident> = (0..4).map(|i| from_the_start(1, i, "next")).collect();
    incidents.extend((0..4).map(|index| from_the_start(0, index, "base")));
    // It ends as `base`, and is the other version when it comes back.
    incidents.push(at(10.0, What::Exit(node(0, 1), 3)));
    incidents.push(at(14.0, becomes(0, 1, "next")));
    incidents.push(at(15.0, What::Start(node(0, 1))));
    // This one restarts as what it was.
    incidents.push(at(30.0, What::Exit(node(1, 2), 3)));
    incidents.push(at(33.0, What::Start(node(1, 2))));
    let judgement = judge(Generator::new(&shape(), 7, incidents));
    let (base, next) = (
        of(&judgement.versions, "base"),
        of(&judgement.versions, "next"),
    );
    assert_eq!((base.nodes.len(), base.ever), (3, 4));
    assert_eq!((next.nodes.len(), next.ever), (5, 5));
    // Shard 0 had both; what it did is nobody's alone.
    assert_eq!(base.shards, []);
    assert_eq!(next.shards, [ShardId(1)]);
    assert_eq!((base.exits, base.restarts), (1, 0));
    assert_eq!((next.exits, next.restarts), (1, 1));
    assert!(base.memory > 0 && base.memory_peak >= base.memory);
    assert!(next.ran > base.ran);
    assert!(base.led > 0 && next.led > base.led);
    assert!(next.behind_most > 0, "it came back behind: {next:#?}");
    let crash = |view: &VersionView| {
        let crashes = judgement.findings.iter();
        let mut crashes = crashes.filter(|finding| finding.kind == "crash");
        crashes.any(|finding| view.findings.contains(&finding.id))
    };
    assert!(crash(base) && crash(next), "{:#?}", judgement.findings);
}
