//! Secrets of nodes: read from where the user has them, just before a run needs them, and kept in memory alone.

use std::{collections::BTreeMap, fmt, io::Read as _};

use crate::{
    journal::mask::{Masks, SHORTEST},
    plan::{
        Plan,
        secrets::{SecretPlan, SecretSource},
    },
};

/// Longest secret.
const LONGEST: u64 = 64 << 10;
/// ... and all of them together: the volume that nodes have them in is small.
const LONGEST_ALL: usize = 512 << 10;

/// The secrets of a run, by name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(BTreeMap<String, Vec<u8>>);

impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Their names alone.
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

/// Why a secret cannot be used: bad input.
#[derive(Debug, thiserror::Error)]
#[error("secret {name}: {why}")]
pub struct SecretError {
    name: String,
    why: String,
}

impl Secrets {
    /// Reads all secrets that a plan names.
    ///
    /// # Errors
    /// The first one that is missing, too short to be masked, too long, or written out in the plan itself.
    pub fn read(plan: &Plan) -> Result<Self, SecretError> {
        let mut all = BTreeMap::new();
        for secret in &plan.network.secrets {
            let failed = |why: String| SecretError {
                name: secret.name.clone(),
                why,
            };
            let value = value_of(secret).map_err(failed)?;
            if value.trim_ascii().len() < SHORTEST {
                let why =
                    format!("is shorter than {SHORTEST} bytes: masking it would mask what is none");
                return Err(failed(why));
            }
            all.insert(secret.name.clone(), value);
        }
        let secrets = Self(all);
        let together: usize = secrets.0.values().map(Vec::len).sum();
        let whole = |why: &str| SecretError {
            name: secrets.0.keys().cloned().collect::<Vec<_>>().join(", "),
            why: why.to_owned(),
        };
        if together > LONGEST_ALL {
            return Err(whole("are more than 512 KiB together"));
        }
        // The plan is kept with the run, as it is.
        let text = serde_json::to_vec(plan).map_err(|error| whole(&error.to_string()))?;
        match secrets.masks().found(&text) {
            Some(found) => Err(whole(&format!(
                "the plan itself holds {found}: nodes read it from the file that templates call `secrets.NAME`"
            ))),
            None => Ok(secrets),
        }
    }

    /// What takes them out of texts.
    #[must_use]
    pub fn masks(&self) -> Masks {
        Masks::new(&self.0)
    }

    /// The values by name, for the nodes.
    #[must_use]
    pub fn values(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.0
    }
}

fn value_of(secret: &SecretPlan) -> Result<Vec<u8>, String> {
    match &secret.from {
        SecretSource::Env(variable) => {
            let value = std::env::var_os(variable).ok_or_else(|| {
                format!(
                    "the environment has no {variable} (set it: `{variable}=... canarynet ...`)"
                )
            })?;
            let value = value
                .into_string()
                .map_err(|_| format!("{variable} is no text"))?;
            Ok(value.into_bytes())
        }
        SecretSource::File(path) => {
            let failed = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
            let file = std::fs::File::open(path).map_err(failed)?;
            let mut value = Vec::new();
            file.take(LONGEST + 1)
                .read_to_end(&mut value)
                .map_err(failed)?;
            if value.len() as u64 > LONGEST {
                return Err(format!("{} is longer than 64 KiB", path.display()));
            }
            Ok(value)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::generate::Shape;

    fn plan(file: &std::path::Path) -> Plan {
        let mut plan = Shape::default().plan();
        plan.network.secrets = vec![SecretPlan {
            name: "KEY".to_owned(),
            from: SecretSource::File(file.to_owned()),
        }];
        plan
    }

    #[test]
    fn files_are_read_and_what_cannot_be_kept_secret_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let refused = |plan: &Plan| Secrets::read(plan).unwrap_err().to_string();
        assert!(refused(&plan(&file)).contains("cannot read"));
        std::fs::write(&file, "short").unwrap();
        assert!(refused(&plan(&file)).contains("shorter than 8"));
        std::fs::write(&file, vec![b'x'; 70_000]).unwrap();
        assert!(refused(&plan(&file)).contains("longer than 64 KiB"));
        std::fs::write(&file, "the key itself\n").unwrap();
        let secrets = Secrets::read(&plan(&file)).unwrap();
        assert_eq!(secrets.values()["KEY"], b"the key itself\n");
        assert_eq!(format!("{secrets:?}"), "{\"KEY\"}");
        let mut told = plan(&file);
        told.network.command = vec!["--key".to_owned(), "the key itself".to_owned()];
        assert!(refused(&told).contains("the plan itself holds [secret KEY]"));
        let mut nobody = plan(&file);
        nobody.network.secrets[0].from = SecretSource::Env("NOT_SET_ANYWHERE_17".to_owned());
        assert!(refused(&nobody).contains("has no NOT_SET_ANYWHERE_17"));
    }
}
