//! What faults do in a node's network, done by the privileged helper in the node's own network namespace.
//!
//! ```text
//!  lost, damaged, refused   rules of the packet filter          (filter, nftables)
//!  limited                  queues                              (traffic_control)
//!  late                     a queue where the kernel has one,   (traffic_control)
//!                           else a process that holds packets   (hold)
//! ```
//! By the kernel's own interface (netlink): no other program is needed in the helper's image. Only packets between the
//! data address of the node and data addresses of its peers are ever matched; the management network has others.
//! Everything is named after its fault, so that healing finds it again and two faults leave each other alone. What was
//! done is proved by what the kernel counts, or by measuring; healing where nothing is broken is no error.

mod filter;
mod hold;
mod late;
mod netlink;
mod nftables;
mod round_trip;
mod traffic_control;

use std::{fs, io, net::Ipv4Addr};

use rustix::net::{AddressFamily, SocketType, netdevice::index_to_name, socket};
use serde::{Deserialize, Serialize};

pub(crate) use self::late::kernel_delays;
use self::{
    filter::{Filter, Rules},
    traffic_control::{Queues, Wait},
};
use crate::fault::operation::{
    Outcome,
    link::{Direction, Fate},
};

/// What a helper is told to do in a node's network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkOrder {
    /// Something is done to packets. Answers an [`Outcome`]; where a process has to hold packets back it answers first,
    /// stays until the fault's time is over, and answers once more.
    Break(Break),
    /// All that this fault did is undone. Answers an [`Outcome`].
    Heal {
        /// The fault.
        fault: String,
        /// The node's data address.
        address: Ipv4Addr,
    },
    /// Names what faults have left in the node's network: a list of texts.
    Remains,
}

/// What is done to packets between a node and its peers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Break {
    /// The fault.
    pub fault: String,
    /// The node's data address.
    pub address: Ipv4Addr,
    /// Data addresses of its peers.
    pub peers: Vec<Ipv4Addr>,
    /// Which packets.
    pub direction: Direction,
    /// What.
    pub fate: Fate,
}

/// Told an outcome while the work goes on.
pub(crate) type Say<'a> = &'a (dyn Fn(&Outcome) + Sync);

/// Does it, in the network namespace of this process; answers one line of JSON.
///
/// # Errors
/// What the kernel said.
pub(crate) fn perform(order: &LinkOrder, say: Say<'_>) -> Result<String, io::Error> {
    let answer = match order {
        LinkOrder::Break(what) => serde_json::to_string(&break_links(what, say)?),
        LinkOrder::Heal { fault, address } => {
            heal(fault, *address)?;
            serde_json::to_string(&Outcome {
                effective: true,
                proof: "no rule and no queue of it is left".to_owned(),
            })
        }
        LinkOrder::Remains => {
            let found = [filter::remains()?, traffic_control::remains()?].concat();
            serde_json::to_string(&found)
        }
    };
    answer.map_err(io::Error::from)
}

/// Breaks, and proves it; nothing stays of what fails half-way.
pub(crate) fn break_links(what: &Break, say: Say<'_>) -> Result<Outcome, io::Error> {
    let end = End::of(what)?;
    // What an earlier try has left would be in the way.
    heal(&what.fault, what.address)?;
    let broken = end.break_links(say);
    if broken.is_err() {
        heal(&what.fault, what.address)?;
    }
    broken
}

/// Undoes all of a fault, whatever there is of it.
pub(crate) fn heal(fault: &str, address: Ipv4Addr) -> Result<(), io::Error> {
    // Rules first: what a process holds must get out while it lives.
    let rules = hold::end(fault);
    let queues = traffic_control::remove(fault, address);
    rules.and(queues)
}

/// The end of the links that a fault is done at.
struct End<'a> {
    what: &'a Break,
    /// The node's interface to the data network.
    interface: u32,
    interface_name: String,
}

impl<'a> End<'a> {
    fn of(what: &'a Break) -> Result<Self, io::Error> {
        let interface = netlink::interface_of(what.address)?.ok_or_else(|| {
            let message = format!("no interface of the node has the address {}", what.address);
            io::Error::other(message)
        })?;
        let any = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
        Ok(Self {
            what,
            interface,
            interface_name: index_to_name(any, interface)?,
        })
    }

    fn break_links(&self, say: Say<'_>) -> Result<Outcome, io::Error> {
        match &self.what.fate {
            Fate::Lost { per_million } => self.rules(Rules::Lose(*per_million)),
            Fate::Refused => self.rules(Rules::Refuse),
            Fate::Damaged { per_million } => {
                let before = header_errors();
                let mut outcome = self.rules(Rules::Damage(*per_million))?;
                if self.what.direction.comes() {
                    let found = header_errors().saturating_sub(before);
                    outcome.proof += &format!("; the node's kernel has thrown {found} away");
                }
                Ok(outcome)
            }
            Fate::Limited { bytes_per_second } => {
                Queues::make(self, Wait::Rate(*bytes_per_second))?.proof()
            }
            Fate::Late {
                delay,
                jitter,
                lasts,
            } => late::Late::new(*delay, *jitter, *lasts).break_links(self, say),
        }
    }

    fn rules(&self, rules: Rules) -> Result<Outcome, io::Error> {
        Filter::set(self, rules)?.proof()
    }
}

/// Packets with a header that makes no sense, as the kernel counts them in this network.
fn header_errors() -> u64 {
    // A line of names and a line of numbers: `Ip: Forwarding DefaultTTL InReceives InHdrErrors ...`.
    let all = fs::read_to_string("/proc/net/snmp").unwrap_or_default();
    let mut lines = all.lines().filter(|line| line.starts_with("Ip:"));
    let (Some(names), Some(numbers)) = (lines.next(), lines.next()) else {
        return 0;
    };
    let place = names.split(' ').position(|name| name == "InHdrErrors");
    place
        .and_then(|place| numbers.split(' ').nth(place)?.parse().ok())
        .unwrap_or(0)
}
