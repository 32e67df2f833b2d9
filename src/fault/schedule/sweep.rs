//! Every kind of fault once, one after the other.

use std::time::Duration;

use super::{Drafts, MOST, Permits, default_length, stream};
use crate::{
    fault::kinds::{KINDS, KindInfo, kind},
    plan::{
        PlanError,
        faults::{PlannedFault, SweepManifest, TargetManifest, Trigger},
        resolve::{Sources, window},
    },
    time::Clocks,
};
use rand::RngExt as _;

/// A sweep, resolved before the soak's length is: the soak may last just as long as the sweep.
#[derive(Debug, Clone)]
pub struct Sweep {
    kinds: Vec<&'static KindInfo>,
    target: TargetManifest,
    lasts: Duration,
    rest: Duration,
}

impl Sweep {
    /// Which kinds, and how long each.
    ///
    /// # Errors
    /// An unknown kind, a window without sense.
    pub fn resolve(
        sources: &Sources,
        typed: &SweepManifest,
        permits: Permits<'_>,
        clocks: &Clocks,
        recovery: Duration,
    ) -> Result<Self, PlanError> {
        let kinds: Vec<&'static KindInfo> = match &typed.kinds {
            None => KINDS
                .iter()
                .filter(|info| permits.rules_out_kind(info).is_none())
                .collect(),
            Some(names) => {
                let known = |name: &String| {
                    kind(name).ok_or_else(|| super::unknown_kind(sources, "sweep.kinds", name))
                };
                names.iter().map(known).collect::<Result<_, _>>()?
            }
        };
        if kinds.is_empty() || kinds.len() > MOST {
            return Err(sources.bad("sweep.kinds", "names no kind"));
        }
        Ok(Self {
            kinds,
            target: typed
                .target
                .clone()
                .unwrap_or_else(|| TargetManifest::One("leader".to_owned())),
            lasts: window(sources, "sweep.for", typed.lasts, clocks)?
                .unwrap_or_else(|| default_length(clocks)),
            rest: window(sources, "sweep.rest", typed.rest, clocks)?.unwrap_or(recovery * 2),
        })
    }

    /// Time from the beginning until the last one has healed and rested.
    #[must_use]
    pub fn time(&self) -> Duration {
        let count = u32::try_from(self.kinds.len()).unwrap_or(u32::MAX);
        self.rest + (self.lasts + self.rest).saturating_mul(count)
    }
}

impl Drafts<'_> {
    pub(super) fn sweep(
        &self,
        sweep: &Sweep,
        faults: &mut Vec<PlannedFault>,
    ) -> Result<(), PlanError> {
        let target = self.target("sweep.target", Some(&sweep.target))?;
        self.fits("sweep.kinds", sweep.time())?;
        let mut random = stream(&self.plan.seed, "sweep");
        let mut at = sweep.rest;
        for info in &sweep.kinds {
            self.permitted("sweep.kinds", info)?;
            faults.push(PlannedFault {
                id: String::new(),
                kind: info.kind.to_owned(),
                parameters: serde_json::json!({}),
                trigger: Trigger::After(at),
                lasts: sweep.lasts,
                target: target.clone(),
                seed: random.random(),
                drawn: false,
            });
            at += sweep.lasts + sweep.rest;
        }
        Ok(())
    }
}
