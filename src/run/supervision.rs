//! Runs that survive their owner: who supervises one, and what follows when its owner has ended. Deciding is pure.
//!
//! ```text
//!  owner runs --ends with a verdict--> its exit code
//!        \--ends without--> short wait --> another owner takes the run over --> owner runs
//!                              \-- several in a row lived only shortly --> given up, and said what to do
//! ```

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::directory::{RunDirectory, RunRecord, RunState};
use crate::{
    exit::Exit,
    journal::{Event, JOURNAL_FOLDER, Reader},
};

/// What was supervised, and how: a file of the run's directory.
const FILE: &str = "supervised.json";
/// Held by the supervisor as long as it lives. The owner holds another one, so that it outlives its supervisor.
const LOCK: &str = "supervisor.lock";
/// An owner that lived less long than this did not get anywhere.
pub const SHORT_LIFE: Duration = Duration::from_secs(60);
/// Wait before the next owner, doubling with each short life in a row. What is not watched meanwhile is a gap of the
/// journal, so that it is short.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How a supervised run was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Supervised {
    /// Words of the first owner's command line, as bytes: they may be no text.
    arguments: Vec<Vec<u8>>,
    /// Where it was typed: paths in them begin there.
    folder: PathBuf,
}

/// Writes down how a supervised run was begun, so that a later supervisor knows it again.
///
/// # Errors
/// When the directory cannot be written.
pub fn keep(directory: &RunDirectory, arguments: &[OsString]) -> io::Result<()> {
    let supervised = Supervised {
        arguments: bytes(arguments),
        folder: std::env::current_dir()?,
    };
    let text = serde_json::to_vec(&supervised)?;
    directory.write(FILE, &text).map_err(io::Error::other)
}

/// How a run was begun, if it was supervised: the command line of its first owner, and where it was typed.
#[must_use]
pub fn begun(directory: &RunDirectory) -> Option<(Vec<OsString>, PathBuf)> {
    let text = fs::read(directory.path().join(FILE)).ok()?;
    let supervised: Supervised = serde_json::from_slice(&text).ok()?;
    let words = supervised.arguments.into_iter().map(OsString::from_vec);
    Some((words.collect(), supervised.folder))
}

fn bytes(arguments: &[OsString]) -> Vec<Vec<u8>> {
    let bytes = arguments.iter().map(|word| word.as_bytes().to_vec());
    bytes.collect()
}

/// Whether a run was begun by just this command line, here.
#[must_use]
pub fn is_begun_by(directory: &RunDirectory, arguments: &[OsString]) -> bool {
    begun(directory).is_some_and(|(words, folder)| {
        words == arguments && std::env::current_dir().is_ok_and(|here| here == folder)
    })
}

/// The right to supervise a run.
#[derive(Debug)]
pub struct SupervisorLock {
    _file: File,
}

impl SupervisorLock {
    /// Takes it; `None` when another supervisor lives.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn take(directory: &RunDirectory) -> io::Result<Option<Self>> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(directory.path().join(LOCK))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a supervisor sees to a run: while it has no owner, another one comes.
#[must_use]
pub fn is_supervised(directory: &RunDirectory) -> bool {
    let Ok(file) = File::open(directory.path().join(LOCK)) else {
        return false;
    };
    // A shared lock suffices to find out, and several askers do not take each other for the supervisor.
    flock(&file, FlockOperation::NonBlockingLockShared).is_err()
}

/// Whether a run has begun: its journal has its plan, so that it can be taken over. Nothing was watched before.
#[must_use]
pub fn has_begun(directory: &Path) -> bool {
    let first = Reader::open(&directory.join(JOURNAL_FOLDER)).map(|mut entries| entries.next());
    matches!(first, Ok(Some(Ok(entry))) if matches!(entry.event, Event::RunStarted { .. }))
}

/// Whether something is still to come of a run.
#[must_use]
pub fn is_unfinished(record: &RunRecord) -> bool {
    record.exit.is_none() && record.state != RunState::Finished
}

/// How an owner ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With this exit code.
    Code(u8),
    /// By a signal, or nobody knows how.
    Torn,
}

/// What follows the end of an owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The run is over, and this is its exit code.
    Over(u8),
    /// Somebody else has removed it.
    Removed,
    /// Another owner, after this wait.
    Owner {
        /// The wait.
        after: Duration,
        /// The run had not begun: it is begun, and not taken over.
        begin: bool,
    },
    /// So many owners in a row lived only shortly.
    GivenUp {
        /// How many.
        owners: u32,
    },
}

/// The owners of a run so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owners {
    /// Owners in a row that may live only shortly.
    most: u32,
    /// Those that did.
    short: u32,
}

impl Owners {
    /// None yet; so many in a row may live only shortly.
    #[must_use]
    pub fn new(most: u32) -> Self {
        Self { most, short: 0 }
    }

