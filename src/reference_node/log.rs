//! The node's log: one JSON line an event, to stdout and to a rotated file, in the style of Harmony's.
//!
//! ```text
//!  node, network, store ... --> Logger::write --try_send--> [queue] --> console thread --> stdout
//!                                         \---try_send--> [queue] --> file thread    --> log/zerolog-reference.log
//! ```
//!
//! Invariant: writing a line never waits. Each of the two sinks has its own thread and its own bounded queue; a
//! stopped reader of stdout, a full disk or a hanging one costs lines, never a block. Lost lines are counted, and
//! the first line that goes through again says how many there were.

mod console;
mod file;
mod line;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

pub use line::{Context, Event, Level, Value};

use super::defects::Defects;

/// Lines that a sink may be behind. At four lines a block this is minutes of an accelerated chain, and at the
/// usual 300 bytes a line it is less than a megabyte.
const QUEUE_LINES: usize = 2_048;

/// How long the end of the process waits for each sink to take what is queued.
const FLUSH_WITHIN: Duration = Duration::from_millis(500);

/// What a sink is told.
enum Command {
    Line(Arc<str>),
    Flush(SyncSender<()>),
}

/// One end of a sink: its queue and the count of lines that found it full.
struct Sink {
    queue: SyncSender<Command>,
    lost: Arc<AtomicU64>,
}

impl Sink {
    fn write(&self, line: &Arc<str>) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            self.queue.try_send(Command::Line(Arc::clone(line)))
        {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self, deadline: Instant) {
        let (done, answer) = sync_channel(1);
        let mut command = Command::Flush(done);
        while let Err(TrySendError::Full(back)) = self.queue.try_send(command) {
            if Instant::now() >= deadline {
                return;
            }
            command = back;
            thread::sleep(Duration::from_millis(1));
        }
        // A sink that hangs is left behind: the process is about to end and its last lines are lost with it.
        let _ = answer.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

struct Shared {
    level: Level,
    console: Sink,
    file: Sink,
}

/// The handle that all parts of the node write through; clones share the two sinks.
#[derive(Clone)]
pub struct Logger {
    shared: Arc<Shared>,
}

impl Logger {
    /// Starts both sinks. The directory is created when it can be; when not, the file sink keeps trying and the
    /// node runs without it.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(level: Level, directory: &Path, defects: Defects) -> io::Result<Self> {
        let (console, console_queue) = sink();
        let (file, file_queue) = sink();
        let console_lost = Arc::clone(&console.lost);
        thread::Builder::new()
            .name("log-console".into())
            .stack_size(SINK_STACK)
            .spawn(move || {
                console::run(&console_queue, &console_lost);
            })?;
        let file_lost = Arc::clone(&file.lost);
        let directory = directory.to_path_buf();
        thread::Builder::new()
            .name("log-file".into())
            .stack_size(SINK_STACK)
            .spawn(move || {
                file::run(&file_queue, &file_lost, &directory, defects);
            })?;
        Ok(Self {
            shared: Arc::new(Shared {
                level,
                console,
                file,
            }),
        })
    }

    /// Whether a line of this level would be written: lets callers skip building it.
    #[must_use]
    pub fn enabled(&self, level: Level) -> bool {
        level >= self.shared.level
    }

    /// Writes one event with the consensus fields of `context`, stamped with the wall clock.
    pub fn write(&self, context: &Context, event: &Event) {
        if !self.enabled(event.level) {
            return;
        }
        let line: Arc<str> = line::render(Some(context), event).into();
        self.shared.console.write(&line);
        self.shared.file.write(&line);
    }

    /// Writes one event that belongs to no consensus state (start, stop).
    pub fn write_plain(&self, event: &Event) {
        if !self.enabled(event.level) {
            return;
        }
        let line: Arc<str> = line::render(None, event).into();
        self.shared.console.write(&line);
        self.shared.file.write(&line);
    }

    /// Lines lost so far, of stdout and of the file.
    #[must_use]
    pub fn lost(&self) -> (u64, u64) {
        (
            self.shared.console.lost.load(Ordering::Relaxed),
            self.shared.file.lost.load(Ordering::Relaxed),
        )
    }

    /// Waits, with a deadline, until both sinks have written what was queued before.
    pub fn flush(&self) {
        let deadline = Instant::now() + FLUSH_WITHIN;
        self.shared.console.flush(deadline);
        self.shared.file.flush(deadline);
    }
}

/// Enough for formatting a line and for the compressor, whose state lives on the heap.
const SINK_STACK: usize = 256 * 1024;

fn sink() -> (Sink, Receiver<Command>) {
    let (queue, receiver) = sync_channel(QUEUE_LINES);
    (
        Sink {
            queue,
            lost: Arc::new(AtomicU64::new(0)),
        },
        receiver,
    )
}

/// The line that a sink writes of itself when lines were lost before it.
fn lost_line(sink: &'static str, lost: u64, error: Option<&str>) -> String {
    let mut event = Event::new(Level::Warn, "Logger dropped lines")
        .field("sink", sink)
        .field("dropped", lost);
    if let Some(error) = error {
        event = event.error(error);
    }
    line::render(None, &event)
}

/// One step of a sink's loop: the next command, or the time to try again what failed before.
enum Next {
    Command(Command),
    Quiet,
    Closed,
}

fn next(queue: &Receiver<Command>, patience: Duration) -> Next {
    match queue.recv_timeout(patience) {
        Ok(command) => Next::Command(command),
        Err(RecvTimeoutError::Timeout) => Next::Quiet,
        Err(RecvTimeoutError::Disconnected) => Next::Closed,
    }
}
