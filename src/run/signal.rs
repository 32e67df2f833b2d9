//! SIGINT and SIGTERM: the first drains, reports and cleans up; a later one ends the drain. Removal needs no forcing:
//! containers are always killed, and what was begun is finished, so that nothing is left behind.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Exit;

/// Which signal came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupt {
    /// SIGINT, Ctrl-C.
    Int,
    /// SIGTERM.
    Term,
}

impl Interrupt {
    /// The signal's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Int => "SIGINT",
            Self::Term => "SIGTERM",
        }
    }

    /// By its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Int, Self::Term]
            .into_iter()
            .find(|interrupt| interrupt.name() == name)
    }

    /// The exit code of a run that it ended.
    #[must_use]
    pub fn exit(self) -> Exit {
        match self {
            Self::Int => Exit::Interrupted,
            Self::Term => Exit::Terminated,
        }
    }
}

/// Both signals, from now on.
#[derive(Debug)]
pub struct Signals {
    int: Signal,
    term: Signal,
    first: Option<Interrupt>,
}

impl Signals {
    /// Takes the signals over.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn install() -> std::io::Result<Self> {
        Ok(Self {
            int: signal(SignalKind::interrupt())?,
            term: signal(SignalKind::terminate())?,
            first: None,
        })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> Interrupt {
        let interrupt = tokio::select! {
            _ = self.int.recv() => Interrupt::Int,
            _ = self.term.recv() => Interrupt::Term,
        };
        self.first.get_or_insert(interrupt);
        interrupt
    }

    /// A signal came to the process that owned the run before this one.
    pub fn came_before(&mut self, interrupt: Interrupt) {
        self.first.get_or_insert(interrupt);
    }

    /// The first signal that came, if any did.
    #[must_use]
    pub fn first(&self) -> Option<Interrupt> {
        self.first
    }
}
