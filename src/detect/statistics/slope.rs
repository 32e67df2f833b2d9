//! The slope of a series, and an interval for it that is honest under autocorrelation.
//!
//! The slope is Theil and Sen's: the median over the slopes of all pairs of points, which single steps and spikes do not
//! move. Its interval must not take the points for independent: the usual test (Mann and Kendall's) then finds trends
//! in two of three series without any. So the residuals are modelled as a process that remembers a share of its
//! last value. That share is estimated, corrected for its known bias, and taken for 1 when it cannot be told from 1: a
//! sum of random steps, the hardest case, in which only the mean step speaks of a trend (the rule of Perron and Yabu).
//! What memory is left in the innovations (slow waves, teeth) counts through their long-run variance.

/// Fewer points say nothing: a third of them is then no line.
pub const LEAST_POINTS: usize = 20;

/// A memory within so much, over the number of points, of the whole cannot be told from it: of 100 random walks without a
/// trend 95 seem to remember at least that much (the distribution of Dickey and Fuller).
const INDISTINCT: f64 = 16.0;

/// A line through a random walk knows the walk's drift so much worse than its mean step does (least squares: 5 to 6).
const WALK_EFFICIENCY: f64 = 5.0 / 6.0;

/// How sure to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confidence {
    /// 95 %: what a report tells people.
    Report,
    /// 99.99 %: what wakes them. A run looks at a hundred series again and again, so that one false alarm in twenty
    /// looks would be many a day.
    Alarm,
}

impl Confidence {
    /// Standard deviations of the normal distribution to either side.
    fn deviations(self) -> f64 {
        match self {
            Self::Report => 1.959_964,
            Self::Alarm => 3.890_592,
        }
    }
}

/// A straight line through a series, positions and values in the series' own units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// Growth for each step of position.
    pub slope: f64,
    /// Standard error of the slope.
    pub error: f64,
    /// Degrees of freedom of that error.
    pub freedom: f64,
    /// The line at the last position.
    pub end: f64,
    /// First position.
    pub from: f64,
    /// Last position.
    pub to: f64,
    /// Points that it rests on.
    pub points: usize,
}

impl Line {
    /// The line through points in order of position; `None` with too few. Values come in steps of `quantum`: no line is
    /// known better than by one such step more or less.
    #[must_use]
    pub fn of(points: &[(f64, f64)], quantum: f64) -> Option<Self> {
        let (first, last) = (points.first()?, points.last()?);
        if points.len() < LEAST_POINTS {
            return None;
        }
        let slope = theil_sen(points)?;
        let mut residuals: Vec<f64> = points.iter().map(|(x, y)| y - slope * x).collect();
        let level = median(&mut residuals.clone())?;
        for residual in &mut residuals {
            *residual -= level;
        }
        let memory = memory(&residuals);
        let steps = (points.len() - 1) as f64;
        let innovations: Vec<f64> = pairs(&residuals, memory).collect();
        let positions: Vec<f64> = points.iter().map(|(x, _)| *x).collect();
        let levers: Vec<f64> = pairs(&positions, memory).collect();
        // With full memory the level is lost in the differences, and the slope is all that is estimated.
        let (centre, efficiency) = if memory < 1.0 {
            (mean(&levers), 1.0)
        } else {
            (0.0, WALK_EFFICIENCY)
        };
        let leverage: f64 = levers.iter().map(|lever| (lever - centre).powi(2)).sum();
        let variance = long_run_variance(&innovations) * steps / (steps - 2.0) / efficiency;
        let span = last.0 - first.0;
        if leverage <= 0.0 || span <= 0.0 {
            return None;
        }
        Some(Self {
            slope,
            error: (variance / leverage).sqrt().max(quantum / span),
            freedom: steps / 4.0,
            end: level + slope * last.0,
            from: first.0,
            to: last.0,
            points: points.len(),
        })
    }

    /// Bounds of the slope.
    #[must_use]
    pub fn interval(&self, confidence: Confidence) -> (f64, f64) {
        let half = self.error * student(confidence.deviations(), self.freedom);
        (self.slope - half, self.slope + half)
    }

    /// Growth from the first to the last position.
    #[must_use]
    pub fn rise(&self) -> f64 {
        self.slope * (self.to - self.from)
    }
}

