//! One source of values (a file, a flag, a variable) as a checked table with the place of every value.
//!
//! A source is checked on its own, before anything is merged, so that every error can name its line.

use std::{collections::BTreeMap, ops::Range};

use serde::de::DeserializeOwned;
use toml::{
    Spanned, Table,
    de::{DeTable, DeValue},
};

use super::{
    error::{Place, PlanError, clean, did_you_mean},
    later::Later,
    variables::{self, Variables},
};

/// A table, and where each of its values was written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Layer {
    /// The values.
    pub table: Table,
    /// Dotted key of each leaf to its place.
    pub places: BTreeMap<String, Place>,
}

/// Reads a TOML text that must fit `T` (whose fields are all optional), with `${NAME}` replaced in all strings.
///
/// # Errors
/// The first thing that is wrong, with line and column.
pub fn read<T: DeserializeOwned>(
    source: &str,
    text: &str,
    variables: &Variables<'_>,
    later: &[Later],
) -> Result<Layer, PlanError> {
    let lines = Lines::new(source, text);
    let mut document = DeTable::parse(text).map_err(|error| PlanError::Syntax {
        place: lines.place(error.span()),
        message: clean(error.message()),
    })?;
    let mut walk = Walk {
        lines: &lines,
        variables,
        later,
        places: BTreeMap::new(),
        spans: Vec::new(),
    };
    walk.table(document.get_mut(), "", "")?;
    let Walk { places, spans, .. } = walk;
    let typed = toml::de::Deserializer::from(document.clone());
    T::deserialize(typed).map_err(|error| typed_error(&error, &lines, &spans))?;
    let table = serde::Deserialize::deserialize(toml::de::Deserializer::from(document))
        .map_err(|error| typed_error(&error, &lines, &spans))?;
    Ok(Layer { table, places })
}

/// Checks that a table made from a flag or variable fits `T`.
///
/// # Errors
/// What is wrong, with the flag or variable as its place.
pub fn check<T: DeserializeOwned>(
    place: &Place,
    path: &[String],
    table: &Table,
) -> Result<(), PlanError> {
    let Err(error) = T::deserialize(table.clone()) else {
        return Ok(());
    };
    // There are no spans here: an unknown key is the first of this name on the way, or one within the value.
    let whole = path
        .iter()
        .fold(String::new(), |parent, part| join(&parent, part));
    let known = unknown_field(error.message())
        .and_then(|(unknown, _)| path.iter().position(|part| part == unknown));
    let key = known.map_or(whole, |at| {
        path[..=at]
            .iter()
            .fold(String::new(), |parent, part| join(&parent, part))
    });
    Err(explain(&error, place.clone(), &key, &key))
}

/// A key as one part of a dotted key.
#[must_use]
pub fn join(parent: &str, key: &str) -> String {
    let plain = !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let part = if plain {
        key.to_owned()
    } else {
        format!("\"{}\"", clean(key))
    };
    if parent.is_empty() {
        part
    } else {
        format!("{parent}.{part}")
    }
}

struct Lines<'a> {
    source: &'a str,
    text: &'a str,
    /// Offsets at which lines start.
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(source: &'a str, text: &'a str) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            source,
            text,
            starts: std::iter::once(0).chain(ends).collect(),
        }
    }

    fn place(&self, span: Option<Range<usize>>) -> Place {
        let position = span.map(|span| {
            let line = self
                .starts
                .partition_point(|start| *start <= span.start)
                .max(1);
            let before = self
                .text
                .get(self.starts[line - 1]..span.start.min(self.text.len()));
            let column = before.map_or(0, |before| before.chars().count()) + 1;
            // No file is longer than a quarter of a mebibyte.
            let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
            (small(line), small(column))
        });
        Place {
            position,
            ..Place::whole(self.source)
        }
    }
}

struct Walk<'a> {
    lines: &'a Lines<'a>,
    variables: &'a Variables<'a>,
    later: &'a [Later],
    places: BTreeMap<String, Place>,
    spans: Vec<(Range<usize>, String, String)>,
}

