//! The signature of a body.

use crate::order;
use criterion::Criterion;
use hookline::deliver::format;
use hookline::deliver::sign;
use hookline::deliver::sign::message::{Made, Message};
use hookline::model::subscription::Format;
use std::hint::black_box;

const SECRETS: [(&str, &str); 2] = [
    ("standard", "whsec_aG9va2xpbmUncyBzZWNyZXQgZm9yIGl0cyB0ZXN0cyE="),
    ("ed25519", "whsk_aG9va2xpbmUncyBzZWNyZXQgZm9yIGl0cyB0ZXN0cyE="),
];

pub(crate) fn run(criterion: &mut Criterion) {
    let event = &order::event().event;
    let (id, body) = (event.id.to_string(), format::render(Format::CloudEvents, event));
    let mut group = criterion.benchmark_group("sign");
    for (name, secret) in SECRETS {
        let key = sign::parse(secret, Made::Elsewhere).unwrap();
        group.bench_function(format!("{name}, {} bytes", body.len()), |b| {
            b.iter(|| {
                let message = Message { id: &id, timestamp: 1_767_256_200, body: black_box(&body) };
                sign::sign([&key].into_iter(), &message)
            });
        });
    }
    group.finish();
}
