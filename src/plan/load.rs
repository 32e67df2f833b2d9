//! From what was typed to a plan: finds and reads the plan and the profiles behind it, layers what was set over them,
//! and resolves the whole. The only part of this module that reads files.

mod alone;

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::{
    Keep, LogBaseline, Plan, Program, Side, against,
    error::{Place, PlanError, did_you_mean},
    later::{self, Later},
    layers::{Setting, Settings},
    manifest::Manifest,
    resolve::{Sources, resolve},
    source::{self, Layer},
    values::human_duration,
    variables::Variables,
};
use crate::profile::{
    manifest::Profile,
    shipped::{self, PLANS, PROFILES, Shipped},
};

pub use alone::profile_sources;

/// Longest plan or profile.
const LONGEST_FILE: u64 = 256 * 1024;

/// Longest baseline: thousands of runs.
const LONGEST_BASELINE: u64 = 64 * 1024 * 1024;

/// Longest list of log forms: two thousand of some hundred bytes, with what is told of each.
const LONGEST_FORMS: u64 = 1024 * 1024;

/// Profiles that may stand behind each other.
const EXTENDS: usize = 8;

/// What a person asked for on the command line, and what the plan may depend on beside it.
#[derive(Debug, Clone, Default)]
pub struct PlanRequest {
    /// A shipped plan's name or a path; empty for the default plan.
    pub plan: String,
    /// `--profile`: instead of the plan's own; a name or a path.
    pub profile: Option<String>,
    /// `--binary` or `--image`: instead of the profile's program.
    pub program: Option<Program>,
    /// `--set key=value`, in order.
    pub set: Vec<String>,
    /// `--for`: length of the soak, instead of `until`.
    pub soak_for: Option<Duration>,
    /// `--seed`.
    pub seed: Option<String>,
    /// `--keep`.
    pub keep: Option<Keep>,
    /// `--allow-helper`.
    pub allow_helper: bool,
    /// The environment, for `${NAME}` and `CANARYNET_SET_...`.
    pub environment: BTreeMap<String, String>,
    /// Today, as `2026-11-22`, for `${DATE}`.
    pub date: String,
    /// Folder of saved baselines.
    pub baselines: Option<PathBuf>,
}

/// Loads and resolves a plan.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub fn load(request: &PlanRequest) -> Result<Plan, PlanError> {
    resolved(&sources(request)?)
}

/// Resolves a plan, and reads the log forms that it names.
///
/// # Errors
/// As [`load`].
pub fn resolved(sources: &Sources) -> Result<Plan, PlanError> {
    let mut plan = resolve(sources)?;
    if let Some(Value::String(path)) = sources.plan.table.get("log_baseline") {
        plan.log_baseline = Some(log_baseline(Path::new(path))?);
    }
    Ok(plan)
}

/// The log forms of an earlier good run.
fn log_baseline(path: &Path) -> Result<LogBaseline, PlanError> {
    const WHAT: &str = "log baseline";
    let text = read_bounded(WHAT, path, LONGEST_FORMS)?;
    LogBaseline::parse(&text).map_err(|source| PlanError::Read {
        what: WHAT,
        path: path.to_owned(),
        source: std::io::Error::new(std::io::ErrorKind::InvalidData, source),
    })
}

