//! One attempt against every habit of a receiver, over real sockets: the right outcome, in bounded time.

use crate::support::receiver::{Habit, Receiver, Reply};
use hookline::deliver::attempt;
use hookline::deliver::request::Moment;
use hookline::deliver::target::Target;
use hookline::egress::client::HttpTransport;
use hookline::egress::lookup::{Answers, Lookup};
use hookline::egress::settings::{EgressSettings, Entry};
use hookline::model::event::{Emitted, IntegrationEvent};
use hookline::model::id::{EventId, Sid};
use hookline::model::outcome::{Answer, FailureCause, Outcome, RetryAfter};
use hookline::model::record::Origin;
use hookline::model::secret::{Secret, SigningSecret};
use hookline::model::subscription::{Auth, Format, Signing, State, Status, Subscription, Tenant};
use hookline::model::time::Timestamp;
use hookline::model::trace::{Context, Parent};
use hookline::runtime::clock;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OLD_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The deadline of attempts that are expected to run into it.
const SHORT: Duration = Duration::from_millis(400);

/// The deadline of attempts that are not.
const LONG: Duration = Duration::from_secs(30);

fn subscription(url: &str) -> Subscription {
    let now = clock::now();
    let secret = |text: &str, expires| SigningSecret { text: Secret::new(text), created: now, expires };
    Subscription {
        sid: Sid::new(1, 1),
        id: "sub_test".into(),
        tenant: Tenant::None,
        name: None,
        description: None,
        metadata: Default::default(),
        url: url.parse().unwrap(),
        types: vec!["**".into()],
        filter: None,
        filters: None,
        format: Format::CloudEvents,
        transform: None,
        headers: vec![("X-Source".into(), "acme".into())],
        auth: Some(Auth::Bearer(Secret::new("t0ken"))),
        signing: Signing::Standard,
        secrets: vec![secret(SECRET, None), secret(OLD_SECRET, Some(now))],
        timeout: None,
        concurrency: None,
        retry: None,
        ordering: Default::default(),
        on_blocked: None,
        rate: None,
        batch: None,
        start: Default::default(),
        verification: None,
        status: Status { state: State::Active, reason: None, since: now },
        declared: false,
        version: 1,
        created: now,
        updated: now,
    }
}

fn event() -> Emitted {
    let time = Timestamp::from_millis(1_767_225_600_000);
    let origin = Origin { topic: "shop.orders".into(), partition: 0, offset: 1, timestamp: time };
    Emitted::new(IntegrationEvent {
        id: EventId::derive(&origin, "order", 0),
        origin,
        mapping: "order".into(),
        ord: 0,
        source: "/shop".into(),
        event_type: "com.acme.order.placed".into(),
        subject: Some("order 1".into()),
        time,
        tenant: None,
        key: None,
        traceparent: Parent::parse(TRACE, None).map(Arc::new),
        extensions: Vec::new(),
        data: serde_json::json!({"total": 10}),
    })
}

/// What a test receiver on loopback needs.
fn settings() -> EgressSettings {
    let loopback = Entry::Net("127.0.0.0/8".parse().unwrap());
    EgressSettings { allow_http: true, allow: vec![loopback], ..EgressSettings::default() }
}

async fn attempt_at(url: &str, timeout: Duration) -> Outcome {
    let transport = HttpTransport::new(&settings()).unwrap();
    let target = Target::new(&subscription(url), timeout).unwrap();
    attempt(&transport, &target, &event(), Moment { now: clock::now(), trace: Context::parse(TRACE) }).await
}

fn answered(outcome: Outcome) -> Answer {
    match outcome {
        Outcome::Answered(answer) => answer,
        Outcome::Failed { cause, detail } => panic!("no answer: {}: {detail}", cause.as_str()),
    }
}

