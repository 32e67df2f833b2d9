use ed25519_dalek::SigningKey;

use super::*;
use crate::reference_node::crypto::FakeCrypto;
use crate::reference_node::genesis::{Genesis, GenesisConfig};
use crate::reference_node::types::NodeId;

struct Fixture {
    genesis: Genesis,
    state: ChainState,
    pool: Mempool,
}

fn fixture() -> Fixture {
    let genesis = Genesis::new(GenesisConfig {
        shards: 2,
        ..GenesisConfig::default()
    })
    .unwrap();
    let state = genesis.state(ShardId(0));
    Fixture {
        genesis,
        state,
        pool: Mempool::new(ShardId(0), 2),
    }
}

impl Fixture {
    fn transfer(&self, faucet: u16, nonce: u64) -> Transaction {
        self.of(faucet, nonce, 1)
    }

    fn of(&self, faucet: u16, nonce: u64, amount: u64) -> Transaction {
        let key = self.genesis.faucet_key(ShardId(0), faucet);
        Transaction::transfer(&key, nonce, (ShardId(0), ShardId(0)), Address::ZERO, amount)
    }

    fn insert_of(
        &mut self,
        faucet: u16,
        nonce: u64,
        amount: u64,
    ) -> Result<(), RejectedTransaction> {
        let transaction = self.of(faucet, nonce, amount);
        self.insert(transaction)
    }

    fn insert(&mut self, transaction: Transaction) -> Result<(), RejectedTransaction> {
        let tip = Tip {
            state: &self.state,
            height: 0,
            crypto: &FakeCrypto::new(NodeId::new(0, 0)),
        };
        self.pool.insert(transaction, true, &tip)
    }
}

#[test]
fn senders_take_turns_and_nonces_stay_in_order() {
    let mut fixture = fixture();
    for (faucet, nonce) in [(0, 1), (0, 0), (0, 2), (1, 0), (2, 1)] {
        let transaction = fixture.transfer(faucet, nonce);
        fixture.insert(transaction).unwrap();
    }
    let picked: Vec<_> = fixture.pool.select(&fixture.state, 10);
    let expected: Vec<_> = [(0, 0), (1, 0), (0, 1), (0, 2)]
        .map(|(f, n)| fixture.transfer(f, n))
        .into();
    assert_eq!(picked, expected);
    assert_eq!(fixture.pool.select(&fixture.state, 2), expected[..2]);
    assert_eq!(
        fixture.pool.sizes(&fixture.state),
        Sizes {
            executable: 4,
            waiting: 1
        }
    );
    let address = fixture.genesis.faucet_address(ShardId(0), 0);
    assert_eq!(fixture.pool.next_nonce(&address, &fixture.state), 3);
}

#[test]
fn what_cannot_be_executed_is_refused() {
    let mut fixture = fixture();
    let good = fixture.transfer(0, 0);
    let mut forged = good.clone();
    forged.amount = 2;
    assert_eq!(fixture.insert(forged), Err(RejectedTransaction::Signature));
    let key = SigningKey::from_bytes(&[7; 32]);
    let other = Transaction::transfer(&key, 0, (ShardId(1), ShardId(0)), Address::ZERO, 1);
    assert_eq!(fixture.insert(other), Err(RejectedTransaction::OtherShard));
    let nowhere = Transaction::transfer(&key, 0, (ShardId(0), ShardId(2)), Address::ZERO, 1);
    assert_eq!(
        fixture.insert(nowhere),
        Err(RejectedTransaction::UnknownShard)
    );
    let far = fixture.transfer(0, NONCE_AHEAD);
    assert_eq!(fixture.insert(far), Err(RejectedTransaction::NonceTooHigh));
    fixture.insert(good.clone()).unwrap();
    assert_eq!(fixture.insert(good), Err(RejectedTransaction::Known));
    assert_eq!(fixture.pool.len(), 1);
}

#[test]
fn own_transfers_are_overdue_once_per_patience() {
    let mut fixture = fixture();
    let transaction = fixture.transfer(0, 0);
    fixture.insert(transaction.clone()).unwrap();
    assert!(fixture.pool.overdue(5, 5, 10).is_empty());
    assert_eq!(fixture.pool.overdue(6, 5, 10), [transaction]);
    assert!(fixture.pool.overdue(7, 5, 10).is_empty());
}

#[test]
fn what_moves_nothing_or_too_much_is_refused() {
    let mut fixture = fixture();
    let address = fixture.genesis.faucet_address(ShardId(0), 0);
    let all = fixture.state.account(&address).balance;
    assert_eq!(
        fixture.insert_of(0, 0, 0),
        Err(RejectedTransaction::ZeroAmount)
    );
    assert_eq!(
        fixture.insert_of(0, 0, all + 1),
        Err(RejectedTransaction::InsufficientBalance)
    );
    fixture.insert_of(0, 0, all).unwrap();
    // What comes before it may bring the money.
    fixture.insert_of(0, 1, all + 1).unwrap();
    assert_eq!(fixture.pool.len(), 2);
}

#[test]
fn what_no_block_could_have_goes_at_once_or_when_it_is_old() {
    let mut fixture = fixture();
    for nonce in 0..4 {
        fixture.insert_of(0, nonce, 1).unwrap();
    }
    let transfer = |nonce| fixture.transfer(0, nonce);
    let transfers: Vec<_> = (0..4).map(transfer).collect();
    let other = fixture.of(0, 0, 7);
    let poor = TransactionError::InsufficientBalance {
        balance: 0,
        amount: 1,
    };
    let late = TransactionError::OutboxFull(ShardId(1));
    let never = TransactionError::BadSignature;
    let mut left = |refused: &Transaction, why, height| {
        fixture.pool.refused(&[(refused.clone(), why)], height);
        fixture.pool.len()
    };
    assert_eq!(left(&other, never, 0), 4, "another of the same number");
    assert_eq!(left(&transfers[3], never, 0), 3);
    assert_eq!(left(&transfers[2], poor, WAITS_MOST), 3, "not yet");
    assert_eq!(left(&transfers[2], poor, WAITS_MOST + 1), 2);
    assert_eq!(left(&transfers[1], late, 1 << 40), 2, "the other shard's");
    assert_eq!(left(&transfers[1], never, 0), 1);
    assert_eq!(left(&transfers[0], never, 0), 0);
    assert!(fixture.pool.turns.is_empty() && fixture.pool.senders.is_empty());
}

#[test]
fn what_waits_for_one_that_never_comes_goes_when_it_is_old() {
    let mut fixture = fixture();
    for nonce in [0, 1, 3] {
        fixture.insert_of(0, nonce, 1).unwrap();
    }
    let state = fixture.state.clone();
    let old = (WAITS_MOST / LOOK + 1) * LOOK;
    let mut left = |height| {
        fixture.pool.forget_stranded(height, &state);
        fixture.pool.len()
    };
    assert_eq!(left(old - LOOK), 3, "not old yet");
    assert_eq!(left(old + 1), 3, "nobody looks at every block");
    assert_eq!(left(old), 2, "those that a block can have stay");
}
