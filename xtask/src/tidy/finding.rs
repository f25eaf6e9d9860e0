//! What rules report.

use std::fmt;

/// A place where a rule is broken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) level: Level,
    pub(super) path: String,
    /// The line, counted from 1; 0 speaks of the whole file.
    pub(super) line: usize,
    pub(super) message: String,
}

/// Whether a finding fails the check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Error,
    Warning,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        match self.line {
            0 => write!(f, "{level}: {}: {}", self.path, self.message),
            line => write!(f, "{level}: {}:{line}: {}", self.path, self.message),
        }
    }
}

/// The findings of one rule, in the order in which it saw them.
#[derive(Default)]
pub(super) struct Findings {
    all: Vec<Finding>,
}

impl Findings {
    pub(super) fn error(&mut self, path: &str, line: usize, message: impl Into<String>) {
        self.push(Level::Error, path, line, message.into());
    }

    pub(super) fn warning(&mut self, path: &str, line: usize, message: impl Into<String>) {
        self.push(Level::Warning, path, line, message.into());
    }

    fn push(&mut self, level: Level, path: &str, line: usize, message: String) {
        self.all.push(Finding { level, path: path.to_owned(), line, message });
    }

    /// Lines and levels of what `check` finds in a file of this content.
    #[cfg(test)]
    pub(super) fn of(
        check: fn(&super::Source, &mut Self),
        path: &str,
        text: &str,
    ) -> Vec<(usize, Level)> {
        let mut findings = Self::default();
        check(&super::Source::new(path, text), &mut findings);
        findings.into_iter().map(|finding| (finding.line, finding.level)).collect()
    }
}

impl IntoIterator for Findings {
    type Item = Finding;
    type IntoIter = std::vec::IntoIter<Finding>;

    fn into_iter(self) -> Self::IntoIter {
        self.all.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_shown_in_the_form_that_editors_jump_to() {
        let mut findings = Findings::default();
        findings.error("src/lib.rs", 7, "no");
        findings.warning("src/lib.rs", 0, "long");
        let shown: Vec<String> = findings.into_iter().map(|f| f.to_string()).collect();
        assert_eq!(shown, ["error: src/lib.rs:7: no", "warning: src/lib.rs: long"]);
    }
}
