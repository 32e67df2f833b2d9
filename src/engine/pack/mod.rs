//! Images from local binaries, without a registry and without a build.
//!
//! An executable, the shared libraries it needs and its loader become the only layer of an image, by the engine's
//! import call. The image is tagged by the hash of what is in it, so that it is made only when something changed.
//!
//! ```text
//!  /bin/<name>                 the executable, the image's entry point
//!  /lib/*.so*                  its libraries, flat; LD_LIBRARY_PATH=/lib for loaders that do not look there
//!  /lib64/ld-linux-x86-64.so.2 the loader, where the executable asks for it
//!  /.canarynet/{canarynet,lib} only for this program itself: hard links to the same files, copied into the toolbox
//!                              volume when the watcher's container is created
//! ```
//! Inside such an image this program finds itself and its libraries again, so that the launcher image can pack too.
//! Not packed: what a program opens by name at run time (dlopen, NSS modules, certificates).

mod archive;
mod contents;
mod elf;
mod image;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

pub use contents::{Contents, Linkage};
pub use elf::check_executable;
pub use image::{LAUNCHER_REPOSITORY, PackedImage, ensure};

use crate::engine::{docker::Docker, error::EngineError, labels::Labels};

/// Where the toolbox is mounted in every node.
pub const TOOLBOX: &str = "/.canarynet";

/// Where programs for file systems are.
const FOLDERS: [&str; 3] = ["/sbin", "/usr/sbin", "/usr/local/sbin"];
/// What the helper makes and checks file systems with.
const E2FSPROGS: [&str; 2] = ["mke2fs", "e2fsck"];
const MKFS_XFS: &str = "mkfs.xfs";
/// Its configuration, where there is one; it has built-in defaults otherwise.
const MKE2FS_CONFIGURATION: &str = "/etc/mke2fs.conf";

/// The program that goes into containers: this one, or the Linux build of it that the user names.
///
/// # Errors
/// Where this program is no Linux executable for the engine and no other was given: the remedy.
pub fn own_program(docker: &Docker, linux_binary: Option<&Path>) -> Result<PathBuf, EngineError> {
    if let Some(path) = linux_binary {
        check_executable(path, &docker.info().architecture)?;
        return Ok(path.to_owned());
    }
    let path = std::env::current_exe().map_err(|source| EngineError::Read {
        path: "/proc/self/exe".into(),
        source,
    })?;
    check_executable(&path, &docker.info().architecture).map_err(|error| match error {
        EngineError::Pack { path, why } => EngineError::Pack {
            path,
            why: format!(
                "{why}; give a Linux build of canarynet with --linux-binary, or run the launcher image (`canarynet pack --self` on a Linux machine)"
            ),
        },
        other => other,
    })?;
    Ok(path)
}

/// The image of this program: the reference node, the watcher, the toolbox.
///
/// # Errors
/// What packing or the engine said.
pub async fn program_image(docker: &Docker, program: &Path) -> Result<PackedImage, EngineError> {
    let contents = contents_of(program, &docker.info().architecture, "canarynet", true).await?;
    ensure(docker, "program", contents).await
}

/// The image of a local executable that a profile names, with further ones beside it in `/bin`.
///
/// # Errors
/// What packing or the engine said.
pub async fn binary_image(
    docker: &Docker,
    binary: &Path,
    programs: &[PathBuf],
) -> Result<PackedImage, EngineError> {
    let (binary, name) = (find_program(binary), image_name(binary));
    let architecture = docker.info().architecture.clone();
    let mut contents = contents_of(&binary, &architecture, &name, false).await?;
    let programs: Vec<PathBuf> = programs.iter().map(|path| find_program(path)).collect();
    let contents = blocking(move || {
        for program in programs {
            let file = program.file_name().unwrap_or_default().to_string_lossy();
            contents.add_executable(&program, &format!("bin/{file}"), &architecture)?;
        }
        Ok(contents)
    })
    .await?;
    ensure(docker, &name, contents).await
}

