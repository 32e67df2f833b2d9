//! What texts of a profile that reach the engine may be.

/// What [`is_path`] takes.
pub(super) const PATH: &str =
    "an absolute path below `/`, without `..`, `:`, `,` and control characters";

pub(super) fn is_path(path: &str) -> bool {
    let parts = path.strip_prefix('/').map(|path| {
        path.split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
    });
    parts == Some(true)
        && path.len() <= 255
        && !path
            .chars()
            .any(|letter| letter.is_control() || ":,\"\\".contains(letter))
}

pub(super) fn is_user(user: &str) -> bool {
    user.split_once(':').is_some_and(|(uid, gid)| {
        // Without this `+1` and `1_0` would pass here and fail in the engine.
        [uid, gid]
            .iter()
            .all(|id| id.bytes().all(|byte| byte.is_ascii_digit()) && id.parse::<u32>().is_ok())
    })
}

pub(super) fn is_capability(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 40
        && name
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

pub(super) fn is_variable(name: &str) -> bool {
    let plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    plain
        && name
            .bytes()
            .next()
            .is_some_and(|byte| !byte.is_ascii_digit())
}

/// Of a secret: its name is that of a file, and may be that of a variable.
pub(in crate::plan) fn is_secret(name: &str) -> bool {
    is_variable(name) && name.len() <= 64
}

pub(in crate::plan) fn is_name(name: &str) -> bool {
    (1..=20).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}
