//! Tokens of people: Secrets of `kube-system` that hold a token's hash and whom it stands for. Whoever deletes the Secret
//! revokes the token.

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::user::User;
use crate::registry::builtin::token;
use crate::registry::{Key, Resource, Snapshot};

/// Whom the token `shown` stands for `now`.
pub(crate) fn recognise(shown: &str, now: Timestamp, snapshot: &Snapshot) -> Option<User> {
    let hash: [u8; 32] = Sha256::digest(shown.trim()).into();
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    // Found by the beginning of its hash, which tells nothing of the token; the whole of it is compared.
    let secret =
        snapshot.get(&Key::new(&Resource::new("", "secrets"), token::NAMESPACE, &token::name(&hash)))?;
    let secret = secret.typed::<Value>().ok()?;
    if secret["type"] != token::TYPE || secret["metadata"].get("deletionTimestamp").is_some() {
        return None;
    }
    let text = |field: &str| token::field(&secret, field);
    let same = text("hash")?.bytes().zip(hash.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0;
    let lives = match text("expiration") {
        None => true,
        Some(end) => end.trim().parse::<Timestamp>().is_ok_and(|end| now < end),
    };
    let user = text("user").filter(|user| !user.is_empty() && !user.starts_with("system:"))?;
    let groups = text("groups").unwrap_or_default();
    let groups =
        groups.split(',').map(str::trim).filter(|group| !group.is_empty() && !group.starts_with("system:"));
    (same && lives && text("hash")?.len() == hash.len())
        .then(|| User::named(&user, groups.map(str::to_owned)))
}

/// The user and the groups that a Secret's token stands for.
pub(crate) fn subject(secret: &Value) -> (String, Vec<String>) {
    let text = |field: &str| token::field(secret, field).unwrap_or_default();
    let groups = text("groups").split(',').map(|group| group.trim().to_owned()).collect::<Vec<_>>();
    (text("user"), groups.into_iter().filter(|group| !group.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;

    use super::*;
    use crate::registry::Doc;

    fn stored(change: impl FnOnce(&mut Value)) -> Snapshot {
        // printf secret | sha256sum
        let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        let encode = |text: &str| STANDARD.encode(text);
        let mut secret = json!({"metadata": {}, "type": token::TYPE, "data": {
            "hash": encode(hash), "user": encode("ann"), "groups": encode("dev, ops, system:masters"),
            "expiration": encode("2026-11-20T10:00:00Z"),
        }});
        change(&mut secret);
        let key = Key::new(&Resource::new("", "secrets"), token::NAMESPACE, &token::name(hash));
        Snapshot::of(1, [Arc::new(Doc::from_stored(key, 1, secret.to_string().as_bytes()).unwrap())])
    }

    #[test]
    fn a_token_stands_for_its_user_until_it_expires() {
        let before: Timestamp = "2026-11-20T09:59:59Z".parse().unwrap();
        let user = recognise("secret", before, &stored(|_| {})).unwrap();
        assert_eq!(
            (user.name.as_str(), &user.groups[..2]),
            ("ann", &["dev".to_owned(), "ops".to_owned()][..])
        );
        assert!(!user.is_master(), "no groups of the system");
        assert_eq!(recognise("secret2", before, &stored(|_| {})), None);
        let end: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
        assert_eq!(recognise("secret", end, &stored(|_| {})), None);
        assert_eq!(recognise("secret", before, &stored(|it| it["type"] = json!("Opaque"))), None);
        let pretender = |it: &mut Value| it["data"]["user"] = json!(STANDARD.encode("system:admin"));
        assert_eq!(recognise("secret", before, &stored(pretender)), None, "no names of the system");
        let other = |it: &mut Value| it["data"]["hash"] = json!(STANDARD.encode("2bb80d537b1da3e3"));
        assert_eq!(recognise("secret", before, &stored(other)), None, "the whole hash counts");
    }
}
