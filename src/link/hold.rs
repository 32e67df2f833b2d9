//! Packets held back by this program: delay where the kernel has no queue for it.
//!
//! ```text
//!  rules -> the kernel's queue of packets -> told to this process -> waits -> "let it go" -> next rules
//! ```
//! Only what is known about a packet comes here, never the packet. Invariant: it fails open. When this process is gone,
//! when it hangs (a second thread ends it then) or when the queue is full, the rules let packets pass as if they were not
//! there. It ends by itself when the fault's time is over, so that the fault ends whoever is left.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rand::{RngExt as _, SeedableRng as _, rngs::ChaCha8Rng};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    End,
    filter::{self, Filter, Rules},
    netlink::{Attributes, Message, Netlink, attribute, four},
    nftables::Expression,
};
/// The queue's number in the node's network: any that the node does not use itself.
const QUEUE: u16 = 3_239;
/// Packets that may wait; more than that pass at once.
const ROOM: u32 = 16_384;
/// Longest sleep, so that whoever watches sees that it lives.
const NAP: Duration = Duration::from_millis(100);
/// So long without a turn of the loop, and it hangs.
const HANGS: Duration = Duration::from_secs(2);
/// So long it goes on with packets that were on their way to it when the rules were removed.
const LAST: Duration = Duration::from_millis(100);
/// Bytes that are heard at once; each packet is told of by itself, in some dozens.
const BUFFER: usize = 8 << 10;
/// Longest wait until what is held is let go, when the fault is healed.
const DRAIN: Duration = Duration::from_secs(3);

const SUBSYSTEM: u16 = 3 << 8;
const VERDICT: u16 = SUBSYSTEM | 1;
const CONFIGURE: u16 = SUBSYSTEM | 2;
/// Bytes before the attributes.
const FIXED: usize = 4;

/// What holds packets back.
#[derive(Debug)]
pub(super) struct Holder {
    kernel: Netlink,
    random: ChaCha8Rng,
    delay: Duration,
    jitter: Duration,
    /// When each packet may go, the next one first.
    held: BinaryHeap<Reverse<(Instant, u32)>>,
    /// Packets that were held so far.
    count: u64,
    buffer: Vec<u8>,
}

impl Holder {
    /// Listens to the queue. No packet comes before [`set_rules`].
    pub(super) fn new(delay: Duration, jitter: Duration) -> Result<Self, io::Error> {
        const COMMAND: u16 = 1;
        const PARAMETERS: u16 = 2;
        const LENGTH: u16 = 3;
        const MASK: u16 = 4;
        const FLAGS: u16 = 5;
        const BIND: [u8; 4] = [1, 0, 0, 0];
        // No byte of the packet, only what is known about it.
        const ABOUT: [u8; 5] = [0, 0, 0, 0, 1];
        const FAIL_OPEN: u32 = 1;
        const WHOLE: u32 = 4;
        let kernel = Netlink::netfilter()?;
        let configure = |add: &dyn Fn(&mut Attributes<'_>)| {
            let fixed = [&[0, 0], &QUEUE.to_be_bytes()[..]].concat();
            kernel.ask(Message::new(CONFIGURE, 0, &fixed).with(|attributes| add(attributes)))
        };
        configure(&|attributes| attributes.bytes(COMMAND, &BIND))?;
        configure(&|attributes| attributes.bytes(PARAMETERS, &ABOUT))?;
        configure(&|attributes| attributes.big(LENGTH, ROOM))?;
        configure(&|attributes| {
            attributes.big(MASK, FAIL_OPEN | WHOLE);
            attributes.big(FLAGS, FAIL_OPEN | WHOLE);
        })?;
        Ok(Self {
            kernel,
            // Packets come as they come: a seed from outside would repeat nothing.
            random: ChaCha8Rng::seed_from_u64(0),
            delay,
            jitter,
            held: BinaryHeap::new(),
            count: 0,
            buffer: vec![0; BUFFER],
        })
    }

    /// Packets that were held so far.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Holds packets until `until`; then does what keeps more from coming, and lets the last ones go.
    pub(super) fn run(
        &mut self,
        until: Instant,
        then: impl FnOnce() -> Result<(), io::Error>,
    ) -> Result<(), io::Error> {
        let turns = Arc::new(AtomicU64::new(0));
        watch(&turns);
        let turn = |holder: &mut Self| {
            turns.fetch_add(1, Ordering::Relaxed);
            holder.turn()
        };
        while Instant::now() < until {
            turn(self)?;
        }
        then()?;
        let last = Instant::now() + LAST;
        while Instant::now() < last || !self.held.is_empty() {
            turn(self)?;
        }
        Ok(())
    }

