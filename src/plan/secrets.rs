//! Secrets of nodes, as a profile names them: where the user has them, never what they are.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Folder in which nodes, and all that is beside them, find their secrets, a file each.
pub const FOLDER: &str = "/run/secrets";
/// Most secrets of one profile.
const MOST: usize = 64;

/// Where a secret is. One of the two.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretManifest {
    /// A variable of canarynet's own environment.
    pub env: Option<String>,
    /// A file of this machine (relative to this file), at most 64 KiB.
    pub file: Option<String>,
}

/// A secret of the nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretPlan {
    /// Its name, and that of its file in [`FOLDER`].
    pub name: String,
    /// Where the user has it.
    pub from: SecretSource,
}

/// Where the user has a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretSource {
    /// A variable of the environment.
    Env(String),
    /// A file.
    File(PathBuf),
}

/// Resolves the secrets of a profile.
///
/// # Errors
/// The name of the one that makes no sense, and why.
pub(super) fn resolve(
    typed: &BTreeMap<String, SecretManifest>,
    is_name: fn(&str) -> bool,
) -> Result<Vec<SecretPlan>, (String, &'static str)> {
    let mut secrets = Vec::new();
    for (name, secret) in typed {
        let bad = |why| Err((name.clone(), why));
        if !is_name(name) || name.len() > 64 {
            return bad("its name is that of a file: letters, digits and `_`");
        }
        let from = match (&secret.env, &secret.file) {
            (Some(variable), None) if is_name(variable) => SecretSource::Env(variable.clone()),
            (Some(_), None) => return bad("`env` is a variable's name, never the value"),
            (None, Some(file)) if !file.is_empty() => SecretSource::File(PathBuf::from(file)),
            _ => return bad("either `env = \"VARIABLE\"` or `file = \"path\"`"),
        };
        secrets.push(SecretPlan {
            name: name.clone(),
            from,
        });
    }
    match secrets.len() > MOST {
        true => Err((secrets[MOST].name.clone(), "at most 64 secrets")),
        false => Ok(secrets),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_one_place_and_no_value() {
        let one = |name: &str, env: Option<&str>, file: Option<&str>| {
            let secret = SecretManifest {
                env: env.map(str::to_owned),
                file: file.map(str::to_owned),
            };
            let named = |text: &str| !text.is_empty() && !text.contains(['-', '/', ' ']);
            resolve(&[(name.to_owned(), secret)].into(), named)
        };
        let found = one("TOKEN", Some("CI_TOKEN"), None).unwrap();
        assert_eq!(found[0].from, SecretSource::Env("CI_TOKEN".to_owned()));
        assert!(one("KEY", None, Some("./key.pem")).is_ok());
        for (name, env, file) in [
            ("../x", Some("A"), None),
            ("A", None, None),
            ("A", Some("B"), Some("c")),
            ("A", Some("the value"), None),
            ("A", None, Some("")),
        ] {
            assert!(one(name, env, file).is_err(), "{name} {env:?} {file:?}");
        }
    }
}
