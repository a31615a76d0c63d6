//! Questions about who may do what: reviews, which are asked by creating them and are never stored.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::accept::Offer;
use super::objects::Ask;
use super::{Api, body, reply};
use crate::registry::Failure;
use crate::registry::field::FieldError;
use crate::server::auth::accounts::{Claims, ISSUER, Reference};
use crate::server::auth::user::{AUTHENTICATED, User};
use crate::server::rbac;
use crate::server::rbac::rules::{Access, rules_of};

/// Seconds that a ServiceAccount's token is good for: if nothing is asked for, and at least.
const TOKEN_SECONDS: i64 = 3_600;
const TOKEN_SECONDS_MIN: i64 = 600;
/// A hundred years: what ends later has no end.
const TOKEN_SECONDS_MAX: i64 = 100 * 365 * 24 * 3_600;

impl Api {
    /// Answers a review.
    pub(super) async fn review(&self, ask: &Ask<'_>, body: Body) -> Result<Response, Failure> {
        let accepted = ask.accepted(Offer::Objects)?;
        let bytes = body::read(body).await?;
        let mut review = body::object(&ask.kind.kind, &ask.head.headers, &bytes)?.value;
        if !review.is_object() {
            return Err(Failure::bad_request("a review must be an object"));
        }
        let spec = review.get("spec").cloned().unwrap_or_default();
        review["status"] = match ask.kind.kind.as_str() {
            "SelfSubjectAccessReview" => self.access(&ask.user, &spec, None)?,
            "SubjectAccessReview" => self.access(&subject(&spec)?, &spec, None)?,
            "LocalSubjectAccessReview" => {
                self.access(&subject(&spec)?, &spec, ask.target.namespace.as_deref())?
            }
            "SelfSubjectRulesReview" => self.rules(&ask.user, &spec)?,
            "SelfSubjectReview" => json!({"userInfo": ask.user.info()}),
            "TokenReview" => self.token(&spec),
            _ => return Err(Failure::method_not_allowed()),
        };
        review["apiVersion"] = json!(ask.kind.api_version());
        review["kind"] = json!(ask.kind.kind);
        review["metadata"] = json!({"creationTimestamp": null});
        Ok(reply::value(StatusCode::CREATED, &review, accepted.encoding))
    }

