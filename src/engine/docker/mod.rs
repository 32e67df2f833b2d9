//! The only place that names the engine's client library.
//!
//! Every call has a deadline of its own, because an engine whose disk is full answers late or never, and an error
//! that names the operation and its subject.

mod archives;
mod connect;
mod containers;
mod exec;
mod images;
mod networks;
mod replace;
mod spec;
mod streams;
mod volumes;

use std::{future::Future, sync::Arc, time::Duration};

pub use connect::EngineInfo;
pub(crate) use connect::config_folder;
pub use containers::{ContainerFacts, ContainerSummary, Observed};
pub use exec::{ExecOutput, ExecSession};
pub use images::{ImageFacts, ImageSummary};
pub use networks::NetworkFacts;
pub(crate) use networks::{has_endpoints, is_subnet_taken};
pub use replace::Runs;
pub(crate) use spec::nano_cpus;
pub use spec::{ContainerSpec, LOG_BYTES, Mount, Throttle};
pub use streams::{EngineEvent, LogChunk};
pub use volumes::VolumeFacts;

use crate::{engine::error::EngineError, journal::text::clean};

/// Deadline of calls that only read.
const READ: Duration = Duration::from_secs(20);
/// Deadline of calls that create, start or remove one object. Starting sixteen containers at once on two busy cores
/// takes seconds; a minute means that the engine hangs.
const CHANGE: Duration = Duration::from_secs(60);
/// Backstop of the client library itself; above all deadlines here.
const CLIENT: Duration = Duration::from_secs(900);

/// The container engine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Docker {
    client: bollard::Docker,
    info: Arc<EngineInfo>,
}

impl Docker {
    /// What the engine is and has.
    #[must_use]
    pub fn info(&self) -> &EngineInfo {
        &self.info
    }

    /// Whether the engine answers within this time.
    pub async fn answers(&self, within: Duration) -> bool {
        let asked = call("ask", "the engine", within, self.client.ping());
        asked.await.is_ok()
    }
}

/// Awaits an engine call: within its deadline, and with an error that names it.
async fn call<T>(
    operation: &'static str,
    subject: &str,
    deadline: Duration,
    future: impl Future<Output = Result<T, bollard::errors::Error>>,
) -> Result<T, EngineError> {
    match tokio::time::timeout(deadline, future).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(failed(operation, subject, &error)),
        Err(_) => Err(EngineError::Deadline {
            operation,
            subject: subject.to_owned(),
            deadline,
        }),
    }
}

/// The client library's error as ours.
fn failed(operation: &'static str, subject: &str, error: &bollard::errors::Error) -> EngineError {
    let (status, message) = match error {
        bollard::errors::Error::DockerResponseServerError {
            status_code,
            message,
        } => (Some(*status_code), message.clone()),
        other => (None, chain(other)),
    };
    EngineError::Call {
        operation,
        subject: subject.to_owned(),
        status,
        message: clean(message.trim(), 600),
    }
}

/// An error with all its causes in one line: the client library's outer texts say little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

/// An inspection as an answer to whether the object exists.
fn exists<T>(inspected: Result<T, EngineError>) -> Result<bool, EngineError> {
    match inspected {
        Ok(_) => Ok(true),
        Err(error) if error.is_missing() => Ok(false),
        Err(error) => Err(error),
    }
}

/// A filter on one label with one value.
fn label_filter(key: &str, value: &str) -> std::collections::HashMap<String, Vec<String>> {
    std::collections::HashMap::from([("label".to_owned(), vec![format!("{key}={value}")])])
}

/// A filter on the presence of a label.
fn label_present(key: &str) -> std::collections::HashMap<String, Vec<String>> {
    std::collections::HashMap::from([("label".to_owned(), vec![key.to_owned()])])
}
