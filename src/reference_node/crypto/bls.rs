//! BLS12-381 signatures: public keys in G1 (48 bytes), signatures in G2 (96 bytes).
//!
//! Cost decides the design: a pairing check takes most of a millisecond and a node must get by on a few of them a
//! block. Hence public keys are decoded once, the sum of a set of keys is kept per set, and an aggregate that was
//! found good is remembered, because the commit certificate of a block comes again in the next block's header.

use super::{Crypto, Domain};
use crate::reference_node::types::{
    Bitmap, Committee, Hash, NodeId, PublicKey, Signature, Transaction, VotePayload, encode,
};
use blst::BLST_ERROR;
use blst::min_pk;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The ciphersuite of the proof-of-possession scheme: aggregates over one message need it. Possession holds by
/// construction, since genesis makes all keys.
const CIPHERSUITE: &[u8] = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_";

/// Sets of signers whose summed key is kept. A committee of four has five quorums; a large one meets few sets.
const MAX_SUMMED_KEYS: usize = 256;

/// Good aggregates remembered: two a block and some crosslinks, for some blocks.
const MAX_VERIFIED: usize = 256;

/// Good transfers remembered: those of a full mempool of thousands.
const MAX_TRANSACTIONS: usize = 8_192;

/// A node's secret key.
#[derive(Clone)]
pub struct SecretKey(min_pk::SecretKey);

impl SecretKey {
    /// The key that `seed` gives to `node`.
    pub fn from_seed(seed: &str, node: NodeId) -> SecretKey {
        let material = Hash::of_value("bls key", &(seed, node));
        let key = min_pk::SecretKey::key_gen(material.as_bytes(), &[]);
        SecretKey(key.expect("invariant: 32 bytes of key material are enough"))
    }

    /// The public key that belongs to it.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.sk_to_pk().compress())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SecretKey(hidden)")
    }
}

/// The real scheme. Clones share keys and caches.
#[derive(Clone)]
pub struct Bls {
    secret: SecretKey,
    keys: Arc<BTreeMap<NodeId, min_pk::PublicKey>>,
    cache: Arc<Mutex<Cache>>,
}

#[derive(Default)]
struct Cache {
    summed_keys: HashMap<Vec<NodeId>, min_pk::PublicKey>,
    aggregates: Recent<MAX_VERIFIED>,
    transactions: Recent<MAX_TRANSACTIONS>,
}

/// The newest `LIMIT` things found good, by hash.
#[derive(Default)]
struct Recent<const LIMIT: usize> {
    members: HashSet<Hash>,
    order: VecDeque<Hash>,
}

impl<const LIMIT: usize> Recent<LIMIT> {
    fn insert(&mut self, entry: Hash) {
        if self.members.insert(entry) {
            self.order.push_back(entry);
        }
        if self.order.len() > LIMIT
            && let Some(oldest) = self.order.pop_front()
        {
            self.members.remove(&oldest);
        }
    }
}

impl fmt::Debug for Bls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Bls")
            .field("keys", &self.keys.len())
            .finish_non_exhaustive()
    }
}

impl Bls {
    /// Signs with `secret` and knows `keys`; one that is no valid public key is left out, so nothing verifies for it.
    pub fn new(secret: SecretKey, keys: impl IntoIterator<Item = (NodeId, PublicKey)>) -> Bls {
        let decoded = keys.into_iter().filter_map(|(node, key)| {
            Some((node, min_pk::PublicKey::key_validate(key.as_bytes()).ok()?))
        });
        Bls {
            secret,
            keys: Arc::new(decoded.collect()),
            cache: Arc::default(),
        }
    }

    /// The cache, also after a panic of another holder: every entry in it is right on its own.
    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn summed_key(&self, mut nodes: Vec<NodeId>) -> Option<min_pk::PublicKey> {
        nodes.sort_unstable();
        if let Some(key) = self.cache().summed_keys.get(&nodes) {
            return Some(*key);
        }
        let keys: Vec<&min_pk::PublicKey> = nodes
            .iter()
            .map(|node| self.keys.get(node))
            .collect::<Option<_>>()?;
        let sum = min_pk::AggregatePublicKey::aggregate(&keys, false)
            .ok()?
            .to_public_key();
        let mut cache = self.cache();
        if cache.summed_keys.len() >= MAX_SUMMED_KEYS {
            cache.summed_keys.clear();
        }
        cache.summed_keys.insert(nodes, sum);
        Some(sum)
    }
}

/// Checks one signature; the group check guards against points outside the subgroup.
fn check(key: &min_pk::PublicKey, domain: Domain, message: &[u8], signature: &Signature) -> bool {
    let Ok(point) = min_pk::Signature::uncompress(signature.as_bytes()) else {
        return false;
    };
    point.verify(true, message, CIPHERSUITE, &[domain.tag()], key, false)
        == BLST_ERROR::BLST_SUCCESS
}

impl Crypto for Bls {
    fn sign(&self, domain: Domain, message: &[u8]) -> Signature {
        Signature(
            self.secret
                .0
                .sign(message, CIPHERSUITE, &[domain.tag()])
                .compress(),
        )
    }

    fn verify(&self, node: NodeId, domain: Domain, message: &[u8], signature: &Signature) -> bool {
        self.keys
            .get(&node)
            .is_some_and(|key| check(key, domain, message, signature))
    }

    fn aggregate(&self, signatures: &[Signature]) -> Option<Signature> {
        let points: Vec<min_pk::Signature> = signatures
            .iter()
            .map(|signature| min_pk::Signature::uncompress(signature.as_bytes()).ok())
            .collect::<Option<_>>()?;
        let sum = min_pk::AggregateSignature::aggregate(&points.iter().collect::<Vec<_>>(), false)
            .ok()?;
        Some(Signature(sum.to_signature().compress()))
    }

    fn verify_aggregate(
        &self,
        committee: &Committee,
        signers: &Bitmap,
        payload: &VotePayload,
        aggregate: &Signature,
    ) -> bool {
        if !signers.fits(committee.len()) || signers.count() == 0 {
            return false;
        }
        let nodes: Vec<NodeId> = committee.nodes(signers).collect();
        let entry = Hash::of_value("verified", &(&nodes, payload, aggregate));
        if self.cache().aggregates.members.contains(&entry) {
            return true;
        }
        let Some(key) = self.summed_key(nodes) else {
            return false;
        };
        let good = check(&key, Domain::Vote, &encode(payload), aggregate);
        if good {
            self.cache().aggregates.insert(entry);
        }
        good
    }
    fn verify_transaction(&self, transaction: &Transaction) -> bool {
        let entry = transaction.hash();
        if self.cache().transactions.members.contains(&entry) {
            return true;
        }
        let good = transaction.signature_is_valid();
        if good {
            self.cache().transactions.insert(entry);
        }
        good
    }
}
