//! Who may name which crate. The map behind it is in ARCHITECTURE.md.
//!
//! Cargo keeps the crates of the workspace apart; these walls run inside a crate, or say early and
//! in words what cargo would say late.

use super::finding::Findings;
use super::source::{Source, numbered, words};

/// Crates that some part of the tree may not name.
struct Wall {
    crates: &'static [&'static str],
    stands: Stands,
    why: &'static str,
}

/// Where a wall stands. `a/` is a folder, `a*` everything whose path begins so, the rest one file.
enum Stands {
    /// Everywhere but in these places.
    Around(&'static [&'static str]),
    /// In these places.
    In(&'static [&'static str]),
}

const WALLS: &[Wall] = &[
    Wall {
        crates: &["timely"],
        stands: Stands::Around(&[
            "operators/",
            "src/engine.rs",
            "src/engine/",
            "src/dataflow.rs",
            "src/cluster*",
            "src/lib.rs",
            "tests/",
            "benches/",
            "examples/",
        ]),
        why: "its interface moves with every release; few files should move with it",
    },
    Wall {
        crates: &["hyper", "axum", "tower"],
        stands: Stands::Around(&[
            "src/server*",
            "src/demo*",
            "src/main.rs",
            "connectors/src/rest*",
            "connectors/tests/rest/",
            "benches/",
        ]),
        why: "HTTP is the business of the server and of the REST connector",
    },
    Wall {
        crates: &["rdkafka"],
        stands: Stands::Around(&[
            "connectors/src/kafka*",
            "connectors/tests/kafka/",
            "tests/brokers/",
            "benches/",
        ]),
        why: "a broker's client is the business of its connector",
    },
    Wall {
        crates: &["rumqttc"],
        stands: Stands::Around(&[
            "connectors/src/mqtt*",
            "src/demo/mqtt/wire.rs",
            "connectors/tests/mqtt/",
            "tests/brokers/",
            "benches/",
        ]),
        why: "a broker's client is the business of its connector",
    },
    Wall {
        crates: &["rumqttd"],
        stands: Stands::Around(&["src/demo/mqtt/broker.rs"]),
        why: "it is sound enough for a demonstration; tests of delivery need a real broker",
    },
    Wall {
        crates: &["abomonation"],
        stands: Stands::Around(&["operators/src/abom*"]),
        why: "it is unsound on bytes of others, and has one module with walls of its own",
    },
    Wall {
        crates: &["twinflow", "twinflow_connectors", "twinflow_operators"],
        stands: Stands::In(&["servers/"]),
        why: "it brings servers up and knows nothing of who uses them",
    },
    Wall {
        crates: &["twinflow_servers"],
        stands: Stands::In(&["src/", "operators/", "connectors/src/"]),
        why: "servers are for tests; nothing that is published needs one",
    },
    Wall {
        crates: &["tokio"],
        stands: Stands::In(&["operators/"]),
        why: "a worker never runs async code",
    },
    Wall {
        crates: &["timely", "differential_dataflow", "twinflow_operators", "twinflow"],
        stands: Stands::In(&["connectors/"]),
        why: "a connector knows the link and nothing behind it",
    },
    Wall {
        crates: &["twinflow"],
        stands: Stands::In(&["operators/"]),
        why: "the dataflow knows nothing of what assembles it",
    },
    Wall {
        crates: &["tokio", "hyper", "axum", "tower", "timely", "twinflow_connectors"],
        stands: Stands::In(&["src/store*"]),
        why: "the fault simulation builds stores without server and connectors",
    },
];

pub(super) fn check(source: &Source, findings: &mut Findings) {
    if !source.is_rust() {
        return;
    }
    for wall in WALLS.iter().filter(|wall| wall.stands.at(&source.path)) {
        for (number, line) in numbered(&source.code) {
            if let Some(name) = wall.crates.iter().find(|name| names_crate(line, name)) {
                findings.error(&source.path, number, format!("names '{name}': {}", wall.why));
            }
        }
    }
}

impl Stands {
    fn at(&self, path: &str) -> bool {
        match self {
            Self::Around(places) => !places.iter().any(|place| covers(place, path)),
            Self::In(places) => places.iter().any(|place| covers(place, path)),
        }
    }
}

fn covers(place: &str, path: &str) -> bool {
    match place.strip_suffix('*') {
        Some(start) => path.starts_with(start),
        None if place.ends_with('/') => path.starts_with(place),
        None => path == place,
    }
}

