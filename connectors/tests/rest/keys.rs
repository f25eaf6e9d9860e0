//! Keys on an own listener.

use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use twinflow_connectors::rest::{
    Rest,
    access::{Access, KeyEntry, LoginFailed, Role, edit, new_key},
};

use crate::{
    client::{Answer, call},
    fake::Fake,
};

const PATH: &str = "/v1/twins/m/site-1%2F7/messages";

/// A connection with keys, the failed logins that it told of, and the file.
struct Keyed {
    fake: Fake,
    failed: Arc<Mutex<Vec<LoginFailed>>>,
    _dir: TempDir,
}

impl Keyed {
    /// With an ingest key for the model `m`, and those that `more` lists.
    async fn start(requests_per_sec: u32, more: &[KeyEntry]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keys.toml");
        edit(&file, |keys| {
            keys.push(key(8, Role::Admin, "*", "*").1);
            keys.push(key(9, Role::Ingest, "m", "*").1);
            keys.extend_from_slice(more);
            Ok(())
        })
        .unwrap();
        let failed: Arc<Mutex<Vec<LoginFailed>>> = Arc::default();
        let told = Arc::clone(&failed);
        let on_failed = Arc::new(move |failed| told.lock().unwrap().push(failed));
        let rest = Rest::listen("127.0.0.1:0");
        rest.protect(Arc::new(Access::open(&file, requests_per_sec, on_failed).unwrap()));
        let fake =
            Fake::with_headers(rest, 1, &[("x-api-key", &key(8, Role::Admin, "*", "*").0)]).await;
        Self { fake, failed, _dir: dir }
    }

    async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let body = if method == "GET" { "" } else { "1" };
        call(self.fake.address, method, path, headers, body).await
    }
}

fn key(byte: u8, role: Role, model: &str, twins: &str) -> (String, KeyEntry) {
    new_key([byte; 37], role, vec![model.into()], twins.into())
}

/// The key that [`Keyed::start`] makes.
fn first_key() -> String {
    key(9, Role::Ingest, "m", "*").0
}

#[tokio::test]
async fn s8_without_a_known_key_nothing_is_taken_and_each_try_is_told() {
    let keyed = Keyed::start(1000, &[]).await;
    let wrong = first_key().replace("09", "19");
    let basic = format!("Basic {}", first_key());
    let tries: [&[(&str, &str)]; 4] =
        [&[], &[("x-api-key", &wrong)], &[("authorization", &basic)], &[("x-api-key", "")]];
    for headers in tries {
        let answer = keyed.call("POST", PATH, headers).await;
        answer.problem(401, "key");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }
    let answer = keyed.call("GET", "/nothing/here", &[]).await;
    let detail = answer.problem(401, "key");
    assert!(!detail.contains("nothing"), "{detail}");
    let sixth = keyed.call("POST", PATH, &[]).await;
    sixth.problem(429, "logins");
    assert!((1..=60).contains(&sixth.retry_after()));
    assert!(keyed.fake.try_take().is_none());
    let failed = keyed.failed.lock().unwrap().clone();
    assert_eq!(failed.len(), 5);
    assert_eq!(failed[0].what, format!("POST {PATH}"));
    assert!(failed.iter().all(|failed| failed.from.is_some_and(|from| from.ip().is_loopback())));
    let told = format!("{failed:?}");
    assert!(!told.contains("tf_"), "{told}");
    // Whoever has a key is not locked out by a neighbour behind the same address.
    let bearer = format!("Bearer {}", first_key());
    for header in [("authorization", bearer.as_str()), ("x-api-key", &first_key())] {
        keyed.call("GET", "/nothing/here", &[header]).await.problem(404, "unknown-path");
    }
}

#[tokio::test]
async fn s11_a_bound_key_reaches_its_own_model_and_twins_only() {
    let (bound, bound_entry) = key(1, Role::Ingest, "m", "site-1/*");
    let (reader, reader_entry) = key(2, Role::Read, "*", "*");
    let keyed = Keyed::start(1000, &[bound_entry, reader_entry]).await;
    let with_bound = [("x-api-key", bound.as_str())];
    for twin in ["m/site-2%2F7", "n/site-1%2F7", "m/site-1", "unheard/site-1%2F7", "m/%ff"] {
        for (method, end) in [("POST", "messages"), ("GET", "feedback"), ("POST", "feedback/ack")] {
            let answer = keyed.call(method, &format!("/v1/twins/{twin}/{end}"), &with_bound).await;
            answer.problem(403, "binding");
            assert!(!answer.text.contains("\"models\""), "{}", answer.text);
        }
    }
    assert_eq!(keyed.call("GET", "/v1/twins/m/site-1%2F7/feedback", &with_bound).await.status, 204);
    let looks = keyed.call("POST", PATH, &[("x-api-key", &reader)]).await;
    assert!(looks.problem(403, "role").contains("takes the role ingest"));

    let lines = "{\"model\":\"m\",\"twin\":\"site-1/7\",\"payload\":1}\n\
                 {\"model\":\"m\",\"twin\":\"site-2/7\",\"payload\":2}\n\
                 {\"model\":\"unheard\",\"twin\":\"site-1/7\",\"payload\":3}\n";
    let address = keyed.fake.address;
    let answer = tokio::spawn(async move {
        call(address, "POST", "/v1/messages", &[("x-api-key", &bound)], lines).await
    });
    let arrived = keyed.fake.take().await;
    assert_eq!((arrived.rows.len(), arrived.rows[0].twin.as_str()), (1, "site-1/7"));
    keyed.fake.acknowledge(&arrived, 1);
    let answer = answer.await.unwrap();
    let statuses: Vec<_> = answer.lines().iter().map(|line| line["status"].clone()).collect();
    assert_eq!(statuses, [200, 403, 403], "{}", answer.text);
    assert!(!answer.text.contains("use m"), "no name of what others may: {}", answer.text);
}

#[tokio::test]
async fn s20_a_key_that_asks_too_often_waits_and_others_do_not() {
    let (other, entry) = key(3, Role::Ingest, "*", "*");
    let keyed = Keyed::start(5, &[entry]).await;
    let first = first_key();
    let path = "/v1/twins/m/t/feedback";
    let mut statuses = Vec::new();
    for _ in 0..20 {
        let answer = keyed.call("GET", path, &[("x-api-key", &first)]).await;
        if answer.status == 429 {
            answer.problem(429, "key-rate");
            assert_eq!(answer.retry_after(), 1);
        }
        statuses.push(answer.status);
    }
    let taken = statuses.iter().filter(|status| **status == 204).count();
    assert!((10..20).contains(&taken), "{statuses:?}");
    assert_eq!(keyed.call("GET", path, &[("x-api-key", &other)]).await.status, 204);
}
