//! The packet filter: tables, chains and rules as messages, and how often rules were hit.
//!
//! A rule is a row of expressions, each of which may end it: matches first, then a counter, then what becomes of the
//! packet. Only what faults need is here.

use std::{io, net::Ipv4Addr};

use super::netlink::{Attributes, CREATE, Message, Netlink, attribute, attributes};

const SUBSYSTEM: u16 = 10 << 8;
const NEW_TABLE: u16 = SUBSYSTEM;
const GET_TABLE: u16 = SUBSYSTEM | 1;
const DELETE_TABLE: u16 = SUBSYSTEM | 2;
const NEW_CHAIN: u16 = SUBSYSTEM | 3;
const NEW_RULE: u16 = SUBSYSTEM | 6;
const GET_RULE: u16 = SUBSYSTEM | 7;
/// Rules go behind those that are there.
const APPEND: u16 = 0x800;
/// Bytes before the attributes.
const FIXED: usize = 4;

const TABLE_NAME: u16 = 1;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const ELEMENT: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const COUNTER_PACKETS: u16 = 2;
/// The register that all expressions here use.
const REGISTER: u32 = 1;
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
const LESS: u32 = 2;

/// What a table is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// Packets of IP version 4.
    Ip = 2,
    /// Whatever an interface gets.
    Device = 5,
}

impl Family {
    fn fixed(self) -> [u8; FIXED] {
        [self as u8, 0, 0, 0]
    }
}

/// Where packets are met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hook {
    /// Comes to this machine.
    Input,
    /// Goes from this machine.
    Output,
    /// Goes from this machine, after all else was decided.
    Leaving,
    /// Comes to this interface, before anything was looked at.
    Arriving,
}

impl Hook {
    /// Its name, which is also the name of the chain there.
    fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::Leaving => "leaving",
            Self::Arriving => "arriving",
        }
    }

    fn number(self) -> u32 {
        match self {
            Self::Arriving => 0,
            Self::Input => 1,
            Self::Output => 3,
            Self::Leaving => 4,
        }
    }

    /// Behind those of anybody else where packets leave: address translation looks at the whole header.
    fn priority(self) -> u32 {
        if self == Self::Leaving { 300 } else { 0 }
    }
}

/// A table of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) family: Family,
    pub(super) name: String,
}

impl Table {
    fn message(&self, kind: u16, flags: u16) -> Message {
        let named = |attributes: &mut Attributes<'_>| attributes.text(TABLE_NAME, &self.name);
        Message::new(kind, flags, &self.family.fixed()).with(named)
    }

    /// Makes the table.
    pub(super) fn create(&self) -> Message {
        self.message(NEW_TABLE, CREATE)
    }

    /// Makes the chain of a hook, on an interface where the hook is an interface's.
    pub(super) fn chain(&self, hook: Hook, interface: Option<&str>) -> Message {
        const NAME: u16 = 3;
        const HOOK: u16 = 4;
        const TYPE: u16 = 7;
        const HOOK_NUMBER: u16 = 1;
        const HOOK_PRIORITY: u16 = 2;
        const HOOK_DEVICE: u16 = 3;
        self.message(NEW_CHAIN, CREATE).with(|attributes| {
            attributes.text(NAME, hook.name());
            attributes.nested(HOOK, |inside| {
                inside.big(HOOK_NUMBER, hook.number());
                inside.big(HOOK_PRIORITY, hook.priority());
                if let Some(interface) = interface {
                    inside.text(HOOK_DEVICE, interface);
                }
            });
            attributes.text(TYPE, "filter");
        })
    }

    /// Adds a rule to the chain of a hook.
    pub(super) fn rule(&self, hook: Hook, expressions: &[Expression]) -> Message {
        self.message(NEW_RULE, CREATE | APPEND).with(|attributes| {
            attributes.text(RULE_CHAIN, hook.name());
            attributes.nested(RULE_EXPRESSIONS, |list| {
                for expression in expressions {
                    expression.write(list);
                }
            });
        })
    }

