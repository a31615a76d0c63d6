//! Who asks: the administrator by the installation's token, people by tokens that are stored as hashes, programs by the
//! signed tokens of their ServiceAccounts, and whoever shows a certificate that the operator's authority signed. Nothing but
//! health and version is answered to anybody else.

pub(crate) mod accounts;
pub(crate) mod certificate;
pub(crate) mod impersonate;
pub(crate) mod stored;
mod token;
pub(crate) mod user;

use std::sync::Arc;

use http::Request;
use http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};

pub use self::accounts::SigningKeys;
use self::certificate::Peer;
pub use self::token::Token;
use self::user::User;
use crate::env::Env;
use crate::registry::Registry;

/// Recognises who asks.
#[derive(Clone)]
pub(crate) struct Authenticator {
    env: Env,
    registry: Arc<Registry>,
    /// Of the administrator's token: comparing digests takes the same time for every wrong token.
    digest: [u8; 32],
    signing: SigningKeys,
}

impl Authenticator {
    pub(crate) fn new(
        env: &Env,
        registry: &Arc<Registry>,
        token: &Token,
        signing: SigningKeys,
    ) -> Authenticator {
        let digest = Sha256::digest(token.secret()).into();
        Authenticator { env: env.clone(), registry: registry.clone(), digest, signing }
    }

    /// Whom the client's certificate, else the bearer token of `request` stands for; none without one, or for one that nobody
    /// has (any more).
    pub(crate) fn identify<B>(&self, request: &Request<B>) -> Option<User> {
        let peer = request.extensions().get::<Peer>();
        if let Some(user) = peer.and_then(|peer| peer.user(self.env.now())) {
            return Some(user);
        }
        let (scheme, token) = request.headers().get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (user, audiences) = self.recognise(token.trim())?;
        (audiences.is_empty() || audiences.iter().any(|it| it == accounts::ISSUER)).then_some(user)
    }

    /// Whom `token` stands for, and for whom it is meant (nobody in particular: for this server).
    pub(crate) fn recognise(&self, token: &str) -> Option<(User, Vec<String>)> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        if digest.iter().zip(self.digest).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0 {
            return Some((User::admin(), Vec::new()));
        }
        let (snapshot, now) = (self.registry.cache().snapshot(), self.env.now());
        let account = self.signing.recognise(token, now, &snapshot);
        account.or_else(|| Some((stored::recognise(token, now, &snapshot)?, Vec::new())))
    }

    pub(crate) fn signing(&self) -> &SigningKeys {
        &self.signing
    }
}