#[track_caller]
fn assert_failed(outcome: &Outcome, expected: FailureCause) {
    match outcome {
        Outcome::Failed { cause, detail } => {
            assert_eq!(*cause, expected, "{detail}");
            assert!(!detail.is_empty() && !detail.contains("hooks") && !detail.contains("t0ken"), "{detail}");
        }
        Outcome::Answered(answer) => panic!("answered {}", answer.status),
    }
}

#[tokio::test]
async fn sw_1_a_delivery_is_a_signed_post_that_says_who_sends_it() {
    let receiver = Receiver::accepting();
    let (before, began) = (clock::now(), Instant::now());
    assert!(attempt_at(&receiver.url(), LONG).await.accepted());
    let book = receiver.book();
    let [request] = book.requests.as_slice() else { panic!("{} requests", book.requests.len()) };
    assert_eq!(request.line(), "POST /hooks HTTP/1.1");
    assert!(request.at >= began && request.at <= Instant::now());
    assert!(request.signed_with(SECRET));
    assert!(!request.signed_with(OLD_SECRET), "a secret whose time is over signs no more");
    assert_eq!(request.id(), event().event.id.to_string());
    let sent: i64 = request.header("webhook-timestamp").unwrap().parse().unwrap();
    assert!((before.as_seconds()..=clock::now().as_seconds()).contains(&sent));
    let expected = [
        ("content-type", "application/cloudevents+json; charset=utf-8".to_owned()),
        ("content-length", request.body.len().to_string()),
        ("host", receiver.address().to_string()),
        ("user-agent", format!("hookline/{}", env!("CARGO_PKG_VERSION"))),
        ("accept-encoding", "identity".to_owned()),
        ("authorization", "Bearer t0ken".to_owned()),
        ("x-source", "acme".to_owned()),
    ];
    for (name, value) in expected {
        assert_eq!(request.header(name), Some(value.as_str()), "{name}");
    }
    assert_eq!(request.header("transfer-encoding"), None);
    assert_eq!(request.header("expect"), None);
    assert_eq!(request.header("traceparent"), Some(TRACE));
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!((&body["id"], &body["data"]["total"]), (&request.id().into(), &10.into()));
}

#[tokio::test]
async fn sw_10_during_the_overlap_old_and_new_secret_both_verify() {
    let receiver = Receiver::accepting();
    let mut subscription = subscription(&receiver.url());
    subscription.secrets[1].expires = Some(clock::now().after(Duration::from_secs(3600)));
    let target = Target::new(&subscription, LONG).unwrap();
    let transport = HttpTransport::new(&settings()).unwrap();
    assert!(attempt(&transport, &target, &event(), clock::now()).await.accepted());
    let request = receiver.book().requests[0].clone();
    assert!(request.signed_with(SECRET) && request.signed_with(OLD_SECRET));
}

#[tokio::test]
async fn connections_are_kept_and_used_again() {
    let receiver = Receiver::scripted(|request| {
        Habit::Answer(Reply::with(200, &[], &vec![b'x'; if request.number % 2 == 0 { 0 } else { 5_000 }]))
    });
    let transport = HttpTransport::new(&settings()).unwrap();
    let target = Target::new(&subscription(&receiver.url()), LONG).unwrap();
    for _ in 0..50 {
        assert!(attempt(&transport, &target, &event(), clock::now()).await.accepted());
    }
    let book = receiver.book();
    assert_eq!((book.requests.len(), book.connections), (50, 1));
}

