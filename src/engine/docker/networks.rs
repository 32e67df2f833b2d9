//! Networks.

use std::net::Ipv4Addr;

use bollard::{
    models::{
        Ipam, IpamConfig, NetworkConnectRequest, NetworkCreateRequest, NetworkDisconnectRequest,
    },
    query_parameters::ListNetworksOptionsBuilder,
};

use super::{CHANGE, Docker, READ, call, label_filter, label_present, spec::endpoint};
use crate::{
    engine::{
        error::EngineError,
        labels::{self, Labels},
    },
    ids::RunId,
};

/// The first API with bridges that have no address on the host side by an option made for that (Docker 28).
const ISOLATED_API: (usize, usize) = (1, 48);

/// What the engine knows of a network.
#[derive(Debug, Clone)]
pub struct NetworkFacts {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Its subnets as written (`10.1.2.0/24`).
    pub subnets: Vec<String>,
}

impl Docker {
    /// Creates an internal bridge network without an address on the host side: measured, a node on a plain internal
    /// bridge reaches listeners on the host through the gateway.
    ///
    /// # Errors
    /// What the engine said, [`is_subnet_taken`] tells whether another subnet may work.
    pub async fn create_network(
        &self,
        name: &str,
        subnet: &str,
        labels: Labels,
    ) -> Result<String, EngineError> {
        let unreachable_host = if self.info.api >= ISOLATED_API {
            ("com.docker.network.bridge.gateway_mode_ipv4", "isolated")
        } else {
            ("com.docker.network.bridge.inhibit_ipv4", "true")
        };
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            driver: Some("bridge".to_owned()),
            internal: Some(true),
            attachable: Some(false),
            enable_ipv6: Some(false),
            ipam: Some(Ipam {
                driver: Some("default".to_owned()),
                config: Some(vec![IpamConfig {
                    subnet: Some(subnet.to_owned()),
                    ..Default::default()
                }]),
                options: None,
            }),
            options: Some(
                [unreachable_host]
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into(),
            ),
            labels: Some(labels),
            ..Default::default()
        };
        let future = self.client.create_network(request);
        Ok(call("create network", name, CHANGE, future).await?.id)
    }

    /// Connects a container to a network under a fixed address.
    ///
    /// Of running containers, one at a time: connecting and disconnecting several at once has hung the engine
    /// (measured on 20.10). A container that was only created is merely noted down, and may be connected any time.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn connect_network(
        &self,
        network: &str,
        container: &str,
        address: Ipv4Addr,
        alias: &str,
    ) -> Result<(), EngineError> {
        let request = NetworkConnectRequest {
            container: container.to_owned(),
            endpoint_config: Some(endpoint(address, alias)),
        };
        let future = self.client.connect_network(network, request);
        call("connect a container to network", network, CHANGE, future).await
    }

    /// Takes a container off a network; one at a time, see [`Docker::connect_network`].
    ///
    /// # Errors
    /// What the engine said.
    pub async fn disconnect_network(
        &self,
        network: &str,
        container: &str,
    ) -> Result<(), EngineError> {
        let request = NetworkDisconnectRequest {
            container: container.to_owned(),
            force: Some(true),
        };
        let future = self.client.disconnect_network(network, request);
        call(
            "disconnect a container from network",
            network,
            CHANGE,
            future,
        )
        .await
    }

    /// Containers that the engine knows to be on a network.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn containers_on(&self, network: &str) -> Result<usize, EngineError> {
        let future = self.client.inspect_network(
            network,
            None::<bollard::query_parameters::InspectNetworkOptions>,
        );
        let facts = call("inspect network", network, READ, future).await?;
        Ok(facts.containers.unwrap_or_default().len())
    }

    /// Removes a network; one that is gone is fine.
    ///
    /// # Errors
    /// What the engine said, for example that it has endpoints.
    pub async fn remove_network(&self, network: &str) -> Result<(), EngineError> {
        match call(
            "remove network",
            network,
            CHANGE,
            self.client.remove_network(network),
        )
        .await
        {
            Err(error) if error.is_missing() => Ok(()),
            other => other,
        }
    }

    /// Whether there is a network of this name, whoever's it is.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn network_exists(&self, name: &str) -> Result<bool, EngineError> {
        let future = self.client.inspect_network(
            name,
            None::<bollard::query_parameters::InspectNetworkOptions>,
        );
        super::exists(call("inspect network", name, READ, future).await)
    }

    /// Networks of a run.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn networks_of(&self, run: &RunId) -> Result<Vec<NetworkFacts>, EngineError> {
        self.list_networks(Some(&label_filter(labels::RUN, run.as_str())))
            .await
    }

    /// Networks of all runs.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn networks_of_all_runs(&self) -> Result<Vec<NetworkFacts>, EngineError> {
        self.list_networks(Some(&label_present(labels::RUN))).await
    }

    /// All networks of the engine, only to see which subnets are taken.
    pub(crate) async fn all_networks(&self) -> Result<Vec<NetworkFacts>, EngineError> {
        self.list_networks(None).await
    }

    async fn list_networks(
        &self,
        filter: Option<&std::collections::HashMap<String, Vec<String>>>,
    ) -> Result<Vec<NetworkFacts>, EngineError> {
        let options =
            filter.map(|filter| ListNetworksOptionsBuilder::new().filters(filter).build());
        let list = call("list", "networks", READ, self.client.list_networks(options)).await?;
        Ok(list
            .into_iter()
            .filter_map(|network| {
                Some(NetworkFacts {
                    id: network.id?,
                    name: network.name?,
                    labels: network.labels.unwrap_or_default(),
                    subnets: network
                        .ipam
                        .and_then(|ipam| ipam.config)
                        .unwrap_or_default()
                        .into_iter()
                        .filter_map(|config| config.subnet)
                        .collect(),
                })
            })
            .collect())
    }
}

/// Whether creating a network failed because another one has the subnet.
pub(crate) fn is_subnet_taken(error: &EngineError) -> bool {
    matches!(error, EngineError::Call { message, .. }
        if message.contains("overlaps") || message.contains("overlap"))
}

/// Whether removing a network failed because the engine believes that something is on it.
pub(crate) fn has_endpoints(error: &EngineError) -> bool {
    matches!(error, EngineError::Call { message, .. } if message.contains("active endpoint"))
}
