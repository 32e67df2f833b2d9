//! Faults by rules of the packet filter: packets lost, damaged, refused, or handed to whoever holds them back.
//!
//! What comes is dropped where it arrives, as if it had been lost on the way. What goes must not be dropped: the kernel
//! would tell the sender, which takes it for "try again" and not for a loss. It is spoiled instead, so that the next
//! one who looks at it throws it away. Measured at 30 %: dropped, 28 of 100 datagrams failed at their sender and TCP
//! retransmitted 2 segments; spoiled, none failed and it retransmitted 45. Damage is done to what comes before anything
//! has looked at it, so that the node's own kernel finds it and counts it.

use std::{
    io,
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use rustix::io::Errno;

use super::{
    End,
    netlink::Netlink,
    nftables::{Expression, Family, Hook, Table, tables},
};
use crate::fault::operation::{Outcome, link::Direction};

/// Rules that no packet has hit after this time have no effect: nodes talk several times a second.
const PATIENCE: Duration = Duration::from_secs(4);
/// Pause between looks.
const LOOK: Duration = Duration::from_millis(25);
/// Every packet, of a million.
const ALL: u32 = 1_000_000;
/// What names of our tables begin with.
const PREFIX: &str = "canarynet-";

/// A chain with its rules.
struct Chain {
    family: Family,
    hook: Hook,
    rules: Vec<Vec<Expression>>,
}

/// The chains of a fault.
fn chains(peers: &[Ipv4Addr], direction: Direction, rules: Rules) -> Vec<Chain> {
    let chain = |family, hook, rule: &dyn Fn(Ipv4Addr) -> Vec<Expression>| Chain {
        family,
        hook,
        rules: peers.iter().copied().map(rule).collect(),
    };
    let chance = |mut rule: Vec<Expression>, per_million: u32, last: Expression| {
        if per_million < ALL {
            rule.extend([Expression::Count, Expression::Chance(per_million)]);
        }
        rule.extend([Expression::Count, last]);
        rule
    };
    let from = |peer| vec![Expression::From(peer)];
    let to = |peer| vec![Expression::To(peer)];
    let mut chains = Vec::new();
    if direction.comes() {
        chains.push(match rules {
            Rules::Lose(share) => chain(Family::Ip, Hook::Input, &|peer| {
                chance(from(peer), share, Expression::Drop)
            }),
            Rules::Damage(share) => chain(Family::Device, Hook::Arriving, &|peer| {
                let rule = vec![Expression::IsIp, Expression::From(peer)];
                chance(rule, share, Expression::Spoil)
            }),
            Rules::Refuse => pass_resets(chain(Family::Ip, Hook::Input, &|peer| {
                chance(from(peer), ALL, Expression::Reset)
            })),
            Rules::Queue(queue) => chain(Family::Ip, Hook::Input, &|peer| {
                chance(from(peer), ALL, queue)
            }),
        });
    }
    if direction.goes() {
        chains.push(match rules {
            Rules::Lose(share) | Rules::Damage(share) => {
                chain(Family::Ip, Hook::Leaving, &|peer| {
                    chance(to(peer), share, Expression::Spoil)
                })
            }
            Rules::Refuse => pass_resets(chain(Family::Ip, Hook::Output, &|peer| {
                chance(to(peer), ALL, Expression::Reset)
            })),
            Rules::Queue(queue) => chain(Family::Ip, Hook::Output, &|peer| {
                chance(to(peer), ALL, queue)
            }),
        });
    }
    chains
}

/// The resets that answer what comes must get out, and those that answer what goes must come back to the node.
fn pass_resets(mut chain: Chain) -> Chain {
    let pass = vec![Expression::IsReset, Expression::Accept];
    chain.rules.insert(0, pass);
    chain
}

/// What rules do with packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rules {
    /// So many of a million are lost.
    Lose(u32),
    /// So many of a million are damaged.
    Damage(u32),
    /// All are refused.
    Refuse,
    /// All go to a queue, by this expression.
    Queue(Expression),
}

/// The rules of a fault, in the kernel.
#[derive(Debug)]
pub(super) struct Filter {
    kernel: Netlink,
    hooks: Vec<(Table, Hook)>,
}

impl Filter {
    /// Sets the rules, all at once. What the fault had set before must be gone.
    pub(super) fn set(end: &End<'_>, rules: Rules) -> Result<Self, io::Error> {
        let what = end.what;
        let kernel = Netlink::netfilter()?;
        let (mut messages, mut tables, mut hooks) = (Vec::new(), Vec::new(), Vec::new());
        for chain in chains(&what.peers, what.direction, rules) {
            let table = table(&what.fault, chain.family);
            if !tables.contains(&table) {
                messages.push(table.create());
                tables.push(table.clone());
            }
            let interface = (chain.family == Family::Device).then_some(end.interface_name.as_str());
            messages.push(table.chain(chain.hook, interface));
            messages.extend(chain.rules.iter().map(|rule| table.rule(chain.hook, rule)));
            hooks.push((table, chain.hook));
        }
        kernel.transact(messages)?;
        Ok(Self { kernel, hooks })
    }

