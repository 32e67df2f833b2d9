//! What nodes tell without a dialect: values by JSON pointers and metrics, put together into one reply. Pure.
//!
//! A value that is not there, or is none, is not told; what an answer is not at all (no JSON, no page) is a
//! [`BadAnswer`]. Answers of several requests come at their own pace: each is kept until the next one, or until it is
//! too old to be true.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use serde_json::Value;

use super::dialect::{BadAnswer, Header, Reply, Status};
use crate::{
    ids::{Height, ViewId},
    journal::{event::Mode, text},
    plan::foreign::{Fact, ReadPlan, Reads, ValuePlace, Views},
    time::Elapsed,
};

/// How many looks in a row a view must have been told in, where it counts with the blocks: while a block is on its way
/// it is one ahead for a moment.
const STEADY: usize = 3;
/// Blocks between two looks of a node that keeps up: more than thirty a second at four looks.
const KEEPS_UP: u64 = 8;

/// One value that an answer told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    fact: Fact,
    rank: u32,
    text: String,
    /// It is below the least that is a value: the node knows none yet.
    none_yet: bool,
}

/// Reads an answer.
///
/// # Errors
/// When it is neither JSON nor a page, as the request wants it.
pub fn read(request: &ReadPlan, answer: &[u8]) -> Result<Vec<Told>, BadAnswer> {
    let pointers = request.values.iter();
    let any_pointer = pointers
        .clone()
        .any(|value| matches!(value.place, ValuePlace::Pointer(_)));
    let json: Option<Value> = match serde_json::from_slice(answer) {
        Ok(json) => Some(json),
        Err(error) if any_pointer => return Err(BadAnswer::new(&format!("no JSON: {error}"))),
        Err(_) => None,
    };
    let page = String::from_utf8_lossy(answer);
    if json.is_none() && page.trim().is_empty() {
        return Err(BadAnswer::new("an empty page"));
    }
    let told = pointers.filter_map(|value| {
        let text = match &value.place {
            ValuePlace::Pointer(pointer) => plain(json.as_ref()?.pointer(pointer)?)?,
            ValuePlace::Metric { name, absent } => {
                metric(&page, name).or_else(|| absent.map(|absent| absent.to_string()))?
            }
        };
        let too_small = |least: u64| number(&text).is_some_and(|value| value < least);
        Some(Told {
            fact: value.fact,
            rank: value.rank,
            none_yet: value.least.is_some_and(too_small),
            text,
        })
    });
    Ok(told.collect())
}

/// A plain value as text; of a list, how many it has.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.chars().take(200).collect()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(is) => Some(is.to_string()),
        Value::Array(list) => Some(list.len().to_string()),
        // Where others say `false`, some say more: what it says is not plain, that it says something is.
        Value::Object(_) => Some("{}".to_owned()),
        Value::Null => None,
    }
}

/// The sum of all series of a metric, or the series that is named with its labels.
fn metric(page: &str, name: &str) -> Option<String> {
    let mut sum = None;
    for line in page.lines() {
        // Most lines are others; only one that begins so is taken apart.
        let line = line.trim_start();
        let Some(rest) = line.strip_prefix(name) else {
            continue;
        };
        let value = match rest.as_bytes().first() {
            Some(b'{') => rest.rsplit_once('}').map(|(_, value)| value),
            Some(b' ' | b'\t') => Some(rest),
            _ => None,
        };
        let value = value.and_then(|value| value.split_whitespace().next()?.parse::<f64>().ok());
        if let Some(value) = value.filter(|value| value.is_finite()) {
            *sum.get_or_insert(0.0) += value;
        }
    }
    let sum: f64 = sum.filter(|sum| *sum >= 0.0)?;
    Some((sum as u64).to_string())
}

/// What is known of one node by its answers so far.
#[derive(Debug)]
pub struct Known {
    views: Views,
    modes: std::collections::BTreeMap<String, Mode>,
    values: Vec<(Told, Elapsed)>,
    /// By how much the view was ahead of the height at the last looks.
    ahead: VecDeque<u64>,
    /// The height at the last look.
    last: u64,
    /// Views of the heights before this one, this height, and the view last told at it.
    rounds: (u64, u64, u64),
    /// The peers that were told last.
    peers: Option<u64>,
}

