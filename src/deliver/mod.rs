//! One attempt: target and event in, outcome out.
//!
//! A [`Target`] is a subscription's sending side, made once. An attempt renders the body in its format (once for all
//! who share the event), signs it, sends it, and says what came of it. It knows no retry, no queue and no store, and
//! takes the time as a parameter.

pub mod auth;
pub mod error;
pub mod format;
pub mod handshake;
pub mod headers;
pub mod request;
pub mod response;
pub mod sign;
pub mod target;
pub mod transform;

use crate::deliver::request::Moment;
use crate::deliver::target::Target;
use crate::egress::exchange::{Request, Transport};
use crate::model::event::Emitted;
use crate::model::outcome::Outcome;
use crate::model::time::Timestamp;
use std::sync::Arc;

/// Makes one attempt to deliver `event` to `target`; its time becomes the `webhook-timestamp`, so take it at the call (SW-3).
///
/// Every failure is an outcome. Takes no longer than the target's timeout; dropping the future cuts the attempt off.
pub async fn attempt(
    transport: &impl Transport,
    target: &Target,
    event: &Emitted,
    moment: impl Into<Moment>,
) -> Outcome {
    let moment = moment.into();
    match request::build(target, event, moment) {
        Ok(request) => exchange(transport, request, moment.now).await,
        Err(error) => error.into_outcome(),
    }
}

/// Makes one attempt to deliver `events` together, in this order, to a target with format `cloudevents-batch`. Its outcome is
/// that of all of them.
pub async fn attempt_batch(
    transport: &impl Transport,
    target: &Target,
    events: &[Arc<Emitted>],
    moment: impl Into<Moment>,
) -> Outcome {
    let moment = moment.into();
    match request::build_batch(target, events, moment) {
        Ok(request) => exchange(transport, request, moment.now).await,
        Err(error) => error.into_outcome(),
    }
}

