//! The metrics page of a run that goes on, in the text format that Prometheus and OpenMetrics share.
//!
//! Cardinality is bounded by the plan: shards, nodes, kinds of findings and kinds of faults. No label holds a text that
//! a node said.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use super::{look, text::plain, timeline::stage_word};
use crate::{
    detect::{
        Judgement, Severity,
        judgement::{NodeState, Sight},
    },
    ids::RunId,
    plan::Plan,
};

/// Shards told; further ones are not.
const MOST_SHARDS: usize = 256;
/// Nodes told; further ones are not.
const MOST_NODES: usize = 1_024;
/// Kinds of findings and of faults told.
const MOST_KINDS: usize = 128;

/// A page under construction.
struct Page(String);

/// A label and its value.
type Label<'a> = (&'a str, String);

impl Page {
    /// Begins a family: its samples follow.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &[Label<'_>], value: f64) {
        self.0.push_str(name);
        if !labels.is_empty() {
            let pairs = labels
                .iter()
                .map(|(name, value)| format!("{name}=\"{}\"", escape(value)));
            let _ = write!(self.0, "{{{}}}", pairs.collect::<Vec<_>>().join(","));
        }
        let _ = if value.is_finite() {
            writeln!(self.0, " {value}")
        } else {
            writeln!(self.0, " NaN")
        };
    }

    /// A family with one sample for each item.
    fn each<T>(
        &mut self,
        (name, kind, help): (&str, &str, &str),
        items: &[T],
        sample: impl Fn(&T) -> Option<(Vec<Label<'static>>, f64)>,
    ) {
        self.family(name, kind, help);
        for (labels, value) in items.iter().filter_map(sample) {
            self.sample(name, &labels, value);
        }
    }
}

/// A value between quotation marks.
fn escape(value: &str) -> String {
    plain(value, 80).replace('\\', "\\\\").replace('"', "\\\"")
}

/// The page.
#[must_use]
pub fn render(plan: &Plan, run: &RunId, judgement: &Judgement) -> String {
    let mut page = Page(String::with_capacity(16 << 10));
    about(&mut page, plan, run, judgement);
    shards(&mut page, judgement);
    nodes(&mut page, judgement);
    findings(&mut page, judgement);
    faults(&mut page, judgement);
    cost(&mut page, judgement);
    page.0
}

fn about(page: &mut Page, plan: &Plan, run: &RunId, judgement: &Judgement) {
    page.family("canarynet_run_info", "gauge", "The run that is watched.");
    let labels = [
        ("run", run.to_string()),
        ("plan", plan.name.clone()),
        ("profile", plan.profile.clone()),
        ("version", judgement.canarynet.clone()),
    ];
    page.sample("canarynet_run_info", &labels, 1.0);
    page.family("canarynet_run_age_seconds", "gauge", "Age of the run.");
    page.sample(
        "canarynet_run_age_seconds",
        &[],
        judgement.last.as_duration().as_secs_f64(),
    );
    page.family(
        "canarynet_run_stage",
        "gauge",
        "The stage that the run is in.",
    );
    if let Some(stage) = judgement.stages.last() {
        let label = [("stage", stage_word(stage.stage).to_owned())];
        page.sample("canarynet_run_stage", &label, 1.0);
    }
    page.family(
        "canarynet_acceleration_ratio",
        "gauge",
        "Times faster than mainnet.",
    );
    for (kind, value) in [
        ("asked", plan.speedup),
        ("measured", judgement.acceleration.measured),
    ] {
        page.sample(
            "canarynet_acceleration_ratio",
            &[("kind", kind.to_owned())],
            value,
        );
    }
}

