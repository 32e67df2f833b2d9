//! Orders to a FUSE disk: one line of JSON in, one out, over a socket inside the disk's own container.
//!
//! Whoever gives an order may be gone before it is over: each carries its own time.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    disk::{Disk, PowerCut},
    forget::Forget,
};
use crate::fault::operation::{FaultyOp, Outcome, faulty::FileOperation};

/// A small tmpfs of the container.
pub const CONTROL_FOLDER: &str = "/work";
/// Where the socket is in the container.
pub const CONTROL: &str = concat!("/work", "/control");
/// Longest order.
const MOST: u64 = 64 * 1024;
/// The first operation that a rule hits is waited for this long: a chain that writes each block does not take it.
const FIRST: Duration = Duration::from_secs(10);
/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(10);
/// Whoever has connected says something within this time.
const SPEAKS: Duration = Duration::from_secs(10);
/// Files named in a report.
const NAMED: usize = 20;

/// What a FUSE disk can be told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// An operation of a fault. Answers an [`Outcome`].
    Do(FaultyOp),
    /// The node whose power was cut is killed: what is held fails now. Answers an [`Outcome`].
    Refuse,
    /// Unsynced bytes of the files that have most. Answers a list of paths and bytes.
    Report,
}

/// Serves orders for ever.
pub(super) fn serve(listener: &UnixListener, disk: &Arc<Disk>, forget: &Forget) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        let (disk, forget) = (Arc::clone(disk), forget.clone());
        // Few at a time: a fault gives one or two orders.
        let spawned = thread::Builder::new()
            .name("order".to_owned())
            .spawn(move || {
                // Whoever asked and left is told nothing.
                let _gone = answer(stream, &disk, &forget);
            });
        drop(spawned);
    }
}

/// Listens at a path, in place of whatever was there.
pub(super) fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => UnixListener::bind(path),
    }
}

fn answer(stream: UnixStream, disk: &Disk, forget: &Forget) -> io::Result<()> {
    stream.set_read_timeout(Some(SPEAKS))?;
    let mut line = String::new();
    io::Read::take(BufReader::new(&stream), MOST).read_line(&mut line)?;
    let said = match serde_json::from_str(&line) {
        Ok(order) => carry_out(&order, disk, forget),
        Err(error) => Err(error.into()),
    };
    let said = said.map_err(|error| error.to_string());
    let mut line = serde_json::to_string(&said)?;
    line.push('\n');
    (&stream).write_all(line.as_bytes())
}

fn carry_out(order: &Order, disk: &Disk, forget: &Forget) -> io::Result<serde_json::Value> {
    let outcome = match order {
        Order::Do(FaultyOp::Misbehave { fault, lasts, rule }) => {
            if rule.operations.contains(&FileOperation::Read) {
                // A page that the kernel has would never be asked for. Before the rule is in force: the kernel waits
                // for pages that are being written, and the rule might hold them.
                forget.pages(&disk.backing);
            }
            if !disk.set_rule(fault, rule.clone(), *lasts) {
                return Err(io::Error::other("too many rules are in force"));
            }
            first_hit(disk, fault, FIRST.min(*lasts))
        }
        Order::Do(FaultyOp::PowerCut {
            fault,
            lasts,
            torn,
            path,
            seed,
        }) => {
            let proof = disk.cut_power(&PowerCut {
                fault,
                lasts: *lasts,
                torn: *torn,
                path: path.as_deref(),
                seed: *seed,
            })?;
            Outcome {
                effective: disk.taken(fault).is_some_and(|taken| taken > 0),
                proof,
            }
        }
        Order::Do(FaultyOp::Behave { fault }) => {
            let hits = disk.end_rule(fault);
            disk.power_on(Some(fault), |cut, backing| forget.all(cut, backing));
            Outcome {
                effective: true,
                proof: format!("behaves again; {hits} operations were hit"),
            }
        }
        Order::Refuse => {
            disk.refuse();
            Outcome {
                effective: true,
                proof: "what was held has failed".to_owned(),
            }
        }
        Order::Report => {
            let mut files = disk.backing.unsynced_files();
            files.truncate(NAMED);
            return serde_json::to_value(files).map_err(io::Error::from);
        }
    };
    serde_json::to_value(outcome).map_err(io::Error::from)
}

/// Waits for the first operation that a rule hits: a rule that hits none has no effect.
fn first_hit(disk: &Disk, fault: &str, within: Duration) -> Outcome {
    let begun = Instant::now();
    let mut hits = Some(0);
    while hits == Some(0) && begun.elapsed() < within {
        thread::sleep(LOOK);
        hits = disk.hits(fault);
    }
    let hits = hits.unwrap_or(0);
    Outcome {
        effective: hits > 0,
        proof: format!(
            "{hits} operations were hit within {} ms",
            begun.elapsed().as_millis()
        ),
    }
}

/// Gives an order, as JSON, to the disk that takes them at this place; answers what came of it.
///
/// # Errors
/// When nobody serves a disk there, or what it said.
pub fn ask(control: &Path, order: &str) -> io::Result<serde_json::Value> {
    let mut stream = UnixStream::connect(control)?;
    stream.write_all(order.as_bytes())?;
    stream.write_all(b"\n")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    serde_json::from_str::<Result<serde_json::Value, String>>(&line)?.map_err(io::Error::other)
}
