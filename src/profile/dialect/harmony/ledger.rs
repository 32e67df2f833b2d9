//! What a ledger adds up to: `hmyv2_getShardTotals`, an extension of the reference node, and Harmony's own
//! `hmyv2_getLastCrossLinks`, which only shard 0 answers.

use std::{borrow::Cow, sync::Arc};

use serde::Deserialize;

use super::parse;
use crate::{
    ids::{Height, ShardId},
    journal::event::Ledger,
    profile::dialect::{
        BadAnswer,
        lenient::{Number, Short},
    },
};

/// Shards that one answer may name; no network has more.
const MAX_SHARDS: usize = 64;
/// Digits of a digest that are kept: eight bytes tell two states apart.
const DIGITS: usize = 16;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawTotals<'a> {
    block_number: Option<Number>,
    balance: Option<Number>,
    rewards: Option<Number>,
    transfers: Option<Number>,
    #[serde(borrow, default)]
    state_root: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    block_state_root: Option<Cow<'a, str>>,
    #[serde(default)]
    sent: Option<Short<RawBatches, MAX_SHARDS>>,
    #[serde(default)]
    received: Option<Short<RawBatches, MAX_SHARDS>>,
}

#[derive(Deserialize)]
struct RawBatches {
    shard: Number,
    batches: Number,
    value: Number,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawLink {
    shard_id: Number,
    block_number: Number,
}

pub(super) fn read_totals(json: &[u8], ledger: &mut Ledger) -> Result<(), BadAnswer> {
    let raw: RawTotals<'_> = parse("totals", json)?;
    let number = |number: Option<Number>| number.map(|number| number.0);
    let batches = |list: Option<Short<RawBatches, MAX_SHARDS>>| {
        let list = list.map_or_else(Vec::new, |list| list.0);
        let entry = |row: RawBatches| (ShardId(row.shard.0), row.batches.0, row.value.0);
        list.into_iter().map(entry).collect()
    };
    *ledger = Ledger {
        node: None,
        height: raw.block_number.map(|height| Height(height.0)),
        state: raw.state_root.as_deref().and_then(digest),
        block_state: raw.block_state_root.as_deref().and_then(digest),
        transfers: number(raw.transfers),
        balance: number(raw.balance),
        rewards: number(raw.rewards),
        sent: batches(raw.sent),
        received: batches(raw.received),
        links: std::mem::take(&mut ledger.links),
    };
    Ok(())
}

pub(super) fn read_links(json: &[u8], ledger: &mut Ledger) -> Result<(), BadAnswer> {
    let raw: Short<RawLink, MAX_SHARDS> = parse("cross links", json)?;
    let link = |link: RawLink| (ShardId(link.shard_id.0), Height(link.block_number.0));
    ledger.links = raw.0.into_iter().map(link).collect();
    Ok(())
}

/// The first digits of a digest; what is none is no digest.
fn digest(text: &str) -> Option<Arc<str>> {
    let digits = text.strip_prefix("0x").unwrap_or(text).get(..DIGITS)?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| digits.to_ascii_lowercase().into())
}