/// Where a program is: at its path, or, for a bare name that is no file here, in the first folder of the `PATH` that
/// has it. What is nowhere keeps its name, for the message.
#[must_use]
pub fn find_program(program: &Path) -> PathBuf {
    let bare = program.components().count() == 1 && program.file_name().is_some();
    if !bare || program.is_file() {
        return program.to_owned();
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
        .unwrap_or_else(|| program.to_owned())
}

/// The image of the privileged helper: this program and what makes file systems. `mkfs.xfs` is in it where this machine
/// has it, and must be where `xfs` disks are wanted.
///
/// # Errors
/// What packing or the engine said; where this machine lacks a program, how to get it.
pub async fn helper_image(
    docker: &Docker,
    program: &Path,
    xfs: bool,
) -> Result<PackedImage, EngineError> {
    let contents = helper_contents(program, &docker.info().architecture, xfs).await?;
    ensure(docker, "helper", contents).await
}

/// The launcher image (`pack --self`): this program, which runs anywhere with only the engine's socket mounted. It
/// holds what the helper needs where this machine has it. Tagged `canarynet/launcher:latest` besides.
///
/// # Errors
/// What packing or the engine said.
pub async fn launcher_image(docker: &Docker, program: &Path) -> Result<PackedImage, EngineError> {
    let architecture = &docker.info().architecture;
    let contents = match helper_contents(program, architecture, false).await {
        Ok(contents) => contents,
        Err(EngineError::Pack { path, .. })
            if E2FSPROGS.iter().any(|program| path.ends_with(program)) =>
        {
            contents_of(program, architecture, "canarynet", true).await?
        }
        Err(error) => return Err(error),
    };
    let image = ensure(docker, "launcher", contents).await?;
    docker
        .tag_image(&image.reference, LAUNCHER_REPOSITORY, "latest")
        .await?;
    Ok(image)
}

/// How a toolbox program is called inside a container that mounts the toolbox: through the toolbox's own loader, so
/// that it works in images without one, or with another C library.
#[must_use]
pub fn toolbox_command(linkage: &Linkage, arguments: &[&str]) -> Vec<String> {
    let program = format!("{TOOLBOX}/canarynet");
    let mut command = match &linkage.loader {
        Some(loader) => vec![
            format!("{TOOLBOX}/lib/{loader}"),
            "--library-path".to_owned(),
            format!("{TOOLBOX}/lib"),
            program,
        ],
        None => vec![program],
    };
    command.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    command
}

/// Labels of images; they belong to no run and stay.
fn image_labels(name: &str) -> Labels {
    let mut labels: BTreeMap<String, String> = BTreeMap::new();
    labels.insert(
        crate::engine::labels::IMAGE_NAME.to_owned(),
        name.to_owned(),
    );
    labels.insert(
        crate::engine::labels::ROLE.to_owned(),
        crate::engine::labels::Role::Images.to_string(),
    );
    labels.into_iter().collect()
}

async fn contents_of(
    executable: &Path,
    architecture: &str,
    name: &str,
    toolbox: bool,
) -> Result<Contents, EngineError> {
    let (executable, architecture) = (executable.to_owned(), architecture.to_owned());
    let name = name.to_owned();
    blocking(move || {
        let mut contents = Contents::new();
        let linkage =
            contents.add_executable(&executable, &format!("bin/{name}"), &architecture)?;
        contents.set_entry_point(&name, linkage);
        if toolbox {
            contents.add_toolbox()?;
        }
        Ok(contents)
    })
    .await
}

async fn helper_contents(
    program: &Path,
    architecture: &str,
    xfs: bool,
) -> Result<Contents, EngineError> {
    let mut contents = contents_of(program, architecture, "canarynet", true).await?;
    let architecture = architecture.to_owned();
    blocking(move || {
        let find = |program: &str| {
            let folders = FOLDERS.iter().map(|folder| Path::new(folder).join(program));
            folders.into_iter().find(|path| path.exists())
        };
        let lacks = |program: &str, why: &str| EngineError::Pack {
            path: Path::new(FOLDERS[0]).join(program),
            why: format!("this machine has no {program}, {why}"),
        };
        for program in E2FSPROGS {
            let found = find(program).ok_or_else(|| {
                lacks(
                    program,
                    "which ext4 disks need: install e2fsprogs, or use disk.kind = \"tmpfs\"",
                )
            })?;
            contents.add_executable(&found, &format!("sbin/{program}"), &architecture)?;
        }
        match find(MKFS_XFS) {
            Some(found) => {
                contents.add_executable(&found, &format!("sbin/{MKFS_XFS}"), &architecture)?;
            }
            None if xfs => {
                return Err(lacks(
                    MKFS_XFS,
                    "which xfs disks need: install xfsprogs, or use disk.kind = \"ext4\"",
                ));
            }
            None => {}
        }
        let configuration = Path::new(MKE2FS_CONFIGURATION);
        if configuration.exists() {
            contents.add_file(configuration, "etc/mke2fs.conf", 0o644)?;
        }
        Ok(contents)
    })
    .await
}

/// Runs file work away from the tasks that must not wait.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EngineError> + Send + 'static,
) -> Result<T, EngineError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| EngineError::CutShort { what: "packing" })?
}

/// A name that the engine accepts for the image of this executable.
fn image_name(binary: &Path) -> String {
    let stem = binary
        .file_name()
        .map(|name| name.to_string_lossy().to_lowercase());
    let name: String = stem
        .unwrap_or_default()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(40)
        .collect();
    let name = name.trim_matches('-');
    // Separators may not be doubled, and our own images have these names.
    let name = name
        .split('-')
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("-");
    match name.as_str() {
        "" => "node".to_owned(),
        "program" | "helper" | "launcher" | "canarynet" => format!("{name}-node"),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_names_are_valid() {
        for (path, name) in [
            ("/x/appd", "appd"),
            ("Harmony_Node.bin", "harmony-node-bin"),
            ("/x/--", "node"),
            ("helper", "helper-node"),
            ("ä__b", "b"),
        ] {
            assert_eq!(image_name(Path::new(path)), name);
        }
    }
}
