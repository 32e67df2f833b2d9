//! How nodes are asked: by a dialect, or by requests whose answers are read field by field.

use std::{collections::BTreeMap, time::Duration};

use super::super::{
    PlanError, ProbePlan,
    foreign::{Fact, ReadPlan, Reads, Source, Sources as Places, ValuePlace, ValuePlan},
    resolve::Sources,
};
use crate::{
    journal::event::Mode,
    profile::manifest::{Probe, Rpc},
    time::Clocks,
};

/// Most requests that are made of each node.
pub(super) const MOST_REQUESTS: usize = 8;
/// Longest path, body, pointer or name.
const LONGEST: usize = 1024;

/// Resolves `[probe]`.
pub(super) fn resolve(
    sources: &Sources,
    typed: Probe,
    clocks: &Clocks,
) -> Result<ProbePlan, PlanError> {
    let rpc = typed.rpc.unwrap_or_default();
    // A quarter of the interval sees every block; more often than ten times a second costs more than it tells.
    let quarter =
        (clocks.block_interval / 4).clamp(Duration::from_millis(100), Duration::from_secs(5));
    let interval = rpc.interval.map_or(quarter, |span| span.0);
    let deadline = rpc.deadline.map_or(Duration::from_secs(1), |span| span.0);
    for (key, value) in [("interval", interval), ("deadline", deadline)] {
        if !allowed(value) {
            return Err(sources.bad(&format!("profile.probe.rpc.{key}"), "between 10ms and 1m"));
        }
    }
    let reads = reads(sources, &rpc, deadline)?;
    let dialect = match (&rpc.dialect, reads.requests.first()) {
        (Some(_), Some(_)) => {
            return Err(sources.bad(
                "profile.probe.rpc.dialect",
                "a dialect knows where all is told: it excludes `height` and the other places",
            ));
        }
        (None, None) => {
            return Err(sources.missing(
                "profile.probe.rpc.dialect",
                "the family of calls, a shipped dialect; or `height`, where it is told",
            ));
        }
        (dialect, _) => dialect.clone().unwrap_or_default(),
    };
    let first = reads.requests.first().map(|request| request.port);
    let Some(rpc_port) = rpc.port.or(first).filter(|port| *port != 0) else {
        return Err(sources.missing("profile.probe.rpc.port", "the port of the RPC"));
    };
    Ok(ProbePlan {
        dialect,
        reads,
        rpc_port,
        metrics_port: rpc.metrics_port,
        interval,
        deadline,
        metrics: typed.metrics.unwrap_or_default(),
        log: typed.log,
    })
}

pub(super) fn allowed(span: Duration) -> bool {
    (Duration::from_millis(10)..=Duration::from_secs(60)).contains(&span)
}

pub(super) fn is_path(path: &str) -> bool {
    let plain = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
    plain && path.len() <= LONGEST && path.parse::<hyper::Uri>().is_ok()
}

fn typed(rpc: &Rpc, fact: Fact) -> Option<&Places> {
    match fact {
        Fact::Height => rpc.height.as_ref(),
        Fact::Hash => rpc.hash.as_ref(),
        Fact::Agreeing => rpc.agreeing.as_ref(),
        Fact::View => rpc.view.as_ref(),
        Fact::Leader => rpc.leader.as_ref(),
        Fact::Own => rpc.own.as_ref(),
        Fact::Leads => rpc.leads.as_ref(),
        Fact::Mode => rpc.mode.as_ref(),
        Fact::Peers => rpc.peers.as_ref(),
    }
}

