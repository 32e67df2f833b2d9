use std::{fs, io::Write, path::Path, sync::Arc, time::Duration};

use canarynet::{
    ids::{NodeName, ShardId},
    journal::event::{Event, LogClass, ProbeKind, Sample},
    probe::{
        logs::node_log::NodeLog,
        sampling::{SamplerLaunch, run_sampler},
    },
    profile::log_rules::RuleSet,
};

use crate::local::{Bench, program, status};

fn node() -> NodeName {
    NodeName::of(ShardId(2), 1)
}

fn start(path: &Path, follow: &[&Path]) -> (Bench, NodeLog) {
    let bench = Bench::new([node()]);
    let launch = SamplerLaunch {
        node: node(),
        container: "node".to_owned(),
        command: vec![program(), "sampler".to_owned()],
        user: None,
        path: path.to_str().unwrap().to_owned(),
        interval: Duration::from_millis(100),
        follow: follow
            .iter()
            .map(|path| path.to_str().unwrap().to_owned())
            .collect(),
    };
    let rules = Arc::new(RuleSet::new(&[]).unwrap());
    let log = NodeLog::new(node(), rules, None, bench.context.sink.clone());
    tokio::spawn(run_sampler(bench.context.clone(), launch, log.clone()));
    (bench, log)
}

fn samples(events: &[Event]) -> Vec<&Sample> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Sample(sample) => Some(sample),
            _ => None,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_are_sampled_and_growth_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let (mut bench, _) = start(folder.path(), &[]);
    bench
        .until("samples", |seen| samples(seen).len() >= 5)
        .await;
    let last = samples(&bench.seen).last().copied().unwrap().clone();
    assert_eq!(last.node, Some(node()));
    assert!(last.memory > 1_000_000 && last.pids > 1, "{last:?}");
    assert!(
        last.disk_free > 0 && last.inodes > 0 && last.sampler_memory > 0,
        "{last:?}"
    );
    fs::write(folder.path().join("grown"), vec![1; 3 << 20]).unwrap();
    let before = last.visible;
    bench
        .until("growth", |seen| {
            samples(seen)
                .iter()
                .any(|sample| sample.visible >= before + (3 << 20))
        })
        .await;
    let anonymous = status(bench.last_started(), "RssAnon:");
    // An unoptimised build's tables alone, relocated at its start, are a mebibyte and more; released it holds 300 KiB.
    let most = if cfg!(debug_assertions) { 2_048 } else { 512 };
    assert!(anonymous < most, "the sampler holds {anonymous} KiB");
    assert_eq!(status(bench.last_started(), "Threads:"), 1);
    assert!(bench.context.costs.total().samplers_memory > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn followed_files_reach_the_log_and_the_sampler_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zerolog.log");
    fs::write(&file, "before\n").unwrap();
    let (mut bench, log) = start(folder.path(), &[&file]);
    bench
        .until("a sample", |seen| !samples(seen).is_empty())
        .await;
    // The file is first looked at right after the first sample.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut append = fs::OpenOptions::new().append(true).open(&file).unwrap();
    append
        .write_all(b"\xff\x1b[31m plain\n{\"level\":\"error\",\"error\":\"write x: no space left on device\",\"message\":\"m\"}\n")
        .unwrap();
    let full = |event: &Event| {
        matches!(
            event,
            Event::Log {
                class: LogClass::DiskFull,
                ..
            }
        )
    };
    bench
        .until("the classified line", |seen| seen.iter().any(full))
        .await;
    assert_eq!(log.counts().lines, 2);

    let process = rustix::process::Pid::from_raw(bench.last_started().cast_signed()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    let changes = |seen: &[Event]| {
        let failed = seen.iter().any(|event| {
            matches!(
                event,
                Event::ProbeFailed {
                    probe: ProbeKind::Sampler,
                    ..
                }
            )
        });
        let answers = seen.iter().filter(|event| {
            matches!(
                event,
                Event::ProbeAnswered {
                    probe: ProbeKind::Sampler,
                    ..
                }
            )
        });
        failed && answers.count() == 2
    };
    bench.until("another sampler", changes).await;
    assert!(
        samples(&bench.seen)
            .iter()
            .all(|sample| sample.incarnation == 0),
        "the node is the same"
    );

    bench.pause.send(true).unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    bench.drain();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(samples(&bench.drain()).is_empty(), "it rests");
    bench.pause.send(false).unwrap();
    bench
        .until("samples again", |seen| !samples(seen).is_empty())
        .await;

    let process = bench.last_started();
    drop(bench);
    for _ in 0..500 {
        if fs::read_dir(format!("/proc/{process}/fd")).is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the sampler outlives its canary");
}
