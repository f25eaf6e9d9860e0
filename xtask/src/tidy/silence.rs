//! A lint is silenced by `expect` with a reason, which complains when it is no longer needed.

use super::finding::Findings;
use super::source::{Source, words};

pub(super) fn check(source: &Source, findings: &mut Findings) {
    if !source.is_rust() {
        return;
    }
    let mut before = 0;
    while let Some(start) = source.code[before..].find('#').map(|at| before + at) {
        let attribute = attribute(&source.code[start..]);
        if attribute.is_some_and(silences) {
            let line = source.code[..start].lines().count().max(1);
            let line = line + usize::from(source.code[..start].ends_with('\n'));
            let message = "write expect(lint, reason = \"...\") instead of allow";
            findings.error(&source.path, line, message);
        }
        before = start + 1;
    }
}

/// The inside of `#[...]` or `#![...]`, if the text starts with one.
fn attribute(text: &str) -> Option<&str> {
    let inside = text.strip_prefix("#![").or_else(|| text.strip_prefix("#["))?;
    let mut depth = 1_usize;
    for (at, c) in inside.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(&inside[..at]);
        }
    }
    None
}

fn silences(attribute: &str) -> bool {
    words(attribute).any(|(_, word, after)| word == "allow" && after.trim_start().starts_with('('))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    fn found(text: &str) -> Vec<(usize, Level)> {
        Findings::of(check, "src/a.rs", text)
    }

    #[test]
    fn allow_is_refused_in_every_position() {
        assert_eq!(found("#![allow(dead_code)]\n"), [(1, Level::Error)]);
        assert_eq!(found("\n\n#[allow(dead_code)]\nfn f() {}\n"), [(3, Level::Error)]);
        assert_eq!(found("mod a;\nfn f() { #[allow(x)] g() }\n"), [(2, Level::Error)]);
        assert_eq!(found("#[cfg_attr(test, allow(dead_code))]\n"), [(1, Level::Error)]);
        assert_eq!(found("#[allow(\n    dead_code,\n)]\n"), [(1, Level::Error)]);
    }

    #[test]
    fn expect_and_plain_calls_are_let_through() {
        assert_eq!(found("#[expect(dead_code, reason = \"allow(x)\")]\nfn f() {}\n"), []);
        assert_eq!(found("fn f() { gate.allow(1); allow(2) }\n"), []);
        assert_eq!(found("// #[allow(dead_code)]\nlet s = \"#[allow(x)]\";\n"), []);
    }
}