    /// Removes the table with all that is in it; answers whether it was there.
    pub(super) fn delete(&self, kernel: &Netlink) -> Result<bool, io::Error> {
        match kernel.transact(vec![self.message(DELETE_TABLE, 0)]) {
            Ok(()) => Ok(true),
            // It is not there, or the kernel has no such family.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::Unsupported
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// How often each counter of the chain of a hook was hit, rule by rule, added up over all rules that have as many.
    pub(super) fn hits(&self, kernel: &Netlink, hook: Hook) -> Result<Vec<u64>, io::Error> {
        let rules = kernel.dump(self.message(GET_RULE, 0))?;
        let mut sums: Vec<u64> = Vec::new();
        for rule in &rules {
            let said = rule.get(FIXED..).unwrap_or_default();
            // Kernels before 5.19 ignore the table's name in the question.
            let here = is(said, RULE_TABLE, &self.name) && is(said, RULE_CHAIN, hook.name());
            if !here {
                continue;
            }
            for (place, packets) in counters(said).into_iter().enumerate() {
                match sums.get_mut(place) {
                    Some(sum) => *sum += packets,
                    None => sums.push(packets),
                }
            }
        }
        Ok(sums)
    }
}

/// Whether an attribute is this text.
fn is(bytes: &[u8], kind: u16, text: &str) -> bool {
    attribute(bytes, kind).is_some_and(|value| value.strip_suffix(&[0]) == Some(text.as_bytes()))
}

/// The counters of a rule, in their order.
fn counters(rule: &[u8]) -> Vec<u64> {
    let expressions = attribute(rule, RULE_EXPRESSIONS).unwrap_or_default();
    attributes(expressions)
        .filter(|(_, expression)| is(expression, EXPRESSION_NAME, "counter"))
        .filter_map(|(_, expression)| {
            let data = attribute(expression, EXPRESSION_DATA)?;
            let packets = attribute(data, COUNTER_PACKETS)?;
            Some(u64::from_be_bytes(packets.try_into().ok()?))
        })
        .collect()
}

/// Names of all tables of a family that begin like this.
pub(super) fn tables(
    kernel: &Netlink,
    family: Family,
    prefix: &str,
) -> Result<Vec<String>, io::Error> {
    let all = kernel.dump(Message::new(GET_TABLE, 0, &family.fixed()))?;
    let name = |table: &Vec<u8>| {
        let name = attribute(table.get(FIXED..)?, TABLE_NAME)?;
        let name = String::from_utf8_lossy(name.strip_suffix(&[0])?).into_owned();
        name.starts_with(prefix).then_some(name)
    };
    Ok(all.iter().filter_map(name).collect())
}

/// A part of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expression {
    /// Goes on with packets of IP version 4 (for the family of devices).
    IsIp,
    /// Goes on with packets from this address.
    From(Ipv4Addr),
    /// Goes on with packets to this address.
    To(Ipv4Addr),
    /// Goes on with TCP segments that reset a connection.
    IsReset,
    /// Goes on with so many of a million packets, drawn.
    Chance(u32),
    /// Counts what comes here.
    Count,
    /// The packet is allowed to go on; other tables may think otherwise.
    Accept,
    /// The packet is gone. On its way out the sender is told, which no real loss does.
    Drop,
    /// The packet is gone; a TCP segment is answered with a reset.
    Reset,
    /// The version of the IP header is overwritten, and with it the header's checksum is wrong: the next one who looks
    /// at it throws the packet away, and nobody is told.
    Spoil,
    /// The packet goes to the program that listens to this queue, or on its way if there is none.
    Queue(u16),
    /// The same through the old interface, for kernels that have no other.
    QueueByOld(u16),
}

impl Expression {
    /// As the kernel's expressions, of which each is an element of the list.
    fn write(self, into: &mut Attributes<'_>) {
        const PROTOCOL: u32 = 1;
        const TRANSPORT: u32 = 16;
        const NETWORK_HEADER: u32 = 1;
        const TRANSPORT_HEADER: u32 = 2;
        const TCP: u8 = 6;
        const RESET: u8 = 4;
        match self {
            Self::IsIp => {
                meta(into, PROTOCOL);
                compare(into, EQUAL, &0x0800_u16.to_be_bytes());
            }
            Self::From(address) => matches_address(into, 12, address),
            Self::To(address) => matches_address(into, 16, address),
            Self::IsReset => {
                meta(into, TRANSPORT);
                compare(into, EQUAL, &[TCP]);
                load(into, TRANSPORT_HEADER, 13, 1);
                mask(into, RESET);
                compare(into, NOT_EQUAL, &[0]);
            }
            Self::Chance(per_million) => {
                random(into, 1_000_000);
                to_network_order(into);
                compare(into, LESS, &per_million.to_be_bytes());
            }
            Self::Count => expression(into, "counter", |_| {}),
            Self::Accept => verdict(into, 1),
            Self::Drop => verdict(into, 0),
            Self::Reset => expression(into, "reject", |data| {
                const TYPE: u16 = 1;
                const TCP_RESET: u32 = 1;
                data.big(TYPE, TCP_RESET);
            }),
            Self::Spoil => {
                // Version 0, and a header as long as nearly all are.
                set_register(into, REGISTER, |data| data.bytes(DATA_VALUE, &[0x05]));
                store(into, NETWORK_HEADER, 0, 1);
            }
            Self::Queue(number) => expression(into, "queue", |data| {
                const NUMBER: u16 = 1;
                const FLAGS: u16 = 3;
                const BYPASS: u16 = 1;
                data.bytes(NUMBER, &number.to_be_bytes());
                data.bytes(FLAGS, &BYPASS.to_be_bytes());
            }),
            Self::QueueByOld(number) => expression(into, "target", |data| {
                const NAME: u16 = 1;
                const REVISION: u16 = 2;
                const INFO: u16 = 3;
                const BYPASS: u16 = 1;
                data.text(NAME, "NFQUEUE");
                data.big(REVISION, 3);
                // Number, how many, flags, and padding to eight bytes.
                let info = [number, 1, BYPASS, 0].map(u16::to_ne_bytes);
                data.bytes(INFO, &info.concat());
            }),
        }
    }
}

fn expression(list: &mut Attributes<'_>, name: &str, data: impl FnOnce(&mut Attributes<'_>)) {
    list.nested(ELEMENT, |element| {
        element.text(EXPRESSION_NAME, name);
        element.nested(EXPRESSION_DATA, data);
    });
}

