//! Prometheus metrics on `/metrics`: Harmony's names where it has them, `reference_` before the others.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use hyper::{Method, StatusCode};
use tokio::net::TcpListener;

use super::load::inclusion::{self, STEPS};
use super::log::Logger;
use super::node::published::Published;
use super::rpc::http;
use super::{network, store, wall};

/// Where the numbers come from.
#[derive(Clone)]
pub struct Source {
    /// What the node shows.
    pub published: Arc<Published>,
    /// Counters of the links.
    pub network: Arc<network::Counters>,
    /// Counters of the store.
    pub store: Arc<store::Counters>,
    /// The log, which counts what it lost.
    pub logger: Logger,
}

/// Serves for ever.
pub async fn serve(listener: TcpListener, source: Source) {
    http::serve(listener, move |request| {
        let source = source.clone();
        async move {
            match (request.method, request.path.as_str()) {
                (Method::GET, "/metrics") => http::Response::of_kind(
                    "text/plain; version=0.0.4; charset=utf-8",
                    source.page(),
                ),
                _ => http::Response::text(StatusCode::NOT_FOUND, "see /metrics\n".into()),
            }
        }
    })
    .await;
}

fn wall_clock() -> u64 {
    let passed = wall::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
}

/// The text as it grows.
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: u64) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn counters(&mut self, rows: &[(&str, &str, u64)]) {
        self.plain("counter", rows);
    }

    fn gauges(&mut self, rows: &[(&str, &str, u64)]) {
        self.plain("gauge", rows);
    }

    /// A histogram of the generator's steps.
    fn histogram(&mut self, name: &str, help: &str, steps: &[u64; STEPS + 1]) {
        self.family(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        let mut below = 0;
        for (step, count) in steps.iter().enumerate() {
            below += count;
            let bound = match step {
                STEPS => "+Inf".to_owned(),
                step => format!("{:.6}", inclusion::bound(step)),
            };
            self.sample(&bucket, &format!("{{le=\"{bound}\"}}"), below);
        }
        self.sample(&format!("{name}_count"), "", below);
    }

    /// Families of one sample without labels: name, help, value.
    fn plain(&mut self, kind: &str, rows: &[(&str, &str, u64)]) {
        for (name, help, value) in rows {
            self.family(name, kind, help);
            self.sample(name, "", *value);
        }
    }
}

impl Source {
    fn page(&self) -> String {
        let mut page = Page(String::with_capacity(8 * 1_024));
        self.consensus(&mut page);
        self.transactions(&mut page);
        self.links(&mut page);
        self.storage(&mut page);
        page.0
    }

    fn consensus(&self, page: &mut Page) {
        let live = self.published.live();
        let (status, tallies) = (&live.status, &live.tallies);
        let header = &live.head().1.block.header;
        let signatures = header
            .last_commit
            .as_ref()
            .map_or(0, |last| last.signers.count() as u64);
        let node = self.published.node;
        page.family("hmy_node_metadata", "counter", "Identity of the node.");
        page.sample(
            "hmy_node_metadata",
            &format!("{{key=\"peerid\",value=\"{node}\"}}"),
            1,
        );
        page.family(
            "hmy_consensus_bingo",
            "counter",
            "Blocks committed; hooray: as their leader.",
        );
        page.sample(
            "hmy_consensus_bingo",
            "{consensus=\"bingo\"}",
            tallies.blocks,
        );
        page.sample(
            "hmy_consensus_bingo",
            "{consensus=\"hooray\"}",
            tallies.led_blocks,
        );
        page.family(
            "hmy_consensus_signatures",
            "gauge",
            "Signers in the newest commit bitmap.",
        );
        page.sample(
            "hmy_consensus_signatures",
            "{consensus=\"signatures\"}",
            signatures,
        );
        page.family(
            "hmy_consensus_viewchange",
            "counter",
            "View changes that this node started.",
        );
        page.sample(
            "hmy_consensus_viewchange",
            "{viewchange=\"started\"}",
            status.view_changes,
        );
        page.family("reference_mode", "gauge", "How the node takes part.");
        page.sample(
            "reference_mode",
            &format!("{{mode=\"{}\"}}", status.mode.name()),
            1,
        );
        page.gauges(&[
            (
                "reference_head_height",
                "Height of the newest durable block.",
                header.height,
            ),
            (
                "reference_consensus_height",
                "Height under agreement.",
                status.height,
            ),
            (
                "reference_consensus_view",
                "View under agreement.",
                status.view,
            ),
            (
                "reference_epoch",
                "Epoch of the height under agreement.",
                status.epoch,
            ),
            (
                "reference_is_leader",
                "Whether this node leads.",
                status.is_leader.into(),
            ),
            (
                "reference_best_peer_height",
                "Highest height that a peer claimed.",
                status.best_peer_height,
            ),
            (
                "reference_write_failing",
                "Whether a failed write is waited for.",
                status.write_failing.into(),
            ),
            (
                "reference_wall_clock_milliseconds",
                "Wall clock of the node.",
                wall_clock(),
            ),
            (
                "reference_start_time_seconds",
                "Start of the process.",
                self.published.started,
            ),
        ]);
        page.counters(&[(
            "reference_synced_blocks_total",
            "Blocks by state sync.",
            tallies.synced_blocks,
        )]);
    }

