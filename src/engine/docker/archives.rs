//! Trees of files out of containers and into them, as tar streams. The engine reads and writes them itself: the container
//! may be frozen, or not have been started yet.

use std::time::Duration;

use bollard::query_parameters::{
    DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};

use super::{Docker, call, failed};
use crate::engine::error::EngineError;

impl Docker {
    /// What is under a folder of a container, volumes included.
    pub fn download(
        &self,
        container: &str,
        folder: &str,
    ) -> impl Stream<Item = Result<Bytes, EngineError>> + Send + use<> {
        let path = format!("{}/.", folder.trim_end_matches('/'));
        let options = DownloadFromContainerOptionsBuilder::new()
            .path(&path)
            .build();
        let subject = container.to_owned();
        self.client
            .download_from_container(container, Some(options))
            .map(move |item| {
                item.map_err(|error| failed("read the files of container", &subject, &error))
            })
    }

    /// Unpacks an archive into a folder of a container, with owners and modes as they stand in it.
    ///
    /// # Errors
    /// What the engine said: no room, a read-only mount, a broken archive.
    pub async fn upload(
        &self,
        container: &str,
        folder: &str,
        archive: impl Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static,
        deadline: Duration,
    ) -> Result<(), EngineError> {
        let options = UploadToContainerOptionsBuilder::new().path(folder).build();
        let body = bollard::body_try_stream(archive);
        let future = self
            .client
            .upload_to_container(container, Some(options), body);
        call("write the files of container", container, deadline, future).await
    }
}
