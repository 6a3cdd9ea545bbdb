//! The metrics: few enough, well named, and each gauge says whose it is.

use veritail::telemetry::family::Type;
use veritail::telemetry::table;

/// The most series of a node, those of the process included.
const SERIES_MAX: usize = 2_500;
/// `process_*`, `veritail_build_info`, and what Prometheus adds to every target.
const BESIDE: usize = 30;

#[test]
fn a_node_has_few_series_even_if_everything_happens() {
    let mut all = BESIDE;
    for row in table::rows() {
        // A node has one live store.
        let possible = row.possible().into_iter().filter(|values| !values.contains(&"embedded"));
        all += possible.count() * row.series_each();
    }
    println!("{all} series at most");
    assert!(all < SERIES_MAX, "{all}");
}

#[test]
fn every_gauge_says_how_the_nodes_are_taken_together() {
    for row in table::rows().iter().filter(|row| row.metric_type == Type::Gauge) {
        let shared = row.help.contains("every node says the same");
        let own = row.help.contains("Of this node: ") && row.help.contains(" count");
        assert!(shared != own, "{}: {}", row.name, row.help);
    }
}
