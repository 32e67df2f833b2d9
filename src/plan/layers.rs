//! Layers of values, later ones over earlier ones: default < file < environment < `--set` < flags.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::{
    error::{Place, PlanError, clean},
    later::Later,
    source::{self, Layer, join},
    variables::Variables,
};

/// Environment variables with this prefix set a key: `CANARYNET_SET_LOAD__RATE` is `load.rate`, in lower case, `__`
/// for the dot. `CANARYNET_SET_PROFILE__...` reaches into the profile.
pub const ENVIRONMENT_PREFIX: &str = "CANARYNET_SET_";

/// Keys of which a later layer replaces the others of an earlier one: they say the same thing in different ways.
/// A `*` is any one key.
const ALTERNATIVES: &[(&str, &[&str])] = &[
    ("", &["binary", "image", "itself"]),
    ("", &["speedup", "block_interval"]),
    ("probe.rpc", &["dialect", "height"]),
    ("accelerate.*", &["set", "lever"]),
];

/// Arrays that a later layer puts its elements in front of, instead of replacing.
const IN_FRONT: &[&str] = &["log"];

impl Layer {
    /// Puts another layer over this one.
    pub fn put(&mut self, over: Self) {
        for array in IN_FRONT {
            let length = |table: &Table| {
                table
                    .get(*array)
                    .and_then(Value::as_array)
                    .map_or(0, Vec::len)
            };
            if length(&self.table) > 0 {
                self.move_back(array, length(&over.table));
            }
        }
        let mut gone = Vec::new();
        merge(&mut self.table, over.table, "", &mut gone);
        for key in gone {
            self.places.retain(|place, _| !is_within(place, &key));
        }
        self.places.extend(over.places);
    }

    /// Elements of an array are this much further back: others were put in front of them.
    fn move_back(&mut self, array: &str, by: usize) {
        let places = std::mem::take(&mut self.places);
        let moved = places.into_iter().map(|(key, place)| {
            let index = key
                .strip_prefix(array)
                .and_then(|rest| rest.strip_prefix('[')?.split_once(']'));
            let index = index.and_then(|(index, rest)| Some((index.parse::<usize>().ok()?, rest)));
            match index {
                Some((index, rest)) => (format!("{array}[{}]{rest}", index + by), place),
                None => (key, place),
            }
        });
        self.places = moved.collect();
    }

    /// The place of the value with this key, or of the first value within it; of something in an array that was set as
    /// a whole, the array's.
    #[must_use]
    pub fn place(&self, key: &str) -> Option<&Place> {
        let mut around = key;
        loop {
            let within = self
                .places
                .iter()
                .find(|(place, _)| is_within(place, around));
            if let Some((_, place)) = within {
                return Some(place);
            }
            let outermost = key.find('[')?;
            around = &around[..around.rfind(['.', '['])?];
            if around.len() < outermost {
                return None;
            }
        }
    }
}

fn is_within(key: &str, outer: &str) -> bool {
    let rest = key.strip_prefix(outer);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || rest.starts_with('['))
}

fn pattern_fits(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix(".*") {
        Some(parent) => path
            .strip_prefix(parent)
            .is_some_and(|rest| rest.starts_with('.') && !rest[1..].contains('.')),
        None => pattern == path,
    }
}

/// An image of which two layers speak: what the later one says stands, the rest stays, a reference alone is one thing
/// said. Whether the earlier one's reference stays.
fn join_images(base: &Table, over: &mut Table) -> bool {
    let (Some(before), Some(image)) = (base.get("image"), over.get_mut("image")) else {
        return false;
    };
    let table = |value: &Value| match value {
        Value::Table(table) => table.clone(),
        reference => Table::from_iter([("ref".to_owned(), reference.clone())]),
    };
    let later = table(image);
    let stays = !later.contains_key("ref");
    let mut whole = table(before);
    whole.extend(later);
    *image = match whole.get("ref") {
        Some(reference) if whole.len() == 1 => reference.clone(),
        _ => Value::Table(whole),
    };
    stays
}

/// Recursion is bounded by the parser's own limit on nesting.
fn merge(base: &mut Table, mut over: Table, path: &str, gone: &mut Vec<String>) {
    let stays = path.is_empty() && join_images(base, &mut over);
    for (_, keys) in ALTERNATIVES
        .iter()
        .filter(|(pattern, _)| pattern_fits(pattern, path))
    {
        if keys.iter().any(|key| over.contains_key(*key)) {
            for key in *keys {
                base.remove(*key);
                if !(stays && *key == "image") {
                    gone.push(join(path, key));
                }
            }
        }
    }
    for (key, value) in over {
        let whole = join(path, &key);
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => merge(base, over, &whole, gone),
            (Some(Value::Array(base)), Value::Array(mut over))
                if IN_FRONT.contains(&whole.as_str()) =>
            {
                over.append(base);
                *base = over;
            }
            (_, value) => {
                if !(stays && key == "image") {
                    gone.push(whole);
                }
                base.insert(key, value);
            }
        }
    }
}