#[tokio::test]
async fn many_at_once_arrive_each_once_and_signed() {
    const ALL: i64 = 4_000;
    let receiver = Receiver::accepting();
    let transport = HttpTransport::new(&settings()).unwrap();
    let target = Arc::new(Target::new(&subscription(&receiver.url()), LONG).unwrap());
    async fn deliver(from: i64, transport: HttpTransport, target: Arc<Target>) {
        for offset in (from..ALL).step_by(16) {
            let mut event = event().event;
            event.origin.offset = offset;
            event.id = EventId::derive(&event.origin, "order", 0);
            assert!(attempt(&transport, &target, &Emitted::new(event), clock::now()).await.accepted());
        }
    }
    let tasks = (0..16).map(|from| deliver(from, transport.clone(), Arc::clone(&target)));
    tasks.collect::<tokio::task::JoinSet<()>>().join_all().await;
    receiver.wait_until("all of them", |book| book.ids.len() == ALL as usize).await;
    let book = receiver.book();
    assert!(book.ids.values().all(|times| *times == 1) && book.connections <= 16 && book.most_waiting <= 16);
    assert!(book.requests.iter().all(|request| request.signed_with(SECRET)));
}

#[tokio::test]
async fn every_status_is_an_answer_with_what_it_asks_for_and_its_first_words() {
    for (status, asks, expected) in [
        (201, Some("60"), RetryAfter::Absent),
        (410, None, RetryAfter::Absent),
        (429, Some("120"), RetryAfter::Seconds(Duration::from_secs(120))),
        (500, Some("soon"), RetryAfter::Malformed),
    ] {
        let headers: Vec<_> = asks.iter().map(|asks| ("Retry-After", *asks)).collect();
        let receiver = Receiver::start(Habit::Answer(Reply::with(status, &headers, b"why")));
        let answer = answered(attempt_at(&receiver.url(), LONG).await);
        assert_eq!((answer.status, answer.retry_after, &answer.head[..]), (status, expected, &b"why"[..]));
    }
}

#[tokio::test]
async fn sec_3_a_redirect_is_an_answer_and_is_never_followed() {
    let elsewhere = Receiver::accepting();
    for location in [elsewhere.url().as_str(), "http://169.254.169.254/latest/meta-data/", "/again"] {
        for status in [301, 302, 303, 307, 308] {
            let receiver = Receiver::start(Habit::Answer(Reply::with(status, &[("Location", location)], b"")));
            assert_eq!(answered(attempt_at(&receiver.url(), LONG).await).status, status);
            assert_eq!(receiver.book().requests.len(), 1);
        }
    }
    assert_eq!(elsewhere.book().connections, 0);
}

#[tokio::test]
async fn sec_5_a_compressed_answer_is_kept_as_it_came() {
    let bytes = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3];
    let receiver = Receiver::start(Habit::Answer(Reply::with(200, &[("Content-Encoding", "gzip")], &bytes)));
    assert_eq!(answered(attempt_at(&receiver.url(), LONG).await).head[..], bytes);
}

