//! The lines that nearly all of a journal consists of, read without a general parser.
//!
//! Blocks, positions, samples, figures, ledgers, counts and ticks are expected just as the writer of this version writes them: these keys
//! in this order, no spaces, no escapes. Whatever deviates by one byte is left to serde, so that this is never another
//! format, only a shorter way: what it reads is what serde reads (tested over generated, arbitrary and damaged lines).

use std::sync::Arc;

use super::{
    eight_bytes::{next, not_plain, whole},
    event::{Entry, Event, Mode, NodeHead, Sample},
    told::{BlockContent, Figures, Ledger},
};
use crate::{
    ids::{Epoch, Height, NodeName, Seq, ShardId, ViewId, intern_ascii},
    time::{Elapsed, WallTime},
};

/// The entry in this line, if it is one of the usual ones.
pub(super) fn parse(line: &[u8]) -> Option<Entry> {
    let mut rest = Rest { left: line };
    let entry = rest.entry()?;
    rest.left.is_empty().then_some(entry)
}

/// The entry in the line that this text begins with, if it is one of the usual ones, and the length of that line with its
/// end. Its end need not be looked for: no part of a usual line is taken over one.
#[inline(always)]
pub(super) fn parse_next(text: &[u8]) -> Option<(Entry, usize)> {
    let mut rest = Rest { left: text };
    let entry = rest.entry()?;
    rest.literal(b"\n")?;
    Some((entry, text.len() - rest.left.len()))
}

/// What is left of a line.
struct Rest<'a> {
    left: &'a [u8],
}

impl<'a> Rest<'a> {
    /// Takes a whole entry.
    #[inline(always)]
    fn entry(&mut self) -> Option<Entry> {
        self.literal(b"{\"seq\":")?;
        let seq = Seq(self.number()?);
        self.literal(b",\"t\":")?;
        let elapsed = Elapsed(self.number()?);
        self.literal(b",\"e\":{\"")?;
        // Told apart by their first letters: the key is compared as a whole right after. Each stands where it is made, since
        // a copy costs as much as some of its fields.
        let entry = Entry {
            seq,
            elapsed,
            event: match self.left.get(..2)? {
                b"sa" => self.sample()?,
                b"bl" => self.block()?,
                b"he" => self.heads()?,
                b"lo" => self.log_count()?,
                b"ti" => self.tick()?,
                b"fi" => self.figures()?,
                b"le" => self.ledger()?,
                b"te" => self.template_counts()?,
                _ => return None,
            },
        };
        self.literal(b"}}}")?;
        Some(entry)
    }

    /// Takes this text.
    #[inline(always)]
    fn literal<const N: usize>(&mut self, text: &[u8; N]) -> Option<()> {
        let (head, tail) = self.left.split_first_chunk::<N>()?;
        (head == text).then(|| self.left = tail)
    }

    /// Takes this text if it comes next.
    #[inline(always)]
    fn comes<const N: usize>(&mut self, text: &[u8; N]) -> bool {
        self.literal(text).is_some()
    }

    /// Takes a whole number.
    #[inline(always)]
    fn number(&mut self) -> Option<u64> {
        let (number, length) = whole(self.left);
        if length == 0 {
            return None;
        }
        self.left = &self.left[length..];
        Some(number)
    }

    #[inline(always)]
    fn small(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    /// Takes a text without escapes, its closing quotation mark too. It is ASCII.
    #[inline(always)]
    fn text(&mut self) -> Option<&'a [u8]> {
        let mut length = 0;
        loop {
            let stops = not_plain(next(&self.left[length..]));
            if stops != 0 {
                length += stops.trailing_zeros() as usize / 8;
                break;
            }
            length += 8;
        }
        let (text, rest) = self.left.split_at(length);
        self.left = rest.strip_prefix(b"\"")?;
        Some(text)
    }

    /// Takes a text that is hardly ever the same twice.
    fn own_text(&mut self) -> Option<Arc<str>> {
        Some(std::str::from_utf8(self.text()?).ok()?.into())
    }

    #[inline(always)]
    fn node(&mut self) -> Option<NodeName> {
        NodeName::known(self.text()?)
    }

    /// A number after this text, if the text comes next.
    #[inline(always)]
    fn optional<const N: usize, T>(
        &mut self,
        key: &[u8; N],
        make: impl Fn(u64) -> T,
    ) -> Option<Option<T>> {
        if self.comes(key) {
            Some(Some(make(self.number()?)))
        } else {
            Some(None)
        }
    }

