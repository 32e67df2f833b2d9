//! `report.html`: one file for people, with plots, that needs no network, no script and no other file.
//!
//! ```text
//!  ReportInput --> texts made plain, tables, cards, SVG --> page.html (a template that escapes) --> one file
//! ```
//! The page may load and run nothing: its content security policy allows its own style sheet and that is all. Its size
//! is bounded: so many shards, nodes, findings and rows, each of bounded texts; what does not fit is counted.

mod cards;
pub mod live;
mod resources;
mod svg;
mod tables;
mod timeline;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use minijinja::{Environment, value::Serde};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    RenderError, ReportInput, audit, climbs, faults, markdown, terminal,
    text::{percent, plain, plural, ratio, span},
};
use crate::time::human;

/// A report is never larger, whatever happened.
pub const LIMIT: usize = 5 << 20;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");

/// Reasons and warnings that are told.
const MOST_REASONS: usize = 8;

/// A table of plain texts; the template escapes them.
#[derive(Debug, Default, Serialize)]
struct Table {
    caption: String,
    heading: Vec<String>,
    rows: Vec<Vec<String>>,
    left_out: String,
}

impl Table {
    fn new(caption: &str, heading: &[&str]) -> Self {
        Self {
            caption: caption.to_owned(),
            heading: heading.iter().map(|title| (*title).to_owned()).collect(),
            ..Self::default()
        }
    }

    fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Says how many rows of `all` are missing, and which file has them.
    fn of(mut self, all: usize, place: &str) -> Self {
        let missing = all.saturating_sub(self.rows.len());
        if missing > 0 {
            self.left_out = format!("and {} in {place}", plural(missing as u64, "more row"));
        }
        self
    }
}

/// A figure with what it is and what it says.
#[derive(Debug, Serialize)]
struct Figure {
    name: &'static str,
    value: String,
    note: String,
}

/// All that the template shows.
#[derive(Debug, Serialize)]
struct Page {
    policy: String,
    style: &'static str,
    live: Option<live::Live>,
    outcome: &'static str,
    class: String,
    run: String,
    plan: String,
    program: String,
    seed: String,
    exit: u8,
    started: String,
    sentence: String,
    foremost: Vec<cards::Foremost>,
    more_shards: usize,
    figures: Vec<Figure>,
    reasons: Vec<String>,
    plots: Vec<timeline::ShardPlot>,
    plots_left_out: usize,
    groups: Vec<cards::Group>,
    common: Vec<String>,
    alike: Table,
    fault_words: Option<String>,
    recovery_budget: String,
    resources: Vec<resources::ShardResources>,
    remarks: Vec<String>,
    not_judged: Vec<String>,
    waivers: Vec<String>,
    cost_words: String,
    reproduce: String,
    directory: String,
    kept: String,
    shards: Table,
    gates: Table,
    happened: Table,
    audit: Table,
    kinds: Table,
    recovery_lines: Vec<String>,
    recovery: Table,
    faults: Table,
    nodes: Table,
    by_version: Table,
    growth: Table,
    capabilities: Table,
    cost: Table,
    versions: Table,
}

/// Renders `report.html`.
///
/// # Errors
/// When the template engine fails, which no content of the input can cause.
pub fn render(input: &ReportInput) -> Result<String, RenderError> {
    let text = filled(&page(input))?;
    debug_assert!(text.len() <= LIMIT, "bounded parts make a bounded page");
    Ok(text)
}

/// Fills the template.
fn filled(page: &Page) -> Result<String, RenderError> {
    let failed = |source| RenderError::Html { source };
    let mut environment = Environment::new();
    // The name ends in .html: every text that is not marked as markup is escaped.
    environment
        .add_template("page.html", PAGE)
        .map_err(failed)?;
    let template = environment.get_template("page.html").map_err(failed)?;
    template.render(Serde(page)).map_err(failed)
}

