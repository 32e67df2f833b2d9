//! The sink on stdout. It may block for ever in a write (a stopped reader): nobody waits for it.

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::{Command, Next, lost_line, next};

/// Only a wake-up to look at the queue's state; lines themselves wake the thread at once.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn run(queue: &Receiver<Command>, lost: &AtomicU64) {
    let mut told = 0;
    let mut error = None;
    loop {
        match next(queue, PATIENCE) {
            Next::Command(Command::Line(line)) => {
                let total = lost.load(Ordering::Relaxed);
                let result = if total > told {
                    write(&lost_line("stdout", total - told, error.as_deref())).and_then(|()| {
                        told = total;
                        error = None;
                        write(&line)
                    })
                } else {
                    write(&line)
                };
                if let Err(cause) = result {
                    lost.fetch_add(1, Ordering::Relaxed);
                    error = Some(cause.to_string());
                }
            }
            Next::Command(Command::Flush(done)) => {
                let _ = done.try_send(());
            }
            Next::Quiet => {}
            Next::Closed => return,
        }
    }
}

fn write(line: &str) -> std::io::Result<()> {
    // Stdout buffers up to the newline, so that a line is one write in all but extreme lengths.
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(line.as_bytes())?;
    stdout.flush()
}
