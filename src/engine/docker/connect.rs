//! Finding the engine and naming the cause when it cannot be used.

use std::{
    env,
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest as _, Sha256};

use super::{CLIENT, Docker, READ, call};
use crate::{engine::error::EngineError, journal::text::clean};

/// The oldest API that everything here was measured on (Docker 20.10).
const OLDEST_API: (usize, usize) = (1, 41);
/// The same for people.
const OLDEST_API_TEXT: &str = "1.41 (Docker 20.10)";

/// What the engine is and has.
#[derive(Debug, Clone)]
pub struct EngineInfo {
    /// Where it was reached.
    pub address: String,
    /// Its version.
    pub version: String,
    /// The API version in use.
    pub api: (usize, usize),
    /// `linux`, or it would not be here.
    pub os: String,
    /// `x86_64`, `aarch64`, ... as the kernel names it.
    pub architecture: String,
    /// Its kernel.
    pub kernel: String,
    /// Processors.
    pub cpus: u64,
    /// Memory in bytes.
    pub memory: u64,
    /// Where it keeps its data, on its own machine.
    pub data_root: String,
    /// 1 or 2.
    pub cgroup_version: u8,
    /// Driver of image layers.
    pub storage_driver: String,
    /// The engine's own id, stable over restarts.
    pub id: String,
    /// `rootless` and other security options by name.
    pub security: Vec<String>,
    /// Containers outlive the engine's restart.
    pub live_restore: bool,
}

impl Docker {
    /// Connects to the engine at `host`, or where `DOCKER_HOST`, the current Docker context or the usual sockets
    /// point, negotiates the API version and reads what the engine is.
    ///
    /// # Errors
    /// Names the cause: not installed, not running, no permission, too old, no Linux containers.
    pub async fn connect(host: Option<&str>) -> Result<Self, EngineError> {
        let address = match host {
            Some(host) => host.to_owned(),
            None => default_address(),
        };
        probe_socket(&address).await?;
        let client = client(&address)?;
        let version = call("ask the version of", "the engine", READ, client.version()).await?;
        let api_text = version.api_version.unwrap_or_default();
        let version_text = clean(&version.version.unwrap_or_default(), 60);
        match parse_api(&api_text) {
            Some(api) if api >= OLDEST_API => {}
            _ => {
                return Err(EngineError::TooOld {
                    version: version_text,
                    api: clean(&api_text, 20),
                    needed: OLDEST_API_TEXT,
                });
            }
        }
        let client = call(
            "negotiate the API version with",
            "the engine",
            READ,
            client.negotiate_version(),
        )
        .await?;
        let info = read_info(&client, address, version_text).await?;
        if info.os != "linux" {
            return Err(EngineError::NotLinux { os: info.os });
        }
        Ok(Self {
            client,
            info: Arc::new(info),
        })
    }
}

impl Docker {
    /// What time it is by the engine's clock, in milliseconds since 1970; `None` where it does not tell.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn time(&self) -> Result<Option<u64>, EngineError> {
        let info = call("ask the time of", "the engine", READ, self.client.info()).await?;
        Ok(info.system_time.as_deref().and_then(milliseconds))
    }
}

/// Milliseconds since 1970 of a time like `2026-11-27T10:45:27.123456789+01:00`.
fn milliseconds(text: &str) -> Option<u64> {
    let (local, east) = match text.strip_suffix('Z') {
        Some(local) => (local, 0),
        None => {
            let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
            let (hours, minutes) = offset.get(1..)?.split_once(':')?;
            let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
            match offset.as_bytes()[0] {
                b'+' => (local, minutes),
                b'-' => (local, -minutes),
                _ => return None,
            }
        }
    };
    let local = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    let local = local
        .duration_since(std::time::UNIX_EPOCH)
        .ok()?
        .as_millis();
    u64::try_from(i64::try_from(local).ok()? - east * 60_000).ok()
}

async fn read_info(
    client: &bollard::Docker,
    address: String,
    version: String,
) -> Result<EngineInfo, EngineError> {
    let info = call("ask the facts of", "the engine", READ, client.info()).await?;
    let negotiated = client.client_version();
    let cgroup_version = match info.cgroup_version {
        Some(bollard::models::SystemInfoCgroupVersionEnum::_2) => 2,
        _ => 1,
    };
    let text = |value: Option<String>| clean(&value.unwrap_or_default(), 200);
    let count = |value: Option<i64>| value.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
    Ok(EngineInfo {
        address,
        version,
        api: (negotiated.major_version, negotiated.minor_version),
        os: text(info.os_type),
        architecture: text(info.architecture),
        kernel: text(info.kernel_version),
        cpus: count(info.ncpu),
        memory: count(info.mem_total),
        data_root: text(info.docker_root_dir),
        cgroup_version,
        storage_driver: text(info.driver),
        id: text(info.id),
        security: info
            .security_options
            .unwrap_or_default()
            .iter()
            .map(|option| clean(option, 100))
            .collect(),
        live_restore: info.live_restore_enabled.unwrap_or(false),
    })
}

