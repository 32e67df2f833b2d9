//! A container made anew: another image or command, and all else as it was.

use std::net::Ipv4Addr;

use bollard::{
    models::{ContainerConfig, ContainerCreateBody, ContainerInspectResponse, NetworkingConfig},
    query_parameters::{
        CreateContainerOptionsBuilder, InspectContainerOptions, RenameContainerOptionsBuilder,
    },
};

use super::{CHANGE, Docker, READ, call, spec::endpoint};
use crate::engine::{error::EngineError, labels::Labels};

/// What a container runs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Runs {
    /// Its image: the reference that it was made from.
    pub image: String,
    /// The arguments of the image's entry point.
    pub command: Vec<String>,
}

impl Docker {
    /// What a container runs.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn runs(&self, container: &str) -> Result<Runs, EngineError> {
        let config = self.whole(container).await?.config.unwrap_or_default();
        Ok(Runs {
            image: config.image.unwrap_or_default(),
            command: config.cmd.unwrap_or_default(),
        })
    }

    /// Creates a container beside another one, with its volumes, addresses and limits, that runs something else.
    /// `change` may add to its labels. It is not started: both have the same addresses. Answers its id.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn create_like(
        &self,
        container: &str,
        name: &str,
        runs: Runs,
        change: impl FnOnce(&mut Labels),
    ) -> Result<String, EngineError> {
        let known = self.whole(container).await?;
        let config = known.config.clone().unwrap_or_default();
        let before = self.environment_of(config.image.as_deref()).await?;
        let addresses = addresses(&known);
        let hostname = config.hostname.clone().unwrap_or_default();
        let mut body = body(config, known.host_config.unwrap_or_default(), &before, runs);
        change(body.labels.get_or_insert_default());
        let first = body
            .host_config
            .as_ref()
            .and_then(|host| host.network_mode.clone());
        let (now, later): (Vec<_>, Vec<_>) = addresses
            .into_iter()
            .partition(|(network, _)| Some(network) == first.as_ref());
        body.networking_config = Some(NetworkingConfig {
            endpoints_config: Some(
                now.into_iter()
                    .map(|(network, address)| (network, endpoint(address, &hostname)))
                    .collect(),
            ),
        });
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        let future = self.client.create_container(Some(options), body);
        let id = call("create container", name, CHANGE, future).await?.id;
        for (network, address) in later {
            // Only noted down: the container does not run.
            self.connect_network(&network, &id, address, &hostname)
                .await?;
        }
        Ok(id)
    }

    /// Gives a container another name.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn rename(&self, container: &str, name: &str) -> Result<(), EngineError> {
        let options = RenameContainerOptionsBuilder::new().name(name).build();
        let future = self.client.rename_container(container, options);
        call("rename container", container, CHANGE, future).await
    }

    async fn whole(&self, container: &str) -> Result<ContainerInspectResponse, EngineError> {
        let future = self
            .client
            .inspect_container(container, None::<InspectContainerOptions>);
        call("inspect container", container, READ, future).await
    }

    /// The environment that an image brings along, which a container's own list repeats.
    async fn environment_of(&self, image: Option<&str>) -> Result<Vec<String>, EngineError> {
        let Some(image) = image else {
            return Ok(Vec::new());
        };
        match call(
            "inspect image",
            image,
            READ,
            self.client.inspect_image(image),
        )
        .await
        {
            Ok(answer) => Ok(answer
                .config
                .and_then(|config| config.env)
                .unwrap_or_default()),
            // It was removed from under the container: what it brought cannot be told from the rest any more.
            Err(error) if error.is_missing() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// The fixed addresses of a container by network.
fn addresses(known: &ContainerInspectResponse) -> Vec<(String, Ipv4Addr)> {
    let networks = known
        .network_settings
        .as_ref()
        .and_then(|settings| settings.networks.clone())
        .unwrap_or_default();
    networks
        .into_iter()
        .filter_map(|(network, endpoint)| {
            let address = endpoint.ipam_config?.ipv4_address?.parse().ok()?;
            Some((network, address))
        })
        .collect()
}

fn body(
    config: ContainerConfig,
    host: bollard::models::HostConfig,
    before: &[String],
    runs: Runs,
) -> ContainerCreateBody {
    let env = config.env.unwrap_or_default();
    ContainerCreateBody {
        hostname: config.hostname,
        user: config.user,
        env: Some(
            env.into_iter()
                .filter(|entry| !before.contains(entry))
                .collect(),
        ),
        cmd: Some(runs.command),
        image: Some(runs.image),
        labels: config.labels,
        stop_timeout: config.stop_timeout,
        // The entry point is the new image's own.
        host_config: Some(host),
        ..ContainerCreateBody::default()
    }
}
