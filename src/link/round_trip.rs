//! How long a word to a peer and its answer take: what is measured before and after packets are delayed.
//!
//! A connection to a port where nobody listens is refused by the peer's kernel at once; its node learns nothing of it.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// A port that no node listens on.
const PORT: u16 = 1;
/// Peers that are asked.
const PEERS: usize = 3;
/// Questions to each.
const TIMES: u32 = 2;

/// The mean over some peers; `None` if nobody answers in time.
pub(super) fn mean(peers: &[Ipv4Addr], deadline: Duration) -> Option<Duration> {
    let asked = peers.iter().take(PEERS);
    let times = asked.flat_map(|peer| (0..TIMES).filter_map(|_| one(*peer, deadline)));
    let (sum, count) = times.fold((Duration::ZERO, 0), |(sum, count), time| {
        (sum + time, count + 1)
    });
    sum.checked_div(count)
}

fn one(peer: Ipv4Addr, deadline: Duration) -> Option<Duration> {
    let begun = Instant::now();
    let outcome = TcpStream::connect_timeout(&SocketAddr::from((peer, PORT)), deadline);
    let answered = match outcome {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::ConnectionRefused,
    };
    answered.then(|| begun.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_answers_itself_at_once() {
        let time = mean(&[Ipv4Addr::LOCALHOST], Duration::from_secs(1)).unwrap();
        assert!(time < Duration::from_secs(1), "{time:?}");
        assert_eq!(mean(&[], Duration::from_secs(1)), None);
    }
}
