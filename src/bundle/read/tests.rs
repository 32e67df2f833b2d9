use sha2::{Digest as _, Sha256};

use super::*;
use crate::{
    bundle::{Contents, Part, write},
    ids::RunId,
    run::directory::{RunRecord, RunState},
    time::WallTime,
};

fn record() -> RunRecord {
    RunRecord {
        run: "smoke-1-0abcd".parse::<RunId>().unwrap(),
        name: "smoke/1".to_owned(),
        plan: "smoke".to_owned(),
        profile: "reference".to_owned(),
        created: WallTime(1),
        engine: None,
        state: RunState::Finished,
        exit: Some(1),
        verdict: Some("fail".to_owned()),
        kept: false,
        unhealed: Vec::new(),
        unhealed_told: false,
        endless: false,
    }
}

/// A run directory with something of everything, and things that have no place in a bundle.
fn run_directory(folder: &Path) {
    for name in ["journal", "logs", "evidence/st-1f3a", "faults"] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    for (name, text) in [
        ("plan.json", "{}"),
        ("run.json", "{\"run\":1}"),
        ("lock", "123"),
        ("live.json", "{}"),
        ("journal/000000.jsonl.zst", "not really"),
        ("logs/s0-n00.log", "a line\n"),
        ("evidence/st-1f3a/cited.jsonl", "{}\n"),
        ("faults/f1.json", "{}"),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
    std::os::unix::fs::symlink("/etc/passwd", folder.join("logs/s0-n01.log")).unwrap();
}

fn packed(without: &[Part], archive: Option<&Path>) -> (tempfile::TempDir, Manifest) {
    let place = tempfile::tempdir().unwrap();
    let run = place.path().join("run");
    run_directory(&run);
    let record = record();
    let image = archive.map(|_| crate::bundle::BundledImage {
        reference: "appd:1".to_owned(),
        digest: "sha256:1".to_owned(),
        file: None,
    });
    let contents = Contents {
        directory: &run,
        record: &record,
        seed: "seed",
        without,
        image,
        archive,
        rung: None,
    };
    let manifest = contents.manifest().unwrap();
    write(&contents, &manifest, &place.path().join("a.cnb")).unwrap();
    (place, manifest)
}

#[test]
fn what_is_packed_is_unpacked_and_nothing_else() {
    let (place, manifest) = packed(&[], None);
    let bundle = place.path().join("a.cnb");
    assert_eq!(head(&bundle).unwrap(), manifest);
    assert_eq!(verify(&bundle).unwrap(), manifest);
    let out = place.path().join("out");
    assert_eq!(unpack(&bundle, &out).unwrap(), manifest);
    for file in &manifest.files {
        let before = fs::read(place.path().join("run").join(&file.path)).unwrap();
        assert_eq!(fs::read(out.join(&file.path)).unwrap(), before);
    }
    let paths: Vec<&str> = manifest.files.iter().map(|file| &*file.path).collect();
    assert_eq!(
        paths,
        [
            "run.json",
            "plan.json",
            "journal/000000.jsonl.zst",
            "evidence/st-1f3a/cited.jsonl",
            "logs/s0-n00.log"
        ]
    );
    // A second time the folder is there already, and is left alone.
    assert!(unpack(&bundle, &out).is_err());
}

#[test]
fn parts_are_left_out_and_an_image_comes_along() {
    let (place, manifest) = packed(&[Part::Logs, Part::Evidence], None);
    assert!(
        manifest
            .files
            .iter()
            .all(|file| { !file.path.starts_with("logs") && !file.path.starts_with("evidence") })
    );
    assert_eq!(manifest.without, [Part::Logs, Part::Evidence]);
    let archive = place.path().join("image.tar");
    fs::write(&archive, b"layers").unwrap();
    let (place, manifest) = packed(&[], Some(&archive));
    let out = place.path().join("out");
    unpack(&place.path().join("a.cnb"), &out).unwrap();
    let file = manifest.image.unwrap().file.unwrap();
    assert_eq!(fs::read(out.join(file)).unwrap(), b"layers");
}

#[test]
fn logs_are_bounded_to_their_newest() {
    let place = tempfile::tempdir().unwrap();
    let run = place.path().join("run");
    run_directory(&run);
    let long = vec![b'x'; 5 << 20];
    fs::write(
        run.join("logs/s0-n00.log"),
        [&long, &b"the end\n"[..]].concat(),
    )
    .unwrap();
    let record = record();
    let contents = Contents {
        directory: &run,
        record: &record,
        seed: "seed",
        without: &[],
        image: None,
        archive: None,
        rung: None,
    };
    let manifest = contents.manifest().unwrap();
    let log = manifest.files.last().unwrap();
    assert_eq!(log.size, 4 << 20);
    assert_eq!(log.cut, (1 << 20) + 8);
    let bundle = place.path().join("a.cnb");
    write(&contents, &manifest, &bundle).unwrap();
    let out = place.path().join("out");
    unpack(&bundle, &out).unwrap();
    assert!(
        fs::read(out.join(&log.path))
            .unwrap()
            .ends_with(b"the end\n")
    );
}

fn line(path: &str, text: &[u8]) -> FileLine {
    FileLine {
        path: path.to_owned(),
        size: text.len() as u64,
        sha256: hex::encode(Sha256::digest(text)),
        cut: 0,
    }
}

/// A bundle as a stranger might make it.
fn hostile(files: Vec<FileLine>, entries: &[(tar::EntryType, &[u8], &[u8])]) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let (_packed, mut manifest) = packed(&[], None);
    manifest.files = files;
    let text = serde_json::to_vec(&manifest).unwrap();
    let manifest = (tar::EntryType::Regular, &b"manifest.json"[..], &text[..]);
    raw(place.path(), &[&[manifest], entries].concat());
    place
}

