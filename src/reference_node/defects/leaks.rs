//! What a leaking node keeps of every block: memory and open files.

use std::fs::File;
use std::path::PathBuf;

use super::{Defect, Defects};

/// Memory kept of a block, in bytes: far less than a block costs anyway, and a small limit is still reached within a
/// day of mainnet.
const MEMORY: usize = 16 * 1_024;

/// Everything that was not given back.
#[derive(Debug)]
pub struct Leaks {
    defects: Defects,
    directory: PathBuf,
    memory: Vec<Vec<u8>>,
    files: Vec<File>,
}

impl Leaks {
    /// None yet. Files are opened in `directory`, which exists.
    #[must_use]
    pub fn new(defects: Defects, directory: PathBuf) -> Self {
        Self {
            defects,
            directory,
            memory: Vec::new(),
            files: Vec::new(),
        }
    }

    /// A block was committed.
    pub fn block(&mut self) {
        if self.defects.has(Defect::MemoryLeak) {
            // Not zero: pages of zeros cost nothing until they are written.
            self.memory.push(vec![1; MEMORY]);
        }
        if self.defects.has(Defect::FdLeak)
            && let Ok(file) = File::open(&self.directory)
        {
            self.files.push(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_costs_memory_and_a_file_where_the_defect_is_on() {
        let folder = tempfile::tempdir().unwrap();
        for (ids, memory, files) in [("none", 0, 0), ("memory-leak", 3, 0), ("fd-leak", 0, 3)] {
            let mut leaks = Leaks::new(ids.parse().unwrap(), folder.path().to_owned());
            (0..3).for_each(|_| leaks.block());
            assert_eq!(
                (leaks.memory.len(), leaks.files.len()),
                (memory, files),
                "{ids}"
            );
        }
    }
}
