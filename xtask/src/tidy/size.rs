//! A file that can be read in one go.

use super::finding::Findings;
use super::source::Source;

const LOOK_AGAIN_LINES: usize = 400;
const LINES_MAX: usize = 800;

pub(super) fn check(source: &Source, findings: &mut Findings) {
    let lines = source.text.lines().count();
    if !source.is_rust() || lines <= LOOK_AGAIN_LINES {
        return;
    }
    if lines > LINES_MAX {
        let message = format!("{lines} lines, at most {LINES_MAX}: split it");
        findings.error(&source.path, 0, message);
    } else {
        let message = format!("{lines} lines: does it hold more than one idea?");
        findings.warning(&source.path, 0, message);
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    fn found(path: &str, lines: usize) -> Vec<(usize, Level)> {
        Findings::of(check, path, &"//\n".repeat(lines))
    }

    #[test]
    fn long_files_are_warned_about_and_longer_ones_refused() {
        assert_eq!(found("src/a.rs", 400), []);
        assert_eq!(found("src/a.rs", 401), [(0, Level::Warning)]);
        assert_eq!(found("src/a.rs", 800), [(0, Level::Warning)]);
        assert_eq!(found("src/a.rs", 801), [(0, Level::Error)]);
    }

    #[test]
    fn only_rust_is_counted() {
        assert_eq!(found("deny.toml", 801), []);
    }
}
