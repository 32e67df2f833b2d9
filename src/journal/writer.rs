//! Writes a journal: one line an entry, flushed twice a second, rotated, compressed in the background.
//!
//! What a `kill -9` takes with it is what was not flushed: at most the entries of the last half second of the run's
//! clock, and never one of [`must_last`]. What a power cut takes is what was not synced: at most since the last
//! rotation or the last entry of [`must_last`].
//!
//! As the disk becomes full, more and more is left out that can be; when it is, the reserve file is released, and the
//! journal says so. Beyond that facts are held in memory for a while, and then no more are taken.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    compressor::Compressor,
    error::JournalError,
    event::{Entry, Event},
    reader::last_entry,
    room::{self, Room},
    segments::{self, RESERVE},
    text_lines::longest,
    thinning::{Thinness, Thinning},
};
use crate::{ids::Seq, time::Elapsed};

/// Half of what the promise allows (one second), so that the clock of entries may be a little behind.
const FLUSH_EVERY: Duration = Duration::from_millis(500);
/// Held back in memory at most while the disk is full: some thousand state changes.
const HELD_LIMIT: usize = 1024 * 1024;
/// Handed to the operating system at once from this size on.
const BUFFER: usize = 64 * 1024;
/// A raw segment is counted against the budget as this part of its size, because it will be compressed. Measured on
/// generated journals: 8 to 12.
const EXPECTED_RATIO: u64 = 6;

/// Sizes of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Bytes on disk that the journal should not pass; it is written thinner as it comes near.
    pub budget: u64,
    /// Bytes of a raw segment.
    pub segment: u64,
    /// Bytes kept free for what must be written when the disk is full.
    pub reserve: u64,
}

impl Settings {
    /// Settings for a budget in bytes.
    #[must_use]
    pub fn for_budget(budget: u64) -> Self {
        Self {
            budget,
            // One segment may be raw while the rest is compressed: it must be small against the budget.
            segment: (budget / 8).clamp(64 * 1024, 16 * 1024 * 1024),
            reserve: 1024 * 1024,
        }
    }
}

/// What one [`Writer::append`] wrote: the entry itself unless the budget left it out, and before it an announcement
/// when what is left out has changed. The judge is given exactly these.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Written {
    /// The change of what is left out.
    pub announcement: Option<Entry>,
    /// The entry.
    pub entry: Option<Entry>,
}

impl IntoIterator for Written {
    type Item = Entry;
    type IntoIter = std::iter::Chain<std::option::IntoIter<Entry>, std::option::IntoIter<Entry>>;

    fn into_iter(self) -> Self::IntoIter {
        self.announcement.into_iter().chain(self.entry)
    }
}

/// Where a continued journal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resumed {
    /// The next entry's place.
    pub next: Seq,
    /// Time of the last entry: the run's clock goes on from here.
    pub last: Elapsed,
    /// Bytes of a torn line that were cut off.
    pub cut: u64,
}

/// The one writer of a journal.
#[derive(Debug)]
pub struct Writer {
    directory: PathBuf,
    settings: Settings,
    file: File,
    path: PathBuf,
    number: u64,
    /// Bytes of the open segment, the ones in `held` included.
    segment_bytes: u64,
    held: Vec<u8>,
    next: u64,
    last: Elapsed,
    flushed: Elapsed,
    weighed: u64,
    starved_since: Option<Elapsed>,
    /// What is left out was not told since the writer before left: it may have left out more.
    untold: bool,
    thinning: Thinning,
    compressor: Compressor,
    /// Asks for the room on the disk.
    room: fn(&Path) -> Option<Room>,
}

impl Writer {
    /// Begins a journal in this folder, which is made if it is not there.
    ///
    /// # Errors
    /// When the folder cannot be made, holds a journal already, or has no room.
    pub fn create(directory: &Path, settings: Settings) -> Result<Self, JournalError> {
        let prepare = |source| JournalError::Prepare {
            path: directory.to_owned(),
            source,
        };
        fs::create_dir_all(directory).map_err(prepare)?;
        if !segments::list(directory).map_err(prepare)?.is_empty() {
            return Err(JournalError::Exists {
                path: directory.to_owned(),
            });
        }
        let writer = Self::on(directory, settings, 0, 0)?;
        writer.make_reserve().map_err(prepare)?;
        Ok(writer)
    }

