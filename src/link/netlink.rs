//! Netlink, the kernel's interface to networks: messages and attributes, acknowledgements, dumps.
//!
//! Written here because no crate that we may use knows what faults need of the packet filter (counters, chance, rejects,
//! queues of packets) without a C library or another program; queues on interfaces need the same few lines.

use std::{cell::Cell, io, net::Ipv4Addr, time::Duration};

use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketType, netlink, recv, sendto, socket,
        sockopt::{
            Timeout, set_socket_recv_buffer_size, set_socket_recv_buffer_size_force,
            set_socket_send_buffer_size, set_socket_send_buffer_size_force, set_socket_timeout,
        },
    },
};

/// The kernel answers at once, or never.
const DEADLINE: Duration = Duration::from_secs(5);
/// A table for the largest network there can be is a fifth of this.
const BUFFER: usize = 4 << 20;
/// The kernel's largest datagram of a dump is half of this.
const DATAGRAM: usize = 64 << 10;

const HEADER: usize = 16;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;
const DUMP: u16 = 0x300;
/// Flag of a message: make what is not there.
pub(super) const CREATE: u16 = 0x400;
/// Flag of a message: fail if it is there.
pub(super) const EXCLUSIVE: u16 = 0x200;
/// Flag of an attribute: it is made of attributes.
const NESTED: u16 = 0x8000;

/// One message to the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    kind: u16,
    flags: u16,
    body: Vec<u8>,
}

impl Message {
    /// `fixed` is what stands before the attributes.
    pub(super) fn new(kind: u16, flags: u16, fixed: &[u8]) -> Self {
        Self {
            kind,
            flags,
            body: fixed.to_vec(),
        }
    }

    /// Adds attributes.
    pub(super) fn with(mut self, add: impl FnOnce(&mut Attributes<'_>)) -> Self {
        add(&mut Attributes(&mut self.body));
        self
    }

    /// What stands behind the header.
    #[cfg(test)]
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    fn write(&self, into: &mut Vec<u8>, flags: u16, sequence: u32) {
        let length = u32::try_from(HEADER + self.body.len()).unwrap_or(u32::MAX);
        into.extend(length.to_ne_bytes());
        into.extend(self.kind.to_ne_bytes());
        into.extend((self.flags | REQUEST | flags).to_ne_bytes());
        into.extend(sequence.to_ne_bytes());
        into.extend(0_u32.to_ne_bytes());
        into.extend(&self.body);
        into.resize(into.len().next_multiple_of(4), 0);
    }
}

/// Where attributes are added.
pub(super) struct Attributes<'a>(&'a mut Vec<u8>);

impl Attributes<'_> {
    pub(super) fn bytes(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    /// A text with the zero at its end that the kernel wants.
    pub(super) fn text(&mut self, kind: u16, text: &str) {
        self.bytes(kind, &[text.as_bytes(), &[0]].concat());
    }

    /// A number as the packet filter wants it.
    pub(super) fn big(&mut self, kind: u16, number: u32) {
        self.bytes(kind, &number.to_be_bytes());
    }

    /// A number as queues want it.
    pub(super) fn native(&mut self, kind: u16, number: u32) {
        self.bytes(kind, &number.to_ne_bytes());
    }

    pub(super) fn nested(&mut self, kind: u16, add: impl FnOnce(&mut Attributes<'_>)) {
        let at = self.0.len();
        self.bytes(kind | NESTED, &[]);
        add(&mut Attributes(self.0));
        let length = u16::try_from(self.0.len() - at).unwrap_or(u16::MAX);
        self.0[at..at + 2].copy_from_slice(&length.to_ne_bytes());
    }
}

/// The attributes in what the kernel says; ends where it makes no sense any more.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(half(bytes, 0)?);
        let kind = half(bytes, 2)? & !NESTED;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The attribute of this kind.
pub(super) fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes)
        .find(|(found, _)| *found == kind)
        .map(|(_, value)| value)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?;
    Some(u16::from_ne_bytes([bytes[0], bytes[1]]))
}

