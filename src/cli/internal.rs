//! Hidden verbs: the parts of a running network that are this same program inside containers.

use std::process::ExitCode;

use clap::Subcommand;

use super::{Failure, network, runtime};
use crate::{engine::toolbox, journal::generate, probe, reference_node};

/// Parts of a running network.
#[derive(Debug, Subcommand)]
pub enum Internal {
    /// A node of the reference network
    #[command(name = "reference-node", hide = true)]
    ReferenceNode(Box<reference_node::NodeConfig>),
    /// First process of the watcher's container: sleeps and so holds the volumes
    #[command(hide = true)]
    Keeper,
    /// Polls the nodes over the management network
    #[command(hide = true)]
    Watcher,
    /// Looks at a node's resources from inside
    #[command(hide = true)]
    Sampler(probe::SamplerArguments),
    /// One privileged operation, in a container of its own
    #[command(hide = true)]
    Helper(crate::disk::HelperArguments),
    /// Small tools for use inside containers
    #[command(hide = true)]
    Toolbox(toolbox::ToolboxArguments),
    /// Standard input and output to a TCP address
    #[command(hide = true)]
    Relay {
        /// IP address and port
        address: String,
    },
    /// Writes the journal of a made-up run, to measure judging
    #[command(hide = true)]
    GenerateJournal(generate::GenerateArguments),
}

pub(super) fn run(verb: Internal) -> Result<ExitCode, Failure> {
    match verb {
        Internal::ReferenceNode(config) => reference_node::main_runtime(*config)
            .map(|()| ExitCode::SUCCESS)
            .map_err(|error| Failure::infra("the node cannot go on").because(&error)),
        Internal::Keeper => Ok(probe::keeper_main()),
        Internal::Watcher => Ok(probe::watcher_main()),
        Internal::Sampler(arguments) => Ok(probe::sampler_main(&arguments)),
        Internal::Helper(arguments) => Ok(crate::disk::helper_main(&arguments)),
        Internal::Toolbox(arguments) => Ok(toolbox::toolbox_main(&arguments)),
        Internal::Relay { address } => {
            runtime()?.block_on(network::relay(&address))?;
            Ok(ExitCode::SUCCESS)
        }
        Internal::GenerateJournal(arguments) => {
            generate::generate_main(&arguments).map_err(|error| Failure::infra("cannot write the journal").because(&error))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
