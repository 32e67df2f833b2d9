//! An image archive of a bundle, before the engine is given it: an archive names its images itself, and could replace
//! any image that the engine has.

use std::{fs::File, io::Read, path::Path};

use serde::Deserialize;

/// Longest index of an archive.
const LONGEST: u64 = 1 << 20;

/// Annotation by which an OCI index names an image.
const NAME: &str = "io.containerd.image.name";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    repo_tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Indexed>,
}

#[derive(Deserialize)]
struct Indexed {
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

/// Checks that an archive holds one image, of this name and no other.
///
/// # Errors
/// What is wrong with it, for people.
pub fn check(path: &Path, reference: &str) -> Result<(), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut archive = tar::Archive::new(file);
    let mut listed = None;
    let mut indexed = None;
    let entries = archive.entries().map_err(|error| error.to_string())?;
    for entry in entries.raw(true) {
        let mut entry = entry.map_err(|error| error.to_string())?;
        let name = entry.header().path_bytes().into_owned();
        let name = name.strip_prefix(b"./").unwrap_or(&name);
        let place = match name {
            b"manifest.json" => &mut listed,
            b"index.json" => &mut indexed,
            _ => continue,
        };
        let size = entry.header().size().map_err(|error| error.to_string())?;
        if place.is_some() || size > LONGEST {
            return Err("its index is there twice or too long".to_owned());
        }
        let mut text = Vec::new();
        entry
            .read_to_end(&mut text)
            .map_err(|error| error.to_string())?;
        *place = Some(text);
    }
    let listed = listed.ok_or("it has no index of images")?;
    let images: Vec<Listed> = serde_json::from_slice(&listed).map_err(|error| error.to_string())?;
    let [image] = images.as_slice() else {
        return Err("it holds not exactly one image".to_owned());
    };
    if image.repo_tags.as_deref() != Some(&[reference.to_owned()]) {
        return Err("it names its image otherwise than the bundle does".to_owned());
    }
    if let Some(text) = indexed {
        let index: Index = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        let names = index
            .manifests
            .iter()
            .filter_map(|one| one.annotations.get(NAME));
        for name in names {
            let name = name.strip_prefix("docker.io/").unwrap_or(name);
            let name = name.strip_prefix("library/").unwrap_or(name);
            if name != reference {
                return Err("it names its image otherwise than the bundle does".to_owned());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(entries: &[(&str, &str)]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut archive = tar::Builder::new(file.as_file());
        for (name, text) in entries {
            let mut header = tar::Header::new_ustar();
            header.set_size(text.len() as u64);
            archive
                .append_data(&mut header, name, text.as_bytes())
                .unwrap();
        }
        archive.into_inner().unwrap();
        file
    }

    #[test]
    fn an_archive_names_one_image_and_the_right_one() {
        let good = ("manifest.json", r#"[{"RepoTags":["appd:1"]}]"#);
        check(archive(&[("a/layer.tar", "x"), good]).path(), "appd:1").unwrap();
        let index = |name: &str| {
            format!(
                r#"{{"manifests":[{{"annotations":{{"io.containerd.image.name":"{name}"}}}}]}}"#
            )
        };
        let named = index("docker.io/library/appd:1");
        check(archive(&[good, ("index.json", &named)]).path(), "appd:1").unwrap();
        let other = index("docker.io/library/debian:stable");
        for entries in [
            &[][..],
            &[good, good],
            &[("manifest.json", "[]")],
            &[("manifest.json", "{")],
            &[("manifest.json", r#"[{"RepoTags":["debian:stable"]}]"#)],
            &[(
                "manifest.json",
                r#"[{"RepoTags":["appd:1","debian:stable"]}]"#,
            )],
            &[(
                "manifest.json",
                r#"[{"RepoTags":["appd:1"]},{"RepoTags":["b:1"]}]"#,
            )],
            &[good, ("index.json", &other)],
        ] {
            assert!(
                check(archive(entries).path(), "appd:1").is_err(),
                "{entries:?}"
            );
        }
    }
}