/// `--set` and the environment, sorted into what reaches the plan and what reaches the profile.
#[derive(Debug, Default)]
pub struct Settings {
    /// Keys of the plan.
    pub plan: Vec<Setting>,
    /// Keys of the profile, without their `profile.` in front.
    pub profile: Vec<Setting>,
}

/// One value set from outside a file.
#[derive(Debug)]
pub struct Setting {
    place: Place,
    path: Vec<String>,
    value: String,
}

/// A path deeper than any key; also keeps the recursion of merging shallow.
const DEEPEST: usize = 16;

impl Settings {
    /// Reads the environment first and the flags over it.
    ///
    /// # Errors
    /// A setting without key or value.
    pub fn collect(
        environment: &BTreeMap<String, String>,
        flags: &[String],
    ) -> Result<Self, PlanError> {
        let mut settings = Self::default();
        for (name, value) in environment {
            if let Some(key) = name.strip_prefix(ENVIRONMENT_PREFIX) {
                settings.add(Setting {
                    place: Place::whole(&format!("environment {name}")),
                    path: environment_path(key),
                    value: value.clone(),
                });
            }
        }
        for flag in flags {
            let place = Place::whole(&format!("--set {flag}"));
            let refuse = |message: &str| PlanError::Set {
                place: place.clone(),
                message: message.to_owned(),
            };
            let (key, value) =
                split(flag).ok_or_else(|| refuse("write key=value, like load.rate=\"50 tx/s\""))?;
            let path = parse_path(key).ok_or_else(|| refuse("the key is no dotted key"))?;
            settings.add(Setting {
                place,
                path,
                value: value.to_owned(),
            });
        }
        Ok(settings)
    }

    fn add(&mut self, mut setting: Setting) {
        if setting.path.len() > 1 && setting.path[0] == "profile" {
            setting.path.remove(0);
            self.profile.push(setting);
        } else {
            self.plan.push(setting);
        }
    }
}

impl Setting {
    /// The setting as a layer that fits `T`: the value as TOML, or, where that does not fit, as plain text. `${NAME}` in
    /// it is replaced as in files.
    ///
    /// # Errors
    /// When neither fits (says why the better of the two does not), or when the key is for a later version.
    pub fn layer<T: DeserializeOwned>(
        &self,
        variables: &Variables<'_>,
        later: &[Later],
    ) -> Result<Layer, PlanError> {
        let key = dotted(&self.path);
        let expanded = variables
            .expand(&self.value)
            .map_err(|name| PlanError::Variable {
                place: self.place.clone(),
                key: key.clone(),
                hint: variables.near(&name).into(),
                name: clean(&name).into(),
            })?;
        let text = expanded.unwrap_or_else(|| self.value.clone());
        let parsed = parse_value(&text);
        self.refuse_later(later)?;
        let text = Value::String(text);
        let is_text = parsed.as_ref().is_none_or(Value::is_str);
        let table = nest(&self.path, parsed.unwrap_or_else(|| text.clone()));
        let layer = |table| Layer {
            table,
            places: BTreeMap::from([(key.clone(), self.place.clone())]),
        };
        let Err(error) = source::check::<T>(&self.place, &self.path, &table) else {
            return Ok(layer(table));
        };
        let table = nest(&self.path, text);
        if !is_text && source::check::<T>(&self.place, &self.path, &table).is_ok() {
            return Ok(layer(table));
        }
        Err(error)
    }

    fn refuse_later(&self, later: &[Later]) -> Result<(), PlanError> {
        for depth in 1..=self.path.len() {
            let key = dotted(&self.path[..depth]);
            if let Some(later) = later.iter().find(|later| later.matches(&key)) {
                let place = self.place.clone();
                return Err(PlanError::Later {
                    place,
                    key,
                    note: later.note,
                });
            }
        }
        Ok(())
    }
}

/// The parts as one dotted key.
fn dotted(path: &[String]) -> String {
    path.iter()
        .fold(String::new(), |parent, part| join(&parent, part))
}

fn nest(path: &[String], value: Value) -> Table {
    let mut value = value;
    for part in path.iter().skip(1).rev() {
        value = Value::Table(Table::from_iter([(part.clone(), value)]));
    }
    path.first()
        .map(|first| Table::from_iter([(first.clone(), value)]))
        .unwrap_or_default()
}

/// Splits at the first `=` outside quotes.
fn split(flag: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let at = flag.char_indices().find_map(|(at, letter)| {
        quoted ^= letter == '"';
        (letter == '=' && !quoted).then_some(at)
    })?;
    Some((flag[..at].trim(), flag[at + 1..].trim()))
}

