//! Tokens of ServiceAccounts: signed, not stored. One is good until it expires, and no longer than its account (and the
//! object that it is bound to) exists.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::hmac;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::user::User;
use crate::registry::{Key, Resource, Snapshot};

/// Who issues and who accepts.
pub(crate) const ISSUER: &str = "https://tenure.dev/serviceaccounts";

/// What tokens are signed with: the first signs, all are recognised. Printing it shows nothing.
#[derive(Clone)]
pub struct SigningKeys(Vec<hmac::Key>);

impl SigningKeys {
    /// From secrets that every server of the installation has.
    #[must_use]
    pub fn new(secrets: &[[u8; 32]]) -> SigningKeys {
        SigningKeys(secrets.iter().map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret)).collect())
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKeys")
    }
}

/// Whom a token stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    iss: String,
    sub: String,
    pub(crate) aud: Vec<String>,
    iat: i64,
    pub(crate) exp: i64,
    jti: String,
    #[serde(rename = "kubernetes.io")]
    place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    namespace: String,
    serviceaccount: Reference,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<Reference>,
}

/// An object by name and uid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reference {
    pub(crate) name: String,
    pub(crate) uid: String,
}

impl Claims {
    /// A token's claims for `account`, from `now` on for `seconds`.
    pub(crate) fn new(
        namespace: &str,
        account: Reference,
        secret: Option<Reference>,
        aud: Vec<String>,
        (now, seconds): (Timestamp, i64),
        id: String,
    ) -> Claims {
        Claims {
            iss: ISSUER.to_owned(),
            sub: format!("system:serviceaccount:{namespace}:{}", account.name),
            aud,
            iat: now.as_second(),
            exp: now.as_second().saturating_add(seconds),
            jti: id,
            place: Place { namespace: namespace.to_owned(), serviceaccount: account, secret },
        }
    }

    /// Who it is, if the account is still there.
    fn user(&self, snapshot: &Snapshot) -> Option<User> {
        let Place { namespace, serviceaccount, secret } = &self.place;
        let stands = |plural: &str, reference: &Reference| {
            let doc = snapshot.get(&Key::new(&Resource::new("", plural), namespace, &reference.name));
            doc.is_some_and(|doc| doc.meta().uid == reference.uid && doc.meta().deletion.is_none())
        };
        let bound = secret.as_ref().is_none_or(|secret| stands("secrets", secret));
        (bound && stands("serviceaccounts", serviceaccount)).then(|| {
            let mut user = User::service_account(namespace, &serviceaccount.name, &serviceaccount.uid);
            user.extra.insert(
                "authentication.kubernetes.io/credential-id".to_owned(),
                vec![format!("JTI={}", self.jti)],
            );
            user
        })
    }
}

impl SigningKeys {
    /// The token that says `claims`.
    pub(crate) fn sign(&self, claims: &Claims) -> Option<String> {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": "HS256", "typ": "JWT"}).to_string());
        let claims = URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims).ok()?);
        let text = format!("{header}.{claims}");
        let signature = hmac::sign(self.0.first()?, text.as_bytes());
        Some(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Whom `token` stands for `now`, and for whom it was made.
    pub(crate) fn recognise(
        &self,
        token: &str,
        now: Timestamp,
        snapshot: &Snapshot,
    ) -> Option<(User, Vec<String>)> {
        let (text, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        // Compared in a time that does not depend on where they differ.
        self.0.iter().find(|key| hmac::verify(key, text.as_bytes(), &signature).is_ok())?;
        let claims = URL_SAFE_NO_PAD.decode(text.split('.').nth(1)?).ok()?;
        let claims: Claims = serde_json::from_slice(&claims).ok()?;
        if claims.iss != ISSUER || now.as_second() >= claims.exp {
            return None;
        }
        Some((claims.user(snapshot)?, claims.aud))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::registry::Doc;

    fn account(uid: &str) -> Snapshot {
        let key = Key::new(&Resource::new("", "serviceaccounts"), "shop", "bot");
        let stored = json!({"metadata": {"uid": uid}}).to_string();
        Snapshot::of(1, [Arc::new(Doc::from_stored(key, 1, stored.as_bytes()).unwrap())])
    }

    #[test]
    fn a_token_is_good_until_it_expires_or_its_account_goes() {
        let (keys, others) = (SigningKeys::new(&[[1; 32]]), SigningKeys::new(&[[2; 32]]));
        let at = |second| Timestamp::from_second(second).unwrap();
        let bot = Reference { name: "bot".to_owned(), uid: "u1".to_owned() };
        let claims = Claims::new("shop", bot, None, vec!["a".to_owned()], (at(100), 60), "j".to_owned());
        let token = keys.sign(&claims).unwrap();
        let (user, audiences) = keys.recognise(&token, at(159), &account("u1")).unwrap();
        assert_eq!((user.name.as_str(), user.uid.as_str()), ("system:serviceaccount:shop:bot", "u1"));
        assert!(user.is_in("system:serviceaccounts:shop") && !user.is_master());
        assert_eq!(audiences, ["a"]);
        assert_eq!(keys.recognise(&token, at(160), &account("u1")), None, "expired");
        assert_eq!(keys.recognise(&token, at(100), &account("u2")), None, "made anew under its name");
        assert_eq!(keys.recognise(&token, at(100), &Snapshot::default()), None, "deleted");
        assert_eq!(others.recognise(&token, at(100), &account("u1")), None, "signed by somebody else");
        let both = SigningKeys(others.0.iter().chain(&keys.0).cloned().collect());
        assert!(both.recognise(&token, at(100), &account("u1")).is_some());
        let unsigned = format!("{}.", token.rsplit_once('.').unwrap().0);
        for forged in ["", "..", "a.b.c", unsigned.as_str(), &token[..token.len() - 2]] {
            assert_eq!(keys.recognise(forged, at(100), &account("u1")), None, "{forged}");
        }
    }
}