    /// Continues a journal whose writer is gone: cuts a torn last line off and goes on counting.
    ///
    /// # Errors
    /// When the journal cannot be read or its last segment cannot be written.
    pub fn resume(directory: &Path, settings: Settings) -> Result<(Self, Resumed), JournalError> {
        let prepare = |source| JournalError::Prepare {
            path: directory.to_owned(),
            source,
        };
        segments::tidy(directory).map_err(prepare)?;
        let (next, last) = last_entry(directory).map_err(JournalError::Resume)?;
        let found = segments::list(directory).map_err(prepare)?;
        let number = match found.last() {
            Some(segment) if segment.compressed => segment.number + 1,
            Some(segment) => segment.number,
            None => 0,
        };
        let mut writer = Self::on(directory, settings, number, next)?;
        writer.last = last;
        writer.flushed = last;
        writer.untold = true;
        let cut = writer.cut_torn_line()?;
        for segment in &found {
            if segment.compressed {
                writer.compressor.found_compressed(segment.bytes);
            } else if segment.number != number {
                writer.compressor.push(segment.number, segment.bytes);
            }
        }
        // Without room for it the run can still go on; it is tried again as soon as the disk has room.
        if writer.make_reserve().is_err() {
            writer.starved_since = Some(last);
        }
        let resumed = Resumed {
            next: Seq(next),
            last,
            cut,
        };
        Ok((writer, resumed))
    }

    fn on(
        directory: &Path,
        settings: Settings,
        number: u64,
        next: u64,
    ) -> Result<Self, JournalError> {
        let path = segments::raw_path(directory, number);
        let file = open_segment(&path)?;
        Ok(Self {
            directory: directory.to_owned(),
            settings,
            file,
            path,
            number,
            segment_bytes: 0,
            held: Vec::with_capacity(BUFFER * 2),
            next,
            last: Elapsed::default(),
            flushed: Elapsed::default(),
            weighed: 0,
            starved_since: None,
            untold: false,
            thinning: Thinning::default(),
            compressor: Compressor::start(directory)?,
            room: Room::of,
        })
    }

    /// Appends a fact that was learned at this time. Time never runs backwards: an earlier one counts as the last.
    /// The entries that were written are answered in order; the judge is stepped with exactly these.
    ///
    /// # Errors
    /// When the disk is full beyond the reserve (told before the fact is taken: the judge sees all that is written), or
    /// cannot be written.
    pub fn append(&mut self, elapsed: Elapsed, event: Event) -> Result<Written, JournalError> {
        if self.held.len() > HELD_LIMIT {
            self.flush()?;
        }
        if self.held.len() > HELD_LIMIT {
            return Err(self.full());
        }
        let elapsed = elapsed.max(self.last);
        self.last = elapsed;
        let mut written = Written::default();
        if self.weigh(elapsed) | std::mem::take(&mut self.untold) {
            written.announcement = Some(self.write(elapsed, self.thinning.announcement())?);
        }
        if self.thinning.keeps(&event) {
            written.entry = Some(self.write(elapsed, event)?);
        }
        let lasting = written
            .entry
            .as_ref()
            .is_some_and(|entry| must_last(&entry.event));
        if lasting || self.held.len() >= BUFFER || elapsed.since(self.flushed) >= FLUSH_EVERY {
            self.flush()?;
        }
        // What the disk did not take cannot be made to last either.
        if lasting && self.held.is_empty() {
            self.sync()?;
        }
        if self.segment_bytes >= self.settings.segment && self.held.is_empty() {
            self.rotate()?;
        }
        Ok(written)
    }

