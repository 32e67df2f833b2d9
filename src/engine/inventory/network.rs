//! What is in a network namespace, by the kernel's own interface: interfaces, queues, routes, tables of packet filters.

use std::{collections::BTreeMap, io, mem::MaybeUninit, net::Ipv4Addr, time::Duration};

use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketType, netlink, recv, sendto, socket,
    sockopt::{Timeout, set_socket_timeout},
};

/// The kernel answers at once, or never.
const DEADLINE: Duration = Duration::from_secs(2);
/// A dump of everything.
const DUMP: u16 = 0x1 | 0x300;
const HEADER: usize = 16;
const DONE: u16 = 3;
const ERROR: u16 = 2;

const GET_LINK: u16 = 18;
const GET_ROUTE: u16 = 26;
const GET_QDISC: u16 = 38;
/// Tables of the packet filter's subsystem.
const GET_TABLE: u16 = (10 << 8) | 1;

/// Lines of what there is.
pub(in crate::engine) fn network() -> Result<Vec<String>, io::Error> {
    let mut lines = Vec::new();
    let mut names = BTreeMap::new();
    for message in dump(None, GET_LINK, &[0; 16])? {
        let index = number(&message, 4);
        let name = text(&attributes(&message, 16), 3);
        lines.push(format!("interface {name}"));
        names.insert(index, name);
    }
    let name = |index: u32| {
        names
            .get(&index)
            .cloned()
            .unwrap_or_else(|| index.to_string())
    };
    for message in dump(None, GET_QDISC, &[0; 20])? {
        let kind = text(&attributes(&message, 20), 1);
        let (device, handle) = (name(number(&message, 4)), number(&message, 8));
        lines.push(format!("queue {kind} {handle:x} on {device}"));
    }
    for message in dump(None, GET_ROUTE, &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])? {
        let attributes = attributes(&message, 12);
        let to = attributes
            .get(&1)
            .and_then(|bytes| <[u8; 4]>::try_from(*bytes).ok())
            .map_or(Ipv4Addr::UNSPECIFIED, Ipv4Addr::from);
        let device = attributes
            .get(&4)
            .map_or_else(String::new, |bytes| name(number(bytes, 0)));
        let byte = |at: usize| message.get(at).copied().unwrap_or_default();
        lines.push(format!("route {} {to}/{} on {device}", byte(7), byte(1)));
    }
    // Address family, version, resource.
    match dump(Some(netlink::NETFILTER), GET_TABLE, &[0; 4]) {
        Ok(tables) => lines.extend(
            tables
                .iter()
                .map(|table| format!("table {}", text(&attributes(table, 4), 1))),
        ),
        // A kernel without packet filters has no tables: no such protocol, or no such subsystem.
        Err(error) if matches!(error.raw_os_error(), Some(22 | 93)) => {}
        Err(error) => return Err(error),
    }
    Ok(lines)
}

/// The bodies of all messages that the kernel answers.
fn dump(protocol: Option<Protocol>, kind: u16, body: &[u8]) -> Result<Vec<Vec<u8>>, io::Error> {
    let socket = socket(AddressFamily::NETLINK, SocketType::RAW, protocol)?;
    set_socket_timeout(&socket, Timeout::Recv, Some(DEADLINE))?;
    let mut request = Vec::new();
    request.extend(
        u32::try_from(HEADER + body.len())
            .unwrap_or(u32::MAX)
            .to_ne_bytes(),
    );
    request.extend(kind.to_ne_bytes());
    request.extend(DUMP.to_ne_bytes());
    request.extend([1_u32, 0].iter().flat_map(|word| word.to_ne_bytes()));
    request.extend(body);
    let kernel = netlink::SocketAddrNetlink::new(0, 0);
    sendto(&socket, &request, SendFlags::empty(), &kernel)?;
    let mut bodies = Vec::new();
    let mut buffer = [MaybeUninit::uninit(); 32 * 1024];
    loop {
        let ((answer, _), _) = recv(&socket, &mut buffer, RecvFlags::empty())?;
        if take(answer, &mut bodies)? {
            return Ok(bodies);
        }
    }
}

/// Takes the messages of one answer; `true` at the end of the dump.
fn take(mut answer: &[u8], bodies: &mut Vec<Vec<u8>>) -> Result<bool, io::Error> {
    while answer.len() >= HEADER {
        let length = number(answer, 0) as usize;
        if length < HEADER || length > answer.len() {
            return Err(io::Error::other("the kernel's answer makes no sense"));
        }
        let body = &answer[HEADER..length];
        match u16::from_ne_bytes([answer[4], answer[5]]) {
            DONE => return Ok(true),
            ERROR => {
                let code = i32::from_ne_bytes(number(body, 0).to_ne_bytes());
                return match code {
                    0 => Ok(true),
                    code => Err(io::Error::from_raw_os_error(code.saturating_neg())),
                };
            }
            _ => bodies.push(body.to_vec()),
        }
        answer = &answer[length.next_multiple_of(4).min(answer.len())..];
    }
    Ok(false)
}

/// Attributes behind a header of so many bytes.
fn attributes(body: &[u8], header: usize) -> BTreeMap<u16, &[u8]> {
    let mut found = BTreeMap::new();
    let mut rest = body.get(header..).unwrap_or_default();
    while rest.len() >= 4 {
        let length = usize::from(u16::from_ne_bytes([rest[0], rest[1]]));
        // The upper bits say how the value is written.
        let kind = u16::from_ne_bytes([rest[2], rest[3]]) & 0x3fff;
        if length < 4 || length > rest.len() {
            break;
        }
        found.insert(kind, &rest[4..length]);
        rest = &rest[length.next_multiple_of(4).min(rest.len())..];
    }
    found
}

fn text(attributes: &BTreeMap<u16, &[u8]>, kind: u16) -> String {
    let bytes = attributes.get(&kind).copied().unwrap_or_default();
    String::from_utf8_lossy(bytes)
        .trim_end_matches('\0')
        .to_owned()
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..at + 4)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_own_network_has_a_loopback_interface() {
        // Tables need a privilege; the rest does not.
        match network() {
            Ok(lines) => assert!(lines.contains(&"interface lo".to_owned()), "{lines:?}"),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied),
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_taken_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut bodies = Vec::new();
            let _ = take(&bytes, &mut bodies);
            for body in bodies {
                let _ = attributes(&body, 4);
            }
        }
    }
}
