//! How connections come about: accepted from peers with a lower id, dialled to those with a higher one.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::handshake;
use super::link::Link;
use super::{Counters, Shared};
use crate::reference_node::crypto::Crypto;

/// Handshakes at a time. Each costs two signature operations, so this also bounds what strangers can make us do.
const HANDSHAKES: usize = 16;
/// Pause after the system refuses to accept (no file descriptor left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Shortest deadline of an attempt: below it a busy machine would never finish a handshake.
const SHORTEST_ATTEMPT: Duration = Duration::from_millis(100);

/// Accepts for ever.
pub(super) async fn accept<C: Crypto + Send + Sync + 'static>(
    shared: Arc<Shared<C>>,
    listener: TcpListener,
) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await else {
            return;
        };
        let mut stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let _permit = permit;
            let _ = stream.set_nodelay(true);
            let deadline = attempt(shared.silence) * 2;
            match timeout(deadline, handshake::accept(&shared, &mut stream)).await {
                Ok(Ok(peer)) => {
                    if let Some(link) = shared.links.get(&peer) {
                        link.attach(&shared, stream);
                    }
                }
                Ok(Err(_)) | Err(_) => Counters::add(&shared.counters.refused, 1),
            }
        });
    }
}

/// Keeps the link to one peer for ever: whenever it is down, an attempt every V/2.
pub(super) async fn dial<C: Crypto + Send + Sync + 'static>(
    shared: Arc<Shared<C>>,
    link: Arc<Link>,
) {
    let every = attempt(shared.silence);
    loop {
        link.until_closed().await;
        let started = Instant::now();
        if let Ok(Some(stream)) = timeout(every, connect(&shared, &link)).await {
            link.attach(&shared, stream);
        }
        sleep_until(started + every).await;
    }
}

async fn connect<C: Crypto>(shared: &Shared<C>, link: &Link) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(link.address()).await.ok()?;
    stream.set_nodelay(true).ok()?;
    handshake::dial(shared, link.peer(), &mut stream)
        .await
        .ok()?;
    Some(stream)
}

fn attempt(silence: Duration) -> Duration {
    (silence / 2).max(SHORTEST_ATTEMPT)
}
