//! A table of columns: as wide as its cells, or as a terminal has room for.

/// The shortest that a cell is cut to, so that a terminal's line has room for the others.
const CELL_MIN: usize = 6;
/// Between two columns.
const GAP: usize = 2;

/// The width of the terminal that standard output is; `None` where it is none.
pub(crate) fn terminal_width() -> Option<usize> {
    terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0))
}

/// How wide each column is.
#[derive(Debug)]
pub(crate) struct Columns(Vec<usize>);

impl Columns {
    /// As wide as the longest cell of `rows`, of which the first has the titles. With a width, the widest columns are narrower until a
    /// line fits, as far as that goes; the one with the title `whole` is never cut.
    pub(crate) fn new<'r, R: AsRef<[String]> + 'r>(
        rows: impl Iterator<Item = &'r R> + Clone,
        whole: &str,
        width: Option<usize>,
    ) -> Self {
        let mut widths: Vec<usize> = Vec::new();
        for row in rows.clone() {
            let row = row.as_ref();
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        if let Some(width) = width {
            let mut rows = rows;
            let whole = rows.next().and_then(|titles| titles.as_ref().iter().position(|title| title == whole));
            fit(&mut widths, whole, width);
        }
        Self(widths)
    }

    /// One row in a line, without its end. `style` is given each cell's column and text, and must not change its width.
    pub(crate) fn line(&self, row: &[String], style: impl Fn(usize, String) -> String) -> String {
        let mut line = String::new();
        let mut padding = 0;
        let used = row.iter().rposition(|cell| !cell.is_empty()).map_or(0, |last| last + 1);
        for (column, (cell, width)) in row.iter().zip(&self.0).take(used).enumerate() {
            let cell = cut(cell, *width);
            let wide = cell.chars().count();
            line.push_str(&" ".repeat(padding));
            line.push_str(&style(column, cell));
            padding = width.saturating_sub(wide) + GAP;
        }
        line
    }
}

/// Makes the widest columns narrower until a line fits, as far as that goes. The one at `whole` stays.
fn fit(widths: &mut [usize], whole: Option<usize>, most: usize) {
    let gaps = GAP * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > most {
        let others = widths.iter_mut().enumerate().filter(|(column, _)| Some(*column) != whole);
        match others.map(|(_, width)| width).max() {
            Some(widest) if *widest > CELL_MIN => *widest -= 1,
            _ => return,
        }
    }
}

fn cut(cell: &str, most: usize) -> String {
    if cell.chars().count() <= most {
        return cell.to_owned();
    }
    cell.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_cut_no_further_than_they_can_be_read() {
        for (mut widths, most, fitted) in [
            ([4, 17, 200, 3, 3, 3], 10, [4, 17, CELL_MIN, 3, 3, 3]),
            ([60, 17, 40, 40, 30, 40], 80, [11, 17, 11, 11, 10, 10]),
        ] {
            fit(&mut widths, Some(1), most);
            assert_eq!(widths, fitted, "not below what can be read, and as wide as fits");
        }
    }

    #[test]
    fn a_line_is_no_longer_than_the_terminal_and_has_no_blanks_at_its_end() {
        let rows = [["NAME", "KIND", "WHY"], ["a-very-long-name-of-a-thing", "never-cut", ""]]
            .map(|row| row.map(str::to_owned));
        let lines = |width| {
            let columns = Columns::new(rows.iter(), "KIND", width);
            rows.each_ref()
                .map(|row| columns.line(row, |column, cell| if column == 1 { cell.to_lowercase() } else { cell }))
        };
        let name = rows[1][0].as_str();
        assert_eq!(lines(None), [format!("{:<27}  kind       WHY", "NAME"), format!("{name}  never-cut")]);
        assert_eq!(lines(Some(24)), ["NAME      kind       WHY", "a-very-…  never-cut"]);
    }
}
