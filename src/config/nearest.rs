//! Which name somebody may have meant who wrote one that there is not.

/// Changed letters up to which two names are taken for the same one, mistyped.
const FAR: usize = 3;

/// What to say about a name that nobody knows: the one that is near, or else all.
pub(super) fn hint<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let nearest = known.iter().map(|other| (distance(name, other), *other)).min();
    match nearest {
        // A short name is near to everything.
        Some((far, other)) if far <= FAR && far * 2 < name.chars().count() => format!("did you mean {other}?"),
        _ => format!("there are {}", known.join(", ")),
    }
}

/// Letters to insert, remove or replace until one name is the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.chars().enumerate() {
        let mut diagonal = index;
        let mut left = index + 1;
        for (cell, expected) in row.iter_mut().skip(1).zip(&other) {
            let replaced = diagonal + usize::from(letter != *expected);
            diagonal = *cell;
            left = replaced.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_letters_that_differ() {
        for (one, other, wanted) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("lisen", "listen", 1),
            ("kitten", "sitting", 3),
            ("ab", "ba", 2),
        ] {
            assert_eq!((distance(one, other), distance(other, one)), (wanted, wanted), "{one} {other}");
        }
    }

    #[test]
    fn a_typing_mistake_names_one_and_a_strange_name_all() {
        let known = ["chunk_size", "trace_limit", "listen"];
        assert_eq!(hint("chunk_siz", known.into_iter()), "did you mean chunk_size?");
        assert_eq!(hint("wrong_altogether", known.into_iter()), "there are chunk_size, trace_limit, listen");
        assert_eq!(hint("li", known.into_iter()), "there are chunk_size, trace_limit, listen");
    }
}