#[tokio::test]
async fn sec_5_of_a_long_answer_the_first_kibibyte_is_kept() {
    let body: Vec<u8> = (0..20_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let receiver = Receiver::start(Habit::Answer(Reply::with(500, &[], &body)));
    assert_eq!(answered(attempt_at(&receiver.url(), LONG).await).head[..], body[..1024]);
}

#[tokio::test]
async fn sec_5_an_endless_answer_is_cut_off_after_64_kibibytes() {
    let receiver = Receiver::start(Habit::Endless);
    let answer = answered(attempt_at(&receiver.url(), LONG).await);
    assert_eq!((answer.status, answer.head.len()), (200, 1024));
    receiver.wait_until("the cut", |book| book.cut == 1 && book.open == 0).await;
    // The rest stood in the buffers of the two sockets.
    let sent = receiver.book().sent;
    assert!(sent < 16 << 20, "{sent}");
}

#[tokio::test]
async fn sec_5_an_answer_is_read_to_its_end_only_up_to_64_kibibytes() {
    for (length, connections) in [(60_000, 1), (1 << 20, 3)] {
        let receiver = Receiver::start(Habit::Answer(Reply::with(200, &[], &vec![b'x'; length])));
        let transport = HttpTransport::new(&settings()).unwrap();
        let target = Target::new(&subscription(&receiver.url()), LONG).unwrap();
        for _ in 0..3 {
            assert!(attempt(&transport, &target, &event(), clock::now()).await.accepted());
        }
        assert_eq!(
            receiver.book().connections,
            connections,
            "a connection is used again only when nothing is left on it"
        );
    }
}

#[tokio::test]
async fn sec_5_an_answer_with_too_many_headers_is_a_protocol_failure() {
    let names: Vec<_> = (0..2_000).map(|n| format!("x-{n}")).collect();
    let headers: Vec<_> = names.iter().map(|name| (name.as_str(), "v")).collect();
    let receiver = Receiver::start(Habit::Answer(Reply::with(200, &headers, b"")));
    assert_failed(&attempt_at(&receiver.url(), LONG).await, FailureCause::Protocol);
}

#[tokio::test]
async fn sw_17_one_deadline_bounds_the_whole_exchange() {
    for habit in [Habit::Hang, Habit::Held(Reply::new(200)), Habit::Drip] {
        let receiver = Receiver::start(habit);
        let began = Instant::now();
        assert_failed(&attempt_at(&receiver.url(), SHORT).await, FailureCause::Timeout);
        let took = began.elapsed();
        assert!(took >= SHORT && took < LONG, "{took:?}");
        receiver.wait_until("the end of the connection", |book| book.requests.len() == 1 && book.open == 0).await;
    }
}

#[tokio::test]
async fn sec_5_a_flood_of_interim_answers_ends_with_the_deadline() {
    let receiver = Receiver::start(Habit::Interim);
    assert_failed(&attempt_at(&receiver.url(), SHORT).await, FailureCause::Timeout);
    receiver.wait_until("the cut", |book| book.cut == 1 && book.open == 0).await;
}

#[tokio::test]
async fn a_slow_answer_within_the_deadline_counts() {
    let receiver = Receiver::start(Habit::Held(Reply::new(202)));
    let url = receiver.url();
    let (outcome, ()) = tokio::join!(attempt_at(&url, LONG), async {
        receiver.wait_until("the request", |book| book.waiting == 1).await;
        receiver.release();
    });
    assert!(outcome.accepted());
}

#[tokio::test]
async fn a_dropped_attempt_cuts_the_exchange_off() {
    let receiver = Receiver::start(Habit::Hang);
    let url = receiver.url();
    tokio::select! {
        _ = attempt_at(&url, LONG) => panic!("it hangs"),
        () = receiver.wait_until("the request", |book| book.waiting == 1) => {}
    }
    receiver.wait_until("the end of the connection", |book| book.open == 0).await;
}

#[tokio::test]
async fn a_connection_that_breaks_is_a_reset_and_is_not_tried_again_behind_our_back() {
    for habit in [Habit::Reset, Habit::ResetMidway, Habit::Close] {
        let receiver = Receiver::start(habit);
        assert_failed(&attempt_at(&receiver.url(), LONG).await, FailureCause::Reset);
        assert_eq!(receiver.book().requests.len(), 1);
    }
}

#[tokio::test]
async fn what_is_not_http_is_a_protocol_failure() {
    let receiver = Receiver::start(Habit::Garbage);
    assert_failed(&attempt_at(&receiver.url(), LONG).await, FailureCause::Protocol);
}

#[tokio::test]
async fn tls_that_is_not_spoken_is_a_tls_failure() {
    let receiver = Receiver::start(Habit::Garbage);
    let url = receiver.url().replace("http://", "https://");
    // A TLS hello holds no end of a request head: the receiver waits for more until the deadline, or closes.
    let garbage = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = garbage.local_addr().unwrap();
    let answering = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = garbage.accept().unwrap();
        stream.read_exact(&mut [0; 64]).unwrap();
        stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n").unwrap();
    });
    assert_failed(&attempt_at(&format!("https://{address}/hooks"), LONG).await, FailureCause::Tls);
    answering.join().unwrap();
    assert_failed(&attempt_at(&url, SHORT).await, FailureCause::Timeout);
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_a_connect_failure() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_failed(&attempt_at(&format!("http://{free}/hooks"), LONG).await, FailureCause::Connect);
}

