//! Arguments about what runs hold of the machine, and about giving it back.

use std::time::Duration;

use clap::Args;

use crate::run::reserving::Reserving;

/// As long as it takes.
const FOR_EVER: &str = "1000days";

/// What a run does that does not fit beside others.
#[derive(Debug, Clone, Args, Default)]
pub struct ReserveOptions {
    /// Wait while other runs hold what this one needs of cores, memory or disk [default: exit 3 and name them; without a
    /// time: as long as it takes]
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = FOR_EVER,
          value_parser = humantime::parse_duration, conflicts_with = "no_reserve")]
    pub wait: Option<Duration>,
    /// Start even if other runs hold what this one needs: for several runs at once on purpose
    #[arg(long, env = "CANARYNET_NO_RESERVE")]
    pub no_reserve: bool,
}

impl ReserveOptions {
    /// What was asked for.
    #[must_use]
    pub fn reserving(&self) -> Reserving {
        match (self.no_reserve, self.wait) {
            (true, _) => Reserving::Anyway,
            (false, Some(most)) => Reserving::OrWait(most),
            (false, None) => Reserving::OrEnd,
        }
    }

    /// The same for a child of this program.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        match self.reserving() {
            Reserving::Anyway => vec!["--no-reserve".to_owned()],
            Reserving::OrWait(most) => {
                vec![format!("--wait={}", humantime::format_duration(most))]
            }
            Reserving::OrEnd => Vec::new(),
        }
    }
}

/// `clean`
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "A run is one's own if its directory is, or was, in this folder of runs (--state). A run whose owner is alive is never touched.\n\nExamples:\n  canarynet clean                what canaries that are gone have left of the runs in this folder\n  canarynet clean smoke/3        this run, also where it was kept on purpose\n  canarynet clean --all          also what was left of runs of other folders and users"
)]
pub struct CleanArguments {
    /// Only this run [default: all runs of this folder whose owner is gone]
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Also runs of other folders and users whose owner is gone
    #[arg(long, conflicts_with = "run")]
    pub all: bool,
    /// Only say what would be removed
    #[arg(long)]
    pub dry_run: bool,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: ReserveOptions,
    }

    #[test]
    fn a_child_is_told_the_same() {
        let parse = |words: &[String]| {
            let words = std::iter::once("soak".to_owned()).chain(words.iter().cloned());
            Line::try_parse_from(words).map(|line| line.options)
        };
        let owned = |word: &str| vec![word.to_owned()];
        for (word, reserving) in [
            ("--no-reserve", Reserving::Anyway),
            ("--wait=90s", Reserving::OrWait(Duration::from_secs(90))),
            ("--wait", Reserving::OrWait(Duration::from_secs(86_400_000))),
        ] {
            let options = parse(&owned(word)).unwrap();
            assert_eq!(options.reserving(), reserving, "{word}");
            let again = parse(&options.words()).unwrap();
            assert_eq!(again.reserving(), reserving, "{word}");
        }
        assert!(parse(&["--wait".to_owned(), "--no-reserve".to_owned()]).is_err());
    }
}