fn shards(page: &mut Page, judgement: &Judgement) {
    let shards = &judgement.shards[..judgement.shards.len().min(MOST_SHARDS)];
    let of = |shard: &crate::detect::ShardView| vec![("shard", shard.shard.to_string())];
    let gauge = |name, help| (name, "gauge", help);
    page.each(
        gauge("canarynet_shard_height_blocks", "Best height seen."),
        shards,
        |shard| Some((of(shard), shard.height?.0 as f64)),
    );
    let age = "Time since the last block.";
    page.each(
        gauge("canarynet_shard_last_block_age_seconds", age),
        shards,
        |shard| {
            Some((
                of(shard),
                judgement.last.since(shard.last_block?).as_secs_f64(),
            ))
        },
    );
    let stalled = "1 while it is seen that no block comes.";
    page.each(gauge("canarynet_shard_stalled", stalled), shards, |shard| {
        Some((
            of(shard),
            f64::from(u8::from(shard.sight == Sight::Stalled)),
        ))
    });
    let blind = "1 while the canary does not see the shard.";
    page.each(gauge("canarynet_shard_blind", blind), shards, |shard| {
        Some((of(shard), f64::from(u8::from(shard.sight == Sight::Blind))))
    });
    let name = "canarynet_shard_block_interval_seconds";
    page.family(
        name,
        "summary",
        "Block intervals over the last window of rates, by quantile.",
    );
    for shard in shards.iter().filter(|shard| shard.recent.count > 0) {
        for (quantile, span) in [("0.5", shard.recent.p50), ("0.99", shard.recent.p99)] {
            let mut labels = of(shard);
            labels.push(("quantile", quantile.to_owned()));
            page.sample(name, &labels, span.as_secs_f64());
        }
    }
    let counter = |name, help| (name, "counter", help);
    page.each(
        counter("canarynet_shard_view_changes_total", "View changes."),
        shards,
        |shard| Some((of(shard), shard.view_changes as f64)),
    );
    let turns = "Changes of leader from one block to the next.";
    page.each(
        counter("canarynet_shard_leader_turns_total", turns),
        shards,
        |shard| Some((of(shard), shard.leader_turns as f64)),
    );
    page.each(
        gauge(
            "canarynet_shard_signers",
            "Signers of the last block that tells.",
        ),
        shards,
        |shard| Some((of(shard), f64::from(shard.signers?.0))),
    );
    page.each(
        gauge("canarynet_shard_committee", "How many could have signed."),
        shards,
        |shard| Some((of(shard), f64::from(shard.signers?.1))),
    );
}

fn nodes(page: &mut Page, judgement: &Judgement) {
    let nodes = &judgement.nodes[..judgement.nodes.len().min(MOST_NODES)];
    let of = |node: &crate::detect::NodeView| {
        vec![
            ("node", node.node.to_string()),
            ("shard", node.shard.to_string()),
        ]
    };
    let gauge = |name, help| (name, "gauge", help);
    let counter = |name, help| (name, "counter", help);
    page.each(
        gauge("canarynet_node_running", "1 while its container runs."),
        nodes,
        |node| {
            Some((
                of(node),
                f64::from(u8::from(node.state == NodeState::Running)),
            ))
        },
    );
    page.each(
        gauge("canarynet_node_height_blocks", "Height of its head."),
        nodes,
        |node| Some((of(node), node.height?.0 as f64)),
    );
    page.each(
        gauge("canarynet_node_memory_bytes", "Resident memory."),
        nodes,
        |node| Some((of(node), node.memory as f64)),
    );
    page.each(
        gauge("canarynet_node_disk_used_bytes", "Used on its data disk."),
        nodes,
        |node| Some((of(node), node.disk.0 as f64)),
    );
    page.each(
        gauge("canarynet_node_disk_size_bytes", "Size of its data disk."),
        nodes,
        |node| Some((of(node), node.disk.1 as f64)),
    );
    page.each(
        counter("canarynet_node_restarts_total", "Starts beyond the first."),
        nodes,
        |node| Some((of(node), node.restarts as f64)),
    );
    page.each(
        counter("canarynet_node_exits_total", "Ends that nobody asked for."),
        nodes,
        |node| Some((of(node), node.exits as f64)),
    );
    let lost = "Log lines known to be lost.";
    page.each(
        counter("canarynet_node_log_lines_lost_total", lost),
        nodes,
        |node| Some((of(node), node.lines.1 as f64)),
    );
}

