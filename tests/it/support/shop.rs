//! The shop whose orders are produced: numbered, 570 bytes of JSON each, and the mapping that announces them.

use super::broker::Sample;
use std::ops::Range;

/// The signing secret of every test endpoint.
pub(crate) const SECRET: &str = "whsec_aG9va2xpbmUncyBzZWNyZXQgZm9yIGl0cyB0ZXN0cyE=";

/// The type of the events of [`mapping`].
pub(crate) const PLACED: &str = "com.acme.order.placed.v1";

/// The orders of these numbers, spread evenly over the partitions.
pub(crate) fn orders(numbers: Range<u64>, partitions: i32) -> impl Iterator<Item = Sample> {
    numbers.map(move |n| order(n, i32::try_from(n % u64::from(partitions.unsigned_abs())).unwrap()))
}

/// Order `n`.
pub(crate) fn order(n: u64, partition: i32) -> Sample {
    let value = format!(
        concat!(
            r#"{{"type":"OrderPlaced","id":"o-{n}","placed_at":"2026-01-01T08:30:00.000Z","merchant":"m-{merchant}","#,
            r#""currency":"EUR","total":{total}.10,"note":null,"customer":{{"id":"c-{n}","name":"Ada Lovelace","#,
            r#""mail":"ada.lovelace@example.com","ssn":"078-05-1120","address":{{"street":"12 St James's Square","#,
            r#""city":"London","zip":"SW1Y 4JH","country":"GB"}}}},"lines":[{{"sku":"ENGINE-01","title":"Analytical "#,
            r#"engine, brass","qty":1,"price":120.5}},{{"sku":"CARDS-100","title":"Punched cards, 100 pieces","qty":3,"#,
            r#""price":9.9}}],"shipping":{{"method":"post","express":false}},"tags":["first","gift","{tag}"]}}"#
        ),
        n = n,
        merchant = n % 50,
        total = n % 1000,
        tag = "x".repeat(12),
    );
    Sample { partition, key: format!("o-{n}"), value: value.into_bytes() }
}

/// A mapping file that announces the orders of `topic`, in eight fields.
pub(crate) fn mapping(topic: &str) -> String {
    format!(
        r#"mappings:
  - name: order-placed
    from: {topic}
    when: payload.type == "OrderPlaced"
    emit:
      type: {PLACED}
      subject: ${{payload.id}}
      data:
        order_id: ${{payload.id}}
        merchant: ${{payload.merchant}}
        currency: ${{payload.currency}}
        total: ${{payload.total}}
        customer: ${{payload.customer.name}}
        email: ${{payload.customer.mail}}
        city: ${{payload.customer.address.city}}
        first_sku: ${{payload.lines[0].sku}}
"#
    )
}
