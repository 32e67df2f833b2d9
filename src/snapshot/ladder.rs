//! The ladder of a lineage: which rungs go, which one to go on from, and what a run's findings say of the rungs that it
//! made. Pure.
//!
//! Rungs become rarer towards the chain's beginning: near the newest a failure is repeated from close by, and from an old
//! one it still can be. The rung before a finding that nobody has resolved never goes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::{Elapsed, WallTime};

/// What became of a rung after it was made (`rung.json`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Standing {
    /// A healthy stretch followed.
    pub good: bool,
    /// It was made while a finding that counts was open: what is wrong may be in its data.
    pub tainted: bool,
    /// The finding that came after it and that nobody has resolved.
    pub pinned: Option<String>,
}

/// A rung, as far as the decisions need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rung {
    /// Its name.
    pub name: String,
    /// The height of its highest shard.
    pub height: u64,
    /// When it was made.
    pub made: WallTime,
    /// Its bytes.
    pub bytes: u64,
    /// What became of it.
    pub standing: Standing,
}

/// The rungs that go, so that at most `keep` with at most `budget` bytes stay. The newest rung, the one to go on from and
/// the pinned ones stay whatever the bounds say.
#[must_use]
pub fn evict(rungs: &[Rung], keep: usize, budget: u64) -> Vec<String> {
    let mut left: Vec<&Rung> = rungs.iter().collect();
    left.sort_by_key(|rung| (rung.height, rung.made));
    let stays = staying(rungs);
    let mut gone = Vec::new();
    loop {
        let bytes = left
            .iter()
            .fold(0_u64, |sum, rung| sum.saturating_add(rung.bytes));
        if left.len() <= keep && bytes <= budget {
            return gone;
        }
        let victim = (0..left.len())
            .filter(|&place| !stays(left[place]))
            .min_by(|&one, &other| {
                let cost = |place: usize| (!left[place].standing.tainted, hole(&left, place));
                let ((one, one_hole), (other, other_hole)) = (cost(one), cost(other));
                one.cmp(&other).then(one_hole.total_cmp(&other_hole))
            });
        let Some(victim) = victim else {
            return gone;
        };
        gone.push(left.remove(victim).name.clone());
    }
}

/// Which rungs of a lineage stay whatever bounds say: the newest, the one to go on from, and the pinned ones.
pub fn staying(rungs: &[Rung]) -> impl Fn(&Rung) -> bool {
    let newest = rungs.iter().max_by_key(|rung| rung.made);
    let [newest, next] = [newest, newest_good(rungs)].map(|rung| rung.map(|rung| &rung.name));
    move |rung| {
        rung.standing.pinned.is_some() || Some(&rung.name) == newest || Some(&rung.name) == next
    }
}

/// How large the hole would be that a rung leaves, against how far back it is.
fn hole(rungs: &[&Rung], place: usize) -> f64 {
    let height = |place: usize| rungs[place].height;
    let below = place.checked_sub(1).map_or(0, height);
    let top = height(rungs.len() - 1);
    let above = if place + 1 < rungs.len() {
        height(place + 1)
    } else {
        top
    };
    let back = top.saturating_sub(height(place)).max(1);
    above.saturating_sub(below) as f64 / back as f64
}

/// The newest rung that a healthy stretch followed.
#[must_use]
pub fn newest_good(rungs: &[Rung]) -> Option<&Rung> {
    rungs
        .iter()
        .filter(|rung| rung.standing.good && !rung.standing.tainted)
        .max_by_key(|rung| (rung.height, rung.made))
}

/// A finding that counts against the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counting {
    /// Its id.
    pub id: String,
    /// Since when what it says held.
    pub since: Elapsed,
    /// When it was over; `None` while it is not.
    pub until: Option<Elapsed>,
}

