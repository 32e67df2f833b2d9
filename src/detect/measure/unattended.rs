//! What is measured of time in which nobody was attached.

use super::Measures;
use crate::{
    detect::{judgement::Doubt, world::World},
    journal::unattended::Unattended,
    time::human,
};

/// Why nothing is judged of time without an owner, unless the watcher went on watching.
const NOT_LOOKED: &str = "nobody was attached; windows began anew";

impl Measures {
    /// Another owner: its windows began anew, and that is told here and not as a gap of any other making.
    pub(super) fn attached(&mut self, world: &World) {
        self.gap(NOT_LOOKED, world);
    }

    /// Nothing was seen since the entry before: no detector judges that time.
    pub(super) fn gap(&mut self, why: &str, world: &World) {
        self.gaps = world.gaps;
        self.doubt(Doubt {
            detector: "all".to_owned(),
            shard: None,
            node: None,
            from: self.before,
            until: Some(world.now),
            why: why.to_owned(),
            decisive: false,
        });
    }

    /// What the watcher saw of a shard meanwhile.
    pub(super) fn unattended(&mut self, told: &Unattended, world: &World) {
        let Some(place) = world.touched_shard else {
            return;
        };
        let height = world.shards[place].best.as_ref().map(|best| best.height);
        let before = world.unattended.as_ref().map(|best| best.height);
        // The soak is measured in its own time, and these blocks came in none of it.
        if let (Some(((first, _), (last, _))), Some(height), Some(before)) =
            (&mut self.shards[place].soak, height, before)
        {
            first.0 = first.0.saturating_add(height.0.saturating_sub(before.0));
            *last = (*last).max(height);
        }
        if told.is_whole() {
            self.nothing_missed();
            return;
        }
        let mut missing = Vec::new();
        if !told.unwatched.is_zero() {
            missing.push(format!("{} of it", human(told.unwatched)));
        }
        if told.dropped > 0 {
            missing.push(format!("{} observations", told.dropped));
        }
        self.doubt(Doubt {
            detector: "stall".to_owned(),
            shard: Some(told.shard),
            node: None,
            from: world.now,
            until: Some(world.now),
            why: format!(
                "nobody was attached, and of what the watcher saw meanwhile {} are missing",
                missing.join(" and ")
            ),
            decisive: false,
        });
    }

    /// The run's clock stood still meanwhile, and what the watcher saw is judged: there is no doubt. A shard of which
    /// something is missing says so itself.
    fn nothing_missed(&mut self) {
        let gap = |doubt: &Doubt| doubt.why == NOT_LOOKED;
        let Some(place) = self.doubts.iter().rposition(gap) else {
            return;
        };
        self.doubts.remove(place);
        for doubt in self.unseen.values_mut().filter(|doubt| **doubt > place) {
            *doubt -= 1;
        }
    }
}
