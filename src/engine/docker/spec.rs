//! What a container is made of, in our words, and its translation into the engine's.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use bollard::models;

use crate::engine::labels::Labels;

/// Bytes of a log file before the engine rotates it, and how many it keeps: what a node writes is bounded on the
/// engine's disk, and a reader has 48 MiB of slack before lines are lost to it.
const LOG_FILE_SIZE: &str = "16m";
/// Files kept by the log driver.
const LOG_FILES: &str = "3";
/// Bytes that one container's logs may take on the engine's disk.
pub const LOG_BYTES: u64 = crate::plan::reserve::LOG_BYTES;

/// A container to be created. The default has no network, no capability, no new privileges and a read-only root.
#[derive(Debug, Clone, Default)]
pub struct ContainerSpec {
    /// Its name.
    pub name: String,
    /// Image reference.
    pub image: String,
    /// Replaces the image's entry point if given.
    pub entrypoint: Option<Vec<String>>,
    /// Arguments of the entry point; the image's own if empty.
    pub command: Vec<String>,
    /// Environment.
    pub environment: BTreeMap<String, String>,
    /// `uid:gid`.
    pub user: String,
    /// Host name inside.
    pub hostname: String,
    /// Labels.
    pub labels: Labels,
    /// Volumes and folders of the engine's machine.
    pub mounts: Vec<Mount>,
    /// Small tmpfs paths: path to bytes.
    pub scratch: BTreeMap<String, u64>,
    /// Memory in bytes, swap excluded; 0 is unlimited.
    pub memory: u64,
    /// Processors; 0 is unlimited.
    pub cpus: f64,
    /// Processes and threads; 0 is unlimited.
    pub pids: u64,
    /// Open files; 0 leaves the engine's default.
    pub open_files: u64,
    /// Capabilities added to the empty set.
    pub capabilities: Vec<String>,
    /// Device rules (`b 7:* rmw`), for helpers.
    pub device_rules: Vec<String>,
    /// The engine's mandatory access control is switched off, for helpers that mount.
    pub unconfined: bool,
    /// Shares the process namespace of the engine's machine, for helpers.
    pub host_processes: bool,
    /// Shares another container's network (`container:<id>`).
    pub network_of: Option<String>,
    /// Root file system read-only.
    pub read_only_root: bool,
    /// The first network with a fixed address; a second one is connected before the start.
    pub network: Option<(String, Ipv4Addr)>,
    /// Write throttles of block devices.
    pub throttle: Option<Throttle>,
    /// Time to stop before it is killed.
    pub stop_timeout: Option<Duration>,
}

/// Throttles of one block device, in force for this container alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Throttle {
    /// The device on the engine's machine, or a symlink to it.
    pub device: String,
    /// Write operations per second.
    pub write_iops: Option<u64>,
    /// Bytes written per second.
    pub write_bytes_per_second: Option<u64>,
}

/// Something mounted into a container.
#[derive(Debug, Clone)]
pub enum Mount {
    /// A volume; created with these options and labels if it does not exist.
    Volume {
        /// Its name.
        name: String,
        /// Where.
        target: String,
        /// Read-only.
        read_only: bool,
        /// An empty volume is filled with what the image has at `target`.
        fill: bool,
        /// Options of the `local` driver.
        options: BTreeMap<String, String>,
        /// Labels.
        labels: Labels,
    },
    /// A folder of the engine's machine.
    Folder {
        /// Path on the engine's machine.
        source: String,
        /// Where.
        target: String,
        /// Read-only.
        read_only: bool,
    },
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn limit(value: u64) -> Option<i64> {
    (value > 0).then(|| signed(value))
}

/// Billionths of a processor, the engine's unit.
pub(crate) fn nano_cpus(cpus: f64) -> i64 {
    // Invariant: plans hold finite, positive processor counts; anything else saturates harmlessly.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturating is what is wanted"
    )]
    let nano = (cpus * 1e9).round() as i64;
    nano
}

impl Mount {
    fn into_model(self) -> models::Mount {
        match self {
            Self::Volume {
                name,
                target,
                read_only,
                fill,
                options,
                labels,
            } => models::Mount {
                target: Some(target),
                source: Some(name),
                typ: Some(models::MountType::VOLUME),
                read_only: Some(read_only),
                volume_options: Some(models::MountVolumeOptions {
                    no_copy: Some(!fill),
                    labels: Some(labels),
                    driver_config: (!options.is_empty()).then(|| {
                        models::MountVolumeOptionsDriverConfig {
                            name: Some("local".to_owned()),
                            options: Some(options.into_iter().collect()),
                        }
                    }),
                    subpath: None,
                }),
                ..Default::default()
            },
            Self::Folder {
                source,
                target,
                read_only,
            } => models::Mount {
                target: Some(target),
                source: Some(source),
                typ: Some(models::MountType::BIND),
                read_only: Some(read_only),
                ..Default::default()
            },
        }
    }
}

