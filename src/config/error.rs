//! What is wrong with a configuration: the place, the key path, and a sentence.

use std::{fmt, sync::Arc};

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the file, on this line (from 1).
    File(Arc<str>, usize),
    /// In this environment variable.
    Environment(String),
    /// In this flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file, line) => write!(f, "{file}:{line}"),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// One thing that is wrong. Shown as `file:line: key path: sentence`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    place: Option<Place>,
    path: Vec<String>,
    sentence: String,
    /// A value that stands in the sentence's place of `{}`; left out when it came by reference.
    found: Option<String>,
}

impl ConfigError {
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self { place: None, path: Vec::new(), sentence: sentence.into(), found: None }
    }

    /// A sentence that begins with what was found; hidden if it came by reference.
    pub(crate) fn found(what: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self { found: Some(what.into()), ..Self::new(sentence) }
    }

    /// The same, at a place, unless a closer one is known.
    #[must_use]
    pub(crate) fn at(mut self, place: &Place) -> Self {
        self.place.get_or_insert_with(|| place.clone());
        self
    }

    /// The same, below one more key.
    #[must_use]
    pub(crate) fn below(mut self, key: impl Into<String>) -> Self {
        self.path.insert(0, key.into());
        self
    }

    /// The same, without the value that was found: it may be a secret.
    #[must_use]
    pub(crate) fn hiding(mut self) -> Self {
        if self.found.take().is_some() {
            self.sentence.insert_str(0, "its value does not fit: ");
        }
        self
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path.join("."))?;
        }
        if let Some(found) = &self.found {
            write!(f, "found {found}, ")?;
        }
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for ConfigError {}

/// Everything that is wrong with a configuration, one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}
