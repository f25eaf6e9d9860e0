//! What is refused, in the exact words.

use super::*;

/// A file with this text behind a model that is right.
fn refused(text: &str) -> String {
    let model = "models.a = { type = \"wind-turbine\", limit_celsius = 95 }\n";
    refused_alone(&format!("{model}{text}"), &[])
}

fn refused_alone(text: &str, variables: &[(&str, &str)]) -> String {
    let mut environment = Environment::default();
    for (name, value) in variables {
        environment.set(name, value);
    }
    load(text, &environment).map(|config| config.show(&kinds())).unwrap_err()
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(refused(text), expected, "{text}");
}

#[test]
fn what_is_no_toml() {
    check("[server\n", "twinflow.toml:2: this is not TOML: unclosed table, expected `]`");
    check("a = 1\na = 2\n", "twinflow.toml:3: this is not TOML: duplicate key");
}

#[test]
fn unknown_keys_and_sections() {
    check(
        "[serve]\n",
        "twinflow.toml:2: serve: unknown section; did you mean \"server\"? sections: \
         connections, models, server, state",
    );
    check(
        "[server]\nworkers = 1\nlisen = \"127.0.0.1:1\"\n",
        "twinflow.toml:4: server.lisen: unknown key; did you mean \"listen\"? known keys: \
         listen, workers, wait_ms, stall_secs, tls, keys_file, key_requests_per_sec_max",
    );
    check(
        "[models.b]\ntype = \"wind-turbine\"\nlimit_celsius = 9\nlimit = 1\n",
        "twinflow.toml:5: models.b.limit: unknown key; known keys: limit_celsius",
    );
    check(
        "[connections.web]\ntype = \"rest\"\nmodel_s = []\n",
        "twinflow.toml:4: connections.web.model_s: unknown key; did you mean \"models\"? \
         known keys: listen, tls, models, wait_ms, body_bytes_max, line_bytes_max, lines_max, \
         depth_max, connections_max, connections_per_address_max, header_timeout_secs, \
         idle_timeout_secs, body_timeout_secs, retry_after_max_secs, idempotency_keep_secs",
    );
}

#[test]
fn values_of_a_wrong_type() {
    check(
        "[server]\nworkers = \"two\"\n",
        "twinflow.toml:3: server.workers: found the string \"two\", expected a whole number, \
         0 or more",
    );
    check(
        "[server]\nworkers = -1\n",
        "twinflow.toml:3: server.workers: found -1, expected a whole number, 0 or more",
    );
    check("server = 1\n", "twinflow.toml:2: server: found a whole number, expected a table");
    check("[models]\nb = []\n", "twinflow.toml:2: this is not TOML: duplicate key");
    check("models.b = []\n", "twinflow.toml:2: models.b: found a list, expected a table");
    check(
        "[connections.web]\ntype = \"rest\"\nmodels = [\n\"a\",\n2]\n",
        "twinflow.toml:6: connections.web.models.1: found 2, expected a string",
    );
}

#[test]
fn values_that_cannot_be() {
    check(
        "[server]\nlisten = \"here\"\n",
        "twinflow.toml:3: server.listen: \"here\" is not an address and a port like \
         \"127.0.0.1:7700\"",
    );
    check(
        "[state]\nsegment_bytes = 10\n",
        "twinflow.toml:3: state.segment_bytes: found 10, expected 1048576 (1 MiB) to 268435456 \
         (256 MiB)",
    );
    check(
        "[state]\nstore = \"disk\"\n",
        "twinflow.toml:3: state.store: found \"disk\", expected \"log\" or \"memory\"",
    );
    check(
        "[connections.web]\ntype = \"rest\"\nreconnect_backoff_max_ms = 1\n",
        "twinflow.toml:4: connections.web.reconnect_backoff_max_ms: found 1, below \
         reconnect_backoff_ms (250)",
    );
    check(
        "[connections.web]\ntype = \"rest\"\nwait_ms = 0\n",
        "twinflow.toml:4: connections.web.wait_ms: could not use `wait_ms = 0`: it must be at \
         least 1",
    );
}

/// The connectors of this build, as an error lists them.
fn connectors() -> String {
    kinds().connectors.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ")
}

#[cfg(not(feature = "kafka"))]
#[test]
fn a_connector_that_the_build_lacks() {
    check(
        "[connections.readings]\ntype = \"kafka\"\n",
        "twinflow.toml:3: connections.readings.type: this build has no kafka; build with \
         --features full",
    );
}

#[test]
fn kinds_that_do_not_exist() {
    check(
        "[models.b]\ntype = \"wind-turbin\"\n",
        "twinflow.toml:3: models.b.type: there is no model kind \"wind-turbin\"; did you \
         mean \"wind-turbine\"? model kinds: wind-turbine",
    );
    check(
        "[models.b]\nlimit_celsius = 1\n",
        "twinflow.toml:2: models.b: the key \"type\" is missing; model kinds: wind-turbine",
    );
    check(
        "[models.b]\ntype = \"wind-turbine\"\n",
        "twinflow.toml:2: models.b: the key \"limit_celsius\" is missing",
    );
    check(
        "[connections.x]\ntype = \"carrier-pigeon\"\n",
        &format!(
            "twinflow.toml:3: connections.x.type: there is no connector \"carrier-pigeon\"; \
             connectors: {}",
            connectors()
        ),
    );
    check(
        "[models.\"a b\"]\ntype = \"wind-turbine\"\n",
        "twinflow.toml:2: models.a b: the model name \"a b\" has ' '; use a-z A-Z 0-9 _ -",
    );
}

