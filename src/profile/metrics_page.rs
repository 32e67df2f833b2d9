//! A Prometheus page into facts, by the names that a profile gives. Pure: bytes in, facts out.
//!
//! The page is a node's word: whatever does not fit is passed over, memory is bounded by the page.

use std::collections::BTreeMap;

use crate::{
    ids::{Height, NodeName, ViewId},
    journal::event::{Event, Figures, Origin, Position},
    plan::MetricNames,
};

/// Steps of a histogram that are kept; more tell nothing that these do not.
const MAX_STEPS: usize = 128;

/// What a page tells of a node: where it stands, and figures. Nothing that it does not name.
#[must_use]
pub fn read(page: &[u8], names: &MetricNames, node: &NodeName) -> Vec<Event> {
    let text = String::from_utf8_lossy(page);
    let page = Page::parse(&text, names);
    let position = Position {
        node: node.clone(),
        origin: Origin::Metrics,
        height: page.count(names.height.as_deref()).map(Height),
        agreeing: page.count(names.agreeing.as_deref()).map(Height),
        view: page.count(names.view.as_deref()).map(ViewId),
        hash: None,
        age: std::time::Duration::ZERO,
    };
    let figures = Figures {
        node: Some(node.clone()),
        pending: page.count(names.pending.as_deref()),
        ready: page.count(names.ready.as_deref()),
        made: page.count(names.made.as_deref()),
        held_back: page.count(names.held_back.as_deref()),
        missed: page.count(names.missed.as_deref()),
        included: page.count(names.included.as_deref()),
        oldest: page.micros(names.oldest.as_deref()),
        inclusion: page.steps(names.inclusion.as_deref()),
        peers: None,
        syncs: page.count(names.syncs.as_deref()),
        sync_time: page.micros(names.sync_time.as_deref()),
    };
    let stands =
        position.height.is_some() || position.agreeing.is_some() || position.view.is_some();
    let empty = Figures {
        node: figures.node.clone(),
        ..Figures::default()
    };
    let mut told = Vec::new();
    told.extend(stands.then_some(Event::Position(position)));
    told.extend((figures != empty).then(|| Event::Figures(Box::new(figures))));
    told
}

/// Values of the samples that somebody asked for.
struct Page<'a> {
    /// Sum of each name, and of each name with its labels.
    values: BTreeMap<&'a str, f64>,
    /// The histogram: upper bound as written to the number at or below it.
    steps: BTreeMap<&'a str, f64>,
}

impl<'a> Page<'a> {
    fn parse(text: &'a str, names: &MetricNames) -> Self {
        let wanted: Vec<&str> = [
            &names.height,
            &names.agreeing,
            &names.view,
            &names.pending,
            &names.ready,
            &names.made,
            &names.held_back,
            &names.missed,
            &names.included,
            &names.oldest,
            &names.syncs,
            &names.sync_time,
        ]
        .into_iter()
        .filter_map(Option::as_deref)
        .collect();
        let mut page = Self {
            values: BTreeMap::new(),
            steps: BTreeMap::new(),
        };
        for line in text.lines() {
            let Some((series, name, value)) = sample(line) else {
                continue;
            };
            let bucket = name.strip_suffix("_bucket");
            if bucket.is_some() && bucket == names.inclusion.as_deref() {
                if let Some(bound) = bound(series)
                    && (page.steps.len() < MAX_STEPS || page.steps.contains_key(bound))
                {
                    *page.steps.entry(bound).or_default() += value;
                }
                continue;
            }
            if wanted.contains(&name) {
                *page.values.entry(name).or_default() += value;
            }
            if series != name && wanted.contains(&series) {
                page.values.insert(series, value);
            }
        }
        page
    }

    fn value(&self, name: Option<&str>) -> Option<f64> {
        let value = *self.values.get(name?)?;
        (value.is_finite() && value >= 0.0).then_some(value)
    }

    fn count(&self, name: Option<&str>) -> Option<u64> {
        self.value(name).map(|value| value as u64)
    }

    fn micros(&self, name: Option<&str>) -> Option<u64> {
        Some((self.value(name)? * micros_of(name?)) as u64)
    }