fn reads(sources: &Sources, rpc: &Rpc, deadline: Duration) -> Result<Reads, PlanError> {
    let mut requests: Vec<ReadPlan> = Vec::new();
    for fact in Fact::ALL {
        let Some(places) = typed(rpc, fact) else {
            continue;
        };
        let key = format!("profile.probe.rpc.{}", fact.key());
        let bad = |message: &str| sources.bad(&key, message);
        for (rank, source) in (0_u32..).zip(places.list()) {
            let place = place(source).map_err(|message| bad(&message))?;
            let request = request(rpc, source, deadline).map_err(|message| bad(&message))?;
            let value = ValuePlan {
                fact,
                rank,
                least: source.least,
                place,
            };
            let same = requests.iter_mut().find(|known| {
                (known.port, &known.path, &known.body)
                    == (request.port, &request.path, &request.body)
            });
            match same {
                Some(known) => {
                    known.deadline = known.deadline.min(request.deadline);
                    known.values.push(value);
                }
                None => requests.push(ReadPlan {
                    values: vec![value],
                    ..request
                }),
            }
        }
    }
    let modes: BTreeMap<String, Mode> = rpc.modes.clone().unwrap_or_default();
    let bad =
        |key: &str, message: &str| Err(sources.bad(&format!("profile.probe.rpc.{key}"), message));
    if !requests.is_empty() && rpc.height.is_none() {
        return bad(
            "height",
            "is missing: where a node stands is told first of all",
        );
    }
    if requests.len() > MOST_REQUESTS {
        return bad(
            "height",
            "the places take more than 8 requests of each node",
        );
    }
    if rpc.mode.is_some() && modes.is_empty() {
        return bad("modes", "what do the values of `mode` mean?");
    }
    if rpc.leader.is_some() != rpc.own.is_some() {
        return bad("own", "`leader` and `own` make sense together only");
    }
    Ok(Reads {
        requests,
        views: rpc.views.unwrap_or_default(),
        modes,
    })
}

fn place(source: &Source) -> Result<ValuePlace, String> {
    let fits = |text: &str| !text.is_empty() && text.len() <= LONGEST;
    match (&source.pointer, &source.metric) {
        (Some(pointer), None) if source.absent.is_none() => {
            if !pointer.starts_with('/') || !fits(pointer) {
                return Err(format!(
                    "{pointer:?} is no JSON pointer like `/result/height`"
                ));
            }
            Ok(ValuePlace::Pointer(pointer.clone()))
        }
        (None, Some(name)) if source.post.is_none() && fits(name) => Ok(ValuePlace::Metric {
            name: name.clone(),
            absent: source.absent,
        }),
        (Some(_), None) => Err("`absent` is for metrics".to_owned()),
        (None, Some(_)) => Err("a metrics page is asked for with `get`".to_owned()),
        _ => Err("write either `pointer` or `metric`".to_owned()),
    }
}

fn request(rpc: &Rpc, source: &Source, deadline: Duration) -> Result<ReadPlan, String> {
    let metrics = source.metric.is_some();
    let (path, body) = match (&source.get, &source.post) {
        (Some(path), None) if source.body.is_none() => (path.clone(), None),
        (None, Some(path)) => (
            path.clone(),
            Some(source.body.clone().unwrap_or_else(|| "{}".to_owned())),
        ),
        (None, None) if metrics && source.body.is_none() => ("/metrics".to_owned(), None),
        _ => return Err("write either `get`, or `post` and `body`".to_owned()),
    };
    if !is_path(&path) {
        return Err(format!("{path:?} is no path like `/status`"));
    }
    if body.as_ref().is_some_and(|body| body.len() > LONGEST) {
        return Err("the body is longer than 1024 bytes".to_owned());
    }
    let default = if metrics {
        rpc.metrics_port.or(rpc.port)
    } else {
        rpc.port
    };
    let port = source.port.or(default).filter(|port| *port != 0);
    let deadline = source.deadline.map_or(deadline, |span| span.0);
    if !allowed(deadline) {
        return Err("its deadline is not between 10ms and 1m".to_owned());
    }
    Ok(ReadPlan {
        port: port.ok_or("there is no port to ask at")?,
        path,
        body,
        deadline,
        values: Vec::new(),
    })
}
