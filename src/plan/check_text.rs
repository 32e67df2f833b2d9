//! The check as text for a terminal.

use std::fmt::{Display, Formatter, Result};

use super::{
    check::{CheckReport, ClockCheck, WindowCheck, precise, round},
    values::{human_size, one_unit},
};
use crate::time::human;

impl Display for CheckReport {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        let length = &self.length;
        writeln!(formatter, "plan {} on profile {}", self.plan, self.profile)?;
        writeln!(
            formatter,
            "length   {} of soak = {} mainnet, {} blocks a shard in all; verdict after {} at the latest",
            human(length.soak),
            human(length.mainnet),
            length.blocks,
            human(length.at_most)
        )?;
        writeln!(
            formatter,
            "{:<27} {:<10} {:<8} {:<10} decided by",
            "window", "wall", "blocks", "mainnet"
        )?;
        for window in &self.windows {
            writeln!(formatter, "{}", window_line(window))?;
        }
        writeln!(
            formatter,
            "{:<22} {:<10} {:<10} {:<20} set by",
            "clock", "canary", "mainnet", "in blocks (mainnet)"
        )?;
        for clock in &self.clocks {
            writeln!(formatter, "{}", clock_line(clock))?;
        }
        writeln!(formatter, "disk     {}", self.disk.says)?;
        let memory = &self.memory;
        writeln!(
            formatter,
            "memory   {} nodes x {}{} + the canary = {} at most{}",
            memory.nodes,
            human_size(memory.each),
            match memory.beside {
                0 => String::new(),
                beside => format!(" + {} for load and services", human_size(beside)),
            },
            human_size(memory.all),
            if memory.disks_in_memory {
                ", disks included (tmpfs is memory)"
            } else {
                ""
            }
        )?;
        writeln!(formatter, "journal  {}", self.journal)?;
        writeln!(formatter, "reserves {}", self.reserve)?;
        for version in &self.versions {
            writeln!(formatter, "version  {version}")?;
        }
        for line in &self.recovery {
            writeln!(formatter, "recovery {line}")?;
        }
        for warning in &self.warnings {
            writeln!(formatter, "warning  {warning}")?;
        }
        for refusal in &self.refusals {
            writeln!(formatter, "REFUSED  {refusal}")?;
        }
        Ok(())
    }
}

fn window_line(window: &WindowCheck) -> String {
    format!(
        "{:<27} {:<10} {:<8} {:<10} {} (of {})",
        window.key,
        precise(window.wall),
        round(window.blocks),
        human(window.mainnet),
        window.decided_by,
        window.terms
    )
}

fn clock_line(clock: &ClockCheck) -> String {
    format!(
        "{:<22} {:<10} {:<10} {:<20} {}{}",
        clock.lever.clock,
        one_unit(clock.lever.canary),
        one_unit(clock.lever.mainnet),
        format!(
            "{} ({})",
            round(clock.ratio_canary),
            round(clock.ratio_mainnet)
        ),
        clock.lever.lever,
        if clock.lever.at_floor {
            ", at its floor"
        } else {
            ""
        }
    )
}
