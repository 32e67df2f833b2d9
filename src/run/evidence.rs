//! Evidence is copied when a finding opens, before anything can rotate it away; beside the loop, so that a long journal
//! does not hold it up.

use std::{
    path::PathBuf,
    sync::mpsc::{SyncSender, sync_channel},
    thread::JoinHandle,
};

use super::directory::RunDirectory;
use crate::{
    detect::{evidence, finding::Finding},
    journal::Room,
};

/// Findings whose evidence may wait. A run with more at a moment has bigger worries, and the journal has all of it.
const WAITING: usize = 64;

/// The thread that copies.
#[derive(Debug)]
pub(super) struct Evidence {
    work: Option<SyncSender<(PathBuf, Finding)>>,
    thread: Option<JoinHandle<()>>,
}

impl Evidence {
    /// Starts it. Without a thread no evidence is copied; the journal and the logs still hold it.
    pub(super) fn start() -> Self {
        let (work, waiting) = sync_channel::<(PathBuf, Finding)>(WAITING);
        let thread = std::thread::Builder::new()
            .name("evidence".to_owned())
            .spawn(move || {
                for (directory, finding) in waiting {
                    if let Err(error) = evidence::copy(&directory, &finding) {
                        // Noted beside what could be copied; a finding stands without its copies.
                        let note = super::conductor::chain(&error);
                        let folder = directory.join("evidence");
                        let _ = std::fs::create_dir_all(&folder)
                            .and_then(|()| std::fs::write(folder.join("problems.txt"), note));
                    }
                }
            });
        Self {
            work: Some(work),
            thread: thread.ok(),
        }
    }

    /// Copies what a finding cites.
    pub(super) fn keep(&mut self, directory: &RunDirectory, finding: &Finding) {
        // What is cited is in the journal, which has the room that is left.
        if Room::of(directory.path()).is_some_and(Room::is_low) {
            return;
        }
        if let Some(work) = &self.work {
            let _ = work.try_send((directory.path().to_owned(), finding.clone()));
        }
    }

    /// Waits for what was begun.
    pub(super) fn finish(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
