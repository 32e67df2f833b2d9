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
/// Questions to each of them.
const TIMES: usize = 2;
/// Questions to the one whose answers are compared: an odd number has a middle.
const AGAIN: usize = 5;

/// The peer that answers soonest, and how soon; `None` if nobody answers in time. A peer that another fault keeps busy or
/// far away at the same moment is not the one to measure by.
pub(super) fn quickest(peers: &[Ipv4Addr], deadline: Duration) -> Option<(Ipv4Addr, Duration)> {
    let asked = peers.iter().take(PEERS);
    asked
        .flat_map(|peer| (0..TIMES).filter_map(|_| Some((*peer, one(*peer, deadline)?))))
        .min_by_key(|(_, time)| *time)
}

/// The median over several questions to one peer: a lost packet, which is sent again after a second, does not move it.
/// `None` if it never answers in time.
pub(super) fn median(peer: Ipv4Addr, deadline: Duration) -> Option<Duration> {
    let mut times: Vec<_> = (0..AGAIN).filter_map(|_| one(peer, deadline)).collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied()
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
        let second = Duration::from_secs(1);
        let (peer, time) = quickest(&[Ipv4Addr::LOCALHOST], second).unwrap();
        assert!(time < second, "{time:?}");
        assert!(median(peer, second).unwrap() < second);
        assert_eq!(quickest(&[], second), None);
    }
}
