//! Holds the packages of the tree against the policy.

use std::collections::BTreeMap;

use super::license::Expression;
use super::package::{Package, Source};
use super::policy::{Advisory, Policy};

/// Everything in which the tree differs from the policy, as lines for people.
pub(super) fn check(policy: &Policy, packages: &[Package]) -> Vec<String> {
    let mut problems = Vec::new();
    for package in packages {
        let name = format!("{} {}", package.name, package.version);
        let found = [license(policy, package), source(policy, package)];
        problems.extend(found.into_iter().flatten().map(|problem| format!("{name}: {problem}")));
    }
    problems.extend(duplicates(policy, packages));
    problems.extend(policy.advisories.iter().filter_map(advisory));
    problems
}

fn license(policy: &Policy, package: &Package) -> Option<String> {
    let Some(license) = &package.license else {
        return Some("its manifest names no licence".to_owned());
    };
    let excepted = policy.exceptions.iter().filter(|exception| exception.name == package.name);
    let excepted = excepted.flat_map(|exception| &exception.licenses);
    let allowed: Vec<_> = policy.licenses.iter().chain(excepted).cloned().collect();
    match Expression::parse(license) {
        Ok(expression) if expression.is_satisfied_by(&allowed) => None,
        Ok(_) => Some(format!("licence '{license}' is not covered by the list in deny.toml")),
        Err(error) => Some(format!("licence '{license}' cannot be read: {error}")),
    }
}

fn source(policy: &Policy, package: &Package) -> Option<String> {
    match &package.source {
        Source::Workspace => None,
        Source::Elsewhere(path) => Some(format!("comes from outside the repository: '{path}'")),
        Source::Remote(source) => {
            let registry = source.strip_prefix("registry+");
            let known = registry.is_some_and(|url| policy.registries.iter().any(|r| r == url));
            (!known).then(|| format!("source '{source}' is not on the list in deny.toml"))
        }
    }
}

fn duplicates(policy: &Policy, packages: &[Package]) -> Vec<String> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages {
        versions.entry(&package.name).or_default().push(&package.version);
    }
    let mut problems = Vec::new();
    for (name, versions) in &versions {
        let skipped = |version: &&str| policy.skips.iter().any(|s| s.covers(name, version));
        if versions.iter().filter(|version| !skipped(version)).count() > 1 {
            let all = versions.join(" and ");
            problems.push(format!("{name}: versions {all}; see [bans] skip in deny.toml"));
        }
    }
    for skip in &policy.skips {
        let versions = versions.get(skip.name.as_str()).map_or(&[][..], Vec::as_slice);
        let present = versions.iter().any(|version| skip.covers(&skip.name, version));
        if !present || versions.len() < 2 {
            let text = format!("{} {}: stands alone, remove the skip", skip.name, skip.version);
            problems.push(text);
        }
    }
    problems
}

/// An accepted advisory says when somebody looks at it again.
fn advisory(advisory: &Advisory) -> Option<String> {
    let (_, date) = advisory.reason.split_once("look again ").unwrap_or_default();
    let is_date = date.len() == "2000-12-31".len()
        && date.chars().enumerate().all(|(at, c)| match at {
            4 | 7 => c == '-',
            _ => c.is_ascii_digit(),
        });
    (!is_date).then(|| format!("{}: its reason ends without 'look again DATE'", advisory.id))
}

#[cfg(test)]
mod tests {
    use super::super::policy::{Exception, Skip};
    use super::*;

    const INDEX: &str = "registry+https://example.org/index";

    fn policy() -> Policy {
        Policy {
            licenses: vec!["MIT".to_owned()],
            exceptions: vec![],
            registries: vec!["https://example.org/index".to_owned()],
            skips: vec![],
            advisories: vec![],
        }
    }

    fn package(name: &str, version: &str, license: Option<&str>, source: &str) -> Package {
        Package {
            name: name.to_owned(),
            version: version.to_owned(),
            license: license.map(str::to_owned),
            source: Source::Remote(source.to_owned()),
        }
    }

    fn good(name: &str, version: &str) -> Package {
        package(name, version, Some("MIT"), INDEX)
    }

