//! "Did you mean": the known name that is nearest to a wrong one.

/// The nearest name, if it is near enough to be meant.
pub(crate) fn nearest<'n>(
    wrong: &str,
    known: impl IntoIterator<Item = &'n str>,
) -> Option<&'n str> {
    let near = known.into_iter().map(|name| (distance(wrong, name), name)).min()?;
    (near.0 <= (wrong.len() / 3).max(1)).then_some(near.1)
}

/// A sentence part for a wrong name: what is meant, and what is known.
pub(crate) fn suggest(wrong: &str, known: &[&str], what: &str) -> String {
    let all = match known {
        [] => format!("there are no {what}"),
        _ => format!("{what}: {}", known.join(", ")),
    };
    match nearest(wrong, known.iter().copied()) {
        Some(near) => format!("; did you mean \"{near}\"? {all}"),
        None => format!("; {all}"),
    }
}

/// Levenshtein's distance, with one row.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = change.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        assert_eq!(distance("listen", "lisen"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(nearest("lisen", ["workers", "listen"]), Some("listen"));
        assert_eq!(nearest("colour", ["workers", "listen"]), None);
    }
}
