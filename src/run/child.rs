//! A soak as a child of this program: a soak owns its process, with its signals, its terminal and its cost.
//!
//! ```text
//!  runs --signal--> told the same; so is every further one --\
//!    \---its time is over---------------------------------> asked to end (SIGTERM) --does not--> killed
//! ```
//! What a killed one leaves carries its labels, and the next command names it.

use std::{
    io,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep_until, timeout},
};

use super::signal::{Interrupt, Interrupts};

/// What a soak may take beyond its plan's deadline: packing, launch, reports, teardown.
pub const AROUND: Duration = Duration::from_secs(10 * 60);

/// How long it may take, step by step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Until it is asked to end.
    pub whole: Duration,
    /// ... also if a signal was handed on before: to drain, report and clean up.
    pub drain: Duration,
    /// From then until it is killed.
    pub last: Duration,
}

impl Patience {
    /// For a soak that may take so long, if nobody ends it before.
    #[must_use]
    pub fn of(whole: Duration) -> Self {
        Self {
            // Clocks end somewhere; nobody waits so long.
            whole: whole.min(Duration::from_secs(10 * 365 * 86_400)),
            drain: Duration::from_secs(180),
            last: Duration::from_secs(90),
        }
    }
}

/// How one ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// What the system says of it.
    pub status: ExitStatus,
    /// The first signal that was handed on.
    pub interrupt: Option<Interrupt>,
    /// Its time was over.
    pub late: bool,
}

/// A soak that runs.
#[derive(Debug)]
pub struct SoakChild {
    child: Child,
}

impl SoakChild {
    /// Starts this program as a soak; `with` adds its arguments and says where its output goes.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(with: impl FnOnce(&mut Command)) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("soak");
        with(&mut command);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> io::Result<Self> {
        command
            .stdin(Stdio::null())
            // The terminal's Ctrl-C is for this process alone, which tells the child once.
            .process_group(0);
        Ok(Self {
            child: command.spawn()?,
        })
    }

    /// Waits for its end. Every signal that comes is handed on: the first drains the soak, a later one ends the drain.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn wait(
        mut self,
        patience: Patience,
        signals: &mut impl Interrupts,
    ) -> io::Result<Ended> {
        let mut until = Instant::now() + patience.whole;
        let mut interrupt = None;
        let ended = |status, interrupt, late| Ended {
            status,
            interrupt,
            late,
        };
        loop {
            tokio::select! {
                status = self.child.wait() => return Ok(ended(status?, interrupt, false)),
                which = signals.next() => {
                    if interrupt.is_none() {
                        until = until.min(Instant::now() + patience.drain);
                    }
                    interrupt.get_or_insert(which);
                    self.tell(match which {
                        Interrupt::Int => Signal::INT,
                        Interrupt::Term => Signal::TERM,
                    });
                }
                () = sleep_until(until) => break,
            }
        }
        self.tell(Signal::TERM);
        let status = match timeout(patience.last, self.child.wait()).await {
            Ok(status) => status?,
            Err(_) => {
                self.child.kill().await?;
                self.child.wait().await?
            }
        };
        Ok(ended(status, interrupt, true))
    }

    fn tell(&self, signal: Signal) {
        // A child that was not waited for keeps its id, so nobody else is meant.
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id.and_then(Pid::from_raw) {
            // One that has just ended needs no signal.
            let _ = kill_process(id, signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use tokio::sync::watch;

    use super::*;

    /// A shell that stands in for a soak: it notes that it is ready and each signal, a line each, and goes on until this
    /// many came.
    fn shell(folder: &std::path::Path, most: u32) -> SoakChild {
        let script = format!(
            "n=0; note() {{ echo $1 >> said; n=$((n + 1)); [ $n -ge {most} ] && exit 7; }}
            trap 'note int' INT; trap 'note term' TERM
            echo ready >> said
            while :; do sleep 0.02; done"
        );
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &script]).current_dir(folder);
        SoakChild::spawn(command).unwrap()
    }

    fn said(folder: &std::path::Path) -> String {
        std::fs::read_to_string(folder.join("said")).unwrap_or_default()
    }

    /// Once this many lines are there.
    async fn lines(folder: &std::path::Path, count: usize) {
        while said(folder).lines().count() < count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    const LONG: Duration = Duration::from_secs(600);

    #[tokio::test]
    async fn every_signal_is_handed_on_as_it_came() {
        let folder = tempfile::tempdir().unwrap();
        let child = shell(folder.path(), 3);
        let (sender, mut receiver) = watch::channel::<Option<Interrupt>>(None);
        let send = async {
            for (place, which) in [Interrupt::Int, Interrupt::Term, Interrupt::Int]
                .into_iter()
                .enumerate()
            {
                lines(folder.path(), place + 1).await;
                sender.send_replace(Some(which));
            }
            std::future::pending::<()>().await;
        };
        let wait = child.wait(Patience::of(LONG), &mut receiver);
        let ended = tokio::select! {
            ended = wait => ended.unwrap(),
            () = send => unreachable!("it waits for ever"),
        };
        assert_eq!(said(folder.path()), "ready\nint\nterm\nint\n");
        assert_eq!(ended.status.code(), Some(7));
        assert_eq!((ended.interrupt, ended.late), (Some(Interrupt::Int), false));
    }

    #[tokio::test]
    async fn one_that_does_not_end_is_asked_and_then_killed() {
        let folder = tempfile::tempdir().unwrap();
        let (_, mut nobody) = watch::channel::<Option<Interrupt>>(None);
        let child = shell(folder.path(), 99);
        lines(folder.path(), 1).await;
        let patience = Patience {
            whole: Duration::ZERO,
            drain: LONG,
            last: Duration::from_millis(200),
        };
        let ended = child.wait(patience, &mut nobody).await.unwrap();
        assert!(ended.late && ended.interrupt.is_none());
        assert_eq!(ended.status.signal(), Some(Signal::KILL.as_raw()));
    }

    #[tokio::test]
    async fn a_drain_has_an_end_too() {
        let folder = tempfile::tempdir().unwrap();
        let child = shell(folder.path(), 2);
        lines(folder.path(), 1).await;
        let patience = Patience {
            whole: LONG,
            drain: Duration::ZERO,
            last: LONG,
        };
        let (sender, mut once) = watch::channel::<Option<Interrupt>>(None);
        sender.send_replace(Some(Interrupt::Int));
        let ended = child.wait(patience, &mut once).await.unwrap();
        assert_eq!(ended.status.code(), Some(7), "asked to end after the drain");
        assert_eq!((ended.interrupt, ended.late), (Some(Interrupt::Int), true));
    }

    #[tokio::test]
    async fn it_has_a_process_group_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let child = shell(folder.path(), 1);
        let id = Pid::from_raw(i32::try_from(child.child.id().unwrap()).unwrap());
        assert_eq!(rustix::process::getpgid(id).unwrap(), id.unwrap());
        let patience = Patience {
            whole: Duration::ZERO,
            drain: LONG,
            last: LONG,
        };
        lines(folder.path(), 1).await;
        let (_, mut nobody) = watch::channel::<Option<Interrupt>>(None);
        child.wait(patience, &mut nobody).await.unwrap();
    }
}
