//! Removing a network, and saying what is the matter when the engine has lost count of what is on it.
//!
//! Engines before 28.1 keep the number of a network's endpoints apart from the endpoints, and concurrent changes of it
//! are sometimes lost (moby issues 42119 and 43286). A network whose number stays above zero can never be removed until
//! the engine restarts; it holds nothing but its subnet. What was tried and must not be: connecting and disconnecting
//! containers at the same moment loses changes in the other direction and has freed such a network, and has also hung
//! the whole engine (measured on 20.10).

use super::{
    docker::{Docker, NetworkFacts, has_endpoints},
    error::EngineError,
};

/// Removes a network of a run. Everything that was on it is gone already.
///
/// # Errors
/// What the engine said; [`EngineError::NetworkStuck`] if it has lost count.
pub(super) async fn remove(docker: &Docker, network: &NetworkFacts) -> Result<(), EngineError> {
    match docker.remove_network(&network.id).await {
        // A container of somebody else may really be on it; then the engine's own words are the right ones.
        Err(error) if has_endpoints(&error) && docker.containers_on(&network.id).await? == 0 => {
            Err(EngineError::NetworkStuck {
                name: network.name.clone(),
            })
        }
        other => other,
    }
}
