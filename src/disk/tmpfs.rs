//! Disks in memory: real ENOSPC for bytes and inodes, for everybody.

use std::collections::BTreeMap;

use crate::{engine::error::EngineError, plan::DiskPlan};

/// tmpfs counts in whole pages.
const PAGE: u64 = 4096;

/// Bytes that can be written to a tmpfs of this asked-for size.
#[must_use]
pub fn usable_bytes(size: u64) -> u64 {
    size.div_ceil(PAGE).saturating_mul(PAGE)
}

/// Options of the `local` driver for one disk that belongs to the node's user.
///
/// # Errors
/// If the user is not `uid:gid` in numbers: the kernel knows no names.
pub fn options(disk: &DiskPlan, user: &str) -> Result<BTreeMap<String, String>, EngineError> {
    let (user_id, group_id) = user_ids(user)?;
    let mut mount = format!(
        "size={},uid={user_id},gid={group_id},mode=0750",
        usable_bytes(disk.size)
    );
    if let Some(inodes) = disk.inodes {
        mount.push_str(&format!(",nr_inodes={inodes}"));
    }
    Ok([
        ("type", "tmpfs"),
        ("device", "tmpfs"),
        ("o", mount.as_str()),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into())
}

/// The numbers of a `uid:gid`; a lone `uid` is its own group.
pub(crate) fn user_ids(user: &str) -> Result<(u32, u32), EngineError> {
    let (user_id, group_id) = user.split_once(':').unwrap_or((user, user));
    match (user_id.parse(), group_id.parse()) {
        (Ok(user_id), Ok(group_id)) => Ok((user_id, group_id)),
        _ => Err(EngineError::Incomplete {
            subject: format!("user {user:?}"),
            what: "numbers (uid:gid), which a disk's owner must be given in",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::DiskKind;

    #[test]
    fn options_say_size_owner_and_inodes() {
        let disk = DiskPlan {
            path: "/data".to_owned(),
            kind: DiskKind::Tmpfs,
            size: 10_000,
            inodes: Some(64),
            write_iops: None,
            write_bytes_per_second: None,
            thin: false,
            bytes_per_block: None,
            age: None,
            bytes_at_rest: None,
            retention: None,
        };
        let options = options(&disk, "1000:1001").unwrap();
        assert_eq!(
            options["o"],
            "size=12288,uid=1000,gid=1001,mode=0750,nr_inodes=64"
        );
        assert!(user_ids("node:node").is_err());
        assert_eq!(user_ids("5").unwrap(), (5, 5));
    }
}
