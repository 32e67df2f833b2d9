//! Containers.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use bollard::{
    errors::Error,
    query_parameters::{
        CreateContainerOptionsBuilder, KillContainerOptionsBuilder, ListContainersOptionsBuilder,
        LogsOptionsBuilder, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
    },
};
use futures_util::StreamExt as _;

use super::{CHANGE, ContainerSpec, Docker, READ, call, label_filter, label_present};
use crate::{
    engine::{
        error::EngineError,
        labels::{self, Labels},
    },
    ids::RunId,
    journal::text::{clean, clean_bytes},
};

/// A container in a list.
#[derive(Debug, Clone)]
pub struct ContainerSummary {
    /// Its id.
    pub id: String,
    /// Its name, without the leading slash.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Whether it runs (paused counts).
    pub running: bool,
}

/// What inspecting a container tells.
#[derive(Debug, Clone)]
pub struct ContainerFacts {
    /// Its id.
    pub id: String,
    /// Its name, without the leading slash.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Whether its main process runs.
    pub running: bool,
    /// Whether it is frozen.
    pub paused: bool,
    /// Whether the kernel killed a process of it for memory.
    pub out_of_memory: bool,
    /// Exit code of its main process, once it ended.
    pub exit_code: i64,
    /// Process id of its main process on the engine's machine, 0 if it does not run.
    pub pid: u64,
    /// When it was last started, RFC 3339.
    pub started_at: String,
    /// Its fixed addresses by network name.
    pub addresses: BTreeMap<String, Ipv4Addr>,
    /// The limits that the engine says it has.
    pub limits: Observed,
}

/// Limits as the engine reports them; 0 and empty where there are none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// Memory in bytes.
    pub memory: i64,
    /// Memory and swap in bytes.
    pub memory_swap: i64,
    /// Billionths of a processor.
    pub nano_cpus: i64,
    /// Processes and threads.
    pub pids: i64,
    /// Hard limit of open files.
    pub open_files: i64,
    /// `uid:gid`.
    pub user: String,
    /// Root file system read-only.
    pub read_only_root: bool,
    /// Capabilities taken away, upper case, without the prefix.
    pub capabilities_dropped: Vec<String>,
    /// Capabilities added.
    pub capabilities_added: Vec<String>,
    /// Security options.
    pub security: Vec<String>,
    /// Whether it is privileged.
    pub privileged: bool,
    /// Log driver.
    pub log_driver: String,
    /// Restart policy, empty or `no`.
    pub restart_policy: String,
    /// Write operations per second by device.
    pub write_iops: BTreeMap<String, i64>,
    /// Bytes written per second by device.
    pub write_bytes: BTreeMap<String, i64>,
}

impl Docker {
    /// Creates a container; answers its id.
    ///
    /// # Errors
    /// [`EngineError::NameTaken`], [`EngineError::ImageMissing`], or what the engine said.
    pub async fn create(&self, spec: ContainerSpec) -> Result<String, EngineError> {
        let (name, image) = (spec.name.clone(), spec.image.clone());
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        let created = call(
            "create container",
            &name,
            CHANGE,
            self.client
                .create_container(Some(options), spec.into_model()),
        )
        .await;
        match created {
            Ok(answer) => Ok(answer.id),
            Err(error) if error.is_missing() && format!("{error}").contains("image") => {
                Err(EngineError::ImageMissing { image })
            }
            Err(error) if error.is_conflict() && format!("{error}").contains("name") => {
                Err(EngineError::NameTaken { name })
            }
            Err(error) => Err(error),
        }
    }