/// Names are written into the header as they are, without the checks of the library.
fn raw(place: &Path, entries: &[(tar::EntryType, &[u8], &[u8])]) {
    let file = File::create(place.join("a.cnb")).unwrap();
    let mut archive = tar::Builder::new(zstd::Encoder::new(file, 1).unwrap());
    for (kind, name, data) in entries {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(*kind);
        header.set_size(data.len() as u64);
        if kind.is_symlink() {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        archive.append(&header, *data).unwrap();
    }
    archive
        .into_inner()
        .unwrap()
        .finish()
        .unwrap()
        .flush()
        .unwrap();
}

fn refused(place: &Path) -> String {
    let error = unpack(&place.join("a.cnb"), &place.join("out")).unwrap_err();
    assert!(verify(&place.join("a.cnb")).is_err());
    let left: Vec<_> = fs::read_dir(place)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["a.cnb"], "nothing is left of it");
    assert!(matches!(error, BundleError::Damaged { .. }), "{error:?}");
    error.to_string()
}

#[test]
fn hostile_bundles_are_refused_and_leave_nothing() {
    use tar::EntryType::{Directory, Link, Regular, Symlink, XHeader};
    let plan = line("plan.json", b"{}");
    for (files, entries, why) in [
        (vec![line("../plan.json", b"{}")], vec![], "plain names"),
        (vec![line("/etc/x", b"{}")], vec![], "plain names"),
        (vec![plan.clone(), line("PLAN.json", b"")], vec![], "twice"),
        (vec![plan.clone()], vec![], "missing"),
        (
            vec![plan.clone()],
            vec![(Regular, &b"plan.json"[..], &b"[]"[..])],
            "checksum",
        ),
        (
            vec![plan.clone()],
            vec![(Regular, b"plan.json", b"{ }")],
            "not what the manifest says",
        ),
        (
            vec![plan.clone()],
            vec![(Regular, b"../plan.json", b"{}")],
            "not what the manifest says",
        ),
        (
            vec![plan.clone()],
            vec![(Symlink, b"plan.json", b"")],
            "no plain file",
        ),
        (
            vec![plan.clone()],
            vec![(Link, b"plan.json", b"")],
            "no plain file",
        ),
        (
            vec![plan.clone()],
            vec![(Directory, b"logs", b"")],
            "no plain file",
        ),
        (
            vec![plan.clone()],
            vec![(XHeader, b"plan.json", b"30 path=../../../../etc/cron.d/x\n")],
            "no plain file",
        ),
        (
            vec![plan.clone()],
            vec![(Regular, b"plan.json", b"{}"), (Regular, b"more", b"x")],
            "more is in it",
        ),
    ] {
        let place = hostile(files, &entries);
        let said = refused(place.path());
        assert!(said.contains(why), "{said} / {why}");
    }
    let mut huge = line("journal/a", b"");
    huge.size = 1 << 60;
    assert!(refused(hostile(vec![huge], &[]).path()).contains("bytes"));
}

#[test]
fn what_is_no_bundle_is_told() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a.cnb");
    let bundle = packed(&[], None).0;
    let whole = fs::read(bundle.path().join("a.cnb")).unwrap();
    for bytes in [
        &b""[..],
        b"PK\x03\x04",
        &whole[..whole.len() / 2],
        &whole[..20],
    ] {
        fs::write(&path, bytes).unwrap();
        refused(place.path());
    }
    raw(
        place.path(),
        &[(tar::EntryType::Regular, b"plan.json", b"{}")],
    );
    assert!(refused(place.path()).contains("no manifest"));
    let later = (
        tar::EntryType::Regular,
        &b"manifest.json"[..],
        &b"{\"format\":99}"[..],
    );
    raw(place.path(), &[later]);
    assert!(matches!(
        head(&path),
        Err(BundleError::Newer { found: 99, .. })
    ));
}
