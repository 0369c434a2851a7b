//! Event to body, in every format.

use crate::order;
use criterion::Criterion;
use hookline::deliver::format;
use hookline::model::subscription::Format;
use http::HeaderMap;
use std::hint::black_box;

pub(crate) fn run(criterion: &mut Criterion) {
    let event = &order::event().event;
    let mut group = criterion.benchmark_group("render");
    for format in Format::ALL {
        group.bench_function(format.as_str(), |b| {
            b.iter(|| {
                let mut headers = HeaderMap::new();
                (format::render(format, black_box(event)), format::add_headers(format, event, &mut headers), headers)
            });
        });
    }
    group.finish();
}
