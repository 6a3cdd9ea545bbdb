//! What a query asks for: enough of `PromQL` to say which series it names, with which labels, inside of what.
//! Whether it is right is for Prometheus to say.

/// A query, taken apart.
#[derive(Debug, Default)]
pub struct Query {
    /// The series that it names.
    pub selectors: Vec<Selector>,
    /// The labels that it groups or joins by.
    pub grouped: Vec<String>,
    /// Its strings: what `label_replace` and `label_join` make and read.
    pub strings: Vec<String>,
    /// Its numbers.
    pub numbers: Vec<f64>,
}

/// A name with matchers.
#[derive(Debug)]
pub struct Selector {
    /// The metric.
    pub name: String,
    /// Label, operator, value.
    pub matchers: Vec<(String, String, String)>,
    /// What stands in `[]` behind it.
    pub range: Option<String>,
    /// The functions and aggregations around it, the innermost last.
    pub inside: Vec<String>,
}

/// Words that are no names of series.
const WORDS: &[&str] =
    &["and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "group_left", "group_right"];
/// Those of them behind which labels stand.
const GROUPING: &[&str] = &["by", "without", "on", "ignoring", "group_left", "group_right"];

impl Query {
    /// Takes a query apart.
    pub fn of(text: &str) -> Self {
        let mut query = Self::default();
        let mut rest = text;
        let mut around: Vec<String> = Vec::new();
        // The name before a parenthesis that has not come yet.
        let mut called = String::new();
        while let Some(first) = rest.chars().next() {
            if first == '"' {
                let (string, after) = string(rest);
                query.strings.push(string);
                rest = after;
            } else if first == '(' {
                around.push(std::mem::take(&mut called));
                rest = &rest[1..];
            } else if first == ')' {
                around.pop();
                rest = &rest[1..];
            } else if first == '$' || first.is_ascii_digit() {
                let end = rest[1..].find(|c: char| !is_word(c) && c != '.').map_or(rest.len(), |at| at + 1);
                let number = rest[..end].parse::<f64>();
                rest = &rest[end..];
                if let Ok(mut number) = number {
                    // `15 * 60` is one number.
                    while let Some((factor, after)) = factor(rest) {
                        number *= factor;
                        rest = after;
                    }
                    query.numbers.push(number);
                }
            } else if is_word(first) {
                let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                rest = after.trim_start();
                if GROUPING.contains(&word) && rest.starts_with('(') {
                    let (labels, after) = rest[1..].split_once(')').expect("a closed list of labels");
                    query
                        .grouped
                        .extend(labels.split(',').map(|label| label.trim().to_owned()).filter(|l| !l.is_empty()));
                    rest = after;
                } else if is_call(rest) && !WORDS.contains(&word) {
                    called = word.to_owned();
                } else if !WORDS.contains(&word) {
                    let (matchers, after) = matchers(rest);
                    let range = after.strip_prefix('[').and_then(|inner| inner.split_once(']'));
                    rest = range.map_or(after, |(_, after)| after);
                    let inside = around.iter().filter(|name| !name.is_empty()).cloned().collect();
                    let range = range.map(|(range, _)| range.to_owned());
                    query.selectors.push(Selector { name: word.to_owned(), matchers, range, inside });
                }
            } else {
                rest = &rest[first.len_utf8()..];
            }
        }
        query
    }
}

impl Selector {
    /// Its family: without the ending of a part of a histogram that `is_histogram` knows.
    pub fn family(&self, is_histogram: impl Fn(&str) -> bool) -> &str {
        ["_bucket", "_count", "_sum"]
            .iter()
            .find_map(|ending| self.name.strip_suffix(ending).filter(|name| is_histogram(name)))
            .unwrap_or(&self.name)
    }
}

/// The number that a text goes on to multiply by, and what is behind it.
fn factor(text: &str) -> Option<(f64, &str)> {
    let rest = text.trim_start().strip_prefix('*')?.trim_start();
    let end = rest.find(|c: char| !is_word(c) && c != '.').unwrap_or(rest.len());
    Some((rest[..end].parse().ok()?, &rest[end..]))
}

/// Whether what is behind a word makes it a function or an aggregation: a parenthesis, or what it groups by.
fn is_call(rest: &str) -> bool {
    let groups = |by: &&str| rest.strip_prefix(*by).is_some_and(|rest| rest.starts_with([' ', '(']));
    rest.starts_with('(') || ["by", "without"].iter().any(groups)
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// The string that a text begins with, and what is behind it.
fn string(text: &str) -> (String, &str) {
    let mut string = String::new();
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => {
                string.extend(['\\', c].iter().skip(usize::from(c == '"')));
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return (string, &text[at + 1..]),
            c => string.push(c),
        }
    }
    panic!("a string without an end: {text}");
}

/// The matchers that a text begins with, if it does, and what is behind them.
fn matchers(text: &str) -> (Vec<(String, String, String)>, &str) {
    let mut found = Vec::new();
    let Some(mut rest) = text.strip_prefix('{') else { return (found, text) };
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return (found, after.trim_start());
        }
        let name = rest.find(|c| !is_word(c)).expect("a matcher");
        let quote = rest.find('"').expect("a value");
        let (value, after) = string(&rest[quote..]);
        found.push((rest[..name].to_owned(), rest[name..quote].trim().to_owned(), value));
        rest = after;
    }
}

/// Whether a regular expression of the kinds that queries here use (alternatives, `.`, `.+`, `.*`) is all of a value.
pub fn matches(pattern: &str, value: &str) -> bool {
    pattern.split('|').any(|one| matches_one(one.as_bytes(), value.as_bytes()))
}

fn matches_one(pattern: &[u8], value: &[u8]) -> bool {
    match pattern {
        [] => value.is_empty(),
        [b'.', b'*', rest @ ..] => (0..=value.len()).any(|at| matches_one(rest, &value[at..])),
        [b'.', b'+', rest @ ..] => (1..=value.len()).any(|at| matches_one(rest, &value[at..])),
        [one, rest @ ..] => value.first().is_some_and(|v| *one == b'.' || one == v) && matches_one(rest, &value[1..]),
    }
}

#[test]
fn a_query_is_taken_apart() {
    let text = r#"sum by (le, a) (rate(x_bucket{job=~"$job",b!="\\d"}[$__rate_interval])) / (max without(c)(y) > 14.4) * on (d) group_left z{} > bool 15 * 60"#;
    let query = Query::of(text);
    let names: Vec<&str> = query.selectors.iter().map(|selector| selector.name.as_str()).collect();
    assert_eq!(names, ["x_bucket", "y", "z"]);
    assert_eq!(query.grouped, ["le", "a", "c", "d"]);
    assert_eq!(query.selectors[0].inside, ["sum", "rate"]);
    assert_eq!(query.selectors[0].range.as_deref(), Some("$__rate_interval"));
    let wanted =
        [("job", "=~", "$job"), ("b", "!=", r"\\d")].map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
    assert_eq!(query.selectors[0].matchers, wanted);
    assert_eq!(query.selectors[1].inside, ["max"]);
    assert_eq!(query.numbers, [14.4, 900.0]);
    assert_eq!(query.selectors[0].family(|name| name == "x"), "x");
}

#[test]
fn regular_expressions_of_queries_are_understood() {
    assert!(matches("5..", "503") && !matches("5..", "50"));
    assert!(matches("a|b", "b") && !matches("a|b", "ab"));
    assert!(matches(".+", "a") && !matches(".+", "") && matches("x.*", "x"));
}
