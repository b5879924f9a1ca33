//! The table of guards in `host/ARCHITECTURE.md`.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

use super::guard::Guard;

/// The section that holds the table.
const SECTION: &str = "## Guards";
/// How many rows of a table in Markdown come before its first: the titles, and the line below them.
const ROWS_OF_THE_HEAD: usize = 2;

/// The second column of the table: what each guard is.
pub(crate) fn rows(architecture: &str) -> Result<Vec<String>> {
    let lines = architecture.lines().skip_while(|line| *line != SECTION).skip(1);
    let section = lines.take_while(|line| !line.starts_with("## "));
    let rows = section.filter(|line| line.starts_with('|')).skip(ROWS_OF_THE_HEAD);
    let cell = |row: &str| row.split('|').nth(2).map(|cell| cell.trim().to_owned());
    let rows: Vec<String> =
        rows.map(cell).collect::<Option<_>>().context("a row has no second column")?;
    ensure!(!rows.is_empty(), "no table was found in the section {SECTION:?}");
    Ok(rows)
}

/// Each row has a guard, and each guard a row.
pub(crate) fn in_step(rows: &[String], guards: &[Guard]) -> Result<()> {
    let mut guards_of: BTreeMap<&String, usize> = rows.iter().map(|row| (row, 0)).collect();
    for guard in guards {
        let found: Vec<&String> = rows.iter().filter(|row| row.contains(&guard.row)).collect();
        let &[row] = found.as_slice() else {
            bail!(
                "{:?} of guard {} is in {} rows of the table",
                guard.row,
                guard.name,
                found.len()
            );
        };
        guards_of.entry(row).and_modify(|count| *count += 1);
    }
    let bare: Vec<String> = guards_of
        .iter()
        .filter(|(_, count)| **count == 0)
        .map(|(row, _)| format!("  {row}"))
        .collect();
    ensure!(bare.is_empty(), "no file of host/guards takes these out:\n{}", bare.join("\n"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# A\n## Guards\nProse.\n\n| | guard | tests |\n| --- | --- | --- |\n| I1 | `a` holds | b |\n| I2 | `c` | d |\n## B\n| x | y | z |\n";

    #[test]
    fn the_rows_are_those_of_the_section() {
        assert_eq!(rows(TEXT).unwrap(), ["`a` holds", "`c`"]);
    }

    #[test]
    fn a_row_without_a_file_and_a_file_without_a_row_are_told() {
        let rows = rows(TEXT).unwrap();
        let guard = |row: &str| {
            let text = format!("Why.\nrow {row}\nfalls -p a -- b\na.rs\n- b\n");
            Guard::read("one", &text).unwrap()
        };
        assert!(in_step(&rows, &[guard("`a`"), guard("`c`")]).is_ok());
        for (guards, told) in [
            (vec![guard("`a`")], "no file of host/guards takes these out:\n  `c`"),
            (vec![guard("`a`"), guard("`c`"), guard("`e`")], "\"`e`\" of guard one is in 0 rows"),
            (vec![guard("`")], "\"`\" of guard one is in 2 rows"),
        ] {
            let error = in_step(&rows, &guards).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
