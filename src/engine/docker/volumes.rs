//! Volumes.

use std::collections::BTreeMap;

use bollard::{models::VolumeCreateRequest, query_parameters::ListVolumesOptionsBuilder};

use super::{CHANGE, Docker, READ, call, label_filter, label_present};
use crate::{
    engine::{
        error::EngineError,
        labels::{self, Labels},
    },
    ids::RunId,
};

/// What the engine knows of a volume.
#[derive(Debug, Clone)]
pub struct VolumeFacts {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Where it is on the engine's machine.
    pub mountpoint: String,
}

impl Docker {
    /// Creates a volume of the `local` driver; answers where it is on the engine's machine.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn create_volume(
        &self,
        name: &str,
        options: &BTreeMap<String, String>,
        labels: Labels,
    ) -> Result<String, EngineError> {
        let request = VolumeCreateRequest {
            name: Some(name.to_owned()),
            driver: Some("local".to_owned()),
            driver_opts: Some(options.clone().into_iter().collect()),
            labels: Some(labels),
            ..Default::default()
        };
        let future = self.client.create_volume(request);
        Ok(call("create volume", name, CHANGE, future)
            .await?
            .mountpoint)
    }

    /// Removes a volume; one that is gone is fine.
    ///
    /// # Errors
    /// What the engine said, for example that it is in use.
    pub async fn remove_volume(&self, name: &str) -> Result<(), EngineError> {
        let future = self
            .client
            .remove_volume(name, None::<bollard::query_parameters::RemoveVolumeOptions>);
        match call("remove volume", name, CHANGE, future).await {
            Err(error) if error.is_missing() => Ok(()),
            other => other,
        }
    }

    /// Volumes of a run.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn volumes_of(&self, run: &RunId) -> Result<Vec<VolumeFacts>, EngineError> {
        self.list_volumes(&label_filter(labels::RUN, run.as_str()))
            .await
    }

    /// Volumes of all runs.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn volumes_of_all_runs(&self) -> Result<Vec<VolumeFacts>, EngineError> {
        self.list_volumes(&label_present(labels::RUN)).await
    }

    async fn list_volumes(
        &self,
        filter: &std::collections::HashMap<String, Vec<String>>,
    ) -> Result<Vec<VolumeFacts>, EngineError> {
        let options = ListVolumesOptionsBuilder::new().filters(filter).build();
        let list = call(
            "list",
            "volumes",
            READ,
            self.client.list_volumes(Some(options)),
        )
        .await?;
        Ok(list
            .volumes
            .unwrap_or_default()
            .into_iter()
            .map(|volume| VolumeFacts {
                name: volume.name,
                labels: volume.labels,
                mountpoint: volume.mountpoint,
            })
            .collect())
    }
}
