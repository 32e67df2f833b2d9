//! The page of `soak --serve`: the report of a run that goes on, cut into parts that are sent anew as they change.
//!
//! ```text
//!  ReportInput --> the report's own template, live --> document, with all parts in place
//!                                                  \-> parts by name, each to be put in the place of the one before
//! ```
//! The page runs one script, this program's own, which its policy names by its hash.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{Figure, LIMIT, STYLE, Table, cards, filled, page, policy_of, tables};
use crate::{
    detect::judgement::StageStart,
    fault::{kinds::KINDS, needs::Permits, schedule::default_length},
    plan::Plan,
    report::{
        RenderError, ReportInput,
        text::{count, plain, span},
        timeline::stage_word,
    },
    time::{Elapsed, human},
    verdict::Outcome,
};

const SCRIPT: &str = include_str!("live.js");
const LIVE_STYLE: &str = include_str!("live.css");

/// Nodes offered for a fault.
const MOST_NODES: usize = 300;
/// Between a part's beginning and its end. Texts of others never hold either: their `<` is escaped.
const BEGIN: &str = "<!--part ";
const END: &str = "<!--/part-->";

/// Parts of the page that are sent anew when they change, in the template's order.
const PARTS: &[&str] = &[
    "head",
    "top",
    "time",
    "findings",
    "gates",
    "faults",
    "resources",
    "nodes",
    "happened",
    "canary",
];

/// Where the run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Its age.
    pub now: Elapsed,
    /// The stage it is in.
    pub stage: Option<StageStart>,
    /// Whether it has ended: then this is the last state.
    pub ended: bool,
}

/// The page at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LivePage {
    /// All of it.
    pub document: String,
    /// Its content security policy.
    pub policy: String,
    /// Its parts by name.
    pub parts: Vec<(&'static str, String)>,
}

/// What the template shows of a run that goes on, beside the report.
#[derive(Debug, Serialize)]
pub(super) struct Live {
    script: &'static str,
    style: &'static str,
    stage: String,
    kinds: Vec<Kind>,
    nodes: Vec<String>,
    lasts: String,
    now: Table,
}

/// A kind of fault that the page offers.
#[derive(Debug, Serialize)]
struct Kind {
    name: &'static str,
    summary: &'static str,
}

/// Renders the page.
///
/// # Errors
/// When the template engine fails, which no content of the input can cause.
pub fn render(input: &ReportInput, moment: Moment) -> Result<LivePage, RenderError> {
    let mut page = page(input);
    let policy = policy();
    page.policy.clone_from(&policy);
    if !moment.ended {
        let fails = input.verdict.outcome == Outcome::Fail;
        (page.outcome, page.class) = if fails {
            ("FAILS SO FAR", "fail".to_owned())
        } else {
            ("RUNNING", "running".to_owned())
        };
        page.sentence = sentence(input, moment);
        (page.foremost, page.more_shards) = cards::foremost(input, true);
        page.figures.insert(0, age(input, moment));
    }
    page.live = Some(Live {
        script: SCRIPT,
        style: LIVE_STYLE,
        stage: stage(moment),
        kinds: kinds(&input.plan),
        nodes: input
            .plan
            .network
            .nodes
            .iter()
            .take(MOST_NODES)
            .map(|node| node.name.to_string())
            .collect(),
        lasts: human(default_length(&input.plan.clocks)),
        now: tables::shards_now(input, moment.now),
    });
    let (document, parts) = cut(&filled(&page)?);
    debug_assert!(document.len() <= LIMIT, "bounded parts make a bounded page");
    Ok(LivePage {
        document,
        policy,
        parts,
    })
}

/// Two style sheets and one script, named by their hashes; the page speaks with its own server only.
fn policy() -> String {
    let script = STANDARD.encode(Sha256::digest(SCRIPT.as_bytes()));
    let styles = policy_of(&[STYLE, LIVE_STYLE]);
    format!("{styles}; script-src 'sha256-{script}'; connect-src 'self'")
}

