//! What a run reserves, as labels of an empty volume: there before all else that the run makes, and gone after it.
//!
//! Reservations are ordered by the engine's own clock, since canaries of several machines may share an engine. A
//! reservation that took long to make is made anew with a later time, so that who looks [`SEEN_AFTER`] later sees every
//! reservation that is before its own: of two that start at the same moment never both take themselves for the first.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{
    docker::Docker,
    error::EngineError,
    labels::{self, Labels, Role, RunLabels},
};
use crate::{
    ids::RunId,
    plan::reserve::{Reserve, Ticket},
};

/// Longest time from a reservation's moment until all see it. A busy engine answers two calls in a tenth of it.
pub const SEEN_AFTER: Duration = Duration::from_secs(2);

/// How often a reservation is made anew that took longer. After that it stays: a machine that is so slow is not waited
/// for any longer.
const TRIES: u32 = 5;

/// A reservation as its labels say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reservation {
    /// When it was made, in milliseconds since 1970 by the engine's clock.
    pub at: u64,
    /// What is reserved.
    pub reserve: Reserve,
}

impl Reservation {
    /// Reads labels; `None` where they are no reservation's.
    #[must_use]
    pub fn read(labels: &Labels) -> Option<Self> {
        let number = |key: &str| labels.get(key)?.parse().ok();
        Some(Self {
            at: number(labels::RESERVED_AT)?,
            reserve: Reserve {
                millicores: number(labels::RESERVE_MILLICORES)?,
                memory: number(labels::RESERVE_MEMORY)?,
                disk: number(labels::RESERVE_DISK)?,
                disk_later: number(labels::RESERVE_DISK_LATER)?,
            },
        })
    }

    fn write(&self, labels: &mut Labels) {
        let Reserve {
            millicores,
            memory,
            disk,
            disk_later,
        } = self.reserve;
        let numbers = [
            (labels::RESERVED_AT, self.at),
            (labels::RESERVE_MILLICORES, millicores),
            (labels::RESERVE_MEMORY, memory),
            (labels::RESERVE_DISK, disk),
            (labels::RESERVE_DISK_LATER, disk_later),
        ];
        labels.extend(numbers.map(|(key, number)| (key.to_owned(), number.to_string())));
    }
}

/// Makes a run's reservation; answers its place, and when all that are before it can be seen.
///
/// # Errors
/// What the engine said. Nothing is left then, unless the engine does not answer any more.
pub async fn reserve(
    docker: &Docker,
    labels: &RunLabels,
    reserve: Reserve,
) -> Result<(Ticket, Instant), EngineError> {
    let run = labels.run();
    let name = labels::reservation_volume(run);
    let mut tried = 0;
    loop {
        let asked = Instant::now();
        let at = match docker.time().await? {
            Some(at) => at,
            None => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_millis() as u64),
        };
        let mut volume = labels.of(Role::Reservation);
        Reservation { at, reserve }.write(&mut volume);
        docker
            .create_volume(&name, &BTreeMap::new(), volume)
            .await?;
        tried += 1;
        if asked.elapsed() < SEEN_AFTER || tried == TRIES {
            let ticket = Ticket {
                at,
                run: run.clone(),
            };
            return Ok((ticket, asked + SEEN_AFTER));
        }
        release(docker, run).await?;
    }
}

/// Takes a run's reservation back; one that is gone is fine.
///
/// # Errors
/// What the engine said.
pub async fn release(docker: &Docker, run: &RunId) -> Result<(), EngineError> {
    docker.remove_volume(&labels::reservation_volume(run)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_say_what_is_reserved() {
        let reservation = Reservation {
            at: 1_764_223_200_123,
            reserve: Reserve {
                millicores: 1_350,
                memory: 5 << 30,
                disk: 7 << 30,
                disk_later: 1 << 30,
            },
        };
        let mut labels = Labels::new();
        assert_eq!(Reservation::read(&labels), None, "an older run's");
        reservation.write(&mut labels);
        assert_eq!(Reservation::read(&labels), Some(reservation));
        labels.insert(labels::RESERVE_MEMORY.to_owned(), "much".to_owned());
        assert_eq!(Reservation::read(&labels), None);
    }
}
