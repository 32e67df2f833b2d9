//! Who led, below the intervals.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{
    super::svg::{Svg, TimeScale},
    COLOURS, LEADERS, MOST_TIPS,
};
use crate::report::{
    ReportInput,
    curves::{ShardBucket, ShardCurve},
    text::clock,
};

/// Who led, as a coloured strip.
pub(super) fn leaders(input: &ReportInput, curve: &ShardCurve, scale: &TimeScale, svg: &mut Svg) {
    let course = &curve.course;
    let led = |bucket: &ShardBucket| bucket.leader.map(|(leader, _)| leader);
    let turns: Vec<&[ShardBucket]> = course
        .buckets
        .chunk_by(|one, next| led(one) == led(next))
        .collect();
    let named = turns.len() <= MOST_TIPS;
    // Without names one path a colour: hundreds of elements for nothing would slow the page and, live, fill the browser.
    let mut together: BTreeMap<usize, String> = BTreeMap::new();
    let mut begin = 0;
    for turn in turns {
        let (from, to) = (course.starts(begin), course.starts(begin + turn.len()));
        begin += turn.len();
        let Some(leader) = led(&turn[0]) else {
            continue;
        };
        let (x, end) = (scale.x(from), scale.x(to));
        let (width, height) = (end - x, LEADERS.1 - LEADERS.0);
        let colour = usize::from(leader) % COLOURS;
        if named {
            let name = curve.leaders.get(usize::from(leader));
            let tip = name.map_or_else(String::new, |name| {
                format!("{name} from {} UTC", clock(input.wall(from)))
            });
            svg.rectangle(&format!("c{colour}"), (x, LEADERS.0), (width, height), &tip);
        } else {
            let path = together.entry(colour).or_default();
            let _ = write!(
                path,
                "M{x:.1} {}h{:.1}v{height}H{x:.1}Z",
                LEADERS.0,
                width.max(0.5)
            );
        }
    }
    for (colour, path) in together {
        svg.path(&format!("c{colour}"), &path, "");
    }
}
