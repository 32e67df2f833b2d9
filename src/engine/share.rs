//! Writing the nodes' files into the volume that all share: `canarynet toolbox share FOLDER UID:GID FILES...`, where
//! `FILES` is a node's name and its files, as JSON.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::chown,
    path::{Component, Path, PathBuf},
};

use crate::disk::tmpfs::user_ids;

/// Writes all files and gives the folders to the user; answers how many files there are.
///
/// # Errors
/// What the file system said; what is no order.
pub(super) fn share(root: &Path, user: &str, orders: &[&str]) -> io::Result<usize> {
    let bad = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, why.to_owned());
    let (uid, gid) = user_ids(user).map_err(|error| bad(&error.to_string()))?;
    let mut written = 0;
    for order in orders {
        let (node, files): (String, BTreeMap<String, String>) =
            serde_json::from_str(order).map_err(|error| bad(&error.to_string()))?;
        let folder = within(root, &node).ok_or_else(|| bad("no name of a folder"))?;
        make(root, &folder, uid, gid)?;
        for (path, text) in files {
            let file = within(&folder, &path).ok_or_else(|| bad("no path within the folder"))?;
            make(root, file.parent().unwrap_or(&folder), uid, gid)?;
            fs::write(&file, text)?;
            chown(&file, Some(uid), Some(gid))?;
            written += 1;
        }
    }
    chown(root, Some(uid), Some(gid))?;
    Ok(written)
}

/// Makes a folder and those above it, up to the root, for the user.
fn make(root: &Path, folder: &Path, uid: u32, gid: u32) -> io::Result<()> {
    let mut above: Vec<&Path> = folder
        .ancestors()
        .take_while(|path| *path != root)
        .collect();
    above.reverse();
    for path in above {
        match fs::create_dir(path) {
            Ok(()) => chown(path, Some(uid), Some(gid))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A path below a folder; nothing that leads out of it.
fn within(folder: &Path, path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    let plain = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    (plain && path.file_name().is_some()).then(|| folder.join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_written_where_they_belong_and_nowhere_else() {
        let root = tempfile::tempdir().unwrap();
        let own = format!(
            "{}:{}",
            rustix::process::getuid().as_raw(),
            rustix::process::getgid().as_raw()
        );
        let order = r#"["s0-n00",{"config/node.toml":"a = 1\n","key":"k"}]"#;
        assert_eq!(
            share(root.path(), &own, &[order, r#"["s0-n01",{}]"#]).unwrap(),
            2
        );
        let text = fs::read_to_string(root.path().join("s0-n00/config/node.toml")).unwrap();
        assert_eq!(text, "a = 1\n");
        assert!(root.path().join("s0-n01").is_dir());
        for bad in [
            r#"["..",{}]"#,
            r#"["a",{"../b":""}]"#,
            r#"["a",{"/b":""}]"#,
            r#"["",{}]"#,
            "{}",
        ] {
            assert!(share(root.path(), &own, &[bad]).is_err(), "{bad}");
        }
    }
}