/// What the kernel knows about the packet goes into the register.
fn meta(list: &mut Attributes<'_>, key: u32) {
    expression(list, "meta", |data| {
        const TO: u16 = 1;
        const KEY: u16 = 2;
        data.big(KEY, key);
        data.big(TO, REGISTER);
    });
}

/// Bytes of a header go into the register.
fn load(list: &mut Attributes<'_>, header: u32, offset: u32, length: u32) {
    expression(list, "payload", |data| {
        const TO: u16 = 1;
        data.big(TO, REGISTER);
        place(data, header, offset, length);
    });
}

/// The register goes into a header, whose checksum stays as it was.
fn store(list: &mut Attributes<'_>, header: u32, offset: u32, length: u32) {
    expression(list, "payload", |data| {
        const FROM: u16 = 5;
        data.big(FROM, REGISTER);
        place(data, header, offset, length);
    });
}

fn place(data: &mut Attributes<'_>, header: u32, offset: u32, length: u32) {
    const HEADER: u16 = 2;
    const OFFSET: u16 = 3;
    const LENGTH: u16 = 4;
    data.big(HEADER, header);
    data.big(OFFSET, offset);
    data.big(LENGTH, length);
}

/// The rule goes on where the register compares like this.
fn compare(list: &mut Attributes<'_>, operator: u32, value: &[u8]) {
    expression(list, "cmp", |data| {
        const FROM: u16 = 1;
        const OPERATOR: u16 = 2;
        const DATA: u16 = 3;
        data.big(FROM, REGISTER);
        data.big(OPERATOR, operator);
        data.nested(DATA, |inside| inside.bytes(DATA_VALUE, value));
    });
}

