//! Real links over the loopback interface.

use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;
use crate::reference_node::crypto::Bls;
use crate::reference_node::genesis::{Genesis, GenesisConfig};

const SILENCE: Duration = Duration::from_millis(400);
const PATIENCE: Duration = Duration::from_secs(20);

struct Peer {
    network: Network,
    arrivals: mpsc::Receiver<Arrival>,
}

impl Peer {
    async fn next(&mut self) -> Arrival {
        timeout(PATIENCE, self.arrivals.recv())
            .await
            .expect("something arrives in time")
            .unwrap()
    }

    async fn up(&mut self) -> NodeId {
        loop {
            if let Arrival::Up(peer) = self.next().await {
                return peer;
            }
        }
    }

    async fn down(&mut self) -> String {
        loop {
            if let Arrival::Down { reason, .. } = self.next().await {
                return reason;
            }
        }
    }

    async fn frame(&mut self) -> (NodeId, Vec<u8>) {
        loop {
            if let Arrival::Frame { from, payload, .. } = self.next().await {
                return (from, payload);
            }
        }
    }
}

fn id(index: u16) -> NodeId {
    NodeId::new(0, index)
}

fn genesis(seed: &str) -> Genesis {
    Genesis::new(GenesisConfig {
        seed: seed.into(),
        ..GenesisConfig::default()
    })
    .unwrap()
}

