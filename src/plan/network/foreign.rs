//! What there is beside the nodes, from the profile.

use std::{collections::BTreeSet, path::PathBuf};

use super::{
    super::foreign::{Foreign, MOST_SERVICES},
    MOST_ENTRIES,
    texts::{is_name, is_path, is_variable},
};
use crate::{fault::kinds::kind as kind_of, profile::manifest::Profile};

/// Longest text of one file and of all files of a node.
const LONGEST_FILE: usize = 16 * 1024;
/// Most commands of load at the same time.
const MOST_PARALLEL: u32 = 64;

/// Resolves it.
pub(super) fn resolve(profile: &Profile) -> Foreign {
    Foreign {
        programs: profile
            .programs
            .iter()
            .flatten()
            .map(PathBuf::from)
            .collect(),
        values: profile.values.clone().unwrap_or_default(),
        files: profile.file.clone().unwrap_or_default(),
        init: profile.init.clone().unwrap_or_default(),
        services: profile.service.clone().unwrap_or_default(),
        start_order: profile.start_order.clone().unwrap_or_default(),
        load: profile.load.clone(),
        ends_on: profile.ends_on.clone().unwrap_or_default(),
        refuses: profile.refuses.clone().unwrap_or_default(),
        quorum: profile.quorum.unwrap_or_default(),
        leaders: profile.leaders.unwrap_or_default(),
    }
}

/// What is wrong, and with which key.
pub(super) fn check(foreign: &Foreign) -> Option<(&'static str, String)> {
    for (key, length) in [
        ("programs", foreign.programs.len()),
        ("values", foreign.values.len()),
        ("file", foreign.files.len()),
        ("init", foreign.init.len()),
    ] {
        if length > MOST_ENTRIES {
            return Some((
                key,
                format!("has {length} entries, more than {MOST_ENTRIES}"),
            ));
        }
    }
    let empty = |path: &PathBuf| path.file_name().is_none();
    if foreign.programs.iter().any(empty) {
        return Some(("programs", "an empty name is no program".to_owned()));
    }
    if let Some(name) = foreign.values.keys().find(|name| !is_variable(name)) {
        return Some((
            "values",
            format!("{name:?} is no name: letters, digits and `_`"),
        ));
    }
    let unknown = |kind: &&String| kind_of(kind).is_none();
    if let Some(kind) = foreign.refuses.keys().find(unknown) {
        return Some(("refuses", format!("{kind:?} is no kind of fault")));
    }
    let mut paths = BTreeSet::new();
    for file in &foreign.files {
        if !is_path(&format!("/{}", file.path)) {
            let path = &file.path;
            return Some((
                "file",
                format!("{path:?} is no relative path like `config/node.toml`"),
            ));
        }
        if file.text.len() > LONGEST_FILE || !paths.insert(&file.path) {
            let why = "is there twice, or longer than 16 KiB";
            return Some(("file", format!("{:?} {why}", file.path)));
        }
    }
    if let Some(step) = foreign.init.iter().find(|step| {
        step.command.is_empty() && step.program.is_none()
            || step.command.len() > MOST_ENTRIES
            || step.program.as_ref().is_some_and(|name| !is_program(name))
    }) {
        return Some(("init", format!("{:?}: {PROGRAM}", step.command)));
    }
    let mut names = BTreeSet::new();
    for service in &foreign.services {
        if !is_name(&service.name) || !names.insert(&service.name) {
            let name = &service.name;
            return Some((
                "service",
                format!("{name:?} is no name of its own: small letters, digits and `-`"),
            ));
        }
        let bad = service
            .program
            .as_ref()
            .is_some_and(|name| !is_program(name));
        if bad || !service.environment.keys().all(|name| is_variable(name)) {
            return Some(("service", format!("{}: {PROGRAM}", service.name)));
        }
    }
    if foreign.services.len() > MOST_SERVICES {
        return Some(("service", format!("at most {MOST_SERVICES}")));
    }
    let roles: BTreeSet<_> = foreign.start_order.iter().collect();
    if roles.len() != foreign.start_order.len() {
        return Some(("start_order", "a role is there twice".to_owned()));
    }
    let load = foreign.load.as_ref()?;
    let parallel = load.parallel.unwrap_or(1);
    if !(1..=MOST_PARALLEL).contains(&parallel) {
        return Some(("load", "`parallel` is between 1 and 64".to_owned()));
    }
    let bad = load.program.as_ref().is_some_and(|name| !is_program(name));
    if bad || !load.environment.keys().all(|name| is_variable(name)) {
        return Some(("load", PROGRAM.to_owned()));
    }
    None
}

const PROGRAM: &str = "a program is a name in the pack or a path in the image, and has arguments; variables have names of letters, digits and `_`";

fn is_program(name: &str) -> bool {
    is_path(name) || !name.contains('/') && is_path(&format!("/{name}"))
}
