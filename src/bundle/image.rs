//! An image archive of a bundle, before the engine is given it: an archive names its images itself, and could replace
//! any image that the engine has.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{Read, Seek as _},
    path::Path,
};

use serde::Deserialize;

/// Longest index of an archive.
const LONGEST: u64 = 1 << 20;

/// Most entries of an archive: an image has some for each of its layers, of which there are at most 127.
const MOST: usize = 10_000;

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

/// Checks that an archive holds one image, of this name and no other, and that an engine reads it as it is read here:
/// engines clean names, follow links, take the last of two entries of one name, and unpack what is compressed.
///
/// # Errors
/// What is wrong with it, for people.
pub fn check(path: &Path, reference: &str) -> Result<(), String> {
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    refuse_compressed(&mut file).map_err(|error| error.to_string())?;
    let mut archive = tar::Archive::new(file);
    let mut listed = None;
    let mut indexed = None;
    let mut names = BTreeSet::new();
    let mut leaves = BTreeSet::new();
    for entry in archive.entries().map_err(|error| error.to_string())? {
        let mut entry = entry.map_err(|error| error.to_string())?;
        let kind = entry.header().entry_type();
        if !(kind.is_file() || kind.is_dir() || kind.is_symlink() || kind.is_hard_link()) {
            return Err("it holds more than files, folders and links".to_owned());
        }
        refuse_extensions(&mut entry)?;
        let name = plain_name(&entry.path_bytes(), kind.is_dir())?;
        if name.is_empty() {
            continue;
        }
        if names.len() >= MOST || !names.insert(name.clone()) {
            return Err(format!(
                "{name:?} is there twice, or it has too many entries"
            ));
        }
        if !kind.is_dir() {
            leaves.insert(name.clone());
        }
        let place = match name.as_str() {
            "manifest.json" => &mut listed,
            "index.json" => &mut indexed,
            _ => continue,
        };
        if !kind.is_file() || entry.size() > LONGEST {
            return Err("its index is no file, or too long".to_owned());
        }
        let mut text = Vec::new();
        entry
            .read_to_end(&mut text)
            .map_err(|error| error.to_string())?;
        *place = Some(text);
    }
    // What is below a link is somewhere else.
    let below = |name: &&String| {
        let mut slashes = name.match_indices('/');
        slashes.any(|(at, _)| leaves.contains(&name[..at]))
    };
    if let Some(name) = names.iter().find(below) {
        return Err(format!("{name:?} is below what is no folder"));
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

/// An engine knows what is compressed by its first bytes, and would see another archive than the one that is read here.
/// An archive begins with the name of its first entry.
fn refuse_compressed(file: &mut File) -> std::io::Result<()> {
    let mut start = [0; 100];
    let length = file.read(&mut start)?;
    file.rewind()?;
    let start = &start[..length];
    let plain = |byte: &u8| *byte == 0 || byte.is_ascii_graphic();
    if start.starts_with(b"BZh") || !start.iter().all(plain) {
        return Err(std::io::Error::other("it is no plain archive"));
    }
    Ok(())
}

/// Extended headers say what plain ones cannot, and readers differ over what wins where they say it twice.
fn refuse_extensions<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<(), String> {
    let Some(extensions) = entry.pax_extensions().map_err(|error| error.to_string())? else {
        return Ok(());
    };
    let mut known = BTreeSet::new();
    for extension in extensions {
        let extension = extension.map_err(|error| error.to_string())?;
        let key = extension.key().map_err(|error| error.to_string())?;
        let harmless = [
            "path", "linkpath", "mtime", "atime", "ctime", "uid", "gid", "uname", "gname",
        ];
        if !harmless.contains(&key) || !known.insert(key) {
            return Err(format!(
                "an entry has the extended header {key:?}, or has it twice"
            ));
        }
    }
    Ok(())
}

/// The name of an entry, as everybody reads it; empty for the archive's own folder.
fn plain_name(name: &[u8], folder: bool) -> Result<String, String> {
    let wrong = || {
        let name = String::from_utf8_lossy(name);
        format!("{name:?} is no plain name of an entry")
    };
    if !name.iter().all(u8::is_ascii_graphic) {
        return Err(wrong());
    }
    let text = std::str::from_utf8(name).map_err(|_| wrong())?;
    let own = text.strip_prefix("./").unwrap_or(text);
    let own = own.strip_suffix('/').filter(|_| folder).unwrap_or(own);
    if folder && (own.is_empty() && text == "./" || own == ".") {
        return Ok(String::new());
    }
    let bad = |part: &str| part.is_empty() || part == "." || part == "..";
    if own.split('/').any(bad) || own.contains('\\') {
        return Err(wrong());
    }
    Ok(own.to_owned())
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

    /// An archive whose headers are written as they are given: name, kind, content.
    fn raw(entries: &[(&[u8], tar::EntryType, &[u8])]) -> tempfile::NamedTempFile {
        use std::io::Write as _;
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for (name, kind, content) in entries {
            let mut header = tar::Header::new_ustar();
            header.as_old_mut().name[..name.len()].copy_from_slice(name);
            header.set_entry_type(*kind);
            header.set_size(content.len() as u64);
            if kind.is_symlink() || kind.is_hard_link() {
                header.set_size(0);
                header.as_old_mut().linkname[..content.len()].copy_from_slice(content);
            }
            header.set_cksum();
            file.write_all(header.as_bytes()).unwrap();
            if header.size().unwrap() > 0 {
                file.write_all(content).unwrap();
                file.write_all(&vec![0; content.len().wrapping_neg() % 512])
                    .unwrap();
            }
        }
        file.write_all(&[0; 1024]).unwrap();
        file
    }

    fn record(key: &str, value: &str) -> Vec<u8> {
        // Its length counts itself; all of these are below a hundred bytes.
        let rest = format!(" {key}={value}\n");
        format!("{}{rest}", rest.len() + 2).into_bytes()
    }

    #[test]
    fn no_name_hides_a_second_index() {
        use tar::EntryType as Kind;
        let good = br#"[{"RepoTags":["appd:1"]}]"#.as_slice();
        let evil = br#"[{"RepoTags":["debian:stable"]}]"#.as_slice();
        let manifest = (b"manifest.json".as_slice(), Kind::Regular, good);
        let read = |entries: &[_]| check(raw(entries).path(), "appd:1");
        read(&[manifest]).unwrap();
        let folders = [
            (b"./".as_slice(), Kind::Directory, b"".as_slice()),
            (b"./a/", Kind::Directory, b""),
            (b"./a/layer.tar", Kind::Regular, b"x"),
            (b"b", Kind::Directory, b""),
            (b"b/layer.tar", Kind::Symlink, b"../a/layer.tar"),
            (b"./manifest.json", Kind::Regular, good),
        ];
        read(&folders).unwrap();
        for name in [
            b".//manifest.json".as_slice(),
            b"././manifest.json",
            b"x/../manifest.json",
            b"./manifest.json",
            b"/manifest.json",
            b"../manifest.json",
            b"x//y",
            b"x/./y",
            b"manifest.json/",
            b"a b",
            b"\x1f\x8b",
        ] {
            let said = read(&[manifest, (name, Kind::Regular, evil)]);
            assert!(said.is_err(), "{}", String::from_utf8_lossy(name));
        }
        let paxed = record("path", "manifest.json");
        let pax = (b"p".as_slice(), Kind::XHeader, paxed.as_slice());
        let long = (
            b"l".as_slice(),
            Kind::GNULongName,
            b"manifest.json\0".as_slice(),
        );
        let other = (b"other".as_slice(), Kind::Regular, evil);
        for hidden in [pax, long] {
            assert!(read(&[manifest, hidden, other]).is_err(), "twice");
            let alone = read(&[hidden, other]).unwrap_err();
            assert!(
                alone.contains("otherwise"),
                "seen under its real name: {alone}"
            );
        }
        let twice = [record("path", "x"), record("path", "manifest.json")].concat();
        let sparse = record("GNU.sparse.name", "manifest.json");
        for records in [&twice, &sparse] {
            let hidden = (b"p".as_slice(), Kind::XHeader, records.as_slice());
            let said = read(&[manifest, hidden, other]).unwrap_err();
            assert!(said.contains("extended header"), "{said}");
        }
        let linked = (
            b"manifest.json".as_slice(),
            Kind::Symlink,
            b"other".as_slice(),
        );
        assert!(read(&[other, linked]).is_err(), "the index is a link");
        let link = (b"x".as_slice(), Kind::Symlink, b".".as_slice());
        let through = (b"x/manifest.json".as_slice(), Kind::Regular, evil);
        assert!(read(&[manifest, link, through]).is_err(), "through a link");
        let device = (b"d".as_slice(), Kind::Block, b"".as_slice());
        assert!(read(&[manifest, device]).is_err(), "a device");
        let bzip = (b"BZh9".as_slice(), Kind::Regular, b"".as_slice());
        assert!(
            read(&[bzip, manifest]).is_err(),
            "compressed, to the engine"
        );
    }
}