    /// For each chain the hits of its counters.
    fn hits(&self) -> Result<Vec<(Hook, Vec<u64>)>, io::Error> {
        let hits = |(table, hook): &(Table, Hook)| Ok((*hook, table.hits(&self.kernel, *hook)?));
        self.hooks.iter().map(hits).collect()
    }

    /// Waits until packets hit the rules.
    pub(super) fn proof(&self) -> Result<Outcome, io::Error> {
        let begun = Instant::now();
        loop {
            let hits = self.hits()?;
            // The last counter of a rule is the one in front of what becomes of the packet.
            let effective = hits
                .iter()
                .any(|(_, counters)| counters.last().is_some_and(|hits| *hits > 0));
            if effective || begun.elapsed() >= PATIENCE {
                let proof: Vec<String> = hits.iter().map(told).collect();
                return Ok(Outcome {
                    effective,
                    proof: format!(
                        "{} after {} ms",
                        proof.join(", "),
                        begun.elapsed().as_millis()
                    ),
                });
            }
            thread::sleep(LOOK);
        }
    }
}

fn told((hook, counters): &(Hook, Vec<u64>)) -> String {
    let way = match hook {
        Hook::Input | Hook::Arriving => "in",
        Hook::Output | Hook::Leaving => "out",
    };
    match counters.as_slice() {
        [seen, hit] => format!("{hit} of {seen} packets {way} hit the rules"),
        [hit] => format!("{hit} packets {way} hit the rules"),
        _ => format!("no packets {way}"),
    }
}

/// The table of a fault.
fn table(fault: &str, family: Family) -> Table {
    Table {
        family,
        name: format!("{PREFIX}{fault}"),
    }
}

/// Removes the rules of a fault, whatever there are.
pub(super) fn remove(fault: &str) -> Result<(), io::Error> {
    let kernel = match Netlink::netfilter() {
        // A kernel that cannot have rules has none.
        Err(error) if error.raw_os_error() == Some(Errno::PROTONOSUPPORT.raw_os_error()) => {
            return Ok(());
        }
        kernel => kernel?,
    };
    for family in [Family::Ip, Family::Device] {
        table(fault, family).delete(&kernel)?;
    }
    Ok(())
}

/// Tables of any fault that are there.
pub(super) fn remains() -> Result<Vec<String>, io::Error> {
    let kernel = Netlink::netfilter()?;
    let mut found = Vec::new();
    for family in [Family::Ip, Family::Device] {
        let names = tables(&kernel, family, PREFIX)?;
        found.extend(names.into_iter().map(|name| format!("table {name}")));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEERS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(10, 0, 0, 3)];

    #[test]
    fn only_peers_are_matched_and_every_rule_counts_before_it_acts() {
        let all = [
            Rules::Lose(ALL),
            Rules::Lose(200_000),
            Rules::Damage(200_000),
            Rules::Refuse,
            Rules::Queue(Expression::Queue(7)),
        ];
        for rules in all {
            for direction in [Direction::In, Direction::Out, Direction::Both] {
                let chains = chains(&PEERS, direction, rules);
                let ways = if direction == Direction::Both { 2 } else { 1 };
                assert_eq!(chains.len(), ways);
                for rule in chains.iter().flat_map(|chain| &chain.rules) {
                    let about_a_peer = PEERS.iter().any(|peer| {
                        rule.contains(&Expression::From(*peer))
                            || rule.contains(&Expression::To(*peer))
                    });
                    let lets_pass = rule.last() == Some(&Expression::Accept);
                    assert!(about_a_peer != lets_pass, "{rule:?}");
                    let counts = rule[rule.len() - 2] == Expression::Count;
                    assert!(counts || lets_pass, "{rule:?}");
                }
            }
        }
    }

    #[test]
    fn what_goes_is_never_dropped() {
        for rules in [Rules::Lose(ALL), Rules::Lose(1), Rules::Damage(ALL)] {
            for chain in chains(&PEERS, Direction::Out, rules) {
                assert_eq!(chain.hook, Hook::Leaving);
                assert!(
                    chain
                        .rules
                        .iter()
                        .all(|rule| rule.last() == Some(&Expression::Spoil))
                );
            }
        }
    }

    #[test]
    fn refusals_get_through_the_rules_that_refuse() {
        for chain in chains(&PEERS, Direction::Both, Rules::Refuse) {
            assert_eq!(chain.rules[0], [Expression::IsReset, Expression::Accept]);
        }
    }

    #[test]
    fn a_share_has_a_counter_before_and_behind_the_draw() {
        let chains = chains(&PEERS, Direction::In, Rules::Lose(250_000));
        assert_eq!(
            chains[0].rules[1],
            [
                Expression::From(PEERS[1]),
                Expression::Count,
                Expression::Chance(250_000),
                Expression::Count,
                Expression::Drop,
            ]
        );
        assert_eq!(
            told(&(Hook::Input, vec![9, 2])),
            "2 of 9 packets in hit the rules"
        );
    }
}
