//! What can be asked for on the command line.

use crate::error::{Error, Result};
use crate::{cargo, deny, faults, plan, servers, step, tidy};

/// One word of the command line after `cargo xtask`.
struct Verb {
    name: &'static str,
    arguments: Arguments,
    about: &'static str,
    run: fn(&[&str]) -> Result<()>,
}

/// What may follow a verb.
enum Arguments {
    None,
    /// Anything, shown in the help under this name.
    Any(&'static str),
}

const VERBS: &[Verb] = &[
    Verb {
        name: "quick",
        arguments: Arguments::None,
        about: "unit and API tests, no servers: under a minute when warm",
        run: |_| step::run_all(plan::QUICK),
    },
    Verb {
        name: "test",
        arguments: Arguments::Any("[FILTER]"),
        about: "everything that CI runs, or only the tests whose name contains FILTER",
        run: test,
    },
    Verb {
        name: "check",
        arguments: Arguments::None,
        about: "format, tidy, deny, clippy and docs",
        run: |_| step::run_all(plan::CHECK),
    },
    Verb {
        name: "tidy",
        arguments: Arguments::None,
        about: "the rules of this repository: sizes, import walls, wording",
        run: |_| tidy::run(),
    },
    Verb {
        name: "deny",
        arguments: Arguments::None,
        about: "licences, sources and duplicate versions of what we depend on",
        run: |_| deny::run(),
    },
    Verb {
        name: "docs",
        arguments: Arguments::None,
        about: "the pages of this workspace, in target/doc",
        run: |_| step::run_all(&[plan::DOCS]),
    },
    Verb {
        name: "bench",
        arguments: Arguments::Any("ARGS"),
        about: "the bench harness, optimised; `bench --help` lists its workloads",
        run: bench,
    },
    Verb {
        name: "servers",
        arguments: Arguments::Any("up|down"),
        about: "Kafka, Mosquitto and Artemis on fixed ports; they stay until `down`",
        run: servers::run,
    },
    Verb {
        name: "faults",
        arguments: Arguments::Any("KIND"),
        about: "kafka, mqtt, parsers, rest, soak, simulation, kill [--runs N]: at full size",
        run: faults::run,
    },
    Verb {
        name: "help",
        arguments: Arguments::None,
        about: "this list",
        run: |_| {
            print!("{}", help());
            Ok(())
        },
    },
];

/// Does what the command line asks for; without a verb, prints the list of verbs.
///
/// # Errors
///
/// When the verb is unknown or takes no arguments and got some, and when its work fails.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (name, rest) = arguments.split_first().unwrap_or((&"help", &[]));
    let verb = find(name)?;
    if let (Arguments::None, [first, ..]) = (&verb.arguments, rest) {
        return Err(Error::usage(format!("'{name}' takes no arguments, got '{first}'")));
    }
    (verb.run)(rest)
}

fn find(name: &str) -> Result<&'static Verb> {
    let name = if matches!(name, "-h" | "--help") { "help" } else { name };
    VERBS.iter().find(|verb| verb.name == name).ok_or_else(|| {
        let names: Vec<&str> = VERBS.iter().map(|verb| verb.name).collect();
        Error::usage(format!("no verb is called '{name}'; there are {}", names.join(", ")))
    })
}

fn help() -> String {
    let mut text = String::from("usage: cargo xtask VERB [ARGUMENTS]\n\n");
    for verb in VERBS {
        let call = match verb.arguments {
            Arguments::None => verb.name.to_owned(),
            Arguments::Any(arguments) => format!("{} {arguments}", verb.name),
        };
        text.push_str(&format!("  {call:<17}  {}\n", verb.about));
    }
    text
}

fn test(filter: &[&str]) -> Result<()> {
    if filter.is_empty() {
        return step::run_all(plan::TEST);
    }
    cargo::run(&[&["test", "--workspace"], filter].concat(), &[])
}

fn bench(arguments: &[&str]) -> Result<()> {
    let run = ["run", "--release", "-p", "twinflow-bench", "--"];
    cargo::run(&[&run, arguments].concat(), &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_verb_is_answered_with_the_known_ones() {
        let error = run(&["tets".to_owned()]).expect_err("there is no such verb").to_string();
        assert!(error.contains("'tets'") && error.contains("quick, test, check"), "{error}");
    }

    #[test]
    fn a_verb_without_arguments_refuses_them() {
        let error = run(&["tidy".to_owned(), "src".to_owned()]).expect_err("tidy takes none");
        assert_eq!(error, Error::usage("'tidy' takes no arguments, got 'src'"));
    }

    #[test]
    fn help_has_one_line_for_every_verb() {
        let help = help();
        for verb in VERBS {
            let start = format!("  {} ", verb.name);
            let lines = help.lines().filter(|line| line.starts_with(&start)).count();
            assert_eq!(lines, 1, "{}", verb.name);
        }
    }
}
