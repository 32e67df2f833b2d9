//! Is this file an executable that the engine's containers can run? Told before anything is started.

use std::{fs::File, io::Read as _, path::Path};

use crate::engine::error::EngineError;

/// Machines by the name that kernels use, with the number in an ELF header.
const MACHINES: [(&str, u16); 8] = [
    ("x86_64", 62),
    ("aarch64", 183),
    ("armv7l", 40),
    ("i686", 3),
    ("ppc64le", 21),
    ("s390x", 22),
    ("riscv64", 243),
    ("loongarch64", 258),
];

/// Checks that a file is a Linux executable for this architecture (as kernels name it).
///
/// # Errors
/// What it is instead, and what to do.
pub fn check_executable(path: &Path, architecture: &str) -> Result<(), EngineError> {
    let read = |source| EngineError::Read {
        path: path.to_owned(),
        source,
    };
    let mut header = [0_u8; 20];
    let mut file = File::open(path).map_err(read)?;
    if file.metadata().map_err(read)?.is_dir() {
        return Err(refuse(path, "it is a folder".to_owned()));
    }
    let mut length = 0;
    while length < header.len() {
        match file.read(&mut header[length..]).map_err(read)? {
            0 => break,
            count => length += count,
        }
    }
    check_header(&header[..length], architecture).map_err(|why| refuse(path, why))
}

fn refuse(path: &Path, why: String) -> EngineError {
    EngineError::Pack {
        path: path.to_owned(),
        why,
    }
}

fn check_header(header: &[u8], architecture: &str) -> Result<(), String> {
    let asked = architecture_name(architecture);
    match header {
        [0x7f, b'E', b'L', b'F', ..] if header.len() >= 20 => {}
        [b'#', b'!', ..] => {
            return Err(
                "it is a script, and an image made from it would have no interpreter; name an image instead".to_owned(),
            );
        }
        [0xcf, 0xfa, 0xed, 0xfe, ..] | [0xca, 0xfe, 0xba, 0xbe, ..] => {
            return Err(format!(
                "it is a macOS executable, the engine runs Linux containers on {asked}"
            ));
        }
        [b'M', b'Z', ..] => {
            return Err(format!(
                "it is a Windows executable, the engine runs Linux containers on {asked}"
            ));
        }
        _ => return Err("it is no executable (no ELF header)".to_owned()),
    }
    let big_endian = header[5] == 2;
    let number = |at: usize| {
        let bytes = [header[at], header[at + 1]];
        if big_endian {
            u16::from_be_bytes(bytes)
        } else {
            u16::from_le_bytes(bytes)
        }
    };
    // 0 is System V and 3 is Linux; nearly all executables for Linux say 0.
    if !matches!(header[7], 0 | 3) {
        return Err(format!(
            "it is built for another system than Linux (ELF OS/ABI {})",
            header[7]
        ));
    }
    // 2 is an executable, 3 a position-independent one (or a library, which nothing here tells apart).
    if !matches!(number(16), 2 | 3) {
        return Err("it is an object file, no executable".to_owned());
    }
    let machine = number(18);
    let known = MACHINES.iter().find(|(name, _)| *name == asked);
    match known {
        Some((_, expected)) if *expected == machine => Ok(()),
        Some(_) => {
            let is = MACHINES
                .iter()
                .find(|(_, number)| *number == machine)
                .map_or("another processor", |(name, _)| name);
            Err(format!("it is built for {is}, the engine runs on {asked}"))
        }
        // A processor that this table does not know: the engine will tell.
        None => Ok(()),
    }
}

/// Engines and tools name one architecture differently.
fn architecture_name(architecture: &str) -> &str {
    match architecture {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        "armhf" | "arm" => "armv7l",
        "i386" | "386" => "i686",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(abi: u8, kind: u16, machine: u16) -> Vec<u8> {
        let mut header = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, abi];
        header.resize(16, 0);
        header.extend(kind.to_le_bytes());
        header.extend(machine.to_le_bytes());
        header
    }

    #[test]
    fn only_executables_of_the_engines_architecture_pass() {
        assert_eq!(check_header(&header(0, 3, 62), "x86_64"), Ok(()));
        assert_eq!(check_header(&header(3, 2, 183), "arm64"), Ok(()));
        for (bytes, part) in [
            (header(0, 3, 183), "built for aarch64"),
            (header(9, 2, 62), "another system"),
            (header(0, 1, 62), "object file"),
            (b"#!/bin/sh\n".to_vec(), "script"),
            (b"MZ".to_vec(), "Windows"),
            (vec![0xcf, 0xfa, 0xed, 0xfe], "macOS"),
            (b"".to_vec(), "no executable"),
            (b"\x7fELF".to_vec(), "no executable"),
        ] {
            let why = check_header(&bytes, "x86_64").unwrap_err();
            assert!(why.contains(part), "{why}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..40), elf in any::<bool>()) {
            let mut bytes = bytes;
            if elf && bytes.len() >= 4 {
                bytes[..4].copy_from_slice(b"\x7fELF");
            }
            let _ = check_header(&bytes, "x86_64");
        }
    }
}