    /// Steps of the histogram that hold something: upper bound in microseconds, and how many lie in the step.
    fn steps(&self, name: Option<&str>) -> Vec<(u64, u64)> {
        let Some(unit) = name.map(micros_of) else {
            return Vec::new();
        };
        let mut steps: Vec<(u64, f64)> = self
            .steps
            .iter()
            .filter_map(|(bound, count)| {
                let bound = bound.parse::<f64>().ok().filter(|bound| *bound >= 0.0)?;
                // What has no bound has the largest.
                Some(((bound * unit) as u64, *count))
            })
            .collect();
        steps.sort_unstable_by_key(|(bound, _)| *bound);
        let mut below = 0.0;
        let mut told = Vec::new();
        for (bound, at_most) in steps {
            let within = at_most - below;
            below = at_most.max(below);
            if within >= 1.0 {
                told.push((bound, within as u64));
            }
        }
        told
    }
}

/// A sample line: the series with its labels, its name, its value.
fn sample(line: &str) -> Option<(&str, &str, f64)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    // A label's value may hold a space, and what follows the value is a time.
    let (series, rest) = match line.rfind('}') {
        Some(end) => line.split_at(end + 1),
        None => line.split_at(line.find(char::is_whitespace)?),
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    let name = series.split('{').next()?;
    Some((series, name, value))
}

/// The upper bound in a bucket's labels.
fn bound(series: &str) -> Option<&str> {
    let (_, after) = series.split_once("le=\"")?;
    after.split('"').next()
}

/// Microseconds in a unit, which the name's ending tells.
fn micros_of(name: &str) -> f64 {
    let name = name.split('{').next().unwrap_or(name);
    let name = name.strip_suffix("_total").unwrap_or(name);
    if name.ends_with("_microseconds") {
        1.0
    } else if name.ends_with("_milliseconds") {
        1e3
    } else {
        1e6
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::ShardId;

    fn names() -> MetricNames {
        let name = |name: &str| Some(name.to_owned());
        MetricNames {
            height: name("head_height"),
            pending: name("pool"),
            ready: name("pool{state=\"executable\"}"),
            oldest: name("oldest_seconds"),
            sync_time: name("sync_microseconds_total"),
            inclusion: name("inclusion_seconds"),
            ..MetricNames::default()
        }
    }

    const PAGE: &str = "# HELP head_height x\n# TYPE head_height gauge\nhead_height 57\nother 9\n\
        pool{state=\"executable\"} 3\npool{state=\"waiting, long\"} 4 1700000000\noldest_seconds 1.5\n\
        sync_microseconds_total 12345678901234\ninclusion_seconds_bucket{le=\"0.2\"} 5\n\
        inclusion_seconds_bucket{le=\"0.05\"} 2\ninclusion_seconds_bucket{le=\"1\"} 5\n\
        inclusion_seconds_bucket{le=\"+Inf\"} 6\ninclusion_seconds_count 6\ntorn_li";

    #[test]
    fn a_page_is_read_by_the_profiles_names() {
        let node = NodeName::of(ShardId(0), 1);
        let told = read(PAGE.as_bytes(), &names(), &node);
        let [Event::Position(position), Event::Figures(figures)] = &told[..] else {
            panic!("{told:?}")
        };
        assert_eq!(position.height, Some(Height(57)));
        assert_eq!((position.agreeing, position.view), (None, None));
        assert_eq!(
            (figures.pending, figures.ready, figures.oldest),
            (Some(7), Some(3), Some(1_500_000))
        );
        assert_eq!(figures.sync_time, Some(12_345_678_901_234));
        assert_eq!(
            figures.inclusion,
            [(50_000, 2), (200_000, 3), (u64::MAX, 1)]
        );
        assert_eq!(figures.made, None);
    }

    #[test]
    fn a_page_without_any_of_the_names_tells_nothing() {
        let node = NodeName::of(ShardId(0), 1);
        assert_eq!(read(b"up 1\n", &names(), &node), []);
        assert_eq!(read(PAGE.as_bytes(), &MetricNames::default(), &node), []);
        let bad = b"head_height NaN\npool -4\noldest_seconds x\n\xff\xfe{ 7\n";
        assert_eq!(read(bad, &names(), &node), []);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), at in 0usize..400, with in any::<u8>()) {
            let node = NodeName::of(ShardId(0), 1);
            let _ = read(&bytes, &names(), &node);
            let mut page = PAGE.as_bytes().to_vec();
            let length = page.len();
            page[at % length] = with;
            let _ = read(&page, &names(), &node);
        }
    }
}
