//! The order that all stations are measured with, as a record and as the event that it becomes.

use hookline::expr::secrets::Secrets;
use hookline::map::Mappings;
use hookline::map::written::Rules;
use hookline::model::event::Emitted;
use hookline::model::problem::Problems;
use hookline::model::record::{Origin, Record};
use hookline::model::time::Timestamp;
use hookline::pipeline::Pipeline;
use hookline::yaml::reader;
use std::sync::Arc;

pub(crate) const TOPIC: &str = "shop.orders";

pub(crate) const JSON: &str = concat!(
    r#"{"type":"OrderPlaced","id":"o-1048576","placed_at":"2026-01-01T08:30:00.000Z","merchant":"m-500","#,
    r#""currency":"EUR","total":150.20,"note":null,"customer":{"id":"c-1048576","name":"Ada Lovelace","#,
    r#""mail":"ada.lovelace@example.com","ssn":"078-05-1120","address":{"street":"12 St James's Square","#,
    r#""city":"London","zip":"SW1Y 4JH","country":"GB"}},"lines":[{"sku":"ENGINE-01","title":"Analytical engine, "#,
    r#"brass, with manual","qty":1,"price":120.5},{"sku":"CARDS-100","title":"Punched cards, 100 pieces","qty":3,"#,
    r#""price":9.9}],"shipping":{"method":"post","express":false},"tags":["first","gift","returning"]}"#
);

/// Eight fields behind a condition.
pub(crate) const MAPPING: &str = r#"mappings:
  - name: order-placed
    from: shop.orders
    when: payload.type == "OrderPlaced"
    emit:
      type: com.acme.order.placed.v1
      subject: ${payload.id}
      tenant: ${payload.merchant}
      data:
        order_id: ${payload.id}
        merchant: ${payload.merchant}
        currency: ${payload.currency}
        total: ${payload.total}
        customer: ${payload.customer.name}
        email: ${payload.customer.mail}
        city: ${payload.customer.address.city}
        first_sku: ${payload.lines[0].sku}
"#;

pub(crate) fn record(value: &str) -> Record {
    let timestamp = Timestamp::from_millis(1_767_256_200_000);
    let origin = Origin { topic: TOPIC.into(), partition: 3, offset: 1_048_576, timestamp };
    Record { origin, key: Some("o-1048576".into()), headers: Vec::new(), value: Some(value.to_owned().into()) }
}

pub(crate) fn mappings(text: &str) -> Mappings {
    let (mut rules, mut problems) = (Rules::knowing(Secrets::default()), Problems::default());
    rules.add_file(&reader::read(&"bench.yaml".into(), text).unwrap(), &mut problems);
    let mappings = rules.finish(&mut problems);
    assert!(problems.is_empty(), "{problems}");
    mappings
}

pub(crate) fn pipeline(mapping: &str) -> Pipeline {
    Pipeline::new(mappings(mapping), Vec::new(), 1 << 20)
}

/// The event that the order becomes.
pub(crate) fn event() -> Arc<Emitted> {
    let mut passage = pipeline(MAPPING).pass(&record(JSON));
    assert_eq!((passage.events.len(), passage.faults.len()), (1, 0), "{passage:?}");
    passage.events.remove(0)
}
