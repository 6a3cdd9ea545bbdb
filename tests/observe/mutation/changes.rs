//! Every small change of a rule: of its expression, and of how long it waits.

use crate::alerts::Rule;

/// One change of a rule: what was changed, as line, column, old and new, and all of the rule then.
pub struct Change {
    pub what: String,
    pub text: String,
}

/// Recorded times, each with some that are shorter or longer.
const RECORDED: &[(&str, &[&str])] = &[
    ("rate5m", &["rate30m", "rate1h"]),
    ("rate30m", &["rate5m", "rate1h"]),
    ("rate1h", &["rate30m", "rate2h"]),
    ("rate2h", &["rate1h", "rate6h"]),
    ("rate6h", &["rate2h", "rate1d"]),
    ("rate1d", &["rate6h", "rate3d"]),
    ("rate3d", &["rate6h", "rate1d"]),
    ("increase1h", &["increase6h"]),
    ("increase6h", &["increase1h"]),
];

/// Words, each with what is written instead. `group` is not among them: only whether there is anything counts of it.
const WORDS: &[(&str, &[&str])] = &[
    ("and", &["unless"]),
    ("unless", &["and"]),
    ("or", &["and"]),
    ("clamp_min", &["clamp_max"]),
    ("sum", &["max", "avg"]),
    ("max", &["min", "sum"]),
    ("min", &["max", "sum"]),
    ("count", &["sum"]),
    ("avg", &["max", "sum"]),
];

/// Operators, the longer ones first.
const OPERATORS: &[(&str, &[&str])] = &[
    ("==", &["!=", ">"]),
    (">", &[">=", "<"]),
    ("<", &["<=", ">"]),
    ("*", &["/"]),
    ("/", &["*"]),
    ("+", &["-"]),
    ("-", &["+"]),
];

/// All changes of a rule.
pub fn changes(rule: &Rule) -> Vec<Change> {
    let begin = rule.text.find("expr: |\n").expect("an expression") + "expr: |\n".len();
    let end = rule.text[begin..].find("        labels:").map_or(rule.text.len(), |labels| begin + labels);
    let mut reader = Reader { text: &rule.text, alerts: rule.alerts, begin, end, found: Vec::new() };
    let mut at = begin;
    while at < end {
        at += reader.token(at);
    }
    reader.found
}

struct Reader<'a> {
    text: &'a str,
    alerts: bool,
    begin: usize,
    end: usize,
    found: Vec<Change>,
}

impl<'a> Reader<'a> {
    fn change(&mut self, at: usize, old: &str, new: &str) {
        let before = &self.text[..at];
        let line = 1 + self.text[self.begin..at].matches('\n').count();
        // Where it begins, and not the comma that goes with it.
        let comma = old.len() - old.trim_start_matches([',', ' ']).len();
        let column = at + comma - before.rfind('\n').map_or(0, |newline| newline + 1);
        let what = format!("{line}:{column} `{}` as `{new}`", old.trim_matches([',', ' ']));
        self.found.push(Change { what, text: format!("{before}{new}{}", &self.text[at + old.len()..]) });
    }

    fn instead(&mut self, at: usize, old: &str, table: &[(&str, &[&str])]) {
        let others = table.iter().find(|(word, _)| *word == old).map_or::<&[&str], _>(&[], |(_, others)| others);
        others.iter().for_each(|other| self.change(at, old, other));
    }

    /// What begins here is changed; answers how long it is.
    fn token(&mut self, at: usize) -> usize {
        let rest: &'a str = &self.text[at..self.end];
        let first = rest.chars().next().expect("not behind the end");
        match first {
            '{' => self.matchers(at, rest),
            '[' => {
                let time = rest[1..].split(']').next().expect("an end");
                self.time(at + 1, time);
                time.len() + 2
            }
            '"' => rest[1..].find('"').expect("an end") + 2,
            _ if first.is_ascii_alphabetic() => self.word(at, rest),
            _ if first.is_ascii_digit() => self.number(at, rest),
            _ => self.operator(at, rest),
        }
    }

    fn operator(&mut self, at: usize, rest: &str) -> usize {
        let Some((operator, others)) = OPERATORS.iter().find(|(operator, _)| rest.starts_with(operator)) else {
            return rest.chars().next().map_or(1, char::len_utf8);
        };
        // Of what an alert divides by: nothing divided by nothing is no number, which is above no bound.
        let guards = self.alerts && rest.starts_with("> 0)") && self.text[self.begin..at].contains("/ (");
        let others = others.iter().filter(|other| !(guards && **other == ">="));
        others.for_each(|other| self.change(at, operator, other));
        operator.len()
    }

    fn word(&mut self, at: usize, rest: &'a str) -> usize {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"_:".contains(c)).unwrap_or(rest.len());
        let word = rest[..end].trim_end_matches(':');
        let behind = rest[word.len()..].trim_start_matches([':', ' ']);
        let skipped = rest.len() - behind.len();
        self.instead(at, word, WORDS);
        if let Some(colon) = word.rfind(':') {
            let stem = word[colon..].rfind('_').map_or(colon + 1, |low| colon + low + 1);
            self.instead(at + stem, &word[stem..], RECORDED);
        }
        match word {
            "for" | "keep_firing_for" | "offset" => {
                let time = behind.split(|c: char| !c.is_ascii_alphanumeric()).next().expect("a part");
                self.time(at + skipped, time);
                skipped + time.len()
            }
            "by" | "on" => {
                let inside = behind[1..].split(')').next().expect("an end");
                if inside.is_empty() {
                    self.change(at, &rest[..skipped + 2], "");
                } else {
                    self.labels(at + skipped + 1, inside);
                }
                skipped + inside.len() + 2
            }
            _ => word.len(),
        }
    }

