//! The generator of load for chains whose nodes make none: `canarynet load ORDER` in a container of its own. It runs a
//! command once for each transaction, at a steady rate, and says every second what came of it, one JSON line.

use std::{
    collections::BTreeMap,
    io::{self, Read as _, Write as _},
    process::{Child, Command, ExitCode, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{journal::text::clean_bytes, profile::beside::LoadOrder};

/// What stands for the number of the transaction in arguments.
const NUMBER: &str = "%n";
/// How often a command that runs is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// How often it tells.
const TELL: Duration = Duration::from_secs(1);
/// Bytes of a failed command's words that are kept.
const WORDS: usize = 300;

/// What a generator has done since it started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadTold {
    /// Commands that were run.
    pub made: u64,
    /// ... that ended well.
    pub included: u64,
    /// ... that did not.
    pub failed: u64,
    /// Not begun, because as many as may run were still waiting for the chain.
    pub held_back: u64,
    /// Not begun, because the generator itself came too late.
    pub missed: u64,
    /// What the last one that failed said.
    pub error: Option<String>,
    /// How long those took that ended well: upper bound in microseconds, and how many lay in that step.
    pub took: BTreeMap<u64, u64>,
}

/// Runs for ever; ends only when nobody reads.
#[must_use]
pub fn load_main(arguments: &[String]) -> ExitCode {
    let order = match arguments {
        [order] => serde_json::from_str::<LoadOrder>(order).map_err(|error| error.to_string()),
        _ => Err("exactly one argument, the order, is needed".to_owned()),
    };
    let ended = order.and_then(|order| {
        let mut out = io::stdout().lock();
        generate(order, &mut out).map_err(|error| error.to_string())
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // It is the only way to say why there is no load.
            let _ = writeln!(io::stderr(), "load: {why}");
            ExitCode::FAILURE
        }
    }
}

fn generate(order: LoadOrder, out: &mut impl io::Write) -> io::Result<()> {
    let known = order.rate.is_finite() && order.rate > 0.0;
    if !known || order.command.is_empty() || order.parallel == 0 {
        return Err(io::Error::other("an order without rate or command"));
    }
    let told = Arc::new(Mutex::new(LoadTold::default()));
    let order = Arc::new(order);
    // As many tickets as workers: a worker that is about to take one is idle, though it does not wait for it yet. What
    // finds all of them at work was held back.
    let parallel = order.parallel as usize;
    let (work, tickets) = mpsc::sync_channel::<u64>(parallel);
    let tickets = Arc::new(Mutex::new(tickets));
    let under_way = Arc::new(AtomicUsize::new(0));
    for _ in 0..order.parallel {
        let (order, told, tickets) = (Arc::clone(&order), Arc::clone(&told), Arc::clone(&tickets));
        let under_way = Arc::clone(&under_way);
        thread::spawn(move || {
            loop {
                let ticket = {
                    let tickets = tickets.lock().unwrap_or_else(PoisonError::into_inner);
                    tickets.recv()
                };
                let Ok(number) = ticket else { return };
                let begun = Instant::now();
                let result = run(&order, number);
                note(&told, result, begun.elapsed());
                under_way.fetch_sub(1, Ordering::Relaxed);
            }
        });
    }
    let period = Duration::from_secs_f64(1.0 / order.rate);
    let (mut due, mut tell, mut number) = (Instant::now(), Instant::now() + TELL, 0);
    loop {
        let now = Instant::now();
        if now >= tell {
            tell = now + TELL;
            let line = {
                let told = told.lock().unwrap_or_else(PoisonError::into_inner);
                serde_json::to_string(&*told).map_err(io::Error::other)?
            };
            writeln!(out, "{line}")?;
            out.flush()?;
        }
        while due <= now {
            let late = now.duration_since(due) > period.max(Duration::from_millis(100)) * 2;
            due += period;
            number += 1;
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            if late {
                told.missed += 1;
            } else if under_way.load(Ordering::Relaxed) < parallel && work.try_send(number).is_ok()
            {
                // Only here it grows, so that between look and count it can but fall.
                under_way.fetch_add(1, Ordering::Relaxed);
            } else {
                told.held_back += 1;
            }
        }
        thread::sleep(due.min(tell).saturating_duration_since(Instant::now()));
    }
}

fn note(told: &Mutex<LoadTold>, result: Result<(), String>, took: Duration) {
    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
    told.made += 1;
    match result {
        Ok(()) => {
            told.included += 1;
            // Powers of two: a step for each doubling, some twenty in all.
            let bound = (took.as_micros() as u64).max(1).next_power_of_two();
            *told.took.entry(bound).or_default() += 1;
        }
        Err(why) => {
            told.failed += 1;
            told.error = Some(why);
        }
    }
}

/// Runs the command for one transaction.
fn run(order: &LoadOrder, number: u64) -> Result<(), String> {
    let number = number.to_string();
    let mut words = order
        .command
        .iter()
        .map(|word| word.replace(NUMBER, &number));
    let program = words.next().unwrap_or_default();
    let mut child = Command::new(&program)
        .args(words)
        .envs(&order.environment)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{program}: {error}"))?;
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("{status}: {}", words_of(&mut child))),
            Ok(None) if begun.elapsed() < order.deadline => thread::sleep(LOOK),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("no end within {} ms", order.deadline.as_millis()));
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// The beginning of what a command that has ended said on standard error.
fn words_of(child: &mut Child) -> String {
    let mut bytes = vec![0; WORDS];
    let stream = child.stderr.as_mut();
    let length = stream.map_or(0, |stream| stream.read(&mut bytes).unwrap_or(0));
    clean_bytes(bytes[..length].trim_ascii(), WORDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(script: &str) -> LoadOrder {
        LoadOrder {
            command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            environment: BTreeMap::new(),
            rate: 1.0,
            deadline: Duration::from_millis(300),
            parallel: 1,
        }
    }

    #[test]
    fn a_command_ends_well_or_says_why_not() {
        assert_eq!(run(&order("test %n = 7"), 7), Ok(()));
        let said = run(&order("echo no space >&2; exit 3"), 1).unwrap_err();
        assert!(said.contains("3") && said.ends_with("no space"), "{said}");
        let begun = Instant::now();
        let said = run(&order("exec sleep 20"), 1).unwrap_err();
        assert!(said.contains("no end within 300 ms"), "{said}");
        assert!(begun.elapsed() < Duration::from_secs(10));
        let mut missing = order("");
        missing.command[0] = "/nowhere/at/all".to_owned();
        assert!(run(&missing, 1).unwrap_err().contains("/nowhere"));
    }

    /// Takes so many lines, and then nobody reads any more.
    struct Reads(Vec<u8>, usize);

    impl io::Write for Reads {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            // Meanwhile many become due.
            thread::sleep(Duration::from_millis(150));
            self.1 -= 1;
            if self.1 == 0 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            Ok(())
        }
    }

    #[test]
    fn what_is_due_at_once_finds_idle_workers() {
        let mut order = order("");
        order.command = vec!["/bin/true".to_owned()];
        (order.rate, order.parallel) = (100.0, 200);
        order.deadline = Duration::from_secs(20);
        let mut out = Reads(Vec::new(), 3);
        assert!(
            generate(order, &mut out).is_err(),
            "it ends when nobody reads"
        );
        let text = String::from_utf8(out.0).unwrap();
        let told: LoadTold = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        let offered = told.included + told.held_back + told.missed;
        // A loaded machine may start them late, and then some are missed; none is held back while workers are idle.
        assert!(told.held_back * 20 <= offered, "{told:?}");
        assert!(told.included > 0, "{told:?}");
    }

    #[test]
    fn what_came_of_them_is_counted() {
        let told = Mutex::new(LoadTold::default());
        note(&told, Ok(()), Duration::from_micros(900));
        note(&told, Ok(()), Duration::from_micros(1000));
        note(&told, Err("x".to_owned()), Duration::ZERO);
        let told = told.into_inner().unwrap();
        assert_eq!((told.made, told.included, told.failed), (3, 2, 1));
        assert_eq!(told.took, BTreeMap::from([(1024, 2)]));
        assert_eq!(told.error.as_deref(), Some("x"));
    }
}
