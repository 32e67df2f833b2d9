//! What becomes of an operation on a file: rules in force, counted and drawn by their seeds. Pure: times come in.

use std::{collections::BTreeMap, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::ChaCha8Rng};

use crate::fault::operation::faulty::{FileError, FileOperation, FileRule};

/// Rules in force at most: a schedule has one a fault and node.
const MOST: usize = 64;

/// Rules in force, by the fault that they belong to.
#[derive(Debug, Default)]
pub struct Rules {
    rules: BTreeMap<String, Active>,
}

#[derive(Debug)]
struct Active {
    rule: FileRule,
    until: Duration,
    random: ChaCha8Rng,
    hits: u64,
}

/// An operation as the disk sees it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// What.
    pub operation: FileOperation,
    /// On what, from the disk's top folder, without a leading slash.
    pub path: &'a str,
    /// Which bytes, for reads and writes.
    pub offset: u64,
    /// How many.
    pub length: u64,
}

/// What becomes of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misbehaviour {
    /// The fault that does it.
    pub fault: String,
    /// It is held so long, or until the fault ends.
    pub delay: Duration,
    /// Then it fails so, or is done.
    pub error: Option<FileError>,
}

impl Rules {
    /// Whether there is none, so that nothing needs to be asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Takes a rule of a fault, in place of an earlier one; `false` if there are too many.
    pub fn set(&mut self, fault: &str, rule: FileRule, until: Duration) -> bool {
        if self.rules.len() >= MOST && !self.rules.contains_key(fault) {
            return false;
        }
        let random = ChaCha8Rng::seed_from_u64(rule.seed);
        let active = Active {
            rule,
            until,
            random,
            hits: 0,
        };
        self.rules.insert(fault.to_owned(), active);
        true
    }

    /// Ends a fault's rule; answers how many operations it has hit.
    pub fn end(&mut self, fault: &str) -> u64 {
        self.rules.remove(fault).map_or(0, |active| active.hits)
    }

    /// Ends what is over.
    pub fn expire(&mut self, now: Duration) {
        self.rules.retain(|_, active| active.until > now);
    }

    /// Operations that a fault's rule has hit so far; `None` if it is over.
    #[must_use]
    pub fn hits(&self, fault: &str) -> Option<u64> {
        self.rules.get(fault).map(|active| active.hits)
    }

    /// Whether a fault is in force at this time.
    #[must_use]
    pub fn in_force(&self, fault: &str, now: Duration) -> bool {
        self.rules
            .get(fault)
            .is_some_and(|active| active.until > now)
    }

    /// What becomes of an operation: what the first rule says that hits it.
    pub fn decide(&mut self, asked: &Asked<'_>, now: Duration) -> Option<Misbehaviour> {
        for (fault, active) in &mut self.rules {
            let rule = &active.rule;
            if active.until <= now || !rule.matches(asked) {
                continue;
            }
            if active.random.random_range(0..1_000_000) >= rule.millionths {
                continue;
            }
            active.hits += 1;
            return Some(Misbehaviour {
                fault: fault.clone(),
                delay: rule.delay,
                error: rule.error,
            });
        }
        None
    }
}

impl FileRule {
    fn matches(&self, asked: &Asked<'_>) -> bool {
        let ranged = matches!(asked.operation, FileOperation::Read | FileOperation::Write);
        self.operations.contains(&asked.operation)
            && (!ranged
                || (asked.offset.saturating_add(asked.length) > self.from
                    && self.to.is_none_or(|to| asked.offset < to)))
            && self
                .path
                .as_ref()
                .is_none_or(|pattern| is_like(asked.path, pattern))
    }
}

