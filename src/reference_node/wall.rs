//! The node's wall clock, in the one place that reads it: the machine's, moved by the seconds that a file holds. All
//! containers share the machine's clock, so this is how a canary sets one node's clock wrong and no other's.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicI64, Ordering},
    thread,
    time::{Duration, SystemTime},
};

/// How often the file is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Farther than this no clock is set wrong.
const MOST: f64 = 86_400.0 * 365.0;
/// Stack of the thread that looks.
const STACK: usize = 64 * 1024;

/// Microseconds that the clock is ahead of the machine's.
static AHEAD: AtomicI64 = AtomicI64::new(0);

/// The time by the node's clock.
#[must_use]
pub fn now() -> SystemTime {
    let ahead = ahead();
    let span = Duration::from_micros(ahead.unsigned_abs());
    let now = SystemTime::now();
    let moved = if ahead >= 0 {
        now.checked_add(span)
    } else {
        now.checked_sub(span)
    };
    moved.unwrap_or(now)
}

/// The same in milliseconds since 1970.
#[must_use]
pub fn now_ms() -> u64 {
    let since = now().duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// Microseconds that the clock is ahead of the machine's; negative if it is behind.
#[must_use]
pub fn ahead() -> i64 {
    AHEAD.load(Ordering::Relaxed)
}

/// Follows the file as long as the process lives, on a thread of its own: its disk may hang.
///
/// # Errors
/// When no thread can be started.
pub fn follow(path: PathBuf) -> Result<(), io::Error> {
    AHEAD.store(read(&path), Ordering::Relaxed);
    thread::Builder::new()
        .name("clock".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            loop {
                thread::sleep(LOOK);
                AHEAD.store(read(&path), Ordering::Relaxed);
            }
        })
        .map(drop)
}

/// What the file says; a clock without a file, or with one that nobody can read, is right.
fn read(path: &Path) -> i64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let seconds = text.trim().parse::<f64>().unwrap_or(0.0);
    if !seconds.is_finite() || seconds.abs() > MOST {
        return 0;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a year in microseconds fits"
    )]
    let micros = (seconds * 1e6).round() as i64;
    micros
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_moves_the_clock_and_nonsense_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clock-offset");
        assert_eq!(read(&path), 0);
        for (text, micros) in [
            ("+1.5\n", 1_500_000),
            ("-0.25", -250_000),
            ("soon", 0),
            ("inf", 0),
            ("1e30", 0),
            ("", 0),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(read(&path), micros, "{text:?}");
        }
    }
}