    fn number(&mut self, at: usize, rest: &str) -> usize {
        let number = rest.split(|c: char| !c.is_ascii_digit() && !".e".contains(c)).next().expect("a part");
        let value: f64 = number.parse().expect("a number");
        if value == 0.0 {
            self.change(at, number, "1.1");
        } else {
            self.change(at, number, &format!("{}", value * 1.1));
            self.change(at, number, &format!("{}", value * 0.9));
        }
        number.len()
    }

    /// Half as long, and twice.
    fn time(&mut self, at: usize, time: &str) {
        let (number, unit) = time.split_at(time.len() - 1);
        let unit = match unit {
            "m" => 60,
            "h" => 3600,
            "d" => 86400,
            _ => panic!("{time} is no time"),
        };
        let seconds = number.parse::<u64>().expect("a number") * unit;
        self.change(at, time, &format!("{}s", seconds / 2));
        self.change(at, time, &format!("{}s", seconds * 2));
    }

    /// Each goes, and turns round.
    fn matchers(&mut self, at: usize, rest: &str) -> usize {
        let inside = rest[1..].split('}').next().expect("an end");
        for (place, matcher, with_comma) in parts(inside) {
            let label = matcher.find(['=', '!']).expect("an operator");
            let value = matcher.find('"').expect("a value");
            let turned = match &matcher[label..value] {
                "=" => "!=",
                "!=" => "=",
                "=~" => "!~",
                _ => "=~",
            };
            self.change(at + 1 + place, matcher, &format!("{}{turned}{}", &matcher[..label], &matcher[value..]));
            let comma = if with_comma.starts_with(',') { 1 } else { 0 };
            self.change(at + 1 + place - comma, with_comma, "");
        }
        inside.len() + 2
    }

    /// Each goes.
    fn labels(&mut self, at: usize, inside: &str) {
        for (place, _, with_comma) in parts(inside) {
            let before = with_comma.len() - with_comma.trim_start_matches([',', ' ']).len();
            self.change(at + place - before, with_comma, "");
        }
    }
}

/// The parts of a list: where each begins, it, and it with the comma that goes with it, before it or, of the first, behind it.
fn parts(list: &str) -> Vec<(usize, &str, &str)> {
    let mut found = Vec::new();
    let mut at = 0;
    for part in list.split(',') {
        let text = part.trim_start();
        let begin = at + part.len() - text.len();
        let behind = &list[begin + text.len()..];
        let with_comma = if at > 0 {
            &list[at - 1..begin + text.len()]
        } else {
            let comma = behind.len() - behind.trim_start_matches([',', ' ']).len();
            &list[begin..begin + text.len() + comma]
        };
        found.push((begin, text, with_comma));
        at += part.len() + 1;
    }
    found
}

#[test]
fn each_part_of_a_rule_is_changed() {
    let text = "      - alert: A\n        expr: |\n          \
                sum by (job, kind) (rate(a{x=\"1\",y!~\"2\"}[10m])) > 3 and on (job) x:a:rate1h offset 1h\n        \
                for: 2m\n        labels:\n          severity: none\n";
    let rule = Rule { file: "a".to_owned(), alerts: true, name: "A".to_owned(), text: text.to_owned() };
    let found: Vec<String> = changes(&rule).into_iter().map(|change| change.what).collect();
    let expected = [
        "1:10 `sum` as `max`",
        "1:10 `sum` as `avg`",
        "1:18 `job` as ``",
        "1:23 `kind` as ``",
        "1:37 `x=\"1\"` as `x!=\"1\"`",
        "1:37 `x=\"1\"` as ``",
        "1:43 `y!~\"2\"` as `y=~\"2\"`",
        "1:43 `y!~\"2\"` as ``",
        "1:51 `10m` as `300s`",
        "1:51 `10m` as `1200s`",
        "1:58 `>` as `>=`",
        "1:58 `>` as `<`",
        "1:60 `3` as `3.3000000000000003`",
        "1:60 `3` as `2.7`",
        "1:62 `and` as `unless`",
        "1:70 `job` as ``",
        "1:79 `rate1h` as `rate30m`",
        "1:79 `rate1h` as `rate2h`",
        "1:93 `1h` as `1800s`",
        "1:93 `1h` as `7200s`",
        "2:13 `2m` as `60s`",
        "2:13 `2m` as `240s`",
    ];
    assert_eq!(found, expected);
    let texts: Vec<String> = changes(&rule).into_iter().map(|change| change.text).collect();
    assert!(texts[2].contains("by (kind) ") && texts[3].contains("by (job) "), "{} {}", texts[2], texts[3]);
    assert!(texts[5].contains("a{y!~\"2\"}") && texts[7].contains("a{x=\"1\"}"), "{} {}", texts[5], texts[7]);
}