/// Whether a path is like a pattern: `*` stands for any characters, slashes too, `?` for one.
#[must_use]
pub fn is_like(path: &str, pattern: &str) -> bool {
    let (path, pattern) = (path.as_bytes(), pattern.as_bytes());
    let (mut at, mut of) = (0, 0);
    // Where the last star was, and where in the path it was tried: one is enough, a later star replaces it.
    let mut star = None;
    while at < path.len() {
        match pattern.get(of) {
            Some(b'*') => {
                star = Some((of, at));
                of += 1;
            }
            Some(byte) if *byte == b'?' || *byte == path[at] => {
                at += 1;
                of += 1;
            }
            _ => match star {
                Some((star_of, star_at)) => {
                    star = Some((star_of, star_at + 1));
                    at = star_at + 1;
                    of = star_of + 1;
                }
                None => return false,
            },
        }
    }
    pattern[of..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> FileRule {
        FileRule {
            operations: vec![FileOperation::Write, FileOperation::Fsync],
            path: None,
            from: 0,
            to: None,
            millionths: 1_000_000,
            seed: 1,
            delay: Duration::ZERO,
            error: Some(FileError::Eio),
        }
    }

    fn write(path: &str, offset: u64, length: u64) -> Asked<'_> {
        Asked {
            operation: FileOperation::Write,
            path,
            offset,
            length,
        }
    }

    const NOW: Duration = Duration::from_secs(5);
    const LATER: Duration = Duration::from_secs(9);

    #[test]
    fn a_rule_hits_its_operations_paths_and_bytes_in_its_time() {
        let mut rules = Rules::default();
        assert!(rules.decide(&write("db", 0, 1), NOW).is_none());
        let narrow = FileRule {
            path: Some("store/*.redb".to_owned()),
            from: 4096,
            to: Some(8192),
            ..rule()
        };
        assert!(rules.set("f1", narrow, LATER));
        let mut hit = |asked: &Asked<'_>, now| rules.decide(asked, now).is_some();
        assert!(hit(&write("store/a.redb", 4000, 97), NOW));
        assert!(!hit(&write("store/a.redb", 4000, 96), NOW), "before");
        assert!(hit(&write("store/a.redb", 8191, 1), NOW));
        assert!(!hit(&write("store/a.redb", 8192, 1), NOW), "behind");
        assert!(!hit(&write("log/a.redb", 5000, 1), NOW), "another path");
        assert!(!hit(&write("store/a.redb", 5000, 1), LATER), "over");
        let fsync = Asked {
            operation: FileOperation::Fsync,
            ..write("store/a.redb", 0, 0)
        };
        assert!(hit(&fsync, NOW), "a sync has no bytes");
        let read = Asked {
            operation: FileOperation::Read,
            ..write("store/a.redb", 5000, 1)
        };
        assert!(!hit(&read, NOW), "another operation");
        assert_eq!(rules.hits("f1"), Some(3));
        assert_eq!(rules.end("f1"), 3);
        assert_eq!(rules.end("f1"), 0, "ending twice does no harm");
        assert!(rules.is_empty());
    }

    #[test]
    fn shares_are_kept_and_drawn_by_the_seed() {
        let draw = |seed| {
            let mut rules = Rules::default();
            let some = FileRule {
                millionths: 250_000,
                seed,
                ..rule()
            };
            assert!(rules.set("f", some, LATER));
            (0..4_000)
                .map(|_| rules.decide(&write("x", 0, 1), NOW).is_some())
                .collect::<Vec<_>>()
        };
        let one = draw(1);
        assert_eq!(one, draw(1));
        assert_ne!(one, draw(2));
        let hits = one.iter().filter(|hit| **hit).count();
        assert!((850..1_150).contains(&hits), "{hits}");
    }

    #[test]
    fn what_is_over_goes_and_too_many_are_refused() {
        let mut rules = Rules::default();
        for number in 0..MOST {
            assert!(rules.set(&number.to_string(), rule(), LATER));
        }
        assert!(!rules.set("one more", rule(), LATER));
        assert!(rules.set("3", rule(), LATER), "one that is there");
        rules.expire(LATER);
        assert!(rules.is_empty());
    }

    #[test]
    fn patterns() {
        for (path, pattern) in [
            ("a/b.log", "*"),
            ("a/b.log", "*.log"),
            ("a/b.log", "a/?.log"),
            ("a/b.log", "*b*l*"),
            ("", "*"),
            ("aXbXc", "a*X?"),
            ("abab", "*ab"),
        ] {
            assert!(is_like(path, pattern), "{path} {pattern}");
        }
        for (path, pattern) in [("a/b.log", "*.lo"), ("a", ""), ("ab", "?"), ("", "?")] {
            assert!(!is_like(path, pattern), "{path} {pattern}");
        }
    }
}