    fn transactions(&self, page: &mut Page) {
        let live = self.published.live();
        let tallies = &live.tallies;
        page.family(
            "reference_pool_transactions",
            "gauge",
            "Transfers that wait.",
        );
        page.sample(
            "reference_pool_transactions",
            "{state=\"executable\"}",
            live.pool.executable as u64,
        );
        page.sample(
            "reference_pool_transactions",
            "{state=\"waiting\"}",
            live.pool.waiting as u64,
        );
        let pending = live.pending_receipts as u64;
        page.gauges(&[(
            "reference_pending_receipts",
            "Receipts that wait for a block.",
            pending,
        )]);
        page.counters(&[
            (
                "reference_transactions_total",
                "Transfers in committed blocks.",
                tallies.transactions,
            ),
            (
                "reference_receipts_total",
                "Receipts executed in committed blocks.",
                tallies.receipts,
            ),
            (
                "reference_refused_transactions_total",
                "Refused by the pool.",
                tallies.refused_transactions,
            ),
            (
                "reference_refused_cross_shard_total",
                "Wrong batches, headers.",
                tallies.refused_cross_shard,
            ),
            (
                "reference_repeated_batches_total",
                "Batches pushed again.",
                tallies.repeated_batches,
            ),
            (
                "reference_load_made_total",
                "Transfers made by the load generator.",
                tallies.load_made,
            ),
            (
                "reference_load_held_back_total",
                "Transfers held back by it.",
                tallies.load_held_back,
            ),
            (
                "reference_load_missed_total",
                "Transfers that it was too late for.",
                tallies.load_missed,
            ),
            (
                "reference_load_included_total",
                "Transfers of it in committed blocks.",
                tallies.inclusion.included,
            ),
        ]);
        let oldest = tallies.inclusion.oldest.as_micros();
        page.gauges(&[(
            "reference_load_oldest_microseconds",
            "Age of its oldest transfer that no block has.",
            u64::try_from(oldest).unwrap_or(u64::MAX),
        )]);
        page.histogram(
            "reference_load_inclusion_seconds",
            "Time until a block has a transfer of it.",
            &tallies.inclusion.steps,
        );
    }

    fn links(&self, page: &mut Page) {
        let (connected, tallies) = {
            let live = self.published.live();
            (live.connected.len() as u64, live.tallies)
        };
        page.family("hmy_p2p_message", "counter", "Messages received.");
        let total = tallies.consensus_messages + tallies.gossip_messages;
        page.sample("hmy_p2p_message", "{type=\"total\"}", total);
        page.sample(
            "hmy_p2p_message",
            "{type=\"consensus_total\"}",
            tallies.consensus_messages,
        );
        page.sample(
            "hmy_p2p_message",
            "{type=\"node_total\"}",
            tallies.gossip_messages,
        );
        page.sample("hmy_p2p_message", "{type=\"invalid\"}", tallies.malformed);
        page.gauges(&[
            ("reference_peers", "Links that are up.", connected),
            (
                "reference_wanted_peers",
                "Links that are wanted.",
                self.published.wanted_peers as u64,
            ),
        ]);
        let links = &self.network;
        page.counters(&[
            (
                "reference_received_bytes_total",
                "Bytes from peers.",
                count(&links.received_bytes),
            ),
            (
                "reference_sent_frames_total",
                "Frames to peers.",
                count(&links.sent),
            ),
            (
                "reference_sent_bytes_total",
                "Bytes to peers.",
                count(&links.sent_bytes),
            ),
            (
                "reference_dropped_frames_total",
                "Dropped, queue full.",
                count(&links.dropped),
            ),
            (
                "reference_unsent_frames_total",
                "Not sent, link down.",
                count(&links.unsent),
            ),
            (
                "reference_refused_links_total",
                "Refused connections.",
                count(&links.refused),
            ),
        ]);
    }

    fn storage(&self, page: &mut Page) {
        let store = &self.store;
        let spent = count(&store.commit_microseconds);
        page.counters(&[
            (
                "reference_store_commits_total",
                "Durable transactions.",
                count(&store.commits),
            ),
            (
                "reference_store_commit_microseconds_total",
                "Time in durable transactions.",
                spent,
            ),
            (
                "reference_store_syncs_total",
                "Calls of fsync.",
                count(&store.syncs),
            ),
            (
                "reference_store_sync_microseconds_total",
                "Time in fsync.",
                count(&store.sync_microseconds),
            ),
            (
                "reference_store_written_bytes_total",
                "Bytes written.",
                count(&store.written_bytes),
            ),
            (
                "reference_store_failures_total",
                "Writes that failed.",
                count(&store.failures),
            ),
            (
                "reference_store_reopened_total",
                "Opened again after a failure.",
                count(&store.reopened),
            ),
        ]);
        page.gauges(&[(
            "reference_store_oldest_height",
            "Oldest block kept.",
            count(&store.oldest),
        )]);
        let (console, file) = self.logger.lost();
        page.family(
            "reference_log_lost_lines_total",
            "counter",
            "Lines that a sink could not take.",
        );
        page.sample(
            "reference_log_lost_lines_total",
            "{sink=\"stdout\"}",
            console,
        );
        page.sample("reference_log_lost_lines_total", "{sink=\"file\"}", file);
    }
}

fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_has_help_and_type_before_its_samples() {
        let mut page = Page(String::new());
        page.gauges(&[("one", "Help of one.", 1)]);
        page.counters(&[("two_total", "Help of two.", 2)]);
        page.family("three", "gauge", "Help of three.");
        page.sample("three", "{kind=\"a\"}", 3);
        let expected = "# HELP one Help of one.\n# TYPE one gauge\none 1\n\
            # HELP two_total Help of two.\n# TYPE two_total counter\ntwo_total 2\n\
            # HELP three Help of three.\n# TYPE three gauge\nthree{kind=\"a\"} 3\n";
        assert_eq!(page.0, expected);
    }
}
