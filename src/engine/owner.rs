//! Who owns a run: a process on a machine since its last boot.
//!
//! The lock on the run directory decides; these facts only say whether a lock's holder can still be alive when the
//! directory itself is out of sight (another container, another machine).

use std::{fs, path::Path};

/// A process on a machine, unique until the machine boots again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Process id.
    pub pid: u32,
    /// Boot id of its machine; empty where the system tells none.
    pub boot_id: String,
}

impl Owner {
    /// This process.
    #[must_use]
    pub fn this_process() -> Self {
        Self {
            pid: std::process::id(),
            boot_id: boot_id().unwrap_or_default(),
        }
    }

    /// Whether the process is surely gone: it is of this machine and boot, and no such process runs. `false` when it
    /// may live, also when it may live on another machine or before this boot.
    ///
    /// Not checked: whether the process id was given to another process meanwhile; then it counts as alive. A
    /// process of another process namespace (another container on this machine) cannot be seen and counts as gone;
    /// the lock on the run directory decides then.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        match boot_id() {
            Some(now) if !self.boot_id.is_empty() => {
                now == self.boot_id && !process_lives(self.pid)
            }
            _ => false,
        }
    }

    /// Whether the owner ran before the last boot of what may be this machine, or elsewhere: its boot id is not
    /// this machine's.
    #[must_use]
    pub fn is_of_another_boot(&self) -> bool {
        boot_id().is_some_and(|now| !self.boot_id.is_empty() && now != self.boot_id)
    }
}

/// The boot id of this machine, if the system tells it.
#[must_use]
pub fn boot_id() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let text = text.trim();
    let plausible = !text.is_empty()
        && text.len() <= 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    plausible.then(|| text.to_owned())
}

/// Whether a process with this id runs here, as far as this process can see.
#[must_use]
pub fn process_lives(pid: u32) -> bool {
    let Some(raw) = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    else {
        return false;
    };
    match rustix::process::test_kill_process(raw) {
        Ok(()) => !is_zombie(pid),
        Err(error) => error == rustix::io::Errno::PERM,
    }
}

/// A zombie has ended; only its parent has not noticed.
fn is_zombie(pid: u32) -> bool {
    let path = Path::new("/proc").join(pid.to_string()).join("stat");
    fs::read_to_string(path).is_ok_and(|stat| {
        // The state follows the parenthesised name, which may itself hold parentheses.
        stat.rsplit_once(')')
            .is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_an_impossible_one_does_not() {
        let owner = Owner::this_process();
        assert!(!owner.is_gone());
        assert!(!owner.is_of_another_boot());
        let gone = Owner {
            // Above the kernel's largest process id.
            pid: 0x7fff_fff0,
            ..owner.clone()
        };
        assert_eq!(gone.is_gone(), !owner.boot_id.is_empty());
    }

    #[test]
    fn an_ended_child_is_gone_before_it_is_reaped() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while process_lives(pid) {
            assert!(
                std::time::Instant::now() < deadline,
                "a zombie counts as alive"
            );
            std::thread::yield_now();
        }
        child.wait().unwrap();
    }
}