    /// An owner has ended after so long. What its run's record says now, and whether the run has begun, decide.
    #[must_use]
    pub fn ended(&mut self, end: End, lived: Duration, record: &RunRecord, begun: bool) -> Next {
        if let Some(exit) = record.exit {
            return Next::Over(exit);
        }
        if record.state == RunState::Finished {
            return Next::Removed;
        }
        match end {
            // It has said what it could not do, before anything was begun; the same would be said again.
            End::Code(code) if !begun && code != PANIC => return Next::Over(code),
            // Bad input stays bad, and an end that was asked for is one.
            End::Code(code) if asked_for(code) => return Next::Over(code),
            _ => {}
        }
        self.short = match lived < SHORT_LIFE {
            true => self.short + 1,
            false => 0,
        };
        if self.short >= self.most {
            return Next::GivenUp { owners: self.short };
        }
        let doubled = 1_u32.checked_shl(self.short.saturating_sub(1));
        let after = FIRST_WAIT.saturating_mul(doubled.unwrap_or(u32::MAX));
        Next::Owner {
            after: after.min(LONGEST_WAIT),
            begin: !begun,
        }
    }
}

/// Exit code of a process of this program that panicked.
const PANIC: u8 = 101;

fn asked_for(code: u8) -> bool {
    [Exit::Usage, Exit::Interrupted, Exit::Terminated]
        .iter()
        .any(|exit| *exit as u8 == code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{journal::generate::Shape, run::directory::StateFolder};

    fn record(state: RunState, exit: Option<u8>) -> RunRecord {
        let plan = Shape::default().plan();
        let run = "smoke-1-00000".parse().unwrap();
        RunRecord {
            state,
            exit,
            ..RunRecord::starting(run, "smoke/1".to_owned(), &plan, None)
        }
    }

    const SHORT: Duration = Duration::from_secs(3);

    #[test]
    fn a_verdict_ends_it_and_its_absence_does_not() {
        let mut owners = Owners::new(5);
        let running = record(RunState::Running, None);
        let over = record(RunState::Finished, Some(1));
        assert_eq!(
            owners.ended(End::Torn, SHORT, &over, true),
            Next::Over(1),
            "killed after its verdict"
        );
        let removed = record(RunState::Finished, None);
        assert_eq!(
            owners.ended(End::Torn, SHORT, &removed, true),
            Next::Removed
        );
        for end in [End::Torn, End::Code(PANIC), End::Code(3)] {
            assert!(
                matches!(
                    owners.ended(end, SHORT, &running, true),
                    Next::Owner { begin: false, .. }
                ),
                "{end:?}"
            );
        }
        assert_eq!(
            owners.ended(End::Code(2), SHORT, &running, true),
            Next::Over(2)
        );
    }

    #[test]
    fn what_was_never_begun_is_begun_unless_it_said_that_it_cannot_be() {
        let starting = record(RunState::Starting, None);
        let mut owners = Owners::new(5);
        assert_eq!(
            owners.ended(End::Torn, SHORT, &starting, false),
            Next::Owner {
                after: FIRST_WAIT,
                begin: true
            }
        );
        assert_eq!(
            owners.ended(End::Code(3), SHORT, &starting, false),
            Next::Over(3)
        );
        assert_eq!(
            owners.ended(End::Code(143), SHORT, &starting, false),
            Next::Over(143)
        );
    }

    #[test]
    fn it_waits_longer_and_gives_up_when_owners_live_only_shortly() {
        let running = record(RunState::Running, None);
        let mut owners = Owners::new(4);
        let wait = |next| match next {
            Next::Owner { after, .. } => after,
            other => panic!("{other:?}"),
        };
        let first = wait(owners.ended(End::Torn, SHORT, &running, true));
        let second = wait(owners.ended(End::Torn, SHORT, &running, true));
        assert_eq!((first, second), (FIRST_WAIT, FIRST_WAIT * 2));
        // One that lived long was well: what came before it counts no more.
        let third = wait(owners.ended(End::Torn, SHORT_LIFE, &running, true));
        assert_eq!(third, FIRST_WAIT);
        for _ in 0..3 {
            let after = wait(owners.ended(End::Torn, SHORT, &running, true));
            assert!(after <= LONGEST_WAIT);
        }
        assert_eq!(
            owners.ended(End::Torn, SHORT, &running, true),
            Next::GivenUp { owners: 4 }
        );
    }

    #[test]
    fn one_supervisor_has_a_run_and_the_next_knows_it_again() {
        let root = tempfile::tempdir().unwrap();
        let state = StateFolder::open(Some(root.path())).unwrap();
        let (directory, _owner, ..) = state.create("smoke").unwrap();
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        assert_eq!(begun(&directory), None);
        keep(&directory, &words(&["soak", "smoke"])).unwrap();
        assert!(is_begun_by(&directory, &words(&["soak", "smoke"])));
        assert!(!is_begun_by(&directory, &words(&["soak", "nightly"])));
        let lock = SupervisorLock::take(&directory).unwrap();
        assert!(lock.is_some());
        assert!(SupervisorLock::take(&directory).unwrap().is_none());
        assert!(is_supervised(&directory));
        drop(lock);
        assert!(!is_supervised(&directory));
        assert!(SupervisorLock::take(&directory).unwrap().is_some());
        assert!(!has_begun(directory.path()));
    }
}
