//! The methods: names, parameters, and where their answers come from.

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{ANSWER_WITHIN, RpcError, Service, answers};
use crate::reference_node::consensus::{CommittedBlock, Mode};
use crate::reference_node::node::Submission;
use crate::reference_node::types::{Address, Hash, Height, ShardId, Transaction, decode};

/// Harmony's words for a height that is not there yet.
const TOO_HIGH: &str = "requested block number greater than current block number";

type Answer = Result<Value, RpcError>;

impl Service {
    pub(super) async fn call(&self, method: &str, parameters: &[Value]) -> Answer {
        match method {
            "hmyv2_getHeaderByNumber" => {
                let (hash, committed) = self.block(height(parameters)?).await?;
                Ok(answers::header(&self.published, &hash, &committed))
            }
            "hmyv2_getBlockByNumber" => {
                let (hash, committed) = self.block(height(parameters)?).await?;
                let options = parameters.get(1).cloned().unwrap_or_default();
                Ok(answers::block(&self.published, &hash, &committed, &options))
            }
            "hmyv2_getBlockSignerKeys" => {
                let (_, committed) = self.block(height(parameters)?).await?;
                Ok(json!(answers::signers(
                    &self.published,
                    &committed,
                    |record| record.key.to_hex()
                )))
            }
            "hmyv2_getBlockSigners" => {
                let (_, committed) = self.block(height(parameters)?).await?;
                Ok(json!(answers::signers(
                    &self.published,
                    &committed,
                    |record| record.reward_address.to_string()
                )))
            }
            "hmyv2_sendRawTransaction" => self.send_raw_transaction(parameters).await,
            _ => self.published_answer(method, parameters),
        }
    }

    /// Answers from what the node shows, at once.
    fn published_answer(&self, method: &str, parameters: &[Value]) -> Answer {
        let published = &*self.published;
        let live = published.live();
        let status = &live.status;
        let head = &live.head().1.block.header;
        Ok(match method {
            "hmyv2_blockNumber" => json!(head.height),
            "hmy_blockNumber" | "eth_blockNumber" => json!(format!("{:#x}", head.height)),
            "hmyv2_latestHeader" => {
                let (hash, committed) = live.head();
                answers::header(published, hash, committed)
            }
            "hmyv2_getNodeMetadata" => answers::metadata(published, &live),
            "hmyv2_getLastCrossLinks" => {
                if published.node.shard != ShardId::BEACON {
                    return Err(RpcError::server(
                        "cannot call this rpc on non beaconchain node",
                    ));
                }
                Value::Array(live.state.links().map(answers::crosslink).collect())
            }
            "hmyv2_getNumPendingCXReceipts" => json!(live.pending_receipts),
            "hmyv2_getNumPendingCrossLinks" => json!(0),
            "hmyv2_getPoolStats" => json!({
                "executable-count": live.pool.executable,
                "non-executable-count": live.pool.waiting,
            }),
            "hmyv2_getEpoch" => json!(status.epoch),
            "hmyv2_getShardID" => json!(published.node.shard.0),
            "hmyv2_getLeader" => json!(answers::address_of(published, status.leader)),
            "hmyv2_getBalance" => json!(live.state.account(&address(parameters)?).balance),
            "hmyv2_getTransactionCount" => json!(live.state.account(&address(parameters)?).nonce),
            "hmyv2_getValidatorRewards" => answers::rewards(published, &live),
            "hmyv2_getShardTotals" => answers::totals(&live),
            "hmyv2_getPeerInfo" => answers::peers(published, &live),
            "hmyv2_getConsensusMode" => json!(status.mode.name()),
            "hmyv2_getConsensusPhase" => json!(status.phase.name()),
            "hmyv2_inSync" => json!(in_sync(status.mode, head.height, status.best_peer_height)),
            "hmyv2_syncing" if in_sync(status.mode, head.height, status.best_peer_height) => {
                json!(false)
            }
            "hmyv2_syncing" => json!({
                "startingBlock": head.height,
                "currentBlock": head.height,
                "highestBlock": status.best_peer_height.max(head.height),
            }),
            "net_peerCount" => json!(format!("{:#x}", live.connected.len())),
            "netv2_peerCount" => json!(live.connected.len()),
            "web3_clientVersion" => json!(answers::VERSION),
            _ => {
                // The name is the client's text: cut, and escaped by the JSON writer.
                let name: String = method.chars().take(64).collect();
                return Err(RpcError::new(
                    -32601,
                    format!("the method {name} does not exist/is not available"),
                ));
            }
        })
    }

    /// A block from memory, else from the store.
    async fn block(&self, height: Height) -> Result<(Hash, CommittedBlock), RpcError> {
        {
            let live = self.published.live();
            if let Some(found) = live.recent(height) {
                return Ok(found.clone());
            }
            if height > live.head().1.block.header.height {
                return Err(RpcError::server(TOO_HIGH));
            }
        }
        let range = match timeout(ANSWER_WITHIN, self.store.blocks(height, 1, 0)).await {
            Ok(Ok(range)) => range,
            Ok(Err(error)) => return Err(RpcError::server(error.to_string())),
            Err(_) => return Err(RpcError::server("the store does not answer")),
        };
        match range.blocks.into_iter().next() {
            Some(committed) => Ok((committed.block.hash(), committed)),
            None => Err(RpcError::server(format!(
                "block is pruned, the oldest is {}",
                range.oldest
            ))),
        }
    }

    async fn send_raw_transaction(&self, parameters: &[Value]) -> Answer {
        let text = parameters
            .first()
            .and_then(Value::as_str)
            .ok_or_else(|| RpcError::parameters("a hex string"))?;
        let bytes = hex::decode(text.strip_prefix("0x").unwrap_or(text))
            .map_err(|_| RpcError::parameters("the transaction is no hex string"))?;
        let transaction: Transaction = decode(&bytes, Transaction::MAX_BYTES)
            .map_err(|error| RpcError::parameters(error.to_string()))?;
        let hash = transaction.hash();
        let (answer, taken) = oneshot::channel();
        self.submissions
            .try_send(Submission {
                transaction,
                answer,
            })
            .map_err(|_| RpcError::server("the node is busy"))?;
        match timeout(ANSWER_WITHIN, taken).await {
            Ok(Ok(Ok(()))) => Ok(json!(hash.to_string())),
            Ok(Ok(Err(refused))) => Err(RpcError::server(refused.to_string())),
            Ok(Err(_)) | Err(_) => Err(RpcError::server("the node does not answer")),
        }
    }
}

/// A node is in sync when it does not fetch blocks and no peer claims to be more than a block ahead.
fn in_sync(mode: Mode, head: Height, best_peer: Height) -> bool {
    mode != Mode::Syncing && best_peer <= head.saturating_add(1)
}

fn height(parameters: &[Value]) -> Result<Height, RpcError> {
    let wrong = || RpcError::parameters("the first parameter is a block number");
    match parameters.first().ok_or_else(wrong)? {
        Value::Number(number) => number.as_u64().ok_or_else(wrong),
        Value::String(text) => match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).map_err(|_| wrong()),
            None => text.parse().map_err(|_| wrong()),
        },
        _ => Err(wrong()),
    }
}

fn address(parameters: &[Value]) -> Result<Address, RpcError> {
    let wrong = || RpcError::parameters("the first parameter is an address");
    parameters
        .first()
        .and_then(Value::as_str)
        .ok_or_else(wrong)?
        .parse()
        .map_err(|_| wrong())
}
