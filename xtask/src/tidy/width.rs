//! A line that fits beside another file. The formatter leaves long comments and strings alone.

use super::finding::Findings;
use super::source::{Source, numbered};

const COLUMNS_MAX: usize = 100;

pub(super) fn check(source: &Source, findings: &mut Findings) {
    if !source.is_rust() {
        return;
    }
    for (number, line) in numbered(&source.text) {
        let columns = line.chars().count();
        if columns > COLUMNS_MAX && !is_address(line) {
            let message = format!("{columns} columns, at most {COLUMNS_MAX}");
            findings.error(&source.path, number, message);
        }
    }
}

/// A comment that is one web address, with a label at most: it cannot be broken.
fn is_address(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("//") && line.contains("://") && line.split_whitespace().count() <= 3
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_line_of_101_columns_is_refused() {
        let text = format!("{}\n{}\n", "x".repeat(100), "x".repeat(101));
        assert_eq!(Findings::of(check, "src/a.rs", &text), [(2, Level::Error)]);
    }

    #[test]
    fn a_long_address_is_let_through_only_alone() {
        let address = format!("https://example.org/{}", "x".repeat(100));
        let alone = format!("//! [1]: {address}\n");
        let in_text = format!("// as is said at {address}\n");
        assert_eq!(Findings::of(check, "src/a.rs", &alone), []);
        assert_eq!(Findings::of(check, "src/a.rs", &in_text), [(1, Level::Error)]);
    }
}
