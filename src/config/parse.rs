//! TOML text to a tree of values with their lines.

use std::sync::Arc;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    environment::Environment,
    error::{ConfigError, Place},
    node::{Node, Table, Value},
    reference,
};

/// Reads a file's text; references in its strings are resolved.
pub(crate) fn parse(
    file: &Arc<str>,
    text: &str,
    environment: &Environment,
) -> Result<Node, ConfigError> {
    let parser = Parser { lines: Lines::of(text), file: Arc::clone(file), environment };
    let table = DeTable::parse(text).map_err(|error| parser.syntax(&error))?;
    parser.table(table.get_ref(), Place::File(Arc::clone(file), 1))
}

/// Reads one value as it may stand behind `=`; `None` when it is not TOML.
pub(crate) fn parse_value(text: &str, place: &Place) -> Option<Node> {
    let value = DeValue::parse(text).ok()?;
    let environment = Environment::default();
    let parser = Parser { lines: Lines::of(""), file: "".into(), environment: &environment };
    let mut node = parser.value(value.get_ref(), 0).ok()?;
    replace(&mut node, place);
    Some(node)
}

fn replace(node: &mut Node, place: &Place) {
    node.place = place.clone();
    match &mut node.value {
        Value::List(list) => list.iter_mut().for_each(|node| replace(node, place)),
        Value::Table(table) => table.values_mut().for_each(|node| replace(node, place)),
        _ => {}
    }
}

struct Parser<'e> {
    lines: Lines,
    file: Arc<str>,
    environment: &'e Environment,
}

impl Parser<'_> {
    fn place(&self, offset: usize) -> Place {
        Place::File(Arc::clone(&self.file), self.lines.at(offset))
    }

    fn syntax(&self, error: &toml::de::Error) -> ConfigError {
        let message = error.message().replace('\n', ", ");
        let place = self.place(error.span().map_or(0, |span| span.start));
        ConfigError::new(format!("this is not TOML: {message}")).at(&place)
    }

    fn table(&self, table: &DeTable<'_>, place: Place) -> Result<Node, ConfigError> {
        let mut read = Table::new();
        for (key, value) in table {
            let name = key.get_ref().to_string();
            let node = self.spanned(value, key.span().start);
            read.insert(name.clone(), node.map_err(|error| error.below(name))?);
        }
        Ok(Node::new(Value::Table(read), place))
    }

    fn spanned(&self, value: &Spanned<DeValue<'_>>, key: usize) -> Result<Node, ConfigError> {
        self.value(value.get_ref(), key)
    }

    /// `offset` is where the key stands: what a person looks for first.
    fn value(&self, value: &DeValue<'_>, offset: usize) -> Result<Node, ConfigError> {
        let place = self.place(offset);
        let scalar = |value| Ok(Node::new(value, place.clone()));
        match value {
            DeValue::String(text) => reference::resolve(text, &place, self.environment),
            DeValue::Boolean(value) => scalar(Value::Bool(*value)),
            DeValue::Integer(digits) => {
                match i64::from_str_radix(digits.as_str(), digits.radix()) {
                    Ok(number) => scalar(Value::Integer(number)),
                    Err(_) => {
                        let sentence = format!("{digits} is beyond the numbers of 64 bits");
                        Err(ConfigError::new(sentence).at(&place))
                    }
                }
            }
            DeValue::Float(digits) => match digits.as_str().parse() {
                Ok(number) => scalar(Value::Float(number)),
                Err(_) => Err(ConfigError::new(format!("{digits} is no number")).at(&place)),
            },
            DeValue::Datetime(moment) => {
                scalar(Value::Text { text: moment.to_string().into(), loose: false })
            }
            DeValue::Array(list) => {
                let nodes = list.iter().enumerate().map(|(index, value)| {
                    let node = self.spanned(value, value.span().start);
                    node.map_err(|error| error.below(index.to_string()))
                });
                scalar(Value::List(nodes.collect::<Result<_, _>>()?))
            }
            DeValue::Table(table) => self.table(table, place),
        }
    }
}

/// Where the lines of a text begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(at, _)| at + 1).collect())
    }

    /// The line of an offset, from 1.
    fn at(&self, offset: usize) -> usize {
        self.0.partition_point(|start| *start <= offset) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, path: &[&str]) -> usize {
        let mut node = &parse(&"f".into(), text, &Environment::default()).unwrap();
        for key in path {
            node = &node.as_table().unwrap()[*key];
        }
        match node.place {
            Place::File(_, line) => line,
            _ => panic!("{:?}", node.place),
        }
    }

    #[test]
    fn every_value_knows_its_line() {
        let text = "[a]\nb = 1\n\n[c.d]\ne = [\n1,\n]\n";
        assert_eq!(line(text, &["a"]), 1);
        assert_eq!(line(text, &["a", "b"]), 2);
        assert_eq!(line(text, &["c", "d"]), 4);
        assert_eq!(line(text, &["c", "d", "e"]), 5);
    }

    #[test]
    fn offsets_become_lines() {
        let lines = Lines::of("a\nb\n\nc");
        assert_eq!([0, 1, 2, 3, 4, 5].map(|at| lines.at(at)), [1, 1, 2, 2, 3, 4]);
    }
}
