//! A network without consensus: blocks are final as soon as they are built and checked.

use crate::reference_node::chain::{Account, Built, ChainState, Check, Payload, Proposal, Rules};
use crate::reference_node::crypto::{Crypto, FakeCrypto};
use crate::reference_node::genesis::{Genesis, GenesisConfig};
use crate::reference_node::types::{
    Address, Amount, Bitmap, Block, Certificate, CrossLink, Hash, Header, NodeId, Phase,
    ReceiptBatch, ShardId, Transaction, VotePayload,
};

pub(super) struct Shard {
    pub(super) header: Header,
    pub(super) state: ChainState,
    pub(super) certificate: Option<Certificate>,
}

impl Shard {
    pub(super) fn crosslink(&self) -> Option<CrossLink> {
        let certificate = self.certificate.clone()?;
        Some(CrossLink {
            header: self.header.clone(),
            certificate,
        })
    }
}

pub(super) struct Net {
    pub(super) genesis: Genesis,
    pub(super) crypto: FakeCrypto,
    pub(super) shards: Vec<Shard>,
}

pub(super) const ALL: [usize; 4] = [0, 1, 2, 3];

impl Net {
    pub(super) fn new(shards: u16) -> Net {
        Net::with_faucets(shards, 4)
    }

    pub(super) fn with_faucets(shards: u16, faucets: u16) -> Net {
        let config = GenesisConfig {
            shards,
            faucets,
            epoch_length: 5,
            initial_height: 3,
            ..Default::default()
        };
        let genesis = Genesis::new(config).unwrap();
        let shard = |shard| Shard {
            header: genesis.block(shard).header,
            state: genesis.state(shard),
            certificate: None,
        };
        let shards = genesis.shards().map(shard).collect();
        Net {
            genesis,
            crypto: FakeCrypto::new(NodeId::new(0, 0)),
            shards,
        }
    }

    pub(super) fn rules(&self) -> Rules<'_, FakeCrypto> {
        Rules {
            genesis: &self.genesis,
            crypto: &self.crypto,
        }
    }

    pub(super) fn certify(&self, header: &Header, signers: &[usize]) -> Certificate {
        let (phase, height, view) = (Phase::Commit, header.height, header.view);
        let payload = VotePayload {
            phase,
            shard: header.shard,
            height,
            view,
            block: header.hash(),
        };
        let committee = self.genesis.committee(header.shard, header.epoch);
        let mut bitmap = Bitmap::new(committee.len());
        signers.iter().for_each(|position| bitmap.insert(*position));
        let votes: Vec<_> = committee
            .nodes(&bitmap)
            .map(|node| FakeCrypto::new(node).sign_vote(&payload))
            .collect();
        let signature = self.crypto.aggregate(&votes).unwrap();
        Certificate {
            payload,
            signers: bitmap,
            signature,
        }
    }

    pub(super) fn build(&self, shard: usize, payload: &Payload) -> Built {
        let Shard {
            header,
            state,
            certificate,
        } = &self.shards[shard];
        let epoch = self.genesis.epoch_of(header.height + 1);
        let proposal = Proposal {
            parent: header,
            state,
            last_commit: certificate.clone(),
            leader: self.genesis.committee(header.shard, epoch).at(0),
            view: header.view + 1,
            timestamp_ms: header.timestamp_ms + 200,
            payload,
        };
        self.rules().build_block(proposal).unwrap()
    }

    pub(super) fn check(
        &self,
        shard: usize,
        block: &Block,
        check: Check,
    ) -> Result<ChainState, super::super::BlockError> {
        let Shard { header, state, .. } = &self.shards[shard];
        self.rules().validate_block(header, state, block, check)
    }

    /// Builds, checks in both ways and commits a block; returns its batches.
    pub(super) fn advance(
        &mut self,
        shard: usize,
        payload: &Payload,
        signers: &[usize],
    ) -> Vec<ReceiptBatch> {
        let built = self.build(shard, payload);
        let now_ms = built.block.header.timestamp_ms;
        let checked = self
            .check(shard, &built.block, Check::Proposal { now_ms })
            .unwrap();
        assert_eq!(checked, built.state);
        assert_eq!(
            self.check(shard, &built.block, Check::Final).unwrap(),
            built.state
        );
        self.commit(shard, built, signers)
    }

    pub(super) fn commit(
        &mut self,
        shard: usize,
        built: Built,
        signers: &[usize],
    ) -> Vec<ReceiptBatch> {
        let certificate = self.certify(&built.block.header, signers);
        let batches = built.state.fresh_batches(&built.block.header, &certificate);
        self.shards[shard] = Shard {
            header: built.block.header,
            state: built.state,
            certificate: Some(certificate),
        };
        batches
    }

    /// A transfer by faucet `faucet` of `shard` with the nonce `ahead` above its account's.
    pub(super) fn transfer(
        &self,
        shard: u16,
        faucet: u16,
        ahead: u64,
        to_shard: u16,
        amount: Amount,
    ) -> Transaction {
        let account = self.faucet(shard, faucet);
        let to =
            Address::of_validator(&crate::reference_node::types::PublicKey([faucet as u8; 48]));
        let key = self.genesis.faucet_key(ShardId(shard), faucet);
        Transaction::transfer(
            &key,
            account.nonce + ahead,
            (ShardId(shard), ShardId(to_shard)),
            to,
            amount,
        )
    }

    pub(super) fn faucet(&self, shard: u16, faucet: u16) -> Account {
        self.shards[usize::from(shard)]
            .state
            .account(&self.genesis.faucet_address(ShardId(shard), faucet))
    }

    /// Balances and value in flight; genesis and rewards. Equal in every network that works.
    pub(super) fn books(&self) -> (u128, u128) {
        let config = self.genesis.config();
        let total = |amount: Amount| u128::from(amount);
        let balances: u128 = self
            .shards
            .iter()
            .map(|shard| total(shard.state.total_balance()))
            .sum();
        let rewards: u128 = self
            .shards
            .iter()
            .flat_map(|shard| shard.state.rewards())
            .map(|sum| total(*sum))
            .sum();
        let owners = u128::from(config.faucets) * u128::from(config.shards);
        (
            balances + self.in_flight(),
            owners * total(config.faucet_balance) + rewards,
        )
    }

    /// Value of the batches that were made and not yet executed.
    pub(super) fn in_flight(&self) -> u128 {
        let value = |source: &Shard| -> u128 {
            let open = source.state.sent().iter().map(|sent| {
                let received = &self.shards[usize::from(sent.destination.0)].state;
                let record = received
                    .received()
                    .iter()
                    .find(|record| record.source == source.header.shard);
                u128::from(sent.value) - record.map_or(0, |record| u128::from(record.value))
            });
            open.sum()
        };
        self.shards.iter().map(value).sum()
    }

    pub(super) fn hash(&self, shard: usize) -> Hash {
        self.shards[shard].header.hash()
    }
}
