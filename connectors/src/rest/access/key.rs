//! One key: what is kept of it, and what it is bound to.

use std::sync::Arc;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::{rate::Bucket, role::Role};

/// What every key begins with, so that a leaked one is found by a search.
const START: &str = "tf_";

/// Bytes of the part by which a key is looked up.
const PREFIX_BYTES: usize = 5;

/// Bytes of the part that nobody can guess.
const SECRET_BYTES: usize = 32;

/// What a file of keys holds of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyEntry {
    /// The part of the key between its two `_`: by it a key is looked up, listed and revoked.
    pub prefix: String,
    /// SHA-256 of the whole key, 64 hexadecimal digits.
    pub sha256: String,
    /// What it may do.
    pub role: Role,
    /// The models that it is for; `*` is every model.
    #[serde(default = "every_model")]
    pub models: Vec<String>,
    /// The twin ids that it is for; a `*` stands for any characters, `{client_id}` for the id of
    /// its client.
    #[serde(default = "every_twin")]
    pub twins: String,
    /// The client that it was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
}

/// What stands for the id of the client in a pattern of twin ids.
const CLIENT_ID: &str = "{client_id}";

impl KeyEntry {
    /// The pattern of the twin ids that it is for, as it is without names in it.
    ///
    /// # Errors
    ///
    /// Says what is wrong with its client's id, or that it needs one.
    pub fn twins_of_client(&self) -> Result<String, String> {
        let prefix = &self.prefix;
        // A client could else be for the twins of another one.
        let allowed = |c: char| c.is_alphanumeric() || "-_.:@".contains(c);
        match &self.client_id {
            Some(id) if id.is_empty() || !id.chars().all(allowed) => Err(format!(
                "client_id of key {prefix} has other characters than a-z 0-9 - _ . : @"
            )),
            Some(id) => Ok(self.twins.replace(CLIENT_ID, id)),
            None if self.twins.contains(CLIENT_ID) => {
                Err(format!("key {prefix} is for twins of {CLIENT_ID} and has no client_id"))
            }
            None => Ok(self.twins.clone()),
        }
    }
}

fn every_model() -> Vec<String> {
    vec!["*".into()]
}

fn every_twin() -> String {
    "*".into()
}

/// Makes a key of random bytes: the text to hand out, which is kept nowhere, and what is kept.
pub fn new_key(
    random: [u8; PREFIX_BYTES + SECRET_BYTES],
    role: Role,
    models: Vec<String>,
    twins: String,
) -> (String, KeyEntry) {
    let (prefix, secret) = random.split_at(PREFIX_BYTES);
    let prefix = hex(prefix);
    let key = format!("{START}{prefix}_{}", hex(secret));
    let sha256 = hex(&sha256(&key));
    let entry = KeyEntry { prefix, sha256, role, models, twins, client_id: None };
    (key, entry)
}

fn sha256(key: &str) -> [u8; 32] {
    let digest = digest(&SHA256, key.as_bytes());
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// The prefix of a key's text.
pub(super) fn prefix(key: &str) -> Option<&str> {
    Some(key.strip_prefix(START)?.split_once('_')?.0)
}

/// A key as requests are checked with it.
#[derive(Debug)]
pub(super) struct Key {
    entry: KeyEntry,
    /// The pattern of its twin ids, with the id of its client in it.
    twins: String,
    digest: [u8; 32],
    turns: Arc<Bucket>,
}

impl Key {
    /// Checks an entry; the error says what is wrong with it.
    pub(super) fn new(entry: KeyEntry, turns: Arc<Bucket>) -> Result<Self, String> {
        let prefix = &entry.prefix;
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(format!("the prefix \"{prefix}\" has other characters than a-z and 0-9"));
        }
        let digest = from_hex(&entry.sha256)
            .ok_or_else(|| format!("sha256 of key {prefix} has not 64 hexadecimal digits"))?;
        if entry.models.is_empty() || entry.twins.is_empty() {
            return Err(format!("key {prefix} is for no model or no twin: \"*\" is every one"));
        }
        let twins = entry.twins_of_client()?;
        Ok(Self { entry, twins, digest, turns })
    }

    pub(super) fn prefix(&self) -> &str {
        &self.entry.prefix
    }

    pub(super) fn turns(&self) -> &Arc<Bucket> {
        &self.turns
    }

    /// Compares in a time that does not tell how much of it was right.
    pub(super) fn is(&self, digest: &[u8; 32]) -> bool {
        self.digest.ct_eq(digest).into()
    }
}

