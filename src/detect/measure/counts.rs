//! How a histogram is kept: each step that something was counted in, with its count. For `serde(with)`.

use hdrhistogram::Histogram;
use serde::{Deserialize as _, Deserializer, Serializer};

use super::shard::histogram;

pub(super) fn serialize<S: Serializer>(
    counted: &Histogram<u32>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let steps: Vec<(u64, u32)> = counted
        .iter_recorded()
        .map(|step| (step.value_iterated_to(), step.count_at_value()))
        .collect();
    serializer.collect_seq(steps)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Histogram<u32>, D::Error> {
    let mut counted = histogram();
    for (value, count) in Vec::<(u64, u32)>::deserialize(deserializer)? {
        // Any value of a step counts in that step; what is beyond the bounds was counted in the last one.
        counted.saturating_record_n(value, count);
    }
    Ok(counted)
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::detect::kept;

    #[derive(Serialize, Deserialize)]
    struct Held(#[serde(with = "super")] Histogram<u32>);

    #[test]
    fn every_count_comes_back_in_its_step() {
        let mut counted = histogram();
        for value in (1..3_000).chain([40_000, 41_234, 9_999_999, 36_000_000]) {
            counted.saturating_record_n(value, (value % 7 + 1) as u32);
        }
        let kept = kept::write(&Held(counted.clone())).unwrap();
        let Held(back) = kept::read(&kept).unwrap();
        assert_eq!(back.len(), counted.len());
        for share in 0..=1_000 {
            let share = f64::from(share) / 1_000.0;
            let (value, known) = (
                back.value_at_quantile(share),
                counted.value_at_quantile(share),
            );
            assert_eq!(value, known, "{share}");
        }
        assert_eq!(kept::write(&Held(back)).unwrap(), kept);
    }

    #[test]
    fn an_empty_one_stays_empty() {
        let kept = kept::write(&Held(histogram())).unwrap();
        assert_eq!(kept.len(), 1);
        assert!(kept::read::<Held>(&kept).unwrap().0.is_empty());
    }
}
