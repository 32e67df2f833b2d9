//! What the kernel can do to a network: each fault tried in the helper's own, empty network, on its loopback interface.
//!
//! A module that is listed may not load and one that is not listed may be built in; only trying tells. What is tried is
//! what faults do, by the same code, and it is proved in the same way: by what the kernel counts, or by measuring.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    fault::{
        kinds::Need,
        operation::{
            Outcome,
            link::{Direction, Fate},
        },
    },
    link::{Break, break_links, heal, kernel_delays},
};

/// This end, and an address that is nobody else's: all of 127.0.0.0/8 answers.
const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const PEER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
/// Pause between the packets that prove something.
const PAUSE: Duration = Duration::from_millis(2);
/// Long enough to be measured on any machine.
const DELAY: Duration = Duration::from_millis(20);
/// Half of all packets, of a million.
const HALF: u32 = 500_000;
const ALL: u32 = 1_000_000;

/// What came of trying.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// Whether it can be done.
    pub able: bool,
    /// What was done and seen, or why it cannot be done.
    pub proof: String,
}

/// What was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkAbilities {
    /// Delay by the kernel's own queue.
    pub netem: Tried,
    /// Packets lost, damaged and refused by rules of the packet filter.
    pub nftables: Tried,
    /// Packets that wait by a rate, in both directions.
    pub queues: Tried,
    /// Packets that come later, by the kernel's own queue or through a program.
    pub tunnel: Tried,
}

impl NetworkAbilities {
    /// What tells whether a need of faults is met; `None` if it is not about the network.
    #[must_use]
    pub fn meets(&self, need: Need) -> Option<&Tried> {
        match need {
            Need::PacketFilter => Some(&self.nftables),
            Need::Queues => Some(&self.queues),
            Need::Tunnel => Some(&self.tunnel),
            _ => None,
        }
    }
}

/// Tries each ability.
///
/// # Errors
/// None today; an answer is given for whatever the kernel says.
pub fn probe() -> Result<NetworkAbilities, io::Error> {
    let lost = |per_million| Fate::Lost { per_million };
    let damaged = Fate::Damaged { per_million: HALF };
    let limited = || Fate::Limited {
        bytes_per_second: 4_000,
    };
    let late = Fate::Late {
        delay: DELAY,
        jitter: Duration::ZERO,
        // The time in which it is measured, and a little.
        lasts: DELAY * 20,
    };
    Ok(NetworkAbilities {
        netem: netem(),
        nftables: try_all(vec![
            ("lost", Direction::Both, lost(ALL)),
            ("lost by chance", Direction::In, lost(HALF)),
            ("damaged", Direction::In, damaged),
            ("refused", Direction::Both, Fate::Refused),
        ]),
        queues: try_all(vec![
            ("limited out", Direction::Out, limited()),
            ("limited in", Direction::In, limited()),
        ]),
        tunnel: try_all(vec![("late", Direction::Both, late)]),
    })
}

fn order(direction: Direction, fate: Fate) -> Break {
    Break {
        fault: "probe".to_owned(),
        address: HERE,
        peers: vec![PEER],
        direction,
        fate,
    }
}

fn netem() -> Tried {
    let late = Fate::Late {
        delay: DELAY,
        jitter: Duration::ZERO,
        lasts: DELAY,
    };
    match kernel_delays(&order(Direction::Both, late)) {
        Ok(()) => Tried {
            able: true,
            proof: "made such queues on an interface of its own".to_owned(),
        },
        Err(error) => Tried {
            able: false,
            proof: format!("the kernel says: {error}"),
        },
    }
}

/// Tries one after the other; all must have an effect.
fn try_all(what: Vec<(&str, Direction, Fate)>) -> Tried {
    let mut proofs = Vec::new();
    for (name, direction, fate) in what {
        let outcome = try_one(&order(direction, fate));
        let (able, proof) = match outcome {
            Ok(outcome) => (outcome.effective, outcome.proof),
            Err(error) => (false, format!("the kernel says: {error}")),
        };
        proofs.push(format!("{name}: {proof}"));
        if !able {
            let proof = proofs.pop().unwrap_or_default();
            return Tried { able, proof };
        }
    }
    Tried {
        able: true,
        proof: proofs.join("; "),
    }
}

/// Breaks the way to a peer that is talked to all the time, and heals it.
fn try_one(order: &Break) -> Result<Outcome, io::Error> {
    let over = AtomicBool::new(false);
    let early = Mutex::new(None);
    let say = |outcome: &Outcome| {
        if let Ok(mut early) = early.lock() {
            *early = Some(outcome.clone());
        }
    };
    let outcome = thread::scope(|scope| {
        scope.spawn(|| talk(&over));
        let outcome = break_links(order, &say);
        over.store(true, Ordering::Relaxed);
        outcome
    });
    heal(&order.fault, order.address)?;
    let early = early.into_inner().unwrap_or_default();
    outcome.map(|outcome| early.unwrap_or(outcome))
}

/// Nobody listens there: each try is a packet, and another one back.
fn talk(over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let _ = TcpStream::connect_timeout(&SocketAddr::from((PEER, 9)), PAUSE * 10);
        thread::sleep(PAUSE);
    }
}
