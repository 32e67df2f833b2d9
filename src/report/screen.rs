//! The thread that writes live progress, so that a terminal or pipe that nobody reads never holds up the run.
//!
//! ```text
//! run loop --try_send--> [bounded queue] --> screen thread --> terminal, pipe or file
//! ```
//! When the queue is full, live lines are thrown away (the next ones replace them) and printed lines are counted;
//! the count is told as soon as there is room. Nothing here knows what the lines say.

use std::{
    io::{self, Write},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    thread,
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Lines that may wait: some seconds of live lines and a burst of findings.
const QUEUE: usize = 256;

/// Where progress is shown.
pub enum Target {
    /// A terminal: live lines are drawn over each other, printed lines scroll above them.
    Terminal(ProgressDrawTarget),
    /// Anything else: printed lines only.
    Stream(Box<dyn Write + Send>),
}

enum Message {
    Live(Vec<String>),
    Print(String),
}

/// The caller's end. Dropping it leaves the thread to end by itself.
pub struct Screen {
    sender: SyncSender<Message>,
    ended: Receiver<()>,
    unshown: u64,
}

impl Screen {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(target: Target) -> io::Result<Self> {
        let (sender, messages) = sync_channel(QUEUE);
        let (end, ended) = sync_channel(1);
        thread::Builder::new()
            .name("screen".to_owned())
            .spawn(move || {
                match target {
                    Target::Terminal(target) => draw(&messages, target),
                    Target::Stream(stream) => write(&messages, stream),
                }
                // Nobody may wait any more; that is no error.
                let _ = end.try_send(());
            })?;
        Ok(Self {
            sender,
            ended,
            unshown: 0,
        })
    }

    /// Replaces the live lines; thrown away when the queue is full. Streams do not show them.
    pub fn live(&self, lines: Vec<String>) {
        let _ = self.sender.try_send(Message::Live(lines));
    }

    /// Prints a line that stays.
    pub fn print(&mut self, line: String) {
        if self.unshown > 0 {
            let notice = format!("({} lines were not shown: nobody read them)", self.unshown);
            if self.sender.try_send(Message::Print(notice)).is_ok() {
                self.unshown = 0;
            }
        }
        if let Err(TrySendError::Full(_)) = self.sender.try_send(Message::Print(line)) {
            self.unshown += 1;
        }
    }

    /// Shows what waits and removes the live lines; waits no longer than `deadline`. Returns whether all was shown.
    pub fn finish(self, deadline: Duration) -> bool {
        drop(self.sender);
        // The thread may hang in a write to a pipe that nobody reads; it is left behind and ends with the process.
        !matches!(
            self.ended.recv_timeout(deadline),
            Err(RecvTimeoutError::Timeout)
        ) && self.unshown == 0
    }
}

fn draw(messages: &Receiver<Message>, target: ProgressDrawTarget) {
    let screen = MultiProgress::with_draw_target(target);
    let style =
        ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    // One bar of many lines: all of them change in one drawing, so no half-new state is ever seen.
    let bar = screen.add(ProgressBar::no_length().with_style(style));
    for message in messages {
        match message {
            Message::Live(lines) => bar.set_message(lines.join("\n")),
            // A terminal that went away cannot be told so.
            Message::Print(line) => {
                let _ = screen.println(line);
            }
        }
    }
    bar.finish_and_clear();
    let _ = screen.clear();
}

fn write(messages: &Receiver<Message>, mut stream: Box<dyn Write + Send>) {
    let mut open = true;
    for message in messages {
        if let (Message::Print(line), true) = (message, open) {
            // A closed pipe (`| head`) ends the telling, never the run: the queue is still emptied.
            open = writeln!(stream, "{line}")
                .and_then(|()| stream.flush())
                .is_ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, mpsc};

    use super::*;

    /// A pipe that is read only when the test lets it.
    struct Gate {
        entered: mpsc::Sender<()>,
        pass: mpsc::Receiver<()>,
        seen: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if bytes.contains(&b'!') {
                let _ = self.entered.send(());
                let _ = self.pass.recv();
            }
            self.seen.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_unread_pipe_holds_nobody_up_and_losses_are_told() {
        let (open, pass) = mpsc::channel();
        let (entered, inside) = mpsc::channel();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let gate = Gate {
            entered,
            pass,
            seen: Arc::clone(&seen),
        };
        let mut screen = Screen::start(Target::Stream(Box::new(gate))).unwrap();
        screen.print("!".to_owned());
        inside.recv().unwrap();
        for index in 0..10_000 {
            screen.print(format!("line {index}"));
        }
        assert_eq!(screen.unshown, 10_000 - QUEUE as u64);
        open.send(()).unwrap();
        // The thread runs again: in the end there is room for the notice and one more line.
        for _ in 0..1_000 {
            screen.print("last".to_owned());
            if screen.unshown == 0 {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        assert!(screen.finish(Duration::from_secs(10)));
        let text = String::from_utf8(seen.lock().unwrap().clone()).unwrap();
        assert!(text.contains("line 0\n") && text.ends_with("last\n"));
        assert!(text.contains("lines were not shown"));
    }

    #[test]
    fn a_hanging_pipe_is_left_behind() {
        let (_open, pass) = mpsc::channel();
        let (entered, _inside) = mpsc::channel();
        let seen = Arc::default();
        let mut screen = Screen::start(Target::Stream(Box::new(Gate {
            entered,
            pass,
            seen,
        })))
        .unwrap();
        screen.print("!".to_owned());
        assert!(!screen.finish(Duration::from_millis(50)));
    }
}
