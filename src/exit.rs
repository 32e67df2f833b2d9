//! The exit codes of every verb: a public interface, documented in the README.

use std::process::ExitCode;

/// How the program ends. Teams that cannot tell a product failure from an infrastructure failure switch the gate off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The network passed the gate, or the verb did what it was asked.
    Pass = 0,
    /// The network failed the gate.
    Fail = 1,
    /// Bad input or usage; nothing was started.
    Usage = 2,
    /// The host, the engine or the canary could not do the work.
    Infra = 3,
    /// All worked, but there is too little evidence.
    Inconclusive = 4,
    /// Ended by SIGINT, after draining, reporting and cleaning up.
    Interrupted = 130,
    /// Ended by SIGTERM, after draining, reporting and cleaning up.
    Terminated = 143,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
