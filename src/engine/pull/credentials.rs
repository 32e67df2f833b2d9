//! Credentials for registries from Docker's own configuration: what `docker login` wrote down, and credential helpers.
//! They never stand in a plan, and never in a message.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fmt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;

use crate::{engine::error::EngineError, journal::text::clean_bytes, plan::image::credentials_key};

/// A helper may ask a key chain, which may ask its owner; nobody answers in CI.
const HELPER: Duration = Duration::from_secs(30);
/// Longest configuration that is read.
const LONGEST: u64 = 1 << 20;
/// What every helper says of a registry that it does not know.
const NOT_FOUND: &[u8] = b"credentials not found";
/// The user's name that says that the secret is an identity token.
const TOKEN: &str = "<token>";

/// Credentials for one registry.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The key that Docker knows the registry by.
    pub server: String,
    /// The user's name; empty with an identity token.
    pub username: String,
    /// The password; empty with an identity token.
    pub password: String,
    /// An identity token, instead of name and password.
    pub identity_token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nothing of it but the place that it is for.
        formatter
            .debug_struct("Credentials")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

/// The part of Docker's `config.json` that is about credentials.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Config {
    auths: BTreeMap<String, Entry>,
    creds_store: String,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

/// What a helper answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Where the credentials of a registry are.
enum Place {
    Helper(String),
    Here(Credentials),
    Nowhere,
}

