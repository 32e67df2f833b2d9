//! Facts of the journal in one line each. The lines may quote a node: whoever shows them makes them harmless.

use super::text;
use crate::{
    ids::Height,
    journal::{
        event::{ContainerChange, Event, NodeHead, Origin, ProbeError},
        unattended::Unattended,
    },
    time::human,
};

/// What happened, with the height it concerns.
type Told = (Option<Height>, String);

/// Nodes named in a line about heads.
const MOST_HEADS: usize = 8;

/// An event in one line; `None` for what says nothing by itself.
pub(super) fn describe(event: &Event) -> Option<Told> {
    run(event)
        .or_else(|| containers(event))
        .or_else(|| chain(event))
        .or_else(|| probes(event))
        .or_else(|| resources(event))
}

fn run(event: &Event) -> Option<Told> {
    let what = match event {
        Event::Signal { name } => format!("{name} reached the canary"),
        Event::Attached { .. } => "another process took the run over".to_owned(),
        Event::Unattended(told) => return Some(unattended(told)),
        Event::EngineAway { .. } => {
            "our side: the container engine answers nothing any more".to_owned()
        }
        Event::EngineReturned { away, ended, .. } => {
            let restarted = match ended.len() {
                0 => "all containers had lived on".to_owned(),
                count => format!("{count} nodes had ended with it"),
            };
            format!(
                "our side: the engine answers again after {}; {restarted}",
                human(*away)
            )
        }
        Event::WatchPaused => "watching is off, to measure its cost".to_owned(),
        Event::WatchResumed => "watching goes on".to_owned(),
        Event::Infra { what, detail, .. } => format!("our side: {what}: {detail}"),
        Event::DiskServerEnded { node, exit_code } => {
            format!("our side: the process of {node}'s FUSE disk ended with exit code {exit_code}")
        }
        Event::Thinned { left_out, .. } => {
            format!("the journal leaves facts out to keep its budget, {left_out} so far")
        }
        _ => return None,
    };
    Some((None, what))
}

fn unattended(told: &Unattended) -> Told {
    let mut what = format!(
        "{} while nobody was attached: watched for {}, {} blocks",
        text::shard(told.shard),
        human(told.watched),
        told.blocks
    );
    if let Some(wait) = &told.longest {
        what += &format!(
            ", the longest wait {} after height {}",
            human(wait.lasted),
            wait.after
        );
    }
    if !told.unwatched.is_zero() {
        what += &format!("; not watched for {}", human(told.unwatched));
    }
    if told.dropped > 0 {
        what += &format!("; {} observations dropped", told.dropped);
    }
    (told.newest.as_ref().map(|newest| newest.height), what)
}

fn containers(event: &Event) -> Option<Told> {
    let what = match event {
        Event::Container {
            node,
            change,
            requested,
        } => {
            let who = if *requested { "" } else { ", not asked for" };
            format!("{node} {}{who}", change_words(*change))
        }
        Event::Version { node, version } => format!("{node} runs version {version}"),
        Event::Restart {
            node,
            attempt,
            delay,
        } => {
            format!(
                "{node} is started again, attempt {attempt}, after {}",
                human(*delay)
            )
        }
        _ => return None,
    };
    Some((None, what))
}

fn change_words(change: ContainerChange) -> String {
    match change {
        ContainerChange::Started => "started".to_owned(),
        ContainerChange::Killed { signal } => format!("was sent signal {signal}"),
        ContainerChange::Died { exit_code } => format!("ended with exit code {exit_code}"),
        ContainerChange::OutOfMemory => "had a process killed for memory".to_owned(),
        ContainerChange::Paused => "was frozen".to_owned(),
        ContainerChange::Unpaused => "was thawed".to_owned(),
        ContainerChange::Destroyed => "was removed".to_owned(),
    }
}

