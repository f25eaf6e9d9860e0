//! Topic templates: `factory/{site}/{twin}/telemetry` for what comes in, and for what goes out.

use std::fmt::Write as _;

/// Names that one template may capture.
pub(super) const NAMES_MAX: usize = 16;

/// Bytes of a topic in MQTT.
const TOPIC_BYTES_MAX: usize = u16::MAX as usize;

/// A template of topics that are read: each level is a text or a name in braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TopicTemplate {
    text: String,
    levels: Vec<Level>,
    /// Whether the last name takes all the rest.
    rest: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Level {
    Text(String),
    Name(String),
}

impl TopicTemplate {
    /// Reads a template; the error completes "the topic ... ".
    pub(super) fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > TOPIC_BYTES_MAX {
            return Err("is empty or too long".into());
        }
        if text.starts_with("$share/") {
            return Err("is a shared subscription: the broker would spread the messages of one \
                        twin over several clients, and their order would be lost"
                .into());
        }
        let count = text.split('/').count();
        let (mut levels, mut rest) = (Vec::with_capacity(count), false);
        for (index, level) in text.split('/').enumerate() {
            let Some(name) = level.strip_prefix('{').and_then(|name| name.strip_suffix('}')) else {
                check_text(level)?;
                levels.push(Level::Text(level.to_owned()));
                continue;
            };
            let name = match name.strip_suffix('+') {
                Some(_) if index + 1 < count => {
                    return Err(format!("has {level} before its end, and that takes all the rest"));
                }
                Some(name) => {
                    rest = true;
                    name
                }
                None => name,
            };
            check_name(name)?;
            if levels.contains(&Level::Name(name.to_owned())) {
                return Err(format!("has the name {{{name}}} twice"));
            }
            levels.push(Level::Name(name.to_owned()));
        }
        let template = Self { text: text.to_owned(), levels, rest };
        if template.names().count() > NAMES_MAX {
            return Err(format!("has more than {NAMES_MAX} names"));
        }
        Ok(template)
    }

    /// As it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Names that it captures.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.levels.iter().filter_map(|level| match level {
            Level::Name(name) => Some(name.as_str()),
            Level::Text(_) => None,
        })
    }

    /// The subscription that brings every topic of this template.
    pub(super) fn filter(&self) -> String {
        let last = self.levels.len() - 1;
        let level = |(index, level): (usize, &Level)| match level {
            Level::Text(text) => text.clone(),
            Level::Name(_) if self.rest && index == last => "#".to_owned(),
            Level::Name(_) => "+".to_owned(),
        };
        self.levels.iter().enumerate().map(level).collect::<Vec<_>>().join("/")
    }

    /// Puts the captured values into `names`, in the order of the names; `false`, with `names` as
    /// they may be, when the topic is of another shape.
    pub(super) fn captures<'t>(&self, topic: &'t str, names: &mut Vec<&'t str>) -> bool {
        names.clear();
        let mut left = Some(topic);
        for (index, level) in self.levels.iter().enumerate() {
            let Some(text) = left else { return false };
            let (first, behind) = match text.split_once('/') {
                _ if self.rest && index + 1 == self.levels.len() => (text, None),
                Some((first, behind)) => (first, Some(behind)),
                None => (text, None),
            };
            match level {
                Level::Text(wanted) if wanted != first => return false,
                Level::Text(_) => {}
                Level::Name(_) => names.push(first),
            }
            left = behind;
        }
        left.is_none()
    }
}

fn check_text(level: &str) -> Result<(), String> {
    if level.contains(['{', '}']) {
        return Err(format!("has \"{level}\": a name in braces has to be a whole level"));
    }
    if level.contains(['+', '#']) {
        return Err(format!(
            "has the wildcard \"{level}\": write {{name}} for one level, {{name+}} for the rest"
        ));
    }
    if level.chars().any(char::is_control) {
        return Err("has a control character".into());
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || !name.chars().all(allowed) {
        return Err(format!("has the name {{{name}}}: use a-z 0-9 _"));
    }
    Ok(())
}

/// A template of topics that are written: a text with names in braces. Values are escaped, so that
/// none can change which levels the topic has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OutTemplate(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Name(String),
}

