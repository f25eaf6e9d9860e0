use serde::Deserialize;
use toml::toml;

use super::*;
use crate::prelude::*;

/// A third party's processor with the settings `S`.
macro_rules! processor {
    ($name:ident { $($field:tt)* }) => {
        #[derive(Deserialize, JsonSchema)]
        #[expect(dead_code, reason = "only its settings are looked at")]
        struct $name { $($field)* }

        impl MessageProcessor for $name {
            type Model = crate::models::shadow::Shadow;
            fn process_messages(
                &self,
                _: &mut ProcessingContext<'_>,
                _: &mut Self::Model,
                _: Messages<'_, MessageOf<'_, Self>>,
            ) -> ProcessingResult {
                Ok(Outcome::Update)
            }
        }
    };
}

processor!(Level { threshold: f64, #[serde(default)] more: Vec<More> });
processor!(Clash { retries_max: u32 });
processor!(RenamedClash {
    #[serde(rename = "type")]
    what: String
});
processor!(FlatClash {
    #[serde(flatten)]
    inner: FlatInner
});

#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only its settings are looked at")]
struct More {
    depth: u8,
}

#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only its settings are looked at")]
struct FlatInner {
    twins_max: u64,
}

fn refusal(table: Table) -> String {
    let kinds = ModelKinds::stock().with::<Level>("level");
    kinds.add(Models::new(), "m", table).unwrap_err()
}

#[test]
fn every_stock_kind_is_made_from_its_type_alone() {
    let kinds = ModelKinds::stock();
    let names: Vec<_> = kinds.iter().map(ModelKind::name).collect();
    assert_eq!(names, ["shadow", "journal", "wind-turbine", "gas-sensor"]);
    for name in names {
        let mut table = Table::new();
        table.insert("type".to_owned(), name.into());
        let models = kinds.add(Models::new(), name, table).unwrap();
        assert_eq!((models.names().collect::<Vec<_>>(), models.problem()), (vec![name], None));
    }
}

#[test]
fn every_stock_kind_says_what_it_is_and_what_each_setting_means() {
    for kind in ModelKinds::stock().iter() {
        assert!(!kind.about().is_empty(), "{kind:?}");
        let schema = kind.settings_schema().unwrap();
        assert_eq!(schema["additionalProperties"], false, "{kind:?}");
        let properties = schema.get("properties").and_then(|properties| properties.as_object());
        for (name, property) in properties.into_iter().flatten() {
            let text = property["description"].as_str().unwrap_or_default();
            assert!(text.to_lowercase().contains("default"), "{kind:?} {name}: {text}");
            assert!(property.get("default").is_some(), "{kind:?} {name} has no default");
        }
    }
}

#[test]
fn defaults_and_given_settings_reach_the_processor() {
    let read = |table: Table| super::read::<GasWatch>("models.m", Value::Table(table));
    assert_eq!(read(Table::new()), Ok(GasWatch::default()));
    let given = GasWatch { limit_ppm: 40.0, spike_ppm: 100.5, limit_secs: 7 };
    assert_eq!(read(toml! { limit_ppm = 40 spike_ppm = 100.5 limit_secs = 7 }), Ok(given));
    let read = |table: Table| super::read::<JournalWriter>("models.m", Value::Table(table));
    let given = JournalWriter { id: "/meta/id".into(), keep: 0 };
    assert_eq!(read(toml! { id = "/meta/id" keep = 0 }), Ok(given));
}

#[test]
fn reserved_keys_are_the_engine_s_and_not_the_kind_s() {
    let table = toml! {
        type = "wind-turbine"
        grouping = "single"
        on_failure = "skip"
        retries_max = 3
        twins_max = 10
        state_bytes_max = 100
        limit_celsius = 90.0
    };
    ModelKinds::stock().add(Models::new(), "m", table).unwrap();
}

#[test]
fn an_error_names_the_full_path_of_the_setting() {
    for (table, start) in [
        (toml! { type = "wind-turbine" limit_celsius = "hot" }, "models.m.limit_celsius: "),
        (toml! { type = "wind-turbine" limit_celsius = inf }, "models.m.limit_celsius: "),
        (toml! { type = "gas-sensor" limit_secs = -1 }, "models.m.limit_secs: "),
        (toml! { type = "gas-sensor" spike_ppm = nan }, "models.m.spike_ppm: "),
        (toml! { type = "journal" keep = -1 }, "models.m.keep: "),
        (toml! { type = "journal" id = "id" }, "models.m.id: \"id\" is no JSON pointer"),
        (
            toml! { type = "level" threshold = 1 more = [{ depth = 1 }, { depth = 256 }] },
            "models.m.more[1].depth: ",
        ),
        (toml! { type = "level" }, "models.m: missing field `threshold`"),
        (toml! { type = "shadow" grouping = "many" }, "models.m.grouping: "),
        (toml! { type = "shadow" retries_max = -1 }, "models.m.retries_max: "),
        (toml! { type = 7 }, "models.m.type: "),
        (toml! { type = "turbine" }, "models.m.type: there is no kind of model \"turbine\"; this"),
        (toml! { keep = 7 }, "models.m: the type is missing; this program has \"shadow\", "),
    ] {
        let error = refusal(table);
        assert!(error.starts_with(start), "{error:?} does not start with {start:?}");
        assert!(!error.contains('\n'), "{error:?} is one line");
    }
}

#[test]
fn a_setting_that_a_stock_kind_does_not_have_is_refused_by_name() {
    for kind in ["shadow", "journal", "wind-turbine", "gas-sensor"] {
        let mut table = toml! { limt = 1 };
        table.insert("type".to_owned(), kind.into());
        let error = refusal(table);
        assert!(error.starts_with("models.m.limt: unknown field `limt`"), "{error}");
    }
}

#[test]
fn a_third_party_s_kind_works_in_the_same_file() {
    let kinds = ModelKinds::stock().with::<Level>("level");
    let table = toml! { type = "level" threshold = 7 twins_max = 3 };
    let models = kinds.add(Models::new(), "tanks", table).unwrap();
    assert_eq!(models.names().collect::<Vec<_>>(), ["tanks"]);
    assert!(kinds.get("level").unwrap().settings_schema().is_none());
}

#[test]
fn a_kind_whose_settings_use_a_reserved_key_is_refused() {
    for (kinds, key) in [
        (ModelKinds::new().with::<Clash>("clash"), "retries_max"),
        (ModelKinds::new().with_described::<Clash>("clash", ""), "retries_max"),
        (ModelKinds::new().with::<RenamedClash>("clash"), "type"),
        (ModelKinds::new().with_described::<FlatClash>("clash", ""), "twins_max"),
    ] {
        let problem = kinds.problem().unwrap();
        assert!(problem.contains("\"clash\"") && problem.contains(key), "{problem}");
        assert!(kinds.get("clash").is_none());
        let added = kinds.add(Models::new(), "m", toml! { type = "clash" });
        assert_eq!(added.unwrap_err(), problem);
    }
}

#[test]
fn a_kind_registered_twice_or_without_a_usable_name_is_refused() {
    let twice = ModelKinds::stock().with::<Level>("shadow");
    assert_eq!(twice.problem(), Some("the kind of model \"shadow\" is registered twice"));
    assert!(ModelKinds::new().with::<Level>(" ").problem().is_some());
    assert_eq!(ModelKinds::stock().with::<Level>("level").problem(), None);
}

#[test]
fn case_4_a_wrong_name_of_a_model_is_told_at_the_start() {
    let kinds = ModelKinds::stock();
    let models = kinds.add(Models::new(), " ", toml! { type = "shadow" }).unwrap();
    assert_eq!(models.problem(), Some("the model name is blank"));
}