fn chain(event: &Event) -> Option<Told> {
    match event {
        Event::Block {
            shard,
            height,
            leader,
            view,
            node,
            ..
        } => {
            let leader = leader
                .as_deref()
                .map_or_else(String::new, |name| format!(" by {name}"));
            let view = view.map_or_else(String::new, |view| format!(" in view {view}"));
            let what = format!(
                "{} block{leader}{view}, first on {node}",
                text::shard(*shard)
            );
            Some((Some(*height), what))
        }
        Event::Head {
            node, height, hash, ..
        } => Some((Some(*height), format!("{node} has another head: {hash}"))),
        Event::Heads { shard, nodes } => {
            let heads: Vec<String> = nodes.iter().take(MOST_HEADS).map(head_words).collect();
            let best = nodes.iter().map(|head| head.height).max();
            Some((
                best,
                format!("{} heads: {}", text::shard(*shard), heads.join(", ")),
            ))
        }
        Event::Position(position) => {
            let origin = match position.origin {
                Origin::Metrics => "metrics",
                Origin::Log => "log",
                Origin::Disk => "disk",
            };
            let what = format!("{} stands here by its {origin}", position.node);
            Some((position.height, what))
        }
        Event::Ledger(ledger) => {
            let node = ledger.node.as_ref()?;
            Some((ledger.height, format!("the ledger of {node}")))
        }
        _ => None,
    }
}

fn head_words(head: &NodeHead) -> String {
    let view = head
        .view
        .map_or_else(String::new, |view| format!(" view {view}"));
    format!("{} {}{view}", head.node, head.height)
}

fn probes(event: &Event) -> Option<Told> {
    let what = match event {
        Event::ProbeAnswered {
            node,
            probe,
            silent_for,
        } if silent_for.is_zero() => format!("{node} {probe:?} probe answers"),
        Event::ProbeAnswered {
            node,
            probe,
            silent_for,
        } => {
            format!(
                "{node} {probe:?} probe answers again after {}",
                human(*silent_for)
            )
        }
        Event::ProbeFailed {
            node,
            probe,
            error,
            failures,
        } => {
            format!(
                "{node} {probe:?} probe fails ({failures} in a row): {}",
                probe_words(error)
            )
        }
        Event::Sight {
            seeing: true,
            detail,
        } => format!("the canary sees again: {detail}"),
        Event::Sight {
            seeing: false,
            detail,
        } => format!("the canary sees nothing: {detail}"),
        Event::Log {
            node,
            level,
            rule,
            message,
            error,
            at,
            ..
        } => {
            let error = error
                .as_deref()
                .map_or_else(String::new, |error| format!(": {error}"));
            let place = at.as_ref().map_or_else(String::new, |at| {
                format!(" [logs/{} +{}]", at.file, at.offset)
            });
            format!("{node} {level} ({rule}): {message}{error}{place}")
        }
        Event::LogCount {
            node, lines, lost, ..
        } if *lost > 0 => {
            format!("{node}: {lost} of {lines} log lines lost")
        }
        Event::TemplateSeen {
            node, level, text, ..
        } => format!("{node} says for the first time ({level}): {text}"),
        _ => return None,
    };
    Some((None, what))
}

fn probe_words(error: &ProbeError) -> String {
    match error {
        ProbeError::Deadline => "no answer within the deadline".to_owned(),
        ProbeError::Refused => "nobody listens".to_owned(),
        ProbeError::Unreachable => "no connection".to_owned(),
        ProbeError::BadAnswer(answer) => format!("an answer that makes no sense: {answer}"),
        ProbeError::TooLarge => "an answer that is too large".to_owned(),
        ProbeError::Ended => "the stream ended".to_owned(),
    }
}

fn resources(event: &Event) -> Option<Told> {
    let what = match event {
        Event::Sample(sample) => {
            let node = sample.node.as_ref()?;
            let total = sample.disk_used.saturating_add(sample.disk_free);
            let disk = format!(
                "{} of {}",
                text::bytes(sample.disk_used),
                text::bytes(total)
            );
            format!(
                "{node} uses {} of memory, {disk} of its disk",
                text::bytes(sample.memory)
            )
        }
        Event::DiskAged(level) => {
            let node = level.node.as_ref()?;
            format!(
                "{} of {node}'s disk of {} were used before its start",
                text::bytes(level.used),
                text::bytes(level.size)
            )
        }
        Event::HostDisk {
            engine_free,
            run_free,
        } => format!(
            "free: {} for the engine, {} for the run",
            text::bytes(*engine_free),
            text::bytes(*run_free)
        ),
        _ => return None,
    };
    Some((None, what))
}