async fn exchange(transport: &impl Transport, request: Request, now: Timestamp) -> Outcome {
    match transport.exchange(request).await {
        // `now` is when the attempt began: read against it, a date can only ask for a longer wait, never a shorter one.
        Ok(answer) => Outcome::Answered(response::read(answer, now)),
        Err(error) => Outcome::Failed { cause: error.cause, detail: error.detail },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::error::{SecretError, TargetError};
    use crate::egress::exchange::{ExchangeError, Response};
    use crate::model::event::IntegrationEvent;
    use crate::model::id::Sid;
    use crate::model::outcome::FailureCause;
    use crate::model::secret::{Secret, SigningSecret};
    use crate::model::subscription::{Auth, Format, Signing, State, Status, Subscription, Tenant};
    use crate::model::trace::{Context, Parent, SpanId, TraceId};
    use crate::model::verification::{Consent, Proof, Verification};
    use bytes::Bytes;
    use http::HeaderMap;
    use std::sync::Mutex;
    use std::time::Duration;

    const SECRETS: [&str; 2] = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"];

    fn t0() -> Timestamp {
        Timestamp::from_millis(1_767_225_600_000)
    }

    /// Keeps what it is given, and answers 200.
    #[derive(Default)]
    struct Kept(Mutex<Vec<Request>>);

    impl Transport for Kept {
        async fn exchange(&self, request: Request) -> Result<Response, ExchangeError> {
            self.0.lock().unwrap().push(request);
            Ok(Response { status: 200, headers: HeaderMap::new(), head: Bytes::new() })
        }
    }

    fn subscription() -> Subscription {
        let secret = |text: &str| SigningSecret { text: Secret::new(text), created: t0(), expires: None };
        Subscription {
            sid: Sid::new(1, 1),
            id: "sub_a".into(),
            tenant: Tenant::None,
            name: None,
            description: None,
            metadata: std::collections::BTreeMap::new(),
            url: "https://example.com/hooks".parse().unwrap(),
            types: vec!["**".into()],
            filter: None,
            filters: None,
            format: Format::CloudEvents,
            transform: None,
            headers: Vec::new(),
            auth: None,
            signing: Signing::Standard,
            secrets: SECRETS.map(secret).into(),
            timeout: None,
            concurrency: None,
            retry: None,
            ordering: Default::default(),
            on_blocked: None,
            rate: None,
            batch: None,
            start: Default::default(),
            verification: None,
            status: Status { state: State::Active, reason: None, since: t0() },
            declared: false,
            version: 1,
            created: t0(),
            updated: t0(),
        }
    }

    fn event(subject: &str) -> Emitted {
        let event = crate::model::event::tests::event(0, serde_json::json!({"n": 1}));
        Emitted::new(IntegrationEvent { subject: Some(subject.into()), time: t0(), ..event })
    }

    fn refused(change: impl FnOnce(&mut Subscription)) -> TargetError {
        let mut subscription = subscription();
        change(&mut subscription);
        Target::new(&subscription, Duration::from_secs(15)).unwrap_err()
    }

    #[tokio::test]
    async fn sw_3_a_retry_has_the_same_id_and_body_but_its_own_time_and_signature() {
        let (kept, event) = (Kept::default(), event("s"));
        let mut subscription = subscription();
        subscription.secrets[1].expires = Some(t0().after(Duration::from_secs(5)));
        let target = Target::new(&subscription, Duration::from_secs(15)).unwrap();
        for seconds in [0, 5] {
            let now = t0().after(Duration::from_secs(seconds));
            assert!(attempt(&kept, &target, &event, now).await.accepted());
        }
        let requests = kept.0.into_inner().unwrap();
        let [first, second] = requests.as_slice() else { panic!("{}", requests.len()) };
        assert_eq!(first.headers["webhook-id"], second.headers["webhook-id"]);
        assert_eq!(first.body.as_ptr(), second.body.as_ptr(), "rendered once, shared");
        let signatures = |request: &Request| request.headers["webhook-signature"].to_str().unwrap().split(' ').count();
        assert_eq!((signatures(first), signatures(second)), (2, 1), "the old secret signs until its time is over");
        for (request, at) in [(first, "1767225600"), (second, "1767225605")] {
            assert_eq!(request.headers["webhook-timestamp"], at);
            let header = |name: &str| request.headers[name].to_str().ok();
            let signed = sign::Signed {
                id: header("webhook-id"),
                timestamp: header("webhook-timestamp"),
                signature: header("webhook-signature"),
                body: &request.body,
            };
            let key = sign::parse_verifier(SECRETS[0]).unwrap();
            assert_eq!(sign::verify(&[key], &signed, t0()), Ok(()));
        }
        assert_eq!((first.timeout, first.headers.contains_key("traceparent")), (Duration::from_secs(15), false));
    }

    #[tokio::test]
    async fn tc_3_the_receiver_is_told_which_piece_of_work_this_is_in_every_format_and_the_state_of_its_trace() {
        let (kept, mut subscription, mut event) = (Kept::default(), subscription(), event("s").event);
        let record = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        event.traceparent = Parent::parse(record, Some("rojo=1")).map(Arc::new);
        let event = Arc::new(Emitted::new(event));
        let ours = Context::parse(record).unwrap().with_span(SpanId::from_bytes([1; 8]));
        let other = Context { trace: TraceId::from_bytes([2; 16]), ..ours };
        for format in Format::ALL {
            subscription.format = format;
            let target = Target::new(&subscription, Duration::from_secs(15)).unwrap();
            for trace in [None, Some(ours), Some(other)] {
                let moment = Moment { now: t0(), trace };
                assert!(attempt(&kept, &target, &event, moment).await.accepted());
                if format == Format::CloudEventsBatch {
                    assert!(attempt_batch(&kept, &target, &[Arc::clone(&event)], moment).await.accepted());
                }
                for request in std::mem::take(&mut *kept.0.lock().unwrap()) {
                    let header = |name| request.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
                    assert_eq!(header("traceparent"), trace.map(|trace| trace.to_string()));
                    assert_eq!(header("tracestate").as_deref(), (trace == Some(ours)).then_some("rojo=1"));
                }
            }
        }
    }

    #[tokio::test]
    async fn sec_6_attributes_that_do_not_fit_into_headers_are_not_sent() {
        let (kept, mut subscription) = (Kept::default(), subscription());
        subscription.format = Format::CloudEventsBinary;
        let target = Target::new(&subscription, Duration::from_secs(15)).unwrap();
        let outcome = attempt(&kept, &target, &event(&"x".repeat(9_000)), t0()).await;
        assert!(matches!(outcome, Outcome::Failed { cause: FailureCause::TooLarge, .. }), "{outcome}");
        assert!(kept.0.lock().unwrap().is_empty());
        assert!(attempt(&kept, &target, &event(&"x".repeat(7_000)), t0()).await.accepted());
    }

    #[tokio::test]
    async fn ch_6_a_batch_is_one_signed_array_with_an_id_of_its_own_and_alone_each_keeps_its_id() {
        let (kept, mut subscription) = (Kept::default(), subscription());
        subscription.format = Format::CloudEventsBatch;
        let target = Target::new(&subscription, Duration::from_secs(15)).unwrap();
        let events = ["a", "b"].map(|subject| Arc::new(event(subject)));
        for _ in 0..2 {
            assert!(attempt_batch(&kept, &target, &events, t0()).await.accepted());
        }
        assert!(attempt(&kept, &target, &events[0], t0()).await.accepted());
        let requests = kept.0.into_inner().unwrap();
        let id = |number: usize| requests[number].headers["webhook-id"].to_str().unwrap();
        assert_eq!(id(0), id(1), "the same members, the same id");
        assert!(id(0) != id(2) && id(2) == events[0].event.id.to_string());
        let read = |number: usize| serde_json::from_slice::<Vec<serde_json::Value>>(&requests[number].body).unwrap();
        let subjects = |number| read(number).iter().map(|one| one["subject"].clone()).collect::<Vec<_>>();
        assert_eq!((subjects(0), subjects(2)), (vec!["a".into(), "b".into()], vec!["a".into()]));
        for request in &requests {
            assert_eq!(request.headers["content-type"], "application/cloudevents-batch+json; charset=utf-8");
            let header = |name: &str| request.headers[name].to_str().ok();
            let signed = sign::Signed {
                id: header("webhook-id"),
                timestamp: header("webhook-timestamp"),
                signature: header("webhook-signature"),
                body: &request.body,
            };
            assert_eq!(sign::verify(&[sign::parse_verifier(SECRETS[0]).unwrap()], &signed, t0()), Ok(()));
        }
    }

    #[tokio::test]
    async fn a_transform_makes_the_body_of_its_subscriber_and_what_it_fails_on_is_not_sent() {
        let (kept, mut subscription, event) = (Kept::default(), subscription(), self::event("s"));
        let plain = Target::new(&subscription, Duration::from_secs(15)).unwrap();
        subscription.transform = Some(serde_json::json!({"number": "${event.data.n}", "of": "${event.subject}"}));
        let own = Target::new(&subscription, Duration::from_secs(15)).unwrap();
        for target in [&own, &plain, &own] {
            assert!(attempt(&kept, target, &event, t0()).await.accepted());
        }
        subscription.format = Format::CloudEventsBatch;
        let batch = Target::new(&subscription, Duration::from_secs(15)).unwrap();
        let event = Arc::new(event);
        assert!(attempt_batch(&kept, &batch, &[Arc::clone(&event), event], t0()).await.accepted());
        let requests = std::mem::take(&mut *kept.0.lock().unwrap());
        let read = |at: usize| serde_json::from_slice::<serde_json::Value>(&requests[at].body).unwrap();
        let (number, n) = (serde_json::json!({"number": 1, "of": "s"}), serde_json::json!({"n": 1}));
        assert_eq!((&read(0)["data"], &read(1)["data"], &read(2)["data"]), (&number, &n, &number));
        assert_eq!(
            (read(0)["id"].clone(), requests[0].body.clone()),
            (read(1)["id"].clone(), requests[2].body.clone())
        );
        assert_eq!((&read(3)[0]["data"], &read(3)[1]["data"]), (&number, &number));

        subscription.transform = Some(serde_json::json!("${event.data.gone}"));
        let failing = Target::new(&subscription, Duration::from_secs(15)).unwrap();
        let outcome = attempt(&kept, &failing, &self::event("s"), t0()).await;
        let Outcome::Failed { cause: FailureCause::Transform, detail } = outcome else { panic!("{outcome}") };
        assert!(detail.contains("no such key `data.gone`"), "{detail}");
        let outcome = attempt_batch(&kept, &failing, &[Arc::new(self::event("s"))], t0()).await;
        assert!(matches!(outcome, Outcome::Failed { cause: FailureCause::Transform, .. }), "{outcome}");
        assert!(kept.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn wh_6_every_delivery_says_again_as_whom_the_endpoint_took_us() {
        let (kept, mut subscription) = (Kept::default(), subscription());
        let consent = Consent { at: t0(), origin: Some("eventemitter.example.com".into()), per_minute: None };
        let (proof, grant) = (Proof::CloudEvents, Secret::new("gr4nt"));
        subscription.verification = Some(Verification { proof, grant, consent: Some(consent) });
        let target = Target::new(&subscription, Duration::from_secs(15)).unwrap();
        assert!(attempt(&kept, &target, &event("s"), t0()).await.accepted());
        assert_eq!(kept.0.lock().unwrap()[0].headers["webhook-request-origin"], "eventemitter.example.com");
    }

    #[test]
    fn sw_22_a_subscription_that_cannot_be_sent_to_is_refused_with_its_reason() {
        let header = |name: &str| vec![(name.to_owned(), "v".to_owned())];
        let reserved = refused(|s| s.headers = header("Webhook-Id"));
        assert_eq!(reserved.to_string(), "header `webhook-id` is set by hookline and cannot be configured");
        assert_eq!(refused(|s| s.headers = header("a b")), TargetError::HeaderName("a b".into()));
        let twice = refused(|s| s.headers = [header("X-A"), header("x-a")].concat());
        assert_eq!(twice, TargetError::HeaderTwice("x-a".into()));
        let auth = refused(|s| {
            (s.headers, s.auth) = (header("Authorization"), Some(Auth::Bearer(Secret::new("t"))));
        });
        assert_eq!(auth, TargetError::HeaderTwice("authorization".into()));
        let long = refused(|s| s.headers = vec![("x-a".into(), "v".repeat(9_000))]);
        assert_eq!(long, TargetError::HeadersTooLong { limit: 8192 });
        let none = refused(|s| s.secrets.clear());
        assert_eq!(none.to_string(), "signing scheme `standard` needs a secret that begins with `whsec_`");
        assert!(matches!(refused(|s| s.signing = Signing::Ed25519), TargetError::SecretScheme { .. }));
        let broken = refused(|s| s.secrets[1].text = Secret::new("whsec_hunter2!"));
        assert_eq!(broken, TargetError::Secret(SecretError::BadBase64));
        assert!(!format!("{broken:?}").contains("hunter2"));
    }
}