/// Whether a line of code has a path through a crate, or imports it: `a::`, `use a;`.
fn names_crate(line: &str, name: &str) -> bool {
    words(line).any(|(before, word, after)| {
        let imported = before.trim_end();
        let is_import = ["use", "use ::", "extern crate"].iter().any(|i| imported.ends_with(i));
        word == name && (after.starts_with("::") || is_import)
    })
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    fn is_refused(path: &str, text: &str) -> bool {
        let found = Findings::of(check, path, text);
        assert!(found.iter().all(|(line, level)| (*line, *level) == (1, Level::Error)));
        !found.is_empty()
    }

    #[test]
    fn timely_stays_in_few_files() {
        let text = "use timely::dataflow::Scope;";
        for path in ["src/recovery.rs", "src/server/api.rs", "connectors/src/link.rs"] {
            assert!(is_refused(path, text), "{path}");
        }
        for path in ["operators/src/source.rs", "src/engine/start.rs", "src/cluster/link.rs"] {
            assert!(!is_refused(path, text), "{path}");
        }
    }

    #[test]
    fn http_stays_at_the_edge() {
        assert!(is_refused("src/engine.rs", "use axum::Router;"));
        assert!(is_refused("connectors/src/mqtt.rs", "fn f() -> hyper::Result<()> {}"));
        assert!(is_refused("src/metrics.rs", "use tower;"));
        assert!(!is_refused("connectors/src/rest/accept.rs", "use hyper::body::Body;"));
        assert!(!is_refused("src/server.rs", "use axum::Router;"));
    }

    #[test]
    fn a_client_stays_in_its_connector() {
        let text = "use rdkafka::consumer::BaseConsumer;";
        assert!(is_refused("connectors/src/link.rs", text));
        assert!(is_refused("src/engine.rs", text));
        assert!(!is_refused("connectors/src/kafka/session.rs", text));
    }

    #[test]
    fn the_broker_of_the_demonstration_is_nowhere_else() {
        for path in ["tests/brokers/mqtt.rs", "connectors/src/mqtt/client.rs", "src/demo/fleet.rs"]
        {
            assert!(is_refused(path, "use rumqttd::Broker;"), "{path}");
        }
        assert!(!is_refused("src/demo/mqtt/broker.rs", "use rumqttd::Broker;"));
        assert!(!is_refused("src/demo/mqtt/wire.rs", "use rumqttc::v5::AsyncClient;"));
        assert!(is_refused("src/demo/mqtt/line.rs", "use rumqttc::v5::AsyncClient;"));
    }

    #[test]
    fn the_unsound_codec_is_in_its_own_module_only() {
        let text = "use abomonation::Abomonation;";
        for path in ["operators/src/frame.rs", "connectors/src/row.rs", "src/store/chain.rs"] {
            assert!(is_refused(path, text), "{path}");
        }
        assert!(!is_refused("operators/src/abom.rs", text));
        assert!(!is_refused("operators/src/abom/codec.rs", text));
    }

    #[test]
    fn servers_are_for_tests_and_know_nothing_of_them() {
        assert!(is_refused("src/engine.rs", "use twinflow_servers::Kafka;"));
        assert!(is_refused("connectors/src/kafka.rs", "use twinflow_servers::Kafka;"));
        assert!(is_refused("servers/src/kafka.rs", "use twinflow_connectors::Connector;"));
        assert!(!is_refused("connectors/tests/kafka/main.rs", "use twinflow_servers::Kafka;"));
        assert!(!is_refused("xtask/src/servers.rs", "use twinflow_servers::Kafka;"));
    }

    #[test]
    fn operators_are_never_async() {
        assert!(is_refused("operators/src/source.rs", "tokio::spawn(f());"));
        assert!(is_refused("operators/src/source.rs", "#[tokio::test]"));
        assert!(!is_refused("connectors/src/link.rs", "tokio::spawn(f());"));
    }

    #[test]
    fn connectors_do_not_see_what_is_behind_the_link() {
        assert!(is_refused("connectors/src/rest.rs", "use twinflow_operators::epoch::Epoch;"));
        assert!(is_refused("connectors/src/rest.rs", "use twinflow::Engine;"));
        assert!(!is_refused("connectors/src/rest.rs", "use twinflow_connectors::Link;"));
        assert!(is_refused("operators/src/send.rs", "use ::twinflow::Engine;"));
    }

    #[test]
    fn stores_build_without_server_and_connectors() {
        for name in ["tokio", "hyper", "axum", "timely", "twinflow_connectors"] {
            let text = format!("use {name}::A;");
            assert!(is_refused("src/store.rs", &text), "{name}");
            assert!(is_refused("src/store/local_log/disk.rs", &text), "{name}");
        }
        let text = "use twinflow_operators::persist::EpochStore;";
        assert!(!is_refused("src/store/memory.rs", text));
    }

    #[test]
    fn a_name_in_a_comment_a_string_or_another_word_is_no_import() {
        assert!(!is_refused("src/recovery.rs", "//! No timely::here."));
        assert!(!is_refused("src/recovery.rs", "let a = \"timely::here\";"));
        assert!(!is_refused("src/recovery.rs", "let timely = untimely::now();"));
    }
}