fn stage(moment: Moment) -> String {
    match moment.stage {
        _ if moment.ended => "has ended".to_owned(),
        Some(stage) => format!(
            "{} for {}",
            stage_word(stage.stage),
            span(moment.now.since(stage.at))
        ),
        None => "begins".to_owned(),
    }
}

fn age(input: &ReportInput, moment: Moment) -> Figure {
    let note = match input.plan.soak {
        Some(soak) => format!("soaks for {}", human(soak.0)),
        None => "until its height".to_owned(),
    };
    Figure {
        name: "age",
        value: span(moment.now.as_duration()),
        note,
    }
}

/// What is so now, in a sentence.
fn sentence(input: &ReportInput, moment: Moment) -> String {
    let judgement = &input.judgement;
    let stalled = judgement
        .shards
        .iter()
        .filter(|shard| shard.sight == crate::detect::judgement::Sight::Stalled)
        .count();
    let shards = judgement.shards.len();
    let state = match stalled {
        0 if shards == 0 => "the network is being started".to_owned(),
        0 => format!("no shard of {shards} is stalled"),
        1 => format!("1 shard of {shards} makes no blocks"),
        more => format!("{more} shards of {shards} make no blocks"),
    };
    format!(
        "{} {}: {state}; {} blocks so far; findings: {}.",
        plain(&input.plan.name, 60),
        stage(moment),
        count(judgement.coverage.blocks),
        crate::report::tally_words(crate::report::tally(&judgement.findings)),
    )
}

/// Kinds that the plan permits and that need nothing to be said.
fn kinds(plan: &Plan) -> Vec<Kind> {
    let permits = Permits::of(plan);
    let nothing = serde_json::Value::Object(serde_json::Map::new());
    let offered = KINDS
        .iter()
        .filter(|info| permits.rules_out_kind(info).is_none() && (info.parse)(&nothing).is_ok());
    offered
        .map(|info| Kind {
            name: info.kind,
            summary: info.summary,
        })
        .collect()
}

/// Cuts the parts out; the document keeps them in elements of their own.
fn cut(text: &str) -> (String, Vec<(&'static str, String)>) {
    let mut document = String::with_capacity(text.len() + 1_024);
    let mut parts = Vec::new();
    let mut rest = text;
    for name in PARTS {
        let begin = format!("{BEGIN}{name}-->");
        let Some((before, after)) = rest.split_once(begin.as_str()) else {
            continue;
        };
        let Some((part, after)) = after.split_once(END) else {
            continue;
        };
        document.push_str(before);
        document.push_str(&format!("<div id=\"part-{name}\">{part}</div>"));
        parts.push((*name, part.to_owned()));
        rest = after;
    }
    document.push_str(rest);
    (document, parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_template_is_cut_and_none_is_left_over() {
        for name in PARTS {
            assert!(
                super::super::PAGE.contains(&format!("{BEGIN}{name}-->")),
                "{name}"
            );
        }
        assert_eq!(super::super::PAGE.matches(BEGIN).count(), PARTS.len());
        assert_eq!(super::super::PAGE.matches(END).count(), PARTS.len());
        let (document, parts) =
            cut("a<!--part head-->b<!--/part-->c<!--part gates-->d<!--/part-->e");
        assert_eq!(
            document,
            "a<div id=\"part-head\">b</div>c<div id=\"part-gates\">d</div>e"
        );
        assert_eq!(parts, [("head", "b".to_owned()), ("gates", "d".to_owned())]);
    }

    #[test]
    fn the_script_adds_nothing_without_end() {
        // The one place that adds takes away again what is over.
        assert_eq!(SCRIPT.matches("append(").count(), 1);
        for word in [
            "appendChild",
            "insertAdjacent",
            "push(",
            "document.write",
            "eval(",
        ] {
            assert!(!SCRIPT.contains(word), "{word}");
        }
        assert!(!SCRIPT.contains("</"), "it stands within a page");
    }
}