    /// Hands everything written so far to the operating system; what a full disk does not take is held.
    ///
    /// # Errors
    /// When the disk cannot be written.
    pub fn flush(&mut self) -> Result<(), JournalError> {
        self.flushed = self.last;
        match self.write_held() {
            Ok(()) => Ok(()),
            Err(error) if no_room(&error) => {
                self.starved_since.get_or_insert(self.last);
                if self.release_reserve() {
                    // What is not taken even so is tried again with the next flush.
                    let _ = self.write_held();
                }
                Ok(())
            }
            Err(source) => Err(JournalError::Write {
                path: self.path.clone(),
                source,
            }),
        }
    }

    /// Ends the journal: all is written, synced and compressed. Answers the bytes on disk.
    ///
    /// # Errors
    /// When the last segment cannot be written. What could not be compressed stays readable as it is.
    pub fn finish(mut self) -> Result<u64, JournalError> {
        self.flush()?;
        if !self.held.is_empty() {
            return Err(self.full());
        }
        self.sync()?;
        self.release_reserve();
        self.compressor.push(self.number, self.segment_bytes);
        self.compressor.finish();
        Ok(self.compressor.raw() + self.compressor.stored())
    }

    /// Bytes of the journal on disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.compressor.raw() + self.compressor.stored() + self.segment_bytes
    }

    /// Number of the segment that is being written, if the operating system has all entries.
    #[must_use]
    pub fn settled(&self) -> Option<u64> {
        self.held.is_empty().then_some(self.number)
    }

    /// Whether the disk is full: the run is to be told as an infra event, once.
    #[must_use]
    pub fn starved(&self) -> bool {
        self.starved_since.is_some()
    }

    /// Entries left out so far to keep the budget.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.thinning.left_out()
    }

    /// Why the last segment that could not be compressed could not.
    #[must_use]
    pub fn compression_problem(&self) -> Option<String> {
        self.compressor.problem()
    }

    fn full(&self) -> JournalError {
        let path = self.directory.clone();
        JournalError::Full { path }
    }

    fn write(&mut self, elapsed: Elapsed, event: Event) -> Result<Entry, JournalError> {
        let entry = Entry {
            seq: Seq(self.next),
            elapsed,
            event,
        };
        let before = self.held.len();
        if let Err(error) = serde_json::to_writer(&mut self.held, &entry) {
            self.held.truncate(before);
            return Err(JournalError::Encode(error));
        }
        // What nobody could read again is refused, before anything rests on it.
        let (bytes, limit) = (self.held.len() - before, longest(self.next == 0));
        if bytes > limit {
            self.held.truncate(before);
            return Err(JournalError::TooLong { bytes, limit });
        }
        self.held.push(b'\n');
        self.next += 1;
        self.segment_bytes += (self.held.len() - before) as u64;
        Ok(entry)
    }

    /// Looks at the budget and the disk from time to time; answers whether what is left out has changed.
    fn weigh(&mut self, elapsed: Elapsed) -> bool {
        if let Some(since) = self.starved_since {
            if elapsed.since(since) >= Duration::from_secs(5) {
                // Also the retry: with the reserve back there is room again.
                self.starved_since = match self.make_reserve() {
                    Ok(()) => None,
                    Err(_) => Some(elapsed),
                };
            }
            if self.starved_since.is_some() {
                return self.thinning.set(Thinness::STARVED);
            }
            self.weighed = 0;
        }
        // About sixteen times a segment, at some 256 bytes an entry.
        let since = self.next.saturating_sub(self.weighed);
        if self.weighed != 0 && since < self.settings.segment / 4096 {
            return false;
        }
        self.weighed = self.next.max(1);
        let raw = self.compressor.raw() + self.segment_bytes;
        let used = self.compressor.stored() + raw / EXPECTED_RATIO;
        let of_budget = used as f64 / self.settings.budget.max(1) as f64;
        let of_room = (self.room)(&self.directory).map_or(0.0, Room::used);
        self.thinning
            .set(Thinness::for_share(of_budget.max(of_room)))
    }

    /// Writes `held`; what a full disk did not take stays in it, whole bytes in order.
    fn write_held(&mut self) -> io::Result<()> {
        let mut done = 0;
        let result = loop {
            if done == self.held.len() {
                break Ok(());
            }
            match self.file.write(&self.held[done..]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.held.drain(..done);
        result
    }

    fn sync(&mut self) -> Result<(), JournalError> {
        match self.file.sync_data() {
            Ok(()) => Ok(()),
            // Delayed allocation: a full disk may show here only. The bytes are in the page cache, readable.
            Err(error) if no_room(&error) => {
                self.starved_since.get_or_insert(self.last);
                self.release_reserve();
                Ok(())
            }
            Err(source) => Err(JournalError::Write {
                path: self.path.clone(),
                source,
            }),
        }
    }

    fn rotate(&mut self) -> Result<(), JournalError> {
        self.sync()?;
        let path = segments::raw_path(&self.directory, self.number + 1);
        let file = match open_segment(&path) {
            Ok(file) => file,
            // Without room for a new file the old one just grows on.
            Err(JournalError::Open { source, .. }) if no_room(&source) => {
                self.starved_since.get_or_insert(self.last);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.compressor.push(self.number, self.segment_bytes);
        self.file = file;
        self.path = path;
        self.number += 1;
        self.segment_bytes = 0;
        Ok(())
    }

    fn make_reserve(&self) -> io::Result<()> {
        room::take(&self.directory.join(RESERVE), self.settings.reserve)
    }

    fn release_reserve(&self) -> bool {
        fs::remove_file(self.directory.join(RESERVE)).is_ok()
    }

    fn cut_torn_line(&mut self) -> Result<u64, JournalError> {
        let wrap = |source| JournalError::Write {
            path: self.path.clone(),
            source,
        };
        let bytes = fs::read(&self.path).map_err(wrap)?;
        let whole = bytes
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |position| position + 1);
        self.file.set_len(whole as u64).map_err(wrap)?;
        self.file.seek(SeekFrom::End(0)).map_err(wrap)?;
        self.segment_bytes = whole as u64;
        Ok((bytes.len() - whole) as u64)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // A writer that is dropped without `finish` (an error, a panic) still hands over what it holds.
        let _ = self.write_held();
    }
}

/// Entries that are synced at once: without them nobody can say what the run was or how it ended.
fn must_last(event: &Event) -> bool {
    matches!(
        event,
        Event::RunStarted { .. }
            | Event::Stage { .. }
            | Event::Container { .. }
            | Event::Version { .. }
            | Event::Recovery { .. }
            | Event::Attached { .. }
            | Event::Unattended(_)
            | Event::EngineAway { .. }
            | Event::EngineReturned { .. }
            | Event::Infra { .. }
            | Event::DiskServerEnded { .. }
            | Event::Signal { .. }
            | Event::RunFinished { .. }
    )
}

fn no_room(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

fn open_segment(path: &Path) -> Result<File, JournalError> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|source| JournalError::Open {
            path: path.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Reader;
    use crate::{
        ids::{NodeName, ShardId},
        journal::generate::{Generator, Shape},
        time::WallTime,
    };

    /// `/dev/full` answers every write as a full disk does.
    #[test]
    fn a_full_disk_takes_the_reserve_and_nothing_important_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            budget: 1 << 30,
            segment: 1 << 20,
            reserve: 4096,
        };
        let mut writer = Writer::create(folder.path(), settings).unwrap();
        let reserve = folder.path().join(RESERVE);
        assert_eq!(fs::metadata(&reserve).unwrap().len(), 4096);
        let facts: Vec<_> = Generator::new(&Shape::default(), 1, Vec::new())
            .take(2_000)
            .map(|entry| (entry.elapsed, entry.event))
            .collect();
        let mut entries: Vec<Entry> = Vec::new();
        for (elapsed, event) in &facts[..500] {
            entries.extend(writer.append(*elapsed, event.clone()).unwrap());
        }
        writer.flush().unwrap();
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let real = std::mem::replace(&mut writer.file, full);
        // At one moment: five seconds later the reserve would be tried, and this folder has room for it.
        let at = facts[500].0;
        for (_, event) in &facts[500..1_000] {
            entries.extend(writer.append(at, event.clone()).unwrap());
        }
        let change = Event::Container {
            node: NodeName::of(ShardId(0), 0),
            change: crate::journal::event::ContainerChange::Started,
            requested: false,
        };
        let written = writer.append(at, change.clone()).unwrap();
        assert_eq!(written.entry.as_ref().unwrap().event, change);
        entries.extend(written);
        assert!(writer.starved() && !reserve.exists());
        assert!(writer.left_out() > 100, "{}", writer.left_out());
        writer.file = real;
        // Room again: the reserve comes back, and everything is written.
        let later = at + Duration::from_secs(6);
        let tick = Event::Tick { wall: WallTime(0) };
        entries.extend(writer.append(later, tick).unwrap());
        assert!(!writer.starved() && reserve.exists());
        let announced: Vec<_> = entries
            .iter()
            .filter_map(|entry| match entry.event {
                Event::Thinned { blocks, .. } => Some(blocks),
                _ => None,
            })
            .collect();
        assert_eq!(announced, [0, 1], "left out all blocks, then none");
        writer.finish().unwrap();
        assert!(!reserve.exists());
        let read: Vec<_> = Reader::open(folder.path())
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(read, entries);
    }

    #[test]
    fn little_room_makes_the_journal_thinner_before_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            segment: 1 << 20,
            ..Settings::for_budget(1 << 30)
        };
        let shape = Shape {
            soak: Duration::from_secs(600),
            ..Shape::default()
        };
        let mut writer = Writer::create(folder.path(), settings).unwrap();
        writer.room = |_| {
            Some(Room {
                free: 10 << 20,
                size: 1 << 40,
            })
        };
        for entry in Generator::new(&shape, 1, Vec::new()).take(2_000) {
            writer.append(entry.elapsed, entry.event).unwrap();
        }
        assert!(!writer.starved() && writer.left_out() > 200);
        // With room again all is kept from the next look on.
        writer.room = |_| None;
        let rest = Generator::new(&shape, 1, Vec::new()).skip(2_000);
        let mut left_out = 0;
        for (count, entry) in rest.take(4_000).enumerate() {
            writer.append(entry.elapsed, entry.event).unwrap();
            if count == 3_000 {
                left_out = writer.left_out();
            }
        }
        assert_eq!(writer.left_out(), left_out);
        writer.finish().unwrap();
    }

    #[test]
    fn what_nobody_could_read_again_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::create(folder.path(), Settings::for_budget(1 << 30)).unwrap();
        let note = |bytes: usize| Event::Signal {
            name: "x".repeat(bytes),
        };
        let refused = writer.append(Elapsed(0), note(longest(true)));
        assert!(
            matches!(refused, Err(JournalError::TooLong { .. })),
            "{refused:?}"
        );
        writer.append(Elapsed(0), note(2 * longest(false))).unwrap();
        let refused = writer.append(Elapsed(1), note(longest(false)));
        assert!(
            matches!(refused, Err(JournalError::TooLong { .. })),
            "{refused:?}"
        );
        writer.append(Elapsed(1), note(1)).unwrap();
        writer.finish().unwrap();
        let read: Result<Vec<_>, _> = Reader::open(folder.path()).unwrap().collect();
        assert_eq!(read.unwrap().len(), 2);
    }

    #[test]
    fn a_disk_that_stays_full_is_an_error_in_bounded_memory() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::create(folder.path(), Settings::for_budget(1 << 30)).unwrap();
        writer.file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let outcome = (0..100_000).find_map(|count| {
            let infra = Event::Infra {
                what: "test".to_owned(),
                detail: "x".repeat(100),
                fatal: false,
            };
            // Never six seconds later: the reserve would come back.
            writer.append(Elapsed(count), infra).err()
        });
        assert!(matches!(outcome, Some(JournalError::Full { .. })));
        assert!(writer.held.len() < 2 * HELD_LIMIT);
        // With room again the end can be written, and all that was taken is there.
        let (taken, path) = (writer.next, writer.path.clone());
        writer.file = open_segment(&path).unwrap();
        let last = Event::Tick { wall: WallTime(0) };
        writer.append(Elapsed(200_000), last).unwrap();
        writer.finish().unwrap();
        assert_eq!(
            Reader::open(folder.path()).unwrap().count() as u64,
            taken + 1
        );
    }
}
