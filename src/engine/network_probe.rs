//! What the kernel can do to a network: tried in the helper's own, empty network, by the kernel's own interface.
//!
//! A module that is listed may not load and one that is not listed may be built in; only trying tells.

use std::{io, mem::MaybeUninit, time::Duration};

use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketType, netlink, recv, sendto, socket,
    sockopt::{Timeout, set_socket_timeout},
};
use serde::{Deserialize, Serialize};

/// The kernel answers at once, or never.
const DEADLINE: Duration = Duration::from_secs(2);

const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;
const EXCLUSIVE: u16 = 0x200;
const CREATE: u16 = 0x400;
/// Type of the kernel's answer.
const ERROR: u16 = 2;

/// What was tried; `None` where it worked, else why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkAbilities {
    /// Delay, loss and corruption by the queueing discipline made for that.
    pub netem: Option<String>,
    /// Packet filter tables.
    pub nftables: Option<String>,
}

/// Tries each ability.
///
/// # Errors
/// None today; an answer is given for whatever the kernel says.
pub fn probe() -> Result<NetworkAbilities, io::Error> {
    let why = |result: Result<(), io::Error>| result.err().map(|error| error.to_string());
    Ok(NetworkAbilities {
        // The routing protocol has the number 0, which this interface leaves out.
        netem: why(ask(None, &netem_request())),
        nftables: why(ask(Some(netlink::NETFILTER), &nftables_request())),
    })
}

/// Sends a request; the first answer that tells an outcome decides.
fn ask(protocol: Option<Protocol>, request: &[u8]) -> Result<(), io::Error> {
    let socket = socket(AddressFamily::NETLINK, SocketType::RAW, protocol)?;
    set_socket_timeout(&socket, Timeout::Recv, Some(DEADLINE))?;
    sendto(
        &socket,
        request,
        SendFlags::empty(),
        &netlink::SocketAddrNetlink::new(0, 0),
    )?;
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let ((answer, _), _) = recv(&socket, &mut buffer, RecvFlags::empty())?;
    outcome(answer)
}

/// The outcome in an answer: an errno, 0 for done.
fn outcome(answer: &[u8]) -> Result<(), io::Error> {
    let kind = answer
        .get(4..6)
        .map(|bytes| u16::from_ne_bytes([bytes[0], bytes[1]]));
    let code = answer
        .get(16..20)
        .map(|bytes| i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    match (kind, code) {
        (Some(ERROR), Some(0)) => Ok(()),
        (Some(ERROR), Some(code)) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        _ => Err(io::Error::other("the kernel's answer makes no sense")),
    }
}

/// Appends one message with its header.
fn message(into: &mut Vec<u8>, kind: u16, flags: u16, body: &[u8]) {
    let length = u32::try_from(16 + body.len()).unwrap_or(u32::MAX);
    into.extend(length.to_ne_bytes());
    into.extend(kind.to_ne_bytes());
    into.extend(flags.to_ne_bytes());
    // Sequence number and sender: this socket asks once.
    into.extend(1_u32.to_ne_bytes());
    into.extend(0_u32.to_ne_bytes());
    into.extend(body);
}

/// Appends one attribute, padded to four bytes.
fn attribute(into: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    into.extend(length.to_ne_bytes());
    into.extend(kind.to_ne_bytes());
    into.extend(value);
    into.resize(into.len().next_multiple_of(4), 0);
}

/// Puts netem at the root of the loopback interface.
fn netem_request() -> Vec<u8> {
    const NEW_QDISC: u16 = 36;
    const LOOPBACK: i32 = 1;
    const HANDLE: u32 = 0x0001_0000;
    const ROOT: u32 = u32::MAX;
    let mut body = vec![0_u8; 4];
    body.extend(LOOPBACK.to_ne_bytes());
    for word in [HANDLE, ROOT, 0] {
        body.extend(word.to_ne_bytes());
    }
    attribute(&mut body, 1, b"netem\0");
    // Latency, limit of packets, loss, gap, duplication, jitter.
    let options: Vec<u8> = [0_u32, 1000, 0, 0, 0, 0]
        .iter()
        .flat_map(|word| word.to_ne_bytes())
        .collect();
    attribute(&mut body, 2, &options);
    let mut request = Vec::new();
    message(
        &mut request,
        NEW_QDISC,
        REQUEST | ACKNOWLEDGE | CREATE | EXCLUSIVE,
        &body,
    );
    request
}

/// Makes a packet filter table in one batch, as the kernel wants it.
fn nftables_request() -> Vec<u8> {
    const BATCH_BEGIN: u16 = 0x10;
    const BATCH_END: u16 = 0x11;
    const SUBSYSTEM: u16 = 10;
    const NEW_TABLE: u16 = SUBSYSTEM << 8;
    const IP_VERSION_4: u8 = 2;
    let subsystem = SUBSYSTEM.to_be_bytes();
    let batch = [0, 0, subsystem[0], subsystem[1]];
    let mut table = vec![IP_VERSION_4, 0, 0, 0];
    attribute(&mut table, 1, b"canarynet\0");
    let mut request = Vec::new();
    message(&mut request, BATCH_BEGIN, REQUEST, &batch);
    message(
        &mut request,
        NEW_TABLE,
        REQUEST | ACKNOWLEDGE | CREATE,
        &table,
    );
    message(&mut request, BATCH_END, REQUEST, &batch);
    request
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requests_are_whole_messages() {
        for request in [netem_request(), nftables_request()] {
            let mut at = 0;
            while at < request.len() {
                let length = u32::from_ne_bytes(request[at..at + 4].try_into().unwrap());
                assert_eq!(length % 4, 0);
                at += usize::try_from(length).unwrap();
            }
            assert_eq!(at, request.len());
        }
    }

    proptest! {
        #[test]
        fn any_answer_gets_an_outcome(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = outcome(&bytes);
        }
    }
}