/// The merged layers of a plan and its profile, before they are resolved.
///
/// # Errors
/// As [`load`].
pub fn sources(request: &PlanRequest) -> Result<Sources, PlanError> {
    let reader = Reader {
        variables: Variables {
            environment: &request.environment,
            date: &request.date,
        },
    };
    let settings = Settings::collect(&request.environment, &request.set)?;
    let asked = if request.plan.is_empty() {
        PLANS[0].name
    } else {
        &request.plan
    };
    let found = Found::find("plan", asked, PLANS)?;
    let mut plan = reader.read::<Manifest>(&found, later::PLAN)?;
    found.anchor(&mut plan.table, &["profile", "log_baseline"]);
    for key in ["fault", "versions"] {
        if let Some(Value::Array(tables)) = plan.table.get_mut(key) {
            let tables = tables.iter_mut().filter_map(Value::as_table_mut);
            tables.for_each(|table| found.anchor(table, &["binary"]));
        }
    }
    reader.put::<Manifest>(&mut plan, &settings.plan, later::PLAN)?;
    plan.put(flags(request)?);
    let profile = plan
        .table
        .get("profile")
        .and_then(Value::as_str)
        .map(str::to_owned);
    let Some(asked) = profile else {
        return Err(PlanError::Missing {
            what: found.source,
            key: "profile".to_owned(),
            message: "a shipped profile's name or the path of a profile",
        });
    };
    let (profile_name, mut profile) = reader.profile(&asked)?;
    reader.put::<Profile>(&mut profile, &settings.profile, later::PROFILE)?;
    if let Some(program) = &request.program {
        profile.put(program_flag(program));
    }
    let baseline = plan
        .table
        .get("gate")
        .and_then(|gate| gate.get("against")?.get("baseline")?.as_str())
        .map(str::to_owned);
    let mut sources = Sources {
        name: found.name,
        profile_name,
        plan,
        profile,
        baseline: None,
    };
    if let Some(name) = baseline {
        let runs = baseline_runs(&name, request.baselines.as_deref())
            .map_err(|message| sources.bad("gate.against.baseline", &message))?;
        sources.baseline = Some(runs);
    }
    Ok(sources)
}

/// Puts settings (`key=value`) and a program over layers that were read before.
///
/// # Errors
/// When a key is unknown or a value does not fit.
pub fn put_over(
    sources: &mut Sources,
    set: &[String],
    program: Option<&Program>,
) -> Result<(), PlanError> {
    let environment = BTreeMap::new();
    let variables = Variables {
        environment: &environment,
        date: "",
    };
    let reader = Reader { variables };
    let settings = Settings::collect(&environment, set)?;
    reader.put::<Manifest>(&mut sources.plan, &settings.plan, later::PLAN)?;
    reader.put::<Profile>(&mut sources.profile, &settings.profile, later::PROFILE)?;
    if let Some(program) = program {
        sources.profile.put(program_flag(program));
    }
    Ok(())
}

/// The runs of a baseline: one saved under that name, or the file of that path.
fn baseline_runs(name: &str, saved: Option<&Path>) -> Result<Vec<Side>, String> {
    let by_name = saved.map(|folder| folder.join(against::file_name(name)));
    let path = match by_name {
        Some(path) if path.is_file() => path,
        _ if Path::new(name).is_file() => PathBuf::from(name),
        _ => {
            return Err(format!(
                "no baseline {name:?}; `canarynet baseline save NAME RUN` makes one, or name its file"
            ));
        }
    };
    let mut bytes = Vec::new();
    let read =
        File::open(&path).and_then(|file| file.take(LONGEST_BASELINE).read_to_end(&mut bytes));
    read.map_err(|error| error.to_string())
        .and_then(|_| against::parse(&bytes))
        .map_err(|error| format!("the baseline {name:?} cannot be used: {error}"))
}

fn flags(request: &PlanRequest) -> Result<Layer, PlanError> {
    let mut layer = Layer::default();
    let mut set = |key: &str, flag: &str, value: Value| {
        layer.table.insert(key.to_owned(), value);
        layer.places.insert(key.to_owned(), Place::whole(flag));
    };
    if let Some(profile) = &request.profile {
        set("profile", "--profile", profile.clone().into());
    }
    if let Some(duration) = request.soak_for {
        set("until", "--for", human_duration(duration).into());
    }
    if let Some(seed) = &request.seed {
        set("seed", "--seed", seed.clone().into());
    }
    if let Some(keep) = request.keep {
        let word = match keep {
            Keep::Never => "never",
            Keep::OnFail => "on-fail",
            Keep::Always => "always",
        };
        set("keep", "--keep", word.into());
    }
    if request.allow_helper {
        set("allow_helper", "--allow-helper", true.into());
    }
    for (key, place) in &layer.places {
        let value = layer.table.get(key).cloned().unwrap_or(Value::from(""));
        let alone = Table::from_iter([(key.clone(), value)]);
        source::check::<Manifest>(place, std::slice::from_ref(key), &alone)?;
    }
    Ok(layer)
}

