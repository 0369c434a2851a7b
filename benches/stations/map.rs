//! Record to body: parse, map, serialise, beside what parsing and serialising alone cost.

use crate::order;
use criterion::{Criterion, Throughput};
use hookline::deliver::format;
use hookline::expr::expression::Expression;
use hookline::expr::limits::{Budget, Limits};
use hookline::expr::scope::{Names, Scope};
use hookline::model::record::Record;
use hookline::model::subscription::Format;
use hookline::pipeline::Pipeline;
use serde_json::Value;
use std::hint::black_box;

/// As a record passes through the daemon, up to its body.
fn whole(pipeline: &Pipeline, record: &Record, format: Format) -> usize {
    let passage = pipeline.pass(black_box(record));
    passage.events.iter().map(|emitted| format::render(format, &emitted.event).len()).sum()
}

fn parse_and_serialise(text: &str) -> usize {
    let value: Value = serde_json::from_slice(black_box(text.as_bytes())).unwrap();
    serde_json::to_vec(&value).unwrap().len()
}

/// An event of 600 bytes and eight fields: at most 8 us in all, of which CEL at most 1.5.
pub(crate) fn run(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("map");
    group.throughput(Throughput::Bytes(order::JSON.len() as u64));
    let record = order::record(order::JSON);
    let pipeline = order::pipeline(order::MAPPING);
    group.bench_function("parse, 8 fields, serialise", |b| {
        b.iter(|| whole(&pipeline, &record, Format::CloudEvents));
    });
    group.bench_function("parse and serialise", |b| b.iter(|| parse_and_serialise(order::JSON)));
    let decoded = pipeline.decoded(&record).unwrap();
    group.bench_function("8 fields alone", |b| {
        b.iter(|| pipeline.rules().map(order::TOPIC, black_box(&decoded)));
    });
    let unconditional = order::MAPPING.replace("    when: payload.type == \"OrderPlaced\"\n", "");
    let unconditional = order::pipeline(&unconditional);
    group.bench_function("8 fields alone, without CEL", |b| {
        b.iter(|| unconditional.rules().map(order::TOPIC, black_box(&decoded)));
    });
    for (name, source) in [
        ("CEL: a condition", r#"payload.type == "OrderPlaced" && payload.total > 100"#),
        ("CEL: a sum", "payload.lines.map(l, l.qty * l.price).sum()"),
    ] {
        let expression = Expression::compile(source, &Names::new(["payload"])).unwrap();
        let mut scope = Scope::new();
        scope.bind("payload", &decoded[0].payload);
        group.bench_function(name, |b| {
            b.iter(|| expression.eval(black_box(&scope), &mut Budget::new(&Limits::default())));
        });
    }
    group.finish();
}

/// An event of a hundred fields that is copied as it is: at most twice what parsing and serialising costs.
pub(crate) fn copy(criterion: &mut Criterion) {
    let fields: Vec<String> = (0..100).map(|n| format!(r#""field_{n}":"{}""#, "value ".repeat(1 + n % 4))).collect();
    let text = format!("{{{}}}", fields.join(","));
    let pipeline = order::pipeline(
        "mappings: [{ name: copy, from: shop.orders, emit: { type: t.copy, data: { $copy: '${payload}' } } }]",
    );
    let record = order::record(&text);
    let mut group = criterion.benchmark_group("100 fields");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("$copy", |b| b.iter(|| whole(&pipeline, &record, Format::Raw)));
    group.bench_function("parse and serialise", |b| b.iter(|| parse_and_serialise(&text)));
    group.finish();
}
