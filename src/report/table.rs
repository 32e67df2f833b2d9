//! Aligned columns for terminals.

use super::look::{Look, Tone};

/// A table of cells with a heading; columns are as wide as their widest cell.
#[derive(Debug, Clone)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

#[derive(Debug, Clone)]
struct Column {
    title: String,
    right: bool,
}

/// One cell: harmless text and how it looks.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    tone: Option<Tone>,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, tone: None }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl Cell {
    /// A cell in a tone.
    #[must_use]
    pub fn toned(tone: Tone, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            tone: Some(tone),
        }
    }

    /// What it says.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How it looks, if not as everything else.
    #[must_use]
    pub fn tone(&self) -> Option<Tone> {
        self.tone
    }
}

/// Space between columns: wide enough that a column of times does not run into the next.
const GAP: &str = "   ";

impl Table {
    /// A table with these columns; a title that starts with `>` makes its column right-aligned.
    #[must_use]
    pub fn new(titles: &[&str]) -> Self {
        let column = |title: &&str| Column {
            title: title.trim_start_matches('>').to_owned(),
            right: title.starts_with('>'),
        };
        Self {
            columns: titles.iter().map(column).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; cells that are missing are empty, those beyond the columns are not shown.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Whether it has no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines, the heading first, without line ends or trailing space.
    #[must_use]
    pub fn lines(&self, look: Look) -> Vec<String> {
        let width = |index: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(index));
            cells
                .map(|cell| console::measure_text_width(&cell.text))
                .chain([console::measure_text_width(&self.columns[index].title)])
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let heading: Vec<Cell> = self
            .columns
            .iter()
            .map(|column| Cell::toned(Tone::Faint, column.title.clone()))
            .collect();
        std::iter::once(&heading)
            .chain(&self.rows)
            .map(|row| look.fit(&self.line(row, &widths, look)))
            .collect()
    }

    fn line(&self, row: &[Cell], widths: &[usize], look: Look) -> String {
        let mut line = String::new();
        let mut pending = 0;
        for (index, (column, width)) in self.columns.iter().zip(widths).enumerate() {
            let empty = Cell::from("");
            let cell = row.get(index).unwrap_or(&empty);
            let room = width.saturating_sub(console::measure_text_width(&cell.text));
            if index > 0 {
                pending += GAP.len();
            }
            if column.right {
                pending += room;
            }
            if !cell.text.is_empty() {
                // Space is written only before a text, so that no line ends in it.
                line.extend(std::iter::repeat_n(' ', pending));
                pending = 0;
                line.push_str(&match cell.tone {
                    Some(tone) => look.paint(tone, &cell.text),
                    None => cell.text.clone(),
                });
            }
            if !column.right {
                pending += room;
            }
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_with_and_without_colours() {
        let mut table = Table::new(&["shard", ">height", "note"]);
        table.row(vec!["0".into(), "1,234".into(), "".into()]);
        table.row(vec![
            "10".into(),
            "9".into(),
            Cell::toned(Tone::Bad, "stall"),
        ]);
        let plain = table.lines(Look::PLAIN);
        assert_eq!(
            plain,
            [
                "shard   height   note",
                "0        1,234",
                "10           9   stall"
            ]
        );
        let look = Look {
            colour: true,
            width: Some(80),
        };
        for (coloured, plain) in table.lines(look).iter().zip(&plain) {
            assert_eq!(&console::strip_ansi_codes(coloured), plain);
        }
    }
}