fn matches_address(list: &mut Attributes<'_>, offset: u32, address: Ipv4Addr) {
    const NETWORK_HEADER: u32 = 1;
    load(list, NETWORK_HEADER, offset, 4);
    compare(list, EQUAL, &address.octets());
}

/// Of one byte in the register only these bits are left.
fn mask(list: &mut Attributes<'_>, bits: u8) {
    expression(list, "bitwise", |data| {
        const FROM: u16 = 1;
        const TO: u16 = 2;
        const LENGTH: u16 = 3;
        const MASK: u16 = 4;
        const FLIP: u16 = 5;
        data.big(FROM, REGISTER);
        data.big(TO, REGISTER);
        data.big(LENGTH, 1);
        data.nested(MASK, |inside| inside.bytes(DATA_VALUE, &[bits]));
        data.nested(FLIP, |inside| inside.bytes(DATA_VALUE, &[0]));
    });
}

/// A number below `modulus` goes into the register, as this machine writes numbers.
fn random(list: &mut Attributes<'_>, modulus: u32) {
    expression(list, "numgen", |data| {
        const TO: u16 = 1;
        const MODULUS: u16 = 2;
        const TYPE: u16 = 3;
        const RANDOM: u32 = 1;
        data.big(TO, REGISTER);
        data.big(MODULUS, modulus);
        data.big(TYPE, RANDOM);
    });
}

/// The number in the register as networks write it: only so do comparisons mean less and more.
fn to_network_order(list: &mut Attributes<'_>) {
    expression(list, "byteorder", |data| {
        const FROM: u16 = 1;
        const TO: u16 = 2;
        const OPERATION: u16 = 3;
        const LENGTH: u16 = 4;
        const SIZE: u16 = 5;
        const HOST_TO_NETWORK: u32 = 1;
        data.big(FROM, REGISTER);
        data.big(TO, REGISTER);
        data.big(OPERATION, HOST_TO_NETWORK);
        data.big(LENGTH, 4);
        data.big(SIZE, 4);
    });
}

fn verdict(list: &mut Attributes<'_>, code: u32) {
    const VERDICT_REGISTER: u32 = 0;
    const DATA_VERDICT: u16 = 2;
    const CODE: u16 = 1;
    set_register(list, VERDICT_REGISTER, |data| {
        data.nested(DATA_VERDICT, |inside| inside.big(CODE, code));
    });
}

fn set_register(list: &mut Attributes<'_>, register: u32, value: impl FnOnce(&mut Attributes<'_>)) {
    expression(list, "immediate", |data| {
        const TO: u16 = 1;
        const DATA: u16 = 2;
        data.big(TO, register);
        data.nested(DATA, value);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_in_their_order_whatever_else_a_rule_has() {
        let count = |list: &mut Attributes<'_>, packets: u64| {
            expression(list, "counter", |data| {
                data.bytes(1, &7_u64.to_be_bytes());
                data.bytes(COUNTER_PACKETS, &packets.to_be_bytes());
            });
        };
        let mut rule = Vec::new();
        let message = Message::new(NEW_RULE, 0, &[]).with(|attributes| {
            attributes.text(RULE_TABLE, "canarynet-f1");
            attributes.nested(RULE_EXPRESSIONS, |list| {
                matches_address(list, 12, Ipv4Addr::LOCALHOST);
                count(list, 5);
                random(list, 100);
                count(list, 2);
                verdict(list, 0);
            });
        });
        rule.extend(message.body());
        assert_eq!(counters(&rule), [5, 2]);
        assert!(is(&rule, RULE_TABLE, "canarynet-f1"));
        assert!(!is(&rule, RULE_TABLE, "canarynet-f"));
        assert_eq!(counters(&rule[..rule.len() / 2]), [] as [u64; 0]);
    }
}
