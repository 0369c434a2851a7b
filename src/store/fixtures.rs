//! The bytes of every row form, as files: what was written once must be readable for ever, and what is written today
//! must not change unnoticed. One file for each version, `tests/fixtures/store/rows-<version>.txt`; a line is a row:
//! its tree, its key in hex, its value (Rust's escapes).
//!
//! A form that must change: raise `row::VERSION`, read the old form beside the new one, leave the old file as it is, and
//! put what the test prints into a new one.

use crate::model::cursor::{BehindReason, CommitCopy, CursorKey, CursorMode, CursorRow};
use crate::model::dead_letter::DeadRange;
use crate::model::delivery::{LedgerHead, LedgerKey};
use crate::model::event::IntegrationEvent;
use crate::model::id::Sid;
use crate::model::outcome::{FailureCause, Outcome};
use crate::model::record::TopicPartition;
use crate::model::replay::{Replay, Stretch};
use crate::model::secret::Secret;
use crate::model::subscription::{Auth, Ordering, Start, Subscription, Tenant};
use crate::store::Store;
use crate::store::batch::Batch;
use crate::store::engine::{Engine, Op, Tree};
use crate::store::memory::Memory;
use crate::store::row;
use crate::store::seal::Seal;
use crate::store::tests::{at, event, kept, letter, operational, over, park, quarantined, sid, submit, subscription};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

const ID: [u8; 16] = [0xab; 16];

/// `whsec_1` in the row `secret/1`, sealed with the key of 32 bytes 1.
const SEALED: &str = r#"\x01r\xcdn\x84\"\xc4\x07\xfb7\x04m9i\xbb\tx?\xa2\xd9\x1f\x12\x8e\xfc6\xc1\x83\xa3\xdc\x00]\xd0)Z\xf8$\xb0\x98\xcaN\x05\xd6\xa7\xd8\xa5\x92\xfck\x06\xdc\x12\x9fK\x93e\x02"#;

fn file(version: u8) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/store/rows-{version}.txt"))
}

/// A subscription of which everything is left out that may be.
fn bare(number: u64, auth: Option<Auth>) -> Subscription {
    Subscription {
        sid: Sid::new(number, 2),
        id: format!("sub_{number}"),
        tenant: Tenant::None,
        name: None,
        metadata: [].into(),
        filter: None,
        filters: None,
        transform: None,
        headers: Vec::new(),
        auth,
        timeout: None,
        concurrency: None,
        ordering: Ordering::None,
        on_blocked: None,
        rate: None,
        batch: None,
        start: Start::Now,
        retry: None,
        declared: false,
        ..subscription()
    }
}

fn subscriptions_of_all_shapes() -> [Subscription; 4] {
    let bearer = Auth::Bearer(Secret::new("t0ken"));
    let header = Auth::Header { name: "x-key".into(), value: Secret::new("k3y") };
    [subscription(), bare(2, None), bare(3, Some(bearer)), bare(4, Some(header))]
}

/// An event of which everything is left out that may be.
fn bare_event() -> IntegrationEvent {
    IntegrationEvent { extensions: Vec::new(), ..event("shop.orders", 5, 10) }
}

/// A row that had no answer, and no key.
fn unanswered() -> (LedgerKey, LedgerHead) {
    let (key, head, _) = park(5, 10);
    let last = Outcome::Failed { cause: FailureCause::Timeout, detail: "no answer in 15s".into() };
    let head = LedgerHead { last: Some(last), ordering_key: None, ..head };
    let body_len = Batch::new().park(&key, &head, &bare_event());
    (key, LedgerHead { body_len, ..head })
}

fn cursors() -> [(CursorKey, CursorRow); 2] {
    let key = |partition, stream| {
        let at = TopicPartition { topic: "shop.orders".into(), partition };
        CursorKey { at, stream, sid: sid() }
    };
    let (mode, reason) = (CursorMode::Behind, BehindReason::Failing);
    let behind = CursorRow { mode, offset: 5, near: Some(at(4)), since: at(9), reason, to: None };
    let replay = CursorRow { mode: CursorMode::Live, near: None, reason: BehindReason::Replay, to: Some(8), ..behind };
    [(key(1, 0), behind), (key(2, 3), replay)]
}

fn copy() -> CommitCopy {
    CommitCopy { group: "hookline".into(), offset: 7, near: Some(at(6)), taken: at(8) }
}

fn lost() -> DeadRange {
    let at_one = TopicPartition { topic: "shop.orders".into(), partition: 1 };
    DeadRange { sid: sid(), at: at_one, stream: 0, died: at(8), from: 2, to: 7 }
}

fn replay() -> Replay {
    let at_one = TopicPartition { topic: "shop.orders".into(), partition: 1 };
    let stretches = vec![Stretch { at: at_one, from: 2, to: 8 }];
    Replay {
        sid: sid(),
        stream: 3,
        from: Start::At(at(1)),
        to: Some(at(2)),
        created: at(3),
        types: Vec::new(),
        stretches,
    }
}