fn parse_api(text: &str) -> Option<(usize, usize)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Opens a client without talking to the engine yet.
fn client(address: &str) -> Result<bollard::Docker, EngineError> {
    let bad = |why| EngineError::BadAddress {
        address: clean(address, 200),
        why,
    };
    let version = bollard::API_DEFAULT_VERSION;
    if let Some(path) = address.strip_prefix("unix://") {
        return bollard::Docker::connect_with_unix(path, CLIENT.as_secs(), version).map_err(|_| {
            EngineError::NotInstalled {
                address: clean(address, 200),
            }
        });
    }
    if address.starts_with("tcp://") || address.starts_with("http://") {
        let tls = env::var_os("DOCKER_TLS_VERIFY").is_some_and(|value| !value.is_empty());
        if tls {
            return Err(bad(
                "TLS is not supported; forward the engine's socket instead (`ssh -L`)",
            ));
        }
        return bollard::Docker::connect_with_http(address, CLIENT.as_secs(), version)
            .map_err(|_| bad("it is no valid address"));
    }
    Err(bad(
        "use unix:///path or tcp://host:port; forward other kinds to a local socket (`ssh -L`)",
    ))
}

/// Connects once by hand, because the client library does not tell a missing engine from a forbidden one.
async fn probe_socket(address: &str) -> Result<(), EngineError> {
    let Some(path) = address.strip_prefix("unix://") else {
        return Ok(());
    };
    let shown = clean(address, 200);
    match tokio::time::timeout(READ, connect_once(Path::new(path))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(match error.kind() {
            std::io::ErrorKind::NotFound => EngineError::NotInstalled { address: shown },
            std::io::ErrorKind::PermissionDenied => EngineError::NoPermission {
                address: shown,
                source: error.into(),
            },
            _ => EngineError::NotRunning {
                address: shown,
                source: error.into(),
            },
        }),
        Err(_) => Err(EngineError::Deadline {
            operation: "connect to",
            subject: shown,
            deadline: READ,
        }),
    }
}

#[cfg(unix)]
async fn connect_once(path: &Path) -> std::io::Result<()> {
    tokio::net::UnixStream::connect(path).await.map(drop)
}

#[cfg(not(unix))]
async fn connect_once(_path: &Path) -> std::io::Result<()> {
    Ok(())
}

/// Where the engine listens when nobody says: `DOCKER_HOST`, then the current Docker context, then the usual
/// sockets, the system's first.
fn default_address() -> String {
    if let Some(host) = env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty()) {
        return host;
    }
    let home = env::var_os("HOME").map(PathBuf::from);
    if let Some(host) = config_folder().as_deref().and_then(context_address) {
        return host;
    }
    let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let candidates = [
        Some(PathBuf::from("/var/run/docker.sock")),
        runtime.map(|runtime| runtime.join("docker.sock")),
        home.map(|home| home.join(".docker/run/docker.sock")),
    ];
    let usual = candidates.into_iter().flatten().find(|path| path.exists());
    let path = usual.unwrap_or_else(|| PathBuf::from("/var/run/docker.sock"));
    format!("unix://{}", path.display())
}

/// Where Docker's own configuration is: `DOCKER_CONFIG`, else the folder in the user's home.
pub(crate) fn config_folder() -> Option<PathBuf> {
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker"));
    env::var_os("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(home)
}

/// The address of the context that `DOCKER_CONTEXT` or Docker's configuration names; `None` for the default one.
fn context_address(config: &Path) -> Option<String> {
    let name = match env::var("DOCKER_CONTEXT")
        .ok()
        .filter(|name| !name.is_empty())
    {
        Some(name) => name,
        None => {
            let text = std::fs::read_to_string(config.join("config.json")).ok()?;
            let json: serde_json::Value = serde_json::from_str(&text).ok()?;
            json.get("currentContext")?.as_str()?.to_owned()
        }
    };
    if name.is_empty() || name == "default" {
        return None;
    }
    let folder = hex::encode(Sha256::digest(name.as_bytes()));
    let meta = config.join("contexts/meta").join(folder).join("meta.json");
    let json: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(meta).ok()?).ok()?;
    let host = json.pointer("/Endpoints/docker/Host")?.as_str()?;
    Some(host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn causes_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = format!("unix://{}/none.sock", folder.path().display());
        let error = Docker::connect(Some(&missing)).await.unwrap_err();
        assert!(matches!(error, EngineError::NotInstalled { .. }), "{error}");

        let path = folder.path().join("dead.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let error = Docker::connect(Some(&format!("unix://{}", path.display())))
            .await
            .unwrap_err();
        assert!(matches!(error, EngineError::NotRunning { .. }), "{error}");

        let error = Docker::connect(Some("ssh://host")).await.unwrap_err();
        assert!(matches!(error, EngineError::BadAddress { .. }), "{error}");
    }

    #[test]
    fn the_engines_time_is_read_in_every_zone() {
        let at = Some(1_764_236_727_123);
        assert_eq!(milliseconds("2025-11-27T09:45:27.123456789Z"), at);
        assert_eq!(milliseconds("2025-11-27T10:45:27.123456789+01:00"), at);
        assert_eq!(milliseconds("2025-11-27T04:15:27.123-05:30"), at);
        for wrong in [
            "",
            "now",
            "2025-11-27T10:45:27",
            "2025-11-27T10:45:27.1*01:00",
            "ä1:00",
        ] {
            assert_eq!(milliseconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_context_is_followed() {
        let config = tempfile::tempdir().unwrap();
        std::fs::write(
            config.path().join("config.json"),
            r#"{"currentContext":"desktop"}"#,
        )
        .unwrap();
        let folder = hex::encode(Sha256::digest(b"desktop"));
        let meta = config.path().join("contexts/meta").join(folder);
        std::fs::create_dir_all(&meta).unwrap();
        std::fs::write(
            meta.join("meta.json"),
            r#"{"Endpoints":{"docker":{"Host":"unix:///x.sock"}}}"#,
        )
        .unwrap();
        if env::var_os("DOCKER_CONTEXT").is_none() {
            assert_eq!(
                context_address(config.path()).as_deref(),
                Some("unix:///x.sock")
            );
        }
    }
}
