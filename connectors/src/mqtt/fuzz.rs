//! Topics and templates as targets.

use std::collections::HashMap;

use super::template::{OutTemplate, TopicTemplate};
use crate::fuzz::{Target, two_texts};

/// A template in the first line, a topic behind it.
pub(crate) const TARGETS: [Target; 1] = [Target {
    name: "mqtt_topic",
    files: &["connectors/src/mqtt/template.rs", "connectors/src/mqtt/rows.rs"],
    run,
    seeds: || {
        ["plant/{site}/{twin}/telemetry\nplant/a/7/telemetry", "{a}/x/{rest+}\nq/x/y/z"]
            .map(|text| text.as_bytes().to_vec())
            .to_vec()
    },
}];

fn run(bytes: &[u8]) {
    let Some((template, topic)) = two_texts(bytes) else { return };
    let Ok(template) = TopicTemplate::new(template) else { return };
    let mut values = Vec::new();
    if template.captures(topic, &mut values) {
        assert_eq!(values.len(), template.names().count());
        assert!(values.iter().map(|value| value.len()).sum::<usize>() <= topic.len());
    }
    let _filter = template.filter();
    // The same text as a template of topics that are written, filled with what was captured.
    let Ok(out) = OutTemplate::new(template.text()) else { return };
    let names: HashMap<_, _> = template.names().zip(values).collect();
    let levels = |text: &str| text.split('/').count();
    if let Some(written) = out.topic(|name| names.get(name).copied()) {
        assert_eq!(levels(&written), levels(template.text()), "no value changes the levels");
    }
}
