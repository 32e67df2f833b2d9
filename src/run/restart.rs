//! The restart policy: pure. Restarts are the canary's, never the engine's, so that no schedule is raced.

use std::{collections::BTreeMap, time::Duration};

use crate::{ids::NodeName, plan::RestartPlan, time::Elapsed};

/// What to do about a node that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Start it again after this long.
    After {
        /// 1 for the first restart.
        attempt: u32,
        /// The wait.
        delay: Duration,
    },
    /// Leave it: the policy says never, an outside hand ended it, or it was restarted too often.
    Leave,
}

#[derive(Debug, Default)]
struct NodeRestarts {
    /// When it was restarted, within the policy's window.
    recent: Vec<Elapsed>,
    /// A signal through the engine came from an outside hand, and nobody started it since.
    held: bool,
}

/// Who may be restarted, and when.
#[derive(Debug)]
pub struct Restarts {
    policy: RestartPlan,
    nodes: BTreeMap<NodeName, NodeRestarts>,
}

impl Restarts {
    /// With the plan's policy.
    #[must_use]
    pub fn new(policy: RestartPlan) -> Self {
        Self {
            policy,
            nodes: BTreeMap::new(),
        }
    }

    /// An outside hand stops the node: hands off until somebody starts it.
    pub fn killed_by_outside_hand(&mut self, node: &NodeName) {
        self.nodes.entry(node.clone()).or_default().held = true;
    }

    /// The node runs (again).
    pub fn started(&mut self, node: &NodeName) {
        self.nodes.entry(node.clone()).or_default().held = false;
    }

    /// The node's process ended and nobody of the canary asked for it.
    pub fn died(&mut self, node: &NodeName, now: Elapsed) -> Decision {
        let state = self.nodes.entry(node.clone()).or_default();
        let Some(first) = self.policy.after else {
            return Decision::Leave;
        };
        if state.held {
            return Decision::Leave;
        }
        let window = self.policy.window;
        state.recent.retain(|at| now.since(*at) < window);
        let count = u32::try_from(state.recent.len()).unwrap_or(u32::MAX);
        if count >= self.policy.most {
            return Decision::Leave;
        }
        state.recent.push(now);
        let delay = first
            .0
            .saturating_mul(1u32.checked_shl(count).unwrap_or(u32::MAX));
        Decision::After {
            attempt: count + 1,
            delay,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ids::ShardId, plan::SoakTime};

    #[test]
    fn waits_double_and_end() {
        let policy = RestartPlan {
            after: Some(SoakTime(Duration::from_secs(1))),
            most: 3,
            window: Duration::from_secs(150),
        };
        let node = NodeName::of(ShardId(0), 1);
        let mut restarts = Restarts::new(policy);
        for (second, wait) in [(0, 1), (10, 2), (20, 4)] {
            let Decision::After { delay, .. } = restarts.died(&node, Elapsed::from_secs(second))
            else {
                panic!()
            };
            assert_eq!(delay, Duration::from_secs(wait));
        }
        assert_eq!(
            restarts.died(&node, Elapsed::from_secs(30)),
            Decision::Leave
        );
        assert!(matches!(
            restarts.died(&node, Elapsed::from_secs(180)),
            Decision::After { attempt: 1, .. }
        ));
    }

    #[test]
    fn an_outside_hand_is_not_undone() {
        let policy = RestartPlan {
            after: Some(SoakTime(Duration::from_secs(1))),
            most: 3,
            window: Duration::from_secs(150),
        };
        let node = NodeName::of(ShardId(0), 1);
        let mut restarts = Restarts::new(policy);
        restarts.killed_by_outside_hand(&node);
        assert_eq!(restarts.died(&node, Elapsed::from_secs(1)), Decision::Leave);
        restarts.started(&node);
        assert!(matches!(
            restarts.died(&node, Elapsed::from_secs(2)),
            Decision::After { .. }
        ));
    }
}
