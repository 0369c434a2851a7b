//! Event to subscriptions, among 100,000 of 1,000 tenants: at most 10 us.

use crate::order;
use criterion::Criterion;
use hookline::matching::dialect::Dialects;
use hookline::matching::filter::Filter;
use hookline::matching::index::{Candidate, Index};
use hookline::matching::pattern::Pattern;
use hookline::model::subscription::Tenant;
use std::hint::black_box;

const TENANTS: usize = 1_000;
/// Of one tenant: a hundred, of which four want the event, two of them by a filter.
const EACH: usize = 100;

fn candidate(tenant: usize, number: usize) -> Candidate {
    let (pattern, filter) = match number {
        0 => ("com.acme.order.placed.v1".to_owned(), None),
        1 => ("com.acme.order.*.v1".to_owned(), None),
        2 => ("com.acme.**".to_owned(), Some("event.data.total > 100")),
        3 => ("**".to_owned(), Some(r#"event.data.city == "London""#)),
        number => (format!("com.acme.kind{number}.placed.v1"), None),
    };
    Candidate {
        tenant: Tenant::One(format!("m-{tenant}")),
        patterns: Pattern::parse_list([pattern.as_str()]).unwrap(),
        dialects: Dialects::default(),
        filter: filter.map(|text| Filter::compile(text).unwrap()),
    }
}

pub(crate) fn run(criterion: &mut Criterion) {
    let event = &order::event().event;
    let mut group = criterion.benchmark_group("match");
    for (name, filters) in [("100,000 subscriptions", 2), ("100,000 subscriptions, 2 filters", 4)] {
        let mut candidates: Vec<_> = (0..TENANTS * EACH).map(|n| candidate(n / EACH, n % EACH)).collect();
        for candidate in &mut candidates {
            if filters == 2 {
                candidate.filter = None;
            }
        }
        let index = Index::build(candidates);
        assert_eq!(index.matches(event).len(), 4);
        group.bench_function(name, |b| b.iter(|| index.matches(black_box(event))));
    }
    group.finish();
}
