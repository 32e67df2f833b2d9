//! A part of the page that keeps to its budget.

use crate::report::text::count;

/// A section under construction: lines are refused once its budget is used up.
pub(super) struct Section {
    pub(super) text: String,
    budget: usize,
    refused: usize,
}

/// Room kept in every section for the line that says what was left out.
const NOTICE: usize = 160;

impl Section {
    pub(super) fn new(title: &str, budget: usize) -> Self {
        Self {
            text: format!("\n## {title}\n\n"),
            budget,
            refused: 0,
        }
    }

    pub(super) fn line(&mut self, line: &str) {
        if self.refused == 0 && self.text.len() + line.len() + 1 + NOTICE <= self.budget {
            self.text.push_str(line);
            self.text.push('\n');
        } else {
            self.refused += 1;
        }
    }

    pub(super) fn heading(&mut self, cells: &[&str]) {
        self.line(&format!("| {} |", cells.join(" | ")));
        self.line(&format!("|{}", " --- |".repeat(cells.len())));
    }

    /// A row of cells that are escaped already.
    pub(super) fn row(&mut self, cells: &[String]) {
        self.line(&format!("| {} |", cells.join(" | ")));
    }

    /// Rows as long as there is room; the rest is counted without being rendered.
    pub(super) fn rows<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        cells: impl Fn(T) -> Vec<String>,
    ) {
        for item in items {
            if self.refused == 0 {
                self.row(&cells(item));
            } else {
                self.refused += 1;
            }
        }
    }

    pub(super) fn finish(mut self, left_out: usize, place: &str) -> String {
        let left_out = left_out + self.refused;
        if left_out > 0 {
            self.text.push_str(&format!(
                "\nand {} more: see `{place}`.\n",
                count(left_out as u64)
            ));
        }
        self.text
    }
}