/// The parts of a dotted key, by TOML's own rules for quoting.
fn parse_path(key: &str) -> Option<Vec<String>> {
    let one_line = !key.is_empty() && !key.contains(['\n', '\r', '=', '#', '[']);
    let mut table = one_line
        .then(|| format!("{key} = 0").parse::<Table>().ok())
        .flatten()?;
    let mut path = Vec::new();
    while path.len() < DEEPEST {
        let (part, value) = std::mem::take(&mut table).into_iter().next()?;
        path.push(part);
        match value {
            Value::Table(inner) => table = inner,
            _ => return Some(path),
        }
    }
    None
}

/// The text as one TOML value; dates become text, as in files.
fn parse_value(text: &str) -> Option<Value> {
    if text.contains(['\n', '\r']) {
        return None;
    }
    let mut table = format!("value = {text}").parse::<Table>().ok()?;
    match table.remove("value")? {
        Value::Datetime(day) => Some(Value::String(day.to_string())),
        value if table.is_empty() => Some(value),
        _ => None,
    }
}

/// `DETECTORS__SLOW_BLOCKS__FACTOR` is `detectors.slow-blocks.factor`: finding ids have a hyphen where a variable's
/// name cannot.
fn environment_path(key: &str) -> Vec<String> {
    let mut path: Vec<String> = key
        .to_lowercase()
        .split("__")
        .take(DEEPEST)
        .map(clean)
        .collect();
    let finding = match path.first().map(String::as_str) {
        Some("detectors") => Some(1),
        Some("gate") if path.get(1).is_some_and(|part| part == "severity") => Some(2),
        _ => None,
    };
    if let Some(part) = finding.and_then(|index| path.get_mut(index)) {
        *part = part.replace('_', "-");
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(text: &str) -> Layer {
        let table: Table = text.parse().unwrap();
        Layer {
            table,
            places: BTreeMap::new(),
        }
    }

    #[test]
    fn later_layers_win_and_alternatives_replace_each_other() {
        let mut base = layer(
            "itself = true\nspeedup = 40\n[accelerate.a]\nset = \"x\"\nmainnet = \"1s\"\n[[log]]\nname = \"old\"",
        );
        base.put(layer("binary = \"x\"\nblock_interval = \"1s\"\n[accelerate.a]\nlever = \"none\"\n[[log]]\nname = \"new\""));
        let expected: Table = "binary = \"x\"\nblock_interval = \"1s\"\n[accelerate.a]\nmainnet = \"1s\"\nlever = \"none\"\n[[log]]\nname = \"new\"\n[[log]]\nname = \"old\"".parse().unwrap();
        assert_eq!(base.table, expected);
    }

    #[test]
    fn more_may_be_said_of_an_image_than_its_name() {
        let put = |base: &str, over: &str| {
            let mut base = layer(base);
            base.put(layer(over));
            base.table
        };
        let table = |text: &str| text.parse::<Table>().unwrap();
        assert_eq!(
            put("image = \"a:1\"", "image = { pull = \"always\" }"),
            table("image = { ref = \"a:1\", pull = \"always\" }")
        );
        let whole = "image = { ref = \"a:1\", pull = \"always\" }";
        assert_eq!(
            put(whole, "image = { platform = \"linux/amd64\" }"),
            table("image = { ref = \"a:1\", pull = \"always\", platform = \"linux/amd64\" }")
        );
        // Another image comes the same way.
        for over in ["image = \"b:2\"", "image = { ref = \"b:2\" }"] {
            let joined = table("image = { ref = \"b:2\", pull = \"always\" }");
            assert_eq!(put(whole, over), joined);
            assert_eq!(put("image = \"a:1\"", over), table("image = \"b:2\""));
        }
        assert_eq!(put(whole, "binary = \"x\""), table("binary = \"x\""));
    }

    #[test]
    fn settings_are_split_by_the_rules_of_toml() {
        let flags = [
            "gate.limits.\"b.c\" = < 3 blocks".to_owned(),
            "profile.shards=2".to_owned(),
            "profile=x".to_owned(),
        ];
        let settings = Settings::collect(&BTreeMap::new(), &flags).unwrap();
        assert_eq!(settings.plan[0].path, ["gate", "limits", "b.c"]);
        assert_eq!(settings.plan[1].path, ["profile"]);
        assert_eq!(settings.profile[0].path, ["shards"]);
        for bad in ["x", "=1", "a b=1", "[a]=1"] {
            assert!(
                Settings::collect(&BTreeMap::new(), &[bad.to_owned()]).is_err(),
                "{bad}"
            );
        }
        assert_eq!(
            environment_path("DETECTORS__SLOW_BLOCKS__FACTOR"),
            ["detectors", "slow-blocks", "factor"]
        );
    }
}