/// Credentials for a registry from the configuration in this folder; `None` where there are none. Helpers are looked for
/// in the folders of `path`.
///
/// # Errors
/// When the configuration cannot be read, or a helper fails.
pub async fn look_up(
    registry: &str,
    folder: &Path,
    path: &OsStr,
) -> Result<Option<Credentials>, EngineError> {
    let key = credentials_key(registry);
    let failed = |why: String| EngineError::Credentials {
        registry: registry.to_owned(),
        why,
    };
    let file = folder.join("config.json");
    let text = match tokio::fs::metadata(&file).await {
        Ok(known) if known.len() <= LONGEST => tokio::fs::read(&file).await,
        Ok(_) => return Err(failed(format!("{} is too long", file.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => Err(error),
    };
    let text = text.map_err(|source| EngineError::Read {
        path: file.clone(),
        source,
    })?;
    // What the parser says could quote the file.
    let config: Config = serde_json::from_slice(&text).map_err(|error| {
        failed(format!(
            "{} is no JSON, line {}",
            file.display(),
            error.line()
        ))
    })?;
    match place(&config, key).map_err(failed)? {
        Place::Here(credentials) => Ok(Some(credentials)),
        Place::Helper(name) => ask(&name, key, path).await.map_err(failed),
        Place::Nowhere => Ok(None),
    }
}

/// The registry's own helper, else the one for all, else what is written down.
fn place(config: &Config, key: &str) -> Result<Place, String> {
    let of = |known: &String| host(known) == host(key);
    let own = config.cred_helpers.iter().find(|(known, _)| of(known));
    let helper = own.map_or(&config.creds_store, |(_, helper)| helper);
    if !helper.is_empty() {
        return Ok(Place::Helper(helper.clone()));
    }
    let entry = config.auths.iter().find(|(known, _)| of(known));
    let Some((_, entry)) = entry else {
        return Ok(Place::Nowhere);
    };
    let credentials = |username: &str, password: &str, token: &str| {
        Place::Here(Credentials {
            server: key.to_owned(),
            username: username.to_owned(),
            password: password.to_owned(),
            identity_token: (!token.is_empty()).then(|| token.to_owned()),
        })
    };
    if !entry.identitytoken.is_empty() {
        return Ok(credentials("", "", &entry.identitytoken));
    }
    if !entry.auth.is_empty() {
        let broken =
            || format!("`auths` has an entry for {key} that is no base64 of NAME:PASSWORD");
        let pair = STANDARD.decode(entry.auth.trim()).map_err(|_| broken())?;
        let pair = String::from_utf8(pair).map_err(|_| broken())?;
        let (username, password) = pair.split_once(':').ok_or_else(broken)?;
        return Ok(credentials(username, password.trim_end_matches('\0'), ""));
    }
    if entry.username.is_empty() {
        return Ok(Place::Nowhere);
    }
    Ok(credentials(&entry.username, &entry.password, ""))
}

/// The host of a key: older ones are addresses with a path.
fn host(key: &str) -> &str {
    let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or(rest);
    match host {
        "docker.io" | "registry-1.docker.io" => "index.docker.io",
        host => host,
    }
}

/// Asks `docker-credential-NAME`.
async fn ask(name: &str, key: &str, path: &OsStr) -> Result<Option<Credentials>, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if !name.bytes().all(plain) {
        return Err("the name of its credential helper is no name".to_owned());
    }
    let file = format!("docker-credential-{name}");
    let found: Option<PathBuf> = std::env::split_paths(path)
        .map(|folder| folder.join(&file))
        .find(|path| path.is_file());
    let program = found.ok_or_else(|| {
        format!("Docker's configuration names the helper {file}, which is nowhere on the PATH")
    })?;
    let failed = |what: String| format!("{file} {what}");
    let mut child = tokio::process::Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(format!("cannot be started: {error}")))?;
    let mut input = child.stdin.take();
    let talk = async {
        if let Some(input) = &mut input {
            // One that answers without reading is no failure.
            let _ = input.write_all(key.as_bytes()).await;
        }
        drop(input);
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(HELPER, talk)
        .await
        .map_err(|_| failed(format!("did not answer within {} s", HELPER.as_secs())))?
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        let said = &output.stdout;
        if said.windows(NOT_FOUND.len()).any(|part| part == NOT_FOUND) {
            return Ok(None);
        }
        return Err(failed(format!("failed: {}", clean_bytes(said, 200))));
    }
    let answer: Answer = serde_json::from_slice(&output.stdout)
        .map_err(|_| failed("answered something that is no credentials".to_owned()))?;
    let token = answer.username == TOKEN;
    Ok(Some(Credentials {
        server: key.to_owned(),
        username: if token {
            String::new()
        } else {
            answer.username
        },
        password: if token {
            String::new()
        } else {
            answer.secret.clone()
        },
        identity_token: token.then_some(answer.secret),
    }))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    /// A folder with this configuration and with helpers that are real executables.
    fn folder(config: &str, helpers: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.json"), config).unwrap();
        for (name, script) in helpers {
            let path = folder.path().join(format!("docker-credential-{name}"));
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder
    }

    async fn found(folder: &tempfile::TempDir, registry: &str) -> Option<(String, String)> {
        let path = folder.path();
        let found = look_up(registry, path, path.as_os_str()).await.unwrap()?;
        Some((found.username, found.password))
    }

    async fn refused(folder: &tempfile::TempDir, registry: &str) -> String {
        let path = folder.path();
        let error = look_up(registry, path, path.as_os_str()).await.unwrap_err();
        error.to_string()
    }

    fn pair(username: &str, password: &str) -> Option<(String, String)> {
        Some((username.to_owned(), password.to_owned()))
    }

    #[tokio::test]
    async fn what_docker_login_wrote_is_found_under_all_its_names() {
        let auth = STANDARD.encode("ann:pass:word");
        let config = format!(
            r#"{{ "auths": {{
                "reg.example:5000": {{ "auth": "{auth}" }},
                "https://index.docker.io/v1/": {{ "username": "bob", "password": "x" }},
                "https://old.example/v1/": {{ "identitytoken": "tok" }},
                "empty.example": {{}}
            }}, "other": [1] }}"#
        );
        let folder = folder(&config, &[]);
        assert_eq!(
            found(&folder, "reg.example:5000").await,
            pair("ann", "pass:word")
        );
        assert_eq!(found(&folder, "docker.io").await, pair("bob", "x"));
        assert_eq!(found(&folder, "reg.example").await, None);
        assert_eq!(found(&folder, "empty.example").await, None);
        let path = folder.path();
        let token = look_up("old.example", path, path.as_os_str())
            .await
            .unwrap();
        let token = token.unwrap();
        assert_eq!(token.identity_token.as_deref(), Some("tok"));
        assert!(!format!("{token:?}").contains("tok\""), "{token:?}");
    }

    #[tokio::test]
    async fn helpers_are_asked_first_and_by_the_registry() {
        let auth = STANDARD.encode("file:file");
        let config = format!(
            r#"{{ "auths": {{ "reg.example": {{ "auth": "{auth}" }} }},
                 "credsStore": "all", "credHelpers": {{ "own.example": "own", "no.example": "none" }} }}"#
        );
        let echo = r#"read -r key || true; printf '{"ServerURL":"%s","Username":"%s","Secret":"s3cret"}' "$key" "all-$key""#;
        let own = r#"printf '{"Username":"<token>","Secret":"t0ken"}'"#;
        let none = "echo 'credentials not found in native keychain'; exit 1";
        let folder = folder(&config, &[("all", echo), ("own", own), ("none", none)]);
        assert_eq!(
            found(&folder, "reg.example").await,
            pair("all-reg.example", "s3cret")
        );
        let hub = found(&folder, "docker.io").await;
        assert_eq!(hub, pair("all-https://index.docker.io/v1/", "s3cret"));
        assert_eq!(found(&folder, "no.example").await, None);
        let path = folder.path();
        let own = look_up("own.example", path, path.as_os_str())
            .await
            .unwrap();
        assert_eq!(own.unwrap().identity_token.as_deref(), Some("t0ken"));
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_told_without_a_secret() {
        let folder_of = |config: &str, script: &str| folder(config, &[("bad", script)]);
        let store = r#"{ "credsStore": "bad" }"#;
        let error = refused(&folder_of(store, "echo locked; exit 2"), "a.example").await;
        assert!(
            error.contains("a.example") && error.contains("locked"),
            "{error}"
        );
        let error = refused(
            &folder_of(store, "echo '{\"Secret\":\"hidden\"}'"),
            "a.example",
        )
        .await;
        assert!(
            error.contains("no credentials") && !error.contains("hidden"),
            "{error}"
        );
        let missing = r#"{ "credsStore": "nobody" }"#;
        let error = refused(&folder_of(missing, ""), "a.example").await;
        assert!(error.contains("docker-credential-nobody"), "{error}");
        let error = refused(&folder_of("{ hidden", ""), "a.example").await;
        assert!(
            error.contains("config.json") && !error.contains("hidden"),
            "{error}"
        );
        let sly = r#"{ "credsStore": "../x" }"#;
        assert!(
            refused(&folder_of(sly, ""), "a.example")
                .await
                .contains("no name")
        );
        let none = tempfile::tempdir().unwrap();
        assert_eq!(found(&none, "a.example").await, None);
    }
}
