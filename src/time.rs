//! Clocks: the run's own clock, wall time, and windows written as durations, blocks or mainnet time.
//!
//! This is the only module of the core that reads a clock ([`RunClock`]); everything that judges takes "now"
//! from a journal entry's [`Elapsed`].

use std::{
    fmt,
    str::FromStr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// Time since the run started, in microseconds of the monotonic clock.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Elapsed(pub u64);

impl Elapsed {
    /// From seconds; for tests and tables.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds * 1_000_000)
    }

    /// From milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000)
    }

    /// Time from `earlier` to this moment; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// As a duration since the start of the run.
    #[must_use]
    pub fn as_duration(self) -> Duration {
        Duration::from_micros(self.0)
    }
}

impl std::ops::Add<Duration> for Elapsed {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(whole_micros(duration)))
    }
}

impl std::ops::Sub<Duration> for Elapsed {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(whole_micros(duration)))
    }
}

/// A duration in whole microseconds, the longest ones cut. Without the 128 bits of the standard library's, which cost
/// several times as much where every entry of a journal comes by.
#[must_use]
pub const fn whole_micros(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_mul(1_000_000)
        .saturating_add(duration.subsec_micros() as u64)
}

/// A duration in nanoseconds, the longest ones (of centuries) cut.
#[must_use]
pub const fn whole_nanos(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(duration.subsec_nanos() as u64)
}

/// Wall time in milliseconds since 1970-01-01 UTC; printed as RFC 3339.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct WallTime(pub u64);

impl WallTime {
    /// This moment moved by a duration.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(duration.as_secs().saturating_mul(1_000))
                .saturating_add(u64::from(duration.subsec_millis())),
        )
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // humantime panics beyond the year 9999, and this value may come from a damaged file.
        let millis = self.0.min(253_402_300_799_000);
        humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(millis)).fmt(formatter)
    }
}

/// The clock of a run: the one place where time enters.
#[derive(Debug, Clone, Copy)]
pub struct RunClock {
    origin: Instant,
    offset: Duration,
}

impl RunClock {
    /// Starts a clock at zero.
    #[must_use]
    pub fn start() -> Self {
        Self {
            origin: Instant::now(),
            offset: Duration::ZERO,
        }
    }

    /// Continues the clock of a run that was re-attached; `offset` is the elapsed time it has reached.
    #[must_use]
    pub fn resume(offset: Duration) -> Self {
        Self {
            origin: Instant::now(),
            offset,
        }
    }

    /// Time since the run started.
    #[must_use]
    pub fn elapsed(&self) -> Elapsed {
        Elapsed::default() + (self.origin.elapsed() + self.offset)
    }

    /// Wall time now.
    #[must_use]
    pub fn wall() -> WallTime {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        WallTime(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A day on mainnet, in mainnet time.
pub const MAINNET_DAY: Duration = Duration::from_secs(86_400);

/// The clocks of a chain as in force in the canary, and their mainnet values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clocks {
    /// B: the canary's block interval.
    #[serde(with = "micros")]
    pub block_interval: Duration,
    /// Mainnet's block interval.
    #[serde(with = "micros")]
    pub mainnet_block_interval: Duration,
    /// V: the first view-change timeout, as in force in the canary.
    #[serde(with = "micros")]
    pub view_change_timeout: Duration,
    /// S: the view-change slot, zero if the chain has none.
    #[serde(with = "micros")]
    pub view_change_slot: Duration,
    /// V_max: the longest view-change timeout in force.
    #[serde(with = "micros")]
    pub view_change_timeout_max: Duration,
}

impl Clocks {
    /// Mainnet interval over canary interval.
    #[must_use]
    pub fn acceleration(&self) -> f64 {
        self.mainnet_block_interval.as_secs_f64() / self.block_interval.as_secs_f64().max(1e-9)
    }

    /// Wall time of this many blocks.
    #[must_use]
    pub fn blocks(&self, count: u64) -> Duration {
        self.block_interval
            .saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Blocks that mainnet makes in this span.
    #[must_use]
    pub fn mainnet_blocks(&self, span: Duration) -> f64 {
        span.as_secs_f64() / self.mainnet_block_interval.as_secs_f64().max(1e-9)
    }

    /// Wall time in the canary of a span of mainnet time.
    #[must_use]
    pub fn from_mainnet(&self, span: Duration) -> Duration {
        span.div_f64(self.acceleration())
    }

    /// Mainnet time of a span of wall time in the canary.
    #[must_use]
    pub fn to_mainnet(&self, span: Duration) -> Duration {
        let exact = Duration::try_from_secs_f64(span.as_secs_f64() * self.acceleration())
            .unwrap_or(Duration::MAX);
        // Whole microseconds, as they are written: what is read again is the same.
        Duration::from_micros(u64::try_from(exact.as_micros()).unwrap_or(u64::MAX))
    }
}

/// A window or threshold as people write it: `30s`, `20 blocks` or `1m mainnet`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// Wall time.
    Wall(Duration),
    /// This many block intervals.
    Blocks(u64),
    /// Mainnet time.
    Mainnet(Duration),
}

impl Window {
    /// The window in wall time of the canary.
    #[must_use]
    pub fn resolve(self, clocks: &Clocks) -> Duration {
        match self {
            Self::Wall(duration) => duration,
            Self::Blocks(count) => clocks.blocks(count),
            Self::Mainnet(span) => clocks.from_mainnet(span),
        }
    }
}

/// Why a text is no [`Window`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no span of time: write a duration (`30s`), blocks (`20 blocks`) or mainnet time (`1m mainnet`)"
)]
pub struct WindowError {
    text: String,
}