    /// A list, of which each item is read so.
    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        self.literal(b"[")?;
        let mut items = Vec::new();
        if self.comes(b"]") {
            return Some(items);
        }
        loop {
            items.push(item(self)?);
            if self.comes(b"]") {
                return Some(items);
            }
            self.literal(b",")?;
        }
    }

    /// A list after this text, if the text comes next; else an empty one.
    fn optional_list<const N: usize, T>(
        &mut self,
        key: &[u8; N],
        item: impl Fn(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        if self.comes(key) {
            self.list(item)
        } else {
            Some(Vec::new())
        }
    }

    /// `[1,2]`.
    fn pair(&mut self) -> Option<(u64, u64)> {
        self.literal(b"[")?;
        let first = self.number()?;
        self.literal(b",")?;
        let second = self.number()?;
        self.literal(b"]")?;
        Some((first, second))
    }

    /// `[1,2,3]`, of which the first is a shard.
    fn batches(&mut self) -> Option<(ShardId, u64, u64)> {
        self.literal(b"[")?;
        let shard = ShardId(self.number()?);
        self.literal(b",")?;
        let count = self.number()?;
        self.literal(b",")?;
        let value = self.number()?;
        self.literal(b"]")?;
        Some((shard, count, value))
    }

    /// A text after this key, if the key comes next.
    fn optional_text<const N: usize>(&mut self, key: &[u8; N]) -> Option<Option<Arc<str>>> {
        if self.comes(key) {
            Some(Some(self.own_text()?))
        } else {
            Some(None)
        }
    }

    #[inline(always)]
    fn figures(&mut self) -> Option<Event> {
        self.literal(b"figures\":{\"node\":\"")?;
        let node = Some(self.node()?);
        let same = |number| number;
        Some(Event::Figures(Box::new(Figures {
            node,
            pending: self.optional(b",\"pending\":", same)?,
            ready: self.optional(b",\"ready\":", same)?,
            made: self.optional(b",\"made\":", same)?,
            held_back: self.optional(b",\"held_back\":", same)?,
            missed: self.optional(b",\"missed\":", same)?,
            included: self.optional(b",\"included\":", same)?,
            oldest: self.optional(b",\"oldest\":", same)?,
            inclusion: self.optional_list(b",\"inclusion\":", Self::pair)?,
            peers: self.optional(b",\"peers\":", same)?,
            syncs: self.optional(b",\"syncs\":", same)?,
            sync_time: self.optional(b",\"sync_time\":", same)?,
        })))
    }

    #[inline(always)]
    fn ledger(&mut self) -> Option<Event> {
        self.literal(b"ledger\":{\"node\":\"")?;
        let node = Some(self.node()?);
        self.literal(b",\"height\":")?;
        let height = Some(Height(self.number()?));
        let same = |number| number;
        Some(Event::Ledger(Box::new(Ledger {
            node,
            height,
            state: self.optional_text(b",\"state\":\"")?,
            block_state: self.optional_text(b",\"block_state\":\"")?,
            transfers: self.optional(b",\"transfers\":", same)?,
            balance: self.optional(b",\"balance\":", same)?,
            rewards: self.optional(b",\"rewards\":", same)?,
            sent: self.optional_list(b",\"sent\":", Self::batches)?,
            received: self.optional_list(b",\"received\":", Self::batches)?,
            links: self.optional_list(b",\"links\":", |rest| {
                let (shard, height) = rest.pair()?;
                Some((ShardId(shard), Height(height)))
            })?,
        })))
    }

    #[inline(always)]
    fn template_counts(&mut self) -> Option<Event> {
        self.literal(b"template-counts\":{\"node\":\"")?;
        let node = self.node()?;
        self.literal(b",\"counts\":")?;
        let counts = self.list(Self::pair)?;
        self.literal(b",\"rest\":")?;
        let rest = self.number()?;
        self.literal(b",\"dropped\":")?;
        Some(Event::TemplateCounts {
            node,
            counts,
            rest,
            dropped: self.number()?,
        })
    }

    #[inline(always)]
    fn sample(&mut self) -> Option<Event> {
        self.literal(b"sample\":{\"node\":\"")?;
        let node = Some(self.node()?);
        macro_rules! field {
            ($key:literal) => {{
                self.literal($key)?;
                self.number()?
            }};
        }
        Some(Event::Sample(Sample {
            node,
            memory: field!(b",\"memory\":"),
            charged: field!(b",\"charged\":"),
            memory_limit: field!(b",\"memory_limit\":"),
            cpu: field!(b",\"cpu\":"),
            disk_used: field!(b",\"disk_used\":"),
            disk_free: field!(b",\"disk_free\":"),
            visible: field!(b",\"visible\":"),
            inodes_free: field!(b",\"inodes_free\":"),
            inodes: field!(b",\"inodes\":"),
            open_files: field!(b",\"open_files\":"),
            pids: field!(b",\"pids\":"),
            sampler_memory: field!(b",\"sampler_memory\":"),
            sampler_cpu: field!(b",\"sampler_cpu\":"),
            incarnation: field!(b",\"incarnation\":"),
            // Rare: such a line goes the long way.
            stuck: 0,
            read_only: false,
        }))
    }

    #[inline(always)]
    fn block(&mut self) -> Option<Event> {
        self.literal(b"block\":{\"shard\":")?;
        let shard = ShardId(self.number()?);
        self.literal(b",\"height\":")?;
        let height = Height(self.number()?);
        self.literal(b",\"hash\":\"")?;
        let hash = self.own_text()?;
        let view = self.optional(b",\"view\":", ViewId)?;
        let epoch = self.optional(b",\"epoch\":", Epoch)?;
        let leader = if self.comes(b",\"leader\":\"") {
            Some(intern_ascii(self.text()?)?)
        } else {
            None
        };
        let mut votes = [None, None];
        if self.comes(b",\"signers\":") {
            votes[0] = Some(self.small()?);
        }
        if self.comes(b",\"committee\":") {
            votes[1] = Some(self.small()?);
        }
        let time = self.optional(b",\"time\":", WallTime)?;
        self.literal(b",\"node\":\"")?;
        let node = self.node()?;
        let content = if self.comes(b",\"content\":{") {
            Some(self.content()?)
        } else {
            None
        };
        Some(Event::Block {
            shard,
            height,
            hash,
            view,
            epoch,
            leader,
            signers: votes[0],
            committee: votes[1],
            time,
            node,
            content,
        })
    }

    #[inline(always)]
    fn content(&mut self) -> Option<BlockContent> {
        let mut content = BlockContent::default();
        if self.comes(b"\"transactions\":") {
            content.transactions = Some(self.small()?);
            self.between()?;
        }
        if self.comes(b"\"receipts\":") {
            content.receipts = Some(self.small()?);
            self.between()?;
        }
        if self.comes(b"\"signed\":\"") {
            content.signed = Some(intern_ascii(self.text()?)?);
        }
        self.literal(b"}")?;
        Some(content)
    }

    /// Between two fields of an object, or before its end: a comma stands only where another field follows.
    fn between(&mut self) -> Option<()> {
        if self.left.starts_with(b"}") {
            return Some(());
        }
        self.literal(b",")?;
        self.left.starts_with(b"\"").then_some(())
    }

    #[inline(always)]
    fn heads(&mut self) -> Option<Event> {
        self.literal(b"heads\":{\"shard\":")?;
        let shard = ShardId(self.number()?);
        self.literal(b",\"nodes\":[")?;
        // A committee of four is the usual one.
        let mut nodes = Vec::with_capacity(4);
        while nodes.is_empty() || self.comes(b",") {
            nodes.push(self.head()?);
        }
        self.literal(b"]")?;
        Some(Event::Heads { shard, nodes })
    }

    #[inline(always)]
    fn head(&mut self) -> Option<NodeHead> {
        self.literal(b"{\"node\":\"")?;
        let node = self.node()?;
        self.literal(b",\"height\":")?;
        let height = Height(self.number()?);
        let view = self.optional(b",\"view\":", ViewId)?;
        let agreeing = self.optional(b",\"agreeing\":", Height)?;
        let mode = if self.comes(b",\"mode\":\"") {
            Some(match self.text()? {
                b"normal" => Mode::Normal,
                b"view-changing" => Mode::ViewChanging,
                b"syncing" => Mode::Syncing,
                b"listening" => Mode::Listening,
                b"other" => Mode::Other,
                _ => return None,
            })
        } else {
            None
        };
        let leads = if self.comes(b",\"leads\":") {
            Some(if self.comes(b"true") {
                true
            } else {
                self.literal(b"false")?;
                false
            })
        } else {
            None
        };
        self.literal(b"}")?;
        Some(NodeHead {
            node,
            height,
            view,
            agreeing,
            mode,
            leads,
        })
    }

    #[inline(always)]
    fn log_count(&mut self) -> Option<Event> {
        self.literal(b"log-count\":{\"node\":\"")?;
        let node = self.node()?;
        self.literal(b",\"lines\":")?;
        let lines = self.number()?;
        self.literal(b",\"bytes\":")?;
        let bytes = self.number()?;
        self.literal(b",\"lost\":")?;
        let lost = self.number()?;
        self.literal(b",\"cut\":")?;
        Some(Event::LogCount {
            node,
            lines,
            bytes,
            lost,
            cut: self.number()?,
        })
    }

    #[inline(always)]
    fn tick(&mut self) -> Option<Event> {
        self.literal(b"tick\":{\"wall\":")?;
        Some(Event::Tick {
            wall: WallTime(self.number()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::generate::{Generator, Shape};
    use proptest::prelude::*;

    fn lines() -> Vec<(Entry, String)> {
        let shape = Shape::default();
        Generator::new(&shape, 3, Vec::new())
            .take(4_000)
            .map(|entry| {
                let line = serde_json::to_string(&entry).unwrap();
                (entry, line)
            })
            .collect()
    }

    #[test]
    fn every_usual_line_is_read_and_read_right() {
        let (mut usual, lines) = (0, lines());
        let count = lines.len();
        for (entry, line) in lines {
            let is_usual = matches!(
                entry.event,
                Event::Block { .. }
                    | Event::Heads { .. }
                    | Event::Sample(_)
                    | Event::LogCount { .. }
                    | Event::Tick { .. }
                    | Event::Figures(_)
                    | Event::Ledger(_)
                    | Event::TemplateCounts { .. }
            );
            usual += usize::from(is_usual);
            let text = format!("{line}\n{line}");
            let expected = is_usual.then_some(entry);
            let next = parse_next(text.as_bytes()).map(|(entry, length)| {
                assert_eq!(length, line.len() + 1, "{line}");
                entry
            });
            assert_eq!(next, expected, "{line}");
            assert_eq!(parse(line.as_bytes()), expected, "{line}");
        }
        assert!(usual > count / 100 * 95, "{usual} of {count}");
    }

    #[test]
    fn what_may_be_left_out_may_be_left_out() {
        for event in [
            r#"{"block":{"shard":1,"height":0,"hash":"","node":"s1-n00"}}"#,
            r#"{"block":{"shard":1,"height":9,"hash":"a","epoch":3,"signers":3,"node":"s1-n00"}}"#,
            r#"{"figures":{"node":"s1-n00"}}"#,
            r#"{"figures":{"node":"s1-n00","ready":2,"peers":3}}"#,
            r#"{"ledger":{"node":"s1-n00","height":7}}"#,
            r#"{"ledger":{"node":"s1-n00","height":7,"state":"0a","sent":[[1,2,3],[2,3,4]],"links":[[1,9]]}}"#,
            r#"{"template-counts":{"node":"s1-n00","counts":[],"rest":0,"dropped":4}}"#,
            r#"{"heads":{"shard":1,"nodes":[{"node":"a","height":1},{"node":"b","height":2,"mode":"view-changing","leads":false}]}}"#,
        ] {
            let line = format!("{{\"seq\":0,\"t\":0,\"e\":{event}}}");
            let expected: Entry = serde_json::from_str(&line).unwrap();
            assert_eq!(parse(line.as_bytes()), Some(expected), "{line}");
        }
    }

    #[test]
    fn numbers_are_those_of_json() {
        let tick =
            |wall: &str| format!("{{\"seq\":0,\"t\":0,\"e\":{{\"tick\":{{\"wall\":{wall}}}}}}}");
        for (wall, usual) in [
            ("0", true),
            ("9999999999999999999", true),
            ("18446744073709551615", false),
            ("00", false),
            ("01", false),
            ("-1", false),
            ("1.0", false),
            ("1e3", false),
            ("", false),
        ] {
            assert_eq!(parse(tick(wall).as_bytes()).is_some(), usual, "{wall}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

        /// A line that was damaged or written by somebody else is never read as something that serde does not read.
        #[test]
        fn damaged_lines_are_read_as_serde_reads_them(
            place in any::<proptest::sample::Index>(),
            changes in proptest::collection::vec((any::<proptest::sample::Index>(), 0_u8..4, any::<u8>()), 1..4),
        ) {
            thread_local! {
                static LINES: Vec<(Entry, String)> = lines();
            }
            let mut line = LINES.with(|lines| place.get(lines).1.clone().into_bytes());
            for (at, what, byte) in changes {
                let at = at.index(line.len());
                match what {
                    0 => line[at] = byte,
                    1 => line.insert(at, byte),
                    2 => {
                        line.remove(at);
                    }
                    // Most damage by digits and letters stays a line of JSON.
                    _ => line[at] = b"0123456789abnrst-\"{}[],:"[usize::from(byte) % 24],
                }
            }
            let text = [&line[..], b"\n{\"seq\":1"].concat();
            if let Some((entry, length)) = parse_next(&text) {
                prop_assert_eq!(text.iter().position(|byte| *byte == b'\n'), Some(length - 1));
                prop_assert_eq!(Some(entry), serde_json::from_slice(&text[..length - 1]).ok());
            }
            if let Some(entry) = parse(&line) {
                prop_assert_eq!(Some(entry), serde_json::from_slice(&line).ok());
            }
        }
    }
}
