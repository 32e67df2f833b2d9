//! One link: its queue, and the two loops that run over a connection of it.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::frame::{self, FRAME_LIMIT, Frame, Kind};
use super::{Arrival, Counters, NodeId, Shared};
use crate::reference_node::crypto::Crypto;

/// Frames that wait for a slow peer: more than a minute of an accelerated shard's votes.
const QUEUE_FRAMES: usize = 512;
/// Bytes that wait for a slow peer: one largest frame and a little.
const QUEUE_BYTES: usize = FRAME_LIMIT + 256 * 1_024;
/// Small frames are gathered up to this size, so that a burst is one system call.
const GATHER: usize = 16 * 1_024;

/// A neighbour, whether there is a connection or not.
pub(super) struct Link {
    peer: NodeId,
    address: String,
    queue: Mutex<Queue>,
    /// Something was queued.
    filled: Notify,
    /// The connection ended.
    closed: Notify,
    up: AtomicBool,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Queue {
    frames: VecDeque<Frame>,
    bytes: usize,
    /// The newest connection; an older one is ended by it.
    connection: Option<AbortHandle>,
    /// Counts connections, so that the end of an older one does not take the newer one down.
    generation: u64,
}

impl Link {
    pub(super) fn new(peer: NodeId, address: String, counters: Arc<Counters>) -> Self {
        Self {
            peer,
            address,
            queue: Mutex::default(),
            filled: Notify::new(),
            closed: Notify::new(),
            up: AtomicBool::new(false),
            counters,
        }
    }

    pub(super) fn peer(&self) -> NodeId {
        self.peer
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Returns when there is no connection.
    pub(super) async fn until_closed(&self) {
        loop {
            let closed = self.closed.notified();
            if !self.is_up() {
                return;
            }
            closed.await;
        }
    }

    /// Queues a frame. When the queue is full the oldest consensus message goes, else the oldest of all.
    pub(super) fn push(&self, frame: &Frame) {
        if !self.is_up() {
            Counters::add(&self.counters.unsent, 1);
            return;
        }
        let mut queue = self.lock();
        queue.bytes += frame.bytes().len();
        queue.frames.push_back(frame.clone());
        while queue.frames.len() > 1
            && (queue.frames.len() > QUEUE_FRAMES || queue.bytes > QUEUE_BYTES)
        {
            let oldest = queue
                .frames
                .iter()
                .position(|frame| frame.kind() == Kind::Consensus)
                .unwrap_or(0);
            if let Some(dropped) = queue.frames.remove(oldest) {
                queue.bytes -= dropped.bytes().len();
                Counters::add(&self.counters.dropped, 1);
            }
        }
        drop(queue);
        self.filled.notify_one();
    }

    /// Takes queued frames into `buffer`: at least one if there is any, up to about `GATHER` bytes.
    fn gather(&self, buffer: &mut Vec<u8>) -> u64 {
        let mut queue = self.lock();
        let mut frames = 0;
        while buffer.len() < GATHER {
            let Some(frame) = queue.frames.pop_front() else {
                break;
            };
            queue.bytes -= frame.bytes().len();
            buffer.extend_from_slice(frame.bytes());
            frames += 1;
        }
        frames
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        // A panic elsewhere cannot leave a queue of frames in a state that matters.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the link over this connection until it ends, in a task of its own. The newest connection wins: a peer
    /// that restarted must not wait until its old connection is known to be dead.
    pub(super) fn attach<C: Crypto + Send + Sync + 'static>(
        self: &Arc<Self>,
        shared: &Arc<Shared<C>>,
        stream: TcpStream,
    ) {
        let mut queue = self.lock();
        if let Some(older) = queue.connection.take() {
            older.abort();
        }
        queue.frames.clear();
        queue.bytes = 0;
        queue.generation += 1;
        let generation = queue.generation;
        self.up.store(true, Ordering::Relaxed);
        let (link, shared) = (Arc::clone(self), Arc::clone(shared));
        let task = tokio::spawn(async move {
            if shared.arrivals.send(Arrival::Up(link.peer)).await.is_err() {
                return;
            }
            let reason = match run(&link, &shared, stream).await {
                Ok(()) => "closed by the peer".to_owned(),
                Err(error) => error.to_string(),
            };
            if link.detach(generation) {
                let _ = shared
                    .arrivals
                    .send(Arrival::Down {
                        peer: link.peer,
                        reason,
                    })
                    .await;
            }
        });
        queue.connection = Some(task.abort_handle());
    }

    /// Marks the link as down, unless a newer connection has taken over.
    fn detach(&self, generation: u64) -> bool {
        let mut queue = self.lock();
        if queue.generation != generation {
            return false;
        }
        queue.connection = None;
        queue.frames.clear();
        queue.bytes = 0;
        self.up.store(false, Ordering::Relaxed);
        drop(queue);
        self.closed.notify_waiters();
        true
    }
}

async fn run<C: Crypto>(link: &Link, shared: &Shared<C>, stream: TcpStream) -> io::Result<()> {
    let (reader, writer) = stream.into_split();
    tokio::select! {
        result = read(link, shared, reader) => result,
        result = write(link, shared.silence, writer) => result,
    }
}

async fn read<C: Crypto>(link: &Link, shared: &Shared<C>, reader: OwnedReadHalf) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(GATHER, reader);
    loop {
        let (kind, payload) =
            match timeout(shared.silence, frame::read(&mut reader, FRAME_LIMIT)).await {
                Ok(Ok(frame)) => frame,
                Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Ok(Err(error)) => {
                    if error.kind() == io::ErrorKind::InvalidData {
                        Counters::add(&link.counters.refused, 1);
                    }
                    return Err(error);
                }
                Err(_) => {
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        format!("silent for {:?}", shared.silence),
                    ));
                }
            };
        Counters::add(&link.counters.received, 1);
        Counters::add(&link.counters.received_bytes, payload.len() as u64 + 5);
        match kind {
            Kind::Ping => continue,
            Kind::Handshake => {
                Counters::add(&link.counters.refused, 1);
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "handshake after the handshake",
                ));
            }
            Kind::Consensus | Kind::Gossip => {}
        }
        // The two waits below are what bounds a flood: they stop this reader and nobody else.
        let kilobytes = u32::try_from(payload.len() / 1_024 + 1).unwrap_or(u32::MAX);
        let Ok(permit) = Arc::clone(&shared.arrival_kilobytes)
            .acquire_many_owned(kilobytes)
            .await
        else {
            return Ok(());
        };
        if shared
            .arrivals
            .send(Arrival::Frame {
                from: link.peer,
                kind,
                payload,
                permit,
            })
            .await
            .is_err()
        {
            return Ok(());
        }
    }
}