/// SHA-256 of what somebody presents.
pub(super) fn digest_of(presented: &str) -> [u8; 32] {
    sha256(presented)
}

/// Who asks: in the extensions of a request that was let in.
#[derive(Clone, Debug)]
pub struct Caller(pub(super) Arc<Key>);

impl Caller {
    /// The prefix of the key.
    pub fn prefix(&self) -> &str {
        self.0.prefix()
    }

    /// Its role.
    pub fn role(&self) -> Role {
        self.0.entry.role
    }

    /// Whether it is for a model, or at least for some of its twins.
    pub fn is_for_model(&self, model: &str) -> bool {
        self.0.entry.models.iter().any(|name| name == "*" || name == model)
    }

    /// Whether it is for a twin of a model.
    pub fn is_for(&self, model: &str, twin: &str) -> bool {
        self.is_for_model(model) && matches(&self.0.twins, twin)
    }

    /// Whether it is for every twin of its models.
    pub fn is_for_all_twins(&self) -> bool {
        self.0.twins == "*"
    }

    /// Whether it is bound to nothing.
    pub fn is_unbound(&self) -> bool {
        self.is_for_all_twins() && self.0.entry.models.iter().any(|name| name == "*")
    }

    /// Takes one request from its allowance; the error is the seconds to wait.
    pub(super) fn take_turn(&self) -> Result<(), u64> {
        self.0.turns.take()
    }
}