impl Walk<'_> {
    /// `generic` is the key with `*` for the index of an array's elements.
    fn table(
        &mut self,
        table: &mut DeTable<'_>,
        path: &str,
        generic: &str,
    ) -> Result<(), PlanError> {
        for (key, value) in table.iter_mut() {
            let whole = join(path, key.get_ref());
            let generic = join(generic, key.get_ref());
            let span = key.span();
            if let Some(later) = self.later.iter().find(|later| later.matches(&generic)) {
                let place = self.lines.place(Some(span));
                return Err(PlanError::Later {
                    place,
                    key: whole,
                    note: later.note,
                });
            }
            self.spans
                .push((span.clone(), whole.clone(), path.to_owned()));
            self.spans
                .push((value.span(), whole.clone(), path.to_owned()));
            self.value(value, &whole, &generic, &span)?;
        }
        Ok(())
    }

    fn value(
        &mut self,
        value: &mut Spanned<DeValue<'_>>,
        path: &str,
        generic: &str,
        key: &Range<usize>,
    ) -> Result<(), PlanError> {
        let mut place = self.lines.place(Some(key.clone()));
        let span = value.span();
        match value.get_mut() {
            DeValue::Table(table) => return self.table(table, path, generic),
            DeValue::Array(array) => {
                for (index, element) in array.iter_mut().enumerate() {
                    let whole = format!("{path}[{index}]");
                    self.spans
                        .push((element.span(), whole.clone(), path.to_owned()));
                    let own = element.span();
                    self.value(element, &whole, generic, &own)?;
                }
            }
            DeValue::String(text) => {
                let expanded = self
                    .variables
                    .expand(text)
                    .map_err(|name| PlanError::Variable {
                        place: self.lines.place(Some(span)),
                        key: path.to_owned(),
                        hint: self.variables.near(&name).into(),
                        name: clean(&name).into(),
                    })?;
                if let Some(expanded) = expanded {
                    place.variables = Some(clean(&variables::names(text)).into());
                    *text = expanded.into();
                }
            }
            // Days are the only dates there are, and TOML lets people write them without quotes.
            value @ DeValue::Datetime(_) => {
                let text = value
                    .as_datetime()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                *value = DeValue::String(text.into());
            }
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) => {}
        }
        self.places.insert(path.to_owned(), place);
        Ok(())
    }
}

/// The key of the smallest stretch of text around an error, and the table it is in.
fn typed_error(
    error: &toml::de::Error,
    lines: &Lines<'_>,
    spans: &[(Range<usize>, String, String)],
) -> PlanError {
    let span = error.span();
    let (key, parent) = span
        .as_ref()
        .and_then(|span| {
            let around = spans
                .iter()
                .filter(|(place, ..)| place.start <= span.start && span.end <= place.end);
            around.min_by_key(|(place, ..)| place.len())
        })
        .map_or(("", ""), |(_, key, parent)| (key.as_str(), parent.as_str()));
    explain(error, lines.place(span), key, parent)
}

fn explain(error: &toml::de::Error, place: Place, key: &str, parent: &str) -> PlanError {
    let message = error.message();
    if let Some((unknown, allowed)) = unknown_field(message) {
        let unknown_key = if key == unknown || key.ends_with(&format!(".{unknown}")) {
            key.to_owned()
        } else {
            join(if key.is_empty() { parent } else { key }, unknown)
        };
        return PlanError::UnknownKey {
            place,
            key: unknown_key,
            hint: did_you_mean(unknown, allowed.iter().copied()).into(),
            allowed: allowed.join(", ").into(),
        };
    }
    let key = if key.is_empty() { "the file" } else { key };
    let hint = unknown_word(message, "variant")
        .map(|(unknown, allowed)| did_you_mean(unknown, allowed))
        .unwrap_or_default();
    PlanError::Value {
        place,
        key: key.to_owned(),
        message: format!("{}{hint}", clean(message)),
    }
}

fn unknown_field(message: &str) -> Option<(&str, Vec<&str>)> {
    unknown_word(message, "field")
}

/// The field or variant that serde did not know, and those it knows. Serde has no other way to tell; the tests hold this
/// to its wording.
fn unknown_word<'a>(message: &'a str, what: &str) -> Option<(&'a str, Vec<&'a str>)> {
    let (unknown, rest) = message
        .strip_prefix("unknown ")?
        .strip_prefix(what)?
        .strip_prefix(" `")?
        .split_once("`, expected ")?;
    Some((unknown, rest.split('`').skip(1).step_by(2).collect()))
}
