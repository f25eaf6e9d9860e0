//! What `deny.toml` says, as far as it is checked here.

use toml::{Table, Value};

use crate::error::{Error, Result};

/// The part of `deny.toml` that needs no network.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Policy {
    /// Licences that may be used, `WITH` exceptions included.
    pub(super) licenses: Vec<String>,
    /// Packages that may have other licences.
    pub(super) exceptions: Vec<Exception>,
    /// Registries that packages may come from, without cargo's `registry+`.
    pub(super) registries: Vec<String>,
    /// Versions that may stand beside another version of the same package.
    pub(super) skips: Vec<Skip>,
    /// Advisories that are known and accepted.
    pub(super) advisories: Vec<Advisory>,
}

/// Licences that one package may have beside those of the list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exception {
    pub(super) name: String,
    pub(super) licenses: Vec<String>,
}

/// A version that may stand beside another one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Skip {
    pub(super) name: String,
    /// Leading components: `0.3` stands for every `0.3.x`.
    pub(super) version: String,
}

impl Skip {
    /// Whether the entry speaks of this package.
    pub(super) fn covers(&self, name: &str, version: &str) -> bool {
        let rest = version.strip_prefix(self.version.as_str());
        self.name == name && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

/// An advisory that does not fail the advisory check.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Advisory {
    pub(super) id: String,
    pub(super) reason: String,
}

/// Reads `deny.toml`.
///
/// # Errors
///
/// When it is not TOML, or a list that is checked here is absent or has another form.
pub(super) fn parse(text: &str) -> Result<Policy> {
    let table: Table =
        text.parse().map_err(|error| Error::failed(format!("read deny.toml: {error}")))?;
    let strings = |section, key| {
        let all = texts(list(&table, section, key)?);
        all.ok_or_else(|| Error::failed(format!("deny.toml: [{section}] {key}: text only")))
    };
    let exceptions = list(&table, "licenses", "exceptions")?.iter().map(|entry| {
        let allow = entry.get("allow").and_then(Value::as_array).and_then(|all| texts(all));
        let licenses = allow.ok_or_else(|| {
            Error::failed(format!("deny.toml: an entry of 'exceptions' has no 'allow': {entry}"))
        })?;
        Ok(Exception { name: field(entry, "exceptions", "crate")?, licenses })
    });
    let skips = list(&table, "bans", "skip")?.iter().map(|entry| {
        let (name, version) = (field(entry, "skip", "name")?, field(entry, "skip", "version")?);
        field(entry, "skip", "reason")?;
        if !version.chars().all(|c| c.is_ascii_digit() || c == '.') {
            let text = format!("deny.toml: skip of '{name}': '{version}' is not like '0.3'");
            return Err(Error::failed(text));
        }
        Ok(Skip { name, version })
    });
    let advisories = list(&table, "advisories", "ignore")?.iter().map(|entry| {
        let (id, reason) = (field(entry, "ignore", "id")?, field(entry, "ignore", "reason")?);
        Ok(Advisory { id, reason })
    });
    Ok(Policy {
        licenses: strings("licenses", "allow")?,
        exceptions: exceptions.collect::<Result<_>>()?,
        registries: strings("sources", "allow-registry")?,
        skips: skips.collect::<Result<_>>()?,
        advisories: advisories.collect::<Result<_>>()?,
    })
}

fn list<'t>(table: &'t Table, section: &str, key: &str) -> Result<&'t [Value]> {
    let list = table.get(section).and_then(|section| section.get(key)).and_then(Value::as_array);
    let list = list.ok_or_else(|| Error::failed(format!("deny.toml: [{section}] has no {key}")))?;
    Ok(list)
}

fn texts(list: &[Value]) -> Option<Vec<String>> {
    list.iter().map(|value| value.as_str().map(str::to_owned)).collect()
}

fn field(entry: &Value, list: &str, key: &str) -> Result<String> {
    let text = entry.get(key).and_then(Value::as_str);
    let text = text.ok_or_else(|| {
        Error::failed(format!("deny.toml: an entry of '{list}' has no '{key}': {entry}"))
    })?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [advisories]
        ignore = [{ id = "RUSTSEC-2000-0001", reason = "ours; look again 2030-01-01" }]
        [licenses]
        allow = ["MIT", "Apache-2.0 WITH LLVM-exception"]
        exceptions = [{ allow = ["CC0-1.0"], crate = "keccak" }]
        [bans]
        skip = [{ name = "syn", version = "2", reason = "old derives" }]
        [sources]
        allow-registry = ["https://example.org/index"]
    "#;

    #[test]
    fn every_list_is_read() {
        let policy = parse(GOOD).expect("a policy");
        assert_eq!(policy.licenses, ["MIT", "Apache-2.0 WITH LLVM-exception"]);
        let exception = Exception { name: "keccak".into(), licenses: vec!["CC0-1.0".into()] };
        assert_eq!(policy.exceptions, [exception]);
        assert_eq!(policy.registries, ["https://example.org/index"]);
        assert!(policy.skips[0].covers("syn", "2.0.119"));
        assert_eq!(policy.advisories[0].id, "RUSTSEC-2000-0001");
    }

    #[test]
    fn a_list_that_is_absent_is_an_error_and_not_an_empty_list() {
        let error =
            parse(&GOOD.replace("allow = [\"MIT\"", "allowed = [\"MIT\"")).expect_err("no allow");
        assert_eq!(error.to_string(), "deny.toml: [licenses] has no allow");
    }

    #[test]
    fn an_exception_without_a_reason_is_refused() {
        let error = parse(&GOOD.replace(r#", reason = "old derives""#, "")).expect_err("no reason");
        assert!(error.to_string().contains("'skip' has no 'reason'"), "{error}");
    }

    #[test]
    fn a_range_is_refused_where_leading_components_are_asked_for() {
        let error = parse(&GOOD.replace(r#""2""#, r#"">=2""#)).expect_err("a range");
        assert!(error.to_string().contains("'>=2' is not like '0.3'"), "{error}");
    }

    #[test]
    fn a_skip_covers_whole_components_only() {
        let skip = Skip { name: "a".to_owned(), version: "0.3".to_owned() };
        assert!(skip.covers("a", "0.3"));
        assert!(skip.covers("a", "0.3.4"));
        assert!(!skip.covers("a", "0.31.0"));
        assert!(!skip.covers("b", "0.3.4"));
    }

    #[test]
    fn the_policy_of_this_repository_can_be_read() {
        let policy = parse(include_str!("../../../deny.toml")).expect("deny.toml");
        assert!(policy.licenses.contains(&"MIT".to_owned()));
    }
}
