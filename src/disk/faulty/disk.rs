//! A FUSE disk as all its threads see it: the backing folder, the rules in force, and whether there is power.
//!
//! ```text
//!            arm                     a file is synced               refuse                behave, or its time is over
//!  power ---------> power, a trap ---------------------> dark, held --------> dark, EIO ------------------------------> power
//!                                  what was not synced     (the node is killed here)      (what the kernel cached is dropped)
//!                                  is undone
//! ```

use std::{
    ffi::OsStr,
    io,
    path::Path,
    sync::{
        Arc, Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::io::Errno;

use super::{
    backing::Backing,
    cut::Cut,
    node::{Node, lock},
    rules::{Asked, Rules, is_like},
};
use crate::fault::operation::faulty::{FileError, FileOperation, FileRule, Torn};

/// An operation is held no longer than this while there is no power: whoever cut it is to kill the node meanwhile.
const HOLD: Duration = Duration::from_secs(10);
/// A sync in which the power is to be cut is waited for this long.
const TRAP: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) backing: Backing,
    rules: Mutex<Rules>,
    /// Whether there may be a rule: the one look that every operation pays for.
    ruled: AtomicBool,
    /// Rules have ended, or power has.
    calmed: Condvar,
    power: Mutex<Power>,
    dark: AtomicBool,
    trapped: AtomicBool,
    /// Power or trap have changed.
    switched: Condvar,
    /// Operations pass it side by side; a power cut waits for them and keeps new ones out.
    gate: RwLock<()>,
}

#[derive(Debug, Default)]
struct Power {
    off: Option<Off>,
    trap: Option<Trap>,
}

#[derive(Debug)]
struct Off {
    fault: String,
    until: Duration,
    /// Operations fail at once instead of being held.
    refuses: bool,
    cut: Cut,
}

#[derive(Debug)]
struct Trap {
    fault: String,
    until: Duration,
    path: Option<String>,
    sprung: Option<Arc<Node>>,
}

/// What an operation is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Subject<'a> {
    /// An inode, and which of its bytes.
    Node(&'a Node, u64, u64),
    /// A name in a folder.
    Name(&'a Node, &'a OsStr),
}

impl Disk {
    pub(super) fn new(backing: Backing) -> Self {
        Self {
            backing,
            rules: Mutex::default(),
            ruled: AtomicBool::new(false),
            calmed: Condvar::new(),
            power: Mutex::default(),
            dark: AtomicBool::new(false),
            trapped: AtomicBool::new(false),
            switched: Condvar::new(),
            gate: RwLock::new(()),
        }
    }

    /// Does an operation, unless a rule or a power cut says otherwise.
    pub(super) fn run<T>(
        &self,
        operation: FileOperation,
        subject: Subject<'_>,
        act: impl Fn() -> io::Result<T>,
    ) -> io::Result<T> {
        let result = {
            let _power = self.permit(operation, subject)?;
            act()
        };
        let full = matches!(&result, Err(error) if error.raw_os_error() == Some(Errno::NOSPC.raw_os_error()))
            && self.backing.holds_room();
        if full || self.backing.over_budget() {
            let _alone = self.gate.write().unwrap_or_else(PoisonError::into_inner);
            // If it fails, more is kept for a while than should be.
            let _kept = self.backing.write_back();
            // A file without a name takes room for as long as it is known here.
            self.backing.sweep();
        }
        if full {
            let _power = self.permit(operation, subject)?;
            return act();
        }
        result
    }

    /// For what no rule is about.
    pub(super) fn look<T>(&self, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let _power = self.powered()?;
        act()
    }

