//! Nodes that ended are started again, as the policy says (`restart.rs`). The engine may take a minute to start one: that
//! is done beside the loop, so that nothing that happens meanwhile waits for it.

use std::time::Duration;

use tokio::sync::mpsc;

use super::{
    conductor::{Conductor, chain},
    error::RunError,
};
use crate::{
    engine::EngineError,
    ids::NodeName,
    journal::{Event, text::clean},
    probe::events::Operation,
};

/// A node that waits because the network is held still is looked at again so often.
const WHILE_HELD: Duration = Duration::from_millis(250);

/// What the loop is told about restarts.
#[derive(Debug)]
pub(super) enum Restart {
    /// A node's wait is over.
    Due(NodeName),
    /// It was started, or could not be.
    Came {
        /// The node.
        node: NodeName,
        /// What the engine said.
        outcome: Result<(), String>,
    },
}

impl Conductor {
    pub(super) fn restart_later(&self, node: NodeName, delay: Duration) {
        let due = self.restarts_due.0.clone();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            // The receiver is gone when the run has ended, and then nothing is to be restarted.
            let _ = due.send(Restart::Due(node)).await;
        });
    }

    pub(super) fn restart(&mut self, restart: Restart) -> Result<(), RunError> {
        match restart {
            Restart::Due(node) => self.begin_restart(node),
            Restart::Came { node, outcome } => {
                self.starting = self.starting.saturating_sub(1);
                if let Err(why) = outcome {
                    self.record(Event::Infra {
                        what: "engine".to_owned(),
                        detail: clean(&format!("restart of {node}: {why}"), 400),
                        fatal: false,
                    })?;
                }
            }
        }
        Ok(())
    }

    fn begin_restart(&mut self, node: NodeName) {
        let launched = self.launched.as_ref();
        let Some(handle) = launched.and_then(|launched| launched.nodes.get(&node)) else {
            return;
        };
        let container = handle.container.clone();
        if self.faults.holding() {
            // A node that ran beside others that stand still would not be copied at one moment with them.
            self.restart_later(node, WHILE_HELD);
            return;
        }
        self.observers.requested().mark(&node, Operation::Start);
        self.starting = self.starting.saturating_add(1);
        let docker = self.docker.clone();
        let start = async move { docker.start(&container).await };
        beside(node, start, self.restarts_due.0.clone());
    }
}

/// Starts a node beside the loop, and tells the loop what came of it.
fn beside(
    node: NodeName,
    start: impl Future<Output = Result<(), EngineError>> + Send + 'static,
    tell: mpsc::Sender<Restart>,
) {
    tokio::spawn(async move {
        let outcome = start.await.map_err(|error| chain(&error));
        // The receiver is gone when the run has ended.
        let _ = tell.send(Restart::Came { node, outcome }).await;
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ShardId;

    #[tokio::test]
    async fn an_engine_that_takes_its_time_holds_nothing_up_and_what_it_says_comes_later() {
        let (tell, mut told) = mpsc::channel(4);
        let (slow, other) = (NodeName::of(ShardId(0), 1), NodeName::of(ShardId(0), 2));
        let (says, said) = tokio::sync::oneshot::channel::<()>();
        let start = async move {
            let _ = said.await;
            Err(EngineError::Incomplete {
                subject: "s0-n01".to_owned(),
                what: "a container",
            })
        };
        beside(slow.clone(), start, tell.clone());
        beside(other.clone(), async { Ok(()) }, tell);
        let Some(Restart::Came { node, outcome }) = told.recv().await else {
            panic!("nothing came");
        };
        assert_eq!((node, outcome), (other, Ok(())), "the quick one");
        says.send(()).unwrap();
        let Some(Restart::Came { node, outcome }) = told.recv().await else {
            panic!("nothing came");
        };
        assert_eq!(node, slow);
        assert!(outcome.unwrap_err().contains("a container"));
    }
}
