//! The watcher's standard output: messages are collected, and handed on together by a task of their own.
//!
//! Every write passes through several processes of the engine, so fewer and larger ones are cheaper. Nothing waits
//! for a reader: when the buffer is full, messages are dropped and counted, passing ones first.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    net::unix::pipe,
    sync::Notify,
};

use super::protocol::WatcherMessage;
use crate::journal::event::Event;

/// Ten minutes of sixteen nodes without a reader.
const MOST: usize = 4 << 20;
/// What is not said as it happens waits until no more than this is in the buffer.
const LITTLE: usize = 64 << 10;

pub(super) struct Output {
    shared: Rc<Buffer>,
    dropped: u64,
}

#[derive(Default)]
struct Buffer {
    bytes: RefCell<Vec<u8>>,
    filled: Notify,
    /// Bytes that are being written.
    writing: Cell<usize>,
    written: Notify,
}

/// The buffer, for who can wait.
#[derive(Clone)]
pub(super) struct Room(Rc<Buffer>);

impl Room {
    /// Waits until there is room for more that can wait.
    pub(super) async fn for_more(&self) {
        self.until(LITTLE).await;
    }

    /// Waits until all is written.
    pub(super) async fn of_all(&self) {
        self.until(0).await;
    }

    async fn until(&self, most: usize) {
        let Buffer {
            bytes,
            filled,
            writing,
            written,
        } = &*self.0;
        while bytes.borrow().len() + writing.get() > most {
            filled.notify_one();
            written.notified().await;
        }
    }
}

impl Output {
    /// Starts the writing task on the current thread's task set.
    pub(super) fn start() -> Self {
        let shared = Rc::new(Buffer::default());
        tokio::task::spawn_local(write(Rc::clone(&shared), standard_output()));
        Self { shared, dropped: 0 }
    }

    /// Messages that found no room.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(super) fn push(&mut self, message: &WatcherMessage) {
        let passing = matches!(
            message,
            WatcherMessage::Cost { .. }
                | WatcherMessage::Event(
                    Event::Heads { .. } | Event::Position(_) | Event::Ledger(_) | Event::Figures(_)
                )
        );
        let most = if passing { MOST / 2 } else { MOST };
        let mut bytes = self.shared.bytes.borrow_mut();
        if bytes.len() > most || serde_json::to_writer(&mut *bytes, message).is_err() {
            self.dropped += 1;
            return;
        }
        bytes.push(b'\n');
    }

    /// For who can wait.
    pub(super) fn room(&self) -> Room {
        Room(Rc::clone(&self.shared))
    }

    /// Wakes the writer if there is anything to write.
    pub(super) fn hand_on(&self) {
        if !self.shared.bytes.borrow().is_empty() {
            self.shared.filled.notify_one();
        }
    }
}

async fn write(shared: Rc<Buffer>, mut to: Box<dyn AsyncWrite + Unpin>) {
    let mut writing = Vec::new();
    loop {
        shared.filled.notified().await;
        std::mem::swap(&mut writing, &mut *shared.bytes.borrow_mut());
        shared.writing.set(writing.len());
        let written = to.write_all(&writing).await;
        if written.is_err() || to.flush().await.is_err() {
            // Nobody will ever read again; standard input tells the same to the main task.
            return;
        }
        writing.clear();
        shared.writing.set(0);
        shared.written.notify_one();
    }
}

fn standard_output() -> Box<dyn AsyncWrite + Unpin> {
    let owned = rustix::io::dup(rustix::stdio::stdout());
    match owned.map(pipe::Sender::from_owned_fd) {
        Ok(Ok(pipe)) => Box::new(pipe),
        _ => Box::new(tokio::io::stdout()),
    }
}