impl Known {
    /// Nothing yet.
    #[must_use]
    pub fn new(reads: &Reads) -> Self {
        Self {
            views: reads.views,
            modes: reads.modes.clone(),
            values: Vec::new(),
            ahead: VecDeque::new(),
            last: 0,
            rounds: (0, 0, 0),
            peers: None,
        }
    }

    /// Takes what an answer to this request told: values that it tells no more are known no more.
    pub fn take(&mut self, request: &ReadPlan, told: Vec<Told>, now: Elapsed) {
        self.clear(request);
        self.values.extend(told.into_iter().map(|told| (told, now)));
    }

    /// A request failed: what it told is known no more.
    pub fn forget(&mut self, request: &ReadPlan) {
        self.ahead.clear();
        self.clear(request);
    }

    fn clear(&mut self, request: &ReadPlan) {
        self.values.retain(|(told, _)| {
            let of = |value: &crate::plan::foreign::ValuePlan| {
                (value.fact, value.rank) == (told.fact, told.rank)
            };
            !request.values.iter().any(of)
        });
    }

    /// The peers, if their number changed since the last time.
    pub fn peers(&mut self) -> Option<u64> {
        let peers = number(self.text(Fact::Peers)?);
        (std::mem::replace(&mut self.peers, peers) != peers)
            .then_some(peers)
            .flatten()
    }

    /// All together; values older than `most` are left out. A node that says that it has no block yet makes an empty
    /// reply: it answers.
    ///
    /// # Errors
    /// When nothing is told of a height.
    pub fn reply(&mut self, now: Elapsed, most: Duration) -> Result<Reply, BadAnswer> {
        self.values.retain(|(_, at)| now.since(*at) <= most);
        let height = self.text(Fact::Height).and_then(number);
        let mut told = self.values.iter().map(|(told, _)| told);
        if height.is_none() && told.any(|told| told.fact == Fact::Height && told.none_yet) {
            return Ok(Reply::default());
        }
        let height = height.ok_or_else(|| BadAnswer::new("no height in the answer"))?;
        let told = self.text(Fact::View).and_then(number);
        let agreeing = self.text(Fact::Agreeing).and_then(number);
        let view = match self.views {
            Views::PerChange => told,
            Views::PerBlock => told.and_then(|view| self.steady(view, height)),
            Views::PerHeight => {
                told.map(|round| self.sum(round, agreeing.unwrap_or(height.saturating_add(1))))
            }
        };
        let own = self.text(Fact::Own).map(name);
        let leader = self.text(Fact::Leader).map(name);
        // Zero is how some say that there is none.
        let leader = leader.filter(|leader| !matches!(&**leader, "" | "0"));
        let leads = match self.text(Fact::Leads) {
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some(other) => number(other).map(|number| number > 0),
            None => own.as_ref().map(|own| leader.as_ref() == Some(own)),
        };
        let mode = self.text(Fact::Mode);
        let known = |mode| self.modes.get(mode).or_else(|| self.modes.get("*"));
        let mode = mode.map(|mode| known(mode).copied().unwrap_or(Mode::Other));
        let hash = self.text(Fact::Hash).and_then(hash);
        // The view that a block was made in is the one before that of the next block.
        let made_in = match self.views {
            Views::PerChange | Views::PerHeight => view,
            Views::PerBlock => view.map(|view| view.saturating_sub(1)),
        };
        Ok(Reply {
            head: Some(header(Height(height), hash, made_in.map(ViewId), leader)),
            status: Some(Status {
                shard: None,
                view: view.map(ViewId),
                agreeing: Some(Height(agreeing.unwrap_or(height.saturating_add(1)))),
                mode,
                leads,
                address: own,
            }),
            headers: Vec::new(),
            ledger: None,
        })
    }

    /// The view that stays: the least by which it was ahead of the height in the last looks. A node that catches up
    /// learns of blocks and of views at different moments: it tells none until it keeps up.
    fn steady(&mut self, view: u64, height: u64) -> Option<u64> {
        let leaps = height.saturating_sub(self.last) > KEEPS_UP;
        self.last = height;
        if leaps || view < height {
            self.ahead.clear();
        }
        // Every block took a view.
        if view < height {
            return None;
        }
        if self.ahead.len() == STEADY {
            self.ahead.pop_front();
        }
        self.ahead.push_back(view.saturating_sub(height));
        let ahead = self.ahead.iter().min()?;
        (self.ahead.len() == STEADY).then(|| height.saturating_add(*ahead))
    }

