//! The schedule: all faults of a run, computed before its start from the plan as typed and its seed. Pure.
//!
//! Same plan and seed, same schedule, byte for byte. What is drawn never takes a shard's quorum away: the faults of
//! `[chaos]` are one at a time in a shard, on strictly less than a third of its voting power, with a gap after each
//! heal that is no shorter than the recovery budget.

mod drawn;
mod overlaps;
mod sweep;

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::ChaCha8Rng};
use sha2::{Digest as _, Sha256};

pub use self::sweep::Sweep;
use super::kinds::{self, Fault, KindInfo};
pub use super::needs::Permits;
use crate::{
    plan::{
        Plan, PlanError,
        faults::{
            ChaosManifest, DrillManifest, FaultManifest, OnMissing, PlannedDrill, PlannedFault,
            Target, TargetManifest, Trigger, Who,
        },
        resolve::Sources,
    },
    time::{Clocks, Window},
};

/// Entries of one schedule: a fault a second for a night, and far from what a network could take.
const MOST: usize = 20_000;
/// Words of a log trigger.
const LONGEST_TEXT: usize = 200;
/// Keys of `[[fault]]` beside the parameters of its kind.
const KEYS: [&str; 7] = ["kind", "target", "at", "every", "jitter", "for", "seed"];

/// As typed: what the schedule is computed from.
#[derive(Debug, Clone, Default)]
pub struct Typed<'a> {
    /// `[[fault]]`.
    pub faults: &'a [FaultManifest],
    /// `[sweep]`.
    pub sweep: Option<&'a Sweep>,
    /// `[chaos]`.
    pub chaos: Option<&'a ChaosManifest>,
    /// `[drill]`.
    pub drill: Option<&'a DrillManifest>,
}

/// Computes the schedule and the drill of a plan whose other values are resolved.
///
/// # Errors
/// The first entry that makes no sense, cannot heal before the soak ends, or cannot overlap with another.
pub fn schedule(
    sources: &Sources,
    typed: &Typed<'_>,
    plan: &Plan,
) -> Result<(Vec<PlannedFault>, Option<PlannedDrill>), PlanError> {
    let drafts = Drafts { sources, plan };
    let mut faults = Vec::new();
    for (index, fault) in typed.faults.iter().enumerate() {
        drafts.explicit(index, fault, &mut faults)?;
        if faults.len() > MOST {
            let key = format!("fault[{index}].every");
            return Err(sources.bad(&key, &format!("more than {MOST} faults in one schedule")));
        }
    }
    if let Some(sweep) = typed.sweep {
        drafts.sweep(sweep, &mut faults)?;
    }
    let drill = typed.drill.map(|drill| drafts.drill(drill)).transpose()?;
    drafts.refuse_overlaps(&faults, drill.as_ref())?;
    if let Some(chaos) = typed.chaos {
        drafts.chaos(chaos, drill.as_ref(), &mut faults)?;
    }
    // By time; what waits for a height or a line has no time and comes last. Stable, so entries keep their order.
    faults.sort_by_key(|fault| match fault.trigger {
        Trigger::After(after) => after,
        Trigger::Height(_) | Trigger::Log(_) => Duration::MAX,
    });
    for (number, fault) in faults.iter_mut().enumerate() {
        fault.id = format!("f{}-{}", number + 1, fault.kind);
    }
    Ok((faults, drill))
}

/// A generator of its own for each purpose, so that one entry more does not move all others.
fn stream(seed: &str, purpose: &str) -> ChaCha8Rng {
    let mut hash = Sha256::new();
    hash.update(b"canarynet faults\0");
    hash.update(seed.as_bytes());
    hash.update(b"\0");
    hash.update(purpose.as_bytes());
    ChaCha8Rng::from_seed(hash.finalize().into())
}

struct Drafts<'a> {
    sources: &'a Sources,
    plan: &'a Plan,
}