fn program_flag(program: &Program) -> Layer {
    let (key, flag, value) = match program {
        Program::Itself => ("itself", "--itself", Value::from(true)),
        Program::Binary(path) => (
            "binary",
            "--binary",
            path.to_string_lossy().into_owned().into(),
        ),
        Program::Image(image) => ("image", "--image", image.clone().into()),
    };
    Layer {
        table: Table::from_iter([(key.to_owned(), value)]),
        places: BTreeMap::from([(key.to_owned(), Place::whole(flag))]),
    }
}

struct Reader<'a> {
    variables: Variables<'a>,
}

impl Reader<'_> {
    fn put<T: DeserializeOwned>(
        &self,
        layer: &mut Layer,
        settings: &[Setting],
        later: &[Later],
    ) -> Result<(), PlanError> {
        for setting in settings {
            layer.put(setting.layer::<T>(&self.variables, later)?);
        }
        Ok(())
    }

    fn read<T: DeserializeOwned>(
        &self,
        found: &Found,
        later: &[Later],
    ) -> Result<Layer, PlanError> {
        let text = found.text()?;
        // First of all: what another version's keys mean is not for this one to say.
        check_requires(&found.source, &text)?;
        source::read::<T>(&found.source, &text, &self.variables, later)
    }

    /// A profile with all that it extends beneath it, and its name.
    fn profile(&self, asked: &str) -> Result<(String, Layer), PlanError> {
        let mut chain: Vec<(Found, Layer)> = Vec::new();
        let mut next = Some(asked.to_owned());
        while let Some(asked) = next.take() {
            let found = Found::find("profile", &asked, PROFILES)?;
            let circle = chain
                .iter()
                .any(|(before, _)| before.source == found.source);
            if circle || chain.len() >= EXTENDS {
                let names: Vec<&str> = chain
                    .iter()
                    .map(|(before, _)| before.source.as_str())
                    .collect();
                return Err(PlanError::Extends {
                    place: Place::whole(&found.source),
                    chain: names.join(" -> "),
                    limit: EXTENDS,
                });
            }
            let mut layer = self.read::<Profile>(&found, later::PROFILE)?;
            found.anchor(&mut layer.table, &["extends", "binary", "programs"]);
            if let Some(Value::Table(secrets)) = layer.table.get_mut("secrets") {
                let each = secrets.iter_mut().filter_map(|(_, of)| of.as_table_mut());
                each.for_each(|secret| found.anchor(secret, &["file"]));
            }
            if let Some(Value::String(extends)) = layer.table.remove("extends") {
                next = Some(extends);
            }
            layer.places.remove("extends");
            chain.push((found, layer));
        }
        let name = chain
            .first()
            .map(|(found, _)| found.name.clone())
            .unwrap_or_default();
        let mut whole = Layer::default();
        for (depth, (_, mut layer)) in chain.into_iter().enumerate().rev() {
            // A profile that does not name itself is called like its file, not like what it extends.
            if depth > 0 {
                layer.table.remove("name");
                layer.places.remove("name");
            }
            whole.put(layer);
        }
        Ok((name, whole))
    }
}

/// A plan or profile that was found, not read yet.
struct Found {
    what: &'static str,
    name: String,
    source: String,
    file: Option<PathBuf>,
    shipped: Option<Shipped>,
}

