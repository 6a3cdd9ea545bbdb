//! What Grafana makes of a query before Prometheus sees it.

/// What the reader chose, and the time that is shown.
pub struct Choice {
    /// Chosen jobs; all are all that are listed.
    pub jobs: Vec<String>,
    /// Chosen instances.
    pub instances: Vec<String>,
    /// The time that is shown, in seconds.
    pub range: u64,
    /// Between two values, in seconds.
    pub step: u64,
    /// Between two scrapes, in seconds.
    pub scrape: u64,
}

impl Choice {
    /// The query with its variables replaced.
    pub fn apply(&self, query: &str) -> String {
        let rate = (self.step + self.scrape).max(4 * self.scrape);
        // The longer name first: it begins with the shorter one.
        query
            .replace("$__rate_interval", &format!("{rate}s"))
            .replace("$__interval_ms", &(self.step * 1000).to_string())
            .replace("$__interval", &format!("{}s", self.step))
            .replace("$__range", &format!("{}s", self.range))
            .replace("$job", &chosen(&self.jobs))
            .replace("$instance", &chosen(&self.instances))
    }
}

/// The values of a variable with several: a regular expression, in which a dot is written with two backslashes, for it
/// stands in a string of `PromQL`.
fn chosen(values: &[String]) -> String {
    match values {
        [] => panic!("something is always chosen"),
        [one] => escaped(one),
        several => format!("({})", several.iter().map(|value| escaped(value)).collect::<Vec<_>>().join("|")),
    }
}

fn escaped(value: &str) -> String {
    let mut escaped = String::new();
    for c in value.chars() {
        match c {
            '\\' => escaped.push_str(r"\\\\"),
            '$' | '^' | '*' | '{' | '}' | '[' | ']' | '\'' | '+' | '?' | '.' | '(' | ')' | '|' => {
                escaped.push_str(r"\\");
                escaped.push(c);
            }
            c => escaped.push(c),
        }
    }
    escaped
}

#[test]
fn variables_are_replaced_as_grafana_does() {
    let named = |name: &str| vec![name.to_owned()];
    let mut choice = Choice { jobs: named("veritail"), instances: named("a"), range: 60, step: 1, scrape: 1 };
    let query = r#"rate(a{job=~"$job",instance=~"$instance"}[$__rate_interval]) > $__interval_ms / $__range"#;
    assert_eq!(choice.apply(query), r#"rate(a{job=~"veritail",instance=~"a"}[4s]) > 1000 / 60s"#);
    choice.instances = named("127.0.0.1:80");
    assert_eq!(choice.apply("$instance"), r"127\\.0\\.0\\.1:80");
    choice.instances.push("b".to_owned());
    assert_eq!(choice.apply("$instance"), r"(127\\.0\\.0\\.1:80|b)");
}