async fn write(link: &Link, silence: Duration, mut writer: OwnedWriteHalf) -> io::Result<()> {
    // Four chances to be heard before the peer's patience ends.
    let idle = silence / 4;
    let mut buffer = Vec::with_capacity(GATHER);
    loop {
        buffer.clear();
        let mut frames = link.gather(&mut buffer);
        if frames == 0 {
            if timeout(idle, link.filled.notified()).await.is_ok() {
                continue;
            }
            buffer.extend_from_slice(Frame::ping().bytes());
            frames = 1;
        }
        match timeout(silence, writer.write_all(&buffer)).await {
            Ok(result) => result?,
            Err(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("took nothing for {silence:?}"),
                ));
            }
        }
        Counters::add(&link.counters.sent, frames);
        Counters::add(&link.counters.sent_bytes, buffer.len() as u64);
        if buffer.capacity() > 4 * GATHER {
            buffer = Vec::with_capacity(GATHER);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> Link {
        let link = Link::new(NodeId::new(0, 1), "host:1".into(), Arc::default());
        link.up.store(true, Ordering::Relaxed);
        link
    }

    #[test]
    fn a_full_queue_drops_the_oldest_consensus_message_first() {
        let link = link();
        let gossip = Frame::new(Kind::Gossip, b"receipt").unwrap();
        link.push(&gossip);
        for number in 0..QUEUE_FRAMES + 10 {
            link.push(&Frame::new(Kind::Consensus, &number.to_be_bytes()).unwrap());
        }
        let queue = link.lock();
        assert_eq!(queue.frames.len(), QUEUE_FRAMES);
        assert_eq!(queue.frames[0].kind(), Kind::Gossip);
        assert_eq!(queue.frames[1].bytes()[5..], 11_usize.to_be_bytes());
        assert_eq!(
            queue.bytes,
            queue
                .frames
                .iter()
                .map(|frame| frame.bytes().len())
                .sum::<usize>()
        );
        assert_eq!(link.counters.dropped.load(Ordering::Relaxed), 11);
    }

    #[test]
    fn bytes_are_bounded_too() {
        let link = link();
        let large = Frame::new(Kind::Consensus, &vec![0; 1_024 * 1_024]).unwrap();
        for _ in 0..20 {
            link.push(&large);
        }
        assert!(link.lock().bytes <= QUEUE_BYTES);
    }

    #[test]
    fn a_link_that_is_down_holds_nothing() {
        let link = link();
        link.up.store(false, Ordering::Relaxed);
        link.push(&Frame::new(Kind::Gossip, b"x").unwrap());
        assert!(link.lock().frames.is_empty());
        assert_eq!(link.counters.unsent.load(Ordering::Relaxed), 1);
    }
}
