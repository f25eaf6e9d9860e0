//! SPDX licence expressions: `MIT OR (Apache-2.0 WITH LLVM-exception AND Zlib)`.
//!
//! `WITH` binds closest, then `AND`, then `OR`. The slash of old manifests (`MIT/Apache-2.0`) is
//! read as `OR`, as crates.io does.

/// A licence expression as a tree.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Expression {
    /// One licence, with its exception when it has one, as in `Apache-2.0 WITH LLVM-exception`.
    License(String),
    /// Both sides bind.
    And(Box<Expression>, Box<Expression>),
    /// The user chooses a side.
    Or(Box<Expression>, Box<Expression>),
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    ///
    /// What was found, and what should have stood there.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let tokens = tokens(text);
        let mut parser = Parser { tokens: &tokens };
        let expression = parser.or()?;
        match parser.tokens.first() {
            None => Ok(expression),
            Some(token) => Err(format!("expected the end, found '{token}'")),
        }
    }

    /// Whether the licences on the list are enough to use the work.
    pub(super) fn is_satisfied_by(&self, allowed: &[String]) -> bool {
        match self {
            Self::License(name) => allowed.contains(name),
            Self::And(left, right) => {
                left.is_satisfied_by(allowed) && right.is_satisfied_by(allowed)
            }
            Self::Or(left, right) => {
                left.is_satisfied_by(allowed) || right.is_satisfied_by(allowed)
            }
        }
    }
}

fn tokens(text: &str) -> Vec<String> {
    let spaced = text.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    spaced.split_whitespace().map(str::to_owned).collect()
}

struct Parser<'t> {
    tokens: &'t [String],
}

impl Parser<'_> {
    fn or(&mut self) -> Result<Expression, String> {
        let mut left = self.and()?;
        while self.take("OR") {
            left = Expression::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expression, String> {
        let mut left = self.license()?;
        while self.take("AND") {
            left = Expression::And(Box::new(left), Box::new(self.license()?));
        }
        Ok(left)
    }

    fn license(&mut self) -> Result<Expression, String> {
        if self.take("(") {
            let inner = self.or()?;
            if !self.take(")") {
                return Err("expected ')' somewhere after '('".to_owned());
            }
            return Ok(inner);
        }
        let mut name = self.name("a licence")?;
        if self.take("WITH") {
            name = format!("{name} WITH {}", self.name("an exception")?);
        }
        Ok(Expression::License(name))
    }

    fn name(&mut self, what: &str) -> Result<String, String> {
        let Some((first, rest)) = self.tokens.split_first() else {
            return Err(format!("expected {what}, found the end"));
        };
        if matches!(first.as_str(), "OR" | "AND" | "WITH" | "(" | ")") {
            return Err(format!("expected {what}, found '{first}'"));
        }
        self.tokens = rest;
        Ok(first.clone())
    }

    fn take(&mut self, token: &str) -> bool {
        match self.tokens.split_first() {
            Some((first, rest)) if first == token => {
                self.tokens = rest;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(text: &str) -> bool {
        let list = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "Unicode-3.0"];
        let list: Vec<String> = list.map(str::to_owned).to_vec();
        Expression::parse(text).expect("a licence expression").is_satisfied_by(&list)
    }

    fn license(name: &str) -> Box<Expression> {
        Box::new(Expression::License(name.to_owned()))
    }

    #[test]
    fn and_binds_closer_than_or() {
        let right = Expression::And(license("B"), license("C"));
        let expected = Expression::Or(license("A"), Box::new(right));
        assert_eq!(Expression::parse("A OR B AND C"), Ok(expected));
    }

    #[test]
    fn parentheses_bind_closest() {
        let left = Expression::Or(license("A"), license("B"));
        let expected = Expression::And(Box::new(left), license("C"));
        assert_eq!(Expression::parse("(A OR B) AND C"), Ok(expected));
    }

    #[test]
    fn one_side_of_or_is_enough() {
        assert!(allowed("MIT OR GPL-3.0-only"));
        assert!(allowed("LGPL-2.1-or-later OR MIT OR Apache-2.0"));
        assert!(!allowed("GPL-2.0-only OR GPL-3.0-only"));
    }

    #[test]
    fn and_needs_both_sides() {
        assert!(allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(!allowed("MIT AND GPL-3.0-only"));
        assert!(!allowed("(MIT OR Apache-2.0) AND OpenSSL"));
    }

    #[test]
    fn a_public_domain_dedication_passes_only_beside_an_allowed_licence() {
        assert!(allowed("Unlicense OR MIT"));
        assert!(allowed("CC0-1.0 OR Apache-2.0"));
        assert!(!allowed("Unlicense"));
        assert!(!allowed("CC0-1.0"));
        assert!(!allowed("CC0-1.0 AND MIT"));
    }

    #[test]
    fn an_exception_makes_another_licence() {
        assert!(allowed("Apache-2.0 WITH LLVM-exception"));
        assert!(!allowed("MIT WITH LLVM-exception"));
        assert!(!allowed("GPL-2.0-only WITH Classpath-exception-2.0"));
    }

    #[test]
    fn the_slash_of_old_manifests_is_or() {
        assert!(allowed("MIT/Apache-2.0"));
        assert!(allowed("GPL-3.0-only / MIT"));
        assert!(!allowed("GPL-2.0-only/GPL-3.0-only"));
    }

    #[test]
    fn a_similar_name_is_another_licence() {
        assert!(!allowed("MIT-0"));
        assert!(!allowed("Apache-2.0+"));
        assert!(!allowed("mit"));
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        let error = |text| Expression::parse(text).expect_err("not an expression");
        assert_eq!(error(""), "expected a licence, found the end");
        assert_eq!(error("MIT OR"), "expected a licence, found the end");
        assert_eq!(error("OR MIT"), "expected a licence, found 'OR'");
        assert_eq!(error("MIT Apache-2.0"), "expected the end, found 'Apache-2.0'");
        assert_eq!(error("(MIT OR Zlib"), "expected ')' somewhere after '('");
        assert_eq!(error("MIT)"), "expected the end, found ')'");
        assert_eq!(error("Apache-2.0 WITH"), "expected an exception, found the end");
    }
}
