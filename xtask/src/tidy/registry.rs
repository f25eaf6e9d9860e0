//! A connector that nobody can configure does not exist: each is named in the registry.

use super::finding::Findings;
use super::source::{Source, words};

/// The file with the registry, and the item in it.
const REGISTRY_FILE: &str = "connectors/src/lib.rs";
const REGISTRY_ITEM: &str = "registry";

/// What makes a type a connector that a file can name.
const TRAIT: &str = "ConfigurableConnector";

pub(super) fn check(sources: &[Source], findings: &mut Findings) {
    let registry = sources.iter().find(|source| source.path == REGISTRY_FILE);
    let registry = registry.map_or("", |source| item(&source.code));
    for source in sources.iter().filter(|source| source.path != REGISTRY_FILE) {
        let Some(module) = module(&source.path) else {
            continue;
        };
        for connector in implementors(&source.code) {
            let named = |name: &str| words(registry).any(|(_, word, _)| word == name);
            if !named(module) && !named(connector) {
                let message = format!("'{connector}' is not in the registry in {REGISTRY_FILE}");
                findings.error(&source.path, 0, message);
            }
        }
    }
}

/// The module of a connector: `mqtt` for `connectors/src/mqtt.rs` and `connectors/src/mqtt/a.rs`.
fn module(path: &str) -> Option<&str> {
    let path = path.strip_prefix("connectors/src/")?;
    path.split('/').next()?.split('.').next()
}

/// Types with an `impl ConfigurableConnector for` outside of tests.
fn implementors(code: &str) -> impl Iterator<Item = &str> {
    let code = code.split("#[cfg(test)]").next().unwrap_or(code);
    words(code).filter_map(|(_, word, after)| {
        let name = after.trim_start().strip_prefix("for ").filter(|_| word == TRAIT)?;
        let (_, first, _) = words(name.split(['<', '{']).next()?).last()?;
        Some(first)
    })
}

/// The text of the first function, constant or static called `registry`, whatever its case.
fn item(code: &str) -> &str {
    let declared = words(code).find(|(before, word, _)| {
        let keyword = || words(before).last().map(|(_, word, _)| word);
        word.eq_ignore_ascii_case(REGISTRY_ITEM)
            && matches!(keyword(), Some("fn" | "const" | "static"))
    });
    let Some((_, _, after)) = declared else {
        return "";
    };
    let mut depth = 0_isize;
    for (at, c) in after.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 && matches!(c, ';' | '}') {
            return &after[..at];
        }
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    const MQTT: &str = "pub struct Mqtt;\nimpl ConfigurableConnector for Mqtt {}\n";

    fn missing(registry: &str, path: &str, connector: &str) -> Vec<String> {
        let sources = [Source::new(REGISTRY_FILE, registry), Source::new(path, connector)];
        let mut findings = Findings::default();
        check(&sources, &mut findings);
        findings.into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_connector_outside_the_registry_is_refused() {
        let expected = ["'Mqtt' is not in the registry in connectors/src/lib.rs"];
        let registry = "pub mod mqtt;\npub use mqtt::Mqtt;\npub fn registry() -> R { R::new() }\n";
        assert_eq!(missing(registry, "connectors/src/mqtt.rs", MQTT), expected);
        assert_eq!(missing("", "connectors/src/mqtt/settings.rs", MQTT), expected);
    }

    #[test]
    fn a_connector_is_registered_by_type_or_module() {
        let function = "pub fn registry() -> [E; 1] { [entry::<Mqtt>()] }\n";
        assert!(missing(function, "connectors/src/mqtt.rs", MQTT).is_empty());
        let list = "pub static REGISTRY: &[Entry] = &[\n    mqtt::ENTRY,\n];\n";
        assert!(missing(list, "connectors/src/mqtt.rs", MQTT).is_empty());
    }

    #[test]
    fn what_follows_the_registry_does_not_count() {
        let text = "pub const REGISTRY: [E; 0] = [];\nfn other() { mqtt::start() }\n";
        assert_eq!(missing(text, "connectors/src/mqtt.rs", MQTT).len(), 1);
    }

    #[test]
    fn generic_connectors_are_seen_and_test_ones_are_not() {
        let generic = "impl<C: Client> crate::ConfigurableConnector for mqtt::Mqtt<C> {}\n";
        assert_eq!(missing("", "connectors/src/mqtt.rs", generic).len(), 1);
        let test = format!("#[cfg(test)]\nmod tests {{ {MQTT} }}\n");
        assert!(missing("", "connectors/src/link.rs", &test).is_empty());
        assert!(missing("", "tests/it/custom.rs", MQTT).is_empty());
    }
}
