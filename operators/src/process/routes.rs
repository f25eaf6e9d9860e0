//! Where the data source of a twin is: connection and captured names, interned (law D4).

use std::collections::HashMap;

use twinflow_connectors::row::Attributes;

/// A data source: which connection, and the names that its topic template captured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Route {
    pub(crate) connection: u16,
    pub(crate) names: Vec<(String, String)>,
}

impl Route {
    /// Stored form: connection u16, then per name `key length u16, key, value length u16, value`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.connection.to_le_bytes().to_vec();
        for text in self.names.iter().flat_map(|(key, value)| [key, value]) {
            bytes.extend_from_slice(&(text.len() as u16).to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes
    }

    /// Reads the stored form; `None` when it is damaged.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (connection, mut rest) = bytes.split_first_chunk::<2>()?;
        let mut texts = Vec::new();
        while !rest.is_empty() {
            let (len, tail) = rest.split_first_chunk::<2>()?;
            let (text, tail) = tail.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
            texts.push(String::from_utf8(text.to_vec()).ok()?);
            rest = tail;
        }
        let pairs = texts.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        Some(Self { connection: u16::from_le_bytes(*connection), names: pairs })
    }

    fn is(&self, connection: u16, attributes: Attributes<'_>) -> bool {
        self.connection == connection
            && (self.names.is_empty() && attributes.is_plain()
                || self
                    .names
                    .iter()
                    .map(|(key, value)| (key.as_str(), value.as_str()))
                    .eq(attributes.names()))
    }
}

/// All routes of a model on a worker, each stored once. Number 0 stands for no data source.
#[derive(Debug)]
pub(crate) struct Routes {
    known: Vec<Route>,
    numbers: HashMap<Route, u32>,
}

impl Default for Routes {
    fn default() -> Self {
        Self { known: vec![Route::default()], numbers: HashMap::new() }
    }
}

impl Routes {
    /// The route of a number.
    pub(crate) fn get(&self, number: u32) -> Option<&Route> {
        self.known.get(number as usize).filter(|_| number > 0)
    }

    /// The number of a route.
    pub(crate) fn intern(&mut self, route: Route) -> u32 {
        if let Some(number) = self.numbers.get(&route) {
            return *number;
        }
        let number = self.known.len() as u32;
        self.known.push(route.clone());
        self.numbers.insert(route, number);
        number
    }

    /// The new number if a message came by another way than `current`.
    #[inline]
    pub(crate) fn moved(
        &mut self,
        current: u32,
        connection: u16,
        attributes: Attributes<'_>,
    ) -> Option<u32> {
        if current > 0 && self.known[current as usize].is(connection, attributes) {
            return None;
        }
        let names = attributes.names().map(|(key, value)| (key.to_owned(), value.to_owned()));
        let number = self.intern(Route { connection, names: names.collect() });
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinflow_connectors::row::AttributesWriter;

    #[test]
    fn a_route_changes_only_when_connection_or_names_do() {
        let mut routes = Routes::default();
        let mut written = AttributesWriter::default();
        written.name("site", "7");
        let attributes = Attributes::new(written.bytes());
        let first = routes.moved(0, 3, attributes).unwrap();
        assert_eq!(routes.moved(first, 3, attributes), None);
        assert!(routes.moved(first, 4, attributes).is_some());
        assert!(routes.moved(first, 3, Attributes::default()).is_some());
        let route = routes.get(first).unwrap();
        assert_eq!(Route::decode(&route.encode()).as_ref(), Some(route));
        assert_eq!(routes.get(0), None);
    }
}