    /// Starts a container; one that runs already is left alone.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn start(&self, container: &str) -> Result<(), EngineError> {
        let future = self.client.start_container(
            container,
            None::<bollard::query_parameters::StartContainerOptions>,
        );
        call("start container", container, CHANGE, future).await
    }

    /// Stops a container: its stop signal, and SIGKILL after `grace`. One that does not run is left alone.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn stop(&self, container: &str, grace: Duration) -> Result<(), EngineError> {
        let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::new().t(seconds).build();
        let future = self.client.stop_container(container, Some(options));
        call("stop container", container, CHANGE + grace, future).await
    }

    /// Sends a signal (`SIGKILL`, `SIGSTOP`, ...) to a container's main process.
    ///
    /// # Errors
    /// What the engine said; a container that does not run is a conflict.
    pub async fn kill(&self, container: &str, signal: &str) -> Result<(), EngineError> {
        let options = KillContainerOptionsBuilder::new().signal(signal).build();
        let future = self.client.kill_container(container, Some(options));
        call("signal container", container, CHANGE, future).await
    }

    /// Freezes all processes of a container.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn pause(&self, container: &str) -> Result<(), EngineError> {
        let future = self.client.pause_container(container);
        call("pause container", container, CHANGE, future).await
    }

    /// Thaws a container.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn unpause(&self, container: &str) -> Result<(), EngineError> {
        let future = self.client.unpause_container(container);
        call("unpause container", container, CHANGE, future).await
    }

    /// Removes a container, killing it if it runs. One that is gone, or that somebody is removing, is fine.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn remove(&self, container: &str) -> Result<(), EngineError> {
        let options = RemoveContainerOptionsBuilder::new()
            .force(true)
            .v(true)
            .build();
        let future = self.client.remove_container(container, Some(options));
        match call("remove container", container, CHANGE, future).await {
            Err(error) if error.is_missing() || error.is_conflict() => {
                self.wait_until_removed(container, error).await
            }
            other => other,
        }
    }

    /// A removal that another client has begun ends soon; the engine answers a second one with a conflict.
    async fn wait_until_removed(
        &self,
        container: &str,
        conflict: EngineError,
    ) -> Result<(), EngineError> {
        for _ in 0..50 {
            match self.inspect(container).await {
                Err(error) if error.is_missing() => return Ok(()),
                Err(error) => return Err(error),
                Ok(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        Err(conflict)
    }

    /// What the engine knows of a container.
    ///
    /// # Errors
    /// What the engine said; [`EngineError::is_missing`] if there is none.
    pub async fn inspect(&self, container: &str) -> Result<ContainerFacts, EngineError> {
        let future = self.client.inspect_container(
            container,
            None::<bollard::query_parameters::InspectContainerOptions>,
        );
        let answer = call("inspect container", container, READ, future).await?;
        Ok(facts(answer))
    }

    /// The image that a container was made from.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn image_of(&self, container: &str) -> Result<String, EngineError> {
        let future = self.client.inspect_container(
            container,
            None::<bollard::query_parameters::InspectContainerOptions>,
        );
        let answer = call("inspect container", container, READ, future).await?;
        answer.image.ok_or_else(|| EngineError::Incomplete {
            subject: container.to_owned(),
            what: "its image",
        })
    }

    /// Whether there is a container of this name, whoever's it is.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn container_exists(&self, name: &str) -> Result<bool, EngineError> {
        super::exists(self.inspect(name).await)
    }

    /// Containers of a run, in any state.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn containers_of(&self, run: &RunId) -> Result<Vec<ContainerSummary>, EngineError> {
        self.list_containers(&label_filter(labels::RUN, run.as_str()))
            .await
    }

    /// Containers of all runs, in any state.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn containers_of_all_runs(&self) -> Result<Vec<ContainerSummary>, EngineError> {
        self.list_containers(&label_present(labels::RUN)).await
    }

    async fn list_containers(
        &self,
        filter: &std::collections::HashMap<String, Vec<String>>,
    ) -> Result<Vec<ContainerSummary>, EngineError> {
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(filter)
            .build();
        let future = self.client.list_containers(Some(options));
        let list = call("list", "containers", READ, future).await?;
        Ok(list
            .into_iter()
            .filter_map(|item| {
                let name = item.names?.into_iter().next()?;
                Some(ContainerSummary {
                    id: item.id?,
                    name: name.trim_start_matches('/').to_owned(),
                    labels: item.labels.unwrap_or_default(),
                    running: matches!(
                        item.state,
                        Some(
                            bollard::models::ContainerSummaryStateEnum::RUNNING
                                | bollard::models::ContainerSummaryStateEnum::PAUSED
                        )
                    ),
                })
            })
            .collect())
    }

    /// Waits until a container's main process has ended; answers its exit code.
    ///
    /// # Errors
    /// [`EngineError::Deadline`] if it still runs then, or what the engine said.
    pub async fn wait(&self, container: &str, deadline: Duration) -> Result<i64, EngineError> {
        let mut stream = self.client.wait_container(
            container,
            None::<bollard::query_parameters::WaitContainerOptions>,
        );
        let future = async {
            match stream.next().await {
                Some(Ok(answer)) => Ok(answer.status_code),
                // The client library turns every exit code but 0 into an error.
                Some(Err(Error::DockerContainerWaitError { code, .. })) => Ok(code),
                Some(Err(error)) => Err(error),
                None => Err(Error::RequestTimeoutError),
            }
        };
        call("wait for container", container, deadline, future).await
    }

    /// The last lines of a container's output, both streams, at most `limit` bytes, cleaned line by line.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn last_words(
        &self,
        container: &str,
        lines: u32,
        limit: usize,
    ) -> Result<Vec<String>, EngineError> {
        let output = self.output(container, &lines.to_string(), limit).await?;
        Ok(output
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| clean_bytes(line, 400))
            .collect())
    }

    /// A container's output, both streams, at most `limit` bytes; `tail` is a number of lines or `all`.
    pub async fn output(
        &self,
        container: &str,
        tail: &str,
        limit: usize,
    ) -> Result<Vec<u8>, EngineError> {
        let options = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .tail(tail)
            .build();
        let mut stream = self.client.logs(container, Some(options));
        let future = async {
            let mut output = Vec::new();
            while let Some(chunk) = stream.next().await {
                let chunk = chunk?.into_bytes();
                let room = limit.saturating_sub(output.len());
                output.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if output.len() == limit {
                    break;
                }
            }
            Ok(output)
        };
        call("read the log of container", container, READ, future).await
    }
}

