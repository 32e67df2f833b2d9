//! RPC families: requests out, observations in. Pure: no socket, no clock.
//!
//! A dialect is one file and one line in [`DIALECTS`]. What it reads was said by a node, so it is hostile: whatever
//! does not fit is a [`BadAnswer`], never a panic, and all text that leaves here is short and harmless.

pub mod harmony;
pub mod lenient;

use std::{borrow::Cow, sync::Arc};

use crate::{
    ids::{Epoch, Height, ShardId, ViewId},
    journal::{
        event::{BlockContent, Ledger, Mode},
        text,
    },
    time::WallTime,
};

/// All families, by the name that a profile uses.
pub const DIALECTS: &[&dyn Dialect] = &[&harmony::Harmony];

/// The family of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Dialect> {
    DIALECTS
        .iter()
        .copied()
        .find(|dialect| dialect.name() == name)
}

/// A family of RPC interfaces over HTTP POST.
pub trait Dialect: Sync {
    /// Its name in a profile's `probe.rpc.dialect`.
    fn name(&self) -> &'static str;

    /// One line for people.
    fn summary(&self) -> &'static str;

    /// Path that requests are posted to.
    fn path(&self) -> &'static str;

    /// Body of the request for the head and the node's state, and for the headers at these heights beside them.
    /// A `survey` asks for the ledger too.
    fn poll(&self, headers: &[Height], survey: bool) -> Cow<'static, [u8]>;

    /// Body of a request for headers alone; at most [`MAX_HEADERS`] of them.
    fn headers(&self, heights: &[Height]) -> Vec<u8>;

    /// Reads the answer to either request.
    ///
    /// # Errors
    /// When the answer has no meaning in this family.
    fn read(&self, body: &[u8]) -> Result<Reply, BadAnswer>;
}

/// Headers asked for in one request: a batch stays far below the answer limit of one mebibyte.
pub const MAX_HEADERS: usize = 64;

/// What a node said about itself and its chain. Parts it was not asked for, or refused, are missing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reply {
    /// Its newest block.
    pub head: Option<Header>,
    /// Its own state.
    pub status: Option<Status>,
    /// Headers asked for by height.
    pub headers: Vec<Header>,
    /// What its ledger adds up to, without the node's name.
    pub ledger: Option<Box<Ledger>>,
}

/// A block's header as a node told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its height.
    pub height: Height,
    /// Its hash, lower-case hex without prefix.
    pub hash: Arc<str>,
    /// The shard, if told.
    pub shard: Option<ShardId>,
    /// The view it was committed in.
    pub view: Option<ViewId>,
    /// Its epoch.
    pub epoch: Option<Epoch>,
    /// The proposer's address on the chain.
    pub leader: Option<Arc<str>>,
    /// How many signed the block before it.
    pub signers: Option<u32>,
    /// How many could have.
    pub committee: Option<u32>,
    /// Its timestamp, where it has millisecond precision.
    pub time: Option<WallTime>,
    /// What it holds.
    pub content: Option<BlockContent>,
}

/// A node's own state.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// The shard it serves.
    pub shard: Option<ShardId>,
    /// The view it works in; in a view change the one it wants.
    pub view: Option<ViewId>,
    /// The height it is agreeing on.
    pub agreeing: Option<Height>,
    /// Its consensus mode.
    pub mode: Option<Mode>,
    /// Whether it takes itself for the leader.
    pub leads: Option<bool>,
    /// Its address on the chain, which headers name as the leader of its blocks.
    pub address: Option<Arc<str>>,
}

/// An answer that makes no sense: harmless text of at most 200 bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadAnswer(String);

impl BadAnswer {
    /// Cleans and cuts the reason, which may quote the answer.
    #[must_use]
    pub fn new(reason: &str) -> Self {
        Self(text::clean(reason, 200))
    }

    /// The reason, clean.
    #[must_use]
    pub fn into_text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for dialect in DIALECTS {
            assert_eq!(find(dialect.name()).unwrap().name(), dialect.name());
            assert!(!dialect.summary().is_empty());
        }
        assert!(find("morse").is_none());
    }
}
