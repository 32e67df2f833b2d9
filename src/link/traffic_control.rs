//! Queues: packets that wait, by rate or by time, in the kernel.
//!
//! ```text
//!  out   data interface -- root: HTB -- filter: to a peer ------> class with a rate (-- netem: time)
//!                                    \- all else ---------------> out at once
//!  in    data interface -- ingress --- filter: from a peer --> IFB (an interface of ours) -- root: HTB --> class
//! ```
//! A queue has no room for the name of its fault: its handle and the name of the IFB are made from it, so that nobody
//! else's queue is ever removed.

use std::{
    io,
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use rustix::net::{AddressFamily, SocketType, netdevice::name_to_index, socket};
use sha2::{Digest as _, Sha256};

use super::{
    End,
    netlink::{Attributes, CREATE, EXCLUSIVE, Message, Netlink, attribute, interface_of, native},
};
use crate::fault::operation::Outcome;

/// A queue in which nothing had to wait after this time has no effect.
const PATIENCE: Duration = Duration::from_secs(4);
/// Pause between looks.
const LOOK: Duration = Duration::from_millis(25);
/// Packets that wait in a queue before more are lost.
const ROOM: u32 = 1000;

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const NEW_QUEUE: u16 = 36;
const DELETE_QUEUE: u16 = 37;
const GET_QUEUE: u16 = 38;
const NEW_CLASS: u16 = 40;
const GET_CLASS: u16 = 42;
const NEW_FILTER: u16 = 44;

const KIND: u16 = 1;
const OPTIONS: u16 = 2;
const STATISTICS: u16 = 7;
/// Bytes before the attributes of messages about queues.
const FIXED: usize = 20;
/// The place of the queue that an interface has but one of.
const ROOT: u32 = u32::MAX;
/// The place where arriving packets can be taken aside.
const INGRESS: u32 = 0xffff_fff1;
const INGRESS_HANDLE: u32 = 0xffff_0000;
/// Where an IP header has its addresses.
const SOURCE: u32 = 12;
const DESTINATION: u32 = 16;
/// The kernel's unit of time in queues.
const TICK_NANOSECONDS: u128 = 64;

/// How packets of the class wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// By a rate in bytes a second.
    Rate(u64),
    /// By time, and up to so much more or less.
    Time(Duration, Duration),
}

/// What a fault calls its own.
struct Own {
    /// Handle of its root queue.
    handle: u32,
    /// Name of its interface.
    interface: String,
}

impl Own {
    fn of(fault: &str) -> Self {
        let hash = Sha256::digest(fault.as_bytes());
        // The kernel itself hands out handles from 0x8000.
        let number = u32::from(u16::from_be_bytes([hash[0], hash[1]])) % 0x7ffe + 1;
        Self {
            handle: number << 16,
            interface: format!("{INTERFACE}{}", hex::encode(&hash[..4])),
        }
    }

    fn class(&self) -> u32 {
        self.handle | 1
    }
}

/// What names of our interfaces begin with.
const INTERFACE: &str = "canary-";

/// Queues of a fault, in the kernel.
#[derive(Debug)]
pub(super) struct Queues {
    kernel: Netlink,
    /// For each way its name for people, the interface, and the class there.
    ways: Vec<(&'static str, u32, u32)>,
}

impl Queues {
    /// Makes them. What the fault had made before must be gone.
    ///
    /// # Errors
    /// What the kernel said; what was made until then is left to [`remove`].
    pub(super) fn make(end: &End<'_>, wait: Wait) -> Result<Self, io::Error> {
        let kernel = Netlink::route()?;
        let what = end.what;
        let own = Own::of(&what.fault);
        let mut ways = Vec::new();
        if what.direction.goes() {
            // Class 0 does not exist: what no filter sends to ours does not wait.
            root(&kernel, end.interface, &own, 0, wait)?;
            for peer in &what.peers {
                let filter = queue(NEW_FILTER, CREATE | EXCLUSIVE, end.interface, 0, own.handle);
                kernel.ask(about(filter, DESTINATION, *peer, |options| {
                    const CLASS: u16 = 1;
                    options.native(CLASS, own.class());
                }))?;
            }
            ways.push(("out", end.interface, own.class()));
        }
        if what.direction.comes() {
            let aside = make_interface(&kernel, &own.interface)?;
            root(&kernel, aside, &own, 1, wait)?;
            let ingress = queue(
                NEW_QUEUE,
                CREATE | EXCLUSIVE,
                end.interface,
                INGRESS_HANDLE,
                INGRESS,
            );
            kernel.ask(ingress.with(|attributes| attributes.text(KIND, "ingress")))?;
            for peer in &what.peers {
                let filter = queue(
                    NEW_FILTER,
                    CREATE | EXCLUSIVE,
                    end.interface,
                    0,
                    INGRESS_HANDLE,
                );
                kernel.ask(about(filter, SOURCE, *peer, |options| {
                    redirect(options, aside);
                }))?;
            }
            ways.push(("in", aside, own.class()));
        }
        Ok(Self { kernel, ways })
    }