impl Found {
    /// A path is read if it exists; a name, and a path of the repository where there is none, is a shipped one.
    fn find(what: &'static str, asked: &str, list: &[Shipped]) -> Result<Self, PlanError> {
        let is_path = asked.contains('/') || asked.ends_with(".toml");
        let shipped = shipped::find(list, asked);
        if is_path && (Path::new(asked).exists() || shipped.is_none()) {
            let file = PathBuf::from(asked);
            let stem = file
                .file_stem()
                .map(|stem| stem.to_string_lossy())
                .unwrap_or_default();
            return Ok(Self {
                what,
                name: plain_name(&stem),
                source: asked.to_owned(),
                file: Some(file),
                shipped: None,
            });
        }
        if let Some(shipped) = shipped {
            let (name, source) = (
                shipped.name.to_owned(),
                format!("{} (shipped)", shipped.path),
            );
            return Ok(Self {
                what,
                name,
                source,
                file: None,
                shipped: Some(shipped),
            });
        }
        let names: Vec<&str> = list.iter().map(|shipped| shipped.name).collect();
        Err(PlanError::NotFound {
            what,
            name: super::error::clean(asked),
            hint: did_you_mean(asked, names.iter().copied()),
            shipped: names.join(", "),
        })
    }

    fn text(&self) -> Result<String, PlanError> {
        let Some(path) = &self.file else {
            return Ok(self
                .shipped
                .map(|shipped| shipped.text.to_owned())
                .unwrap_or_default());
        };
        read_bounded(self.what, path, LONGEST_FILE)
    }

    /// Makes the relative paths under these keys relative to the working directory instead of to this file.
    fn anchor(&self, table: &mut Table, keys: &[&str]) {
        let Some(directory) = self.file.as_deref().and_then(Path::parent) else {
            return;
        };
        for key in keys {
            let texts = match table.get_mut(*key) {
                Some(Value::Array(list)) => list.iter_mut().collect(),
                Some(value) => vec![value],
                None => Vec::new(),
            };
            for value in texts {
                let Value::String(text) = value else { continue };
                let is_path = text.contains('/') || text.ends_with(".toml");
                // A program's bare name may be one on the `PATH`, where there is no such file beside this one.
                let beside = match *key {
                    "log_baseline" | "file" => true,
                    "binary" | "programs" => directory.join(&*text).exists(),
                    _ => false,
                };
                if is_path || beside {
                    *text = directory.join(&*text).to_string_lossy().into_owned();
                }
            }
        }
    }
}

/// A text file of at most so many bytes.
fn read_bounded(what: &'static str, path: &Path, limit: u64) -> Result<String, PlanError> {
    let failed = |source| PlanError::Read {
        what,
        path: path.to_owned(),
        source,
    };
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(limit + 1).read_to_end(&mut text))
        .map_err(failed)?;
    if text.len() as u64 > limit {
        return Err(PlanError::TooLong {
            what,
            path: path.to_owned(),
            limit,
        });
    }
    String::from_utf8(text)
        .map_err(|error| failed(std::io::Error::new(std::io::ErrorKind::InvalidData, error)))
}

/// A file's name as a name for run directories and containers.
fn plain_name(stem: &str) -> String {
    let letters = stem.chars().map(|letter| letter.to_ascii_lowercase());
    let letters = letters.map(|letter| {
        if letter.is_ascii_lowercase() || letter.is_ascii_digit() {
            letter
        } else {
            '-'
        }
    });
    let name: String = letters.take(30).collect();
    let name = name.trim_matches('-');
    if name.is_empty() {
        "plan".to_owned()
    } else {
        name.to_owned()
    }
}

/// Refuses a plan that wants another version. A text that is no TOML is left to the real parser's error.
fn check_requires(source: &str, text: &str) -> Result<(), PlanError> {
    let Ok(document) = toml::de::DeTable::parse(text) else {
        return Ok(());
    };
    let Some(asked) = document
        .get_ref()
        .get("requires")
        .and_then(|value| value.get_ref().as_str())
    else {
        return Ok(());
    };
    let place = Place::whole(source);
    let range = semver::VersionReq::parse(asked).map_err(|error| PlanError::Value {
        place: place.clone(),
        key: "requires".to_owned(),
        message: format!("{asked:?} is no range of versions like `>=0.1, <0.3`: {error}"),
    })?;
    let have = env!("CARGO_PKG_VERSION");
    if semver::Version::parse(have).is_ok_and(|version| range.matches(&version)) {
        return Ok(());
    }
    Err(PlanError::Requires {
        place,
        asked: asked.to_owned(),
        have: have.to_owned(),
    })
}
