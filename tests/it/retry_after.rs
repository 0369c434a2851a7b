//! `Retry-After` from the header to the wait: `deliver::response`, then `lane::verdict`, by all of the vectors (HT-1 to HT-4).

use bytes::Bytes;
use hookline::deliver::response;
use hookline::egress::exchange::Response;
use hookline::lane::verdict::{self, RETRY_AFTER_CAP, Verdict};
use hookline::model::dead_letter::DeadReason;
use hookline::model::outcome::{Outcome, RetryAfter};
use hookline::model::time::Timestamp;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use std::time::Duration;

/// What the vectors say about an answer, said by us.
fn told(input: &Value) -> Value {
    let mut headers = HeaderMap::new();
    for (name, values) in input["headers"].as_object().unwrap() {
        for value in values.as_array().unwrap() {
            let value = HeaderValue::from_bytes(value.as_str().unwrap().as_bytes()).unwrap();
            headers.append(HeaderName::try_from(name).unwrap(), value);
        }
    }
    let seconds = |name: &str| Duration::from_secs(input[name].as_u64().unwrap());
    let now = Timestamp::from_millis(input["now"].as_i64().unwrap() * 1000);
    let status = u16::try_from(input["status"].as_u64().unwrap()).unwrap();
    let answer = response::read(Response { status, headers, head: Bytes::new() }, now);
    let (scheduled, cap) = (seconds("schedule_s"), seconds("cap_s"));
    let asked = answer.retry_after;
    let outcome = match verdict::judge(&Outcome::Answered(answer), scheduled, Duration::ZERO, Duration::MAX) {
        Verdict::Accepted => "accepted",
        Verdict::Disable => "disable",
        Verdict::Dead(reason) => {
            assert_eq!(reason, DeadReason::Refused);
            "dead"
        }
        Verdict::Again { after, slow_lane } => {
            assert_eq!(after, verdict::wait(scheduled, asked, RETRY_AFTER_CAP));
            assert!(slow_lane.is_none_or(|slow| slow <= after), "one delivery waits no less than its lane");
            "retry"
        }
    };
    let (kind, retry_after) = match asked {
        RetryAfter::Absent => ("absent", None),
        RetryAfter::Seconds(asked) => ("seconds", Some(asked.min(cap).as_secs())),
        RetryAfter::Date(asked) => ("date", Some(asked.min(cap).as_secs())),
        RetryAfter::Malformed => ("malformed", None),
    };
    let malformed = asked == RetryAfter::Malformed;
    let delay = verdict::wait(scheduled, asked, cap).as_secs();
    json!({"outcome": outcome, "kind": kind, "retry_after_s": retry_after, "delay_s": delay, "counted_malformed": malformed})
}

#[test]
fn ht_2_every_answer_of_the_vectors_brings_the_wait_they_say() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../vectors/retry-after.json")).unwrap();
    assert_eq!(cases.len(), 110);
    for case in &cases {
        let (told, expected) = (told(&case["input"]), &case["expected"]);
        if expected["outcome"] == "retry" {
            assert_eq!(told, *expected, "{}", case["name"]);
        } else {
            assert_eq!(told["outcome"], expected["outcome"], "{}", case["name"]);
        }
    }
}
