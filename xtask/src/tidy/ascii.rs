//! Plain ASCII: nothing that looks like another character or is typed on one keyboard only.

use super::finding::Findings;
use super::source::{Source, numbered};

pub(super) fn check(source: &Source, findings: &mut Findings) {
    for (number, line) in numbered(&source.text) {
        if let Some(c) = line.chars().find(|c| !c.is_ascii()) {
            let message = format!("'{}' is not ASCII; in a string write it so", c.escape_unicode());
            findings.error(&source.path, number, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn other_characters_are_refused_in_every_language() {
        for path in ["src/a.rs", "Cargo.toml", "x.sh"] {
            let found = Findings::of(check, path, "plain\n# 20 \u{b5}s\n");
            assert_eq!(found, [(2, Level::Error)], "{path}");
        }
    }

    #[test]
    fn an_escape_is_ascii() {
        assert_eq!(Findings::of(check, "src/a.rs", r#"let s = "\u{b5}s";"#), []);
    }
}
