//! How much faster than mainnet the network was.

use super::{
    super::{
        judgement::{AccelerationView, ShardView},
        world::World,
    },
    Measures,
};
use crate::plan::Plan;

impl Measures {
    /// By the mean intervals of all shards; mainnet time is that of the shard with the fewest blocks.
    pub(super) fn acceleration(
        &self,
        plan: &Plan,
        world: &World,
        shards: &[ShardView],
    ) -> AccelerationView {
        let mainnet = plan.clocks.mainnet_block_interval.as_secs_f64();
        let ratios: Vec<f64> = shards
            .iter()
            .filter(|shard| !shard.whole.mean.is_zero())
            .map(|shard| mainnet / shard.whole.mean.as_secs_f64())
            .collect();
        let blocks = self
            .shards
            .iter()
            .zip(&world.shards)
            .map(|(measure, shard)| match measure.soak {
                Some(((first, _), (last, _))) => last.0.saturating_sub(first.0),
                None => measure.blocks(shard),
            })
            .min()
            .unwrap_or(0);
        AccelerationView {
            asked: plan.speedup,
            measured: ratios.iter().sum::<f64>() / ratios.len().max(1) as f64,
            slowest: ratios.iter().copied().min_by(f64::total_cmp).unwrap_or(0.0),
            mainnet: plan
                .clocks
                .mainnet_block_interval
                .saturating_mul(u32::try_from(blocks).unwrap_or(u32::MAX)),
        }
    }
}
