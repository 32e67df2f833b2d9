//! The beginning of a run's hold on the machine: its reservation is made, and it waits for its turn or gives up.

use std::time::{Duration, Instant};

use super::{
    directory::{RunDirectory, RunState},
    error::RunError,
    ownership::{EngineRun, engine_runs},
    signal::Signals,
};
use crate::{
    engine::{Docker, EngineError, labels::RunLabels, pack::PackedImage, reservation, room},
    exit::Exit,
    plan::reserve::{Holder, Machine, Reserve, Taken, Ticket, admit},
    time::human,
};

/// How often a run that waits looks again.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The same where it is the disk that it waits for: a container is started for each look.
const LOOK_AT_ROOM_EVERY: Duration = Duration::from_secs(15);

/// How often it says that it still waits.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// What a run does that does not fit beside others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserving {
    /// It ends, and says who is before it.
    OrEnd,
    /// It waits, for so long at most.
    OrWait(Duration),
    /// It starts all the same; others respect its reservation.
    Anyway,
}

impl Reserving {
    /// How long it waits at most.
    #[must_use]
    pub fn longest(self) -> Duration {
        match self {
            Self::OrWait(most) => most,
            Self::OrEnd | Self::Anyway => Duration::ZERO,
        }
    }
}

/// Reservations that others have to respect: of runs that somebody owns, and of what a lost owner or `--keep` left
/// running. What was left longer ago than its time to live is removed by the next command that starts something.
#[must_use]
pub fn holders(runs: &[EngineRun]) -> Vec<Holder> {
    let holding = runs.iter().filter(|run| run.holds());
    let holders = holding.filter_map(|run| {
        let reservation = run.found.reservation?;
        Some(Holder {
            name: run.name(),
            ticket: Ticket {
                at: reservation.at,
                run: run.found.run.clone(),
            },
            reserve: reservation.reserve,
            launched: run.found.nodes > 0,
        })
    });
    holders.collect()
}

/// A run that asks for its place.
pub(super) struct Asking<'a> {
    pub(super) docker: &'a Docker,
    pub(super) labels: &'a RunLabels,
    /// This program's image: it asks for the room where the engine keeps its data.
    pub(super) program: &'a PackedImage,
    pub(super) wants: Reserve,
    pub(super) reserving: Reserving,
}

/// Makes the reservation and comes back when it is the run's turn; after an error its reservation is still there.
///
/// # Errors
/// When others hold what it needs and it is not to wait, or not that long; a signal; what the engine said.
pub(super) async fn reserve(
    asking: Asking<'_>,
    signals: &mut Signals,
    mut say: impl FnMut(&str),
) -> Result<(), RunError> {
    let (ticket, seen) = reservation::reserve(asking.docker, asking.labels, asking.wants).await?;
    if asking.reserving == Reserving::Anyway {
        return Ok(());
    }
    let begun = Instant::now();
    let mut pause = seen.saturating_duration_since(begun);
    let mut told: Option<(String, Instant)> = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            interrupt = signals.next() => return Err(RunError::Interrupted(interrupt)),
        }
        let (turn, asked_for_room) = look(&asking, &ticket).await?;
        pause = if asked_for_room {
            LOOK_AT_ROOM_EVERY
        } else {
            LOOK_EVERY
        };
        let Err(taken) = turn else {
            if told.is_some() {
                say(&format!("its turn after {}", human(begun.elapsed())));
            }
            return Ok(());
        };
        let waited = begun.elapsed();
        if waited >= asking.reserving.longest() {
            return Err(RunError::Taken(taken));
        }
        let names = taken.names();
        let due = told
            .as_ref()
            .is_none_or(|(before, at)| *before != names || at.elapsed() >= TELL_EVERY);
        if due {
            say(&format!(
                "waits for {names}, {} so far: {}",
                human(waited),
                taken.short.join("; ")
            ));
            told = Some((names, Instant::now()));
        }
    }
}

/// Whether it is the run's turn, and whether a container was started to find out.
async fn look(
    asking: &Asking<'_>,
    ticket: &Ticket,
) -> Result<(Result<(), Taken>, bool), EngineError> {
    let holders = holders(&engine_runs(asking.docker).await?);
    let info = asking.docker.info();
    let mut machine = Machine {
        cpus: info.cpus,
        memory: info.memory,
        room: None,
    };
    let fits = admit(ticket, &asking.wants, &holders, &machine);
    let alone = holders.iter().all(|holder| holder.ticket.run == ticket.run);
    // A container is started to ask for the room: only where the answer may matter.
    if fits.is_err() || alone {
        return Ok((fits, false));
    }
    let room = room::by_container(asking.docker, asking.program, asking.labels.run()).await?;
    machine.room = Some(room.free);
    Ok((admit(ticket, &asking.wants, &holders, &machine), true))
}

/// Forgets a run that gave up before its start: what it has written says nothing. A directory that somebody else made
/// for it stays, with what it came to.
pub(super) fn forget(directory: &RunDirectory, given: bool, error: &RunError) {
    let (exit, word) = match error {
        RunError::Taken(_) => (Exit::Infra, "none: the machine was taken"),
        RunError::Interrupted(interrupt) => (interrupt.exit(), "none: ended before its start"),
        _ => return,
    };
    if given {
        let told = directory.record().and_then(|mut record| {
            record.state = RunState::Finished;
            record.exit = Some(exit as u8);
            record.verdict = Some(word.to_owned());
            directory.write_record(&record)
        });
        // The reason is on its way to people; that the record does not have it too is the lesser trouble.
        let _ = told;
    } else {
        let _ = std::fs::remove_dir_all(directory.path());
        if let Some(plan) = directory.path().parent() {
            // Only where this was the plan's first run.
            let _ = std::fs::remove_dir(plan);
        }
    }
}