/// Whether a text fits a pattern in which `*` stands for any characters.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<_> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    // The leftmost place of each part leaves most of the text to those after it.
    for part in parts {
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(models: &[&str], twins: &str) -> (String, Caller) {
        let models = models.iter().map(|&model| model.to_owned()).collect();
        let (text, entry) = new_key([7; 37], Role::Ingest, models, twins.into());
        (text, Caller(Arc::new(Key::new(entry, Arc::new(Bucket::new(10))).unwrap())))
    }

    #[test]
    fn a_key_has_256_random_bits_and_only_its_digest_is_kept() {
        let (text, caller) = key(&["*"], "*");
        let secret = text.rsplit_once('_').unwrap().1;
        assert_eq!(secret.len() * 4, 256);
        assert_eq!(prefix(&text), Some(caller.prefix()));
        let kept = format!("{:?}", caller.0);
        assert!(!kept.contains(secret), "{kept}");
        assert!(caller.0.is(&digest_of(&text)));
        assert!(!caller.0.is(&digest_of(&text[..text.len() - 1])));
        // NIST's example of SHA-256.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex(&digest_of("abc")), abc);
        assert_eq!(from_hex(abc), Some(digest_of("abc")));
        assert_eq!(from_hex(&abc.replace('b', "g")), None);
    }

    /// The least time of many rounds, in which the tries take turns: what disturbs a machine makes
    /// some rounds longer and none shorter.
    #[expect(clippy::disallowed_methods, reason = "time itself is what is tested")]
    fn least_nanos<const N: usize>(tries: [&dyn Fn() -> bool; N]) -> [u128; N] {
        let mut least = [u128::MAX; N];
        for _ in 0..400 {
            for (one, least) in tries.iter().zip(&mut least) {
                let began = std::time::Instant::now();
                let right = (0..100).filter(|_| std::hint::black_box(one())).count();
                *least = (*least).min(began.elapsed().as_nanos());
                assert!(right == 0 || right == 100);
            }
        }
        least
    }

    #[test]
    fn s8_no_time_tells_how_much_of_a_key_was_right() {
        let (text, caller) = key(&["*"], "*");
        let right = digest_of(&text);
        let with = |at: usize| {
            let mut digest = right;
            digest[at] ^= 1;
            digest
        };
        let (first, last) = (with(0), with(31));
        let is = |digest: [u8; 32]| move |caller: &Caller| caller.0.is(&digest);
        let tries: [&dyn Fn() -> bool; 3] = [
            &|| is(std::hint::black_box(right))(&caller),
            &|| is(std::hint::black_box(first))(&caller),
            &|| is(std::hint::black_box(last))(&caller),
        ];
        let of_digests = least_nanos(tries);
        // Whole keys, wrong in the first and in the last character behind the same prefix.
        let (start, end) = (START.len() + 2 * PREFIX_BYTES + 1, text.len() - 1);
        let wrong = |at: usize| {
            let mut wrong = text.clone();
            wrong.replace_range(at..=at, "f");
            assert_ne!(wrong, text);
            wrong
        };
        let (early, late) = (wrong(start), wrong(end));
        let look = |text: &str| caller.0.is(&digest_of(std::hint::black_box(text)));
        let of_keys = least_nanos([&|| look(&text), &|| look(&early), &|| look(&late)]);
        for times in [of_digests, of_keys] {
            let (least, most) = (times.iter().min().unwrap(), times.iter().max().unwrap());
            assert!(*most * 100 <= *least * 115, "right, wrong early, wrong late: {times:?} ns");
        }
    }

    #[test]
    fn a_key_is_for_its_models_and_twins_only() {
        let (_, caller) = key(&["turbines", "pumps"], "site-1/*");
        assert!(caller.is_for("turbines", "site-1/7") && caller.is_for("pumps", "site-1/"));
        for (model, twin) in [("doors", "site-1/7"), ("pumps", "site-2/7"), ("pumps", "site-1")] {
            assert!(!caller.is_for(model, twin), "{model} {twin}");
        }
        assert!(!caller.is_unbound() && !caller.is_for_all_twins());
        assert!(key(&["*"], "*").1.is_unbound());
        assert!(!key(&["turbines"], "*").1.is_unbound());
    }

    #[test]
    fn s11_a_pattern_with_the_client_s_id_is_for_the_twins_of_that_client() {
        let entry = new_key([7; 37], Role::Ingest, vec!["*".into()], "{client_id}/*".into()).1;
        let of = |client_id: &str| {
            let entry = KeyEntry { client_id: Some(client_id.into()), ..entry.clone() };
            Caller(Arc::new(Key::new(entry, Arc::new(Bucket::new(1))).unwrap()))
        };
        let (first, second) = (of("pump-1"), of("pump-12"));
        assert!(first.is_for("m", "pump-1/motor") && second.is_for("m", "pump-12/motor"));
        for other in ["pump-12/motor", "pump-1", "pump-2/x", "x/pump-1/motor", "{client_id}/x"] {
            assert!(!first.is_for("m", other), "{other}");
        }
        assert!(!first.is_for_all_twins() && !second.is_for("m", "pump-1/motor"));
    }

    #[test]
    fn a_star_is_any_characters() {
        for (pattern, text) in
            [("*", ""), ("a", "a"), ("a*", "a"), ("*b", "ab"), ("a*c*e", "abcbcde"), ("*a*", "bab")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("a", "ab"), ("a*", "ba"), ("a*a", "a"), ("*b", "ba"), ("a*c*e", "aec"), ("", "a")]
        {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn an_entry_that_cannot_work_is_named() {
        let (_, entry) = new_key([1; 37], Role::Read, vec!["*".into()], "*".into());
        let bad = [
            (KeyEntry { prefix: "a_b".into(), ..entry.clone() }, "a_b"),
            (KeyEntry { sha256: "12".into(), ..entry.clone() }, "64"),
            (KeyEntry { models: Vec::new(), ..entry.clone() }, "no model"),
            (KeyEntry { twins: String::new(), ..entry.clone() }, "no twin"),
            (KeyEntry { twins: "{client_id}/*".into(), ..entry.clone() }, "no client_id"),
            (KeyEntry { client_id: Some("a/*".into()), ..entry.clone() }, "other characters"),
            (KeyEntry { client_id: Some(String::new()), ..entry }, "other characters"),
        ];
        for (entry, says) in bad {
            let error = Key::new(entry, Arc::new(Bucket::new(1))).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
