//! Keys of the published format that this version does not act on. They are refused, never ignored: a gate that
//! silently did less than its plan says would be worse than none.

/// A key that is refused.
#[derive(Debug, Clone, Copy)]
pub struct Later {
    /// The dotted key; elements of arrays share their array's key.
    pub key: &'static str,
    /// What it will be, or what to use instead.
    pub note: &'static str,
}

impl Later {
    /// Whether this key is refused.
    #[must_use]
    pub fn matches(&self, key: &str) -> bool {
        self.key == key
    }
}

const fn later(key: &'static str, note: &'static str) -> Later {
    Later { key, note }
}

/// Keys of soak plans.
pub const PLAN: &[Later] = &[
    later(
        "on_failure.confirm",
        "confirming a failure by repeating it comes later",
    ),
    later(
        "on_failure.confirm_within",
        "confirming a failure by repeating it comes later",
    ),
    later("on_failure.freeze", "copies of paused volumes come later"),
    later("gate.new_detectors", "all detectors of this version count"),
    later(
        "gate.inconclusive",
        "an inconclusive run ends with exit code 4",
    ),
];

/// Keys of profiles.
pub const PROFILE: &[Later] = &[
    later("join", "nodes that join later come later"),
    later("files", "write `[[file]]` with `path` and `text`"),
    later(
        "nodes.full",
        "call nodes that follow and never sign `explorer`",
    ),
    later(
        "probe.rpc.base",
        "nodes are asked at their own addresses: write `port`",
    ),
    later(
        "probe.rpc.syncing",
        "write `mode`, and in `modes` what its values mean",
    ),
    later(
        "log.match",
        "write `message`, `error` and `level` directly in `[[log]]`",
    ),
    later("log.finding", "write what the line means as `class`"),
    later("log.observe", "write what the line means as `class`"),
];
