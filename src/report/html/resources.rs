//! Disk and memory of a shard's nodes over time, one line a node.

use serde::Serialize;

use super::{
    svg::Svg,
    timeline::{COLOURS, Key, scale},
};
use crate::{
    detect::NodeView,
    ids::ShardId,
    report::{
        ReportInput,
        curves::{NodeBucket, NodeCurve, Values},
        text::{bytes, percent},
    },
    time::Elapsed,
};

/// Nodes that are drawn in all.
const MOST_NODES: usize = 256;
/// Points of a line.
const POINTS: usize = 100;

const WIDTH: f64 = 400.0;
const LEFT: f64 = 58.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 130.0;
const HEIGHT: f64 = 152.0;

/// Both plots of a shard and whose lines they are.
#[derive(Debug, Serialize)]
pub(super) struct ShardResources {
    name: String,
    disk: String,
    memory: String,
    keys: Vec<Key>,
}

/// One quantity of a node.
struct Quantity {
    id: &'static str,
    title: &'static str,
    values: fn(&NodeBucket) -> Values,
    /// What a full scale is.
    most: u64,
    shares: bool,
}

/// Plots of all shards, as long as there are not too many nodes.
pub(super) fn plots(input: &ReportInput) -> Vec<ShardResources> {
    let views = input.judgement.nodes.iter().take(MOST_NODES);
    let shard_of = |curve: &NodeCurve| {
        let mut views = views.clone();
        views
            .find(|view| view.node == curve.node)
            .map(|view| view.shard)
    };
    let curves = input.curves.nodes.iter().take(MOST_NODES);
    let known: Vec<(ShardId, &NodeCurve)> = curves
        .filter(|curve| {
            curve
                .course
                .buckets
                .iter()
                .any(|bucket| bucket.disk.count > 0)
        })
        .filter_map(|curve| Some((shard_of(curve)?, curve)))
        .collect();
    known
        .chunk_by(|(one, _), (next, _)| one == next)
        .map(|nodes| shard(input, nodes[0].0, nodes))
        .collect()
}

fn shard(input: &ReportInput, shard: ShardId, nodes: &[(ShardId, &NodeCurve)]) -> ShardResources {
    let curves: Vec<NodeCurve> = nodes
        .iter()
        .map(|(_, curve)| NodeCurve {
            node: curve.node.clone(),
            course: curve.course.folded(POINTS),
        })
        .collect();
    let highest = |of: fn(&NodeBucket) -> u64| {
        let buckets = curves.iter().flat_map(|curve| &curve.course.buckets);
        buckets.map(of).max().unwrap_or(0)
    };
    let disk = Quantity {
        id: "disk",
        title: "data disk",
        values: |bucket| bucket.disk,
        most: highest(|bucket| bucket.disk_size),
        shares: true,
    };
    let memory = Quantity {
        id: "memory",
        title: "resident memory",
        values: |bucket| bucket.memory,
        most: highest(|bucket| bucket.memory.high) / 4 * 5,
        shares: false,
    };
    let keys = curves.iter().enumerate();
    ShardResources {
        name: format!("shard {shard}"),
        keys: keys
            .map(|(place, curve)| Key {
                colour: place % COLOURS,
                name: curve.node.to_string(),
            })
            .collect(),
        disk: plot(input, shard, &curves, &disk),
        memory: plot(input, shard, &curves, &memory),
    }
}

fn plot(input: &ReportInput, shard: ShardId, curves: &[NodeCurve], of: &Quantity) -> String {
    let scale = scale(input, LEFT, WIDTH - LEFT - 8.0);
    let title = format!("{} of the nodes of shard {shard}", of.title);
    let id = format!("{}-{shard}", of.id);
    let mut svg = Svg::new(&id, (WIDTH, HEIGHT), &title, &words(input, shard, of));
    scale.axis(&mut svg, TOP, BOTTOM);
    let most = of.most.max(1) as f64;
    let y = |value: u64| BOTTOM - (BOTTOM - TOP) * (value as f64 / most).min(1.0);
    let right = scale.left + scale.width;
    for quarter in [0_u64, 2, 4] {
        let value = of.most / 4 * quarter;
        let at = y(value);
        svg.path("grid", &format!("M{LEFT:.1} {at:.1}H{right:.1}"), "");
        let label = if of.shares {
            percent(quarter as f64 / 4.0)
        } else {
            bytes(value)
        };
        svg.text((LEFT - 5.0, at + 4.0), "end", &label);
    }
    for (place, curve) in curves.iter().enumerate() {
        let mut line = String::new();
        let mut begins = true;
        for (at, bucket) in curve.course.buckets.iter().enumerate() {
            let values = (of.values)(bucket);
            if values.count == 0 {
                begins = true;
                continue;
            }
            let word = if begins { 'M' } else { 'L' };
            begins = false;
            let middle = Elapsed(curve.course.starts(at).0 / 2 + curve.course.starts(at + 1).0 / 2);
            line.push_str(&format!(
                "{word}{:.1} {:.1}",
                scale.x(middle),
                y(values.high)
            ));
        }
        if !line.is_empty() {
            svg.path(
                &format!("line l{}", place % COLOURS),
                &line,
                curve.node.as_str(),
            );
        }
    }
    svg.finish()
}

/// The node that used most, in words; the table of nodes has all of them.
fn words(input: &ReportInput, shard: ShardId, of: &Quantity) -> String {
    let here = input
        .judgement
        .nodes
        .iter()
        .filter(|node| node.shard == shard);
    let peak = |node: &&NodeView| {
        if of.shares {
            node.disk_peak
        } else {
            node.memory_peak
        }
    };
    here.max_by_key(peak).map_or_else(String::new, |node| {
        let size = if of.shares {
            format!(" of {}", bytes(node.disk.1))
        } else {
            String::new()
        };
        format!(
            "Most was used by {}: {}{size}. The table of nodes has all figures.",
            node.node,
            bytes(peak(&node))
        )
    })
}
