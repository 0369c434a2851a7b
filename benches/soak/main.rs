//! Isolation, backlog, outage and death at their full length, with the limits that must hold.
//!
//! `make soak`, or one part of it: `make soak PART=hundred MINUTES=10`. A release build, a real Apache Kafka, the real
//! binary, real sockets, the default settings; the receiver is a process of its own. Each part prints its figures and
//! limits; any FAIL ends the program with 1. What is compared is measured in one run, in turns: machines differ.
//!
//! By default all is small, for a machine with two cores in less than ten minutes. Full size:
//! `make soak PART=hundred MINUTES=10 ROUNDS=6; make soak PART=million RECORDS=1000000;
//! make soak PART=hundred-down RECORDS=100000; make soak PART=outage; make soak PART=kill KILLS=50`.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a benchmark may fail loudly, and asks the system itself"
)]

mod book;
mod down;
mod house;
mod hundred;
mod kill;
mod load;
#[path = "../end_to_end/measure.rs"]
mod measure;
mod million;
mod outage;
mod receiver;
mod report;
mod serving;
#[path = "../../tests/it/support/mod.rs"]
mod support;
mod track;
#[path = "../end_to_end/wire.rs"]
mod wire;

use report::Report;
use std::process::ExitCode;

/// A part: its name, and what it does.
type Part = (&'static str, fn(&mut Report));

const PARTS: [Part; 5] = [
    ("hundred", hundred::run),
    ("million", million::run),
    ("hundred-down", down::run),
    ("outage", outage::run),
    ("kill", kill::run),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if arguments == ["receiver"] {
        serving::serve();
        return ExitCode::SUCCESS;
    }
    if let Some(unknown) = arguments.iter().find(|word| PARTS.iter().all(|(name, _)| name != word)) {
        eprintln!("no part {unknown:?}; there are {}", PARTS.map(|(name, _)| name).join(", "));
        return ExitCode::from(2);
    }
    let mut report = Report::default();
    for (name, run) in PARTS {
        if arguments.is_empty() || arguments.iter().any(|word| word == name) {
            println!("\n{name}");
            run(&mut report);
        }
    }
    report.end()
}
