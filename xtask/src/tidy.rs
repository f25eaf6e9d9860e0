//! `cargo xtask tidy`: rules of this repository that no lint knows.
//!
//! Each rule is a file with one idea and with samples of what breaks it. A rule sees text only; it
//! reads no files and starts no programs. Function sizes are clippy's part (`clippy.toml`).

mod ascii;
mod finding;
mod lexer;
mod provenance;
mod registry;
mod silence;
mod size;
mod source;
mod todo;
mod walk;
mod walls;
mod width;

use finding::{Findings, Level};
use source::Source;

use crate::cargo;
use crate::error::{Error, Result};

/// A rule, and the name under which its findings are shown.
struct Rule {
    name: &'static str,
    check: Check,
}

/// What a rule looks at.
enum Check {
    /// One file at a time.
    Each(fn(&Source, &mut Findings)),
    /// All of them together.
    All(fn(&[Source], &mut Findings)),
}

const RULES: &[Rule] = &[
    Rule { name: "size", check: Check::Each(size::check) },
    Rule { name: "width", check: Check::Each(width::check) },
    Rule { name: "ascii", check: Check::Each(ascii::check) },
    Rule { name: "todo", check: Check::Each(todo::check) },
    Rule { name: "provenance", check: Check::Each(provenance::check) },
    Rule { name: "silence", check: Check::Each(silence::check) },
    Rule { name: "walls", check: Check::Each(walls::check) },
    Rule { name: "registry", check: Check::All(registry::check) },
];

/// Checks every source file of the repository and prints what it finds.
///
/// # Errors
///
/// When a rule is broken. A warning alone is printed and is no error.
pub(crate) fn run() -> Result<()> {
    let sources = walk::sources(cargo::root())?;
    let mut errors = 0;
    for rule in RULES {
        for finding in findings(rule, &sources) {
            errors += usize::from(finding.level == Level::Error);
            println!("{finding} [{}]", rule.name);
        }
    }
    if errors > 0 {
        return Err(Error::failed(format!("rules broken: {errors}, listed above")));
    }
    println!("{} files, {} rules: tidy", sources.len(), RULES.len());
    Ok(())
}

fn findings(rule: &Rule, sources: &[Source]) -> Findings {
    let mut findings = Findings::default();
    match rule.check {
        Check::Each(check) => sources.iter().for_each(|source| check(source, &mut findings)),
        Check::All(check) => check(sources, &mut findings),
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each file with `unsafe` is known by its name; none of them decodes what outsiders send.
    const UNSAFE: [&str; 4] = [
        "benches/src/states/rocks.rs",
        "connectors/src/prefetch.rs",
        "operators/src/abom/codec.rs",
        "operators/src/abom/row.rs",
    ];

    #[test]
    fn s6_unsafe_code_stands_where_it_is_known_and_nowhere_in_the_root() {
        let sources = walk::sources(cargo::root()).expect("the sources");
        let has = |source: &&Source| {
            let words = || source.code.lines().flat_map(source::words);
            source.is_rust() && words().any(|(_, word, _)| word == "unsafe")
        };
        let found: Vec<_> = sources.iter().filter(has).map(|source| source.path.as_str()).collect();
        assert_eq!(found, UNSAFE);
        let root = sources.iter().find(|source| source.path == "src/lib.rs").expect("the facade");
        assert!(root.code.contains("#![forbid(unsafe_code)]"));
    }
}