    fn permit(
        &self,
        operation: FileOperation,
        subject: Subject<'_>,
    ) -> io::Result<RwLockReadGuard<'_, ()>> {
        if self.ruled.load(Ordering::Acquire) {
            self.misbehave(operation, subject)?;
        }
        self.powered()
    }

    fn powered(&self) -> io::Result<RwLockReadGuard<'_, ()>> {
        loop {
            if self.dark.load(Ordering::Acquire) {
                self.hold()?;
            }
            let gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
            if !self.dark.load(Ordering::Acquire) {
                return Ok(gate);
            }
        }
    }

    /// Waits for power, for a while.
    fn hold(&self) -> io::Result<()> {
        let power = lock(&self.power);
        let waits = |power: &mut Power| {
            let refuses = power.off.as_ref().is_some_and(|off| off.refuses);
            self.dark.load(Ordering::Acquire) && !refuses
        };
        let _held = self
            .switched
            .wait_timeout_while(power, HOLD, waits)
            .unwrap_or_else(PoisonError::into_inner);
        if self.dark.load(Ordering::Acquire) {
            return Err(Errno::IO.into());
        }
        Ok(())
    }

    fn misbehave(&self, operation: FileOperation, subject: Subject<'_>) -> io::Result<()> {
        let (path, offset, length) = match subject {
            Subject::Node(node, offset, length) => (self.backing.path(node), offset, length),
            Subject::Name(folder, name) => {
                let path = Path::new(&self.backing.path(folder)).join(name);
                (path.to_string_lossy().into_owned(), 0, 0)
            }
        };
        let asked = Asked {
            operation,
            path: &path,
            offset,
            length,
        };
        let mut rules = lock(&self.rules);
        let begun = self.backing.now();
        let Some(does) = rules.decide(&asked, begun) else {
            return Ok(());
        };
        let end = begun + does.delay;
        let mut now = begun;
        while now < end {
            if !rules.in_force(&does.fault, now) || self.dark.load(Ordering::Acquire) {
                return Ok(());
            }
            let left = end - now;
            rules = self
                .calmed
                // What ends by itself tells nobody.
                .wait_timeout(rules, left.min(Duration::from_millis(100)))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            now = self.backing.now();
        }
        match does.error {
            Some(error) => Err(errno(error).into()),
            None => Ok(()),
        }
    }

    /// Takes a rule for so long; `false` if there are too many.
    pub(super) fn set_rule(&self, fault: &str, rule: FileRule, lasts: Duration) -> bool {
        let taken = lock(&self.rules).set(fault, rule, self.backing.now() + lasts);
        self.ruled.store(true, Ordering::Release);
        taken
    }

    /// Operations that a rule has hit; `None` if it is over.
    pub(super) fn hits(&self, fault: &str) -> Option<u64> {
        lock(&self.rules).hits(fault)
    }

    /// Ends a fault's rule; answers how many operations it has hit.
    pub(super) fn end_rule(&self, fault: &str) -> u64 {
        let mut rules = lock(&self.rules);
        let hits = rules.end(fault);
        self.ruled.store(!rules.is_empty(), Ordering::Release);
        self.calmed.notify_all();
        hits
    }

    /// A file is about to be synced: the power may fail now.
    pub(super) fn about_to_sync(&self, node: &Arc<Node>) {
        if !self.trapped.load(Ordering::Acquire) || node.undo().written().is_none() {
            return;
        }
        let path = self.backing.path(node);
        let mut power = lock(&self.power);
        let Some(trap) = &mut power.trap else { return };
        let here = trap
            .path
            .as_ref()
            .is_none_or(|pattern| is_like(&path, pattern));
        if here && trap.sprung.is_none() {
            trap.sprung = Some(Arc::clone(node));
            self.dark.store(true, Ordering::Release);
            self.switched.notify_all();
        }
    }

    /// Cuts the power, at the next sync of a file if one comes soon. Operations are held from then on.
    ///
    /// # Errors
    /// When there is no power already, or something could not be undone.
    pub(super) fn cut_power(&self, wanted: &PowerCut<'_>) -> io::Result<String> {
        {
            let mut power = lock(&self.power);
            if power.off.is_some() || power.trap.is_some() {
                return Err(io::Error::other("the disk has no power already"));
            }
            power.trap = Some(Trap {
                fault: wanted.fault.to_owned(),
                until: self.backing.now() + wanted.lasts,
                path: wanted.path.map(str::to_owned),
                sprung: None,
            });
            self.trapped.store(true, Ordering::Release);
            let waits = |power: &mut Power| {
                power
                    .trap
                    .as_ref()
                    .is_some_and(|trap| trap.sprung.is_none())
            };
            // Either way it is dark afterwards.
            let _waited = self
                .switched
                .wait_timeout_while(power, TRAP.min(wanted.lasts), waits)
                .unwrap_or_else(PoisonError::into_inner);
            self.dark.store(true, Ordering::Release);
        }
        self.calmed.notify_all();
        let _alone = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        let mut power = lock(&self.power);
        self.trapped.store(false, Ordering::Release);
        let Some(trap) = power.trap.take() else {
            self.dark.store(false, Ordering::Release);
            self.switched.notify_all();
            return Err(io::Error::other("the fault was healed meanwhile"));
        };
        let torn = trap
            .sprung
            .or_else(|| self.backing.last_written(wanted.path));
        let cut = self.backing.cut(torn.as_ref(), wanted.torn, wanted.seed);
        let said = cut.as_ref().map(told).unwrap_or_default();
        let failed = cut.as_ref().err().map(ToString::to_string);
        power.off = Some(Off {
            fault: trap.fault,
            until: trap.until,
            refuses: false,
            cut: cut.unwrap_or_default(),
        });
        match failed {
            Some(error) => Err(io::Error::other(format!(
                "the disk could not be brought back to its last sync: {error}"
            ))),
            None => Ok(said),
        }
    }

    /// Bytes and names that the power cut of this fault has taken; `None` if there is none.
    pub(super) fn taken(&self, fault: &str) -> Option<u64> {
        let power = lock(&self.power);
        let off = power.off.as_ref().filter(|off| off.fault == fault)?;
        Some(off.cut.bytes + off.cut.names + off.cut.torn_bytes)
    }

    /// The node is killed: what is held need not be any longer.
    pub(super) fn refuse(&self) {
        if let Some(off) = &mut lock(&self.power).off {
            off.refuses = true;
        }
        self.switched.notify_all();
    }

    /// Gives power again if it was cut by this fault, or by any whose time is over. `forget` drops what the kernel has
    /// cached of the disk.
    pub(super) fn power_on(&self, fault: Option<&str>, forget: impl FnOnce(&Cut, &Backing)) {
        let cut = {
            let mut power = lock(&self.power);
            let over = |until: Duration| fault.is_none() && until <= self.backing.now();
            if let Some(trap) = &power.trap
                && (fault == Some(trap.fault.as_str()) || over(trap.until))
            {
                power.trap = None;
                self.dark.store(power.off.is_some(), Ordering::Release);
                self.switched.notify_all();
            }
            match &mut power.off {
                Some(off) if fault == Some(off.fault.as_str()) || over(off.until) => {
                    // Nothing may be held while the kernel drops pages: it waits for those that are being written.
                    off.refuses = true;
                    self.switched.notify_all();
                    std::mem::take(&mut off.cut)
                }
                _ => return,
            }
        };
        forget(&cut, &self.backing);
        lock(&self.power).off = None;
        self.dark.store(false, Ordering::Release);
        self.switched.notify_all();
    }

    /// What time alone does: rules end, power comes back, what is old is synced.
    pub(super) fn tick(&self, forget: impl FnOnce(&Cut, &Backing)) {
        {
            let mut rules = lock(&self.rules);
            rules.expire(self.backing.now());
            self.ruled.store(!rules.is_empty(), Ordering::Release);
        }
        self.power_on(None, forget);
        if let Ok(_power) = self.gate.try_read() {
            self.backing.write_back_older(super::backing::EXPIRES);
            self.backing.sweep();
        }
    }
}

/// How a power cut is wanted.
#[derive(Debug)]
pub(super) struct PowerCut<'a> {
    pub(super) fault: &'a str,
    pub(super) lasts: Duration,
    pub(super) torn: Torn,
    pub(super) path: Option<&'a str>,
    pub(super) seed: u64,
}

fn told(cut: &Cut) -> String {
    let mut said = format!(
        "{} bytes of {} files and {} names that were not synced are gone",
        cut.bytes, cut.files, cut.names
    );
    if let Some(path) = &cut.torn_path {
        said.push_str(&format!(
            "; the last write to {path} lost {} bytes",
            cut.torn_bytes
        ));
    }
    said
}

fn errno(error: FileError) -> Errno {
    match error {
        FileError::Eio => Errno::IO,
        FileError::Enospc => Errno::NOSPC,
        FileError::Edquot => Errno::DQUOT,
        FileError::Erofs => Errno::ROFS,
        FileError::Efbig => Errno::FBIG,
        FileError::Enodev => Errno::NODEV,
        FileError::Etimedout => Errno::TIMEDOUT,
    }
}
