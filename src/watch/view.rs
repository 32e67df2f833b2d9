//! What is shown of a run, and where the reader is in it.

use crate::{
    detect::{NodeView, Severity, ShardView},
    ids::NodeName,
    time::Elapsed,
};

/// A run at one moment. All texts are harmless.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Run, plan, seed.
    pub title: String,
    /// How it stands: running, finished, ownerless.
    pub state: String,
    /// Stage and findings, in a line.
    pub status: String,
    /// Its age.
    pub now: Elapsed,
    /// The shards.
    pub shards: Vec<ShardView>,
    /// The nodes, in the plan's order.
    pub nodes: Vec<NodeRow>,
    /// Findings, the open and worst ones first.
    pub findings: Vec<FindingRow>,
    /// Findings that have no room here.
    pub more_findings: usize,
}

/// A node in a line.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeRow {
    /// Its name.
    pub node: NodeName,
    /// All about it that fits.
    pub words: String,
    /// Whether it runs.
    pub runs: bool,
}

/// A finding in a line, and at length.
#[derive(Debug, Clone, PartialEq)]
pub struct FindingRow {
    /// Its id.
    pub id: String,
    /// How bad.
    pub severity: Severity,
    /// Whether it lasts.
    pub open: bool,
    /// Kind, subject, since when.
    pub words: String,
    /// Everything, a line each.
    pub details: Vec<String>,
}

/// The parts of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pane {
    /// Shards.
    Shards,
    /// Nodes.
    Nodes,
    /// Findings.
    Findings,
    /// Log lines of the selected node.
    Log,
}

impl Pane {
    /// All, in the order of the tabulator key.
    pub const ALL: [Self; 4] = [Self::Shards, Self::Nodes, Self::Findings, Self::Log];
}

/// Where the reader is.
#[derive(Debug, Clone)]
pub struct Screen {
    /// The part that keys move in.
    pub pane: Pane,
    /// That part alone fills the screen.
    pub zoomed: bool,
    /// First shard shown.
    pub shard: usize,
    /// The selected node.
    pub node: usize,
    /// The selected finding, by its id: the list is sorted anew all the time.
    pub finding: Option<String>,
    /// Lines back from the newest log line.
    pub back: usize,
    /// Columns of log lines that are hidden at their left.
    pub column: u16,
    /// Log lines of the selected node; while the reader is back in them they stay as they are.
    pub lines: Vec<String>,
    /// Whether colours are wanted.
    pub colours: bool,
}

impl Screen {
    /// At the findings, the newest of everything.
    #[must_use]
    pub fn new(colours: bool) -> Self {
        Self {
            pane: Pane::Nodes,
            zoomed: false,
            shard: 0,
            node: 0,
            finding: None,
            back: 0,
            column: 0,
            lines: Vec::new(),
            colours,
        }
    }

    /// The node whose log lines are shown.
    #[must_use]
    pub fn node<'a>(&self, view: &'a View) -> Option<&'a NodeName> {
        let place = self.node.min(view.nodes.len().saturating_sub(1));
        view.nodes.get(place).map(|row| &row.node)
    }

    /// Place of the selected finding: the first one if it is gone.
    #[must_use]
    pub fn finding(&self, view: &View) -> Option<usize> {
        let id = self.finding.as_ref();
        let place = id.and_then(|id| view.findings.iter().position(|row| row.id == *id));
        place.or((!view.findings.is_empty()).then_some(0))
    }

    /// Moves within the part that is in focus.
    pub fn step(&mut self, by: isize, view: &View) {
        let moved = |place: usize, count: usize| {
            place.saturating_add_signed(by).min(count.saturating_sub(1))
        };
        match self.pane {
            Pane::Shards => self.shard = moved(self.shard, view.shards.len()),
            Pane::Nodes => {
                self.node = moved(self.node, view.nodes.len());
                self.back = 0;
            }
            Pane::Findings => {
                let place = self.finding(view).unwrap_or(0);
                let row = view.findings.get(moved(place, view.findings.len()));
                self.finding = row.map(|row| row.id.clone());
            }
            // Upwards is back in time.
            Pane::Log => self.back = moved_back(self.back, by, self.lines.len()),
        }
    }
}

fn moved_back(back: usize, by: isize, lines: usize) -> usize {
    back.saturating_add_signed(by.saturating_neg())
        .min(lines.saturating_sub(1))
}

/// A node's row.
pub(super) fn node_row(node: &NodeView) -> NodeRow {
    use crate::{
        detect::judgement::NodeState,
        report::text::{count, percent},
    };
    let state = match node.state {
        NodeState::Absent => "never started",
        NodeState::Running => "runs",
        NodeState::Paused => "frozen",
        NodeState::EndedByItself => "ended",
        NodeState::EndedByOutsideHand => "killed",
        NodeState::EndedByCanary => "stopped",
        NodeState::EndedByEngine => "gone",
    };
    let height = node
        .height
        .map_or_else(|| "-".to_owned(), |height| count(height.0));
    let disk = match node.disk {
        (_, 0) => "-".to_owned(),
        (used, size) => percent(used as f64 / size as f64),
    };
    let restarts = match node.restarts {
        0 => String::new(),
        more => format!(" {more} restarts"),
    };
    NodeRow {
        node: node.node.clone(),
        words: format!("{state:<7} {height:>7} {disk:>5}{restarts}"),
        runs: node.state == NodeState::Running,
    }
}