    /// Lets go what may go, and takes what has come.
    fn turn(&mut self) -> Result<(), io::Error> {
        let now = Instant::now();
        let next = self.let_go(now)?;
        let nap = next.map_or(NAP, |next| next.saturating_duration_since(now).min(NAP));
        wait(&self.kernel, nap)?;
        let now = Instant::now();
        let (held, random, count) = (&mut self.held, &mut self.random, &mut self.count);
        let (least, span) = (self.delay.saturating_sub(self.jitter), self.jitter * 2);
        self.kernel.listen(&mut self.buffer, |body| {
            if let Some(packet) = packet(body) {
                *count += 1;
                let more = span.mul_f64(random.random::<f64>());
                held.push(Reverse((now + least + more, packet)));
            }
        })
    }

    /// Lets go what has waited long enough; answers when the next one may go.
    fn let_go(&mut self, now: Instant) -> Result<Option<Instant>, io::Error> {
        while let Some(Reverse((at, packet))) = self.held.peek().copied() {
            if at > now {
                return Ok(Some(at));
            }
            self.held.pop();
            self.kernel.tell(accept(packet))?;
        }
        Ok(None)
    }
}

/// The rules that send packets to the queue.
pub(super) fn set_rules(end: &End<'_>) -> Result<Filter, io::Error> {
    let set = |queue| Filter::set(end, Rules::Queue(queue));
    match set(Expression::Queue(QUEUE)) {
        // Kernels without a queue of the packet filter's own have the one of its predecessor.
        Err(error) if error.kind() == io::ErrorKind::NotFound => set(Expression::QueueByOld(QUEUE)),
        other => other,
    }
}

/// Ends this process when the loop makes no more turns.
fn watch(turns: &Arc<AtomicU64>) {
    let turns = Arc::downgrade(turns);
    thread::spawn(move || {
        let mut last = None;
        loop {
            thread::sleep(HANGS);
            let Some(turns) = turns.upgrade() else { return };
            let now = Some(turns.load(Ordering::Relaxed));
            if now == last {
                // The kernel closes the queue with the process, and packets pass.
                std::process::abort();
            }
            last = now;
        }
    });
}

fn wait(kernel: &Netlink, time: Duration) -> Result<(), io::Error> {
    let timeout = Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(time.subsec_nanos()),
    };
    match poll(&mut [PollFd::new(kernel, PollFlags::IN)], Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The number of a packet that the kernel tells of.
fn packet(body: &[u8]) -> Option<u32> {
    const HEADER: u16 = 1;
    let header = attribute(body.get(FIXED..)?, HEADER)?;
    four(header, 0).map(u32::from_be_bytes)
}

/// Lets a packet go on its way.
fn accept(packet: u32) -> Message {
    const HEADER: u16 = 2;
    const ACCEPT: u32 = 1;
    let fixed = [&[0, 0], &QUEUE.to_be_bytes()[..]].concat();
    Message::new(VERDICT, 0, &fixed).with(|attributes| {
        let verdict = [ACCEPT, packet].map(u32::to_be_bytes);
        attributes.bytes(HEADER, &verdict.concat());
    })
}

/// Waits until nothing is held any more in this network: whoever holds it lets it go, or is gone.
pub(super) fn drain() {
    let begun = Instant::now();
    while begun.elapsed() < DRAIN && waiting() > 0 {
        thread::sleep(Duration::from_millis(10));
    }
}

/// Packets that are held.
fn waiting() -> u64 {
    // Number of the queue, its owner, packets that wait, and more.
    let queues = fs::read_to_string("/proc/net/netfilter/nfnetlink_queue").unwrap_or_default();
    let number = QUEUE.to_string();
    queues
        .lines()
        .map(|line| line.split_whitespace())
        .filter_map(|mut words| {
            let here = words.next() == Some(number.as_str());
            here.then(|| words.nth(1)?.parse::<u64>().ok())?
        })
        .sum()
}

/// Removes the rules of a fault and waits until what was held is let go.
pub(super) fn end(fault: &str) -> Result<(), io::Error> {
    filter::remove(fault)?;
    drain();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packets_number_is_read_or_nothing_is() {
        let told = Message::new(SUBSYSTEM, 0, &[2, 0, 0, 7]).with(|attributes| {
            attributes.bytes(1, &[0, 0, 1, 2, 8, 0, 3, 0]);
        });
        assert_eq!(packet(told.body()), Some(258));
        assert_eq!(packet(&told.body()[..6]), None);
        assert_eq!(packet(&[]), None);
    }
}
