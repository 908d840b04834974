//! Tables on a terminal.

use super::Palette;

/// A cell, and the sequence that gives it its colour.
pub struct Cell {
    text: String,
    paint: &'static str,
}

impl Cell {
    /// In a colour of the palette that the table is written by.
    pub fn painted(text: impl Into<String>, paint: &'static str) -> Self {
        let text = text.into();
        Self { text, paint }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::painted(text, "")
    }
}

/// Rows without colour.
pub fn cells(rows: &[Vec<String>]) -> Vec<Vec<Cell>> {
    let row = |row: &Vec<String>| row.iter().map(|text| text.as_str().into()).collect();
    rows.iter().map(row).collect()
}

/// A row of headings.
pub fn heads(names: &[&str], palette: Palette) -> Vec<Cell> {
    let head = |name: &&str| Cell::painted(*name, palette.heading());
    names.iter().map(head).collect()
}

/// Rows as lines, indented by so many columns: two spaces between the columns, each as wide as its widest
/// cell, and no spaces at the end of a line. The last cell of a row may be as long as it is.
pub fn table(rows: &[Vec<Cell>], indent: usize, palette: Palette) -> String {
    let length = |cell: &Cell| cell.text.chars().count();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let followed = rows.iter().filter(|row| row.len() > column + 1);
        followed.map(|row| length(&row[column])).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut gap = indent;
        for (cell, width) in row.iter().zip(&widths) {
            if !cell.text.is_empty() {
                out.push_str(&" ".repeat(gap));
                let off = if cell.paint.is_empty() {
                    ""
                } else {
                    palette.reset()
                };
                out.extend([cell.paint, &cell.text, off]);
                gap = 0;
            }
            gap += width.saturating_sub(length(cell)) + 2;
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Stream;

    fn written(rows: &[&[&str]], indent: usize) -> String {
        let row = |row: &&[&str]| row.iter().map(|cell| Cell::from(*cell)).collect();
        let rows: Vec<Vec<Cell>> = rows.iter().map(row).collect();
        table(&rows, indent, Palette::of(Stream::Stdout))
    }

    #[test]
    fn columns_are_aligned_and_lines_have_no_spaces_at_their_end() {
        let rows: &[&[&str]] = &[
            &["NAME", "V", ""],
            &["long/name", "v1", "x"],
            &["x", "", ""],
        ];
        assert_eq!(written(rows, 0), "NAME       V\nlong/name  v1  x\nx\n");
    }

    #[test]
    fn the_last_cell_of_a_row_takes_the_room_it_needs() {
        let rows: &[&[&str]] = &[
            &["a", "all the rest of it"],
            &["bc", "d", "e"],
            &["", "f", "g"],
        ];
        let text = "  a   all the rest of it\n  bc  d  e\n      f  g\n";
        assert_eq!(written(rows, 2), text);
    }
}
