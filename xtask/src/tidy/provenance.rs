//! Sources say what holds, not when, with what or on whose machine they were written.
//!
//! Dates belong to the changelog and to decisions; a date in quotes or with a time is data.

use super::finding::Findings;
use super::source::{Language, Source, numbered};

/// Phrases that name an author or a tool instead of a reason.
const PHRASES: &[&str] = &["co-authored-by", "generated with", "@author", "@generated"];

/// The first folder of a path that exists on one machine only.
const HOMES: &[&str] = &["home", "root", "Users"];

pub(super) fn check(source: &Source, findings: &mut Findings) {
    for (number, line) in numbered(&source.text) {
        if let Some(home) = HOMES.iter().find(|home| names_folder(line, home)) {
            findings.error(&source.path, number, format!("a path below '/{home}' of one machine"));
        }
    }
    // A date in a manifest or a policy is data: a deadline, a version.
    if source.language == Language::Toml {
        return;
    }
    for (number, line) in numbered(&source.comments) {
        if let Some(date) = date(line) {
            findings.error(&source.path, number, format!("date {date} in a comment"));
        }
        let lower = line.to_lowercase();
        if let Some(phrase) = PHRASES.iter().find(|phrase| lower.contains(*phrase)) {
            findings.error(&source.path, number, format!("'{phrase}' in a comment"));
        }
    }
}

fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(&format!("/{folder}/")).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '}' | '-' | '_'))
    })
}

/// The first `YYYY-MM-DD` of a line that is neither quoted nor followed by a time.
fn date(line: &str) -> Option<&str> {
    const LENGTH: usize = "YYYY-MM-DD".len();
    let bytes = line.as_bytes();
    bytes.windows(LENGTH).enumerate().find_map(|(at, window)| {
        let is_date = window.iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
        let before = at.checked_sub(1).map(|before| bytes[before]);
        let after = bytes.get(at + LENGTH);
        let is_data = before.is_some_and(|b| b.is_ascii_alphanumeric() || b"\"'`-".contains(&b))
            || after.is_some_and(|b| b.is_ascii_alphanumeric());
        if is_date && !is_data { line.get(at..at + LENGTH) } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    fn found(text: &str) -> Vec<(usize, Level)> {
        Findings::of(check, "src/a.rs", text)
    }

    #[test]
    fn a_date_in_a_comment_is_refused() {
        assert_eq!(found("fn a() {}\n// Since 2001-02-03 this is so.\n"), [(2, Level::Error)]);
    }

    #[test]
    fn a_date_that_is_data_is_let_through() {
        assert_eq!(found("let a = \"2001-02-03\";\n"), []);
        assert_eq!(found("/// Like `2001-02-03` or 2001-02-03T04:05:06Z.\n"), []);
        assert_eq!(found("// See RUSTSEC-2001-0203 and 12001-02-031.\n"), []);
    }

    #[test]
    fn a_mark_of_an_author_or_tool_is_refused() {
        assert_eq!(found("// Generated with care.\n"), [(1, Level::Error)]);
    }

    #[test]
    fn a_path_of_one_machine_is_refused_even_in_a_string() {
        for home in HOMES {
            let text = format!("let a = \"/{home}/somebody/a\";\n");
            assert_eq!(found(&text), [(1, Level::Error)], "{home}");
        }
    }

    #[test]
    fn the_same_folder_in_an_address_is_let_through() {
        assert_eq!(found("let a = \"http://example.org/root/a\";\n"), []);
    }
}
