//! A long series of values in bounded memory: the least value of each stretch, stretches doubling as time goes on.

use std::time::Duration;

use crate::time::Elapsed;

/// Points kept at most; with fewer than half of them the series is doubled again.
const POINTS: usize = 256;
/// The first stretch: short enough for a run of minutes.
const FIRST: Duration = Duration::from_secs(10);

/// Least values over time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series {
    stretch: u64,
    points: Vec<(u64, f64)>,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            stretch: FIRST.as_micros() as u64,
            points: Vec::new(),
        }
    }
}

impl Series {
    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Adds a value.
    pub fn add(&mut self, at: Elapsed, value: f64) {
        let stretch = at.0 / self.stretch;
        match self.points.last_mut() {
            Some((last, least)) if *last == stretch => *least = least.min(value),
            _ => self.points.push((stretch, value)),
        }
        if self.points.len() > POINTS {
            self.stretch *= 2;
            let mut merged: Vec<(u64, f64)> = Vec::with_capacity(POINTS);
            for (stretch, value) in self.points.drain(..) {
                match merged.last_mut() {
                    Some((last, least)) if *last == stretch / 2 => *least = least.min(value),
                    _ => merged.push((stretch / 2, value)),
                }
            }
            self.points = merged;
        }
    }

    /// Growth per second by least squares over the second half, and that half's length; `None` with fewer than six
    /// points there. The first half may still fill what the chain keeps (its retention).
    pub fn late_slope(&self) -> Option<(f64, Duration)> {
        let late = &self.points[self.points.len() / 2..];
        if late.len() < 6 {
            return None;
        }
        let seconds = |stretch: u64| stretch as f64 * self.stretch as f64 / 1e6;
        let count = late.len() as f64;
        let mean_x = late.iter().map(|&(x, _)| seconds(x)).sum::<f64>() / count;
        let mean_y = late.iter().map(|&(_, y)| y).sum::<f64>() / count;
        let (mut above, mut below) = (0.0, 0.0);
        for &(x, y) in late {
            let dx = seconds(x) - mean_x;
            above += dx * (y - mean_y);
            below += dx * dx;
        }
        let span = late.last()?.0 - late.first()?.0;
        Some((above / below, Duration::from_micros(span * self.stretch)))
    }

    /// Mean of the second half less mean of the first; `None` with fewer than four points.
    pub fn growth(&self) -> Option<f64> {
        if self.points.len() < 4 {
            return None;
        }
        let mean = |part: &[(u64, f64)]| {
            part.iter().map(|&(_, value)| value).sum::<f64>() / part.len() as f64
        };
        let (first, second) = self.points.split_at(self.points.len() / 2);
        Some(mean(second) - mean(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slope_of_a_line_and_of_a_flat_saw_in_bounded_memory() {
        let (mut line, mut saw) = (Series::default(), Series::default());
        for second in 0..1_000_000_u64 {
            let at = Elapsed::from_secs(second);
            line.add(at, 5.0 + 3.0 * second as f64);
            saw.add(at, 1000.0 + (second % 7) as f64 * 100.0);
        }
        assert!(line.points.len() <= POINTS);
        let (slope, _) = line.late_slope().unwrap();
        assert!((slope - 3.0).abs() < 1e-3, "{slope}");
        assert!(saw.late_slope().unwrap().0.abs() < 1e-6);
        assert!(saw.growth().unwrap().abs() < 1e-6);
    }

    #[test]
    fn too_few_points_say_nothing() {
        let mut series = Series::default();
        series.add(Elapsed::from_secs(1), 1.0);
        assert_eq!(series.late_slope(), None);
        assert_eq!(series.growth(), None);
    }
}
