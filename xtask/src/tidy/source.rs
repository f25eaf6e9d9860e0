//! A file as rules see it.

use super::lexer;

/// What a file is written in, as far as rules care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Rust,
    Shell,
    Toml,
}

/// A file of the repository.
pub(super) struct Source {
    /// From the root of the repository, with `/` between folders.
    pub(super) path: String,
    pub(super) language: Language,
    pub(super) text: String,
    /// The text with everything but Rust code blanked; the text itself in other languages.
    pub(super) code: String,
    /// The text with everything but Rust comments blanked; the text itself in other languages.
    pub(super) comments: String,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let language = language(path).unwrap_or(Language::Shell);
        let (code, comments) = match language {
            Language::Rust => lexer::split(text),
            Language::Shell | Language::Toml => (text.to_owned(), text.to_owned()),
        };
        Self { path: path.to_owned(), language, text: text.to_owned(), code, comments }
    }

    pub(super) fn is_rust(&self) -> bool {
        self.language == Language::Rust
    }
}

/// The language of a path, or `None` for a file that no rule reads.
pub(super) fn language(path: &str) -> Option<Language> {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rsplit_once('.') {
        Some((_, "rs")) => Some(Language::Rust),
        Some((_, "sh")) => Some(Language::Shell),
        Some((_, "toml")) => Some(Language::Toml),
        _ if path.starts_with(".ci/") => Some(Language::Shell),
        _ => None,
    }
}

/// The lines of a text with their numbers, counted from 1.
pub(super) fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(at, line)| (at + 1, line))
}

/// The identifiers, keywords and numbers of a line, each with the text before and after it.
pub(super) fn words(line: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + line.get(from..)?.find(is_word)?;
        let rest = &line[start..];
        let end = start + rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        from = end;
        Some((&line[..start], &line[start..end], &line[end..]))
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_with_their_surroundings() {
        let found: Vec<_> = words("use a_b::c1;").collect();
        let expected =
            [("", "use", " a_b::c1;"), ("use ", "a_b", "::c1;"), ("use a_b::", "c1", ";")];
        assert_eq!(found, expected);
    }

    #[test]
    fn only_files_that_rules_read_have_a_language() {
        assert_eq!(language("src/lib.rs"), Some(Language::Rust));
        assert_eq!(language(".ci/run"), Some(Language::Shell));
        assert_eq!(language("Cargo.toml"), Some(Language::Toml));
        assert_eq!(language("README.md"), None);
        assert_eq!(language("Cargo.lock"), None);
    }
}
