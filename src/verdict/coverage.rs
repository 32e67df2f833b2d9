//! What the run must have exercised.

use super::{Bench, Outcome, percent};
use crate::{detect::Judgement, plan::Plan};

impl Bench {
    pub(super) fn coverage(&mut self, plan: &Plan, judgement: &Judgement) {
        let asked = &plan.gate.coverage;
        let seen = &judgement.coverage;
        let enough = |enough: bool| {
            if enough {
                Outcome::Pass
            } else {
                Outcome::Inconclusive
            }
        };
        let more = &asked.exercised;
        for (gate, least, measured) in [
            ("coverage blocks", asked.blocks, seen.blocks),
            ("coverage epochs", asked.epochs, seen.epochs),
            (
                "coverage leader turns",
                more.leader_turns,
                seen.leader_turns,
            ),
            (
                "coverage leader kills",
                more.leader_kills,
                seen.leader_kills,
            ),
            (
                "coverage view changes",
                more.view_changes,
                seen.view_changes,
            ),
            ("coverage restarts", more.restarts, seen.restarts),
            ("coverage full disks", more.full_disks, seen.full_disks),
            (
                "coverage full disks recovered",
                more.full_disks_recovered,
                seen.full_disks_recovered,
            ),
            ("coverage receipts", more.receipts, seen.receipts),
        ] {
            // Blocks and epochs are always shown; of the rest what was asked for.
            if least == 0 && !matches!(gate, "coverage blocks" | "coverage epochs") {
                continue;
            }
            let outcome = enough(measured >= least);
            self.gate_and_reason(
                gate,
                format!("at least {least}"),
                measured.to_string(),
                outcome,
            );
        }
        let on = seen
            .blind_node
            .as_ref()
            .map_or_else(String::new, |node| format!(" on {node}"));
        for (gate, most, measured, note) in [
            ("coverage blind", asked.blind_share, seen.blind_share, on),
            (
                "coverage lines lost",
                asked.lines_lost_share,
                seen.lines_lost_share,
                format!(" ({} of {})", seen.lines_lost, seen.lines),
            ),
        ] {
            let asked = format!("at most {}", percent(most));
            let outcome = enough(measured <= most);
            self.gate_and_reason(gate, asked, percent(measured) + &note, outcome);
        }
        self.load(plan, judgement);
    }

    /// A generator that falls behind is the canary's fault: the network was never asked for what it did not do.
    fn load(&mut self, plan: &Plan, judgement: &Judgement) {
        let least = plan.gate.coverage.exercised.load_share;
        let (measured, outcome) = match judgement.coverage.load_share {
            _ if least <= 0.0 => return,
            Some(share) if share >= least => (percent(share), Outcome::Pass),
            Some(share) => (percent(share), Outcome::Infra),
            None if plan.load.rate > 0.0 => ("nobody told".to_owned(), Outcome::Inconclusive),
            None => return,
        };
        let asked = format!("at least {}", percent(least));
        self.gate_and_reason("load offered", asked, measured, outcome);
    }
}