/// The line of a growth that is beyond doubt and goes on: the whole series, its later half or its later quarter rises,
/// far beyond chance and in each of its thirds, in the last one at a third of the pace at least; and it leads to where
/// the series never was before. What fills up and is full, steps once or swings does not, nor a rise below `least`.
#[must_use]
pub fn established(points: &[(f64, f64)], quantum: f64, least: f64) -> Option<Line> {
    [1, 2, 4].into_iter().find_map(|part| {
        let (before, later) = points.split_at(points.len() - points.len() / part);
        let third = later.len() / 3;
        let (begin, rest) = later.split_at(third);
        let (middle, end) = rest.split_at(rest.len() - third);
        let level =
            |part: &[(f64, f64)]| part.iter().map(|(_, y)| y).sum::<f64>() / part.len() as f64;
        let levels = [level(begin), level(middle), level(end)];
        // Nearly every look ends here: two thirds of a rise lie between the means of the first and the last third.
        if !levels.is_sorted() || levels[2] - levels[0] < least / 2.0 {
            return None;
        }
        // A third has a ninth of the pairs of the whole, and of what only varies it falls every other time.
        let rises = |part: &[(f64, f64)]| theil_sen(part).filter(|slope| *slope > 0.0);
        let lately = rises(end)?;
        if rises(begin).is_none() || rises(middle).is_none() {
            return None;
        }
        let line = Line::of(later, quantum)?;
        let (low, _) = line.interval(Confidence::Alarm);
        let goes_on = lately > line.slope / 3.0;
        let found = low > 0.0 && line.rise() >= least && line.end >= beyond(before) && goes_on;
        found.then_some(line)
    })
}

/// What a series has to come to that is said to leave its range: half of the range above it.
fn beyond(points: &[(f64, f64)]) -> f64 {
    let values = || points.iter().map(|(_, y)| *y);
    let low = values().min_by(f64::total_cmp);
    let high = values().max_by(f64::total_cmp);
    low.zip(high)
        .map_or(f64::NEG_INFINITY, |(low, high)| high + (high - low) / 2.0)
}

/// Median of the slopes of all pairs.
pub(super) fn theil_sen(points: &[(f64, f64)]) -> Option<f64> {
    let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
    for (place, (x, y)) in points.iter().enumerate() {
        for (other_x, other_y) in &points[place + 1..] {
            if other_x > x {
                slopes.push((other_y - y) / (other_x - x));
            }
        }
    }
    median(&mut slopes)
}

/// The median; the values are reordered.
#[must_use]
pub fn median(values: &mut [f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let (middle, odd) = (values.len() / 2, values.len() % 2 == 1);
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let lower = below.iter().copied().max_by(f64::total_cmp);
    Some(match lower {
        Some(lower) if !odd => f64::midpoint(lower, *upper),
        _ => *upper,
    })
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// What is new in each value if it remembers this share of the one before.
fn pairs(values: &[f64], memory: f64) -> impl Iterator<Item = f64> {
    values
        .windows(2)
        .map(move |pair| pair[1] - memory * pair[0])
}

/// The share of its last value that a process without a trend remembers: 0 to 1.
fn memory(residuals: &[f64]) -> f64 {
    let count = residuals.len() as f64;
    let power: f64 = residuals.iter().map(|value| value * value).sum();
    if power <= 0.0 {
        return 0.0;
    }
    let product: f64 = residuals.windows(2).map(|pair| pair[0] * pair[1]).sum();
    // A line takes some of the memory with it: the estimate is too low by about (2 + 4 memory) / count.
    let memory = (count * product / power + 2.0) / (count - 4.0);
    if memory > 1.0 - INDISTINCT / count {
        1.0
    } else {
        memory.max(0.0)
    }
}

/// Variance that counts for a mean: covariances up to a distance are added with falling weight (Bartlett's), and no
/// less than the plain variance remains.
fn long_run_variance(values: &[f64]) -> f64 {
    let count = values.len();
    let reach = (count as f64).sqrt() as usize;
    let covariance = |distance: usize| {
        let products = values[distance..].iter().zip(values);
        products
            .map(|(later, earlier)| later * earlier)
            .sum::<f64>()
            / count as f64
    };
    let plain = covariance(0);
    let weighted = |distance: usize| {
        let weight = 1.0 - distance as f64 / (reach + 1) as f64;
        2.0 * weight * covariance(distance)
    };
    (plain + (1..=reach).map(weighted).sum::<f64>()).max(plain)
}

/// The quantile of Student's distribution that belongs to a quantile of the normal one (Cornish and Fisher's expansion:
/// exact to a percent from four degrees of freedom, and wide below).
pub(in crate::detect) fn student(z: f64, freedom: f64) -> f64 {
    let nu = freedom.max(3.0);
    let (z3, z5, z7) = (z.powi(3), z.powi(5), z.powi(7));
    z + (z3 + z) / (4.0 * nu)
        + (5.0 * z5 + 16.0 * z3 + 3.0 * z) / (96.0 * nu.powi(2))
        + (3.0 * z7 + 19.0 * z5 + 17.0 * z3 - 15.0 * z) / (384.0 * nu.powi(3))
}
