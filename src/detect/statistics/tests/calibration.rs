//! Calibration: how often a trend is seen where there is none, and how soon one is seen where there is.
//!
//! The rates are printed (`cargo test calibration -- --nocapture`) and bounded. Noise is drawn from a fixed seed.

use crate::{
    detect::statistics::{Confidence, Least, Line, Windows, established},
    ids::Seq,
    time::Elapsed,
};

/// A small generator (SplitMix64) with normal deviates.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 to 1.
    fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.unit().max(1e-300).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// A process without a trend: standard deviation (or amplitude) about 1.
#[derive(Debug, Clone, Copy)]
enum Noise {
    /// Remembers this share of its last value; 1 is a random walk.
    Memory(f64),
    /// A ramp of this many points that falls back, with a little noise.
    Saw(f64),
    /// Grows by compaction debt and is compacted every so many points, to a level that varies.
    Compaction(usize),
    /// A wave of this many points.
    Wave(f64),
    /// Rises to full over this share of the series, and is flat.
    Fills(f64),
    /// One step up at this share of the series.
    Step(f64),
}

fn series(noise: Noise, count: usize, random: &mut Random) -> Vec<(f64, f64)> {
    let phase = random.unit();
    let mut state = match noise {
        // From its own distribution, not from zero.
        Noise::Memory(share) if share < 1.0 => random.normal() / (1.0 - share * share).sqrt(),
        _ => 0.0,
    };
    (0..count)
        .map(|place| {
            let x = place as f64;
            let y = match noise {
                Noise::Memory(share) => {
                    state = share * state + random.normal();
                    state
                }
                Noise::Saw(period) => (x / period + phase).fract() + 0.05 * random.normal(),
                Noise::Compaction(period) => {
                    state += 0.5 + random.unit();
                    if (place + (phase * period as f64) as usize).is_multiple_of(period) {
                        state = 3.0 * random.unit();
                    }
                    state
                }
                Noise::Wave(period) => {
                    (std::f64::consts::TAU * (x / period + phase)).sin() + 0.1 * random.normal()
                }
                Noise::Fills(share) => {
                    (x / (share * count as f64)).min(1.0) * 20.0 + random.normal()
                }
                Noise::Step(share) => {
                    f64::from(u8::from(x > share * count as f64)) * 20.0 + random.normal()
                }
            };
            (x, y)
        })
        .collect()
}

/// Series of each kind: a rate is known to within a few percent.
const RUNS: usize = 120;

/// Share of series in which a rule sees a rise.
fn rate(noise: Noise, count: usize, sees: impl Fn(&[(f64, f64)]) -> bool) -> f64 {
    let mut random = Random(7);
    let seen = (0..RUNS)
        .filter(|_| sees(&series(noise, count, &mut random)))
        .count();
    seen as f64 / RUNS as f64
}

/// Mann and Kendall's test as it is usually done, two-sided at 5 %: for comparison only.
fn mann_kendall(points: &[(f64, f64)]) -> bool {
    let count = points.len() as f64;
    let mut score = 0.0;
    for (place, (_, y)) in points.iter().enumerate() {
        for (_, later) in &points[place + 1..] {
            score += f64::from(later.total_cmp(y) as i8);
        }
    }
    let variance = count * (count - 1.0) * (2.0 * count + 5.0) / 18.0;
    score.abs() / variance.sqrt() > 1.959_964
}

fn excludes_zero(points: &[(f64, f64)], confidence: Confidence) -> bool {
    let (low, high) = Line::of(points, 0.0).unwrap().interval(confidence);
    low > 0.0 || high < 0.0
}

#[test]
fn calibration_of_the_interval_under_autocorrelation() {
    println!(
        "no trend: share of series whose 95 % interval excludes zero (a bare Mann-Kendall test beside it)"
    );
    for (noise, most) in [
        (Noise::Memory(0.0), 0.08),
        (Noise::Memory(0.5), 0.08),
        (Noise::Memory(0.9), 0.12),
        (Noise::Memory(0.98), 0.12),
        (Noise::Memory(1.0), 0.15),
        (Noise::Saw(7.0), 0.02),
        (Noise::Compaction(15), 0.05),
        (Noise::Wave(24.0), 0.02),
    ] {
        for count in [32, 64, 128] {
            let ours = rate(noise, count, |points| {
                excludes_zero(points, Confidence::Report)
            });
            let bare = rate(noise, count, mann_kendall);
            println!(
                "  {noise:?} x {count}: {:.1} % ({:.1} %)",
                ours * 100.0,
                bare * 100.0
            );
            assert!(ours <= most, "{noise:?} x {count}");
        }
    }
}

