//! Making an image if the engine does not have it, and keeping only the newest few.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{SystemTime, UNIX_EPOCH},
};

use super::{Contents, Linkage, archive, blocking, image_labels};
use crate::engine::{
    docker::{Docker, ImageSummary},
    error::EngineError,
    labels,
};

/// Images kept per name.
const KEPT: usize = 3;
/// Younger images are not removed: another process may be between packing one and using it.
const GRACE_SECONDS: i64 = 600;
/// Name of the launcher image.
pub const LAUNCHER_REPOSITORY: &str = "canarynet/launcher";

/// An image made from local files.
#[derive(Debug, Clone)]
pub struct PackedImage {
    /// `canarynet/<name>:<content hash>`.
    pub reference: String,
    /// File name of the executable in it, which is its entry point.
    pub program: String,
    /// How the executable is linked.
    pub linkage: Linkage,
    /// Whether it was made now, not found.
    pub made: bool,
}

/// Makes the image unless the engine has it; then removes what is older than the newest few of its name.
///
/// # Errors
/// What reading the files or the engine said. Old images that cannot be removed are no error.
pub async fn ensure(
    docker: &Docker,
    name: &str,
    contents: Contents,
) -> Result<PackedImage, EngineError> {
    let (hash, contents) = blocking(move || Ok((contents.hash()?, contents))).await?;
    let repository = format!("canarynet/{name}");
    let mut image = PackedImage {
        reference: format!("{repository}:{hash}"),
        program: contents.entry_point.clone(),
        linkage: contents.linkage.clone(),
        made: false,
    };
    if docker.image(&image.reference).await?.is_some() {
        return Ok(image);
    }
    let mut changes = vec![
        format!("ENTRYPOINT [\"/bin/{}\"]", contents.entry_point),
        "ENV PATH=/bin:/sbin".to_owned(),
        // Loaders differ in whether they look into /lib; all look here.
        "ENV LD_LIBRARY_PATH=/lib".to_owned(),
    ];
    for (key, value) in image_labels(name) {
        changes.push(format!("LABEL {key}={value}"));
    }
    docker
        .import_image(&repository, &hash, changes, archive::stream(contents))
        .await?;
    image.made = true;
    remove_old(docker, name).await;
    Ok(image)
}

/// Removes all but the newest images of this name; best effort, an image in use stays.
async fn remove_old(docker: &Docker, name: &str) {
    let (Ok(images), Ok(volumes)) = (
        docker.packed_images().await,
        docker.volumes_of_all_runs().await,
    ) else {
        return;
    };
    // No container holds a helper's image, but a run that still has disks needs it to remove them.
    let needed: BTreeSet<String> = volumes
        .into_iter()
        .filter_map(|mut volume| volume.labels.remove(labels::HELPER_IMAGE))
        .collect();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|time| i64::try_from(time.as_secs()).ok())
        .unwrap_or(0);
    for image in superfluous(images, name, &needed, now) {
        let _kept = docker.remove_image(&image).await;
    }
}

/// Ids of the images of a name that are neither among the newest few nor young, and of those that lost their tag:
/// two processes that pack the same content at once both import it, and one of the two loses the name.
/// What is `needed`, by tag, stays beside them.
fn superfluous(
    images: Vec<ImageSummary>,
    name: &str,
    needed: &BTreeSet<String>,
    now: i64,
) -> Vec<String> {
    let mut by_age: BTreeMap<(i64, String), ()> = BTreeMap::new();
    let mut nameless = Vec::new();
    for image in images {
        if image.labels.get(labels::IMAGE_NAME).map(String::as_str) != Some(name) {
            continue;
        }
        if image.tags.iter().all(|tag| tag.starts_with("<none>")) {
            nameless.push(image.id);
        } else if !image.tags.iter().any(|tag| needed.contains(tag)) {
            by_age.insert((image.created, image.id), ());
        }
    }
    let old = by_age
        .into_keys()
        .rev()
        .skip(KEPT)
        .filter(|(created, _)| *created < now - GRACE_SECONDS)
        .map(|(_, id)| id);
    nameless.into_iter().chain(old).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_three_of_a_name_are_kept_and_young_ones_too() {
        let image = |id: &str, created, name: &str| ImageSummary {
            id: id.to_owned(),
            tags: vec![format!("canarynet/{name}:{id}")],
            created,
            labels: [(labels::IMAGE_NAME.to_owned(), name.to_owned())].into(),
        };
        let images = vec![
            image("old", 1, "program"),
            image("a", 10, "program"),
            image("other", 0, "helper"),
            image("b", 20, "program"),
            image("c", 30, "program"),
        ];
        let none = BTreeSet::new();
        assert_eq!(
            superfluous(images.clone(), "program", &none, 10_000),
            ["old"]
        );
        assert!(superfluous(images.clone(), "program", &none, 500).is_empty());
        assert!(superfluous(images.clone(), "helper", &none, 10_000).is_empty());
        let needed = BTreeSet::from(["canarynet/program:old".to_owned()]);
        assert!(superfluous(images.clone(), "program", &needed, 10_000).is_empty());
        let mut nameless = images;
        nameless[4].tags = vec!["<none>:<none>".to_owned()];
        assert_eq!(superfluous(nameless, "program", &none, 10), ["c"]);
    }
}
