//! The books: what was produced against what was received.
//!
//! Orders are numbered, and each has its number in the payload. An endpoint enters every webhook that it accepted; the
//! balance then says which orders are lost, how many came twice, and whether twins were told apart from strangers: a
//! second webhook of the same order must have the `webhook-id` of the first (promise P2).

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::Mutex,
};

/// The books of one endpoint, one for each of its paths.
#[derive(Default)]
pub(crate) struct Account {
    books: Mutex<BTreeMap<String, Book>>,
}

#[derive(Default)]
struct Book {
    orders: HashMap<u64, Line>,
    webhooks: u64,
    strangers: u64,
    unsigned: u64,
    unreadable: u64,
}

struct Line {
    webhook_id: String,
    times: u32,
}

/// What came of the orders that were produced.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Balance {
    /// Orders that came at least once.
    pub(crate) arrived: u64,
    /// Orders that were produced and never came: how many, and the first of them.
    pub(crate) lost: u64,
    pub(crate) first_lost: Option<u64>,
    /// Webhooks beyond the first of their order, with its `webhook-id`.
    pub(crate) twins: u64,
    /// Webhooks beyond the first of their order, with an id of their own. Never allowed.
    pub(crate) strangers: u64,
    /// Webhooks whose signature did not verify. Never allowed.
    pub(crate) unsigned: u64,
    /// Webhooks that name no order, or one that was not produced. Never allowed.
    pub(crate) unreadable: u64,
}

// === impl Account ===

impl Account {
    /// Enters a webhook that was accepted at `path`.
    pub(crate) fn accepted(&self, path: &str, webhook_id: &str, body: &[u8]) {
        self.enter(path, |book| {
            book.webhooks += 1;
            let Some(order) = order_of(body) else {
                book.unreadable += 1;
                return;
            };
            let first = || Line { webhook_id: webhook_id.to_string(), times: 0 };
            let line = book.orders.entry(order).or_insert_with(first);
            if line.webhook_id == webhook_id {
                line.times += 1;
            } else {
                book.strangers += 1;
            }
        });
    }

    /// Enters a webhook whose signature did not verify.
    pub(crate) fn unsigned(&self, path: &str) {
        self.enter(path, |book| book.unsigned += 1);
    }

    /// How many orders arrived at `path` so far.
    pub(crate) fn arrived(&self, path: &str) -> u64 {
        self.books.lock().unwrap().get(path).map_or(0, |book| book.orders.len() as u64)
    }

    /// The balance of `path` when the orders of these numbers were produced.
    pub(crate) fn balance(&self, path: &str, produced: Range<u64>) -> Balance {
        let mut books = self.books.lock().unwrap();
        let book = books.entry(path.to_string()).or_default();
        let mut lost = produced.clone().filter(|order| !book.orders.contains_key(order));
        let first_lost = lost.next();
        let unknown = book.orders.keys().filter(|order| !produced.contains(order)).count() as u64;
        Balance {
            arrived: book.orders.len() as u64,
            lost: u64::from(first_lost.is_some()) + lost.count() as u64,
            first_lost,
            twins: book.orders.values().map(|line| u64::from(line.times) - 1).sum(),
            strangers: book.strangers,
            unsigned: book.unsigned,
            unreadable: book.unreadable + unknown,
        }
    }

    fn enter(&self, path: &str, entry: impl FnOnce(&mut Book)) {
        let mut books = self.books.lock().unwrap();
        match books.get_mut(path) {
            Some(book) => entry(book),
            None => entry(books.entry(path.to_string()).or_default()),
        }
    }
}

// === impl Balance ===

impl Balance {
    /// All of `orders` came, none of them twice.
    pub(crate) fn exactly_once(orders: u64) -> Self {
        Self { arrived: orders, lost: 0, first_lost: None, twins: 0, strangers: 0, unsigned: 0, unreadable: 0 }
    }
}

/// Whether `signature` (`webhook-signature`, one or several) holds a v1 signature of this webhook by `secret` (`whsec_`
/// and base64). Written here anew from the Standard Webhooks text, so that it does not share the daemon's mistakes.
pub(crate) fn verifies(secret: &str, signed: [&str; 2], body: &[u8], signature: &str) -> bool {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let [id, timestamp] = signed;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    let wanted = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    signature.split(' ').any(|one| one == wanted)
}

/// The order's number: the digits after `"order_id":"o-`.
fn order_of(body: &[u8]) -> Option<u64> {
    const BEFORE: &[u8] = br#""order_id":"o-"#;
    let at = body.windows(BEFORE.len()).position(|window| window == BEFORE)? + BEFORE.len();
    let digits = body[at..].iter().take_while(|byte| byte.is_ascii_digit());
    let mut number = None;
    for digit in digits {
        number = Some(number.unwrap_or(0) * 10 + u64::from(digit - b'0'));
    }
    number
}
