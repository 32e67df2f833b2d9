//! The writes that the core waits for: one slot a kind, re-issued after a pause when they fail.

use super::messages::{Micros, Write, WriteId};

/// Kinds of writes. Within a kind the newest replaces the older.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Lock,
    View,
    Head,
}

struct Slot {
    id: WriteId,
    write: Write,
    /// Set while the write waits to be tried again.
    retry_at: Option<Micros>,
    failed: bool,
}

/// The writes under way.
#[derive(Default)]
pub(super) struct Durable {
    next_id: WriteId,
    lock: Option<Slot>,
    view: Option<Slot>,
    head: Option<Slot>,
}

impl Durable {
    fn slot(&mut self, kind: Kind) -> &mut Option<Slot> {
        match kind {
            Kind::Lock => &mut self.lock,
            Kind::View => &mut self.view,
            Kind::Head => &mut self.head,
        }
    }

    /// Puts a write into its slot and gives its id.
    pub(super) fn issue(&mut self, kind: Kind, write: Write) -> WriteId {
        self.next_id += 1;
        let id = self.next_id;
        let failed = self.slot(kind).as_ref().is_some_and(|slot| slot.failed);
        *self.slot(kind) = Some(Slot {
            id,
            write,
            retry_at: None,
            failed,
        });
        id
    }

    /// Forgets a write that is no longer needed. Its result will be ignored.
    pub(super) fn forget(&mut self, kind: Kind) {
        *self.slot(kind) = None;
    }

    /// Whether a write of this kind is wanted and not done.
    pub(super) fn waits(&self, kind: Kind) -> bool {
        match kind {
            Kind::Lock => self.lock.is_some(),
            Kind::View => self.view.is_some(),
            Kind::Head => self.head.is_some(),
        }
    }

    /// Whether anything wanted has failed at least once.
    pub(super) fn is_failing(&self) -> bool {
        [&self.lock, &self.view, &self.head]
            .into_iter()
            .flatten()
            .any(|slot| slot.failed)
    }

    /// A write went through: its kind and content, if it is still wanted.
    pub(super) fn done(&mut self, id: WriteId) -> Option<(Kind, Write)> {
        let kind = self.kind_of(id)?;
        let slot = self.slot(kind).take()?;
        Some((kind, slot.write))
    }

    /// A write failed: it is tried again at `retry_at`. Gives its kind, if it is still wanted.
    pub(super) fn failed(&mut self, id: WriteId, retry_at: Micros) -> Option<Kind> {
        let kind = self.kind_of(id)?;
        if let Some(slot) = self.slot(kind) {
            slot.retry_at = Some(retry_at);
            slot.failed = true;
        }
        Some(kind)
    }

    fn kind_of(&mut self, id: WriteId) -> Option<Kind> {
        [Kind::Lock, Kind::View, Kind::Head]
            .into_iter()
            .find(|kind| self.slot(*kind).as_ref().is_some_and(|slot| slot.id == id))
    }

    /// When the next failed write is due again.
    pub(super) fn deadline(&self) -> Option<Micros> {
        [&self.lock, &self.view, &self.head]
            .into_iter()
            .flatten()
            .filter_map(|slot| slot.retry_at)
            .min()
    }

    /// Failed writes that are due, under new ids.
    pub(super) fn due(&mut self, now: Micros) -> Vec<(WriteId, Write)> {
        let mut due = Vec::new();
        for kind in [Kind::Lock, Kind::View, Kind::Head] {
            let next_id = self.next_id + 1;
            if let Some(slot) = self.slot(kind)
                && slot.retry_at.is_some_and(|at| at <= now)
            {
                slot.id = next_id;
                slot.retry_at = None;
                due.push((slot.id, slot.write.clone()));
                self.next_id = next_id;
            }
        }
        due
    }
}