impl OutTemplate {
    /// Reads a template; the error completes "the topic ... ".
    pub(super) fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is empty".into());
        }
        let (mut parts, mut left) = (Vec::new(), text);
        while let Some((before, behind)) = left.split_once('{') {
            let (name, after) = behind.split_once('}').ok_or("has a brace that is not closed")?;
            check_name(name)?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Name(name.to_owned()));
            left = after;
        }
        if !left.is_empty() {
            parts.push(Part::Text(left.to_owned()));
        }
        for part in &parts {
            if let Part::Text(text) = part
                && text.contains(|c: char| ['+', '#', '}'].contains(&c) || c.is_control())
            {
                return Err(format!("has \"{text}\", which no topic to write may have"));
            }
        }
        Ok(Self(parts))
    }

    /// Names that it needs.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Name(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The topic with the values that `value` gives; `None` when one is missing or it is too long.
    pub(super) fn topic<'v>(&self, value: impl Fn(&str) -> Option<&'v str>) -> Option<String> {
        let mut topic = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => topic.push_str(text),
                Part::Name(name) => escape(value(name)?, &mut topic),
            }
        }
        (!topic.is_empty() && topic.len() <= TOPIC_BYTES_MAX).then_some(topic)
    }
}

/// Percent signs and hexadecimal digits for everything that means something in a topic.
fn escape(value: &str, topic: &mut String) {
    for c in value.chars() {
        // A topic that begins with a dollar sign belongs to the broker.
        let starts_system = c == '$' && topic.is_empty();
        if matches!(c, '/' | '+' | '#' | '%') || c.is_control() || starts_system {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                write!(topic, "%{byte:02X}").expect("writing to a string never fails");
            }
        } else {
            topic.push(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(template: &str, topic: &str) -> Option<Vec<String>> {
        let template = TopicTemplate::new(template).unwrap();
        let mut values = Vec::new();
        let matches = template.captures(topic, &mut values);
        matches.then(|| values.into_iter().map(str::to_owned).collect())
    }

    #[test]
    fn names_take_one_level_and_the_last_may_take_the_rest() {
        let template = "plant/{site}/{twin}/telemetry";
        assert_eq!(TopicTemplate::new(template).unwrap().filter(), "plant/+/+/telemetry");
        let values = captured(template, "plant/7/turbine-42/telemetry").unwrap();
        assert_eq!(values, ["7", "turbine-42"]);
        for other in ["plant/7/telemetry", "plant/7/t/telemetry/x", "plant/7/t/alarm", "plant"] {
            assert_eq!(captured(template, other), None, "{other}");
        }
        assert_eq!(TopicTemplate::new("a/{path+}").unwrap().filter(), "a/#");
        assert_eq!(captured("a/{path+}", "a/b/c").unwrap(), ["b/c"]);
        assert_eq!(captured("a/{path+}", "a"), None);
        assert_eq!(captured("{twin}", "").unwrap(), [""], "the id is checked later");
    }

    #[test]
    fn templates_that_cannot_work_say_why() {
        for (text, says) in [
            ("", "empty"),
            ("a/{rest+}/b", "before its end"),
            ("a/{x}/{x}", "twice"),
            ("a/dev-{x}", "whole level"),
            ("a/+/b", "write {name}"),
            ("a/#", "write {name}"),
            ("a/{X y}", "use a-z"),
            ("$share/g/a/{twin}", "order"),
            ("a\u{0}/b", "control"),
        ] {
            let error = TopicTemplate::new(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
        for (text, says) in [("", "empty"), ("a/{x", "closed"), ("a/#", "may have")] {
            let error = OutTemplate::new(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn no_id_can_address_another_topic() {
        let template = OutTemplate::new("plant/{site}/{twin}/command").unwrap();
        let topic = |twin: &'static str| {
            template.topic(|name| Some(if name == "twin" { twin } else { "7" })).unwrap()
        };
        assert_eq!(topic("turbine-42"), "plant/7/turbine-42/command");
        assert_eq!(topic("a/b+c#d%e"), "plant/7/a%2Fb%2Bc%23d%25e/command");
        assert_eq!(topic("../x"), "plant/7/..%2Fx/command");
        assert_eq!(topic("a\u{0}\n\u{85}"), "plant/7/a%00%0A%C2%85/command");
        assert_ne!(topic("a/b"), topic("a%2Fb"), "two ids never have one topic");
        let bare = OutTemplate::new("{twin}").unwrap();
        assert_eq!(bare.topic(|_| Some("$SYS/x")).unwrap(), "%24SYS%2Fx");
        assert_eq!(bare.topic(|_| None), None);
        let long = "x".repeat(70_000);
        assert_eq!(bare.topic(|_| Some(&long)), None);
    }
}
