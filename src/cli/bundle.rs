//! `bundle`: one file with all that is needed to understand a run and to do it again elsewhere.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use super::{
    Failure,
    arguments::{BundleArguments, Common},
    network, print, print_json, print_line, runtime, snapshot, state_folder,
};
use crate::{
    bundle::{self, BundleError, BundledImage, Contents, Manifest, Part},
    plan::values::human_size,
    report::text::plain,
    repro::case::Case,
    run::{
        directory::{RunDirectory, RunRecord},
        machine::Machine,
    },
    snapshot::Stored,
};

/// How bundles are called.
const EXTENSION: &str = "cnb";

pub(super) fn failed(error: &BundleError) -> Failure {
    match error {
        BundleError::Io { .. } | BundleError::Changed { .. } => {
            Failure::infra("cannot work with the bundle").because(error)
        }
        _ => Failure::usage("the bundle cannot be used").because(error),
    }
}

/// Whether a text names a bundle rather than a run.
pub(super) fn is_bundle(text: &str) -> bool {
    let path = Path::new(text);
    path.extension()
        .is_some_and(|extension| extension == EXTENSION)
        && path.is_file()
}

pub(super) fn bundle(common: &Common, verb: &BundleArguments) -> Result<ExitCode, Failure> {
    if verb.list && is_bundle(&verb.run) {
        return list_bundle(common, Path::new(&verb.run));
    }
    let (directory, record) = state_folder(common)?
        .find(&verb.run)
        .map_err(|error| Failure::usage("cannot tell which run is meant").because(&error))?;
    if let Some(owner) = directory.owner() {
        return Err(Failure::usage(format!(
            "{} still runs (process {owner}); `canarynet wait {}` first",
            record.name, record.name
        )));
    }
    let machine = Machine::read(&directory);
    let image = machine.map(|machine| BundledImage {
        reference: machine.image.reference,
        digest: machine.image.digest,
        file: None,
    });
    let output = verb
        .output
        .clone()
        .unwrap_or_else(|| file_name(&record.name, EXTENSION));
    let archive = if verb.images && !verb.list && !verb.without.contains(&Part::Images) {
        Some(save_image(common, &record, image.as_ref(), &output)?)
    } else {
        None
    };
    let seed = seed(&directory);
    let rung = rung(common, &directory)?;
    let contents = Contents {
        directory: directory.path(),
        record: &record,
        seed: &seed,
        without: &verb.without,
        image,
        archive: archive.as_ref().map(|file| file.path()),
        rung: rung.as_ref().map(|stored| stored.path.as_path()),
    };
    let manifest = contents.manifest().map_err(|error| failed(&error))?;
    if verb.list {
        return list(common, &manifest, "would leave the house");
    }
    bundle::write(&contents, &manifest, &output).map_err(|error| failed(&error))?;
    let size = std::fs::metadata(&output)?.len();
    if common.json {
        return print_json(
            &serde_json::json!({ "file": output, "bytes": size, "manifest": manifest }),
        );
    }
    print_line(&format!(
        "{}  {} files, {}; `canarynet bundle --list {}` shows what leaves the house",
        output.display(),
        manifest.files.len(),
        human_size(size),
        output.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// A file in the current directory that is called like the run.
pub(super) fn file_name(run: &str, extension: &str) -> PathBuf {
    PathBuf::from(format!("{}.{extension}", run.replace('/', "-")))
}

/// The snapshot that the run's worst finding is repeated from, if it is still here.
fn rung(common: &Common, directory: &RunDirectory) -> Result<Option<Stored>, Failure> {
    let Ok(case) = Case::open(directory.path(), false) else {
        return Ok(None);
    };
    let Ok(told) = case.finding(None) else {
        return Ok(None);
    };
    let plan = case
        .from_rung(&told.finding, &snapshot::folder(common)?)
        .ok()
        .flatten();
    let begun = plan.as_ref().and_then(|(plan, _)| plan.begun());
    Ok(begun.and_then(|begun| Stored::read(&begun.folder).ok()))
}

/// The plan's seed; a run without a readable plan is bundled all the same.
fn seed(directory: &RunDirectory) -> String {
    crate::repro::case::read_plan(&directory.path().join("plan.json"))
        .map(|plan| plan.seed)
        .unwrap_or_default()
}

/// The image's archive, beside the bundle until that is written.
fn save_image(
    common: &Common,
    record: &RunRecord,
    image: Option<&BundledImage>,
    output: &Path,
) -> Result<tempfile::NamedTempFile, Failure> {
    let image = image.ok_or_else(|| {
        Failure::usage("the run was made by an older version, which did not record its image")
    })?;
    let folder = match output.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let file = tempfile::Builder::new()
        .prefix(".image-")
        .tempfile_in(folder)?;
    runtime()?.block_on(async {
        let docker = network::connect(common, Some(record)).await?;
        let cannot = |error: &dyn std::error::Error| {
            Failure::infra(format!("cannot save the image {}", image.reference)).because(error)
        };
        let facts = docker
            .image(&image.reference)
            .await
            .map_err(|error| cannot(&error))?;
        let same = facts
            .is_some_and(|facts| facts.id == image.digest || facts.digests.contains(&image.digest));
        if !same {
            return Err(Failure::infra(format!(
                "the engine does not have the image any more that the run recorded: {} {}",
                image.reference, image.digest
            )));
        }
        docker
            .save_image(&image.reference, file.path())
            .await
            .map_err(|error| cannot(&error))
    })?;
    Ok(file)
}

/// Lists a bundle, and reads all of it: what is listed is also whole.
fn list_bundle(common: &Common, path: &Path) -> Result<ExitCode, Failure> {
    let manifest = bundle::verify(path).map_err(|error| failed(&error))?;
    list(common, &manifest, "is in it; all checksums match")
}

fn list(common: &Common, manifest: &Manifest, what: &str) -> Result<ExitCode, Failure> {
    if common.json {
        return print_json(manifest);
    }
    let mut text = format!(
        "run {} ({})  plan {}  profile {}  seed {}  verdict {}  canarynet {}\n",
        plain(&manifest.name, 100),
        manifest.run,
        plain(&manifest.plan, 60),
        plain(&manifest.profile, 60),
        plain(&manifest.seed, 100),
        plain(manifest.verdict.as_deref().unwrap_or("-"), 20),
        plain(&manifest.canarynet, 30),
    );
    if let Some(image) = &manifest.image {
        let there = match &image.file {
            Some(_) => "packed",
            None => "not packed",
        };
        text.push_str(&format!(
            "image {} {}  {there}\n",
            plain(&image.reference, 200),
            plain(&image.digest, 100)
        ));
    }
    for file in &manifest.files {
        let cut = match file.cut {
            0 => String::new(),
            cut => format!("  without its first {}", human_size(cut)),
        };
        text.push_str(&format!(
            "{:>10}  {}  {}{cut}\n",
            human_size(file.size),
            plain(&file.sha256, 16),
            plain(&file.path, 100),
        ));
    }
    text.push_str(&format!(
        "{} files, {} unpacked: this {what}\n",
        manifest.files.len(),
        human_size(manifest.bytes())
    ));
    print(text.as_bytes())
}