    fn access(&self, user: &User, spec: &Value, namespace: Option<&str>) -> Result<Value, Failure> {
        let (of, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
        let text = |from: &Value, name: &str| from[name].as_str().unwrap_or_default().to_owned();
        let access = match (of.is_object(), path.is_object()) {
            (true, false) => {
                let part = text(of, "subresource");
                let resource = text(of, "resource");
                let resource = if part.is_empty() { resource } else { format!("{resource}/{part}") };
                let given = text(of, "namespace");
                if namespace.is_some_and(|namespace| namespace != given) {
                    let text = "must match metadata.namespace";
                    let error = FieldError::invalid("spec.resourceAttributes.namespace", given, text);
                    return Err(invalid("LocalSubjectAccessReview", error));
                }
                // `*` is asked for by those who want to know about everything.
                Access::named(&text(of, "verb"), &text(of, "group"), &resource, &given, &text(of, "name"))
            }
            (false, true) => Access::path(&text(path, "verb"), &text(path, "path")),
            _ => {
                let text = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
                let error = FieldError::invalid("spec.resourceAttributes", of.clone(), text);
                return Err(invalid("SelfSubjectAccessReview", error));
            }
        };
        let allowed = rbac::may(&self.registry.cache().snapshot(), user, &access);
        let reason = match (allowed, user.is_master()) {
            (true, true) => "RBAC: allowed by group system:masters",
            (true, false) => "RBAC: allowed by a role",
            (false, _) => "",
        };
        Ok(if reason.is_empty() {
            json!({"allowed": false})
        } else {
            json!({"allowed": true, "reason": reason})
        })
    }

    fn rules(&self, user: &User, spec: &Value) -> Result<Value, Failure> {
        let Some(namespace) = spec["namespace"].as_str().filter(|namespace| !namespace.is_empty()) else {
            return Err(Failure::bad_request("no namespace on request"));
        };
        let everything = || {
            let all = json!(["*"]);
            (
                vec![json!({"verbs": all, "apiGroups": all, "resources": all})],
                vec![json!({"verbs": all, "nonResourceURLs": all})],
            )
        };
        let (mut resources, mut paths) =
            if user.is_master() { everything() } else { (Vec::new(), Vec::new()) };
        for rule in rules_of(&self.registry.cache().snapshot(), user, namespace) {
            if let Some(urls) = rule.non_resource_urls.filter(|urls| !urls.is_empty()) {
                paths.push(json!({"verbs": rule.verbs, "nonResourceURLs": urls}));
                continue;
            }
            let mut told =
                json!({"verbs": rule.verbs, "apiGroups": rule.api_groups, "resources": rule.resources});
            if let Some(names) = rule.resource_names {
                told["resourceNames"] = json!(names);
            }
            resources.push(told);
        }
        Ok(json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false}))
    }

    fn token(&self, spec: &Value) -> Value {
        let wanted: Vec<&str> =
            spec["audiences"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let known = self.authenticator.recognise(spec["token"].as_str().unwrap_or_default());
        let Some((user, meant)) = known else {
            return json!({"authenticated": false, "error": "nobody has this token"});
        };
        let meant = if meant.is_empty() { vec![ISSUER.to_owned()] } else { meant };
        let wanted = if wanted.is_empty() { vec![ISSUER] } else { wanted };
        let audiences: Vec<&String> = meant.iter().filter(|it| wanted.contains(&it.as_str())).collect();
        if audiences.is_empty() {
            return json!({"authenticated": false, "error": "the token is meant for another audience"});
        }
        json!({"authenticated": true, "user": user.info(), "audiences": audiences})
    }

    /// `…/serviceaccounts/NAME/token`: a token for that account.
    pub(super) async fn account_token(&self, ask: &Ask<'_>, body: Body) -> Result<Response, Failure> {
        let accepted = ask.accepted(Offer::Objects)?;
        let bytes = body::read(body).await?;
        let mut request = body::object("TokenRequest", &ask.head.headers, &bytes)?.value;
        let spec = request.get("spec").cloned().unwrap_or_default();
        let refuse = |field: &str, value: Value, text: &str| {
            Err(invalid("TokenRequest", FieldError::invalid(field, value, text)))
        };
        let seconds = match &spec["expirationSeconds"] {
            Value::Null => TOKEN_SECONDS,
            value => match value.as_i64() {
                Some(seconds) if seconds < TOKEN_SECONDS_MIN => {
                    return refuse(
                        "spec.expirationSeconds",
                        value.clone(),
                        "may not specify a duration less than 10 minutes",
                    );
                }
                Some(seconds) if seconds > TOKEN_SECONDS_MAX => {
                    return refuse(
                        "spec.expirationSeconds",
                        value.clone(),
                        "may not specify a duration larger than 100 years",
                    );
                }
                Some(seconds) => seconds,
                None => {
                    return refuse(
                        "spec.expirationSeconds",
                        value.clone(),
                        "must be a whole number of seconds",
                    );
                }
            },
        };
        let account = self.registry.get(&ask.kind, &ask.key(), crate::registry::At::MostRecent).await?;
        let reference = |name: &str, uid: &str| Reference { name: name.to_owned(), uid: uid.to_owned() };
        let secret = match self.bound(ask, &spec)? {
            None => None,
            Some(name) => {
                let secrets = self.registry.scheme().by_route("", "v1", "secrets").cloned();
                let secrets = secrets.ok_or_else(|| Failure::internal("no secrets are served"))?;
                let key = secrets.key(&ask.key().namespace, &name);
                let doc = self.registry.get(&secrets, &key, crate::registry::At::MostRecent).await?;
                Some(reference(&name, &doc.meta().uid))
            }
        };
        let audiences: Vec<String> = spec["audiences"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        let audiences = if audiences.is_empty() { vec![ISSUER.to_owned()] } else { audiences };
        let key = ask.key();
        let account = reference(&key.name, &account.meta().uid);
        let lifetime = (self.env.now(), seconds);
        let claims = Claims::new(&key.namespace, account, secret, audiences, lifetime, self.env.uid());
        let token = self.authenticator.signing().sign(&claims);
        let token = token.ok_or_else(|| Failure::internal("there is no key to sign tokens with"))?;
        let end =
            jiff::Timestamp::from_second(claims.exp).map_err(|error| Failure::internal(error.to_string()))?;
        if !request.is_object() {
            request = json!({});
        }
        request["apiVersion"] = json!("authentication.k8s.io/v1");
        request["kind"] = json!("TokenRequest");
        request["metadata"] =
            json!({"name": &*key.name, "namespace": &*key.namespace, "creationTimestamp": null});
        request["spec"]["audiences"] = json!(claims.aud);
        request["spec"]["expirationSeconds"] = json!(seconds);
        request["status"] = json!({"token": token, "expirationTimestamp": format!("{end:.0}")});
        Ok(reply::value(StatusCode::CREATED, &request, accepted.encoding))
    }

    /// The Secret that a token shall be bound to.
    fn bound(&self, ask: &Ask<'_>, spec: &Value) -> Result<Option<String>, Failure> {
        let reference = &spec["boundObjectRef"];
        if reference.is_null() {
            return Ok(None);
        }
        let text = |name: &str| reference[name].as_str().unwrap_or_default().to_owned();
        if text("kind") != "Secret" {
            let error = FieldError::not_supported("spec.boundObjectRef.kind", text("kind"), &["Secret"]);
            return Err(Failure::invalid_named(
                "authentication.k8s.io",
                "TokenRequest",
                &ask.key().name,
                vec![error],
            ));
        }
        Ok(Some(text("name")))
    }
}

fn invalid(kind: &str, error: FieldError) -> Failure {
    let group = if kind == "TokenRequest" { "authentication.k8s.io" } else { "authorization.k8s.io" };
    Failure::invalid_named(group, kind, "", vec![error])
}

/// Whom a review is about.
fn subject(spec: &Value) -> Result<User, Failure> {
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let (name, groups) = (spec["user"].as_str().unwrap_or_default(), texts(&spec["groups"]));
    if name.is_empty() && groups.is_empty() {
        let error = FieldError::invalid("spec.user", name, "at least one of user or group must be specified");
        return Err(invalid("SubjectAccessReview", error));
    }
    // Exactly these groups: whoever asks knows them.
    let mut user = User::named(name, groups.clone());
    if !groups.iter().any(|group| group == AUTHENTICATED) {
        user.groups = groups;
    }
    Ok(user)
}