    /// The view of a round at this height, counted over all heights so far.
    fn sum(&mut self, round: u64, height: u64) -> u64 {
        let (before, at, last) = &mut self.rounds;
        if *at != height {
            *before = before.saturating_add(*last);
            *at = height;
        }
        *last = round;
        before.saturating_add(round)
    }

    /// The value of the place of the lowest rank that tells this.
    fn text(&self, fact: Fact) -> Option<&str> {
        let values = self.values.iter();
        let told = values.filter(|(told, _)| told.fact == fact && !told.none_yet);
        told.min_by_key(|(told, _)| told.rank)
            .map(|(told, _)| told.text.as_str())
    }
}

/// A header of which nothing more is known.
#[must_use]
pub fn header(
    height: Height,
    hash: Option<Arc<str>>,
    view: Option<ViewId>,
    leader: Option<Arc<str>>,
) -> Header {
    Header {
        height,
        hash: hash.unwrap_or_else(|| "".into()),
        shard: None,
        view,
        epoch: None,
        leader,
        signers: None,
        committee: None,
        time: None,
        content: None,
    }
}

/// A number, also hexadecimal with `0x`.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn name(told: &str) -> Arc<str> {
    text::clean(told, 100).into()
}

fn hash(text: &str) -> Option<Arc<str>> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let is_hash =
        (8..=128).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| digits.to_ascii_lowercase().into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plan::foreign::ValuePlan;

    fn request(values: &[(Fact, &str)]) -> ReadPlan {
        let values = values.iter().map(|(fact, place)| ValuePlan {
            fact: *fact,
            rank: 0,
            least: (*fact == Fact::Height).then_some(1),
            place: match place.strip_prefix('/') {
                Some(_) => ValuePlace::Pointer((*place).to_owned()),
                None => ValuePlace::Metric {
                    name: (*place).to_owned(),
                    absent: (*fact == Fact::View).then_some(0),
                },
            },
        });
        ReadPlan {
            port: 1,
            path: "/".to_owned(),
            body: None,
            deadline: Duration::from_secs(1),
            values: values.collect(),
        }
    }

    fn at(second: u64) -> Elapsed {
        Elapsed::from_secs(second)
    }

    #[test]
    fn numbers_that_come_as_texts_make_a_reply() {
        let request = request(&[
            (Fact::Height, "/raftAppliedIndex"),
            (Fact::View, "/raftTerm"),
            (Fact::Leader, "/leader"),
            (Fact::Own, "/header/member_id"),
            (Fact::Peers, "/members"),
        ]);
        let answer = br#"{"header":{"member_id":"17"},"leader":"17","raftTerm":"3","raftAppliedIndex":"0x10","members":[1,2]}"#;
        let mut known = Known::new(&Reads::default());
        known.take(&request, read(&request, answer).unwrap(), at(1));
        let reply = known.reply(at(2), Duration::from_secs(3)).unwrap();
        let (head, status) = (reply.head.unwrap(), reply.status.unwrap());
        assert_eq!((head.height, head.view), (Height(16), Some(ViewId(3))));
        assert_eq!(head.leader.as_deref(), Some("17"));
        assert_eq!(
            (status.leads, status.agreeing),
            (Some(true), Some(Height(17)))
        );
        assert_eq!((known.peers(), known.peers()), (Some(2), None));
        assert!(known.reply(at(6), Duration::from_secs(3)).is_err());
        assert!(read(&request, b"<html>").is_err());
        known.forget(&request);
        assert!(known.reply(at(1), Duration::from_secs(3)).is_err());
    }

    #[test]
    fn a_label_set_that_is_absent_is_worth_what_the_profile_says() {
        let request = request(&[(Fact::Height, "height"), (Fact::View, "changes_total")]);
        let page = b"# TYPE height gauge\nheight 7\nheight_of_another 9\n";
        let mut known = Known::new(&Reads::default());
        known.take(&request, read(&request, page).unwrap(), at(1));
        let head = known.reply(at(1), Duration::from_secs(3)).unwrap().head;
        assert_eq!(head.unwrap().view, Some(ViewId(0)));
        let page =
            b"height 8\nchanges_total{leader=\"a\"} 2\nchanges_total{leader=\"b\"} 3 17000\n";
        known.take(&request, read(&request, page).unwrap(), at(1));
        let head = known.reply(at(1), Duration::from_secs(3)).unwrap().head;
        let head = head.unwrap();
        assert_eq!((head.height, head.view), (Height(8), Some(ViewId(5))));
        // It answers, and has no block; who tells nothing of a height is not understood.
        known.take(&request, read(&request, b"height 0\n").unwrap(), at(1));
        let reply = known.reply(at(1), Duration::from_secs(3)).unwrap();
        assert_eq!(reply, Reply::default());
        known.take(&request, read(&request, b"weight 0\n").unwrap(), at(1));
        assert!(known.reply(at(1), Duration::from_secs(3)).is_err());
        assert!(read(&request, b" \n").is_err());
    }

    #[test]
    fn rounds_of_one_height_follow_those_of_the_heights_before() {
        let request = request(&[(Fact::Height, "/h"), (Fact::View, "/r"), (Fact::Mode, "/m")]);
        let mut known = Known::new(&Reads {
            views: Views::PerHeight,
            modes: [("false", Mode::Normal), ("*", Mode::Syncing)]
                .map(|(text, mode)| (text.to_owned(), mode))
                .into(),
            ..Reads::default()
        });
        let mut told = |answer: &str| {
            known.take(&request, read(&request, answer.as_bytes()).unwrap(), at(1));
            let status = known.reply(at(1), Duration::from_secs(3)).unwrap().status;
            let status = status.unwrap();
            (status.view.map(|view| view.0), status.mode)
        };
        let mut views = Vec::new();
        for (height, round) in [(5, 0), (5, 1), (5, 2), (6, 0), (7, 0), (7, 1), (8, 0)] {
            views.push(told(&format!(r#"{{"h":{height},"r":{round},"m":false}}"#)));
        }
        let expected = [0, 1, 2, 2, 2, 3, 3].map(|view| (Some(view), Some(Mode::Normal)));
        assert_eq!(views, expected);
        // Where others say `false`, some say more.
        let more = told(r#"{"h":8,"r":0,"m":{"currentBlock":"0x1"}}"#);
        assert_eq!(more.1, Some(Mode::Syncing));
    }

    #[test]
    fn a_view_that_counts_with_the_blocks_is_told_when_it_stays() {
        let request = request(&[(Fact::Height, "height"), (Fact::View, "view")]);
        let mut known = Known::new(&Reads {
            views: Views::PerBlock,
            ..Reads::default()
        });
        let mut views = Vec::new();
        for (height, view) in [
            (5, 7),
            (5, 6),
            (6, 7),
            (6, 8),
            (6, 8),
            (6, 8),
            (7, 10),
            (8, 10),
        ] {
            let page = format!("height {height}\nview {view}\n");
            known.take(&request, read(&request, page.as_bytes()).unwrap(), at(1));
            let reply = known.reply(at(1), Duration::from_secs(3)).unwrap();
            views.push(reply.head.unwrap().view.map(|view| view.0));
        }
        let told = [6, 6, 6, 7, 8, 9].map(Some);
        assert_eq!(views, [[None; 2].as_slice(), &told].concat());
        // It comes back: blocks are fetched before the view is heard of.
        known.forget(&request);
        let mut views = Vec::new();
        for (height, view) in [
            (8, 11),
            (60, 11),
            (61, 11),
            (61, 90),
            (62, 90),
            (62, 90),
            (80, 108),
        ] {
            let page = format!("height {height}\nview {view}\n");
            known.take(&request, read(&request, page.as_bytes()).unwrap(), at(1));
            let reply = known.reply(at(1), Duration::from_secs(3)).unwrap();
            views.push(reply.head.unwrap().view.map(|view| view.0));
        }
        let told = [None, None, None, None, None, Some(89), None];
        assert_eq!(views, told);
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let request = request(&[(Fact::Height, "height"), (Fact::View, "view")]);
            let _ = read(&request, &bytes);
            let request = self::request(&[(Fact::Height, "/a"), (Fact::Mode, "/b/0")]);
            let _ = read(&request, &bytes);
        }
    }
}
