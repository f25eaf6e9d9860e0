//! Tells the code of a Rust file from its comments, and both from its string literals.
//!
//! Not a parser: just enough that a word in a comment or a string is not taken for code.

/// Returns the text twice, line for line and column for column: once with all but code blanked,
/// once with all but comments blanked. String and character literals are blank in both.
pub(super) fn split(text: &str) -> (String, String) {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut comments = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let (kind, end) = token(&chars, at);
        for &c in &chars[at..end] {
            let blank = if c == '\n' { '\n' } else { ' ' };
            code.push(if kind == Kind::Code { c } else { blank });
            comments.push(if kind == Kind::Comment { c } else { blank });
        }
        at = end;
    }
    (code, comments)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

/// What starts at `at`, and where it ends.
fn token(chars: &[char], at: usize) -> (Kind, usize) {
    let rest = &chars[at..];
    let after_word = at > 0 && is_word(chars[at - 1]);
    match rest {
        ['/', '/', ..] => (Kind::Comment, at + line_comment(rest)),
        ['/', '*', ..] => (Kind::Comment, at + block_comment(rest)),
        ['"', ..] => (Kind::Literal, at + quoted(rest, '"')),
        ['\'', '\\', ..] | ['\'', _, '\'', ..] => (Kind::Literal, at + quoted(rest, '\'')),
        ['r' | 'b' | 'c', ..] if !after_word => match raw_string(rest) {
            Some(length) => (Kind::Literal, at + length),
            None => (Kind::Code, at + 1),
        },
        _ => (Kind::Code, at + 1),
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn line_comment(rest: &[char]) -> usize {
    rest.iter().position(|&c| c == '\n').unwrap_or(rest.len())
}

/// Block comments nest.
fn block_comment(rest: &[char]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => {
                depth += 1;
                at += 2;
            }
            ['*', '/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    rest.len()
}

fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of `r"..."`, `r#"..."#`, `br"..."` or `cr"..."`, if one starts here.
fn raw_string(rest: &[char]) -> Option<usize> {
    let prefix = if matches!(rest, ['b' | 'c', 'r', ..]) { 1 } else { 0 };
    if rest.get(prefix) != Some(&'r') {
        return None;
    }
    let hashes = rest[prefix + 1..].iter().take_while(|&&c| c == '#').count();
    let open = prefix + 1 + hashes;
    if rest.get(open) != Some(&'"') {
        return None;
    }
    let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let body = &rest[open + 1..];
    let length = body.windows(close.len()).position(|window| window == close);
    Some(length.map_or(rest.len(), |length| open + 1 + length + close.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        split(text).0.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn comments(text: &str) -> String {
        split(text).1.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_and_code_are_told_apart() {
        let text = "a(); // one\n/* two /* three */ four */ b();\n";
        assert_eq!(code(text), "a(); b();");
        assert_eq!(comments(text), "// one /* two /* three */ four */");
    }

    #[test]
    fn a_comment_mark_in_a_string_is_no_comment() {
        assert_eq!(comments(r#"f("// no", "\" /* no");"#), "");
        assert_eq!(code(r#"f("// no", "\" /* no");"#), "f( , );");
    }

    #[test]
    fn a_quote_in_a_raw_string_does_not_end_it() {
        let text = r###"f(r#"a " b"#, br"c\", r"d") // end"###;
        assert_eq!(code(text), "f( , , )");
        assert_eq!(comments(text), "// end");
    }

    #[test]
    fn a_raw_identifier_is_code() {
        assert_eq!(code("r#type + for_r"), "r#type + for_r");
    }

    #[test]
    fn a_lifetime_is_code_and_a_character_is_not() {
        assert_eq!(code("fn f<'a>(x: &'a str) { g('\"', '\\'', 'x') }").matches('\'').count(), 2);
        assert_eq!(comments("g('\"'); // end"), "// end");
    }

    #[test]
    fn lines_and_columns_stay_where_they_were() {
        let text = "let a = \"x\ny\"; // z\nb();";
        let (code, comments) = split(text);
        assert_eq!(code.lines().nth(2), Some("b();"));
        assert_eq!(comments.lines().nth(1).and_then(|line| line.find("// z")), Some(4));
        assert_eq!((code.len(), comments.len()), (text.len(), text.len()));
    }
}