fn page(input: &ReportInput) -> Page {
    let (foremost, more_shards) = cards::foremost(input, false);
    let (plots, plots_left_out) = timeline::plots(input);
    let outcome = terminal::outcome_word(input.verdict.outcome);
    let budget = input.plan.thresholds.recovery;
    Page {
        policy: policy_of(&[STYLE]),
        style: STYLE,
        live: None,
        outcome,
        class: outcome.to_lowercase(),
        run: input.run.to_string(),
        plan: plain(&input.plan.name, 60),
        program: plain(&input.program, 200),
        seed: plain(&input.plan.seed, 80),
        exit: input.exit_code,
        started: input.judgement.started.to_string(),
        sentence: markdown::sentence(input, plain),
        foremost,
        more_shards,
        figures: figures(input),
        reasons: reasons(input),
        plots,
        plots_left_out,
        groups: cards::groups(input),
        common: tables::common(input),
        alike: tables::alike(input),
        fault_words: faults::words(input),
        recovery_budget: format!(
            "{} to the first block, {} to all nodes level",
            human(budget),
            human(budget * 3)
        ),
        resources: resources::plots(input),
        remarks: audit::remarks(&input.plan)
            .iter()
            .take(20)
            .map(|remark| plain(remark, 400))
            .collect(),
        not_judged: tables::not_judged(input),
        waivers: waivers(input),
        cost_words: terminal::cost_words(input),
        reproduce: reproduce(input),
        directory: plain(&input.run_directory, 400),
        kept: input
            .kept
            .as_deref()
            .map_or_else(String::new, |kept| plain(kept, 400)),
        shards: tables::shards(input),
        gates: tables::gates(input),
        happened: tables::happened(input),
        audit: tables::audit(input),
        kinds: tables::kinds(input),
        recovery_lines: climbs::lines(input, plain),
        recovery: tables::recovery(input),
        faults: tables::faults(input),
        nodes: tables::nodes(input),
        by_version: tables::by_version(input),
        growth: tables::growth(input),
        capabilities: tables::capabilities(input),
        cost: tables::cost(input),
        versions: tables::versions(input),
    }
}

/// Nothing is loaded, nothing runs; style sheets are named by their hashes.
fn policy_of(styles: &[&str]) -> String {
    let hash = |style: &&str| {
        let hash = STANDARD.encode(Sha256::digest(style.as_bytes()));
        format!("'sha256-{hash}'")
    };
    let hashes: Vec<String> = styles.iter().map(hash).collect();
    format!(
        "default-src 'none'; style-src {}; img-src data:; base-uri 'none'; form-action 'none'",
        hashes.join(" ")
    )
}

fn figures(input: &ReportInput) -> Vec<Figure> {
    let judgement = &input.judgement;
    let acceleration = &judgement.acceleration;
    let coverage = &judgement.coverage;
    let figure = |name, value: String, note: String| Figure { name, value, note };
    let measured = if acceleration.measured > 0.0 {
        format!("{}x", ratio(acceleration.measured))
    } else {
        "not measured".to_owned()
    };
    let mut figures = vec![
        figure(
            "soaked",
            span(coverage.soak),
            format!("= {} of mainnet", span(acceleration.mainnet)),
        ),
        figure(
            "acceleration",
            measured,
            format!("asked {}x", ratio(input.plan.speedup)),
        ),
        figure(
            "blocks",
            super::text::count(coverage.blocks),
            format!("in {}", plural(judgement.shards.len() as u64, "shard")),
        ),
        figure(
            "findings",
            super::tally(&judgement.findings)
                .iter()
                .sum::<u32>()
                .to_string(),
            super::tally_words(super::tally(&judgement.findings)),
        ),
        figure(
            "blind",
            percent(coverage.blind_share),
            format!("{} of log lines lost", percent(coverage.lines_lost_share)),
        ),
        figure(
            "canary",
            percent(judgement.cost.cpu_share),
            format!(
                "of a core, {}",
                super::text::bytes(judgement.cost.memory_peak)
            ),
        ),
    ];
    if !judgement.kinds.is_empty() {
        let effective: u64 = judgement.kinds.iter().map(|kind| kind.effective).sum();
        let fired: u64 = judgement.kinds.iter().map(|kind| kind.fired).sum();
        let recovered: u64 = judgement
            .kinds
            .iter()
            .map(|kind| kind.first_block.count)
            .sum();
        let value = format!("{effective} of {fired}");
        figures.push(figure(
            "faults effective",
            value,
            format!("{recovered} recovered"),
        ));
    }
    figures
}

fn reasons(input: &ReportInput) -> Vec<String> {
    let reasons = input
        .verdict
        .reasons
        .iter()
        .take(MOST_REASONS)
        .map(|reason| {
            let word = terminal::outcome_word(reason.outcome).to_lowercase();
            format!("{word}: {}", plain(&reason.text, 300))
        });
    let warnings = input.verdict.warnings.iter().take(MOST_REASONS);
    reasons
        .chain(warnings.map(|warning| format!("warning: {}", plain(warning, 300))))
        .collect()
}

fn waivers(input: &ReportInput) -> Vec<String> {
    let waivers = input.plan.gate.waive.iter().take(50);
    waivers
        .map(|waiver| {
            format!(
                "{} until {}: {}",
                plain(&waiver.finding, 40),
                plain(&waiver.until, 20),
                plain(&waiver.because, 300)
            )
        })
        .collect()
}

/// Commands, a line each.
fn reproduce(input: &ReportInput) -> String {
    let words = input
        .reproduce
        .iter()
        .take(60)
        .map(|word| markdown::run::quoted(word));
    let command = words.collect::<Vec<_>>().join(" ");
    format!(
        "{}\ncanarynet judge {}   # the same verdict from the journal alone",
        plain(&command, 4_000),
        input.run
    )
}
