//! Subnets: tried until free, because nobody can reserve one and a parallel run may take it in between.

use std::{collections::BTreeMap, net::Ipv4Addr};

use sha2::{Digest as _, Sha256};

use super::Fill;
use crate::{
    engine::{
        docker::Docker,
        docker::is_subnet_taken,
        error::EngineError,
        labels::{self, Labels, Role, RunLabels},
    },
    ids::NodeName,
    plan::{NodeAddress, NodePlan},
};

/// The private pool: two octets, 256 subnets of 254 addresses. Seldom used by others; and as the bridges have no
/// address on the host, they take no route away from it even if it is.
const POOL: [u8; 2] = [10, 214];
/// For messages.
const POOL_TEXT: &str = "10.214.0.0/16";
/// The first node's last octet; below are the gateway that the engine reserves (.1) and the watcher (.8).
const FIRST_NODE: usize = 16;
/// Nodes that fit in a /24.
pub(super) const MOST_NODES: usize = 254 - FIRST_NODE + 1;

/// The third octets of the run's two networks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subnets {
    data: u8,
    management: u8,
}

impl Subnets {
    /// Fixed addresses of all nodes.
    pub(super) fn addresses(
        self,
        nodes: &[NodePlan],
    ) -> Result<BTreeMap<NodeName, NodeAddress>, EngineError> {
        let too_many = || EngineError::TooManyNodes {
            nodes: nodes.len(),
            most: MOST_NODES,
        };
        nodes
            .iter()
            .map(|node| {
                let position = usize::try_from(node.position).map_err(|_| too_many())?;
                if position >= MOST_NODES {
                    return Err(too_many());
                }
                let last = u8::try_from(FIRST_NODE + position).map_err(|_| too_many())?;
                Ok((
                    node.name.clone(),
                    NodeAddress {
                        data: address(self.data, last),
                        management: address(self.management, last),
                    },
                ))
            })
            .collect()
    }

    /// The watcher's address, on the management network only.
    pub(super) fn watcher(self) -> Ipv4Addr {
        address(self.management, super::watcher::WATCHER_LAST)
    }
}

fn address(third: u8, last: u8) -> Ipv4Addr {
    Ipv4Addr::new(POOL[0], POOL[1], third, last)
}

/// Creates the run's two networks; those that a snapshot was made in, where they are free, and none but those where its
/// data goes on with no others.
pub(super) async fn create(
    docker: &Docker,
    labels: &RunLabels,
    fill: Option<&Fill>,
) -> Result<Subnets, EngineError> {
    let run = labels.run();
    let taken = taken(docker).await?;
    let wanted = fill.map(|fill| fill.subnets).unwrap_or_default();
    let first = wanted.into_iter().filter(|_| fill.is_some());
    let others = order(run.as_str()).filter(|third| !wanted.contains(third) || fill.is_none());
    let bound = fill.is_some_and(|fill| fill.bound);
    let free: Vec<u8> = first
        .chain(others.filter(|_| !bound))
        .filter(|third| !taken[usize::from(*third)])
        .collect();
    if bound && free.len() < wanted.len() {
        let [data, management] = wanted.map(|third| format!("{}/24", address(third, 0)));
        return Err(EngineError::SubnetsOfSnapshot { data, management });
    }
    // Each network walks its own half, so that the two never race each other.
    let (data_pool, management_pool): (Vec<_>, Vec<_>) =
        free.into_iter().partition(|third| third % 2 == 0);
    let (data_name, management_name) = (labels::data_network(run), labels::management_network(run));
    let (data, management) = tokio::try_join!(
        first_free(docker, &data_name, data_pool, labels.of(Role::DataNetwork)),
        first_free(
            docker,
            &management_name,
            management_pool,
            labels.of(Role::ManagementNetwork)
        ),
    )?;
    Ok(Subnets { data, management })
}

