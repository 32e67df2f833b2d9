//! Images.

use std::{path::Path, time::Duration};

use bollard::{
    auth::DockerCredentials,
    query_parameters::{
        CreateImageOptionsBuilder, ImportImageOptionsBuilder, ListImagesOptionsBuilder,
    },
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio_util::io::ReaderStream;

use super::{CHANGE, Docker, READ, call, label_present};
use crate::engine::{
    error::EngineError,
    labels::{self, Labels},
    pull::Credentials,
};

/// Importing copies the whole archive twice on the engine's side; debug builds are large.
const IMPORT: Duration = Duration::from_secs(300);

/// A registry that says nothing for this long says nothing more.
const SILENT: Duration = Duration::from_secs(120);

/// Bytes that are handed to the engine at once.
const CHUNK: usize = 1 << 18;

/// What the engine knows of an image.
#[derive(Debug, Clone, Default)]
pub struct ImageFacts {
    /// Its content id.
    pub id: String,
    /// Its digests in registries.
    pub digests: Vec<String>,
    /// Its entry point.
    pub entrypoint: Vec<String>,
    /// Operating system as registries name it (`linux`).
    pub os: String,
    /// Architecture as registries name it (`amd64`).
    pub architecture: String,
    /// Variant of the architecture (`v8`), where there is one.
    pub variant: String,
}

impl ImageFacts {
    /// What it is for, as registries write it: `linux/arm64/v8`.
    #[must_use]
    pub fn platform(&self) -> String {
        let mut platform = format!("{}/{}", self.os, self.architecture);
        if !self.variant.is_empty() {
            platform.push('/');
            platform.push_str(&self.variant);
        }
        platform
    }

    /// Whether it is for this platform; one without a variant means any.
    #[must_use]
    pub fn is_for(&self, platform: &str) -> bool {
        let own = self.platform();
        own == platform
            || own
                .strip_prefix(platform)
                .is_some_and(|rest| rest.starts_with('/'))
    }
}

/// An image of this program in a list.
#[derive(Debug, Clone)]
pub struct ImageSummary {
    /// Its content id.
    pub id: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// Creation in seconds since 1970.
    pub created: i64,
    /// Its labels.
    pub labels: Labels,
}

impl Docker {
    /// What the engine knows of an image, `None` if it has none of that name.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn image(&self, reference: &str) -> Result<Option<ImageFacts>, EngineError> {
        let future = self.client.inspect_image(reference);
        match call("inspect image", reference, READ, future).await {
            Ok(answer) => Ok(Some(ImageFacts {
                id: answer.id.unwrap_or_default(),
                digests: answer.repo_digests.unwrap_or_default(),
                entrypoint: answer
                    .config
                    .and_then(|config| config.entrypoint)
                    .unwrap_or_default(),
                os: answer.os.unwrap_or_default(),
                architecture: answer.architecture.unwrap_or_default(),
                variant: answer.variant.unwrap_or_default(),
            })),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Pulls an image from its registry. `which` is a tag or a digest.
    ///
    /// # Errors
    /// What the engine or the registry said; [`EngineError::Deadline`] if nothing came for minutes.
    pub async fn pull_image(
        &self,
        name: &str,
        which: &str,
        platform: Option<&str>,
        credentials: Option<Credentials>,
    ) -> Result<(), EngineError> {
        let options = CreateImageOptionsBuilder::new()
            .from_image(name)
            .tag(which)
            .platform(platform.unwrap_or_default())
            .build();
        let credentials = credentials.map(|known| DockerCredentials {
            serveraddress: Some(known.server),
            username: Some(known.username),
            password: Some(known.password),
            identitytoken: known.identity_token,
            ..DockerCredentials::default()
        });
        let mut stream = Box::pin(self.client.create_image(Some(options), None, credentials));
        // Each step of a pull has the deadline, not the pull: large images take as long as the line needs.
        while call("pull image", name, SILENT, stream.try_next())
            .await?
            .is_some()
        {}
        Ok(())
    }

    /// Makes an image from an archive of its root file system. `changes` are lines of a Dockerfile.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn import_image(
        &self,
        repository: &str,
        tag: &str,
        changes: Vec<String>,
        archive: impl Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static,
    ) -> Result<(), EngineError> {
        let options = CreateImageOptionsBuilder::new()
            .from_src("-")
            .repo(repository)
            .tag(tag)
            .changes(changes)
            .build();
        let body = bollard::body_try_stream(archive);
        let mut stream = Box::pin(self.client.create_image(Some(options), Some(body), None));
        let future = async {
            while let Some(progress) = stream.next().await {
                progress?;
            }
            Ok(())
        };
        call(
            "import image",
            &format!("{repository}:{tag}"),
            IMPORT,
            future,
        )
        .await
    }

    /// Writes an image with its name into an archive on this machine.
    ///
    /// # Errors
    /// What the engine said, or why the file cannot be written.
    pub async fn save_image(&self, reference: &str, path: &Path) -> Result<(), EngineError> {
        let failed = |source| EngineError::Write {
            path: path.to_owned(),
            source,
        };
        let mut file = tokio::fs::File::create(path).await.map_err(failed)?;
        let mut stream = Box::pin(self.client.export_image(reference));
        while let Some(chunk) = call("save image", reference, IMPORT, stream.try_next()).await? {
            file.write_all(&chunk).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)
    }

    /// Loads an archive of images. What is in it names itself, so that it is to be checked before.
    ///
    /// # Errors
    /// What the engine said, or why the file cannot be read.
    pub async fn load_image(&self, path: &Path) -> Result<(), EngineError> {
        let file = tokio::fs::File::open(path)
            .await
            .map_err(|source| EngineError::Read {
                path: path.to_owned(),
                source,
            })?;
        let archive = ReaderStream::with_capacity(file, CHUNK);
        let options = ImportImageOptionsBuilder::new().quiet(true).build();
        let mut stream = Box::pin(self.client.import_image_stream(options, archive, None));
        let future = async {
            while let Some(progress) = stream.next().await {
                progress?;
            }
            Ok(())
        };
        let what = path.display().to_string();
        call("load image", &what, IMPORT, future).await
    }

    /// Gives an image another name.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn tag_image(
        &self,
        image: &str,
        repository: &str,
        tag: &str,
    ) -> Result<(), EngineError> {
        let options = bollard::query_parameters::TagImageOptionsBuilder::new()
            .repo(repository)
            .tag(tag)
            .build();
        let future = self.client.tag_image(image, Some(options));
        call("tag image", image, CHANGE, future).await
    }

    /// Images that this program has packed.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn packed_images(&self) -> Result<Vec<ImageSummary>, EngineError> {
        let options = ListImagesOptionsBuilder::new()
            .filters(&label_present(labels::IMAGE_NAME))
            .build();
        let future = self.client.list_images(Some(options));
        let list = call("list", "images", READ, future).await?;
        Ok(list
            .into_iter()
            .map(|image| ImageSummary {
                id: image.id,
                tags: image.repo_tags,
                created: image.created,
                labels: image.labels,
            })
            .collect())
    }

    /// Removes an image unless a container uses it; answers whether it is gone.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn remove_image(&self, image: &str) -> Result<bool, EngineError> {
        let future = self.client.remove_image(
            image,
            None::<bollard::query_parameters::RemoveImageOptions>,
            None,
        );
        match call("remove image", image, CHANGE, future).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_missing() => Ok(true),
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) => Err(error),
        }
    }
}
