//! Harmony's JSON-RPC family, version 2 of its name space (`hmyv2_`): numbers are JSON numbers.
//!
//! One poll is one batch of `hmyv2_latestHeader` and `hmyv2_getNodeMetadata`, a survey asks for the ledger beside them.
//! Extensions, which the reference node answers, are used where present: `timestampMillis`, `committeeSize`,
//! `transactionsCount`, `incomingReceipts` and `lastCommitNodes` (which validators signed, by their place in the shard
//! and not in the epoch's committee) of a header, `address` of the metadata, `hmyv2_getShardTotals`. Old versions miss fields (`consensus`, `current-block-number`); a missing field is a missing fact, one of
//! a wrong type is a [`BadAnswer`].

mod ledger;

use std::{borrow::Cow, fmt::Write as _, sync::Arc};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    BadAnswer, Dialect, Header, MAX_HEADERS, Reply, Status,
    lenient::{Number, Short, Text},
};
use crate::{
    ids::{Epoch, Height, ShardId, ViewId},
    journal::{
        event::{BlockContent, Mode},
        text,
    },
    time::WallTime,
};

/// The family.
#[derive(Debug, Clone, Copy)]
pub struct Harmony;

const POLL: &str = concat!(
    r#"[{"jsonrpc":"2.0","id":1,"method":"hmyv2_latestHeader","params":[]},"#,
    r#"{"jsonrpc":"2.0","id":2,"method":"hmyv2_getNodeMetadata","params":[]}]"#
);
const SURVEY: &str = concat!(
    r#"[{"jsonrpc":"2.0","id":1,"method":"hmyv2_latestHeader","params":[]},"#,
    r#"{"jsonrpc":"2.0","id":2,"method":"hmyv2_getNodeMetadata","params":[]},"#,
    r#"{"jsonrpc":"2.0","id":3,"method":"hmyv2_getShardTotals","params":[]},"#,
    r#"{"jsonrpc":"2.0","id":4,"method":"hmyv2_getLastCrossLinks","params":[]}]"#
);
const HEAD_ID: u64 = 1;
const METADATA_ID: u64 = 2;
const TOTALS_ID: u64 = 3;
const LINKS_ID: u64 = 4;
/// Headers by number have ids from here on.
const FIRST_HEADER_ID: usize = 10;
const MAX_BATCH: usize = MAX_HEADERS + 4;
/// A committee of 8192 keys in hex; longer bitmaps are refused.
const MAX_BITMAP: usize = 2048;

impl Dialect for Harmony {
    fn name(&self) -> &'static str {
        "harmony"
    }

    fn summary(&self) -> &'static str {
        "Harmony's JSON-RPC (hmyv2_latestHeader, hmyv2_getNodeMetadata, hmyv2_getHeaderByNumber)"
    }

    fn path(&self) -> &'static str {
        "/"
    }

    fn poll(&self, headers: &[Height], survey: bool) -> Cow<'static, [u8]> {
        let plain = if survey { SURVEY } else { POLL };
        if headers.is_empty() {
            return Cow::Borrowed(plain.as_bytes());
        }
        let mut body = plain[..plain.len() - 1].to_owned();
        for (index, height) in headers.iter().take(MAX_HEADERS).enumerate() {
            body.push(',');
            push_header_request(&mut body, index, *height);
        }
        body.push(']');
        Cow::Owned(body.into_bytes())
    }

    fn headers(&self, heights: &[Height]) -> Vec<u8> {
        let mut body = String::with_capacity(100 * heights.len() + 2);
        body.push('[');
        for (index, height) in heights.iter().take(MAX_HEADERS).enumerate() {
            if index > 0 {
                body.push(',');
            }
            push_header_request(&mut body, index, *height);
        }
        body.push(']');
        body.into_bytes()
    }

    fn read(&self, body: &[u8]) -> Result<Reply, BadAnswer> {
        let answers: Short<Answer<'_>, MAX_BATCH> = parse("batch", body)?;
        let mut reply = Reply::default();
        for answer in answers.0 {
            let id = answer.id.map_or(u64::MAX, |id| id.0);
            let result = match (answer.result, answer.error) {
                (Some(result), None) => result.get().as_bytes(),
                (_, Some(error)) if id == HEAD_ID => return Err(refused(&error)),
                // A node may hide its metadata, and no longer have a header: that is no answer, not a bad one.
                _ => continue,
            };
            match id {
                HEAD_ID => reply.head = Some(read_header(result)?),
                METADATA_ID => reply.status = Some(read_metadata(result)?),
                TOTALS_ID => ledger::read_totals(result, reply.ledger.get_or_insert_default())?,
                LINKS_ID => ledger::read_links(result, reply.ledger.get_or_insert_default())?,
                _ => reply.headers.push(read_header(result)?),
            }
        }
        Ok(reply)
    }
}

fn push_header_request(body: &mut String, index: usize, height: Height) {
    // Writing to a String cannot fail.
    let _ = write!(
        body,
        r#"{{"jsonrpc":"2.0","id":{},"method":"hmyv2_getHeaderByNumber","params":[{height}]}}"#,
        FIRST_HEADER_ID + index
    );
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(default)]
    id: Option<Number>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<RpcError<'a>>,
}

