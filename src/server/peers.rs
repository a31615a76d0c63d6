//! What the servers of an installation ask each other. A peer shows a secret that is derived from the key that all of them have.

use std::fmt;

use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};

use super::offers::LiveOffers;

/// Where a server answers its peers with the offers that it holds: a JSON array of Offers.
pub const PEER_OFFERS: &str = "/peers/offers";

/// Where a server runs commands for its peers, whose users may have them: `namespace`, `name` and `uid` of the task, `command`, `tty` and
/// `stdin`, as at the task itself. The connection becomes the line.
pub const PEER_EXEC: &str = "/peers/exec";

/// The secrets of peers: the first is shown, all are recognised. Printing them shows nothing.
#[derive(Clone)]
pub struct PeerKeys(Vec<String>);

impl PeerKeys {
    /// From secrets that every server of the installation has, at least one.
    #[must_use]
    pub fn new(secrets: &[[u8; 32]]) -> PeerKeys {
        let text = |secret: &[u8; 32]| secret.iter().map(|byte| format!("{byte:02x}")).collect();
        PeerKeys(secrets.iter().map(text).collect())
    }

    /// What a peer is shown, as a bearer token.
    #[must_use]
    pub fn shown(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    /// Whether a request with these headers is a peer's. Takes the same time for every wrong token.
    pub(super) fn recognise(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default().as_bytes();
        let same = |own: &String| {
            own.len() == token.len() && own.bytes().zip(token).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
        };
        self.0.iter().fold(false, |known, own| known | same(own))
    }
}

/// The offers that this process holds; 503 where it does not lead, whoever does: a peer's question is not passed on.
pub(super) async fn offers(offers: &dyn LiveOffers) -> Response {
    match offers.held().await {
        Ok(held) => match serde_json::to_vec(&held) {
            Ok(text) => ([(CONTENT_TYPE, "application/json")], text).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        },
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
    }
}

impl fmt::Debug for PeerKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerKeys")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_known_by_any_key_of_the_installation_and_by_nothing_else() {
        let (old, new) = ([1; 32], [2; 32]);
        let keys = PeerKeys::new(&[new, old]);
        let recognised = |value: Option<String>| {
            let mut headers = HeaderMap::new();
            headers.extend(value.map(|value| (AUTHORIZATION, value.parse().unwrap())));
            keys.recognise(&headers)
        };
        let bearer = |secret| Some(format!("Bearer {}", PeerKeys::new(&[secret]).shown()));
        assert!(recognised(bearer(old)) && recognised(bearer(new)));
        assert!(!recognised(bearer([3; 32])) && !recognised(None));
        assert!(!recognised(Some("Bearer ".to_owned())) && !recognised(Some(keys.shown().to_owned())));
        assert!(!PeerKeys::new(&[]).recognise(&HeaderMap::new()), "who has no key knows nobody");
    }
}
