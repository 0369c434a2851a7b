//! The sample shop: orders, payments, now and then a change of mind. Its records are those of
//! `config/mappings/shop.yaml`.

use crate::kafka::writer::Draft;
use crate::runtime::clock;
use crate::runtime::random::Dice;
use serde_json::json;
use std::collections::VecDeque;

/// Where the shop writes.
pub(crate) const TOPICS: [&str; 2] = [ORDERS, PAYMENTS];
const ORDERS: &str = "shop.orders";
const PAYMENTS: &str = "shop.payments";

const CUSTOMERS: [[&str; 3]; 4] = [
    ["Ada Lovelace", "ada", "GB"],
    ["Niels Abel", "niels", "NO"],
    ["Carl Gauss", "carl", "DE"],
    ["Sofia Brahe", "sofia", "SE"],
];
const ARTICLES: [[&str; 2]; 4] = [
    ["ENGINE-01", "Analytical engine"],
    ["CHAIR-07", "Reading chair"],
    ["LAMP-12", "Desk lamp"],
    ["INK-03", "Bottle of ink"],
];

/// The shop.
pub(crate) struct Shop {
    dice: Dice,
    orders: u64,
    /// What follows from former orders.
    follows: VecDeque<Draft>,
}

// === impl Shop ===

impl Shop {
    /// A shop that has sold nothing yet.
    pub(crate) fn open() -> Self {
        Self { dice: Dice::new(), orders: 1_000, follows: VecDeque::new() }
    }

    /// The next record: an order, or what follows from one.
    pub(crate) fn next(&mut self) -> Draft {
        match self.follows.pop_front() {
            Some(follows) => follows,
            None => self.order(),
        }
    }

    /// An order; its payment follows, and for some a cancellation, or a look that interests nobody outside.
    fn order(&mut self) -> Draft {
        self.orders += 1;
        let (number, now) = (self.orders, clock::now().to_string());
        let (id, quantity) = (format!("o-{number}"), 1 + self.pick(3));
        let ([name, account, country], [sku, title]) = (CUSTOMERS[self.pick(4)], ARTICLES[self.pick(4)]);
        let price = 500 + self.pick(20_000);
        let (price, total) = (cents(price), cents(quantity * price));
        let order = json!({
            "type": "OrderPlaced", "id": id, "placed_at": now, "merchant": "m-1", "currency": "EUR", "total": total,
            "customer": {
                "id": account, "name": name, "mail": format!("{account}@example.com"), "ssn": "078-05-1120",
                "address": {"street": "1 High Street", "city": "Somewhere", "zip": "1000", "country": country},
            },
            "lines": [{"sku": sku, "title": title, "qty": quantity, "price": price}],
            "shipping": {"method": "post", "express": self.pick(2) == 0},
        });
        let accepted = self.pick(5) > 0;
        let payment = json!({
            "id": format!("p-{number}"), "order": id, "at": now, "accepted": accepted, "amount": total, "currency": "EUR",
            "card": {"brand": "visa", "number": "4111111111111111"},
        });
        self.follows.push_back(draft(PAYMENTS, &id, &payment));
        if !accepted {
            let cancelled = json!({"type": "OrderCancelled", "id": id, "cancelled_at": now, "reason": "changed_mind"});
            self.follows.push_back(draft(ORDERS, &id, &cancelled));
        }
        if number % 4 == 0 {
            self.follows.push_back(draft(ORDERS, &id, &json!({"type": "OrderViewed", "id": id})));
        }
        draft(ORDERS, &id, &order)
    }

    fn pick(&mut self, of: usize) -> usize {
        (self.dice.roll() * of as f64) as usize
    }
}

fn draft(topic: &str, key: &str, value: &serde_json::Value) -> Draft {
    let (key, value) = (Some(key.to_string().into()), Some(value.to_string().into()));
    Draft { topic: topic.into(), key, headers: Vec::new(), value }
}

/// An amount with its two digits, which a float would lose.
fn cents(amount: usize) -> serde_json::Value {
    let text = format!("{}.{:02}", amount / 100, amount % 100);
    serde_json::from_str(&text).expect("digits, a full stop and two digits are a number")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::rules;
    use crate::dryrun::explain;
    use crate::model::record::{Origin, Record};
    use crate::pipeline::Pipeline;
    use std::collections::BTreeSet;

    #[test]
    fn what_the_shop_sells_becomes_every_event_of_the_example_mappings() {
        let rules = rules::load(&["config/mappings/shop.yaml".into()]).map_err(|error| error.report()).unwrap();
        let (pipeline, mut shop) = (Pipeline::new(rules.mappings, Vec::new(), 1 << 20), Shop::open());
        let mut types = BTreeSet::new();
        for offset in 0..500 {
            let draft = shop.next();
            let origin = Origin { topic: draft.topic.as_str().into(), partition: 0, offset, timestamp: clock::now() };
            let record = Record { origin, key: draft.key, headers: draft.headers, value: draft.value };
            let explained = explain::explain(&pipeline, &record, &[]);
            assert!(!explained.stuck(), "{explained:?}");
            types.extend(explained.events().map(|explained| explained.event.event_type.to_string()));
        }
        let expected = ["order.cancelled", "order.line", "order.placed", "payment.received", "payment.refused"];
        assert_eq!(types, expected.map(|name| format!("com.acme.{name}.v1")).into());
    }
}