#[derive(Deserialize)]
struct RpcError<'a> {
    #[serde(default)]
    code: Option<serde_json::Number>,
    #[serde(borrow, default)]
    message: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawHeader<'a> {
    #[serde(borrow)]
    block_hash: Cow<'a, str>,
    block_number: Number,
    #[serde(rename = "shardID")]
    shard: Option<Number>,
    #[serde(borrow, default)]
    leader: Option<Cow<'a, str>>,
    #[serde(rename = "viewID")]
    view: Option<Number>,
    epoch: Option<Number>,
    #[serde(borrow, default)]
    last_commit_bitmap: Option<Cow<'a, str>>,
    timestamp_millis: Option<Number>,
    committee_size: Option<Number>,
    transactions_count: Option<Number>,
    incoming_receipts: Option<Number>,
    #[serde(borrow, default)]
    last_commit_nodes: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawMetadata<'a> {
    is_leader: Option<bool>,
    shard_id: Option<Number>,
    #[serde(borrow, default)]
    address: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    consensus: Option<RawConsensus<'a>>,
}

#[derive(Deserialize)]
struct RawConsensus<'a> {
    #[serde(rename = "viewId")]
    view: Option<Number>,
    #[serde(rename = "viewChangeId")]
    wanted_view: Option<Number>,
    #[serde(borrow, default)]
    mode: Option<Cow<'a, str>>,
    #[serde(rename = "blocknum")]
    agreeing: Option<Number>,
}

fn parse<'a, T: Deserialize<'a>>(what: &str, json: &'a [u8]) -> Result<T, BadAnswer> {
    serde_json::from_slice(json).map_err(|error| BadAnswer::new(&format!("{what}: {error}")))
}

fn refused(error: &RpcError<'_>) -> BadAnswer {
    let code = error.code.as_ref().map(ToString::to_string);
    BadAnswer::new(&format!(
        "hmyv2_latestHeader: error {}: {}",
        code.as_deref().unwrap_or("without a code"),
        text::clean(&error.message.0, 150)
    ))
}

fn read_header(json: &[u8]) -> Result<Header, BadAnswer> {
    let raw: RawHeader<'_> = parse("header", json)?;
    let content = BlockContent {
        transactions: raw.transactions_count.map(count),
        receipts: raw.incoming_receipts.map(count),
        signed: raw.last_commit_nodes.as_deref().and_then(read_nodes),
    };
    Ok(Header {
        height: Height(raw.block_number.0),
        hash: read_hash(&raw.block_hash)?,
        shard: raw.shard.map(|shard| ShardId(shard.0)),
        view: raw.view.map(|view| ViewId(view.0)),
        epoch: raw.epoch.map(|epoch| Epoch(epoch.0)),
        leader: raw.leader.as_deref().and_then(read_address),
        signers: read_signers(raw.last_commit_bitmap.as_deref().unwrap_or(""))?,
        committee: raw.committee_size.map(count),
        time: raw.timestamp_millis.map(|millis| WallTime(millis.0)),
        content: Some(content).filter(|content| *content != BlockContent::default()),
    })
}

fn read_metadata(json: &[u8]) -> Result<Status, BadAnswer> {
    let raw: RawMetadata<'_> = parse("metadata", json)?;
    let mut status = Status {
        shard: raw.shard_id.map(|shard| ShardId(shard.0)),
        leads: raw.is_leader,
        address: raw.address.as_deref().and_then(read_address),
        ..Status::default()
    };
    if let Some(consensus) = raw.consensus {
        let mode = consensus.mode.as_deref().map(read_mode);
        let view = match (mode, consensus.wanted_view) {
            (Some(Mode::ViewChanging), Some(wanted)) => Some(wanted),
            _ => consensus.view,
        };
        status.mode = mode;
        status.view = view.map(|view| ViewId(view.0));
        status.agreeing = consensus.agreeing.map(|height| Height(height.0));
    }
    Ok(status)
}

fn read_hash(hash: &str) -> Result<Arc<str>, BadAnswer> {
    let digits = hash.strip_prefix("0x").unwrap_or(hash);
    let is_hash =
        (8..=128).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hash {
        return Err(BadAnswer::new(&format!("no hash: {}", cut(hash, 80))));
    }
    if digits.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Ok(digits.to_ascii_lowercase().into());
    }
    Ok(digits.into())
}

/// The empty address of a block without a known proposer is no address.
fn read_address(address: &str) -> Option<Arc<str>> {
    if address.is_empty() {
        return None;
    }
    Some(text::clean(address, 100).into())
}

fn read_mode(mode: &str) -> Mode {
    match mode {
        "Normal" => Mode::Normal,
        "ViewChanging" => Mode::ViewChanging,
        // The misspelling is how the node of the incident wrote it.
        "Syncing" | "Sycning" => Mode::Syncing,
        "Listening" => Mode::Listening,
        _ => Mode::Other,
    }
}

/// Bits set in the bitmap; the first blocks of a chain have none, which says nothing about signers.
fn read_signers(bitmap: &str) -> Result<Option<u32>, BadAnswer> {
    let digits = bitmap.strip_prefix("0x").unwrap_or(bitmap);
    if digits.is_empty() {
        return Ok(None);
    }
    if digits.len() > MAX_BITMAP {
        return Err(BadAnswer::new("a bitmap of more than 8192 signers"));
    }
    let mut signers = 0;
    for digit in digits.chars() {
        let Some(nibble) = digit.to_digit(16) else {
            return Err(BadAnswer::new("a bitmap that is not hex"));
        };
        signers += nibble.count_ones();
    }
    Ok(Some(signers))
}

fn count(number: Number) -> u32 {
    u32::try_from(number.0).unwrap_or(u32::MAX)
}

/// A set of validators in hex; what is none is not told. A block without signers (the first) tells the empty text.
fn read_nodes(set: &str) -> Option<Arc<str>> {
    let is_set =
        (1..=MAX_BITMAP).contains(&set.len()) && set.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_set.then(|| crate::ids::intern(&set.to_ascii_lowercase()))
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

#[cfg(test)]
mod tests;
