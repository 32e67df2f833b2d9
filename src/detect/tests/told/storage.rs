//! What samples and log lines tell of disks.

use super::*;

fn sample(index: u32, stuck: f64, read_only: bool) -> Event {
    Event::Sample(Sample {
        node: Some(node(0, index)),
        disk_used: 10,
        disk_free: 90,
        visible: 10,
        stuck: (stuck * 1e6) as u64,
        read_only,
        ..Sample::default()
    })
}

#[test]
fn a_disk_that_does_not_answer_is_found_within_the_window() {
    let mut chain = Chain::new();
    chain.blocks(10);
    chain.add(sample(1, 1.9, false));
    chain.is_quiet();
    chain.blocks(5);
    chain.add(sample(1, 2.9, false));
    let finding = chain.finds("disk-hang", Severity::Major);
    assert_eq!(finding.nodes, [node(0, 1)]);
    chain.blocks(5);
    chain.add(sample(1, 0.0, false));
    assert!(chain.findings()[0].end.is_some());
    let mut excused = Chain::new();
    excused.blocks(10);
    excused.fault(1, Effect::DiskHang, FaultStep::Acknowledged);
    excused.add(sample(1, 4.0, false));
    assert_eq!(
        excused.kinds(),
        [("disk-hang".to_owned(), Severity::Major, true)]
    );
}

#[test]
fn a_mount_that_turned_read_only_is_found() {
    let mut chain = Chain::new();
    chain.blocks(10);
    chain.add(sample(1, 0.0, false)).add(sample(1, 0.0, true));
    chain.finds("disk-read-only", Severity::Major);
    chain.fault(2, Effect::DiskReadOnly, FaultStep::Acknowledged);
    chain.add(sample(2, 0.0, true));
    assert!(chain.kinds()[1].2);
}

#[test]
fn syncs_that_take_long_twice_in_a_row_are_slow() {
    let told = |means: &[u64]| {
        let mut chain = Chain::new();
        let (mut syncs, mut time) = (100, 100_000);
        for mean in [&[1_000], means].concat() {
            chain.blocks(25);
            syncs += 10;
            time += 10 * mean;
            chain.figures(1, |figures| {
                figures.syncs = Some(syncs);
                figures.sync_time = Some(time);
            });
        }
        chain
    };
    told(&[50_000, 50_000, 50_000]).is_quiet();
    told(&[51_000, 49_000, 51_000]).is_quiet();
    let finding = told(&[51_000, 60_000]).finds("slow-fsync", Severity::Minor);
    assert!(finding.summary.contains("60 ms"), "{}", finding.summary);
    assert!(told(&[51_000, 60_000, 1_000]).findings()[0].end.is_some());
}