#[test]
fn calibration_of_false_alarms() {
    println!("no trend: share of series in which a growth is established");
    for (noise, most) in [
        (Noise::Memory(0.0), 0.0),
        (Noise::Memory(0.5), 0.0),
        (Noise::Memory(0.9), 0.02),
        (Noise::Memory(0.98), 0.03),
        (Noise::Memory(1.0), 0.04),
        (Noise::Saw(7.0), 0.0),
        (Noise::Saw(24.0), 0.0),
        (Noise::Compaction(15), 0.0),
        (Noise::Compaction(24), 0.0),
        (Noise::Wave(24.0), 0.0),
        (Noise::Fills(0.3), 0.0),
        (Noise::Fills(0.7), 0.02),
        (Noise::Step(0.5), 0.0),
        (Noise::Step(0.9), 0.0),
    ] {
        // A tooth or wave that is longer than the series is a rise and nothing else: more than one of them is asked.
        for count in [64, 128] {
            let alarms = rate(noise, count, |points| {
                established(points, 0.0, 0.0).is_some()
            });
            println!("  {noise:?} x {count}: {:.1} %", alarms * 100.0);
            assert!(alarms <= most, "{noise:?} x {count}");
        }
    }
}

#[test]
fn calibration_of_power() {
    println!(
        "growth of so many standard deviations over 64 windows: share of series in which it is established"
    );
    for (noise, rise, least) in [
        (Noise::Memory(0.0), 1.0, 0.0),
        (Noise::Memory(0.0), 4.0, 0.6),
        (Noise::Memory(0.0), 8.0, 0.95),
        (Noise::Memory(0.5), 8.0, 0.7),
        (Noise::Memory(0.5), 16.0, 0.95),
        (Noise::Memory(0.9), 16.0, 0.0),
        (Noise::Memory(0.9), 64.0, 0.95),
        (Noise::Saw(7.0), 1.0, 0.9),
    ] {
        let seen = rate(noise, 64, |points| {
            let grow = |(x, y): &(f64, f64)| (*x, y + rise * x / 64.0);
            let grown: Vec<_> = points.iter().map(grow).collect();
            established(&grown, 0.0, 0.0).is_some()
        });
        println!("  {noise:?} + {rise}: {:.0} %", seen * 100.0);
        assert!(seen >= least, "{noise:?} + {rise}");
    }
}

/// Observations before the first look: the detectors' shortest stretch, at a sample each second and five blocks.
const LEAST: f64 = 200.0;

/// Share of whole histories in which three looks in a row see a growth, and after how many observations. A completed
/// window is a look, as the detectors do it, but only one in eight is taken here, for time.
fn rate_over_histories(noise: Noise, observations: usize, grow: f64) -> (f64, f64) {
    const HISTORIES: usize = 40;
    let mut random = Random(11);
    let (mut seen, mut when) = (0, 0);
    for _ in 0..HISTORIES {
        let mut windows = Windows::new(1);
        let (mut looks, mut row) = (0, 0);
        for (x, y) in series(noise, observations, &mut random) {
            // Least values are whole numbers.
            let value = (1e6 + 1e3 * (y + grow * x)) as u64;
            let point = Least {
                least: [value],
                at: Elapsed::default(),
                seq: Seq(0),
            };
            looks += u32::from(windows.add(x as u64, point));
            if looks < 8 || x < LEAST {
                continue;
            }
            looks = 0;
            let points: Vec<(f64, f64)> = windows
                .complete()
                .iter()
                .map(|(index, point)| ((index * windows.length()) as f64, point.least[0] as f64))
                .collect();
            let line = established(&points, 1.0, 0.0).filter(|line| line.to - line.from >= LEAST);
            row = if line.is_some() { row + 1 } else { 0 };
            if row == 3 {
                seen += 1;
                when += x as usize;
                break;
            }
        }
    }
    let found = f64::from(seen) / HISTORIES as f64;
    (found, when as f64 / f64::from(seen.max(1)))
}

#[test]
fn calibration_over_whole_histories() {
    println!("no trend, 1500 observations: share of histories with an alarm at any look");
    for (noise, most) in [
        (Noise::Memory(0.0), 0.0),
        (Noise::Memory(0.9), 0.05),
        (Noise::Saw(40.0), 0.0),
        (Noise::Compaction(50), 0.0),
        (Noise::Wave(60.0), 0.0),
    ] {
        let (alarms, _) = rate_over_histories(noise, 1500, 0.0);
        println!("  {noise:?}: {:.1} %", alarms * 100.0);
        assert!(alarms <= most, "{noise:?}");
    }
    println!("growth over 1500 observations: share found, after how many on average");
    for (noise, grow, least) in [
        (Noise::Memory(0.0), 0.01, 1.0),
        (Noise::Memory(0.0), 0.003, 1.0),
        (Noise::Memory(0.9), 0.03, 1.0),
        (Noise::Saw(40.0), 0.003, 1.0),
    ] {
        let (found, when) = rate_over_histories(noise, 1500, grow);
        println!(
            "  {noise:?} + {grow} each: {:.0} % (at {when:.0})",
            found * 100.0
        );
        assert!(found >= least, "{noise:?} + {grow}");
    }
}