impl FromStr for Window {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, WindowError> {
        let error = || WindowError {
            text: text.chars().take(80).collect(),
        };
        let trimmed = text.trim();
        for unit in ["blocks", "block"] {
            if let Some(count) = trimmed.strip_suffix(unit) {
                return count
                    .trim()
                    .replace('_', "")
                    .parse()
                    .map(Self::Blocks)
                    .map_err(|_| error());
            }
        }
        if let Some(span) = trimmed.strip_suffix("mainnet") {
            return humantime::parse_duration(span.trim())
                .map(Self::Mainnet)
                .map_err(|_| error());
        }
        humantime::parse_duration(trimmed)
            .map(Self::Wall)
            .map_err(|_| error())
    }
}

impl fmt::Display for Window {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wall(duration) => humantime::format_duration(*duration).fmt(formatter),
            Self::Blocks(count) => write!(formatter, "{count} blocks"),
            Self::Mainnet(span) => {
                write!(formatter, "{} mainnet", humantime::format_duration(*span))
            }
        }
    }
}

impl Serialize for Window {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Window {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Window".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A duration (30s), blocks (20 blocks) or mainnet time (1m mainnet)."
        })
    }
}

/// A span of time for people: at most two units, so `8h 13m`, `1.5s`, `13.3 days`.
#[must_use]
pub fn human(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    match seconds {
        s if s < 0.001 => format!("{:.0} us", s * 1e6),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 60.0 => format!("{s:.1} s"),
        s if s < 3600.0 => format!("{}m{:02}s", (s / 60.0) as u64, (s % 60.0) as u64),
        s if s < 86_400.0 => format!("{}h{:02}m", (s / 3600.0) as u64, (s % 3600.0 / 60.0) as u64),
        s if s < 86_400.0 * 365.0 => format!("{:.1} days", s / 86_400.0),
        s => format!("{:.1} years", s / (86_400.0 * 365.25)),
    }
}

/// Serde of a [`Duration`] as whole microseconds.
pub mod micros {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes whole microseconds.
    ///
    /// # Errors
    /// Only what the serializer itself reports.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
    }

    /// Reads whole microseconds.
    ///
    /// # Errors
    /// When the value is no unsigned integer.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clocks() -> Clocks {
        Clocks {
            block_interval: Duration::from_millis(200),
            mainnet_block_interval: Duration::from_secs(8),
            view_change_timeout: Duration::from_millis(675),
            view_change_slot: Duration::ZERO,
            view_change_timeout_max: Duration::from_millis(2_700),
        }
    }

    #[test]
    fn one_mainnet_minute_at_40x_is_a_second_and_a_half() {
        assert!((clocks().acceleration() - 40.0).abs() < 1e-9);
        let page: Window = "1m mainnet".parse().unwrap();
        assert_eq!(page.resolve(&clocks()), Duration::from_millis(1_500));
    }

    #[test]
    fn windows_round_trip_and_bad_ones_are_refused() {
        for text in ["30s", "20 blocks", "1m mainnet"] {
            let window: Window = text.parse().unwrap();
            assert_eq!(window.to_string().parse::<Window>().unwrap(), window);
        }
        for bad in [
            "",
            "blocks",
            "-3 blocks",
            "3",
            "five minutes",
            "1m mainnett",
        ] {
            assert!(bad.parse::<Window>().is_err(), "{bad:?}");
        }
    }
}