impl Drafts<'_> {
    fn window(&self, key: &str, window: Option<Window>) -> Result<Option<Duration>, PlanError> {
        crate::plan::resolve::window(self.sources, key, window, &self.plan.clocks)
    }

    /// The soak's length; at a height only, as long as it takes at the interval asked for.
    fn soak(&self) -> Duration {
        let to_height = self
            .plan
            .until_height
            .map(|height| self.plan.clocks.blocks(height));
        let soak = self.plan.soak.map(|soak| soak.0);
        match (soak, to_height) {
            (Some(soak), Some(height)) => soak.min(height),
            (soak, height) => soak.or(height).unwrap_or_default(),
        }
    }

    fn explicit(
        &self,
        index: usize,
        fault: &FaultManifest,
        faults: &mut Vec<PlannedFault>,
    ) -> Result<(), PlanError> {
        let key = |name: &str| format!("fault[{index}].{name}");
        let info = self.kind(&key("kind"), &fault.kind)?;
        let parameters = serde_json::to_value(&fault.parameters)
            .map_err(|error| self.sources.bad(&key("kind"), &error.to_string()))?;
        self.read(&format!("fault[{index}]"), info, &parameters, &KEYS)?;
        self.permitted(&key("kind"), info)?;
        let target = self.target(&key("target"), fault.target.as_ref())?;
        let lasts = self
            .window(&key("for"), fault.lasts)?
            .unwrap_or_else(|| default_length(&self.plan.clocks));
        let own_seed = self.own_seed(&key("seed"), fault.seed.as_deref())?;
        let mut random = stream(&self.plan.seed, &format!("fault {index}"));
        let mut draft = |trigger| PlannedFault {
            id: String::new(),
            kind: fault.kind.clone(),
            parameters: parameters.clone(),
            trigger,
            lasts,
            target: target.clone(),
            seed: own_seed.unwrap_or_else(|| random.random()),
            drawn: false,
        };
        match (&fault.at, fault.every) {
            (Some(_), Some(_)) => Err(self
                .sources
                .bad(&key("at"), "`at` and `every` exclude each other")),
            (None, None) => Err(self.sources.missing(
                &key("at"),
                "when it fires: `at = \"10m\"`, `at = \"height 270060\"`, `at = \"log TEXT\"` or `every = \"5m\"`",
            )),
            (Some(at), None) => {
                let trigger = self.trigger(&key("at"), at)?;
                if let Trigger::After(after) = trigger {
                    self.fits(&key("at"), after.saturating_add(lasts))?;
                }
                faults.push(draft(trigger));
                Ok(())
            }
            (None, Some(every)) => {
                let every = self.window(&key("every"), Some(every))?.unwrap_or_default();
                let jitter = self.window(&key("jitter"), fault.jitter)?.unwrap_or_default();
                if jitter >= every {
                    return Err(self.sources.bad(&key("jitter"), "is not shorter than `every`"));
                }
                if lasts.saturating_add(jitter).saturating_add(jitter) >= every {
                    return Err(self.sources.bad(
                        &key("every"),
                        "the next comes before the one before has ended; make `every` longer or `for` shorter",
                    ));
                }
                self.fits(&key("every"), every.saturating_add(lasts))?;
                let end = self.soak().saturating_sub(lasts);
                let mut moves = stream(&self.plan.seed, &format!("jitter {index}"));
                let mut at = every;
                while at <= end && faults.len() <= MOST {
                    let moved = match jitter.as_micros() as u64 {
                        0 => at,
                        most => {
                            let by = Duration::from_micros(moves.random_range(0..=2 * most));
                            (at + by).saturating_sub(jitter).min(end)
                        }
                    };
                    faults.push(draft(Trigger::After(moved)));
                    at += every;
                }
                Ok(())
            }
        }
    }

    fn own_seed(&self, key: &str, typed: Option<&str>) -> Result<Option<u64>, PlanError> {
        let read = |text: &str| {
            text.trim().parse().map_err(|_| {
                self.sources
                    .bad(key, "write a whole number as text: \"42\"")
            })
        };
        typed.map(read).transpose()
    }

    /// A fault that is still in force when the soak ends would be healed by the end of the run, not by its schedule.
    fn fits(&self, key: &str, end: Duration) -> Result<(), PlanError> {
        if end <= self.soak() {
            return Ok(());
        }
        let message = format!(
            "it would heal {} after the soak began, which lasts {}",
            crate::time::human(end),
            crate::time::human(self.soak())
        );
        Err(self.sources.bad(key, &message))
    }

    fn kind(&self, key: &str, name: &str) -> Result<&'static KindInfo, PlanError> {
        kinds::kind(name).ok_or_else(|| unknown_kind(self.sources, key, name))
    }

    /// A fault of these parameters; `beside` are the keys that stand beside them.
    fn read(
        &self,
        table: &str,
        info: &KindInfo,
        parameters: &serde_json::Value,
        beside: &[&str],
    ) -> Result<Box<dyn Fault>, PlanError> {
        if let Some(unknown) = info.unknown(parameters) {
            let known = (info.parameters)();
            let allowed: Vec<&str> = beside
                .iter()
                .copied()
                .chain(known.iter().map(String::as_str))
                .collect();
            return Err(self.sources.unknown(table, unknown, &allowed));
        }
        (info.parse)(parameters).map_err(|error| {
            let message = format!("parameters of `{}`: {error}", info.kind);
            self.sources.bad(table, &message)
        })
    }

    /// What the plan itself rules out; what the machine cannot do is probed before the start.
    fn permitted(&self, key: &str, info: &KindInfo) -> Result<(), PlanError> {
        match Permits::of(self.plan).rules_out_kind(info) {
            Some(why) if self.plan.on_missing == OnMissing::Refuse => {
                let message = format!("`{}` {why}; or `on_missing = \"skip\"`", info.kind);
                Err(self.sources.bad(key, &message))
            }
            _ => Ok(()),
        }
    }

    fn target(&self, key: &str, typed: Option<&TargetManifest>) -> Result<Target, PlanError> {
        let bad = |message: &str| self.sources.bad(key, message);
        let target = match typed {
            None => Target {
                who: Who::One,
                shard: None,
            },
            Some(TargetManifest::One(text)) => text
                .parse::<Target>()
                .map_err(|error| bad(&error.to_string()))?,
            Some(TargetManifest::Nodes(names)) => {
                let nodes: Result<Vec<_>, _> = names.iter().map(|name| name.parse()).collect();
                let nodes = nodes.map_err(|_| bad("not all of these are names of nodes"))?;
                if nodes.is_empty() {
                    return Err(bad("names no node"));
                }
                Target {
                    who: Who::Nodes(nodes),
                    shard: None,
                }
            }
        };
        super::target::check(&target, &self.plan.network.nodes).map_err(|message| bad(&message))?;
        Ok(target)
    }

    fn trigger(&self, key: &str, text: &str) -> Result<Trigger, PlanError> {
        let text = text.trim();
        if let Some(height) = text.strip_prefix("height ") {
            let height = height.trim().replace(['_', ','], "").parse();
            return height
                .map(Trigger::Height)
                .map_err(|_| self.sources.bad(key, "write `height 270060`"));
        }
        if let Some(words) = text.strip_prefix("log ") {
            let words = words.trim();
            if words.is_empty() || words.len() > LONGEST_TEXT {
                return Err(self
                    .sources
                    .bad(key, "write `log TEXT`, up to 200 characters"));
            }
            return Ok(Trigger::Log(words.to_owned()));
        }
        let window: Window = text.parse().map_err(|_| {
            self.sources.bad(
                key,
                "write a time after the soak began (`10m`, `200 blocks`), `height 270060` or `log TEXT`",
            )
        })?;
        if window == Window::Wall(Duration::ZERO) || window == Window::Blocks(0) {
            return Ok(Trigger::After(Duration::ZERO));
        }
        Ok(Trigger::After(
            self.window(key, Some(window))?.unwrap_or_default(),
        ))
    }
}

fn unknown_kind(sources: &Sources, key: &str, name: &str) -> PlanError {
    let names = kinds::KINDS.iter().map(|info| info.kind);
    let hint = crate::plan::error::did_you_mean(name, names.clone());
    let all: Vec<&str> = names.collect();
    let message = format!(
        "{name:?} is no kind of fault{hint}; known are {}",
        all.join(", ")
    );
    sources.bad(key, &message)
}

/// Length of a fault whose plan says none.
#[must_use]
pub fn default_length(clocks: &Clocks) -> Duration {
    clocks.blocks(40).max(clocks.view_change_timeout * 2)
}

#[cfg(test)]
mod tests;
