//! Work left for later has an issue that says what and why.

use super::finding::Findings;
use super::source::{Source, numbered, words};

const MARKS: &[&str] = &["TODO", "FIXME", "XXX"];

pub(super) fn check(source: &Source, findings: &mut Findings) {
    for (number, line) in numbered(&source.comments) {
        let mark = words(line).map(|(_, word, _)| word).find(|word| MARKS.contains(word));
        if let Some(mark) = mark.filter(|_| !names_issue(line)) {
            let message = format!("{mark} without the number of its issue, like '#12'");
            findings.error(&source.path, number, message);
        }
    }
}

fn names_issue(line: &str) -> bool {
    line.split('#').skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_mark_without_an_issue_is_refused() {
        for mark in MARKS {
            let rust = format!("fn a() {{}}\n// {mark}: later\n");
            assert_eq!(Findings::of(check, "src/a.rs", &rust), [(2, Level::Error)], "{mark}");
            let toml = format!("a = 1 # {mark}\n");
            assert_eq!(Findings::of(check, "a.toml", &toml), [(1, Level::Error)], "{mark}");
        }
    }

    #[test]
    fn a_mark_with_an_issue_is_let_through() {
        assert_eq!(Findings::of(check, "src/a.rs", "// TODO(#12): later\n"), []);
    }

    #[test]
    fn a_mark_in_a_string_or_in_a_longer_word_is_none() {
        assert_eq!(Findings::of(check, "src/a.rs", "let a = \"TODO\"; // TODOS\n"), []);
        assert_eq!(Findings::of(check, "a.sh", "mktemp a.XXXXXX\n"), []);
    }
}