/// Answers as told, and counts.
struct Told(std::io::Result<Vec<std::net::SocketAddr>>, Mutex<usize>);

impl Lookup for Told {
    fn lookup(&self, _: &str) -> Answers {
        *self.1.lock().unwrap() += 1;
        let answer = match &self.0 {
            Ok(addresses) => Ok(addresses.clone()),
            Err(error) => Err(std::io::Error::new(error.kind(), error.to_string())),
        };
        Box::pin(async { answer })
    }
}

async fn attempt_with(lookup: &Arc<Told>, settings: &EgressSettings, url: &str) -> Outcome {
    let transport = HttpTransport::with_lookup(settings, Arc::clone(lookup) as Arc<dyn Lookup>).unwrap();
    let target = Target::new(&subscription(url), LONG).unwrap();
    attempt(&transport, &target, &event(), clock::now()).await
}

#[tokio::test]
async fn sec_1_an_endpoint_that_resolves_to_loopback_is_never_connected_to() {
    let receiver = Receiver::accepting();
    let port = receiver.address().port();
    let url = format!("http://hooks.example.com:{port}/hooks");
    let open = EgressSettings { allow_http: true, ..EgressSettings::default() };
    let lookup =
        Arc::new(Told(Ok(vec!["1.1.1.1:0".parse().unwrap(), "127.0.0.1:0".parse().unwrap()]), Mutex::default()));
    let outcome = attempt_with(&lookup, &open, &url).await;
    assert_failed(&outcome, FailureCause::BlockedAddress);
    assert!(outcome.to_string().contains("127.0.0.0/8"), "{outcome}");
    assert_eq!((*lookup.1.lock().unwrap(), receiver.book().connections), (1, 0));
}

#[tokio::test]
async fn sec_1_the_judged_address_is_connected_to_and_the_host_header_stays() {
    let receiver = Receiver::accepting();
    let port = receiver.address().port();
    let lookup = Arc::new(Told(Ok(vec!["127.0.0.1:0".parse().unwrap()]), Mutex::default()));
    let outcome = attempt_with(&lookup, &settings(), &format!("http://hooks.example.com:{port}/hooks")).await;
    assert!(outcome.accepted(), "{outcome}");
    let host = receiver.book().requests[0].header("host").unwrap().to_owned();
    assert_eq!((*lookup.1.lock().unwrap(), host), (1, format!("hooks.example.com:{port}")));
}

#[tokio::test]
async fn sec_2_an_address_literal_is_judged_although_no_resolver_sees_it() {
    let receiver = Receiver::accepting();
    let open = EgressSettings { allow_http: true, ..EgressSettings::default() };
    let lookup = Arc::new(Told(Ok(Vec::new()), Mutex::default()));
    let port = receiver.address().port();
    for host in ["127.0.0.1", "2130706433", "[::ffff:127.0.0.1]"] {
        let outcome = attempt_with(&lookup, &open, &format!("http://{host}:{port}/hooks")).await;
        assert_failed(&outcome, FailureCause::BlockedAddress);
    }
    let secure = EgressSettings { allow: settings().allow, ..EgressSettings::default() };
    assert_failed(&attempt_with(&lookup, &secure, &receiver.url()).await, FailureCause::BlockedAddress);
    assert_eq!((*lookup.1.lock().unwrap(), receiver.book().connections), (0, 0));
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_a_dns_failure() {
    let none = Arc::new(Told(Ok(Vec::new()), Mutex::default()));
    let away = Arc::new(Told(Err(std::io::Error::other("the name server is away")), Mutex::default()));
    for lookup in [none, away] {
        let outcome = attempt_with(&lookup, &settings(), "https://gone.example.com/hooks").await;
        assert_failed(&outcome, FailureCause::Dns);
    }
}
