//! A node's clock is set wrong, in the way that its profile names: a file says by how much, a metric shows the result.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::Stage;
use crate::plan::ClockLever;

/// The node has so long to follow.
const FOLLOWS: Duration = Duration::from_secs(5);
/// One look at the metrics.
const LOOK: Duration = Duration::from_secs(1);
/// Largest page that is read.
const LONGEST: u64 = 1 << 20;
/// What the clock shows was true a moment ago.
const NEAR: i64 = 150;

/// Moves the clock by so many microseconds, and stays.
pub(super) fn skew(stage: &Stage, ahead: i64, lever: Option<&ClockLever>) -> Result<(), io::Error> {
    let lever = lever.ok_or_else(|| io::Error::other("the profile does not say how"))?;
    // The mark first: by it whoever takes this back knows which file to remove.
    fs::write(stage.file("clock"), &lever.file)?;
    #[expect(clippy::cast_precision_loss, reason = "a day in microseconds fits")]
    let seconds = ahead as f64 / 1e6;
    fs::write(stage.disk.join(&lever.file), format!("{seconds:+.6}\n"))?;
    let deadline = Instant::now() + FOLLOWS;
    let wanted = ahead / 1_000;
    let (effective, proof) = loop {
        let shown = shown(lever);
        let near = shown.as_ref().is_ok_and(|off| (off - wanted).abs() <= NEAR);
        if near || Instant::now() >= deadline {
            let proof = match shown {
                Ok(off) => {
                    format!("its clock is {off} ms ahead of the machine's, {wanted} asked for")
                }
                Err(error) => format!("its clock cannot be read: {error}"),
            };
            break (near, proof);
        }
        std::thread::sleep(super::LOOK);
    };
    stage.tell(effective, proof);
    stage.stay(|| {});
    Ok(())
}

/// Milliseconds that the node's clock is ahead, by its own metric.
fn shown(lever: &ClockLever) -> Result<i64, io::Error> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, lever.port))?;
    stream.set_read_timeout(Some(LOOK))?;
    stream.set_write_timeout(Some(LOOK))?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: node\r\nConnection: close\r\n\r\n")?;
    let mut page = Vec::new();
    // Whole or cut: what was read is looked at.
    let _ = stream.take(LONGEST).read_to_end(&mut page);
    let page = String::from_utf8_lossy(&page);
    let value = page
        .lines()
        .find_map(|line| {
            line.strip_prefix(lever.metric.as_str())?
                .trim()
                .parse::<i64>()
                .ok()
        })
        .ok_or_else(|| io::Error::other(format!("no metric {}", lever.metric)))?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Ok(value - i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
}

/// Removes the file that the fault of this mark has written, if it has.
pub(super) fn restore(mark: &Path, disk: &Path) -> Result<(), io::Error> {
    let file = match fs::read_to_string(mark) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    // Written by us, on the node's disk: it is not believed beyond a plain name.
    if file.is_empty() || file.contains('/') || file == ".." || file == "." {
        return Ok(());
    }
    match fs::remove_file(disk.join(file)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
