//! Hidden verbs: the parts of a running network that are this same program inside containers.
//!
//! They are told apart before the command line is parsed: some live in a node's own small limits, where the tables of
//! a parser would be a third of their memory.

use std::{ffi::OsString, path::Path, process::ExitCode};

use clap::Parser;
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use super::{Failure, network, print_line, runtime};
use crate::{
    disk::{faulty, helper},
    engine::{load, toolbox},
    journal::{JOURNAL_FOLDER, generate},
    probe,
    reference_node::{config::NodeConfig, node, store},
};

/// A node of the reference network
#[derive(Debug, Parser)]
#[command(name = "canarynet reference-node")]
struct ReferenceNode {
    #[command(flatten)]
    config: NodeConfig,
}

/// Runs a hidden verb; `None` if the first word is none.
pub(super) fn dispatch() -> Option<Result<ExitCode, Failure>> {
    let mut words = std::env::args_os().skip(1);
    let verb = words.next()?;
    let words: Vec<OsString> = words.collect();
    let texts = || {
        words
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect::<Vec<String>>()
    };
    Some(match verb.to_str()? {
        "keeper" => Ok(probe::keeper::keeper_main()),
        "sampler" => Ok(probe::sampler::sampler_main(words)),
        "watcher" => Ok(probe::watcher::watcher_main()),
        "faulty-disk" => Ok(faulty::process::faulty_disk_main(&texts())),
        "helper" => Ok(helper::helper_main(&texts())),
        "load" => Ok(load::load_main(&texts())),
        "toolbox" => Ok(toolbox::toolbox_main(&texts())),
        "store-head" => store_head(&words),
        "heal-guard" => heal_guard(&words),
        "relay" => relay(&texts()),
        "reference-node" => reference_node(),
        "generate-journal" => generate_journal(&texts()),
        _ => return None,
    })
}

/// The head of a reference node's store that nobody has open: `store-head FOLDER`. What it reads is hostile, and whoever
/// asks may have privileges: they are given up first.
fn store_head(words: &[OsString]) -> Result<ExitCode, Failure> {
    let [folder] = words else {
        return Err(Failure::usage("usage: store-head FOLDER"));
    };
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, none)
        .map_err(|error| Failure::infra("cannot give up privileges").because(&error))?;
    let head = store::head(Path::new(folder))
        .map_err(|error| Failure::infra("the store cannot be opened").because(&error))?;
    super::print_json(&head)
}

fn heal_guard(words: &[OsString]) -> Result<ExitCode, Failure> {
    let [directory] = words else {
        return Err(Failure::usage("usage: heal-guard RUN-DIRECTORY"));
    };
    runtime()?.block_on(crate::run::arm::guard(directory.into()));
    Ok(ExitCode::SUCCESS)
}

fn relay(words: &[String]) -> Result<ExitCode, Failure> {
    let [address] = words else {
        return Err(Failure::usage("usage: relay ADDRESS:PORT"));
    };
    runtime()?.block_on(network::relay(address))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the journal of a made-up run of the default shape, to measure judging: `generate-journal RUN-DIRECTORY 30d`.
fn generate_journal(words: &[String]) -> Result<ExitCode, Failure> {
    let usage = || Failure::usage("usage: generate-journal RUN-DIRECTORY DURATION");
    let [directory, soak] = words else {
        return Err(usage());
    };
    let soak = humantime::parse_duration(soak).map_err(|error| usage().because(&error))?;
    let request = generate::Request {
        directory: Path::new(directory).join(JOURNAL_FOLDER),
        shape: generate::Shape {
            soak,
            ..generate::Shape::default()
        },
        seed: 1,
        budget: u64::MAX / 16,
    };
    let made = generate::generate_journal(&request)
        .map_err(|error| Failure::infra("cannot write the journal").because(&error))?;
    print_line(&format!("{} entries, {} MiB", made.facts, made.bytes >> 20))?;
    Ok(ExitCode::SUCCESS)
}

fn reference_node() -> Result<ExitCode, Failure> {
    // The verb itself takes the place of the program's name.
    let arguments = ReferenceNode::parse_from(std::env::args_os().skip(1));
    let ended =
        node::main_runtime().and_then(|runtime| runtime.block_on(node::run(arguments.config)));
    ended
        .map(|()| ExitCode::SUCCESS)
        .map_err(|error| Failure::infra("the node cannot go on").because(&error))
}
