//! Streams of the engine: logs and events.

use bollard::{
    container::LogOutput,
    models::{EventMessage, EventMessageTypeEnum},
    query_parameters::{EventsOptionsBuilder, LogsOptionsBuilder},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};

use super::{Docker, failed};
use crate::{
    engine::{
        error::EngineError,
        labels::{self, Role},
    },
    ids::{NodeName, RunId},
    journal::{event::ContainerChange, text::clean},
};

/// A piece of a program's output, as the engine cut it: neither lines nor characters are kept whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogChunk {
    /// Standard error, else standard output.
    pub stderr: bool,
    /// The bytes.
    pub bytes: Bytes,
}

/// A change of a container of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineEvent {
    /// The node, if the container is one.
    pub node: Option<NodeName>,
    /// What the container is for, if the label says so.
    pub role: Option<Role>,
    /// The version of the program that it runs, where its label says so.
    pub version: Option<String>,
    /// The container.
    pub container: String,
    /// What happened.
    pub change: ContainerChange,
    /// When, in nanoseconds since 1970 of the engine's clock.
    pub time_nanos: i64,
}

impl Docker {
    /// Follows a container's log from a moment on, until the container ends. It reads from the engine's size-bounded
    /// driver and never holds the container up: a reader that is too slow loses lines instead.
    pub fn follow_logs(
        &self,
        container: &str,
        since_unix_seconds: i64,
    ) -> impl Stream<Item = Result<LogChunk, EngineError>> + Send + use<> {
        self.logs(container, since_unix_seconds, false)
    }

    /// [`Docker::follow_logs`], each line preceded by the engine's timestamp and a space.
    pub fn follow_logs_with_timestamps(
        &self,
        container: &str,
        since_unix_seconds: i64,
    ) -> impl Stream<Item = Result<LogChunk, EngineError>> + Send + use<> {
        self.logs(container, since_unix_seconds, true)
    }

    fn logs(
        &self,
        container: &str,
        since: i64,
        timestamps: bool,
    ) -> impl Stream<Item = Result<LogChunk, EngineError>> + Send + use<> {
        let options = LogsOptionsBuilder::new()
            .follow(true)
            .stdout(true)
            .stderr(true)
            .since(i32::try_from(since).unwrap_or(0))
            .timestamps(timestamps)
            .tail("all")
            .build();
        let subject = container.to_owned();
        self.client
            .logs(container, Some(options))
            .map(move |item| match item {
                Ok(LogOutput::StdErr { message }) => Ok(LogChunk {
                    stderr: true,
                    bytes: message,
                }),
                Ok(other) => Ok(LogChunk {
                    stderr: false,
                    bytes: other.into_bytes(),
                }),
                Err(error) => Err(failed("follow the log of", &subject, &error)),
            })
    }

    /// Changes of the run's containers from a moment on (seconds since 1970), until the engine goes away.
    pub fn events(
        &self,
        run: &RunId,
        since_unix_seconds: i64,
    ) -> impl Stream<Item = Result<EngineEvent, EngineError>> + Send + use<> {
        let filters = std::collections::HashMap::from([
            ("label".to_owned(), vec![format!("{}={run}", labels::RUN)]),
            ("type".to_owned(), vec!["container".to_owned()]),
        ]);
        let options = EventsOptionsBuilder::new()
            .since(&since_unix_seconds.to_string())
            .filters(&filters)
            .build();
        let run = run.clone();
        self.client.events(Some(options)).filter_map(move |item| {
            std::future::ready(match item {
                Ok(message) => translate(&run, message).map(Ok),
                Err(error) => Some(Err(failed("follow the events of", run.as_str(), &error))),
            })
        })
    }
}

/// The engine's event in our words; `None` for kinds that say nothing about a container's life (exec, attach, ...).
fn translate(run: &RunId, message: EventMessage) -> Option<EngineEvent> {
    if message.typ != Some(EventMessageTypeEnum::CONTAINER) {
        return None;
    }
    let actor = message.actor?;
    let attributes = actor.attributes.unwrap_or_default();
    // The filter has asked for this run only; a proxy that ignores filters must not bring in another one.
    if attributes.get(labels::RUN).map(String::as_str) != Some(run.as_str()) {
        return None;
    }
    let number = |key: &str| attributes.get(key).and_then(|text| text.parse().ok());
    let change = match message.action.as_deref()? {
        "start" => ContainerChange::Started,
        "kill" => ContainerChange::Killed {
            signal: attributes
                .get("signal")
                .and_then(|text| signal_number(text))?,
        },
        "die" => ContainerChange::Died {
            exit_code: number("exitCode").unwrap_or(-1),
        },
        "oom" => ContainerChange::OutOfMemory,
        "pause" => ContainerChange::Paused,
        "unpause" => ContainerChange::Unpaused,
        "destroy" => ContainerChange::Destroyed,
        _ => return None,
    };
    Some(EngineEvent {
        node: attributes
            .get(labels::NODE)
            .and_then(|name| name.parse().ok()),
        role: attributes
            .get(labels::ROLE)
            .and_then(|role| Role::parse(role)),
        version: attributes
            .get(labels::VERSION)
            .map(|version| clean(version, 64)),
        container: actor.id.unwrap_or_default(),
        change,
        time_nanos: message
            .time_nano
            .or_else(|| {
                message
                    .time
                    .map(|seconds| seconds.saturating_mul(1_000_000_000))
            })
            .unwrap_or(0),
    })
}

/// The engine tells signals by number; other engines that speak the same API by name.
fn signal_number(text: &str) -> Option<u32> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    const NAMES: [(&str, u32); 9] = [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("KILL", 9),
        ("USR1", 10),
        ("USR2", 12),
        ("TERM", 15),
        ("CONT", 18),
        ("STOP", 19),
    ];
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    NAMES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, number)| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(action: &str, attributes: &[(&str, &str)]) -> EventMessage {
        serde_json::from_value(serde_json::json!({
            "Type": "container",
            "Action": action,
            "Actor": { "ID": "abc", "Attributes": attributes.iter().copied().collect::<std::collections::BTreeMap<_, _>>() },
            "time": 5,
            "timeNano": 5_000_000_001_i64,
        }))
        .unwrap()
    }

    #[test]
    fn events_are_translated_and_foreign_ones_dropped() {
        let run: RunId = "r1".parse().unwrap();
        let node = [
            ("canarynet.run", "r1"),
            ("canarynet.node", "s0-n01"),
            ("canarynet.role", "node"),
        ];
        let killed = [node.as_slice(), &[("signal", "9")]].concat();
        let event = translate(&run, message("kill", &killed)).unwrap();
        assert_eq!(event.change, ContainerChange::Killed { signal: 9 });
        assert_eq!(event.node.unwrap().as_str(), "s0-n01");
        assert_eq!(event.time_nanos, 5_000_000_001);
        let died = [node.as_slice(), &[("exitCode", "137")]].concat();
        let event = translate(&run, message("die", &died)).unwrap();
        assert_eq!(event.change, ContainerChange::Died { exit_code: 137 });
        assert_eq!(translate(&run, message("exec_start: x", &node)), None);
        assert_eq!(
            translate(&run, message("start", &[("canarynet.run", "r2")])),
            None
        );
        assert_eq!(signal_number("SIGTERM"), Some(15));
    }
}