    /// Waits until packets had to wait.
    pub(super) fn proof(&self) -> Result<Outcome, io::Error> {
        let begun = Instant::now();
        loop {
            let mut waited = false;
            let mut proof = Vec::new();
            for (way, interface, class) in &self.ways {
                let seen = statistics(&self.kernel, *interface, *class)?;
                waited |= seen.waited > 0;
                proof.push(format!(
                    "{} packets {way}, the rate was used up {} times, {} were lost",
                    seen.packets, seen.waited, seen.lost
                ));
            }
            if waited || begun.elapsed() >= PATIENCE {
                return Ok(Outcome {
                    effective: waited,
                    proof: proof.join("; "),
                });
            }
            thread::sleep(LOOK);
        }
    }
}

/// A message about a queue, a class or a filter.
fn queue(kind: u16, flags: u16, interface: u32, handle: u32, parent: u32) -> Message {
    let mut fixed = [0; FIXED];
    fixed[4..8].copy_from_slice(&interface.to_ne_bytes());
    fixed[8..12].copy_from_slice(&handle.to_ne_bytes());
    fixed[12..16].copy_from_slice(&parent.to_ne_bytes());
    if kind == NEW_FILTER {
        // Priority 1, for IP version 4.
        let info = 1 << 16 | u32::from(0x0800_u16.to_be());
        fixed[16..20].copy_from_slice(&info.to_ne_bytes());
    }
    Message::new(kind, flags, &fixed)
}

/// The root queue of an interface with its one class; `default` is the class of what no filter has sent anywhere.
fn root(
    kernel: &Netlink,
    interface: u32,
    own: &Own,
    default: u32,
    wait: Wait,
) -> Result<(), io::Error> {
    const INIT: u16 = 2;
    const PARAMETERS: u16 = 1;
    const RATE64: u16 = 6;
    const CEILING64: u16 = 7;
    /// Ten gigabits: no limit.
    const ANY: u64 = 1_250_000_000;
    let rate = match wait {
        Wait::Rate(rate) => rate.max(1),
        Wait::Time(..) => ANY,
    };
    let create = CREATE | EXCLUSIVE;
    let htb = queue(NEW_QUEUE, create, interface, own.handle, ROOT);
    kernel.ask(htb.with(|attributes| {
        attributes.text(KIND, "htb");
        attributes.nested(OPTIONS, |options| {
            // Version, rate to quantum, default class, debug, packets past all classes.
            let globals = [3, 10, default, 0, 0].map(u32::to_ne_bytes);
            options.bytes(INIT, &globals.concat());
        });
    }))?;
    let class = queue(NEW_CLASS, create, interface, own.class(), own.handle);
    kernel.ask(class.with(|attributes| {
        attributes.text(KIND, "htb");
        attributes.nested(OPTIONS, |options| {
            options.bytes(PARAMETERS, &class_parameters(rate));
            options.bytes(RATE64, &rate.to_ne_bytes());
            options.bytes(CEILING64, &rate.to_ne_bytes());
        });
    }))?;
    let leaf = queue(NEW_QUEUE, create, interface, 0, own.class());
    kernel.ask(leaf.with(|attributes| match wait {
        Wait::Rate(_) => {
            attributes.text(KIND, "pfifo");
            attributes.native(OPTIONS, ROOM);
        }
        Wait::Time(delay, jitter) => {
            attributes.text(KIND, "netem");
            // Delay, room, loss, gap, duplication, jitter.
            let options = [ticks(delay), ROOM, 0, 0, 0, ticks(jitter)].map(u32::to_ne_bytes);
            attributes.bytes(OPTIONS, &options.concat());
        }
    }))
}

/// Rate, ceiling, burst and quantum of a class of HTB.
fn class_parameters(rate: u64) -> Vec<u8> {
    /// What passes at once after a pause: one full packet.
    const BURST: u64 = 1_600;
    const QUANTUM: u32 = 1_514;
    /// Ethernet, as the kernel numbers what it makes no corrections for.
    const LINK_LAYER: u8 = 1;
    let mut rate_parameters = [0; 12];
    rate_parameters[1] = LINK_LAYER;
    let low = u32::try_from(rate).unwrap_or(u32::MAX);
    rate_parameters[8..].copy_from_slice(&low.to_ne_bytes());
    let burst = ticks(Duration::from_nanos(
        (BURST * 1_000_000_000 / rate).max(1_000_000),
    ));
    // Burst, burst at the ceiling, quantum, level, priority.
    let numbers = [burst, burst, QUANTUM, 0, 0].map(u32::to_ne_bytes);
    [&rate_parameters[..], &rate_parameters, &numbers.concat()].concat()
}

fn ticks(time: Duration) -> u32 {
    u32::try_from(time.as_nanos() / TICK_NANOSECONDS).unwrap_or(u32::MAX)
}

/// A filter of packets with this address at this place of the IP header.
fn about(
    filter: Message,
    offset: u32,
    peer: Ipv4Addr,
    then: impl FnOnce(&mut Attributes<'_>),
) -> Message {
    const SELECTOR: u16 = 5;
    const TERMINAL: u8 = 1;
    let mut selector = vec![0; 16];
    selector[0] = TERMINAL;
    // One key.
    selector[2] = 1;
    selector.extend([0xff; 4]);
    selector.extend(peer.octets());
    selector.extend(offset.to_ne_bytes());
    selector.extend([0; 4]);
    filter.with(|attributes| {
        attributes.text(KIND, "u32");
        attributes.nested(OPTIONS, |options| {
            options.bytes(SELECTOR, &selector);
            then(options);
        });
    })
}

/// The packet goes out of another interface, which hands it back to this one when it has waited.
fn redirect(options: &mut Attributes<'_>, interface: u32) {
    const ACTIONS: u16 = 7;
    const FIRST: u16 = 1;
    const ACTION_KIND: u16 = 1;
    const ACTION_OPTIONS: u16 = 2;
    const PARAMETERS: u16 = 2;
    const STOLEN: u32 = 4;
    const REDIRECT_OUT: u32 = 1;
    options.nested(ACTIONS, |actions| {
        actions.nested(FIRST, |action| {
            action.text(ACTION_KIND, "mirred");
            action.nested(ACTION_OPTIONS, |options| {
                // Index, capabilities, action, references, bindings, what, where.
                let parameters =
                    [0, 0, STOLEN, 0, 0, REDIRECT_OUT, interface].map(u32::to_ne_bytes);
                options.bytes(PARAMETERS, &parameters.concat());
            });
        });
    });
}

/// A message about an interface.
fn link(kind: u16, flags: u16, index: u32, up: bool) -> Message {
    let mut fixed = [0; 16];
    fixed[4..8].copy_from_slice(&index.to_ne_bytes());
    let up = u32::from(up);
    fixed[8..12].copy_from_slice(&up.to_ne_bytes());
    fixed[12..16].copy_from_slice(&up.to_ne_bytes());
    Message::new(kind, flags, &fixed)
}

/// Makes an interface that hands back what is sent to it; answers its index.
fn make_interface(kernel: &Netlink, name: &str) -> Result<u32, io::Error> {
    const NAME: u16 = 3;
    const QUEUE_LENGTH: u16 = 13;
    const INFORMATION: u16 = 18;
    const INFORMATION_KIND: u16 = 1;
    kernel.ask(
        link(NEW_LINK, CREATE | EXCLUSIVE, 0, true).with(|attributes| {
            attributes.text(NAME, name);
            attributes.native(QUEUE_LENGTH, ROOM);
            attributes.nested(INFORMATION, |inside| inside.text(INFORMATION_KIND, "ifb"));
        }),
    )?;
    index_of(name)?.ok_or_else(|| io::Error::other("the interface made just now is not there"))
}

/// The index of an interface of this name.
fn index_of(name: &str) -> Result<Option<u32>, io::Error> {
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    match name_to_index(any, name) {
        Ok(index) => Ok(Some(index)),
        Err(rustix::io::Errno::NODEV) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What a class has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Seen {
    packets: u32,
    /// How often the class had used up its rate, and what came next had to wait.
    waited: u32,
    lost: u32,
}

fn statistics(kernel: &Netlink, interface: u32, class: u32) -> Result<Seen, io::Error> {
    let classes = kernel.dump(queue(GET_CLASS, 0, interface, 0, 0))?;
    let here = classes
        .iter()
        .find(|body| native(body, 4) == Some(interface) && native(body, 8) == Some(class));
    Ok(here.and_then(|body| seen(body)).unwrap_or_default())
}

fn seen(class: &[u8]) -> Option<Seen> {
    const BASIC: u16 = 1;
    const QUEUE: u16 = 3;
    let statistics = attribute(class.get(FIXED..)?, STATISTICS)?;
    // Bytes (8), packets; length, backlog, drops, requeues, overlimits.
    let basic = attribute(statistics, BASIC)?;
    let queue = attribute(statistics, QUEUE)?;
    Some(Seen {
        packets: native(basic, 8)?,
        waited: native(queue, 16)?,
        lost: native(queue, 8)?,
    })
}

/// Handle and parent of each queue, with its interface.
fn queues(kernel: &Netlink) -> Result<Vec<(u32, u32, u32)>, io::Error> {
    let all = kernel.dump(queue(GET_QUEUE, 0, 0, 0, 0))?;
    let told = |body: &Vec<u8>| Some((native(body, 4)?, native(body, 8)?, native(body, 12)?));
    Ok(all.iter().filter_map(told).collect())
}

/// Removes the queues of a fault, whatever there are of them.
pub(super) fn remove(fault: &str, address: Ipv4Addr) -> Result<(), io::Error> {
    let kernel = Netlink::route()?;
    let own = Own::of(fault);
    let there = queues(&kernel)?;
    let delete = |interface, handle, parent| {
        if there.contains(&(interface, handle, parent)) {
            kernel.ask(queue(DELETE_QUEUE, 0, interface, handle, parent))?;
        }
        Ok::<_, io::Error>(())
    };
    let interface = interface_of(address)?;
    if let Some(interface) = interface {
        delete(interface, own.handle, ROOT)?;
    }
    if let Some(aside) = index_of(&own.interface)? {
        if let Some(interface) = interface {
            delete(interface, INGRESS_HANDLE, INGRESS)?;
        }
        kernel.ask(link(DELETE_LINK, 0, aside, false))?;
    }
    Ok(())
}

/// Queues with a handle, and interfaces of ours, that are there: whatever was not there from the start.
pub(super) fn remains() -> Result<Vec<String>, io::Error> {
    const NAME: u16 = 3;
    const FIXED: usize = 16;
    let kernel = Netlink::route()?;
    let mut found: Vec<String> = queues(&kernel)?
        .into_iter()
        .filter(|(_, handle, _)| *handle != 0)
        .map(|(interface, handle, _)| format!("queue {handle:x} on interface {interface}"))
        .collect();
    for body in kernel.dump(link(GET_LINK, 0, 0, false))? {
        let name = body.get(FIXED..).and_then(|bytes| attribute(bytes, NAME));
        let name = String::from_utf8_lossy(name.unwrap_or_default());
        if name.starts_with(INTERFACE) {
            found.push(format!("interface {}", name.trim_end_matches('\0')));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_fault_calls_its_own_follows_from_its_name_and_is_nobody_elses() {
        let (one, other) = (Own::of("f1-bandwidth"), Own::of("f2-bandwidth"));
        assert_eq!(one.handle, Own::of("f1-bandwidth").handle);
        assert_ne!(one.handle, other.handle);
        assert_ne!(one.interface, other.interface);
        for number in 0..1000 {
            let own = Own::of(&format!("f{number}-delay"));
            assert!(
                own.interface.len() <= 15,
                "the kernel takes names of 15 bytes"
            );
            let major = own.handle >> 16;
            assert!((1..0x8000).contains(&major) && own.handle & 0xffff == 0);
        }
    }

    #[test]
    fn parameters_have_the_kernels_layout() {
        let parameters = class_parameters(100_000);
        assert_eq!(parameters.len(), 44);
        assert_eq!(native(&parameters, 8), Some(100_000));
        assert_eq!(native(&parameters, 20), Some(100_000));
        // 1,600 bytes take 16 ms.
        assert_eq!(native(&parameters, 24), Some(16_000_000 / 64));
        assert_eq!(native(&class_parameters(1 << 40), 8), Some(u32::MAX));
    }

    #[test]
    fn what_a_class_has_seen_is_read_or_nothing_is() {
        let class = Message::new(NEW_CLASS, 0, &[0; FIXED]).with(|attributes| {
            attributes.nested(STATISTICS, |statistics| {
                let basic: Vec<u8> = [900_u32, 0, 7].map(u32::to_ne_bytes).concat();
                statistics.bytes(1, &basic);
                let queue: Vec<u8> = [0_u32, 0, 3, 0, 5].map(u32::to_ne_bytes).concat();
                statistics.bytes(3, &queue);
            });
        });
        let expected = Seen {
            packets: 7,
            waited: 5,
            lost: 3,
        };
        assert_eq!(seen(class.body()), Some(expected));
        for length in 0..class.body().len() {
            let _ = seen(&class.body()[..length]);
        }
    }
}