#[test]
fn what_comes_later() {
    check(
        "[state]\nstore = \"object\"\n",
        "twinflow.toml:3: state.store: this version has no \"object\" store yet; use \"log\" or \
         \"memory\"",
    );
    check(
        "[connections.web]\ntype = \"rest\"\nfeedback = { topic = \"a\" }\n",
        "twinflow.toml:4: connections.web.feedback: this connector cannot choose a feedback \
         channel yet; remove the key",
    );
}

#[test]
fn s14_references_without_a_value() {
    check(
        "[state]\ndir = \"${env:NO_SUCH}\"\n",
        "twinflow.toml:3: state.dir: the environment variable \"NO_SUCH\" is not set",
    );
    check(
        "[state]\ndir = \"${file:no/such}\"\n",
        "twinflow.toml:3: state.dir: the file \"no/such\" has no text: No such file or \
         directory (os error 2)",
    );
}

#[cfg(feature = "kafka")]
#[test]
fn s14_s16_a_password_in_the_file_is_refused_and_one_from_elsewhere_is_shown_as_its_reference() {
    let file = |password: &str| {
        format!(
            "[models.a]\ntype = \"wind-turbine\"\nlimit_celsius = 9\n[connections.plant]\n\
             type = \"kafka\"\nbrokers = [\"127.0.0.1:1\"]\n\
             topics = [{{ topic = \"t\", model = \"a\" }}]\n\
             sasl = {{ mechanism = \"PLAIN\", username = \"ann\", password = \"{password}\" }}\n"
        )
    };
    assert_eq!(
        refused_alone(&file("hunter2"), &[]),
        "twinflow.toml:8: connections.plant.sasl.password: a secret in the file itself can be \
         read by everybody who may read the file; write \"${file:PATH}\" or \"${env:NAME}\""
    );
    let flags = Flags { allow_inline_secrets: true, ..Flags::default() };
    let inline = load_with(&file("hunter2"), &Environment::default(), &flags).unwrap();
    assert!(inline.show(&kinds()).contains("password = \"***\""), "{}", inline.show(&kinds()));
    let inline = format!("{inline:?}{}", inline.show(&kinds()));
    let environment = Environment::from([("P", "hunter2")]);
    let config = load(&file("${env:P}"), &environment).unwrap();
    let shown = config.show(&kinds());
    assert!(shown.contains("password = \"${env:P}\""), "{shown}");
    let key = "TWINFLOW__CONNECTIONS__PLANT__SASL__PASSWORD";
    let set = Environment::from([(key, "hunter2")]);
    let set = load(&file("${env:P}").replace(", password = \"${env:P}\"", ""), &set).unwrap();
    let reference = format!("password = \"${{env:{key}}}\"");
    assert!(set.show(&kinds()).contains(&reference), "{}", set.show(&kinds()));
    for text in [inline, shown, set.show(&kinds()), format!("{config:?}{set:?}")] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn a_value_that_came_by_reference_is_not_shown() {
    let text = "[models.a]\ntype = \"wind-turbine\"\nlimit_celsius = \"${env:SECRET}\"\n";
    assert_eq!(
        refused_alone(text, &[("SECRET", "hunter2")]),
        "twinflow.toml:3: models.a.limit_celsius: its value does not fit: expected a number"
    );
}

#[test]
fn a_variable_that_sets_a_key_is_named() {
    let text = "[models.a]\ntype = \"wind-turbine\"\nlimit_celsius = 9\n";
    assert_eq!(
        refused_alone(text, &[("TWINFLOW__SERVER__WORKERS", "many")]),
        "TWINFLOW__SERVER__WORKERS: server.workers: found the string \"many\", expected a whole \
         number, 0 or more"
    );
    assert_eq!(
        refused_alone(text, &[("TWINFLOW__MODELS__A__TYPE__X", "many")]),
        "TWINFLOW__MODELS__A__TYPE__X: models.a.type: this sets a key inside of a string"
    );
}

#[test]
fn several_errors_are_all_said() {
    let text = "[server]\nworkers = 9999\n[state]\nstore = \"\"\n";
    assert_eq!(
        refused_alone(text, &[]),
        "twinflow.toml:2: server.workers: found 9999, the most is 1024\n\
         twinflow.toml:4: state.store: found \"\", expected \"log\" or \"memory\"\n\
         twinflow.toml:1: there is no model; name one, for example [models.devices] with type = \
         \"shadow\""
    );
}

#[test]
fn a_kind_with_a_reserved_key_or_a_repeated_name_is_refused() {
    #[derive(serde::Deserialize)]
    struct Greedy {
        #[expect(dead_code, reason = "only its name counts")]
        twins_max: u64,
    }
    impl MessageProcessor for Greedy {
        type Model = State;

        fn process_messages(
            &self,
            _: &mut ProcessingContext<'_>,
            _: &mut State,
            _: Messages<'_, serde_json::Value>,
        ) -> ProcessingResult {
            Ok(Outcome::Update)
        }
    }
    let models = ModelKinds::new().with::<Greedy>("a").with::<Turbine>("b").with::<Turbine>("b");
    let kinds = Registries { models, ..kinds() };
    let refused = Config::of_text(
        Path::new("twinflow.toml"),
        "models.a = { type = \"b\", limit_celsius = 1 }",
        &Flags::default(),
        &Environment::default(),
        &kinds,
    );
    assert_eq!(
        refused.unwrap_err().to_string(),
        "the kind of model \"a\" has a setting \"twins_max\", a key that every model has; rename \
         the setting"
    );
}
