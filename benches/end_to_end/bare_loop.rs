//! The bare loop: consume, parse, pick eight fields, sign, post. What anybody would write first, without any promise:
//! no second attempt, no ledger, no order of commits.

use crate::support::{minder, shop::SECRET};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use rdkafka::{
    ClientConfig, Message,
    consumer::{BaseConsumer, Consumer},
};
use serde_json::{Value, json};
use sha2::Sha256;
use std::{
    env,
    process::{Child, Command, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::sync::mpsc;

/// As many requests at the same time as a subscription has by default.
const CONCURRENCY: usize = 16;

/// The other process. Dropping it ends it.
pub(crate) struct BareLoop(Child);

// === impl BareLoop ===

impl BareLoop {
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for BareLoop {
    fn drop(&mut self) {
        let (_, _) = (self.0.kill(), self.0.wait());
        minder::ended(self.0.id());
    }
}

/// Starts the loop as a process of its own.
pub(crate) fn start(address: &str, topic: &str, url: &str) -> BareLoop {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["bare-loop", address, topic, &format!("bare.{topic}"), url]).stdin(Stdio::null());
    let child = command.spawn().unwrap();
    minder::mind(child.id());
    BareLoop(child)
}

/// The other process's life, until it is killed.
pub(crate) fn run([address, topic, group]: [&str; 3], url: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let posters: Vec<_> = (0..CONCURRENCY)
        .map(|_| {
            let (sender, events) = mpsc::channel(CONCURRENCY);
            runtime.spawn(post(client.clone(), url.to_string(), events));
            sender
        })
        .collect();
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    consumer.subscribe(&[topic]).unwrap();
    for number in 0.. {
        let message = loop {
            if let Some(message) = consumer.poll(Duration::from_millis(100)) {
                break message.unwrap();
            }
        };
        let id = format!("{}-{}-{}", message.topic(), message.partition(), message.offset());
        let order: Value = serde_json::from_slice(message.payload().unwrap()).unwrap();
        let body = serde_json::to_vec(&event(&id, &order)).unwrap();
        posters[number % CONCURRENCY].blocking_send((id, body)).unwrap();
    }
}

fn event(id: &str, order: &Value) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/shop", "type": "com.acme.order.placed.v1",
        "subject": order["id"], "time": order["placed_at"], "datacontenttype": "application/json",
        "data": {
            "order_id": order["id"], "merchant": order["merchant"], "currency": order["currency"],
            "total": order["total"], "customer": order["customer"]["name"], "email": order["customer"]["mail"],
            "city": order["customer"]["address"]["city"], "first_sku": order["lines"][0]["sku"],
        },
    })
}

async fn post(client: reqwest::Client, url: String, mut events: mpsc::Receiver<(String, Vec<u8>)>) {
    let key = STANDARD.decode(SECRET.strip_prefix("whsec_").unwrap()).unwrap();
    while let Some((id, body)) = events.recv().await {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{id}.{time}.").as_bytes());
        mac.update(&body);
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        let request = client.post(&url).header("content-type", "application/cloudevents+json; charset=utf-8");
        let request = request.header("webhook-id", id).header("webhook-timestamp", time);
        let answer = request.header("webhook-signature", signature).body(body).send().await.unwrap();
        assert!(answer.status().is_success());
        answer.bytes().await.unwrap();
    }
}