    fn skip(name: &str, version: &str) -> Skip {
        Skip { name: name.to_owned(), version: version.to_owned() }
    }

    #[test]
    fn a_tree_within_the_policy_has_no_problems() {
        let ours = Package { source: Source::Workspace, ..good("ours", "0.1.0") };
        assert!(check(&policy(), &[ours, good("theirs", "1.0.0")]).is_empty());
    }

    #[test]
    fn a_licence_outside_the_list_is_a_problem() {
        let packages = [
            package("a", "1.0.0", Some("GPL-3.0-only"), INDEX),
            package("b", "1.0.0", None, INDEX),
            package("c", "1.0.0", Some("MIT OR"), INDEX),
        ];
        let expected = [
            "a 1.0.0: licence 'GPL-3.0-only' is not covered by the list in deny.toml",
            "b 1.0.0: its manifest names no licence",
            "c 1.0.0: licence 'MIT OR' cannot be read: expected a licence, found the end",
        ];
        assert_eq!(check(&policy(), &packages), expected);
    }

    #[test]
    fn an_exception_is_for_its_package_alone() {
        let licenses = vec!["CC0-1.0".to_owned()];
        let exceptions = vec![Exception { name: "a".to_owned(), licenses }];
        let policy = Policy { exceptions, ..policy() };
        let packages = ["a", "b"].map(|name| package(name, "1.0.0", Some("CC0-1.0"), INDEX));
        let problem = "b 1.0.0: licence 'CC0-1.0' is not covered by the list in deny.toml";
        assert_eq!(check(&policy, &packages), [problem]);
    }

    #[test]
    fn a_source_outside_the_list_is_a_problem() {
        let git = "git+https://example.org/index#1234";
        let other = "registry+https://example.org/index2";
        let elsewhere = Source::Elsewhere("/other/Cargo.toml".to_owned());
        let packages = [
            package("a", "1.0.0", Some("MIT"), git),
            package("b", "1.0.0", Some("MIT"), other),
            Package { source: elsewhere, ..good("c", "1.0.0") },
        ];
        let expected = [
            format!("a 1.0.0: source '{git}' is not on the list in deny.toml"),
            format!("b 1.0.0: source '{other}' is not on the list in deny.toml"),
            "c 1.0.0: comes from outside the repository: '/other/Cargo.toml'".to_owned(),
        ];
        assert_eq!(check(&policy(), &packages), expected);
    }

    #[test]
    fn a_second_version_needs_an_entry() {
        let packages = [good("a", "0.3.4"), good("a", "0.4.1")];
        let problems = check(&policy(), &packages);
        assert_eq!(problems, ["a: versions 0.3.4 and 0.4.1; see [bans] skip in deny.toml"]);
        let policy = Policy { skips: vec![skip("a", "0.3")], ..policy() };
        assert!(check(&policy, &packages).is_empty());
    }

    #[test]
    fn one_entry_does_not_excuse_a_third_version() {
        let packages = [good("a", "0.3.4"), good("a", "0.4.1"), good("a", "0.5.0")];
        let policy = Policy { skips: vec![skip("a", "0.3")], ..policy() };
        assert_eq!(check(&policy, &packages).len(), 1);
    }

    #[test]
    fn an_entry_that_nothing_needs_is_a_problem() {
        let policy = Policy { skips: vec![skip("a", "0.3"), skip("b", "1")], ..policy() };
        let problems = check(&policy, &[good("a", "0.3.4")]);
        let expected =
            ["a 0.3: stands alone, remove the skip", "b 1: stands alone, remove the skip"];
        assert_eq!(problems, expected);
    }

    #[test]
    fn an_accepted_advisory_without_a_date_is_a_problem() {
        let advisory = |reason: &str| Advisory { id: "R-1".to_owned(), reason: reason.to_owned() };
        let advisories = ["no harm", "no harm; look again soon", "no harm; look again 2030-01-01"];
        let policy = Policy { advisories: advisories.map(advisory).into(), ..policy() };
        assert_eq!(check(&policy, &[]), ["R-1: its reason ends without 'look again DATE'"; 2]);
    }
}