fn findings(page: &mut Page, judgement: &Judgement) {
    let name = "canarynet_findings_open";
    page.family(
        name,
        "gauge",
        "Findings that last, by severity; excused and waived ones left out.",
    );
    let counts = |finding: &&crate::detect::Finding| {
        finding.excused_by.is_none() && finding.waived.is_none()
    };
    let mut open = [0_u32; 4];
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for finding in judgement.findings.iter().filter(counts) {
        if finding.end.is_none() {
            open[finding.severity as usize] += 1;
        }
        if kinds.len() < MOST_KINDS || kinds.contains_key(finding.kind.as_str()) {
            *kinds.entry(&finding.kind).or_default() += 1;
        }
    }
    let severities = [
        Severity::Info,
        Severity::Minor,
        Severity::Major,
        Severity::Critical,
    ];
    for (severity, count) in severities.into_iter().zip(open) {
        let label = [("severity", look::severity(severity).to_owned())];
        page.sample(name, &label, f64::from(count));
    }
    let name = "canarynet_findings_total";
    page.family(
        name,
        "counter",
        "Findings so far, by kind; excused and waived ones left out.",
    );
    for (kind, count) in kinds {
        page.sample(name, &[("kind", kind.to_owned())], count as f64);
    }
    page.family("canarynet_pages_total", "counter", "Pages that went out.");
    page.sample("canarynet_pages_total", &[], judgement.pages.len() as f64);
}

fn faults(page: &mut Page, judgement: &Judgement) {
    let name = "canarynet_faults_total";
    page.family(
        name,
        "counter",
        "Injected faults, by kind and what became of them.",
    );
    let kinds = &judgement.kinds[..judgement.kinds.len().min(MOST_KINDS)];
    for kind in kinds {
        for (what, count) in [
            ("fired", kind.fired),
            ("effective", kind.effective),
            ("skipped", kind.skipped),
            ("healed", kind.healed),
            ("late", kind.late),
        ] {
            let labels = [("kind", kind.kind.clone()), ("what", what.to_owned())];
            page.sample(name, &labels, count as f64);
        }
    }
    let name = "canarynet_fault_first_block_seconds";
    page.family(
        name,
        "gauge",
        "Longest time from a heal to the first block, by kind.",
    );
    for kind in kinds.iter().filter(|kind| kind.first_block.count > 0) {
        let longest = kind.first_block.longest.as_secs_f64();
        page.sample(name, &[("kind", kind.kind.clone())], longest);
    }
}

fn cost(page: &mut Page, judgement: &Judgement) {
    let cost = &judgement.cost;
    let mut one = |name: &str, kind: &str, help: &str, value: f64| {
        page.family(name, kind, help);
        page.sample(name, &[], value);
    };
    one(
        "canarynet_canary_cpu_cores",
        "gauge",
        "Cores that watching takes.",
        cost.cpu_share,
    );
    one(
        "canarynet_canary_memory_bytes",
        "gauge",
        "Memory that watching takes.",
        cost.memory as f64,
    );
    let directory = cost.run_directory as f64;
    one(
        "canarynet_canary_run_directory_bytes",
        "gauge",
        "Bytes of the run directory.",
        directory,
    );
    let lag = Duration::as_secs_f64(&cost.lag);
    one(
        "canarynet_canary_lag_seconds",
        "gauge",
        "Longest wait of an observation.",
        lag,
    );
    let dropped = cost.dropped as f64;
    one(
        "canarynet_canary_dropped_total",
        "counter",
        "Observations thrown away.",
        dropped,
    );
    let entries = judgement.entries as f64;
    one(
        "canarynet_canary_entries_total",
        "counter",
        "Entries of the journal.",
        entries,
    );
    let blind = judgement.coverage.blind_share;
    one(
        "canarynet_canary_blind_ratio",
        "gauge",
        "Largest share of the watched time that a node was not seen.",
        blind,
    );
}
