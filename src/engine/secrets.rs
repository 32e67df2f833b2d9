//! Secrets on their way to the nodes: a small volume in memory, written through the watcher, which holds it as long as
//! the run lives. Values go by its standard input: no image, label, environment or argument ever has them.

use std::{
    collections::BTreeMap,
    fs, io,
    io::{Read, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    docker::{Docker, Mount},
    error::EngineError,
    labels::{self, Role, RunLabels},
};
use crate::{disk::tmpfs::user_ids, plan::secrets::FOLDER};

/// Where the watcher has the volume.
const IN_WATCHER: &str = "/secrets";
/// Size of the volume; the run's secrets are less.
const SIZE: u64 = 1 << 20;
/// Deadline of writing them.
const WRITING: Duration = Duration::from_secs(30);
/// Longest answer that is read.
const ANSWER: usize = 4_096;

/// The volume in a node, or in what is beside the nodes.
pub(super) fn in_node(labels: &RunLabels, user: &str) -> Result<Mount, EngineError> {
    mount(labels, user, FOLDER, true)
}

/// ... in the watcher, which writes them.
pub(super) fn in_watcher(labels: &RunLabels, user: &str) -> Result<Mount, EngineError> {
    mount(labels, user, IN_WATCHER, false)
}

fn mount(run: &RunLabels, user: &str, target: &str, read_only: bool) -> Result<Mount, EngineError> {
    let (user_id, group_id) = user_ids(user)?;
    // Nobody but the nodes' own user looks in.
    let how = format!("size={SIZE},uid={user_id},gid={group_id},mode=0700");
    let options = [("type", "tmpfs"), ("device", "tmpfs"), ("o", how.as_str())];
    Ok(Mount::Volume {
        name: labels::secrets_volume(run.run()),
        target: target.to_owned(),
        read_only,
        fill: false,
        options: options
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        labels: run.of(Role::Shared),
    })
}

/// Writes secrets into the volume, through the watcher. `toolbox` is how a toolbox operation is called there.
pub(super) async fn deliver(
    docker: &Docker,
    watcher: &str,
    toolbox: &[String],
    secrets: &BTreeMap<String, Vec<u8>>,
) -> Result<(), EngineError> {
    let mut command = toolbox.to_vec();
    command.extend(["toolbox", "secrets", IN_WATCHER].map(str::to_owned));
    let order: BTreeMap<&String, String> = secrets
        .iter()
        .map(|(name, value)| (name, STANDARD.encode(value)))
        .collect();
    let order = serde_json::to_vec(&order)
        .map_err(|error| EngineError::inside("secrets", &error.to_string()))?;
    let output = docker
        .exec_to_end(watcher, &command, None, &order, WRITING, ANSWER)
        .await?;
    if output.exit_code == 0 {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(EngineError::inside(
        "writing secrets",
        &String::from_utf8_lossy(&said),
    ))
}

/// Writes what comes in as files that their owner can read and nobody can write; answers how many there are.
///
/// # Errors
/// What the file system said; what is no order, without any of it.
pub(super) fn write(folder: &Path, mut order: impl Read) -> io::Result<usize> {
    let bad = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, why.to_owned());
    let mut bytes = Vec::new();
    order.read_to_end(&mut bytes)?;
    let secrets: BTreeMap<String, String> =
        serde_json::from_slice(&bytes).map_err(|_| bad("what came in is no list of secrets"))?;
    for (name, value) in &secrets {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(bad("a secret has a name that is none"));
        }
        let value = STANDARD
            .decode(value)
            .map_err(|_| bad("a secret is no base64"))?;
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o400)
            .open(folder.join(name))?;
        file.write_all(&value)?;
    }
    Ok(secrets.len())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn secrets_are_files_that_their_owner_alone_can_read() {
        let folder = tempfile::tempdir().unwrap();
        let order = format!("{{\"TOKEN\":\"{}\"}}", STANDARD.encode(b"s3cret\n"));
        assert_eq!(write(folder.path(), order.as_bytes()).unwrap(), 1);
        let file = folder.path().join("TOKEN");
        assert_eq!(fs::read(&file).unwrap(), b"s3cret\n");
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o400
        );
        assert!(
            write(folder.path(), order.as_bytes()).is_err(),
            "it is there"
        );
        for bad in ["", "[]", r#"{"../x":""}"#, r#"{"A":"%"}"#] {
            assert!(write(folder.path(), bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