async fn first_free(
    docker: &Docker,
    name: &str,
    pool: Vec<u8>,
    labels: Labels,
) -> Result<u8, EngineError> {
    for third in pool {
        let subnet = format!("{}/24", address(third, 0));
        match docker.create_network(name, &subnet, labels.clone()).await {
            Ok(_) => return Ok(third),
            Err(error) if is_subnet_taken(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Err(EngineError::SubnetsTaken { pool: POOL_TEXT })
}

/// Third octets that networks of the engine overlap already.
async fn taken(docker: &Docker) -> Result<[bool; 256], EngineError> {
    let mut taken = [false; 256];
    for network in docker.all_networks().await? {
        for subnet in network.subnets {
            if let Some((first, last)) = range(&subnet) {
                mark(&mut taken, first, last);
            }
        }
    }
    Ok(taken)
}

/// Whether two subnets are free now.
pub(super) async fn check(docker: &Docker) -> Result<(), EngineError> {
    let taken = taken(docker).await?;
    let free = |parity: usize| (0..256).any(|third| third % 2 == parity && !taken[third]);
    if free(0) && free(1) {
        Ok(())
    } else {
        Err(EngineError::SubnetsTaken { pool: POOL_TEXT })
    }
}

/// First and last address of an IPv4 subnet; `None` for what is none.
fn range(subnet: &str) -> Option<(u32, u32)> {
    let (address, length) = subnet.split_once('/')?;
    let address: u32 = address.parse::<Ipv4Addr>().ok()?.into();
    let length: u32 = length.parse().ok()?;
    if length > 32 {
        return None;
    }
    let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
    Some((address & mask, (address & mask) | !mask))
}

fn mark(taken: &mut [bool; 256], first: u32, last: u32) {
    for third in 0..=255_u8 {
        let start = u32::from(address(third, 0));
        let end = u32::from(address(third, 255));
        if first <= end && start <= last {
            taken[usize::from(third)] = true;
        }
    }
}

/// All third octets, beginning at a place that the run's id decides: parallel runs seldom meet.
fn order(run: &str) -> impl Iterator<Item = u8> + use<> {
    let start = Sha256::digest(run.as_bytes())[0];
    (0..=255_u8).map(move |step| start.wrapping_add(step))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{ids::ShardId, plan::Role as NodeRole};

    #[test]
    fn overlapping_subnets_are_taken() {
        let mut taken = [false; 256];
        for subnet in [
            "10.214.7.0/24",
            "10.214.8.0/23",
            "192.168.0.0/16",
            "fd00::/8",
        ] {
            if let Some((first, last)) = range(subnet) {
                mark(&mut taken, first, last);
            }
        }
        let marked: Vec<_> = (0..256).filter(|third| taken[*third]).collect();
        assert_eq!(marked, [7, 8, 9]);
        let (first, last) = range("10.0.0.0/8").unwrap();
        mark(&mut taken, first, last);
        assert!(taken.iter().all(|taken| *taken));
    }

    #[test]
    fn addresses_are_fixed_and_bounded() {
        let node = |position| NodePlan {
            name: NodeName::of(ShardId(0), position),
            shard: ShardId(0),
            index: position,
            position,
            role: NodeRole::Validator,
            voting_power: 1,
        };
        let subnets = Subnets {
            data: 4,
            management: 5,
        };
        let addresses = subnets.addresses(&[node(0), node(238)]).unwrap();
        let last = addresses[&NodeName::of(ShardId(0), 238)];
        assert_eq!(last.data, Ipv4Addr::new(10, 214, 4, 254));
        assert_eq!(last.management, Ipv4Addr::new(10, 214, 5, 254));
        assert!(subnets.addresses(&[node(239)]).is_err());
    }

    proptest! {
        #[test]
        fn any_subnet_text_gets_an_answer(text in "\\PC{0,30}", length in 0..60_u32) {
            let _ = range(&text);
            if let Some((first, last)) = range(&format!("10.214.3.9/{length}")) {
                prop_assert!(first <= last);
            }
        }
    }
}