impl ContainerSpec {
    pub(super) fn into_model(self) -> models::ContainerCreateBody {
        let host_config = self.host_config();
        let networking_config =
            self.network
                .as_ref()
                .map(|(network, address)| models::NetworkingConfig {
                    endpoints_config: Some(
                        [(network.clone(), endpoint(*address, &self.hostname))].into(),
                    ),
                });
        models::ContainerCreateBody {
            hostname: (!self.hostname.is_empty()).then_some(self.hostname),
            user: Some(self.user),
            env: Some(
                self.environment
                    .into_iter()
                    .map(|(key, value)| format!("{key}={value}"))
                    .collect(),
            ),
            entrypoint: self.entrypoint,
            cmd: (!self.command.is_empty()).then_some(self.command),
            image: Some(self.image),
            labels: Some(self.labels),
            stop_timeout: self.stop_timeout.map(|time| signed(time.as_secs())),
            host_config: Some(host_config),
            networking_config,
            ..Default::default()
        }
    }

    fn network_mode(&self) -> String {
        match (&self.network, &self.network_of) {
            (Some((network, _)), _) => network.clone(),
            (None, Some(other)) => format!("container:{other}"),
            (None, None) => "none".to_owned(),
        }
    }

    fn host_config(&self) -> models::HostConfig {
        let mut security = vec!["no-new-privileges".to_owned()];
        if self.unconfined {
            security.push("apparmor=unconfined".to_owned());
        }
        models::HostConfig {
            memory: limit(self.memory),
            // Equal to memory: no swap, so that a limit is a limit.
            memory_swap: limit(self.memory),
            nano_cpus: (self.cpus > 0.0).then(|| nano_cpus(self.cpus)),
            pids_limit: limit(self.pids),
            ulimits: limit(self.open_files).map(|files| {
                vec![models::ResourcesUlimits {
                    name: Some("nofile".to_owned()),
                    soft: Some(files),
                    hard: Some(files),
                }]
            }),
            blkio_device_write_iops: self.throttle.as_ref().and_then(|t| t.model(t.write_iops)),
            blkio_device_write_bps: self
                .throttle
                .as_ref()
                .and_then(|t| t.model(t.write_bytes_per_second)),
            mounts: Some(self.mounts.iter().cloned().map(Mount::into_model).collect()),
            tmpfs: (!self.scratch.is_empty()).then(|| {
                self.scratch
                    .iter()
                    .map(|(path, bytes)| (path.clone(), format!("size={bytes},mode=1777")))
                    .collect()
            }),
            cap_drop: Some(vec!["ALL".to_owned()]),
            cap_add: (!self.capabilities.is_empty()).then(|| self.capabilities.clone()),
            device_cgroup_rules: (!self.device_rules.is_empty()).then(|| self.device_rules.clone()),
            security_opt: Some(security),
            readonly_rootfs: Some(self.read_only_root),
            pid_mode: self.host_processes.then(|| "host".to_owned()),
            network_mode: Some(self.network_mode()),
            restart_policy: Some(models::RestartPolicy {
                name: Some(models::RestartPolicyNameEnum::NO),
                maximum_retry_count: None,
            }),
            log_config: Some(log_config()),
            init: Some(false),
            ..Default::default()
        }
    }
}

impl Throttle {
    fn model(&self, rate: Option<u64>) -> Option<Vec<models::ThrottleDevice>> {
        Some(vec![models::ThrottleDevice {
            path: Some(self.device.clone()),
            rate: Some(signed(rate?)),
        }])
    }
}

/// A size-bounded driver that can be followed; see [`LOG_BYTES`].
fn log_config() -> models::HostConfigLogConfig {
    let options = [
        ("max-size", LOG_FILE_SIZE),
        ("max-file", LOG_FILES),
        // Compression would run inside the engine, beside the nodes that are measured.
        ("compress", "false"),
    ];
    models::HostConfigLogConfig {
        typ: Some("local".to_owned()),
        config: Some(
            options
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        ),
    }
}

/// A network endpoint with a fixed address, so that a reconnect cannot swap two nodes' addresses.
pub(super) fn endpoint(address: Ipv4Addr, alias: &str) -> models::EndpointSettings {
    models::EndpointSettings {
        ipam_config: Some(models::EndpointIpamConfig {
            ipv4_address: Some(address.to_string()),
            ..Default::default()
        }),
        aliases: (!alias.is_empty()).then(|| vec![alias.to_owned()]),
        ..Default::default()
    }
}