/// Addresses that nobody uses now.
async fn addresses(count: usize) -> Vec<SocketAddr> {
    let mut listeners = Vec::new();
    for _ in 0..count {
        listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    listeners
        .iter()
        .map(|listener| listener.local_addr().unwrap())
        .collect()
}

async fn start(genesis: &Genesis, crypto: Bls, index: u16, addresses: &[SocketAddr]) -> Peer {
    let peers = addresses
        .iter()
        .zip(0..)
        .map(|(address, index)| (id(index), address.to_string()))
        .collect();
    let listen = addresses[usize::from(index)];
    let settings = Settings {
        node: id(index),
        network: genesis.hash(),
        listen,
        peers,
        silence: SILENCE,
    };
    let (network, arrivals) = Network::start(settings, crypto).await.unwrap();
    Peer { network, arrivals }
}

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

#[test]
fn three_nodes_link_and_talk() {
    run(async {
        let genesis = genesis("a");
        let addresses = addresses(3).await;
        let mut peers = Vec::new();
        for index in 0..3 {
            peers.push(start(&genesis, genesis.bls(id(index)).unwrap(), index, &addresses).await);
        }
        for peer in &mut peers {
            let mut up = [peer.up().await, peer.up().await];
            up.sort();
            assert!(up[0] != up[1]);
            assert_eq!(peer.network.connected().count(), 2);
        }
        let frame = Frame::new(Kind::Consensus, b"to all").unwrap();
        peers[0].network.send(&[id(1), id(2)], &frame);
        for peer in &mut peers[1..] {
            assert_eq!(peer.frame().await, (id(0), b"to all".to_vec()));
        }
        let large = vec![7; FRAME_LIMIT];
        peers[2]
            .network
            .send(&[id(0)], &Frame::new(Kind::Gossip, &large).unwrap());
        assert_eq!(peers[0].frame().await, (id(2), large));
    });
}

#[test]
fn links_stay_up_while_nobody_speaks() {
    run(async {
        let genesis = genesis("a");
        let addresses = addresses(2).await;
        let mut one = start(&genesis, genesis.bls(id(0)).unwrap(), 0, &addresses).await;
        let _other = start(&genesis, genesis.bls(id(1)).unwrap(), 1, &addresses).await;
        one.up().await;
        assert!(
            timeout(4 * SILENCE, one.arrivals.recv()).await.is_err(),
            "nothing happens to an idle link"
        );
        assert!(one.network.connected().count() == 1);
    });
}

#[test]
fn who_has_not_the_key_or_is_of_another_network_gets_no_link() {
    run(async {
        let (ours, theirs) = (genesis("a"), genesis("b"));
        let addresses = addresses(3).await;
        let mut honest = start(&ours, ours.bls(id(2)).unwrap(), 2, &addresses).await;
        // Says that it is node 0 of our network, and has another key.
        let _impostor = start(&ours, theirs.bls(id(0)).unwrap(), 0, &addresses).await;
        let _stranger = start(&theirs, theirs.bls(id(1)).unwrap(), 1, &addresses).await;
        assert!(timeout(5 * SILENCE, honest.arrivals.recv()).await.is_err());
        assert!(honest.network.counters.refused.load(Ordering::Relaxed) >= 2);
    });
}

#[test]
fn garbage_and_silence_cost_a_stranger_its_connection_and_nothing_else() {
    run(async {
        let genesis = genesis("a");
        let addresses = addresses(2).await;
        let mut honest = start(&genesis, genesis.bls(id(1)).unwrap(), 1, &addresses).await;
        let mut garbage = TcpStream::connect(addresses[1]).await.unwrap();
        garbage.write_all(&[0xff; 64]).await.unwrap();
        let mut silent = TcpStream::connect(addresses[1]).await.unwrap();
        for stream in [&mut garbage, &mut silent] {
            let end = timeout(PATIENCE, stream.read(&mut [0; 16]))
                .await
                .expect("closed in time");
            assert!(matches!(end, Ok(0) | Err(_)));
        }
        let _other = start(&genesis, genesis.bls(id(0)).unwrap(), 0, &addresses).await;
        assert_eq!(honest.up().await, id(0));
    });
}

/// A relay between two nodes that can be told to pass nothing: a cut link, seen from both sides.
async fn cuttable(to: SocketAddr) -> (SocketAddr, tokio::sync::watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, open) = tokio::sync::watch::channel(true);
    tokio::spawn(async move {
        loop {
            let (near, _) = listener.accept().await.unwrap();
            let far = TcpStream::connect(to).await.unwrap();
            let (near_read, near_write) = near.into_split();
            let (far_read, far_write) = far.into_split();
            for (mut from, mut to) in [(near_read, far_write), (far_read, near_write)] {
                let mut open = open.clone();
                tokio::spawn(async move {
                    let mut piece = [0; 4_096];
                    while let Ok(length) = from.read(&mut piece).await {
                        let _ = open.wait_for(|open| *open).await;
                        if length == 0 || to.write_all(&piece[..length]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        }
    });
    (address, sender)
}

#[test]
fn a_silent_link_is_closed_by_both_and_back_soon_after_the_heal() {
    run(async {
        let genesis = genesis("a");
        let real = addresses(2).await;
        let (through, open) = cuttable(real[1]).await;
        let mut acceptor = start(&genesis, genesis.bls(id(1)).unwrap(), 1, &real).await;
        let mut dialer = start(
            &genesis,
            genesis.bls(id(0)).unwrap(),
            0,
            &[real[0], through],
        )
        .await;
        dialer.up().await;
        acceptor.up().await;
        open.send(false).unwrap();
        let cut = Instant::now();
        assert!(dialer.down().await.contains("silent"));
        assert!(acceptor.down().await.contains("silent"));
        assert!(cut.elapsed() >= SILENCE / 2, "a link is not given up early");
        tokio::time::sleep(2 * SILENCE).await;
        open.send(true).unwrap();
        dialer.up().await;
        acceptor.up().await;
        let frame = Frame::new(Kind::Consensus, b"again").unwrap();
        acceptor.network.send(&[id(0)], &frame);
        assert_eq!(dialer.frame().await.1, b"again");
    });
}

#[test]
fn a_node_that_takes_nothing_bounds_what_waits_for_it() {
    run(async {
        let genesis = genesis("a");
        let addresses = addresses(2).await;
        let mut slow = start(&genesis, genesis.bls(id(0)).unwrap(), 0, &addresses).await;
        let mut fast = start(&genesis, genesis.bls(id(1)).unwrap(), 1, &addresses).await;
        slow.up().await;
        fast.up().await;
        let frame = Frame::new(Kind::Consensus, &vec![1; 256 * 1_024]).unwrap();
        for _ in 0..200 {
            fast.network.send(&[id(0)], &frame);
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(SILENCE / 2).await;
        // 50 MiB were sent; the arrivals hold two largest frames, the queue one, the sockets some.
        assert!(fast.network.counters.dropped.load(Ordering::Relaxed) > 50);
        let mut read = 0;
        while let Ok(Some(arrival)) = timeout(SILENCE, slow.arrivals.recv()).await {
            read += usize::from(matches!(arrival, Arrival::Frame { .. }));
        }
        assert!(read > 10, "what was kept arrives: {read}");
    });
}