/// The four bytes at this place.
pub(super) fn four(bytes: &[u8], at: usize) -> Option<[u8; 4]> {
    bytes.get(at..at + 4)?.try_into().ok()
}

/// The number at this place, as queues write it.
pub(super) fn native(bytes: &[u8], at: usize) -> Option<u32> {
    four(bytes, at).map(u32::from_ne_bytes)
}

/// A message from the kernel.
struct Heard<'a> {
    kind: u16,
    sequence: u32,
    body: &'a [u8],
}

/// The messages in a datagram from the kernel.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Heard<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(native(bytes, 0)?).ok()?;
        let heard = Heard {
            kind: half(bytes, 4)?,
            sequence: native(bytes, 8)?,
            body: bytes.get(HEADER..length)?,
        };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(heard)
    })
}

/// A connection to one part of the kernel.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: OwnedFd,
    sequence: Cell<u32>,
}

impl Netlink {
    /// To interfaces, addresses and queues.
    pub(super) fn route() -> Result<Self, io::Error> {
        // This part has the number 0, which the interface leaves out.
        Self::open(None)
    }

    /// To packet filters.
    pub(super) fn netfilter() -> Result<Self, io::Error> {
        Self::open(Some(netlink::NETFILTER))
    }

    fn open(protocol: Option<rustix::net::Protocol>) -> Result<Self, io::Error> {
        let socket = socket(AddressFamily::NETLINK, SocketType::RAW, protocol)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(DEADLINE))?;
        // Beyond what everybody may have, which only the machine's own administrator may take.
        set_socket_send_buffer_size_force(&socket, BUFFER)
            .or_else(|_| set_socket_send_buffer_size(&socket, BUFFER))?;
        set_socket_recv_buffer_size_force(&socket, BUFFER)
            .or_else(|_| set_socket_recv_buffer_size(&socket, BUFFER))?;
        Ok(Self {
            socket,
            sequence: Cell::new(0),
        })
    }

    /// Sends messages in one datagram, the one at `last` with a flag more; answers the numbers of the first and of that.
    fn send(&self, messages: &[Message], last: usize, flag: u16) -> Result<(u32, u32), io::Error> {
        let first = self.sequence.get() + 1;
        let mut bytes = Vec::new();
        let mut acknowledged = first;
        for (place, (message, sequence)) in messages.iter().zip(first..).enumerate() {
            let flags = if place == last { flag } else { 0 };
            if place == last {
                acknowledged = sequence;
            }
            message.write(&mut bytes, flags, sequence);
            self.sequence.set(sequence);
        }
        let kernel = netlink::SocketAddrNetlink::new(0, 0);
        sendto(&self.socket, &bytes, SendFlags::empty(), &kernel)?;
        Ok((first, acknowledged))
    }

    /// Sends messages as one datagram; the kernel must accept each. Only the one at `last` is acknowledged, so that
    /// the acknowledgements of a large batch cannot overflow the socket.
    fn order(&self, messages: &[Message], last: usize) -> Result<(), io::Error> {
        let (first, acknowledged) = self.send(messages, last, ACKNOWLEDGE)?;
        let mut buffer = vec![0; DATAGRAM];
        loop {
            let count = self.hear(&mut buffer)?;
            for heard in self::messages(&buffer[..count]) {
                if heard.kind != ERROR || heard.sequence < first {
                    continue;
                }
                outcome(heard.body)?;
                if heard.sequence == acknowledged {
                    return Ok(());
                }
            }
        }
    }

    /// Sends one message; the kernel must accept it.
    pub(super) fn ask(&self, message: Message) -> Result<(), io::Error> {
        self.order(&[message], 0)
    }

    /// Sends messages to the packet filter; it accepts all or does nothing.
    pub(super) fn transact(&self, messages: Vec<Message>) -> Result<(), io::Error> {
        const BEGIN: u16 = 0x10;
        const END: u16 = 0x11;
        const PACKET_FILTER: [u8; 4] = [0, 0, 0, 10];
        let last = messages.len();
        let mut batch = vec![Message::new(BEGIN, 0, &PACKET_FILTER)];
        batch.extend(messages);
        batch.push(Message::new(END, 0, &PACKET_FILTER));
        self.order(&batch, last)
    }

    /// All that the kernel has of a kind: the body of each message.
    pub(super) fn dump(&self, message: Message) -> Result<Vec<Vec<u8>>, io::Error> {
        let (sequence, _) = self.send(&[message], 0, DUMP)?;
        let mut bodies = Vec::new();
        let mut buffer = vec![0; DATAGRAM];
        loop {
            let count = self.hear(&mut buffer)?;
            for heard in self::messages(&buffer[..count]) {
                match heard.kind {
                    _ if heard.sequence != sequence => {}
                    // It says how the dump ended, where it says anything.
                    DONE if heard.body.is_empty() => return Ok(bodies),
                    DONE => return outcome(heard.body).map(|()| bodies),
                    ERROR => outcome(heard.body)?,
                    _ => bodies.push(heard.body.to_vec()),
                }
            }
        }
    }

    /// Sends a message that is neither acknowledged nor answered.
    pub(super) fn tell(&self, message: Message) -> Result<(), io::Error> {
        self.send(&[message], 0, 0).map(drop)
    }

    /// The bodies of what the kernel says by itself, if it says anything now.
    pub(super) fn listen(
        &self,
        buffer: &mut [u8],
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), io::Error> {
        match recv(&self.socket, &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((count, _)) => {
                for heard in messages(&buffer[..count]) {
                    each(heard.body);
                }
                Ok(())
            }
            // Nothing is there; or something was lost, and the next one is whole again.
            Err(Errno::AGAIN | Errno::NOBUFS | Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn hear(&self, buffer: &mut [u8]) -> Result<usize, io::Error> {
        match recv(&self.socket, buffer, RecvFlags::empty()) {
            Ok((count, _)) => Ok(count),
            Err(Errno::AGAIN) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the kernel did not answer",
            )),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The outcome in an acknowledgement: an errno, 0 for done.
fn outcome(body: &[u8]) -> Result<(), io::Error> {
    match four(body, 0).map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        None => Err(io::Error::other("the kernel's answer makes no sense")),
    }
}

/// The interface that has this address.
pub(super) fn interface_of(address: Ipv4Addr) -> Result<Option<u32>, io::Error> {
    const GET_ADDRESS: u16 = 22;
    const FIXED: usize = 8;
    const LOCAL: u16 = 2;
    const IP_VERSION_4: u8 = 2;
    let dump = Message::new(GET_ADDRESS, 0, &[IP_VERSION_4, 0, 0, 0, 0, 0, 0, 0]);
    let all = Netlink::route()?.dump(dump)?;
    let found = all.iter().find(|body| {
        let local = body.get(FIXED..).and_then(|bytes| attribute(bytes, LOCAL));
        local == Some(&address.octets())
    });
    Ok(found.and_then(|body| native(body, 4)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let message = Message::new(7, CREATE, &[1, 2, 3, 4]).with(|attributes| {
            attributes.text(1, "name");
            attributes.nested(2, |inside| {
                inside.big(1, 5);
                inside.native(2, 6);
            });
        });
        let mut bytes = Vec::new();
        message.write(&mut bytes, ACKNOWLEDGE, 9);
        message.write(&mut bytes, 0, 10);
        let heard: Vec<Heard<'_>> = messages(&bytes).collect();
        assert_eq!(heard.len(), 2);
        assert_eq!((heard[1].kind, heard[1].sequence), (7, 10));
        let read = &heard[0].body[4..];
        assert_eq!(attribute(read, 1), Some(&b"name\0"[..]));
        let inside = attribute(read, 2).unwrap();
        assert_eq!(attribute(inside, 1), Some(&5_u32.to_be_bytes()[..]));
        assert_eq!(native(attribute(inside, 2).unwrap(), 0), Some(6));
        assert_eq!(attribute(inside, 3), None);
    }

    proptest! {
        #[test]
        fn anything_can_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..96)) {
            for heard in messages(&bytes) {
                let _ = outcome(heard.body);
                prop_assert!(attributes(heard.body).count() <= bytes.len());
            }
            prop_assert!(attributes(&bytes).count() <= bytes.len());
        }
    }
}