fn facts(answer: bollard::models::ContainerInspectResponse) -> ContainerFacts {
    let state = answer.state.unwrap_or_default();
    let config = answer.config.unwrap_or_default();
    let networks = answer
        .network_settings
        .and_then(|settings| settings.networks)
        .unwrap_or_default();
    ContainerFacts {
        id: answer.id.unwrap_or_default(),
        name: answer
            .name
            .unwrap_or_default()
            .trim_start_matches('/')
            .to_owned(),
        labels: config.labels.unwrap_or_default(),
        running: state.running.unwrap_or(false),
        paused: state.paused.unwrap_or(false),
        out_of_memory: state.oom_killed.unwrap_or(false),
        exit_code: state.exit_code.unwrap_or(0),
        pid: state
            .pid
            .and_then(|pid| u64::try_from(pid).ok())
            .unwrap_or(0),
        started_at: clean(&state.started_at.unwrap_or_default(), 60),
        addresses: networks
            .into_iter()
            .filter_map(|(name, endpoint)| {
                // The configured address, not the one in use: it also holds while the container is down.
                let address = endpoint.ipam_config?.ipv4_address?.parse().ok()?;
                Some((name, address))
            })
            .collect(),
        limits: observed(
            answer.host_config.unwrap_or_default(),
            config.user.unwrap_or_default(),
        ),
    }
}

fn observed(host: bollard::models::HostConfig, user: String) -> Observed {
    let capabilities = |list: Option<Vec<String>>| {
        list.unwrap_or_default()
            .into_iter()
            .map(|name| {
                let name = name.to_ascii_uppercase();
                name.strip_prefix("CAP_").map(str::to_owned).unwrap_or(name)
            })
            .collect()
    };
    let throttles = |list: Option<Vec<bollard::models::ThrottleDevice>>| {
        list.unwrap_or_default()
            .into_iter()
            .filter_map(|throttle| Some((throttle.path?, throttle.rate?)))
            .collect()
    };
    Observed {
        memory: host.memory.unwrap_or(0),
        memory_swap: host.memory_swap.unwrap_or(0),
        nano_cpus: host.nano_cpus.unwrap_or(0),
        pids: host.pids_limit.unwrap_or(0),
        open_files: host
            .ulimits
            .unwrap_or_default()
            .into_iter()
            .find(|ulimit| ulimit.name.as_deref() == Some("nofile"))
            .and_then(|ulimit| ulimit.hard)
            .unwrap_or(0),
        user,
        read_only_root: host.readonly_rootfs.unwrap_or(false),
        capabilities_dropped: capabilities(host.cap_drop),
        capabilities_added: capabilities(host.cap_add),
        security: host.security_opt.unwrap_or_default(),
        privileged: host.privileged.unwrap_or(false),
        log_driver: host.log_config.and_then(|log| log.typ).unwrap_or_default(),
        restart_policy: host
            .restart_policy
            .and_then(|policy| policy.name)
            .map(|name| name.to_string())
            .unwrap_or_default(),
        write_iops: throttles(host.blkio_device_write_iops),
        write_bytes: throttles(host.blkio_device_write_bps),
    }
}