/// What the findings of a run say of the rungs that it made, or began from, at these moments, in order. `healthy` is how
/// long a stretch without a finding is to be.
#[must_use]
pub fn standings(
    made: &[Elapsed],
    findings: &[Counting],
    now: Elapsed,
    healthy: Duration,
) -> Vec<Standing> {
    let mut standings: Vec<Standing> = made
        .iter()
        .map(|&at| {
            let open = |finding: &&Counting| {
                finding.since <= at && finding.until.is_none_or(|until| until > at)
            };
            let tainted = findings.iter().any(|finding| open(&finding));
            let next = findings.iter().map(|finding| finding.since);
            let end = next
                .filter(|since| *since > at)
                .min()
                .unwrap_or(now)
                .min(now);
            Standing {
                good: !tainted && end.since(at) >= healthy,
                tainted,
                pinned: None,
            }
        })
        .collect();
    for finding in findings {
        let before = (0..made.len())
            .rev()
            .find(|&place| made[place] < finding.since && !standings[place].tainted);
        if let Some(place) = before {
            standings[place]
                .pinned
                .get_or_insert_with(|| finding.id.clone());
        }
    }
    standings
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rung(height: u64, bytes: u64) -> Rung {
        Rung {
            name: format!("r{height}"),
            height,
            made: WallTime(height),
            bytes,
            standing: Standing {
                good: true,
                ..Standing::default()
            },
        }
    }

    #[test]
    fn rungs_become_rarer_towards_the_beginning() {
        let mut rungs: Vec<Rung> = Vec::new();
        for number in 1..=1_000 {
            rungs.push(rung(number * 100, 1));
            let gone = evict(&rungs, 8, u64::MAX);
            rungs.retain(|rung| !gone.contains(&rung.name));
        }
        let heights: Vec<u64> = rungs.iter().map(|rung| rung.height).collect();
        assert_eq!(heights.len(), 8, "{heights:?}");
        let back: Vec<u64> = heights.iter().map(|height| 100_000 - height).collect();
        // From some way back each is at most a few times as far away as the next newer one.
        assert_eq!(back[7], 0);
        assert!(back[6] <= 200, "{back:?}");
        for pair in back[..7].windows(2) {
            assert!(pair[0] > pair[1] && pair[0] <= pair[1] * 8, "{back:?}");
        }
        assert!(back[0] >= 30_000, "{back:?}");
    }

    #[test]
    fn findings_taint_and_pin() {
        let at = Elapsed::from_secs;
        let finding = |id: &str, since, until: Option<u64>| Counting {
            id: id.to_owned(),
            since: at(since),
            until: until.map(at),
        };
        let made = [at(10), at(20), at(30), at(40)];
        let healthy = Duration::from_secs(5);
        let calm = standings(&made, &[], at(43), healthy);
        assert_eq!(
            calm.iter().map(|one| one.good).collect::<Vec<_>>(),
            [true, true, true, false]
        );
        let findings = [
            finding("stall-1", 27, Some(35)),
            finding("crash-2", 42, None),
        ];
        let told = standings(&made, &findings, at(60), healthy);
        assert_eq!(told[0], calm[0]);
        assert_eq!(told[1].pinned.as_deref(), Some("stall-1"));
        assert!(told[1].good, "seven healthy seconds followed");
        assert!(told[2].tainted && !told[2].good);
        assert!(!told[3].tainted && !told[3].good);
        assert_eq!(told[3].pinned.as_deref(), Some("crash-2"));
        // Open from before the first rung: there is none to go back to.
        let told = standings(&made, &[finding("x", 5, None)], at(60), healthy);
        assert!(told.iter().all(|one| one.tainted && one.pinned.is_none()));
    }

    fn any_rungs() -> impl Strategy<Value = Vec<Rung>> {
        let one = (
            0..10_000_u64,
            0..100_u64,
            any::<bool>(),
            any::<bool>(),
            0..8_u8,
        );
        prop::collection::vec(one, 0..40).prop_map(|all| {
            let all = all.into_iter().enumerate();
            all.map(|(place, (height, bytes, good, tainted, pinned))| Rung {
                name: format!("r{place}"),
                height,
                made: WallTime(place as u64),
                bytes,
                standing: Standing {
                    good,
                    tainted,
                    pinned: (pinned == 0).then(|| "f".to_owned()),
                },
            })
            .collect()
        })
    }

    proptest! {
        #[test]
        fn bounds_hold_and_what_is_needed_stays(
            rungs in any_rungs(), keep in 0..20_usize, budget in 0..1_000_u64,
        ) {
            let gone = evict(&rungs, keep, budget);
            let left: Vec<&Rung> = rungs.iter().filter(|rung| !gone.contains(&rung.name)).collect();
            prop_assert_eq!(left.len() + gone.len(), rungs.len());
            let newest = rungs.iter().max_by_key(|rung| rung.made);
            let next = newest_good(&rungs);
            let needed = |rung: &Rung| {
                rung.standing.pinned.is_some() || Some(rung) == newest || Some(rung) == next
            };
            for rung in rungs.iter().filter(|rung| needed(rung)) {
                prop_assert!(left.contains(&rung));
            }
            let bytes: u64 = left.iter().map(|rung| rung.bytes).sum();
            let within = left.len() <= keep && bytes <= budget;
            prop_assert!(within || left.iter().all(|rung| needed(rung)));
            // Nothing goes that did not have to.
            let all: u64 = rungs.iter().map(|rung| rung.bytes).sum();
            if rungs.len() <= keep && all <= budget {
                prop_assert!(gone.is_empty());
            }
            // Again changes nothing.
            let left: Vec<Rung> = left.into_iter().cloned().collect();
            prop_assert!(evict(&left, keep, budget).is_empty());
        }

        #[test]
        fn a_standing_for_each_rung_and_a_pin_for_each_finding_that_has_one_before_it(
            mut made in prop::collection::vec(0..1_000_u64, 0..20),
            found in prop::collection::vec((0..1_000_u64, 0..200_u64), 0..10),
        ) {
            made.sort_unstable();
            let made: Vec<Elapsed> = made.into_iter().map(Elapsed::from_secs).collect();
            let findings: Vec<Counting> = found.iter().enumerate().map(|(place, (since, lasts))| Counting {
                id: place.to_string(),
                since: Elapsed::from_secs(*since),
                until: (*lasts > 0).then(|| Elapsed::from_secs(since + lasts)),
            }).collect();
            let told = standings(&made, &findings, Elapsed::from_secs(2_000), Duration::from_secs(50));
            prop_assert_eq!(told.len(), made.len());
            for (at, standing) in made.iter().zip(&told) {
                prop_assert!(!(standing.good && standing.tainted));
                prop_assert!(!(standing.tainted && standing.pinned.is_some()));
                if standing.good {
                    let soon = |finding: &&Counting| finding.since > *at && finding.since.since(*at) < Duration::from_secs(50);
                    prop_assert!(!findings.iter().any(|finding| soon(&finding)));
                }
            }
        }
    }
}