/// All of that, written as it is today.
async fn written() -> Memory {
    let engine = Memory::default();
    let id = [&[row::VERSION][..], &ID].concat();
    engine.apply(Tree::Meta, &[Op::Put(b"store_id".to_vec(), id)]).unwrap();
    let store = over(&engine);
    let mut batch = park(1, 10).2;
    cursors().iter().for_each(|(key, row)| batch.cursor(key, row));
    batch.commit(&lost().at, copy());
    batch.lost(&lost());
    batch.outage(sid(), Some(at(7)));
    batch.operational(&operational());
    batch.park(&unanswered().0, &unanswered().1, &bare_event());
    batch.dead_letter(&letter(event("shop.orders", 2, 10)));
    batch.quarantine(&quarantined("shop.orders", 3, 10));
    batch.replay(&replay());
    submit(&store, batch).recv().unwrap().unwrap();
    for subscription in subscriptions_of_all_shapes() {
        store.put_subscription(&subscription, &[]).await.unwrap();
    }
    store.close().unwrap();
    engine
}

/// The rows as a fixture has them.
fn text(engine: &Memory) -> String {
    let mut text = String::new();
    for tree in Tree::ALL {
        let mut each = |key: &[u8], value: &[u8]| {
            let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(text, "{} {key} {}", tree.as_str(), value.escape_ascii()).unwrap();
            ControlFlow::Continue(())
        };
        engine.scan(tree, &[], &[], &mut each).unwrap();
    }
    text
}

fn parse(text: &str) -> Memory {
    let engine = Memory::default();
    for line in text.lines() {
        let [tree, key, value] = line.splitn(3, ' ').collect::<Vec<_>>().try_into().unwrap();
        let tree = Tree::ALL.into_iter().find(|one| one.as_str() == tree).unwrap();
        let byte = |at: usize| u8::from_str_radix(&key[at..at + 2], 16).unwrap();
        let key = (0..key.len()).step_by(2).map(byte).collect();
        engine.apply(tree, &[Op::Put(key, unescaped(value))]).unwrap();
    }
    engine
}

/// The bytes that `escape_ascii` was given.
fn unescaped(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, more @ ..] = rest {
        rest = more;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let (byte, long) = match rest[0] {
            b'x' => (u8::from_str_radix(std::str::from_utf8(&rest[1..3]).unwrap(), 16).unwrap(), 3),
            b'n' => (b'\n', 1),
            b't' => (b'\t', 1),
            b'r' => (b'\r', 1),
            itself => (itself, 1),
        };
        bytes.push(byte);
        rest = &rest[long..];
    }
    bytes
}

fn assert_read(store: &Store) {
    assert_eq!(store.id(), ID);
    let (key, head, _) = park(1, 10);
    assert_eq!(store.ledger_heads().unwrap(), [(key.clone(), head), unanswered()]);
    assert_eq!(store.ledger_event(&key).unwrap().unwrap(), event("shop.orders", 1, 10));
    assert_eq!(store.ledger_event(&unanswered().0).unwrap().unwrap(), bare_event());
    assert_eq!(store.cursors().unwrap(), cursors());
    assert_eq!(store.known().commit(&lost().at).unwrap(), Some(copy()));
    assert_eq!(store.lost(sid()).unwrap(), [lost()]);
    assert_eq!(store.outages().unwrap(), [(sid(), at(7))]);
    assert_eq!(store.outbox().unwrap(), [operational()]);
    assert_eq!(store.dead_letters(None, None, 9).unwrap()[0].1, letter(event("shop.orders", 2, 10)));
    assert_eq!(kept(store)[0].1, quarantined("shop.orders", 3, 10));
    assert_eq!(store.replays(Some(sid())).unwrap(), [replay()]);
    let mut subscriptions = store.subscriptions().unwrap();
    subscriptions.sort_by_key(|subscription| subscription.id.clone());
    assert_eq!(subscriptions, subscriptions_of_all_shapes());
}

#[tokio::test]
async fn what_every_version_wrote_is_read() {
    for version in 1..=row::VERSION {
        let text = std::fs::read_to_string(file(version)).unwrap();
        let store = over(&parse(&text));
        assert_read(&store);
    }
}

#[tokio::test]
async fn a_form_does_not_change_without_its_version() {
    let (today, file) = (text(&written().await), file(row::VERSION));
    let told = std::fs::read_to_string(&file).unwrap_or_default();
    for line in today.lines() {
        let known = told.lines().any(|known| known == line);
        assert!(known, "{} has no such row; see the caption of this test\n{line}\n\nall:\n{today}", file.display());
    }
    assert_eq!(told.lines().count(), today.lines().count(), "a row of {} is not written any more", file.display());
}

#[test]
fn a_secret_that_was_sealed_once_is_opened() {
    let seal = Seal::new(&[Secret::new(STANDARD.encode([1; 32]))]).unwrap();
    assert_eq!(seal.open(b"secret/1", &unescaped(SEALED)).unwrap(), b"whsec_1");
}
